//! What the engine finds in `crate::sync` here: the names of `src/sync`, over shuttle.
//!
//! | file | stands for |
//! |---|---|
//! | [`atomic`] | atomics with a choice of who runs before every access; sequentially consistent |
//! | [`mutex`] | a mutex, and a condition variable whose waits time out, or end for no reason, at the scheduler's whim |
//! | [`gate`] | the biased lock as a plain one: `tests/loom` checks the real one |
//! | [`clock`] | virtual time |
//! | [`thread`] | coroutines with exit hooks |
//! | [`fd`] | a descriptor that models can wait for |
//! | [`fork`] | no forks |
//!
//! `boxed.rs`, `fetch.rs`, `line.rs` and `shared.rs` are the real files.

pub(crate) mod atomic;
#[path = "../../../../src/sync/boxed.rs"]
pub(crate) mod boxed;
pub(crate) mod clock;
pub(crate) mod fd;
#[path = "../../../../src/sync/fetch.rs"]
pub(crate) mod fetch;
pub(crate) mod fork;
pub(crate) mod gate;
#[path = "../../../../src/sync/line.rs"]
pub(crate) mod line;
pub(crate) mod mutex;
#[path = "../../../../src/sync/shared.rs"]
#[allow(dead_code, reason = "the C boundary uses the rest")]
pub(crate) mod shared;
pub(crate) mod thread;

pub(crate) use boxed::try_box;
pub(crate) use fetch::fetch_to_write;
pub(crate) use gate::Gate;
pub(crate) use line::{LINE, rest_of_line};
pub(crate) use mutex::{Condvar, Mutex, MutexGuard};
pub(crate) use shared::Shared;

use crate::world;

/// Nothing is kept from one model to the next.
pub(crate) struct Common<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Common<T> {
    /// Nobody asked yet.
    pub(crate) const fn new() -> Common<T> {
        Common(std::marker::PhantomData)
    }

    /// A reference to `value`.
    #[allow(clippy::unused_self, reason = "as the real one")]
    pub(crate) fn get(&self, value: T) -> Option<Shared<T>> {
        Shared::try_new(value)
    }

    /// `value` is about to be dropped.
    #[allow(clippy::unused_self, reason = "as the real one")]
    pub(crate) fn forget(&self, _value: &Shared<T>) {}
}

/// Small enough for models.
pub(crate) const DENSE_TURN: u64 = 1;

/// Whether a planted bug is on.
#[allow(dead_code, reason = "no bug may be planted")]
pub(crate) fn bug(name: &str) -> bool {
    world::bug(name)
}

/// A cell that is set once.
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    /// An empty cell.
    pub(crate) const fn new() -> OnceLock<T> {
        OnceLock(std::sync::OnceLock::new())
    }

    /// The value, once it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        world::point();
        self.0.get()
    }

    /// Sets the value; `Err` if another was.
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        world::point();
        self.0.set(value)
    }

    /// Empties the cell.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}
