/**
 * Micro-batching in process: push single values, handle them in batches, get one result back for every value.
 *
 * <p>Start with {@link io.microbatch.Batcher}.
 */
module microbatch {
    exports io.microbatch;
}
