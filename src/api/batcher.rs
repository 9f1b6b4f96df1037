//! The batcher.

use super::batch::HeldBatch;
use super::builder::Builder;
use super::producer::Producer;
use super::results::Results;
use crate::engine::batcher::Inner;
use crate::engine::close::SEAL;
use crate::engine::column::as_cells;
use crate::engine::error::{Error, Result, Status};
use crate::engine::options::FOREVER;
use crate::engine::push::IfFull;
use crate::engine::release::Release;
use crate::engine::stats::Stats;
use crate::engine::value::{Kind, Value};
use crate::engine::writer::Tags;
use crate::sync::{Shared, try_box};
use std::ffi::c_void;
use std::fmt;
use std::time::Duration;

/// A span of time, or no limit.
///
/// A `Duration` becomes one; those beyond 292 years count as no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(i64);

impl Timeout {
    /// No limit.
    pub const FOREVER: Timeout = Timeout(FOREVER);
    /// Do not wait.
    pub const ZERO: Timeout = Timeout(0);

    pub(crate) fn ns(self) -> i64 {
        self.0
    }
}

impl From<Duration> for Timeout {
    fn from(span: Duration) -> Timeout {
        Timeout(i64::try_from(span.as_nanos()).unwrap_or(FOREVER))
    }
}

/// A point between pushes, for [`Batcher::flush_end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// How a close ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Values that were discarded because the time-out came first; 0 if everything drained.
    pub left: u64,
}

/// What a push can carry besides value and tag.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct PushOptions {
    deadline: i64,
    if_full: IfFull,
}

impl PushOptions {
    /// No deadline.
    pub fn new() -> PushOptions {
        PushOptions::default()
    }

    /// When the value expires if it still waits, in nanoseconds on the batcher's clock ([`Batcher::now`]); 0: never.
    pub fn deadline(mut self, at: i64) -> PushOptions {
        self.deadline = at;
        self
    }

    /// What the push does where it would wait for room.
    pub fn if_full(mut self, if_full: IfFull) -> PushOptions {
        self.if_full = if_full;
        self
    }
}

/// The micro-batcher: values in from any thread, batches to the handler, one result back for every value.
///
/// Dropping it closes it with `close_timeout`, then frees it.
pub struct Batcher {
    /// None only while it is being dropped.
    engine: Option<Shared<Inner>>,
}

impl Batcher {
    pub(crate) fn new(engine: Shared<Inner>) -> Batcher {
        Batcher { engine: Some(engine) }
    }

    /// Options and callbacks of a new batcher.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn engine(&self) -> &Shared<Inner> {
        match &self.engine {
            Some(engine) => engine,
            None => unreachable!("a batcher has its engine until it is dropped"),
        }
    }

    // ---- pushing ---------------------------------------------------------------------------------------------

    /// Pushes a value. Strings and bytes are copied before this returns.
    ///
    /// # Errors
    /// Nothing is consumed: [`Status::QUEUE_FULL`], [`Status::QUEUE_FULL_BYTES`] and [`Status::RESULTS_FULL`] for
    /// want of room (at once, or after `push_timeout`), [`Status::CLOSED`], [`Status::TOO_LARGE`],
    /// [`Status::NO_HANDLER`], [`Status::WRONG_OWNER`], [`Status::NO_MEMORY`], [`Status::FORKED`].
    pub fn push<'v>(&self, value: impl Into<Value<'v>>, tag: u64) -> Result {
        self.engine()
            .push_value(value.into(), tag, 0, None, IfFull::Wait)
            .into_result()
    }

    /// Pushes an int64.
    ///
    /// # Errors
    /// As [`Batcher::push`].
    #[inline]
    pub fn push_int64(&self, value: i64, tag: u64) -> Result {
        self.engine()
            .push_cell(Kind::Int64, value as u64, tag)
            .into_result()
    }

    /// Pushes a float64.
    ///
    /// # Errors
    /// As [`Batcher::push`].
    #[inline]
    pub fn push_float64(&self, value: f64, tag: u64) -> Result {
        self.engine()
            .push_cell(Kind::Float64, value.to_bits(), tag)
            .into_result()
    }

    /// Pushes a string, copied.
    ///
    /// # Errors
    /// As [`Batcher::push`].
    #[inline]
    pub fn push_str(&self, value: &str, tag: u64) -> Result {
        self.engine()
            .push_text(Kind::String, value.as_bytes(), tag, IfFull::Wait)
            .into_result()
    }

    /// Pushes bytes, copied.
    ///
    /// # Errors
    /// As [`Batcher::push`].
    #[inline]
    pub fn push_bytes(&self, value: &[u8], tag: u64) -> Result {
        self.engine()
            .push_text(Kind::Bytes, value, tag, IfFull::Wait)
            .into_result()
    }

    /// Pushes a value with a deadline.
    ///
    /// # Errors
    /// As [`Batcher::push`].
    pub fn push_with<'v>(&self, value: impl Into<Value<'v>>, tag: u64, options: PushOptions) -> Result {
        self.engine()
            .push_value(value.into(), tag, options.deadline, None, options.if_full)
            .into_result()
    }

    /// Pushes a string without copying it: it is dropped after its result is delivered.
    ///
    /// # Errors
    /// As [`Batcher::push`]; the string comes back.
    pub fn push_owned(&self, value: String, tag: u64) -> std::result::Result<(), (Status, String)> {
        /// Drops the string.
        unsafe extern "C-unwind" fn release(data: *mut c_void) {
            // SAFETY: the engine calls this once, with the pointer leaked below.
            drop(unsafe { Box::from_raw(data.cast::<String>()) });
        }
        // The box comes first: without memory for it the string goes back.
        let Some(mut place) = try_box(String::new()) else {
            return Err((Status::NO_MEMORY, value));
        };
        *place = value;
        let leaked = Box::into_raw(place);
        // SAFETY: the box was just leaked and is not freed before `release`, or before it is taken back below.
        let text: &str = unsafe { &*leaked };
        let owned = Release::One {
            call: release,
            data: leaked.cast(),
        };
        match self
            .engine()
            .push_value(Value::String(text), tag, 0, Some(owned), IfFull::Wait)
        {
            Status::OK => Ok(()),
            // SAFETY: a refused push keeps nothing, so the box is still ours.
            status => Err((status, *unsafe { Box::from_raw(leaked) })),
        }
    }

    /// Pushes many int64 values, as if one by one: a prefix is taken, and the first refusal ends it. Answers how
    /// many were taken, and the refusal if there was one.
    pub fn push_int64s(&self, values: &[i64], tags: Tags<'_>) -> (usize, Result) {
        self.push_column(Kind::Int64, as_cells(values), tags)
    }

    /// Pushes many float64 values; see [`Batcher::push_int64s`].
    pub fn push_float64s(&self, values: &[f64], tags: Tags<'_>) -> (usize, Result) {
        self.push_column(Kind::Float64, as_cells(values), tags)
    }

    /// Pushes many values of any kinds; see [`Batcher::push_int64s`].
    pub fn push_values(&self, values: &[Value<'_>], tags: Tags<'_>) -> (usize, Result) {
        self.push_each(values.len(), tags, |row, tag| {
            self.engine().push_value(values[row], tag, 0, None, IfFull::Wait)
        })
    }

    fn push_column(&self, kind: Kind, cells: &[u64], tags: Tags<'_>) -> (usize, Result) {
        let count = match tags {
            Tags::From(_) => cells.len(),
            Tags::Each(tags) => cells.len().min(tags.len()),
        };
        match self
            .engine()
            .push_cells(kind, &cells[..count], None, tags, 0, IfFull::Wait)
        {
            (taken, Status::OK) if taken < cells.len() => (taken, Err(Status::INVALID_ARGUMENT)),
            (taken, status) => (taken, status.into_result()),
        }
    }

    fn push_each(
        &self,
        count: usize,
        tags: Tags<'_>,
        push: impl Fn(usize, u64) -> Status,
    ) -> (usize, Result) {
        for row in 0..count {
            let Some(tag) = tags.of(row) else {
                return (row, Err(Status::INVALID_ARGUMENT));
            };
            let status = push(row, tag);
            if !status.is_ok() {
                return (row, Err(status));
            }
        }
        (count, Ok(()))
    }

    /// A producer for one thread: faster than [`Batcher::push`] beside other threads, without order across them.
    ///
    /// # Errors
    /// [`Status::NO_MEMORY`], [`Status::FORKED`].
    pub fn producer(&self) -> Result<Producer> {
        Producer::new(self)
    }

    /// Says why a value would be refused now, without pushing it.
    ///
    /// # Errors
    /// What [`Batcher::push`] would answer, in words.
    pub fn check<'v>(&self, value: impl Into<Value<'v>>) -> std::result::Result<(), Error> {
        self.engine().check(value.into())
    }

    /// Cancels every waiting value with this tag; answers how many.
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] if none waits, [`Status::TOO_LATE`] if one is in flight.
    pub fn cancel(&self, tag: u64) -> Result<u64> {
        self.engine().cancel(tag)
    }

    /// Waits until there is room for a value of 8 bytes.
    ///
    /// # Errors
    /// [`Status::TIMEOUT`]; at once in manual mode and in callbacks.
    pub fn room(&self, timeout: impl Into<Timeout>) -> Result {
        self.engine().wait_for_room(timeout.into().ns()).into_result()
    }

    // ---- sealing and ending ----------------------------------------------------------------------------------

    /// Closes the open batch; does not wait.
    ///
    /// # Errors
    /// [`Status::CLOSED`].
    pub fn seal(&self) -> Result {
        self.engine().seal_now(SEAL).into_result()
    }

    /// Seals, and waits until every value accepted so far is delivered.
    ///
    /// # Errors
    /// [`Status::TIMEOUT`]; [`Status::IN_PROGRESS`] with time-out 0 and in manual mode; [`Status::REENTRANT`] inside
    /// a callback; [`Status::CLOSED`].
    pub fn flush(&self, timeout: impl Into<Timeout>) -> Result {
        Inner::flush(self.engine(), timeout.into().ns()).into_result()
    }

    /// Seals without waiting; the mark is for [`Batcher::flush_end`].
    ///
    /// # Errors
    /// [`Status::CLOSED`].
    pub fn flush_begin(&self) -> Result<Mark> {
        self.engine().flush_begin().map(Mark)
    }

    /// Waits until every value accepted before the mark is delivered.
    ///
    /// # Errors
    /// As [`Batcher::flush`], without CLOSED.
    pub fn flush_end(&self, mark: Mark, timeout: impl Into<Timeout>) -> Result {
        Inner::flush_end(self.engine(), mark.0, timeout.into().ns()).into_result()
    }

    /// Stops taking values, drains, and discards what is left at the time-out.
    ///
    /// # Errors
    /// [`Status::IN_PROGRESS`] in manual mode (call again) and inside a callback.
    pub fn close(&self, timeout: impl Into<Timeout>) -> Result<Closed> {
        match Inner::close(self.engine(), timeout.into().ns()) {
            (Status::OK | Status::TIMEOUT, left) => Ok(Closed { left }),
            (status, _) => Err(status),
        }
    }

    /// Frees without waiting: what is outstanding is discarded.
    pub fn abandon(mut self) {
        if let Some(engine) = self.engine.take() {
            let _ = Inner::abandon(engine);
        }
    }

    // ---- hosts -----------------------------------------------------------------------------------------------

    /// Does what is due now (manual mode): handlers, results and releases run inside.
    ///
    /// # Errors
    /// [`Status::REENTRANT`] inside a callback, [`Status::WRONG_MODE`] for a batcher with threads.
    pub fn run(&self) -> Result {
        Inner::run(self.engine()).into_result()
    }

    /// Moves a given clock to `now` nanoseconds; backwards is ignored.
    ///
    /// # Errors
    /// [`Status::WRONG_MODE`] on the monotonic clock, [`Status::REENTRANT`] inside a callback.
    pub fn advance(&self, now: i64) -> Result {
        self.engine().advance(now).into_result()
    }

    /// When [`Batcher::run`] or a pull has something to do, in nanoseconds on the batcher's clock; `i64::MAX` if
    /// nothing is in sight.
    ///
    /// # Errors
    /// [`Status::FORKED`].
    pub fn next_due(&self) -> Result<i64> {
        self.engine().next_due()
    }

    /// The batcher's clock, in nanoseconds.
    ///
    /// # Errors
    /// [`Status::FORKED`].
    pub fn now(&self) -> Result<i64> {
        self.engine().clock_now()
    }

    /// A descriptor that is readable while there is something to do; for select, epoll and event loops. It stays
    /// the batcher's: do not read or close it.
    ///
    /// # Errors
    /// [`Status::SYSTEM`] if none could be made.
    pub fn fd(&self) -> std::result::Result<i32, Error> {
        self.engine().descriptor()
    }

    /// Takes a whole batch, of a batcher without handlers.
    ///
    /// # Errors
    /// [`Status::TIMEOUT`], [`Status::CLOSED`] when closed and empty, [`Status::WRONG_MODE`], [`Status::REENTRANT`].
    pub fn next_batch(&self, timeout: impl Into<Timeout>) -> Result<HeldBatch> {
        Inner::next_batch(self.engine(), timeout.into().ns()).map(HeldBatch::new)
    }

    /// Takes a set of results, of a batcher with pulled results.
    ///
    /// # Errors
    /// As [`Batcher::next_batch`].
    pub fn next_results(&self, timeout: impl Into<Timeout>) -> Result<Results<'static>> {
        Inner::next_results(self.engine(), timeout.into().ns()).map(Results::own)
    }

    /// One consistent snapshot of all counters.
    ///
    /// # Errors
    /// [`Status::FORKED`].
    pub fn stats(&self) -> Result<Stats> {
        self.engine().stats()
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            let timeout = if engine.is_manual() {
                0
            } else {
                engine.limits.close_timeout
            };
            let _ = Inner::close(&engine, timeout);
            let _ = Inner::free(engine);
        }
    }
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("limits", &*self.engine().limits)
            .finish_non_exhaustive()
    }
}
