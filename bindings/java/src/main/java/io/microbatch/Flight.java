package io.microbatch;

import java.util.List;

/** A batch as the engine has it, or a part of one: the handle, and that nothing is done with it beside or after its end. */
final class Flight {
    static final int ALL_ROWS = -1;

    final Core core;
    final long handle;
    private final long number;

    /** Java holds the batch: it completes it. Otherwise the engine does when the handler returns. */
    private boolean held;

    private boolean ended;

    Flight(Core core, long[] info, boolean held) {
        this.core = core;
        handle = info[0];
        number = info[5];
        this.held = held;
    }

    // ---- reading ----

    synchronized void columns(long[] tags, long[] cells, byte[] kinds) {
        check(ended ? Status.TOO_LATE : Native.batchColumns(core, core.host, handle, tags, cells, kinds, null));
    }

    synchronized byte[] strings(int[] offsets) {
        byte[] bytes = ended ? null : Native.batchStrings(core, core.host, handle, offsets);
        if (bytes == null) {
            throw MicrobatchException.of(
                    Status.TOO_LATE, "the strings of batch " + number + " cannot be had: it has ended or passes 2 GiB");
        }
        return bytes;
    }

    synchronized Object object(int row, long word) {
        if (core.owner != 0) {
            return core.slots.get(word);
        }
        long[] out = new long[2];
        check(ended ? Status.TOO_LATE : Native.batchObject(core, core.host, handle, row, out));
        return new ForeignObject((int) out[0], word, out[1]);
    }

    // ---- answering ----

    private static void check(int status) {
        if (status != Status.OK) {
            throw MicrobatchException.of(status);
        }
    }

    synchronized void setInt64s(long[] results) {
        check(ended ? Status.TOO_LATE : Native.setInt64s(core, core.host, handle, results));
    }

    synchronized void setFloat64s(double[] results) {
        check(ended ? Status.TOO_LATE : Native.setFloat64s(core, core.host, handle, results));
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
        check(ended ? Status.TOO_LATE : Status.OK);
        Rows rows = Rows.of(core, results);
        long answer = Native.setRows(core, core.host, handle, rows.words, rows.data, rows.count, targets);
        int status = (int) (answer >> 32);
        if (status != Status.OK) {
            // What was too late was taken and is released by the engine; what follows it was never handed over.
            rows.giveUp(Math.max(0, (int) answer - (status == Status.TOO_LATE ? 0 : 1)));
        }
        core.drain();
        check(status);
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
        check(status);
    }

    // ---- life ----

    synchronized void keep() {
        if (!held) {
            check(Native.batchKeep(core, core.host, handle));
            held = true;
        }
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

    /** The handler that borrowed it has returned. */
    synchronized void end() {
        ended = true;
    }
}
