package io.microbatch;

import static io.microbatch.Given.given;

import java.time.Duration;

/** Times of Java as the library counts them. */
final class Times {
    private Times() {}

    /** Nanoseconds of a time, at most FOREVER. */
    static long nanos(String name, Duration time) {
        given(time, name, "a Duration");
        try {
            return time.toNanos();
        } catch (ArithmeticException tooLong) {
            return time.isNegative() ? -Core.FOREVER : Core.FOREVER;
        }
    }

    /** The same of a wait. */
    static long positive(Duration timeout) {
        long nanos = nanos("timeout", timeout);
        if (nanos < 0) {
            throw new IllegalArgumentException("timeout = " + timeout + ": a time from zero on is expected");
        }
        return nanos;
    }
}
