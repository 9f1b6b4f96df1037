package io.microbatch;

import java.lang.ref.Reference;
import java.time.Duration;

/**
 * A way into a batcher for one thread at a time: {@link Batcher#producer()}. Values pushed through it keep their order; that
 * among several producers, and between them and the batcher's own pushes, is given up for speed.
 *
 * @param <T> what is pushed
 */
public final class Producer<T> implements AutoCloseable {
    private final Core core;
    private final long producer;

    private record Memory(long producer) implements Runnable {
        @Override
        public void run() {
            Native.producerFree(producer);
        }
    }

    Producer(Core core, long producer) {
        this.core = core;
        this.producer = producer;
        Core.CLEANER.register(this, new Memory(producer));
    }

    /**
     * Pushes an integer.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if it is refused, as {@link Batcher#push(Object, long)}
     */
    public void pushInt64(long value, long tag) {
        core.checkTag(tag);
        int status =
                core.direct
                        ? Direct.producerPushInt64(producer, value, tag)
                        : Native.producerPushInt64(producer, value, tag);
        Reference.reachabilityFence(this);
        if (status != Status.OK) {
            again(status, Kind.INT64, value, value, tag);
        }
    }

    /**
     * Pushes a floating-point number.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if it is refused, as {@link Batcher#push(Object, long)}
     */
    public void pushFloat64(double value, long tag) {
        core.checkTag(tag);
        int status =
                core.direct
                        ? Direct.producerPushFloat64(producer, value, tag)
                        : Native.producerPushFloat64(producer, value, tag);
        Reference.reachabilityFence(this);
        if (status != Status.OK) {
            again(status, Kind.FLOAT64, Double.doubleToRawLongBits(value), value, tag);
        }
    }

    /** A number was not taken: it may be later. */
    private void again(int status, Kind kind, long cell, Object value, long tag) {
        int last =
                core.waits.push(
                        status,
                        refuse ->
                                Native.producerPush(
                                        this,
                                        producer,
                                        kind.ordinal(),
                                        cell,
                                        0,
                                        null,
                                        tag,
                                        Core.NO_DEADLINE,
                                        refuse));
        if (last != Status.OK) {
            throw core.refusal(last, value);
        }
    }

    /**
     * Pushes a value of any kind.
     *
     * @param value the value, or {@code null}
     * @param tag comes back with the result
     * @throws MicrobatchException if it is refused, as {@link Batcher#push(Object, long)}
     */
    public void push(T value, long tag) {
        core.checkTag(tag);
        push(value, tag, Core.NO_DEADLINE);
    }

    /**
     * Pushes a value with a deadline.
     *
     * @param value the value, or {@code null}
     * @param tag comes back with the result
     * @param within the value expires if it still waits after this time
     * @throws MicrobatchException if it is refused, as {@link Batcher#push(Object, long)}
     */
    public void push(T value, long tag, Duration within) {
        core.checkTag(tag);
        push(value, tag, Times.nanos("within", within));
    }

    private void push(T value, long tag, long within) {
        Rows rows = Rows.of(core, value);
        int status = Status.INVALID_ARGUMENT;
        try {
            status = core.waits.push(pushRow(rows, tag, within, false), last -> pushRow(rows, tag, within, last));
        } finally {
            if (status != Status.OK) {
                rows.giveUp(0);
            }
        }
        if (status != Status.OK) {
            throw core.refusal(status, value);
        }
    }

    private int pushRow(Rows rows, long tag, long within, boolean last) {
        byte[] data = Columns.isText((int) rows.head()) ? rows.data : null;
        return Native.producerPush(
                this, producer, rows.head(), rows.first(), rows.second(), data, tag, within, last);
    }

    /** Frees the producer; what it pushed goes its way, and pushes answer CLOSED from now on. */
    @Override
    public void close() {
        // The memory stays until nobody can push through it: the Cleaner gives it back.
        Native.producerClose(this, producer);
    }
}
