package io.microbatch;

import java.util.List;

/**
 * Works on a batch and answers every value.
 *
 * @param <T> what is pushed
 * @param <R> what comes back
 */
@FunctionalInterface
public interface Handler<T, R> {
    /**
     * Handles a batch.
     *
     * @param batch the values, borrowed until the method returns
     * @return a result for each value, in their order; a list of another length fails the batch with RESULT_COUNT
     * @throws Exception to fail the whole batch, or its part of a batch of several kinds
     */
    List<? extends R> handle(Batch<T> batch) throws Exception;
}
