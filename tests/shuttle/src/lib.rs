//! Models of the whole engine under random schedules.
//!
//! `cargo test -p microbatch-shuttle` compiles the very files of `src/engine` and `src/api` against a `sync` module
//! whose threads are coroutines of shuttle: at every lock, atomic access and wait a scheduler drawn from a seed
//! decides who goes on. Time is virtual: it moves when somebody reads it, and leaps when a wait times out; waits
//! also end for no reason, now and then. A model that fails names its schedule, and `MICROBATCH_SHUTTLE_REPLAY` runs
//! that schedule again ([`world`]).
//!
//! | file of `tests/models` | models |
//! |---|---|
//! | `flow.rs` | pushes and producer handles beside flush, close and stats; calls from callbacks; idle rounds |
//! | `room.rs` | full queues under each policy, bulk pushes, cancel; a host that waits for the descriptor |
//! | `closing.rs` | close with time-outs, free and abandon beside held batches, late completions, pulled results |
//! | `times.rs` | deadlines, cancel and handler time-outs beside completion; parts of mixed batches |
//! | `pull.rs` | batches and results pulled from several threads; an event loop on the descriptor |
//! | `order.rs` | ordered delivery |
//! | `ending.rs` | threads that end inside callbacks |
//! | `manual.rs` | manual mode with several hosts |
//!
//! [`account`] keeps the books: each value ends once, as the contract says, is handled once, is delivered to one
//! callback at a time with no lock held, shows what was pushed, and gives its object back once; every snapshot of the
//! stats is balanced and within the bounds; at the end nothing is left of the batcher. A deadlock, a livelock, and a
//! panic that the engine contains are failures. Models say what they must come by, so that none proves nothing.
//! `build.rs` plants a bug for the positive control of each group.
//!
//! What this does not show: the gate (a plain lock here; `tests/loom` has the real one), weak memory orders (all is
//! sequentially consistent), fork, signals, and memory that runs out.

mod sync;
pub mod account;
pub mod ending;
pub mod world;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

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
