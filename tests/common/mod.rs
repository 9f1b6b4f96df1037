//! What the tests of the promises share: a watchdog, batchers in virtual time, a journal of all that handlers and
//! `on_result` were given, and a ledger that checks that every value had exactly one result.
//!
//! Numbers that stand for a time are nanoseconds of a given clock, which only `advance` moves.
#![allow(dead_code, reason = "every test file uses its own part of this module")]

use microbatch::{
    Batch, Batcher, Builder, Clock, Failure, Handled, HeldBatch, Kind, Mode, Object, Outcome, Results,
    Status, Timeout, Trigger, Value,
};
use std::collections::HashMap;
use std::io::Write;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a test may take before it counts as hung. No test asserts that something is faster than this.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

// ---- The watchdog

/// Ends the process with a message if it is not dropped within [`WATCHDOG`]: a hung test cannot be failed from
/// outside in any other way.
pub(crate) struct Watchdog {
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Every test in real time begins with `let _watchdog = watchdog();`.
pub(crate) fn watchdog() -> Watchdog {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        if ended.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            // Not eprintln!, whose text is kept back while a test runs.
            let _ = writeln!(
                std::io::stderr(),
                "watchdog: {test} hangs: it has run for {WATCHDOG:?}"
            );
            std::process::abort();
        }
    });
    Watchdog {
        alive: Some(alive),
        thread: Some(thread),
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The watching thread ends with the channel; joining it leaves no thread behind.
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Lets other threads go on until `condition` holds. The watchdog ends it if that never comes.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(200));
    }
}

/// Runs the test `name` of this program alone in a process of its own, for what concerns the whole process, as the
/// number of its threads. True inside that process; outside, the test ran there and passed.
pub(crate) fn alone(name: &str) -> bool {
    if std::env::var_os("MICROBATCH_TEST_ALONE").is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("MICROBATCH_TEST_ALONE", "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

// ---- Batchers in virtual time

/// No limit, for options that take a time.
pub(crate) const FOREVER: Timeout = Timeout::FOREVER;

/// Nanoseconds of the given clock, as an option takes them.
pub(crate) fn ns(span: u64) -> Timeout {
    Duration::from_nanos(span).into()
}

/// A batcher without threads whose time is moved by the test. Every other option has its default.
pub(crate) fn given() -> Builder {
    Batcher::builder().mode(Mode::Manual).clock(Clock::Given)
}

/// As [`given`], and no batch is ever due by time: batches seal by the limits a test sets, by seal, flush or close.
pub(crate) fn timeless() -> Builder {
    given().max_delay(FOREVER)
}

/// Moves the clock to `now` and does what is due then.
pub(crate) fn run_at(batcher: &Batcher, now: i64) {
    batcher.advance(now).unwrap();
    batcher.run().unwrap();
}

/// A status without its `Ok`, for comparisons: `status(batcher.push(1, 1))`.
pub(crate) fn status<T>(result: microbatch::Result<T>) -> Status {
    result.err().unwrap_or(Status::OK)
}

// ---- Values that outlive their batch

/// A copy of a value; floats are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Copied {
    Null,
    Bool(bool),
    Int64(i64),
    Float64(u64),
    String(String),
    Bytes(Vec<u8>),
    Object(Object),
}

impl From<Value<'_>> for Copied {
    fn from(value: Value<'_>) -> Copied {
        match value {
            Value::Null => Copied::Null,
            Value::Bool(value) => Copied::Bool(value),
            Value::Int64(value) => Copied::Int64(value),
            Value::Float64(value) => Copied::Float64(value.to_bits()),
            Value::String(text) => Copied::String(text.to_owned()),
            Value::Bytes(bytes) => Copied::Bytes(bytes.to_vec()),
            Value::Object(object) => Copied::Object(object),
        }
    }
}

/// `int(5)`: what an int64 value is copied to.
pub(crate) fn int(value: i64) -> Copied {
    Copied::Int64(value)
}

/// `text("x")`: what a string value is copied to.
pub(crate) fn text(value: &str) -> Copied {
    Copied::String(value.to_owned())
}

/// Values and tags of a batch, to compare with: `ints(&[1, 2])`.
pub(crate) fn ints(values: &[i64]) -> Vec<Copied> {
    values.iter().copied().map(Copied::Int64).collect()
}

// ---- Handlers that do not return

/// Where handlers stop until the test lets them go on. Clones are one door.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<(Mutex<DoorState>, Condvar)>);

#[derive(Default)]
struct DoorState {
    came: u64,
    open: bool,
}

/// Opens its door when it goes.
pub(crate) struct Opener(Door);

impl Door {
    pub(crate) fn new() -> Door {
        Door::default()
    }

    /// Called by a handler: does not return before the door is open.
    pub(crate) fn stop(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.came += 1;
        changed.notify_all();
        while !state.open {
            state = changed.wait(state).unwrap();
        }
    }

    /// Waits until `count` handlers came.
    pub(crate) fn wait_for(&self, count: u64) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while state.came < count {
            state = changed.wait(state).unwrap();
        }
    }

    /// Lets everyone through, also those who come later.
    pub(crate) fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }

    /// As it was at first: nobody came, and it is shut.
    pub(crate) fn close(&self) {
        *self.0.0.lock().unwrap() = DoorState::default();
    }

    /// Made after the batcher, so that it goes first: a test that fails must not wait for a stuck handler.
    pub(crate) fn opens_at_the_end(&self) -> Opener {
        Opener(self.clone())
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

// ---- Notes

/// What callbacks write down for the test to look at afterwards: an assertion that fails inside a callback is one
/// more failure of a handler to the engine. Clones write on the same page.
pub(crate) struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Notes<T> {
        Notes(Arc::default())
    }

    pub(crate) fn add(&self, note: T) {
        self.0.lock().unwrap().push(note);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Everything so far, and begins a new page.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Notes<T> {
        Notes(self.0.clone())
    }
}

/// A place for the batch that a handler kept.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<HeldBatch>>>);

impl Shelf {
    pub(crate) fn new() -> Shelf {
        Shelf::default()
    }

    /// A handler that keeps every batch.
    pub(crate) fn keep(
        &self,
    ) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static + use<> {
        let shelf = self.clone();
        move |batch| {
            shelf.put(batch.keep()?);
            Ok(())
        }
    }

    pub(crate) fn put(&self, batch: HeldBatch) {
        self.0.lock().unwrap().push(batch);
    }

    /// Takes the batch that was kept first.
    pub(crate) fn take(&self) -> HeldBatch {
        self.0.lock().unwrap().remove(0)
    }

    /// Takes the kept batch, or part, in which this tag is.
    pub(crate) fn take_tag(&self, tag: u64) -> HeldBatch {
        let mut batches = self.0.lock().unwrap();
        let at = batches
            .iter()
            .position(|batch| batch.tags().contains(&tag))
            .unwrap();
        batches.remove(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Answers every value of a held batch with itself and completes it.
pub(crate) fn finish(batch: HeldBatch) -> Status {
    for (row, value) in batch.values().enumerate() {
        if let Err(status) = batch.set(row, value) {
            drop(batch);
            return status;
        }
    }
    status(batch.complete())
}

// ---- The journal

/// A batch, or a part of one, as a handler saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) trigger: Trigger,
    pub(crate) kind: Option<Kind>,
    pub(crate) age: u64,
    pub(crate) tags: Vec<u64>,
    pub(crate) values: Vec<Copied>,
}

/// One value's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tag: u64,
    pub(crate) outcome: Outcome,
    pub(crate) handled: Handled,
    /// `Status::OK` for a value that is OK.
    pub(crate) code: Status,
    pub(crate) type_name: String,
    pub(crate) message: String,
    /// `Null` for a value that is not OK.
    pub(crate) value: Copied,
}

/// What one call of `on_result`, or of `next_results`, gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) batch: u64,
    pub(crate) rows: Vec<Row>,
}

impl Set {
    pub(crate) fn of(results: &Results<'_>) -> Set {
        let rows = (0..results.len()).map(|row| {
            let error = results.error(row);
            Row {
                tag: results.tags()[row],
                outcome: results.outcome(row),
                handled: results.handled(row),
                code: error.map_or(Status::OK, |error| error.code),
                type_name: error.map_or("", |error| error.type_name).to_owned(),
                message: error.map_or("", |error| error.message).to_owned(),
                value: results.value(row).map_or(Copied::Null, Copied::from),
            }
        });
        Set {
            batch: results.batch(),
            rows: rows.collect(),
        }
    }

    pub(crate) fn tags(&self) -> Vec<u64> {
        self.rows.iter().map(|row| row.tag).collect()
    }
}

impl Seen {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// The readers that `Batch` and `HeldBatch` have in common.
macro_rules! seen_in {
    ($batch:expr) => {
        Seen {
            number: $batch.number(),
            trigger: $batch.trigger(),
            kind: $batch.kind(),
            age: u64::try_from($batch.age().as_nanos()).unwrap(),
            tags: $batch.tags().to_vec(),
            values: $batch.values().map(Copied::from).collect(),
        }
    };
}

impl From<&Batch<'_>> for Seen {
    fn from(batch: &Batch<'_>) -> Seen {
        seen_in!(batch)
    }
}

impl From<&HeldBatch> for Seen {
    fn from(batch: &HeldBatch) -> Seen {
        seen_in!(batch)
    }
}

/// Writes down what handlers and `on_result` are given. Clones write into the same journal.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    batches: Vec<Seen>,
    sets: Vec<Set>,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        Journal::default()
    }

    /// Notes a batch, from inside a handler.
    pub(crate) fn saw(&self, batch: &Batch<'_>) {
        self.pages.lock().unwrap().batches.push(Seen::from(batch));
    }

    /// A handler that notes its batch and answers every value with itself.
    pub(crate) fn echo(
        &self,
    ) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static + use<> {
        let journal = self.clone();
        move |batch| {
            journal.saw(batch);
            echo(batch)
        }
    }

    /// An `on_result` that notes its results.
    pub(crate) fn on_result(&self) -> impl Fn(&Results<'_>) + Send + Sync + 'static + use<> {
        let journal = self.clone();
        move |results| journal.pages.lock().unwrap().sets.push(Set::of(results))
    }

    /// Begins a new page.
    pub(crate) fn clear(&self) {
        *self.pages.lock().unwrap() = Pages::default();
    }

    /// The batches so far, in the order in which handlers saw them.
    pub(crate) fn batches(&self) -> Vec<Seen> {
        self.pages.lock().unwrap().batches.clone()
    }

    /// The sizes of the batches so far.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.pages.lock().unwrap().batches.iter().map(Seen::len).collect()
    }

    /// The triggers of the batches so far.
    pub(crate) fn triggers(&self) -> Vec<Trigger> {
        self.pages
            .lock()
            .unwrap()
            .batches
            .iter()
            .map(|batch| batch.trigger)
            .collect()
    }

    /// What `on_result` was given, one set a call.
    pub(crate) fn sets(&self) -> Vec<Set> {
        self.pages.lock().unwrap().sets.clone()
    }

    /// All results so far, in order of delivery.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.pages
            .lock()
            .unwrap()
            .sets
            .iter()
            .flat_map(|set| set.rows.clone())
            .collect()
    }

    /// The one result of the value with this tag.
    pub(crate) fn row(&self, tag: u64) -> Row {
        let rows: Vec<_> = self.rows().into_iter().filter(|row| row.tag == tag).collect();
        assert_eq!(rows.len(), 1, "results with tag {tag}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// How the value with this tag ended, if it did.
    pub(crate) fn ended(&self, tag: u64) -> Option<(Outcome, Status, Handled)> {
        if self.rows().iter().all(|row| row.tag != tag) {
            return None;
        }
        let row = self.row(tag);
        Some((row.outcome, row.code, row.handled))
    }
}

/// Builds a batcher whose default handler echoes, and the journal of it.
pub(crate) fn journaled(builder: Builder) -> (Batcher, Journal) {
    let journal = Journal::new();
    let batcher = builder
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    (batcher, journal)
}

/// Answers every value with itself.
pub(crate) fn echo(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (row, value) in batch.values().enumerate() {
        batch.set(row, value)?;
    }
    Ok(())
}

// ---- The ledger

/// What producers pushed and what came back. Clones share one account.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    accounts: Arc<Mutex<HashMap<u64, Account>>>,
}

#[derive(Default)]
struct Account {
    pushed: u64,
    outcomes: Vec<Outcome>,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger::default()
    }

    /// A push of this tag was accepted; may be noted before or after its result comes.
    pub(crate) fn pushed(&self, tag: u64) {
        self.accounts.lock().unwrap().entry(tag).or_default().pushed += 1;
    }

    /// Notes results.
    pub(crate) fn came(&self, results: &Results<'_>) {
        let mut accounts = self.accounts.lock().unwrap();
        for (row, tag) in results.tags().iter().enumerate() {
            accounts
                .entry(*tag)
                .or_default()
                .outcomes
                .push(results.outcome(row));
        }
    }

    /// An `on_result` that notes results.
    pub(crate) fn on_result(&self) -> impl Fn(&Results<'_>) + Send + Sync + 'static + use<> {
        let ledger = self.clone();
        move |results| ledger.came(results)
    }

    /// How many pushes were noted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accounts
            .lock()
            .unwrap()
            .values()
            .map(|account| account.pushed)
            .sum()
    }

    /// How many results ended this way.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        let accounts = self.accounts.lock().unwrap();
        accounts
            .values()
            .flat_map(|account| &account.outcomes)
            .filter(|seen| **seen == outcome)
            .count() as u64
    }

    /// Every pushed value had exactly one result, and nothing else had any.
    pub(crate) fn assert_exactly_one_result_each(&self) {
        for (tag, account) in &*self.accounts.lock().unwrap() {
            let results = account.outcomes.len() as u64;
            assert_eq!(
                results, account.pushed,
                "tag {tag}: pushes and results ({:?})",
                account.outcomes
            );
        }
    }
}

// ---- Chance, the same in every run

/// A small generator of numbers (xorshift64*): the seed decides them all.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// True one time in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
