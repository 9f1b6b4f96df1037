//! The Rust face of the engine, as `ffi` is its C face: closures instead of function pointers, nothing decided.

mod builder;
mod batcher;
mod batch;
mod results;
mod producer;
mod map;

pub use batch::{Batch, Failure, HeldBatch, Values};
pub use batcher::{Batcher, Closed, Mark, PushOptions, Timeout};
pub use builder::Builder;
pub use map::{Split, map, new_owner};
pub use producer::Producer;
pub use results::{ResultRow, Results, RowError};
