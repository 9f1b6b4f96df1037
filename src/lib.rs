//! microbatch: an in-process micro-batching engine.
//!
//! Any thread pushes single **values**; the engine groups them into **batches**; a **handler** works on a whole
//! batch at once; every value gets exactly one **result**, routed back to whoever pushed it.
//!
//! ```text
//! producer threads --push--> open batch --seal--> dispatch --handler--> results --on_result--> owner
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `engine` | the product: forming batches, dispatch, results, endings |
//! | `api` | the Rust face of the engine, re-exported here: start at [`Batcher`] |
//! | [`ffi`] | its C face: every function of `include/microbatch.h` |
//! | `sync` | the only door to atomics, locks, threads, the clock and descriptors |

mod api;
mod engine;
pub mod ffi;
mod sync;

pub use api::{
    Batch, Batcher, Builder, Closed, Failure, HeldBatch, Mark, Producer, PushOptions, ResultRow, Results,
    RowError, Split, Timeout, Values, map, new_owner,
};
pub use engine::error::{Error, Result, Status, StatusInfo};
pub use engine::histogram::Histogram;
pub use engine::options::{Choice, Clock, Delivery, Mode, OnFull, OptionInfo, OptionKind, Options};
pub use engine::push::IfFull;
pub use engine::stats::Stats;
pub use engine::value::{Handled, Kind, Object, Outcome, Trigger, Value};
pub use engine::writer::Tags;

/// The README's Rust examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
