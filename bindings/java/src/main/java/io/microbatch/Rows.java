package io.microbatch;

import java.util.Arrays;
import java.util.List;

/**
 * Values of any kinds on their way to the engine in one crossing: three longs each, laid out as an mb_value, whose strings
 * begin at offsets into one array of bytes.
 */
final class Rows {
    private final Core core;
    long[] words;
    int count;
    byte[] data = new byte[0];
    private int length;

    Rows(Core core, int capacity) {
        this.core = core;
        words = new long[3 * capacity];
    }

    /** All of them, or, with an exception, none: references taken on the way are given up. */
    static Rows of(Core core, List<?> values) {
        Rows rows = new Rows(core, values.size());
        boolean all = false;
        try {
            for (Object value : values) {
                rows.add(value);
            }
            all = true;
        } finally {
            if (!all) {
                rows.giveUp(0);
            }
        }
        return rows;
    }

    static Rows of(Core core, Object value) {
        Rows rows = new Rows(core, 1);
        rows.add(value);
        return rows;
    }

    void add(Object value) {
        if (value == null) {
            put(Kind.NULL, 0, 0, 0);
        } else if (value instanceof Long number) {
            put(Kind.INT64, 0, number, 0);
        } else if (value instanceof Integer || value instanceof Short || value instanceof Byte) {
            put(Kind.INT64, 0, ((Number) value).longValue(), 0);
        } else if (value instanceof Double || value instanceof Float) {
            put(Kind.FLOAT64, 0, Double.doubleToRawLongBits(((Number) value).doubleValue()), 0);
        } else if (value instanceof Boolean truth) {
            put(Kind.BOOL, 0, truth ? 1 : 0, 0);
        } else if (value instanceof String text) {
            putBytes(Kind.STRING, Text.encode(text));
        } else if (value instanceof byte[] bytes) {
            putBytes(Kind.BYTES, bytes);
        } else if (value instanceof ForeignObject foreign) {
            if (foreign.owner() == core.owner && core.owner != 0) {
                throw MicrobatchException.of(
                        Status.WRONG_OWNER, foreign + " claims to be this batcher's own, which are pushed as what they are");
            }
            put(Kind.OBJECT, foreign.owner(), foreign.word(), foreign.size());
        } else {
            // Somebody else's batcher has no table here, and refuses the object as nobody's.
            long size = core.sizeOf(value);
            put(Kind.OBJECT, core.owner, core.owner == 0 ? 0 : core.slots.add(value), size);
        }
    }

    private void put(Kind kind, int owner, long first, long second) {
        int at = 3 * count++;
        words[at] = (long) owner << 32 | kind.ordinal();
        words[at + 1] = first;
        words[at + 2] = second;
    }

    private void putBytes(Kind kind, byte[] bytes) {
        int needed = Math.addExact(length, bytes.length);
        if (needed > data.length) {
            data = count == 0 && words.length == 3 ? bytes : Arrays.copyOf(data, Math.max(needed, 2 * data.length));
        }
        if (data != bytes) {
            System.arraycopy(bytes, 0, data, length, bytes.length);
        }
        put(kind, 0, length, bytes.length);
        length = needed;
    }

    long head() {
        return words[0];
    }

    long first() {
        return words[1];
    }

    long second() {
        return words[2];
    }

    Kind kind(int row) {
        return Kind.ALL[(int) words[3 * row]];
    }

    /** Rows from this one on were refused: their references are Java's again. */
    void giveUp(int from) {
        for (int row = from; row < count; row++) {
            long head = words[3 * row];
            if ((int) head == Kind.OBJECT.ordinal() && (int) (head >>> 32) == core.owner && core.owner != 0) {
                core.slots.remove(words[3 * row + 1]);
            }
        }
    }
}
