package io.microbatch;

import static io.microbatch.Given.given;

import java.util.concurrent.Executor;
import java.util.concurrent.ThreadFactory;
import java.util.function.Consumer;
import java.util.function.ToLongFunction;

/**
 * What a batcher is made from. Every option of the library can be set {@linkplain #option by name}; the usual ones have a
 * method. All are checked together by {@link #build}, which says everything that is wrong. {@link Option#all} has their
 * ranges and defaults; zero is the default in every one.
 *
 * @param <T> what is pushed
 * @param <R> what comes back
 */
public final class Builder<T, R> extends Options<T, R> {
    private static final int FLAG_PULL_RESULTS = 1;
    private static final int FLAG_ON_RESULT = 2;
    private static final int FLAG_UPCALLS = 4;

    private final long[] natives = new long[2 * (Core.DEFAULT_HANDLER + 1)];
    private Core.Settings settings = new Core.Settings();

    Builder() {}

    // ---- handlers ----

    /**
     * The handler of every kind that has none of its own.
     *
     * @param handler returns a result for each value
     * @return this
     */
    public Builder<T, R> handler(Handler<T, R> handler) {
        return put(Core.DEFAULT_HANDLER, Work.of(given(handler, "handler", "a function")));
    }

    /**
     * The handler of one kind.
     *
     * @param kind the kind
     * @param handler returns a result for each value
     * @return this
     */
    public Builder<T, R> handler(Kind kind, Handler<T, R> handler) {
        return put(place(kind), Work.of(given(handler, "handler", "a function")));
    }

    /**
     * The handler of every kind that has none of its own, which answers later.
     *
     * @param handler returns a stage that completes with a result for each value
     * @return this
     */
    public Builder<T, R> asyncHandler(AsyncHandler<T, R> handler) {
        return put(Core.DEFAULT_HANDLER, Work.ofAsync(given(handler, "handler", "a function")));
    }

    /**
     * The handler of one kind, which answers later.
     *
     * @param kind the kind
     * @param handler returns a stage that completes with a result for each value
     * @return this
     */
    public Builder<T, R> asyncHandler(Kind kind, AsyncHandler<T, R> handler) {
        return put(place(kind), Work.ofAsync(given(handler, "handler", "a function")));
    }

    /**
     * The handler of every kind that has none of its own, which sets results itself.
     *
     * @param handler sets a result or a failure for each row
     * @return this
     */
    public Builder<T, R> batchHandler(BatchHandler<T> handler) {
        return put(Core.DEFAULT_HANDLER, Work.ofBatch(given(handler, "handler", "a function")));
    }

    /**
     * The handler of one kind, which sets results itself.
     *
     * @param kind the kind
     * @param handler sets a result or a failure for each row
     * @return this
     */
    public Builder<T, R> batchHandler(Kind kind, BatchHandler<T> handler) {
        return put(place(kind), Work.ofBatch(given(handler, "handler", "a function")));
    }

    private static int place(Kind kind) {
        return given(kind, "kind", "one of the kinds").ordinal();
    }

    private Builder<T, R> put(int place, Work work) {
        settings.handlers[place] = work;
        natives[2 * place] = 0;
        return this;
    }

    /**
     * A native handler for every kind that has none of its own: values are handled on the engine's own threads, without
     * returning to the virtual machine. In threaded mode all handlers are native, or none.
     *
     * @param function the address of an {@code mb_handler_fn}, see {@link NativeSymbol}; it gets the library's function table
     *     and needs not be linked to it
     * @param userData handed to it
     * @return this
     */
    public Builder<T, R> nativeHandler(long function, long userData) {
        return putNative(Core.DEFAULT_HANDLER, function, userData);
    }

    /**
     * A native handler for one kind.
     *
     * @param kind the kind
     * @param function the address of an {@code mb_handler_fn}
     * @param userData handed to it
     * @return this
     */
    public Builder<T, R> nativeHandler(Kind kind, long function, long userData) {
        return putNative(place(kind), function, userData);
    }

    private Builder<T, R> putNative(int place, long function, long userData) {
        if (function == 0) {
            throw new IllegalArgumentException("function = 0: the address of a native handler is expected");
        }
        settings.handlers[place] = null;
        natives[2 * place] = function;
        natives[2 * place + 1] = userData;
        settings.hasNativeHandler = true;
        return this;
    }

    /**
     * For a batcher without handlers: whoever pulls has a handler for every kind that has none of its own. Once one is named,
     * other kinds are refused with NO_HANDLER, and {@link Batcher#nextBatch} hands out the parts of a batch one after another.
     *
     * @return this
     */
    public Builder<T, R> pullHandler() {
        settings.pulls |= 1 << Core.DEFAULT_HANDLER;
        return this;
    }

    /**
     * For a batcher without handlers: whoever pulls has a handler for this kind.
     *
     * @param kind the kind
     * @return this
     */
    public Builder<T, R> pullHandler(Kind kind) {
        settings.pulls |= 1 << place(kind);
        return this;
    }

    // ---- the rest ----

    /**
     * Takes results, a set at a time, never beside itself. Futures of the set are completed before.
     *
     * @param onResult what it throws is logged and goes no further
     * @return this
     */
    @SuppressWarnings("unchecked")
    public Builder<T, R> onResult(Consumer<? super Results<R>> onResult) {
        given(onResult, "onResult", "a function");
        settings.onResult = results -> onResult.accept((Results<R>) results);
        return this;
    }

    /**
     * Results are only counted: nobody gets them, and {@link Batcher#submit} is refused.
     *
     * @return this
     */
    public Builder<T, R> countResults() {
        settings.countsOnly = true;
        return this;
    }

    /**
     * Is told when the batcher's reference to an object ends: once for each push of it that was taken, and for each time it
     * was set as a result.
     *
     * @param onRelease takes the object
     * @return this
     */
    public Builder<T, R> onRelease(Consumer<Object> onRelease) {
        settings.onRelease = given(onRelease, "onRelease", "a function");
        return this;
    }

    /**
     * Takes the log. Lines of the engine's own threads come when a thread of the batcher's passes next, or with the next
     * {@link Batcher#stats}, {@link Batcher#flush} or close; if too many wait for that, some are dropped, which is logged.
     *
     * @param log takes lines; the {@code System.Logger} named {@code io.microbatch} if it is not set
     * @return this
     */
    public Builder<T, R> log(Log log) {
        settings.log = given(log, "log", "a function");
        return this;
    }

    /**
     * Declares the size of objects for the byte limits; 0 if it is not set.
     *
     * @param size answers an object's size in bytes, from 0
     * @return this
     */
    public Builder<T, R> objectSize(ToLongFunction<Object> size) {
        settings.objectSize = given(size, "objectSize", "a function");
        return this;
    }

    /**
     * Runs handlers: one thread takes batches and hands them on. {@link #maxInFlight} says how many run at a time.
     *
     * @param executor runs handlers; a batch that it refuses fails
     * @return this
     */
    public Builder<T, R> executor(Executor executor) {
        settings.executor = given(executor, "executor", "an Executor");
        return this;
    }

    /**
     * Makes the threads that take batches and results. They wait in native code, so platform threads suit.
     *
     * @param factory makes threads; daemon threads are made if it is not set
     * @return this
     */
    public Builder<T, R> threadFactory(ThreadFactory factory) {
        settings.threadFactory = given(factory, "threadFactory", "a ThreadFactory");
        return this;
    }

    /**
     * Makes the batcher and starts its threads.
     *
     * @return the batcher, to be closed
     * @throws MicrobatchException INVALID_OPTION with everything that is wrong; SYSTEM if a thread could not be started;
     *     NO_MEMORY
     */
    public Batcher<T, R> build() {
        byte[] texts = texts();
        long[] values = new long[Option.all().size()];
        byte[][] error = new byte[Math.max(1, options.size())][];
        refuse(Native.optionValues(texts, values, error), error);
        Core.Settings made = settings;
        settings = copy(made);
        made.manual = values[Option.place("mode")] == Option.choice("mode", "manual");
        made.pullsResults = values[Option.place("results")] == Option.choice("results", "pull");
        made.threads = (int) values[Option.place("threads")];
        made.pushTimeout = values[Option.place("push_timeout")];
        made.closeTimeout = values[Option.place("close_timeout")];
        made.drainAtExit =
                options.containsKey("drain_at_exit")
                        ? values[Option.place("drain_at_exit")]
                        : Option.defaultOf("drain_at_exit");
        if (!made.manual && made.hasNativeHandler && made.kinds() != 0) {
            throw new IllegalArgumentException(
                    "native handlers beside handlers in Java: in threaded mode a batcher has one sort or the other");
        }
        if (made.pulls != 0 && made.hasHandlers()) {
            throw new IllegalArgumentException(
                    "pullHandler beside handlers: a batcher has handlers, or its batches are pulled");
        }
        int flags = 0;
        if (!made.countsOnly && !made.pullsResults) {
            flags |= made.manual ? FLAG_ON_RESULT : FLAG_PULL_RESULTS;
        }
        flags |= made.manual ? FLAG_UPCALLS : 0;
        long[] out = new long[2];
        // In threaded mode Java pulls the parts for its handlers; the engine has none.
        int kinds = made.manual ? made.kinds() : 0;
        int pulls = made.manual ? made.pulls : made.kinds() | made.pulls;
        refuse(Native.create(texts, flags, kinds, pulls, natives, out, error), error);
        Core core = new Core(out[0], (int) out[1], made);
        try {
            core.start();
        } catch (RuntimeException | Error failure) {
            Native.close(core, core.host, 0, out);
            Native.letGo(core, core.host);
            throw failure;
        }
        ExitHook.add(core);
        return new Batcher<>(core);
    }

    /** The builder can be used again. */
    private static Core.Settings copy(Core.Settings from) {
        Core.Settings to = new Core.Settings();
        System.arraycopy(from.handlers, 0, to.handlers, 0, from.handlers.length);
        to.onResult = from.onResult;
        to.onRelease = from.onRelease;
        to.objectSize = from.objectSize;
        to.log = from.log;
        to.executor = from.executor;
        to.threadFactory = from.threadFactory;
        to.countsOnly = from.countsOnly;
        to.hasNativeHandler = from.hasNativeHandler;
        to.pulls = from.pulls;
        return to;
    }

    private static void refuse(int status, byte[][] error) {
        if (status != Status.OK) {
            throw MicrobatchException.of(status, Text.of(error, status));
        }
    }
}
