package io.microbatch;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A batch that its holder completes, once, from any thread: kept by a handler, or taken with {@link Batcher#nextBatch}. It
 * may outlive its batcher. One that is closed, or lost to the garbage collector, without having been completed fails its
 * values with NO_RESULT.
 *
 * @param <T> what is pushed
 */
public final class HeldBatch<T> extends Batch<T> implements AutoCloseable {
    private final End end;
    private final Cleaner.Cleanable net;

    /** How it ends, which happens once. Holds no HeldBatch, so that one that is lost can be noticed. */
    private static final class End implements Runnable {
        private final Flight flight;
        private final AtomicBoolean done = new AtomicBoolean();

        End(Flight flight) {
            this.flight = flight;
        }

        int complete(boolean orNull) {
            if (done.getAndSet(true)) {
                return Status.TOO_LATE;
            }
            return flight.complete(orNull);
        }

        int completeNext(long[] info) {
            if (done.getAndSet(true)) {
                return Status.TOO_LATE;
            }
            return flight.completeNext(info);
        }

        @Override
        public void run() {
            if (!done.getAndSet(true)) {
                flight.giveUp();
            }
        }
    }

    HeldBatch(Batch<T> batch) {
        super(batch);
        end = new End(flight);
        net = Core.CLEANER.register(this, end);
    }

    /**
     * Completes the batch: what was set counts, rows without a result fail with NO_RESULT.
     *
     * @throws MicrobatchException TOO_LATE if its outcomes stood already, by a time-out, a close or an earlier completion
     */
    public void complete() {
        Status.check(end(false));
    }

    /**
     * The same, but rows without a result are OK, with null.
     *
     * @throws MicrobatchException TOO_LATE if its outcomes stood already, by a time-out, a close or an earlier completion
     */
    public void completeOk() {
        Status.check(end(true));
    }

    /**
     * Completes the batch, and takes the next set of results if one is ready then: for batchers whose results are pulled.
     * Nobody who waits for results is woken for it.
     *
     * @param <R> what comes back
     * @return the set, as {@link Batcher#nextResults} gives it; {@code null} if none is ready, or none is pulled
     * @throws MicrobatchException as {@link #complete}; WRONG_MODE, and nothing is done, if the batcher's own threads take its
     *     results
     */
    public <R> Results<R> completeNext() {
        Core core = flight.core;
        if (core.workers() != null && core.workers().takesResults()) {
            throw MicrobatchException.of(
                    Status.WRONG_MODE, "the results of this batcher are taken already; results = pull leaves them");
        }
        long[] info = new long[Results.INFO];
        int status = end.completeNext(info);
        net.clean();
        Status.check(status);
        return info[0] == 0 ? null : Pulls.taken(core, info, results -> {});
    }

    /**
     * Says of a pulled part that its handler has returned and the part is held on: the next part of its batch may be pulled.
     *
     * @return this
     * @throws MicrobatchException TOO_LATE if its outcomes stand already; INVALID_ARGUMENT if it is kept already, or is no part
     *     pulled for a handler
     */
    @Override
    public HeldBatch<T> keep() {
        flight.keepPart();
        return this;
    }

    /** Completes it and answers the status. */
    int end(boolean orNull) {
        int status = end.complete(orNull);
        net.clean();
        return status;
    }

    /** Gives the batch up unless it was completed: its values fail with NO_RESULT. */
    @Override
    public void close() {
        net.clean();
    }
}
