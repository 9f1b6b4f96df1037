package io.microbatch;

import java.util.Arrays;

/**
 * The rows of a batch or of a set of results. Columns are copied out of the engine when they are first asked for, in one
 * crossing each, and stay readable afterwards.
 */
final class Columns {
    private final Loan loan;
    final int size;
    final int kind;

    private volatile long[] tags;
    private volatile long[] cells;
    private volatile byte[] kinds;
    private volatile Strings strings;
    private volatile Object[] objects;

    private record Strings(byte[] bytes, int[] offsets) {}

    /** kind: of all rows, or MIXED. */
    Columns(Loan loan, int size, int kind) {
        this.loan = loan;
        this.size = size;
        this.kind = kind;
    }

    int checked(int row) {
        if (row < 0 || row >= size) {
            throw new IndexOutOfBoundsException("row = " + row + ": 0 to " + (size - 1) + " are expected");
        }
        return row;
    }

    /** Not to be changed: what is handed out is a copy. */
    long[] tags() {
        long[] loaded = tags;
        if (loaded == null) {
            loaded = new long[size];
            loan.columns(loaded, null, null, null, null);
            tags = loaded;
        }
        return loaded;
    }

    /** Not to be changed. */
    long[] cells() {
        long[] loaded = cells;
        if (loaded == null) {
            loaded = new long[size];
            loan.columns(null, loaded, null, null, null);
            cells = loaded;
        }
        return loaded;
    }

    /** Not to be changed. */
    byte[] kinds() {
        byte[] loaded = kinds;
        if (loaded == null) {
            loaded = new byte[size];
            if (kind == Kind.MIXED) {
                loan.columns(null, null, loaded, null, null);
            } else {
                Arrays.fill(loaded, (byte) kind);
            }
            kinds = loaded;
        }
        return loaded;
    }

    private Strings strings() {
        Strings loaded = strings;
        if (loaded == null) {
            int[] offsets = new int[size + 1];
            loaded = new Strings(loan.strings(offsets), offsets);
            strings = loaded;
        }
        return loaded;
    }

    private Object object(int row) {
        Object[] loaded = objects;
        return loaded == null ? loan.object(row, cells()[row]) : loaded[row];
    }

    int kind(int row) {
        return kind == Kind.MIXED ? kinds()[row] : kind;
    }

    /** The value of a row that has one. */
    Object value(int row) {
        int kind = kind(row);
        if (kind == INT64) {
            return cells()[row];
        }
        return switch (Kind.ALL[kind]) {
            case NULL -> null;
            case BOOL -> cells()[row] != 0;
            case INT64 -> cells()[row];
            case FLOAT64 -> Double.longBitsToDouble(cells()[row]);
            case STRING -> {
                Strings all = strings();
                yield Text.decode(all.bytes, all.offsets[row], all.offsets[row + 1]);
            }
            case BYTES -> {
                Strings all = strings();
                yield Arrays.copyOfRange(all.bytes, all.offsets[row], all.offsets[row + 1]);
            }
            case OBJECT -> object(row);
        };
    }

    private static final int INT64 = Kind.INT64.ordinal();

    /** An array of the caller's own: straight from the engine, unless it is here already. */
    long[] int64s() {
        require(Kind.INT64);
        long[] here = cells;
        if (here != null) {
            return here.clone();
        }
        long[] loaded = new long[size];
        loan.columns(null, loaded, null, null, null);
        return loaded;
    }

    /** The same. */
    double[] float64s() {
        require(Kind.FLOAT64);
        long[] here = cells;
        double[] numbers = new double[size];
        if (here == null) {
            loan.doubles(numbers);
        } else {
            for (int row = 0; row < size; row++) {
                numbers[row] = Double.longBitsToDouble(here[row]);
            }
        }
        return numbers;
    }

    private void require(Kind needed) {
        if (kind != needed.ordinal()) {
            throw new IllegalStateException(
                    "the rows are "
                            + (kind == Kind.MIXED ? "of several kinds, or failed" : "of kind " + Kind.of(kind))
                            + ", not "
                            + needed);
        }
    }

    static boolean isText(int kind) {
        return kind == Kind.STRING.ordinal() || kind == Kind.BYTES.ordinal();
    }

    private boolean has(boolean text) {
        if (kind != Kind.MIXED) {
            return text ? isText(kind) : kind == Kind.OBJECT.ordinal();
        }
        for (byte each : kinds()) {
            if (text ? isText(each) : each == Kind.OBJECT.ordinal()) {
                return true;
            }
        }
        return false;
    }

    /** Reads everything, so that it can be read when the engine has it no more. */
    void load() {
        tags();
        cells();
        kinds();
        if (has(true)) {
            strings();
        }
    }

    /** And the objects, whose references end with the loan. */
    void loadObjects() {
        if (objects == null && has(false)) {
            Object[] loaded = new Object[size];
            for (int row = 0; row < size; row++) {
                if (kind(row) == Kind.OBJECT.ordinal()) {
                    loaded[row] = loan.object(row, cells()[row]);
                }
            }
            objects = loaded;
        }
    }
}
