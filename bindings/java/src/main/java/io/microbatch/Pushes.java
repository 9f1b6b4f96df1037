package io.microbatch;

import static io.microbatch.Given.given;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** The ways into a batcher. */
abstract sealed class Pushes<T, R> permits Flow {
    final Core core;

    Pushes(Core core) {
        this.core = core;
    }

    /**
     * Pushes a value and gives a future of its result. Cancelling the future cancels the value if it still waits.
     *
     * <p>The future completes on the thread that takes results, or inside {@link Batcher#run}, {@link Batcher#flush} or close in manual
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
        return submit(value, Times.nanos("within", within));
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
        int status = core.push(value, tag, Times.nanos("within", within));
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
        Many.int64s(core, values, given(tags, "tags", "a tag for each value"), 0);
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
        Many.float64s(core, values, given(tags, "tags", "a tag for each value"), 0);
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
        Many.rows(core, values, given(tags, "tags", "a tag for each value"), 0);
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
        Status.check(Native.producerNew(core, core.host, out));
        return new Producer<>(core, out[0]);
    }
}
