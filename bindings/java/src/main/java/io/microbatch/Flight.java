package io.microbatch;

import java.util.List;

/** A batch as the engine lends it, or a part of one: answered and ended once. */
final class Flight extends Loan {
    static final int ALL_ROWS = -1;

    private final long number;

    /** Java holds the batch: it completes it. Otherwise the engine does when the handler returns. */
    private boolean held;

    Flight(Core core, long[] info, boolean held) {
        super(core, info[0], false);
        number = info[5];
        this.held = held;
    }

    // ---- answering ----

    synchronized void setInt64s(long[] results) {
        Status.check(ended ? Status.TOO_LATE : Native.setInt64s(core, core.host, handle, results));
    }

    synchronized void setFloat64s(double[] results) {
        Status.check(ended ? Status.TOO_LATE : Native.setFloat64s(core, core.host, handle, results));
    }

    /** Results for all rows. Those of one number kind cross as plain arrays. */
    synchronized void setAll(List<?> results) {
        int size = results.size();
        Object first = size == 0 ? null : results.get(0);
        if (first instanceof Long) {
            long[] numbers = new long[size];
            int at = 0;
            for (Object result : results) {
                if (!(result instanceof Long number)) {
                    break;
                }
                numbers[at++] = number;
            }
            if (at == size) {
                setInt64s(numbers);
                return;
            }
        } else if (first instanceof Double) {
            double[] numbers = new double[size];
            int at = 0;
            for (Object result : results) {
                if (!(result instanceof Double number)) {
                    break;
                }
                numbers[at++] = number;
            }
            if (at == size) {
                setFloat64s(numbers);
                return;
            }
        }
        set(null, results);
    }

    /** Results for some rows; targets null: for all of them. */
    synchronized void set(int[] targets, List<?> results) {
        Status.check(ended ? Status.TOO_LATE : Status.OK);
        Rows rows = Rows.of(core, results);
        long answer = Native.setRows(core, core.host, handle, rows.words, rows.data, rows.count, targets);
        int status = (int) (answer >> 32);
        if (status != Status.OK) {
            // What was too late was taken and is released by the engine; what follows it was never handed over.
            rows.giveUp(Math.max(0, (int) answer - (status == Status.TOO_LATE ? 0 : 1)));
        }
        core.drain();
        Status.check(status);
    }

    synchronized void fail(int row, int code, String typeName, String message, Throwable failure) {
        if (failure != null) {
            core.thrown.put(number, typeName, message, failure);
        }
        int status =
                ended
                        ? Status.TOO_LATE
                        : Native.fail(
                                core, core.host, handle, row, code, Text.lenient(typeName), Text.lenient(message));
        if (status != Status.OK && failure != null) {
            core.thrown.remove(number);
        }
        if (status == Status.INVALID_ARGUMENT) {
            throw MicrobatchException.of(
                    status, "code = " + code + ": a positive number of the handler's own or a status is expected");
        }
        Status.check(status);
    }

    // ---- life ----

    synchronized void keep() {
        if (!held) {
            Status.check(Native.batchKeep(core, core.host, handle));
            held = true;
        }
    }

    /** The same for a part that was pulled by the user. */
    synchronized void keepPart() {
        Status.check(ended ? Status.TOO_LATE : Native.batchKeep(core, core.host, handle));
    }

    /** The handler of a pulled part has returned, and somebody holds the part: the next one of its batch may come. */
    synchronized void pass() {
        if (!ended) {
            // TOO_LATE if its time ran out: then there is nothing to wait for.
            Native.batchKeep(core, core.host, handle);
        }
    }

    /** Completes a batch that Java holds and answers the status; a second time it is too late. */
    synchronized int complete(boolean orNull) {
        if (ended) {
            return Status.TOO_LATE;
        }
        ended = held;
        return after(Native.batchComplete(core, core.host, handle, orNull));
    }

    /**
     * Completes a batch that Java holds and takes the next set of results, if one is ready: info is about it, or has 0 in its
     * first place.
     */
    synchronized int completeNext(long[] info) {
        info[0] = 0;
        if (ended) {
            return Status.TOO_LATE;
        }
        ended = true;
        return after(Native.batchCompleteNext(core, core.host, handle, info));
    }

    private int after(int status) {
        if (status != Status.OK) {
            core.thrown.remove(number);
        }
        core.drain();
        return status;
    }

    synchronized int giveUp() {
        if (ended) {
            return Status.TOO_LATE;
        }
        ended = true;
        int status = Native.batchFree(core, core.host, handle);
        core.drain();
        return status;
    }
}
