//! Models of the gate, the biased lock of the engine, run by loom.
//!
//! `cargo test -p microbatch-loom` compiles the very files `src/sync/gate.rs` and `src/sync/lock.rs` of the engine,
//! with loom's atomics under them, and runs every interleaving of a few threads within a bound on
//! preemptions. The value in a gate is a loom cell: two threads inside at once, or one that does not see what
//! the last one wrote, is an error. The pair of compiler fence and membarrier is modelled by two sequentially
//! consistent fences.
//!
//! `mutants` holds copies of gate.rs with one bug each, written by `build.rs`: each must fail some model.

#[cfg(test)]
#[allow(
    clippy::absurd_extreme_comparisons,
    reason = "a limit of the engine is 0 in the models"
)]
mod model;
