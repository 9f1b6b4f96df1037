//! Models of the whole engine under random schedules.
//!
//! `cargo test -p microbatch-shuttle` compiles the very files of `src/engine` and `src/api` against a `sync` module
//! whose threads are coroutines of shuttle: at every lock, atomic access and wait a scheduler drawn from a seed
//! decides who goes on. Time is virtual: it moves when somebody reads it, and leaps when a wait times out. A model
//! that fails names its schedule, and `MICROBATCH_SHUTTLE_REPLAY` runs that schedule again ([`world`]).
//!
//! `tests/` holds the models, one file per group; `build.rs` plants bugs for their positive controls.

mod sync;
pub mod account;
pub mod ending;
pub mod world;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

pub use api::{
    Batch, Batcher, Builder, Closed, Failure, HeldBatch, Mark, Producer, PushOptions, ResultRow, Results,
    RowError, Split, Tags, Timeout, Values, map, new_owner,
};
pub use engine::error::{Error, Result, Status, StatusInfo};
pub use engine::options::{Choice, Clock, Delivery, Mode, OnFull, OptionInfo, OptionKind, Options};
pub use engine::stats::{Histogram, Stats};
pub use engine::value::{Handled, Kind, Object, Outcome, Trigger, Value};
