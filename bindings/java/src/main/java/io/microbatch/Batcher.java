package io.microbatch;

import static io.microbatch.Given.given;

import java.lang.ref.Cleaner;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

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
public final class Batcher<T, R> extends Flow<T, R> implements AutoCloseable {
    /** No time limit. */
    public static final Duration FOREVER = Duration.ofSeconds(Long.MAX_VALUE, 999_999_999);

    private final Ending ending;
    private final Cleaner.Cleanable cleanable;

    Batcher(Core core) {
        super(core);
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
        return Pulls.results(core, timeout, given(consumer, "consumer", "a function"));
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
        Status.check(Native.stats(core, core.host, numbers));
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
        Status.check(Native.attach(shared, out));
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
        return Maps.values(Maps.rows(values, split, Work.of(Maps.given(values, split, handler))));
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
                        Work.ofBatch(Maps.given(values, split, handler)),
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
                        Work.ofBatch(Maps.given(values, split, handler)),
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
        return Maps.whole(Maps.rows(values, split, Work.ofBatch(Maps.given(values, split, handler))));
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
        long nanos = Times.positive(timeout);
        boolean inCallback = !core.settings.manual && core.inCallback();
        Closing closing = Closing.begin(core, nanos);
        if (inCallback) {
            Status.check(Status.IN_PROGRESS);
        }
        closing.await();
        core.drainLog();
        if (closing.left() == 0) {
            Status.check(closing.status());
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
