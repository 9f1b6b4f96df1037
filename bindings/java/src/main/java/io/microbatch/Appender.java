package io.microbatch;

import static io.microbatch.Given.given;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Collects values of one thread in a direct buffer and pushes them in one crossing, when the buffer is full or when
 * {@link #flush()} is called: {@link Batcher#appender(int)}. What is collected waits for neither time nor size of the
 * batcher: it is not pushed yet.
 *
 * <p>For one thread at a time.
 */
public final class Appender implements AutoCloseable {
    private static final int VALUE = 24;
    private static final int TAG = 8;

    private final Core core;
    private final int capacity;
    private final int textCapacity;
    private final ByteBuffer buffer;
    private final long address;
    private int count;
    private int textLength;
    private boolean closed;

    /** Layout: the values, laid out as mb_value; their tags; the bytes of their strings. */
    Appender(Core core, int capacity) {
        if (capacity < 1 || capacity > 1 << 20) {
            throw new IllegalArgumentException("capacity = " + capacity + ": 1 to 1048576 values are expected");
        }
        this.core = core;
        this.capacity = capacity;
        textCapacity = 64 * capacity;
        buffer = ByteBuffer.allocateDirect(capacity * (VALUE + TAG) + textCapacity).order(ByteOrder.nativeOrder());
        address = Native.bufferAddress(buffer);
    }

    /**
     * Appends an integer.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if the buffer was full and could not be pushed: the value is not appended
     */
    public void append(long value, long tag) {
        put(Kind.INT64, value, 0, tag);
    }

    /**
     * Appends a floating-point number.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if the buffer was full and could not be pushed: the value is not appended
     */
    public void append(double value, long tag) {
        put(Kind.FLOAT64, Double.doubleToRawLongBits(value), 0, tag);
    }

    /**
     * Appends a string.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if the buffer was full and could not be pushed, or INVALID_UTF8: the value is not appended
     */
    public void append(String value, long tag) {
        putBytes(Kind.STRING, Text.encode(given(value, "value", "a String")), tag);
    }

    /**
     * Appends bytes.
     *
     * @param value the value
     * @param tag comes back with the result
     * @throws MicrobatchException if the buffer was full and could not be pushed: the value is not appended
     */
    public void append(byte[] value, long tag) {
        putBytes(Kind.BYTES, given(value, "value", "a byte[]"), tag);
    }

    private void checkOpen() {
        if (closed) {
            throw MicrobatchException.of(Status.CLOSED, "the appender is closed, and pushes nothing any more");
        }
    }

    private void putBytes(Kind kind, byte[] bytes, long tag) {
        checkOpen();
        core.checkTag(tag);
        if (bytes.length > textCapacity - textLength) {
            flush();
        }
        if (bytes.length > textCapacity) {
            // It fits in no buffer: it goes by itself, after what came before.
            Object value = kind == Kind.BYTES ? bytes : Text.decode(bytes, 0, bytes.length);
            int status = core.push(value, tag, Core.NO_DEADLINE);
            if (status != Status.OK) {
                throw core.refusal(status, value);
            }
            return;
        }
        if (count == capacity) {
            flush();
        }
        int at = capacity * (VALUE + TAG) + textLength;
        buffer.put(at, bytes);
        put(kind, address + at, bytes.length, tag);
        textLength += bytes.length;
    }

    private void put(Kind kind, long first, long second, long tag) {
        checkOpen();
        core.checkTag(tag);
        if (count == capacity) {
            flush();
        }
        int at = count * VALUE;
        buffer.putLong(at, kind.ordinal());
        buffer.putLong(at + 8, first);
        buffer.putLong(at + 16, second);
        buffer.putLong(capacity * VALUE + count * TAG, tag);
        count++;
    }

    /**
     * How many values are collected and not pushed yet.
     *
     * @return 0 to the capacity
     */
    public int size() {
        return count;
    }

    /**
     * Pushes what is collected. What is refused stays collected, and what was taken before it does not.
     *
     * @throws MicrobatchException why the first value that is still there was refused
     */
    public void flush() {
        if (count == 0) {
            return;
        }
        int[] done = {0};
        int status = core.waits.push(pushFrom(done, false), last -> pushFrom(done, last));
        if (status != Status.OK) {
            removeFirst(done[0]);
            throw MicrobatchException.of(status);
        }
        count = 0;
        textLength = 0;
    }

    private int pushFrom(int[] done, boolean last) {
        long values = address + (long) done[0] * VALUE;
        long tags = address + (long) capacity * VALUE + (long) done[0] * TAG;
        long answer = Native.pushStaged(core, core.host, values, tags, count - done[0], last);
        done[0] += (int) answer;
        return (int) (answer >> 32);
    }

    private void removeFirst(int taken) {
        for (int at = taken; at < count; at++) {
            for (int word = 0; word < VALUE; word += 8) {
                buffer.putLong((at - taken) * VALUE + word, buffer.getLong(at * VALUE + word));
            }
            int tags = capacity * VALUE;
            buffer.putLong(tags + (at - taken) * TAG, buffer.getLong(tags + at * TAG));
        }
        count -= taken;
    }

    /**
     * Pushes what is collected; appending answers CLOSED from then on.
     *
     * @throws MicrobatchException as {@link #flush}: the appender is open still, and has what was refused
     */
    @Override
    public void close() {
        flush();
        closed = true;
    }
}
