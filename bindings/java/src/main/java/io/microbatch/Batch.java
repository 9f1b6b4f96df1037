package io.microbatch;

import static io.microbatch.Given.given;

import java.time.Duration;
import java.util.AbstractList;
import java.util.Collections;
import java.util.List;

/**
 * A batch in the hands of a handler, or a handler's part of one of several kinds. It is borrowed until the handler returns,
 * unless it is {@linkplain #keep kept}.
 *
 * <p>Columns are copied out of the engine when they are first asked for, in one crossing each. What was not read before the
 * batch ended answers TOO_LATE.
 *
 * <p>A batch may be used by several threads. Changing it after it has ended is refused with TOO_LATE.
 *
 * @param <T> what is pushed
 */
public class Batch<T> {
    /** Numbers in which native calls tell of a batch: handle, size, kind, trigger, age, number, whether it is a part, whether there is log. */
    static final int INFO = 8;

    /** What the engine has of it. */
    final Flight flight;

    private final Columns columns;
    private final Trigger trigger;
    private final long age;
    private final long number;
    private final boolean part;
    private boolean kept;

    /** The batch that a native call told of. */
    Batch(Flight flight, long[] info) {
        this.flight = flight;
        columns = new Columns(flight, (int) info[1], (int) info[2]);
        trigger = Trigger.of((int) info[3]);
        age = info[4];
        number = info[5];
        part = info[6] != 0;
    }

    /** The same batch in another role. */
    Batch(Batch<T> other) {
        flight = other.flight;
        columns = other.columns;
        trigger = other.trigger;
        age = other.age;
        number = other.number;
        part = other.part;
    }

    // ---- what it is ----

    /**
     * How many values there are.
     *
     * @return at least 1
     */
    public int size() {
        return columns.size;
    }

    /**
     * The kind of all values.
     *
     * @return the kind, or {@code null} if there are several
     */
    public Kind kind() {
        return Kind.of(columns.kind);
    }

    /**
     * Why the batch was sealed.
     *
     * @return the trigger
     */
    public Trigger trigger() {
        return trigger;
    }

    /**
     * How long the first value had waited when the batch was dispatched.
     *
     * @return the time from its acceptance to the dispatch
     */
    public Duration age() {
        return Duration.ofNanos(age);
    }

    /**
     * The number of the batch.
     *
     * @return 1, 2, 3, ... in order of dispatch; the parts of a batch share theirs
     */
    public long number() {
        return number;
    }

    /** The batch has other parts, for other handlers. */
    boolean isPart() {
        return part;
    }

    // ---- columns ----

    /**
     * The tag of a value.
     *
     * @param row 0 to {@code size() - 1}
     * @return the tag
     */
    public long tag(int row) {
        return columns.tags()[columns.checked(row)];
    }

    /**
     * All tags.
     *
     * @return a copy
     */
    public long[] tags() {
        return columns.tags().clone();
    }

    /**
     * The kind of a value.
     *
     * @param row 0 to {@code size() - 1}
     * @return the kind
     */
    public Kind kind(int row) {
        return Kind.ALL[columns.kinds()[columns.checked(row)]];
    }

    /**
     * The integers of a batch of kind INT64.
     *
     * @return a copy
     * @throws IllegalStateException if the batch is of another kind
     */
    public long[] int64s() {
        return columns.int64s();
    }

    /**
     * The numbers of a batch of kind FLOAT64.
     *
     * @return a copy
     * @throws IllegalStateException if the batch is of another kind
     */
    public double[] float64s() {
        return columns.float64s();
    }

    /**
     * The values, as they are in the engine: read when they are asked for.
     *
     * @return a list that cannot be changed; integers are {@code Long}, floating-point numbers {@code Double}
     */
    public List<T> values() {
        return new AbstractList<>() {
            @Override
            public T get(int row) {
                return value(row);
            }

            @Override
            public int size() {
                return columns.size;
            }
        };
    }

    /**
     * A value.
     *
     * @param row 0 to {@code size() - 1}
     * @return the value, {@code null} if it is null
     */
    @SuppressWarnings("unchecked")
    public T value(int row) {
        return (T) columns.value(columns.checked(row));
    }

    /** What the batch has, so that it can be read when the engine has it no more. */
    void loadAll() {
        columns.load();
    }

    // ---- answers ----

    /**
     * Sets the result of a row; the last one set counts. It need not be of the kind of the value.
     *
     * @param row 0 to {@code size() - 1}
     * @param result the result, or {@code null}
     * @throws MicrobatchException TOO_LATE if the outcomes stand, INVALID_UTF8 if a string is no text, WRONG_OWNER for a
     *     foreign object
     */
    public void set(int row, Object result) {
        flight.set(new int[] {columns.checked(row)}, Collections.singletonList(result));
    }

    /**
     * Sets the results of all rows.
     *
     * @param results as many as there are rows
     * @throws MicrobatchException as {@link #set}; RESULT_COUNT if there are more or fewer: all rows fail then
     */
    public void setAll(List<?> results) {
        flight.setAll(given(results, "results", "a result for each row"));
    }

    /**
     * Sets the results of all rows to integers.
     *
     * @param results as many as there are rows
     * @throws MicrobatchException as {@link #setAll}
     */
    public void setInt64s(long[] results) {
        flight.setInt64s(given(results, "results", "a result for each row"));
    }

    /**
     * Sets the results of all rows to floating-point numbers.
     *
     * @param results as many as there are rows
     * @throws MicrobatchException as {@link #setAll}
     */
    public void setFloat64s(double[] results) {
        flight.setFloat64s(given(results, "results", "a result for each row"));
    }

    /**
     * Fails one row.
     *
     * @param row 0 to {@code size() - 1}
     * @param code a positive number of the handler's own, or a status of the library's
     * @param message what happened
     * @throws MicrobatchException TOO_LATE if the outcomes stand
     */
    public void fail(int row, int code, String message) {
        fail(row, code, "", message);
    }

    /**
     * Fails one row.
     *
     * @param row 0 to {@code size() - 1}
     * @param code a positive number of the handler's own, or a status of the library's
     * @param typeName what kind of failure
     * @param message what happened
     * @throws MicrobatchException TOO_LATE if the outcomes stand
     */
    public void fail(int row, int code, String typeName, String message) {
        flight.fail(columns.checked(row), code, typeName, message, null);
    }

    /**
     * Fails one row with what was thrown, which becomes the cause of the value's failure.
     *
     * @param row 0 to {@code size() - 1}
     * @param failure what was thrown
     * @throws MicrobatchException TOO_LATE if the outcomes stand
     */
    public void fail(int row, Throwable failure) {
        given(failure, "failure", "what was thrown");
        flight.fail(columns.checked(row), codeOf(failure), typeOf(failure), messageOf(failure), failure);
    }

    /**
     * Fails the whole batch, or this part of it, whatever else is set.
     *
     * @param code a positive number of the handler's own, or a status of the library's
     * @param message what happened
     * @throws MicrobatchException TOO_LATE if the outcomes stand
     */
    public void failAll(int code, String message) {
        failAll(code, "", message);
    }

    /**
     * Fails the whole batch, or this part of it, whatever else is set.
     *
     * @param code a positive number of the handler's own, or a status of the library's
     * @param typeName what kind of failure
     * @param message what happened
     * @throws MicrobatchException TOO_LATE if the outcomes stand
     */
    public void failAll(int code, String typeName, String message) {
        failAll(code, typeName, message, null);
    }

    void failAll(Throwable failure) {
        failAll(codeOf(failure), typeOf(failure), messageOf(failure), failure);
    }

    private void failAll(int code, String typeName, String message, Throwable failure) {
        flight.fail(Flight.ALL_ROWS, code, typeName, message, failure);
    }

    private static int codeOf(Throwable failure) {
        if (failure instanceof HandlerException chosen && chosen.code() != 0) {
            return chosen.code();
        }
        return Status.HANDLER_FAILED;
    }

    private static String typeOf(Throwable failure) {
        return failure.getClass() == HandlerException.class ? "" : failure.getClass().getName();
    }

    private static String messageOf(Throwable failure) {
        return failure.getMessage() == null ? "" : failure.getMessage();
    }

    /**
     * Keeps the batch past its handler, which may then return at once; the holder completes it later, from any thread. The
     * slot stays taken until then, or until {@code handler_timeout}.
     *
     * @return the batch, which is the caller's now
     * @throws MicrobatchException TOO_LATE if its outcomes stand already, WRONG_MODE inside map, INVALID_ARGUMENT if it is
     *     kept already
     */
    public HeldBatch<T> keep() {
        synchronized (this) {
            if (kept) {
                throw MicrobatchException.of(Status.INVALID_ARGUMENT, "batch " + number + " is kept already");
            }
            flight.keep();
            kept = true;
        }
        loadAll();
        return new HeldBatch<>(this);
    }

    synchronized boolean isKept() {
        return kept;
    }
}
