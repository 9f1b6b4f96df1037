//! What went in and what came out: the bookkeeping behind every model.

mod push;
mod handle;
mod deliver;
mod look;

pub use push::Push;

use crate::world::{self, Waiters, ensure, ensure_eq};
use crate::{Batcher, Builder, Handled, Mode, Outcome, Status};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// The owner of the objects of all models.
pub const OWNER: u32 = 77;

/// Object results have this on top of their value's tag.
const RESULT: u64 = 1 << 32;

/// Tags of one producer run from `producer * PRODUCER` on.
pub const PRODUCER: u64 = 100;

/// The limits that a snapshot is held against.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `max_batch_size`.
    pub size: u64,
    /// `queue_capacity`.
    pub queue: u64,
    /// `result_capacity`.
    pub results: u64,
    /// `max_in_flight`.
    pub flights: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            size: 2,
            queue: 8,
            results: 64,
            flights: 1,
        }
    }
}

/// One value's story.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// What the push answered; None while it runs.
    answer: Option<Status>,
    /// When it expires; 0: never.
    deadline: i64,
    /// Handlers that saw it.
    seen: u32,
    /// What it ended as.
    ended: Option<(Outcome, Status, Handled)>,
    /// Its set was delivered, and the callback returned.
    delivered: bool,
    object: bool,
    releases: u32,
    /// Object results handed over, and given back.
    results: u32,
    result_releases: u32,
}

#[derive(Default)]
struct Book {
    values: BTreeMap<u64, Entry>,
    /// Tags by number of the batch they were dispatched in.
    dispatched: BTreeMap<u64, Vec<u64>>,
    /// Numbers of the batches in order of delivery; 0 for values never dispatched.
    delivered: Vec<u64>,
    /// An on_result runs.
    delivering: bool,
    /// Results are pulled: the engine counts them as delivered before the account can.
    pulled: bool,
    /// Values may end unseen.
    lossy: bool,
    /// Held batches that were ended: their tags, how, and what that answered.
    completed: Vec<(Vec<u64>, Completion, Status)>,
    /// The counters of the latest snapshot that has returned.
    last: look::Counters,
    /// Tags cancelled, and whether that came in time.
    cancelled: Vec<(u64, bool)>,
}

/// How a held batch is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// `complete`, every value answered.
    Complete,
    /// `complete_ok`, every value answered.
    CompleteOk,
    /// `complete_next`, every value answered; the results that it gives are taken.
    CompleteNext,
    /// Dropped.
    Drop,
}

/// The accounts of one model.
pub struct Account {
    bounds: Bounds,
    /// Objects and strings among the values.
    mixed: bool,
    /// Callbacks run on threads of the engine only.
    threaded: AtomicBool,
    book: Mutex<Book>,
    changed: Waiters,
}

impl Account {
    /// Nothing pushed yet; every value is an int64.
    pub fn new(bounds: Bounds) -> Arc<Account> {
        Account::make(bounds, false)
    }

    /// As `new`, with strings, owned strings and objects among the values.
    pub fn mixed(bounds: Bounds) -> Arc<Account> {
        Account::make(bounds, true)
    }

    fn make(bounds: Bounds, mixed: bool) -> Arc<Account> {
        let threaded = AtomicBool::new(true);
        Arc::new(Account {
            bounds,
            mixed,
            threaded,
            book: Mutex::default(),
            changed: Waiters::new(),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Coroutines share one thread, so a lock that is taken here was kept across a choice of who runs.
        match self.book.try_lock() {
            Ok(book) => book,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => unreachable!("a model keeps its book open across a choice"),
        }
    }

    /// A builder with the bounds set and all callbacks that belong to the account.
    pub fn builder(self: &Arc<Self>) -> Builder {
        let account = self.clone();
        let builder = Batcher::builder()
            .max_batch_size(self.bounds.size)
            .queue_capacity(self.bounds.queue)
            .result_capacity(self.bounds.results)
            .max_in_flight(self.bounds.flights as u32);
        builder.on_object_release(OWNER, move |word| account.released(word))
    }

    /// `builder`, with a handler that answers every value at once.
    pub fn handled(self: &Arc<Self>) -> Builder {
        let account = self.clone();
        self.builder().handler(move |batch| account.handle(batch))
    }

    /// `builder` in manual mode.
    pub fn manual(self: &Arc<Self>, builder: Builder) -> Builder {
        self.threaded.store(false, Ordering::SeqCst);
        builder.mode(Mode::Manual)
    }

    fn ensure_right_thread(&self, callback: &str) {
        let right = world::is_engine_thread() || !self.threaded.load(Ordering::SeqCst);
        ensure(right, format_args!("{callback} runs on a thread of the host"));
        ensure_eq(
            world::locks(),
            0,
            format_args!("{callback} is called with a lock held"),
        );
    }

    /// `builder`, with results to be pulled.
    pub fn pulls(self: &Arc<Self>, builder: Builder) -> Builder {
        self.book().pulled = true;
        builder.pull_results()
    }

    /// `builder`, with results delivered to the account.
    pub fn delivered(self: &Arc<Self>, builder: Builder) -> Builder {
        let account = self.clone();
        builder.on_result(move |results| account.deliver(results))
    }

    fn entry(&self, tag: u64, act: impl FnOnce(&mut Entry)) {
        match self.book().values.get_mut(&tag) {
            Some(entry) => act(entry),
            None => world::fail(&format!("tag {tag} was never pushed")),
        }
    }

    /// Tags whose push returned OK.
    pub fn accepted(&self) -> Vec<u64> {
        let book = self.book();
        let accepted = book
            .values
            .iter()
            .filter(|(_, entry)| entry.answer == Some(Status::OK));
        accepted.map(|(tag, _)| *tag).collect()
    }

    /// Whether the result of each of these was delivered and its callback has returned.
    pub fn are_delivered(&self, tags: &[u64]) -> bool {
        let book = self.book();
        tags.iter()
            .all(|tag| book.values.get(tag).is_some_and(|entry| entry.delivered))
    }

    /// How many values ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let book = self.book();
        book.values
            .values()
            .filter(|entry| entry.ended.is_some_and(|ended| ended.0 == outcome))
            .count() as u64
    }

    /// What the value of `tag` ended as.
    pub fn outcome(&self, tag: u64) -> Option<(Outcome, Status, Handled)> {
        self.book().values.get(&tag).and_then(|entry| entry.ended)
    }

    /// Results that nobody pulls go with the batcher.
    pub fn may_lose(&self) {
        self.book().lossy = true;
    }

    /// Completions that answered TOO_LATE.
    pub fn late(&self) -> u64 {
        self.book()
            .completed
            .iter()
            .filter(|(_, _, status)| *status == Status::TOO_LATE)
            .count() as u64
    }
}
