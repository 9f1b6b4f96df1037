package io.microbatch;

/** Refuses what callers must not leave out, by its name and with what would be accepted. */
final class Given {
    private Given() {}

    static <V> V given(V value, String name, String expected) {
        if (value == null) {
            throw new NullPointerException(name + " = null: " + expected + " is expected");
        }
        return value;
    }
}
