package io.microbatch;

/**
 * Works on a batch through its columns, and sets results or failures row by row or in bulk.
 *
 * @param <T> what is pushed
 */
@FunctionalInterface
public interface BatchHandler<T> {
    /**
     * Handles a batch. Rows that are left without a result fail with NO_RESULT.
     *
     * @param batch the values, borrowed until the method returns unless it is kept
     * @throws Exception to fail the whole batch, or its part of a batch of several kinds, also rows already set
     */
    void handle(Batch<T> batch) throws Exception;
}
