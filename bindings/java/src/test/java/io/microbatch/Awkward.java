package io.microbatch;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The awkward values of awkward.h: value i is pushed with tag i and must arrive to the last bit. */
final class Awkward {
    static final List<Object> VALUES =
            Collections.unmodifiableList(
                    Arrays.asList(
                            null,
                            false,
                            true,
                            Long.MIN_VALUE,
                            Long.MAX_VALUE,
                            -1L,
                            0L,
                            -0.0,
                            Double.longBitsToDouble(0x7ff8_dead_beef_0001L),
                            Double.NEGATIVE_INFINITY,
                            Double.MIN_VALUE,
                            Double.MAX_VALUE,
                            "",
                            "\0",
                            "a\0b",
                            "\uD83D\uDE00",
                            "\u00e9",
                            "\uDBFF\uDFFF",
                            "\uFEFF",
                            new byte[0],
                            new byte[] {0, -1, -128},
                            new byte[] {(byte) 0xED, (byte) 0xA0, (byte) 0x80, (byte) 0xC0, (byte) 0x80}));

    private Awkward() {}

    static boolean is(int tag, Object value) {
        Object expected = VALUES.get(tag);
        if (expected instanceof Double number) {
            return value instanceof Double other
                    && Double.doubleToRawLongBits(number) == Double.doubleToRawLongBits(other);
        }
        return expected instanceof byte[] bytes
                ? value instanceof byte[] other && Arrays.equals(bytes, other)
                : expected == null ? value == null : expected.equals(value);
    }
}
