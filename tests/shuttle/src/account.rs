//! What went in and what came out: the bookkeeping behind every model.

mod look;

use crate::world::{self, Parcels, Waiters, ensure, ensure_eq};
use crate::{
    Batch, Batcher, Builder, Failure, Handled, HeldBatch, Kind, Mode, Object, Outcome, Producer, Results,
    Status, Value,
};
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

/// Where a value is pushed.
pub trait Push {
    /// Pushes it.
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status>;
}

impl Push for Batcher {
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status> {
        match value {
            Value::Int64(value) => self.push_int64(value, tag),
            Value::Bytes(bytes) => match String::from_utf8(bytes.to_vec()) {
                Ok(owned) => self.push_owned(owned, tag).map_err(|(status, _)| status),
                Err(_) => Err(Status::INVALID_UTF8),
            },
            other => self.push(other, tag),
        }
    }
}

impl Push for Producer {
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status> {
        match value {
            Value::Int64(value) => self.push_int64(value, tag),
            other => self.push(other, tag),
        }
    }
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

    // ---- pushing -----------------------------------------------------------------------------------------------

    /// Pushes the value of `tag` and notes the answer.
    pub fn push(&self, into: &impl Push, tag: u64) -> Status {
        let text = format!("v{tag}");
        let value = match tag % 4 {
            1 if self.mixed => Value::String(&text),
            2 if self.mixed => Value::Object(Object {
                owner: OWNER,
                word: tag,
                size: 0,
            }),
            3 if self.mixed => Value::Bytes(text.as_bytes()),
            _ => Value::Int64(tag as i64),
        };
        self.try_push(tag, 0, matches!(value, Value::Object(_)), || {
            into.push_value(value, tag)
        })
    }

    /// Pushes a value by `push` and notes the answer.
    pub fn try_push(
        &self,
        tag: u64,
        deadline: i64,
        object: bool,
        push: impl FnOnce() -> Result<(), Status>,
    ) -> Status {
        let entry = Entry {
            deadline,
            object,
            ..Entry::default()
        };
        ensure(
            self.book().values.insert(tag, entry).is_none(),
            "the model pushes a tag twice",
        );
        let status = push().err().unwrap_or(Status::OK);
        world::note(|| format!("push {tag}: {status}"));
        self.entry(tag, |entry| entry.answer = Some(status));
        status
    }

    /// Pushes the values of `tags` by one call that takes a prefix, and notes the answers.
    pub fn try_push_many(&self, tags: &[u64], push: impl FnOnce() -> (usize, Result<(), Status>)) {
        for tag in tags {
            self.book().values.insert(*tag, Entry::default());
        }
        let (taken, answer) = push();
        world::note(|| format!("push {tags:?}: {taken}, {answer:?}"));
        ensure_eq(
            answer.is_ok(),
            taken == tags.len(),
            "a bulk push takes all or says why not",
        );
        for (at, tag) in tags.iter().enumerate() {
            let status = if at < taken {
                Status::OK
            } else {
                answer.err().unwrap_or(Status::OK)
            };
            self.entry(*tag, |entry| entry.answer = Some(status));
        }
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

    // ---- handling ----------------------------------------------------------------------------------------------

    /// What a batch shows is what was pushed: also long after its time-out, whatever became of its memory.
    fn compare<'v>(&self, tags: &[u64], value: impl Fn(usize) -> Value<'v>) {
        for (row, tag) in tags.iter().enumerate() {
            let text = format!("v{tag}");
            let right = match value(row) {
                Value::Int64(value) => value == *tag as i64,
                Value::String(value) => value == text,
                Value::Object(object) => object.word == *tag,
                _ => false,
            };
            ensure(right, format_args!("value {tag} shows as {:?}", value(row)));
        }
    }

    /// Notes that a handler sees a batch.
    pub fn see(&self, number: u64, tags: &[u64]) {
        ensure(!tags.is_empty(), "an empty batch");
        ensure(
            tags.len() as u64 <= self.bounds.size,
            "a batch is larger than max_batch_size",
        );
        world::note(|| format!("batch {number}: {tags:?}"));
        let mut book = self.book();
        book.dispatched.entry(number).or_default().extend(tags);
        drop(book);
        for tag in tags {
            self.entry(*tag, |entry| {
                entry.seen += 1;
                ensure(entry.seen == 1, format_args!("two handlers see value {tag}"));
                // A batch can be cut between its dispatch and the call of its handler.
                let cut = entry.ended.is_none_or(|(_, code, handled)| {
                    matches!(code, Status::HANDLER_TIMEOUT | Status::DISCARDED) && handled == Handled::Maybe
                });
                ensure(
                    cut,
                    format_args!("value {tag} is handled after it ended: {entry:?}"),
                );
            });
        }
    }

    /// A handler that sets its results again and again, most likely until its batch has timed out.
    ///
    /// # Errors
    /// None.
    pub fn overrun(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        for _ in 0..60 {
            world::read_clock();
            for (row, tag) in batch.tags().iter().enumerate() {
                let set = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
                if set == Err(Status::TOO_LATE) {
                    world::reached("set TOO_LATE");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The result of a value, of its own kind.
    fn answer(
        &self,
        kind: u8,
        tag: u64,
        set: impl FnOnce(Value<'_>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let text = format!("r{tag}");
        if kind == Kind::Object as u8 {
            let object = Object {
                owner: OWNER,
                word: tag + RESULT,
                size: 0,
            };
            let status = set(Value::Object(object));
            if matches!(status, Ok(()) | Err(Status::TOO_LATE)) {
                self.entry(tag, |entry| entry.results += 1);
            }
            return status;
        }
        set(if kind == Kind::String as u8 {
            Value::String(&text)
        } else {
            Value::Int64(2 * tag as i64)
        })
    }

    /// A handler that answers every value.
    ///
    /// # Errors
    /// None.
    pub fn handle(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        self.compare(batch.tags(), |row| batch.value(row));
        // Set twice, the last counts; TOO_LATE after a time-out.
        for _ in 0..world::one_of(&[1, 1, 2, 4]) {
            for (row, tag) in batch.tags().iter().enumerate() {
                let _ = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
            }
        }
        Ok(())
    }

    /// A handler that keeps its batch for whoever receives `held`.
    ///
    /// # Errors
    /// None.
    pub fn keep(&self, batch: &mut Batch<'_>, held: &Parcels<HeldBatch>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        let tags = batch.tags().to_vec();
        match batch.keep() {
            Ok(kept) => {
                world::note(|| format!("keep {tags:?}"));
                held.send(kept);
            }
            Err(status) => {
                world::note(|| format!("keep {tags:?}: {status}"));
                world::reached(format_args!("keep {}", status.name()));
                ensure_eq(status, Status::TOO_LATE, "keep");
            }
        }
        Ok(())
    }

    /// A thread that ends held batches until nobody sends more.
    pub fn completer(self: &Arc<Self>, held: &Arc<Parcels<HeldBatch>>) -> world::Task {
        let (account, held) = (self.clone(), held.clone());
        world::spawn("completer", move || {
            while let Some(batch) = held.receive() {
                account.end(batch);
            }
        })
    }

    /// Answers every value of a held batch and ends it, after a while.
    pub fn end(&self, batch: HeldBatch) -> Status {
        let mut completion = world::one_of(&[Completion::Complete, Completion::CompleteOk, Completion::Drop]);
        if self.book().pulled && world::one_of(&[true, false]) {
            completion = Completion::CompleteNext;
        }
        world::dawdle(6);
        // Set twice, the last counts; TOO_LATE after a time-out.
        for _ in 0..world::one_of(&[1, 1, 2, 4]) {
            for (row, tag) in batch.tags().iter().enumerate() {
                let _ = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
            }
        }
        let tags = batch.tags().to_vec();
        self.compare(&tags, |row| batch.value(row));
        let answer = match completion {
            Completion::Complete => batch.complete(),
            Completion::CompleteOk => batch.complete_ok(),
            Completion::CompleteNext => batch.complete_next().map(|results| {
                if let Some(results) = results {
                    world::reached("took results");
                    self.pulled(&results);
                }
            }),
            Completion::Drop => {
                drop(batch);
                Ok(())
            }
        };
        let status = answer.err().unwrap_or(Status::OK);
        world::note(|| format!("{completion:?} of {tags:?}: {status}"));
        world::reached(format_args!("{completion:?} {}", status.name()));
        self.book().completed.push((tags, completion, status));
        status
    }

    /// Notes what cancelling a tag that only one value has answered.
    pub fn cancelled(&self, tag: u64, answer: Result<u64, Status>) {
        world::note(|| format!("cancel {tag}: {answer:?}"));
        let answers = [Ok(1), Err(Status::TOO_LATE), Err(Status::NOT_FOUND)];
        ensure(answers.contains(&answer), format_args!("cancel: {answer:?}"));
        world::reached(format_args!(
            "cancel {}",
            answer.err().unwrap_or(Status::OK).name()
        ));
        self.book().cancelled.push((tag, answer.is_ok()));
    }

    /// Notes what cancelling a tag answered that may be cancelled again and again.
    pub fn cancelled_any(&self, answer: Result<u64, Status>) {
        let answers = [Ok(1), Err(Status::TOO_LATE), Err(Status::NOT_FOUND)];
        ensure(answers.contains(&answer), format_args!("cancel: {answer:?}"));
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

    /// Takes a set of results.
    pub fn deliver(&self, results: &Results<'_>) {
        self.ensure_right_thread("on_result");
        let beside = std::mem::replace(&mut self.book().delivering, true);
        ensure(!beside, "on_result runs beside itself");
        self.take(results);
        world::dawdle(1);
        self.done(results);
        self.book().delivering = false;
    }

    /// Notes a set that was pulled.
    pub fn pulled(&self, results: &Results<'_>) {
        self.take(results);
        self.done(results);
    }

    /// What a set shows is what it showed when it was taken.
    pub fn compare_results(&self, results: &Results<'_>) {
        for (row, tag) in results.tags().iter().enumerate() {
            let now = results.outcome(row);
            self.entry(*tag, |entry| {
                ensure_eq(
                    entry.ended.map(|ended| ended.0),
                    Some(now),
                    format_args!("value {tag} changed its outcome"),
                );
            });
        }
    }

    fn take(&self, results: &Results<'_>) {
        ensure(!results.is_empty(), "an empty set");
        world::note(|| format!("results of batch {}: {results:?}", results.batch()));
        self.book().delivered.push(results.batch());
        for (row, tag) in results.tags().iter().copied().enumerate() {
            let outcome = results.outcome(row);
            let error = results.error(row);
            let code = error.map_or(Status::OK, |error| error.code);
            let handled = results.handled(row);
            let now = world::read_clock();
            if outcome == Outcome::Ok {
                let right = match results.value(row) {
                    Some(Value::Int64(value)) => value == 2 * tag as i64,
                    Some(Value::String(text)) => text == format!("r{tag}"),
                    Some(Value::Object(object)) => object.word == tag + RESULT,
                    _ => false,
                };
                ensure(
                    right,
                    format_args!("value {tag} has the result {:?}", results.value(row)),
                );
            }
            self.entry(tag, |entry| {
                ensure(
                    entry.ended.is_none(),
                    format_args!("value {tag} is delivered twice"),
                );
                let refused = entry.answer.is_some_and(|answer| !answer.is_ok());
                ensure(!refused, format_args!("value {tag} was refused and is delivered"));
                entry.ended = Some((outcome, code, handled));
                let sound = match outcome {
                    Outcome::Ok => entry.seen == 1 && handled == Handled::Yes,
                    Outcome::Failed => code != Status::OK,
                    Outcome::Cancelled => entry.seen == 0 && code == Status::CANCELLED,
                    Outcome::Discarded => code == Status::DISCARDED,
                    Outcome::Expired if code == Status::DEADLINE => {
                        entry.seen == 0 && entry.deadline != 0 && entry.deadline <= now
                    }
                    Outcome::Expired => code == Status::HANDLER_TIMEOUT,
                };
                ensure(
                    sound,
                    format_args!("value {tag} ended as {outcome} with {code} and {entry:?}"),
                );
                let said = match entry.seen {
                    0 => handled != Handled::Yes,
                    _ => handled != Handled::No,
                };
                ensure(
                    said,
                    format_args!("value {tag}: handled {handled:?} but seen {} times", entry.seen),
                );
            });
        }
    }

    fn done(&self, results: &Results<'_>) {
        for tag in results.tags() {
            self.entry(*tag, |entry| entry.delivered = true);
        }
        self.changed.tell_all();
    }

    /// Waits until one value is delivered.
    pub fn wait_for(&self, tag: u64) {
        world::point();
        while !self.are_delivered(&[tag]) {
            self.changed.join().until(i64::MAX);
        }
    }

    /// Waits until every accepted value is delivered.
    pub fn wait_for_all(&self) {
        world::point();
        while !self.are_delivered(&self.accepted()) {
            self.changed.join().until(i64::MAX);
        }
    }

    pub(crate) fn released(&self, word: u64) {
        ensure_eq(world::locks(), 0, "a release is called with a lock held");
        world::note(|| format!("release {word:#x}"));
        let lossy = self.book().lossy;
        self.entry(word & (RESULT - 1), |entry| {
            if word >= RESULT {
                entry.result_releases += 1;
                ensure(
                    entry.result_releases <= entry.results,
                    "a result object is released twice",
                );
            } else {
                entry.releases += 1;
                ensure(entry.releases == 1, "an object is released twice");
                ensure(
                    entry.delivered || lossy,
                    "an object is released before its result is delivered",
                );
            }
        });
    }
}
