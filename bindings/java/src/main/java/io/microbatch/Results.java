package io.microbatch;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.Map;

/**
 * A set of results: those of a batch, or of values that were never dispatched. It is a list of its rows; the columns are
 * there for bulk.
 *
 * <p>In {@code onResult} it is borrowed until that returns, unless it is {@linkplain #keep kept}: columns are copied out of
 * the engine when they are first asked for, and what was not read by then answers TOO_LATE. Sets from elsewhere are kept.
 * Any thread may read.
 *
 * @param <R> what comes back
 */
public final class Results<R> extends AbstractList<Result<R>> {
    /** Numbers in which native calls tell of a set: handle, size, kind, whether all are OK, batch, turn, whether there is log. */
    static final int INFO = 7;

    private final Loan loan;
    private final Columns columns;
    private final boolean allOk;
    private final long batch;

    /** What this virtual machine's handlers threw. */
    private final Map<String, Throwable> thrown;

    private volatile Failures failures;

    /** What is not OK; nothing is loaded of a set that is. */
    private record Failures(byte[] outcomes, byte[] handled, MicrobatchException[] errors) {}

    /** The set that a native call told of, to be ended. */
    Results(Core core, long[] info) {
        loan = new Loan(core, info[0], true);
        columns = new Columns(loan, (int) info[1], (int) info[2]);
        allOk = info[3] != 0;
        batch = info[4];
        thrown = core.thrown.take(batch);
    }

    private Failures failures() {
        Failures loaded = failures;
        if (loaded == null) {
            byte[] outcomes = new byte[columns.size];
            byte[] handled = new byte[columns.size];
            Arrays.fill(handled, (byte) Handled.YES.ordinal());
            loan.columns(null, null, null, outcomes, handled);
            MicrobatchException[] errors = new MicrobatchException[columns.size];
            for (int row = 0; row < columns.size; row++) {
                if (outcomes[row] != Outcome.OK.ordinal()) {
                    errors[row] = error(row, Handled.ALL[handled[row]]);
                }
            }
            loaded = new Failures(outcomes, handled, errors);
            failures = loaded;
        }
        return loaded;
    }

    private MicrobatchException error(int row, Handled handled) {
        byte[] texts = loan.error(row);
        int end = 0;
        while (texts != null && texts[end] != 0) {
            end++;
        }
        String typeName = texts == null ? "" : Text.decode(texts, 0, end);
        String message = texts == null ? "" : Text.decode(texts, end + 1, texts.length);
        Throwable cause = thrown.get(typeName + '\0' + message);
        return new MicrobatchException((int) columns.cells()[row], typeName, message, handled, cause);
    }

    /**
     * Reads everything, so that the set can be read after {@code onResult} has returned.
     *
     * @return this
     * @throws MicrobatchException TOO_LATE if it has returned already
     */
    public Results<R> keep() {
        columns.load();
        columns.loadObjects();
        if (!allOk) {
            failures();
        }
        return this;
    }

    /** Completes the futures whose tags are among its rows. */
    @SuppressWarnings("unchecked")
    void complete(Replies.Taker taker) {
        long[] tags = columns.tags();
        for (int row = 0; row < tags.length; row++) {
            Reply<Object> reply = tags[row] < 0 ? (Reply<Object>) taker.take(tags[row]) : null;
            if (reply != null) {
                MicrobatchException error = error(row);
                if (error == null) {
                    reply.complete(columns.value(row));
                } else {
                    reply.completeExceptionally(error);
                }
            }
        }
        taker.end();
    }

    Loan loan() {
        return loan;
    }

    /** The set goes back to the engine. */
    void end() {
        loan.end();
        Native.resultsFree(loan.core, loan.core.host, loan.handle);
    }

    @Override
    public int size() {
        return columns.size;
    }

    @Override
    public Result<R> get(int row) {
        Outcome outcome = outcome(row);
        R value = outcome == Outcome.OK ? value(row) : null;
        return new Result<>(tag(row), outcome, handled(row), value, error(row));
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
        return Kind.of(columns.kind);
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
        return columns.tags()[columns.checked(row)];
    }

    /**
     * What became of the value of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return the outcome
     */
    public Outcome outcome(int row) {
        int checked = columns.checked(row);
        return allOk ? Outcome.OK : Outcome.ALL[failures().outcomes[checked]];
    }

    /**
     * Whether a handler saw the value of a row.
     *
     * @param row 0 to {@code size() - 1}
     * @return so far as is known
     */
    public Handled handled(int row) {
        // Of a set that is all OK, a handler saw every value.
        int checked = columns.checked(row);
        return allOk ? Handled.YES : Handled.ALL[failures().handled[checked]];
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
        return (R) columns.value(row);
    }

    /**
     * Why a row is not OK.
     *
     * @param row 0 to {@code size() - 1}
     * @return the failure, or {@code null} if the row is OK
     */
    public MicrobatchException error(int row) {
        int checked = columns.checked(row);
        return allOk ? null : failures().errors[checked];
    }

    /**
     * The tags.
     *
     * @return a copy
     */
    public long[] tags() {
        return columns.tags().clone();
    }

    /**
     * The integers of a set of kind INT64.
     *
     * @return a copy
     * @throws IllegalStateException if the set is not OK throughout and of that kind
     */
    public long[] int64s() {
        return columns.int64s();
    }

    /**
     * The numbers of a set of kind FLOAT64.
     *
     * @return a copy
     * @throws IllegalStateException if the set is not OK throughout and of that kind
     */
    public double[] float64s() {
        return columns.float64s();
    }
}
