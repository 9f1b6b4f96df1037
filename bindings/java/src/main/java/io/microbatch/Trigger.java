package io.microbatch;

/** Why a batch was sealed. */
public enum Trigger {
    /** It held {@code max_batch_size} values. */
    SIZE,
    /** The next value would have passed {@code max_batch_bytes}. */
    BYTES,
    /** Its first value had waited for {@code max_delay}. */
    DELAY,
    /** {@code max_delay} is 0 and a slot was free. */
    IDLE,
    /** A push had found no room. */
    FULL,
    /** Somebody called seal or flush. */
    FLUSH,
    /** The batcher was closed. */
    CLOSE;

    static final Trigger[] ALL = values();

    /** The trigger with this code; map's batches have none and count as SIZE. */
    static Trigger of(int code) {
        return code >= 1 && code <= ALL.length ? ALL[code - 1] : SIZE;
    }
}
