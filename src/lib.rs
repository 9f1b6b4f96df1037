//! microbatch: an in-process micro-batching engine.

mod api;
mod engine;
mod sync;

pub use api::{
    Batch, Batcher, Builder, Closed, Failure, HeldBatch, Mark, Producer, PushOptions, ResultRow, Results,
    RowError, Split, Tags, Timeout, Values, map, new_owner,
};
pub use engine::error::{Error, Result, Status, StatusInfo};
pub use engine::options::{Choice, Clock, Delivery, Mode, OnFull, OptionInfo, OptionKind, Options};
pub use engine::stats::{Histogram, Stats};
pub use engine::value::{Handled, Kind, Object, Outcome, Trigger, Value};
