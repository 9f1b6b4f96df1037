package io.microbatch;

import java.time.Duration;

/** Times of Java as the library counts them. */
final class Times {
    private Times() {}

    /** Nanoseconds of a time, at most FOREVER. */
    static long nanos(Duration time) {
        try {
            return time.toNanos();
        } catch (ArithmeticException tooLong) {
            return time.isNegative() ? -Core.FOREVER : Core.FOREVER;
        }
    }

    static long positive(Duration timeout) {
        if (timeout.isNegative()) {
            throw new IllegalArgumentException("timeout = " + timeout + ": a time from zero on is expected");
        }
        return nanos(timeout);
    }
}
