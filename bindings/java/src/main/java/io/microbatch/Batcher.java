package io.microbatch;

import java.lang.ref.Cleaner;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;

/**
 * Takes single values from any thread, has them handled in batches, and brings back one result for every value.
 *
 * <pre>{@code
 * try (var replies = Batcher.<Call, String>builder()
 *         .maxBatchSize(50).maxDelay(Duration.ofMillis(5)).maxInFlight(4)
 *         .asyncHandler(batch -> http.postAll(batch.values()))
 *         .build()) {
 *     replies.submit(new Call(uri, body), Duration.ofSeconds(2)).thenAccept(System.out::println);
 * }
 * }</pre>
 *
 * <p>Every method may be called by any thread at any time, also beside {@link #close()}: calls that come after it answer
 * CLOSED. Inside callbacks of the batcher (handlers, onResult, onRelease, and what depends on its futures) pushes never wait,
 * and whatever waits answers REENTRANT.
 *
 * <p>Waits happen in Java: they can be interrupted, and a virtual thread gives up its carrier.
 *
 * @param <T> what is pushed: {@code Long}, {@code Integer}, {@code Short} and {@code Byte} travel as 64-bit integers,
 *     {@code Double} and {@code Float} as 64-bit floating-point numbers, {@code Boolean}, {@code String}, {@code byte[]} and
 *     {@code null} as what they are, everything else as the reference it is
 * @param <R> what comes back
 */
public final class Batcher<T, R> implements AutoCloseable {
    /** No time limit. */
    public static final Duration FOREVER = Duration.ofSeconds(Long.MAX_VALUE, 999_999_999);

    private final Core core;
    private final Ending ending;
    private final Cleaner.Cleanable cleanable;

    Batcher(Core core) {
        this.core = core;
        ending = new Ending(core);
        cleanable = Core.CLEANER.register(this, ending);
    }

    /**
     * Begins a batcher.
     *
     * @param <T> what is pushed
     * @param <R> what comes back
     * @return a builder with the defaults
     */
    public static <T, R> Builder<T, R> builder() {
        return new Builder<>();
    }

    /**
     * The version of the native library.
     *
     * @return for example {@code 0.1.0}
     */
    public static String version() {
        return new String(Native.version(), java.nio.charset.StandardCharsets.UTF_8);
    }

    /** After a call that does the engine's work on this thread. */
    private void driven(int status) {
        core.drainLog();
        refuse(status);
    }

    /** Nanoseconds of a time, at most FOREVER. */
    static long nanos(Duration time) {
        try {
            return time.toNanos();
        } catch (ArithmeticException tooLong) {
            return time.isNegative() ? -Core.FOREVER : Core.FOREVER;
        }
    }

    private static void refuse(int status) {
        if (status != Status.OK) {
            throw MicrobatchException.of(status);
        }
    }

    // ---- pushing ----

    /**
     * Pushes a value and gives a future of its result. Cancelling the future cancels the value if it still waits.
     *
     * <p>The future completes on the thread that takes results, or inside {@link #run}, {@link #flush} or close in manual
     * mode. It fails with a {@link MicrobatchException}, whose cause is what the handler threw.
     *
     * @param value the value, or {@code null}
     * @return the future
     * @throws MicrobatchException if it is refused, as {@link #push(Object, long)}
     */
    public CompletableFuture<R> submit(T value) {
        return submit(value, Core.NO_DEADLINE);
    }

    /**
     * Pushes a value with a deadline and gives a future of its result.
     *
     * @param value the value, or {@code null}
     * @param within the value expires if it still waits after this time
     * @return the future
     * @throws MicrobatchException if it is refused, as {@link #push(Object, long)}
     */
    public CompletableFuture<R> submit(T value, Duration within) {
        return submit(value, nanos(within));
    }

    private CompletableFuture<R> submit(T value, long within) {
        Core.Settings settings = core.settings;
        if (settings.countsOnly || settings.pullsResults || settings.attached) {
            throw MicrobatchException.of(
                    Status.WRONG_MODE,
                    "submit needs a batcher whose results come to Java: not countResults, results = pull, or attached");
        }
        core.claimTags();
        Reply<R> reply = new Reply<>(core);
        core.replies.add(reply);
        int status = Status.INVALID_ARGUMENT;
        try {
            status = core.push(value, reply.tag, within);
        } finally {
            if (status != Status.OK) {
                core.replies.take(reply.tag);
            }
        }
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
        return reply;
    }

    /**
     * Pushes a value; its result comes to onResult with the tag.
     *
     * @param value the value, or {@code null}
     * @param tag any number, not necessarily unique; from 0 on if {@link #submit} is used too
     * @throws MicrobatchException if it is refused: QUEUE_FULL, QUEUE_FULL_BYTES or RESULTS_FULL after waiting for
     *     {@code push_timeout} (at once if {@code on_full} is {@code reject}, in callbacks and in manual mode; an interrupt ends
     *     the wait and stays set); CLOSED; NO_HANDLER; TOO_LARGE; INVALID_UTF8 for a lone surrogate; WRONG_OWNER for a foreign
     *     object; NO_MEMORY. A refused value is not kept in any way
     */
    public void push(T value, long tag) {
        core.checkTag(tag);
        int status = core.push(value, tag, Core.NO_DEADLINE);
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
    }

    /**
     * Pushes a value with a deadline.
     *
     * @param value the value, or {@code null}
     * @param tag comes back with the result
     * @param within the value expires if it still waits after this time, on the batcher's clock; at once if it is not positive
     * @throws MicrobatchException if it is refused, as {@link #push(Object, long)}
     */
    public void push(T value, long tag, Duration within) {
        core.checkTag(tag);
        int status = core.push(value, tag, nanos(within));
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
    }

    /**
     * Pushes an integer, without a box.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if it is refused, as {@link #push(Object, long)}
     */
    public void pushInt64(long value, long tag) {
        core.checkTag(tag);
        int status = core.pushInt64(value, tag);
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
    }

    /**
     * Pushes a floating-point number, without a box.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if it is refused, as {@link #push(Object, long)}
     */
    public void pushFloat64(double value, long tag) {
        core.checkTag(tag);
        int status = core.pushFloat64(value, tag);
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
    }

    /**
     * Why a value would be refused now, without pushing it.
     *
     * @param value the value, or {@code null}
     * @throws MicrobatchException what {@link #push(Object, long)} would throw without waiting
     */
    public void check(T value) {
        MicrobatchException refusal = core.check(value);
        if (refusal != null) {
            throw refusal;
        }
    }

    // ---- pushing many ----

    /**
     * Pushes many integers, as if one by one: stops at the first that is refused.
     *
     * @param values the values
     * @param firstTag the tag of the first; the others count up
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(long[] values, long firstTag) {
        Many.int64s(core, values, null, firstTag);
    }

    /**
     * Pushes many integers with a tag for each.
     *
     * @param values the values
     * @param tags as many as there are values
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(long[] values, long[] tags) {
        Many.int64s(core, values, Objects.requireNonNull(tags, "tags"), 0);
    }

    /**
     * Pushes many floating-point numbers.
     *
     * @param values the values
     * @param firstTag the tag of the first; the others count up
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(double[] values, long firstTag) {
        Many.float64s(core, values, null, firstTag);
    }

    /**
     * Pushes many floating-point numbers with a tag for each.
     *
     * @param values the values
     * @param tags as many as there are values
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(double[] values, long[] tags) {
        Many.float64s(core, values, Objects.requireNonNull(tags, "tags"), 0);
    }

    /**
     * Pushes many values of any kinds.
     *
     * @param values the values; {@code null} among them is the value null
     * @param firstTag the tag of the first; the others count up
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(List<? extends T> values, long firstTag) {
        Many.rows(core, values, null, firstTag);
    }

    /**
     * Pushes many values of any kinds with a tag for each.
     *
     * @param values the values; {@code null} among them is the value null
     * @param tags as many as there are values
     * @throws PushManyException with how many were taken, if one was refused
     */
    public void pushMany(List<? extends T> values, long[] tags) {
        Many.rows(core, values, Objects.requireNonNull(tags, "tags"), 0);
    }

    /**
     * A buffer for one thread that pushes what it collects in one crossing.
     *
     * @param capacity how many values it collects, 1 to 1048576
     * @return the appender, to be closed
     */
    public Appender appender(int capacity) {
        return new Appender(core, capacity);
    }

    /**
     * A way in for one thread at a time, faster and without order between producers.
     *
     * @return the producer, to be closed
     * @throws MicrobatchException CLOSED, NO_MEMORY
     */
    public Producer<T> producer() {
        long[] out = new long[1];
        refuse(Native.producerNew(core, core.host, out));
        return new Producer<>(core, out[0]);
    }

    // ---- flow ----

    /**
     * Cancels every waiting value with this tag.
     *
     * @param tag the tag
     * @return how many there were, at least 1
     * @throws MicrobatchException TOO_LATE if one is in flight and none waits; NOT_FOUND
     */
    public long cancel(long tag) {
        long[] out = new long[1];
        refuse(Native.cancel(core, core.host, tag, out));
        return out[0];
    }

    /**
     * Waits until there is room for a value, without pushing one.
     *
     * @param timeout how long; in callbacks and in manual mode it never waits
     * @throws MicrobatchException what is lacking: QUEUE_FULL, QUEUE_FULL_BYTES, RESULTS_FULL; CLOSED
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void room(Duration timeout) throws InterruptedException {
        int[] status = {Native.room(core, core.host, 0)};
        long nanos = positive(timeout);
        if (Status.isFull(status[0]) && nanos > 0 && !core.settings.manual && !core.inCallback()) {
            core.waits.await(() -> !Status.isFull(status[0] = Native.room(core, core.host, 0)), nanos);
        }
        refuse(status[0]);
    }

    static long positive(Duration timeout) {
        if (timeout.isNegative()) {
            throw new IllegalArgumentException("timeout = " + timeout + ": a time from zero on is expected");
        }
        return nanos(timeout);
    }

    /**
     * Closes the open batch and does not wait.
     *
     * @throws MicrobatchException CLOSED
     */
    public void seal() {
        refuse(Native.seal(core, core.host));
    }

    /**
     * Seals and waits until every value accepted before is delivered: its future completed and its onResult returned. In
     * manual mode it does what {@link #run} does and never waits.
     *
     * @param timeout how long
     * @throws MicrobatchException TIMEOUT; IN_PROGRESS in manual mode, or with no time, if something is left; CLOSED; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void flush(Duration timeout) throws InterruptedException {
        long nanos = positive(timeout);
        if (core.settings.manual) {
            driven(Native.flush(core, core.host, nanos));
            return;
        }
        core.refuseInCallback("flush");
        Flush.await(core, flushBegin(), nanos);
    }

    /**
     * The first half of a flush: seals, and marks the place behind everything accepted so far.
     *
     * @return the mark
     * @throws MicrobatchException CLOSED
     */
    public Mark flushBegin() {
        long[] out = new long[1];
        refuse(Native.flushBegin(core, core.host, out));
        return new Mark(out[0]);
    }

    /**
     * The second half: waits until everything before the mark is delivered.
     *
     * @param mark the place
     * @param timeout how long
     * @throws MicrobatchException TIMEOUT; IN_PROGRESS in manual mode, or with no time, if something is left; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void flushEnd(Mark mark, Duration timeout) throws InterruptedException {
        long nanos = positive(timeout);
        if (core.settings.manual) {
            driven(Native.flushEnd(core, core.host, mark.number(), nanos));
            return;
        }
        core.refuseInCallback("flushEnd");
        Flush.await(core, mark, nanos);
    }

    // ---- manual mode ----

    /**
     * Does everything that is due now, in manual mode: deadlines, time-outs, handlers, results.
     *
     * @throws MicrobatchException WRONG_MODE in threaded mode; REENTRANT; CLOSED
     */
    public void run() {
        driven(Native.run(core, core.host));
    }

    /**
     * Sets a given clock. Backwards is ignored, and nothing else happens before {@link #run}.
     *
     * @param now the time since zero
     * @throws MicrobatchException WRONG_MODE unless {@code clock} is {@code given}; REENTRANT; CLOSED
     */
    public void advance(Duration now) {
        driven(Native.advance(core, core.host, nanos(now)));
    }

    /**
     * When {@link #run} or a pull will have something to do, on the batcher's clock.
     *
     * @return the time, not after {@link #now} if there is something already, {@link #FOREVER} if nothing is in sight
     */
    public Duration nextDue() {
        long[] out = new long[1];
        refuse(Native.nextDue(core, core.host, out));
        return out[0] == Core.FOREVER ? FOREVER : Duration.ofNanos(out[0]);
    }

    /**
     * The time on the batcher's clock.
     *
     * @return the time since its zero
     */
    public Duration now() {
        long[] out = new long[1];
        refuse(Native.now(core, core.host, out));
        return Duration.ofNanos(out[0]);
    }

    // ---- pulling ----

    /**
     * Takes a whole batch from a batcher without handlers.
     *
     * @param timeout how long to wait for one; manual mode never waits
     * @return the batch, to be completed
     * @throws MicrobatchException TIMEOUT if none came; CLOSED if the batcher is closed and nothing waits; WRONG_MODE if it has
     *     handlers; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public HeldBatch<T> nextBatch(Duration timeout) throws InterruptedException {
        if (core.settings.hasHandlers()) {
            throw MicrobatchException.of(Status.WRONG_MODE, "this batcher has handlers, which take its batches");
        }
        return Pulls.batch(core, timeout);
    }

    /**
     * Takes the next set of results from a batcher with {@code results = pull}.
     *
     * @param timeout how long to wait for one; manual mode never waits
     * @return the set
     * @throws MicrobatchException TIMEOUT if none came; CLOSED if the batcher is closed and all results were taken; WRONG_MODE
     *     unless {@code results} is {@code pull}; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public Results<R> nextResults(Duration timeout) throws InterruptedException {
        return nextResults(timeout, results -> {});
    }

    /**
     * Takes the next set of results and looks at it before the objects in it are given back.
     *
     * @param timeout how long to wait for one; manual mode never waits
     * @param consumer looks at the set
     * @return the set
     * @throws MicrobatchException as {@link #nextResults(Duration)}
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public Results<R> nextResults(Duration timeout, java.util.function.Consumer<? super Results<R>> consumer)
            throws InterruptedException {
        return Pulls.results(core, timeout, consumer);
    }

    // ---- seeing ----

    /**
     * Takes a snapshot.
     *
     * @return the numbers
     * @throws MicrobatchException CLOSED after {@link #close()}
     */
    public Stats stats() {
        long[] numbers = new long[Stats.NUMBERS];
        core.drainLog();
        refuse(Native.stats(core, core.host, numbers));
        return Stats.read(numbers);
    }

    /**
     * A snapshot as text for Prometheus.
     *
     * @return the text
     * @throws MicrobatchException CLOSED after {@link #close()}
     */
    public String statsText() {
        byte[] text = Native.statsText(core, core.host);
        if (text == null) {
            throw MicrobatchException.of(Status.CLOSED);
        }
        return Text.decode(text, 0, text.length);
    }

    // ---- sharing ----

    /**
     * The address of an {@code mb_shared}: this batcher together with the functions of its copy of the library, for native
     * code that pushes into it.
     *
     * @return the address, good until the batcher is closed: the other side must be done with it before
     * @throws MicrobatchException CLOSED
     */
    public long shared() {
        long address = Native.share(core, core.host);
        if (address == 0) {
            throw MicrobatchException.of(Status.CLOSED);
        }
        return address;
    }

    /**
     * Takes up a batcher that lives in another copy of the library, in the same process. Its owner goes on owning it:
     * {@link #close()} only lets go of it. Its results go where its owner said; with {@code results = pull} they can be pulled
     * here, and without handlers its batches.
     *
     * <p>A push waits in native code if that batcher blocks.
     *
     * @param shared the address of an {@code mb_shared}
     * @param <T> what is pushed
     * @param <R> what comes back
     * @return the batcher, to be closed before its owner frees it
     * @throws MicrobatchException INVALID_ARGUMENT if there is no mb_shared; INVALID_HANDLE if there is no such batcher;
     *     UNSUPPORTED if that library is too old or too new
     */
    public static <T, R> Batcher<T, R> attach(long shared) {
        long[] out = new long[1];
        refuse(Native.attach(shared, out));
        Core.Settings settings = new Core.Settings();
        settings.attached = true;
        return new Batcher<>(new Core(out[0], 0, settings));
    }

    // ---- map ----

    /**
     * Handles known values in batches, on the calling thread, without a batcher.
     *
     * @param values the values
     * @param split how to divide them
     * @param handler handles a batch after the other
     * @param <T> what is mapped
     * @param <R> what comes back
     * @return the results, in the order of the values
     * @throws MapException if values failed; it has all results
     */
    public static <T, R> List<R> map(List<? extends T> values, Split split, Handler<T, R> handler) {
        return Maps.values(Maps.rows(values, split, Work.of(handler)));
    }

    /**
     * Handles known integers in batches.
     *
     * @param values the values
     * @param split how to divide them
     * @param handler handles a batch after the other
     * @param <R> what comes back
     * @return the results, in the order of the values
     * @throws MapException if values failed; it has all results
     */
    public static <R> Results<R> map(long[] values, Split split, BatchHandler<Long> handler) {
        return Maps.whole(
                Maps.map(
                        Work.ofBatch(handler),
                        (core, info, error) ->
                                Native.mapInt64s(core, core.host, values, split.size, split.batches, info, error)));
    }

    /**
     * Handles known floating-point numbers in batches.
     *
     * @param values the values
     * @param split how to divide them
     * @param handler handles a batch after the other
     * @param <R> what comes back
     * @return the results, in the order of the values
     * @throws MapException if values failed; it has all results
     */
    public static <R> Results<R> map(double[] values, Split split, BatchHandler<Double> handler) {
        return Maps.whole(
                Maps.map(
                        Work.ofBatch(handler),
                        (core, info, error) ->
                                Native.mapFloat64s(core, core.host, values, split.size, split.batches, info, error)));
    }

    /**
     * Handles known values in batches, with a handler that sets results itself.
     *
     * @param values the values
     * @param split how to divide them
     * @param handler handles a batch after the other
     * @param <T> what is mapped
     * @param <R> what comes back
     * @return the results, in the order of the values
     * @throws MapException if values failed; it has all results
     */
    public static <T, R> Results<R> mapBatches(List<? extends T> values, Split split, BatchHandler<T> handler) {
        return Maps.whole(Maps.rows(values, split, Work.ofBatch(handler)));
    }

    // ---- the end ----

    /**
     * Stops acceptance at once, waits until every value has its outcome and every result is delivered, and discards what is
     * left when the time has come. The batcher still answers {@link #stats} afterwards; {@link #close()} gives it back. Of an
     * attached batcher it closes the batcher itself, as its owner would.
     *
     * @param timeout how long; zero discards at once
     * @return how many values were discarded
     * @throws MicrobatchException IN_PROGRESS in a callback, where it only begins, or in manual mode if something is left;
     *     TIMEOUT if nothing was discarded but an onResult outlasts the time; CLOSED after {@link #close()}
     * @throws InterruptedException if the thread is interrupted while it waits; the close goes on
     */
    public long close(Duration timeout) throws InterruptedException {
        long nanos = positive(timeout);
        boolean inCallback = !core.settings.manual && core.inCallback();
        Closing closing = Closing.begin(core, nanos);
        if (inCallback) {
            refuse(Status.IN_PROGRESS);
        }
        closing.await();
        core.drainLog();
        if (closing.left() == 0) {
            refuse(closing.status());
        }
        return closing.left();
    }

    /**
     * Closes with {@code close_timeout} and gives everything back. What is left then is discarded and reported by the logger
     * {@code io.microbatch}. An interrupt ends the draining and stays set. In a callback of the batcher it does not wait: the
     * batcher goes when the callback has returned. Closing again does nothing.
     */
    @Override
    public void close() {
        if (ending.begin()) {
            cleanable.clean();
            ending.end(core.settings.closeTimeout, core.inCallback());
        }
    }

    /** Gives everything back without draining: outstanding values are discarded. Does not wait for handlers that run. */
    public void abandon() {
        if (ending.begin()) {
            cleanable.clean();
            ending.end(0, true);
        }
    }

    @Override
    public String toString() {
        return "Batcher[" + Long.toHexString(Objects.hash(core.host)) + "]";
    }
}
