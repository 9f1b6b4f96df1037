package io.microbatch;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.Map;

/**
 * A set of results: those of a batch, or of values that were never dispatched. It is a list of its rows; the columns are
 * there for bulk.
 *
 * <p>A set is a copy: it may be kept, and read by any thread.
 *
 * @param <R> what comes back
 */
public final class Results<R> extends AbstractList<Result<R>> {
    /** Numbers in which native calls tell of a set: handle, size, kind, whether all are OK, batch, turn. */
    static final int INFO = 6;

    private final int size;
    private final int kind;
    private final boolean allOk;
    private final long batch;
    private final long[] tags;
    private final long[] cells;
    private byte[] kinds;
    private byte[] outcomes;
    private byte[] handled;
    private int[] offsets;
    private byte[] bytes;
    private Object[] objects;
    private MicrobatchException[] errors;

    /** Copies a set out of the engine. */
    Results(Core core, long[] info) {
        long handle = info[0];
        size = (int) info[1];
        kind = (int) info[2];
        allOk = info[3] != 0;
        batch = info[4];
        tags = new long[size];
        cells = new long[size];
        if (kind == Kind.MIXED) {
            kinds = new byte[size];
        }
        if (!allOk) {
            outcomes = new byte[size];
            handled = new byte[size];
        }
        int status = Native.resultsColumns(core, core.host, handle, tags, cells, kinds, outcomes, handled);
        if (status != Status.OK) {
            throw MicrobatchException.of(status);
        }
        boolean text = Batch.isText(kind);
        boolean object = kind == Kind.OBJECT.ordinal();
        for (int row = 0; kinds != null && row < size; row++) {
            text |= Batch.isText(kinds[row]);
            object |= kinds[row] == Kind.OBJECT.ordinal();
        }
        if (text) {
            int[] ends = new int[size + 1];
            bytes = Native.resultsStrings(core, core.host, handle, ends);
            offsets = ends;
        }
        if (object) {
            takeObjects(core, handle);
        }
        Map<String, Throwable> thrown = core.thrown.take(batch);
        if (!allOk) {
            takeErrors(core, handle, thrown);
        }
    }

    private void takeObjects(Core core, long handle) {
        objects = new Object[size];
        for (int row = 0; row < size; row++) {
            if (kindOf(row) != Kind.OBJECT.ordinal()) {
                continue;
            }
            if (core.owner != 0) {
                objects[row] = core.slots.get(cells[row]);
            } else {
                long[] out = new long[2];
                Native.resultsObject(core, core.host, handle, row, out);
                objects[row] = new ForeignObject((int) out[0], cells[row], out[1]);
            }
        }
    }

    private void takeErrors(Core core, long handle, Map<String, Throwable> thrown) {
        errors = new MicrobatchException[size];
        for (int row = 0; row < size; row++) {
            if (outcomes[row] == Outcome.OK.ordinal()) {
                continue;
            }
            byte[] texts = Native.resultsError(core, core.host, handle, row);
            int end = 0;
            while (texts != null && texts[end] != 0) {
                end++;
            }
            String typeName = texts == null ? "" : Text.decode(texts, 0, end);
            String message = texts == null ? "" : Text.decode(texts, end + 1, texts.length);
            int code = (int) cells[row];
            Throwable cause = thrown.get(typeName + '\0' + message);
            errors[row] = new MicrobatchException(code, typeName, message, handled(row), cause);
        }
    }

    private int kindOf(int row) {
        return kinds == null ? kind : kinds[row];
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public Result<R> get(int row) {
        Outcome outcome = outcome(row);
        R value = outcome == Outcome.OK ? value(row) : null;
        return new Result<>(tags[row], outcome, handled(row), value, error(row));
    }

    /**
     * The number of the batch.
     *
     * @return the number; 0 of values that were never dispatched
     */
    public long batch() {
        return batch;
    }

    /**
     * The kind of all results.
     *
     * @return the kind if every row is OK and of one kind, else {@code null}
     */
    public Kind kind() {
        return Kind.of(kind);
    }

    /**
     * Whether every row is OK.
     *
     * @return true if so
     */
    public boolean allOk() {
        return allOk;
    }

    /**
     * The tag of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return the tag its value was pushed with
     */
    public long tag(int row) {
        return tags[row];
    }

    /**
     * What became of the value of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return the outcome
     */
    public Outcome outcome(int row) {
        return outcomes == null ? Outcome.OK : Outcome.ALL[outcomes[row]];
    }

    /**
     * Whether a handler saw the value of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return so far as is known
     */
    public Handled handled(int row) {
        return handled == null ? Handled.YES : Handled.ALL[handled[row]];
    }

    /**
     * The result of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return the result; integers are {@code Long}, floating-point numbers {@code Double}; may be {@code null}
     * @throws MicrobatchException the row's failure if it is not OK
     */
    @SuppressWarnings("unchecked")
    public R value(int row) {
        MicrobatchException error = error(row);
        if (error != null) {
            throw error;
        }
        return (R)
                switch (Kind.ALL[kindOf(row)]) {
                    case NULL -> null;
                    case BOOL -> cells[row] != 0;
                    case INT64 -> cells[row];
                    case FLOAT64 -> Double.longBitsToDouble(cells[row]);
                    case STRING -> Text.decode(bytes, offsets[row], offsets[row + 1]);
                    case BYTES -> Arrays.copyOfRange(bytes, offsets[row], offsets[row + 1]);
                    case OBJECT -> objects[row];
                };
    }

    /**
     * Why a row is not OK.
     *
     * @param row 0 to {@code size() - 1}
     * @return the failure, or {@code null} if the row is OK
     */
    public MicrobatchException error(int row) {
        return errors == null ? null : errors[row];
    }

    /**
     * The tags.
     *
     * @return a copy
     */
    public long[] tags() {
        return tags.clone();
    }

    /**
     * The integers of a set of kind INT64.
     *
     * @return a copy
     * @throws IllegalStateException if the set is not OK throughout and of that kind
     */
    public long[] int64s() {
        require(Kind.INT64);
        return cells.clone();
    }

    /**
     * The numbers of a set of kind FLOAT64.
     *
     * @return a copy
     * @throws IllegalStateException if the set is not OK throughout and of that kind
     */
    public double[] float64s() {
        require(Kind.FLOAT64);
        return Arrays.stream(cells).mapToDouble(Double::longBitsToDouble).toArray();
    }

    private void require(Kind kind) {
        if (this.kind != kind.ordinal()) {
            throw new IllegalStateException(
                    "the results are " + (kind() == null ? "of several kinds, or failed" : kind()) + ", not " + kind);
        }
    }
}
