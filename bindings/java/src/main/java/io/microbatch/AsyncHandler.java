package io.microbatch;

import java.util.List;
import java.util.concurrent.CompletionStage;

/**
 * Begins to work on a batch and answers later.
 *
 * @param <T> what is pushed
 * @param <R> what comes back
 */
@FunctionalInterface
public interface AsyncHandler<T, R> {
    /**
     * Begins to handle a batch. {@code max_in_flight} says how many may be under way.
     *
     * @param batch the values; they may be read until the stage completes
     * @return a stage that completes with a result for each value, in their order, or exceptionally
     * @throws Exception to fail the whole batch, or its part of a batch of several kinds
     */
    CompletionStage<? extends List<? extends R>> handle(Batch<T> batch) throws Exception;
}
