//! microbatch: an in-process micro-batching engine.

mod api;
mod engine;
mod sync;

pub use api::{
    Batch, Batcher, Builder, Closed, Failure, HeldBatch, MapOptions, Mark, Producer, PushOptions, ResultRow, Results,
    RowError, Tags, Timeout, Values, map,
};
pub use engine::error::{Error, Result, Status, StatusInfo};
pub use engine::options::{Choice, Clock, Delivery, Mode, OnFull, OptionInfo, OptionKind, Options};
pub use engine::stats::{Histogram, Stats};
pub use engine::value::{Handled, Kind, Object, Outcome, Trigger, Value};
