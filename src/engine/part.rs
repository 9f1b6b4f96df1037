//! Parts: a handler's share of a batch, as its handler or holder sees it.

use super::batch::Batch;
use super::batcher::Inner;
use super::delivery::ResultSet;
use super::error::Status;
use super::flight::PartState;
use super::results::Reason;
use super::settled::Ending;
use super::value::{Handled, Kind};
use crate::sync::Shared;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::Relaxed;

/// A handler's share of a batch, as its handler or holder sees it.
///
/// Dropping a part that is kept or pulled frees it: its values fail with NO_RESULT.
pub(crate) struct Part {
    /// None for a part of `map`, which has no batcher.
    pub(super) engine: Option<Shared<Inner>>,
    pub(super) owner: u32,
    /// None only while it is being dropped.
    pub(super) batch: Option<Shared<Batch>>,
    pub(super) flight: u64,
    pub(super) index: u8,
    /// Dropping it gives the batch up: false for the view a handler borrows.
    pub(super) holds: bool,
    /// It only keeps the memory: nothing can be set or ended through it.
    pub(super) pinned: bool,
    /// The handler kept it: somebody else ends it. Set and read by the handler's thread, before and after.
    pub(super) kept: AtomicBool,
}

impl Part {
    pub(crate) fn batch(&self) -> &Batch {
        match &self.batch {
            Some(batch) => batch,
            None => unreachable!("a part has its batch until it is dropped"),
        }
    }

    /// A part without a batcher: it can be read and set, not kept.
    pub(crate) fn detached(batch: Shared<Batch>, owner: u32) -> Part {
        Part {
            engine: None,
            owner,
            batch: Some(batch),
            flight: 0,
            index: 0,
            holds: false,
            pinned: false,
            kept: AtomicBool::new(false),
        }
    }

    /// Another view of the same rows, which only keeps their memory: past the end of the batch, too.
    pub(crate) fn pin(&self) -> Result<Part, Status> {
        match &self.engine {
            None => Err(Status::WRONG_MODE),
            Some(engine) if engine.is_foreign() => Err(Status::FORKED),
            Some(engine) => Ok(Part {
                engine: Some(engine.clone()),
                owner: self.owner,
                batch: self.batch.clone(),
                flight: self.flight,
                index: self.index,
                holds: false,
                pinned: true,
                kept: AtomicBool::new(true),
            }),
        }
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// Somebody else ends it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// The process is a fork of the one it was made in.
    pub(crate) fn is_foreign(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_foreign())
    }

    /// Fixes the part's outcomes when its handler returned, before any lock: if it was kept or completed, or its
    /// time ran out, this changes nothing.
    pub(crate) fn settle(&self, status: Status) {
        if self.kept.load(Relaxed) {
            return;
        }
        let code = match status {
            known if known.is_ok() || known.is_user() || known.is_known() => known,
            _ => Status::HANDLER_FAILED,
        };
        self.batch().settle(match code {
            Status::OK => Ending::Done,
            code => Ending::Failed(Reason::bare(code), Handled::Yes),
        });
    }

    pub(crate) fn flight(&self) -> u64 {
        self.flight
    }

    /// Holds the part past its handler; the handler's own view stays readable until it returns.
    pub(crate) fn keep(&self) -> Result<Part, Status> {
        let Some(engine) = &self.engine else {
            return Err(Status::WRONG_MODE);
        };
        if engine.is_foreign() {
            return Err(Status::FORKED);
        }
        let mut core = engine.core.lock();
        let part = core
            .flight(self.flight)
            .and_then(|flight| flight.part(self.index));
        match part {
            Some(part) if part.state == PartState::Running => part.state = PartState::Kept,
            Some(part) if matches!(part.state, PartState::Cut | PartState::Done) => {
                return Err(Status::TOO_LATE);
            }
            Some(_) => return Err(Status::INVALID_ARGUMENT),
            None => return Err(Status::TOO_LATE),
        }
        // SYNC: Relaxed; the handler's thread reads it when the handler returned. Another thread that keeps for it
        // synchronises with the handler by itself.
        self.kept.store(true, Relaxed);
        Ok(Part {
            kept: AtomicBool::new(true),
            engine: Some(engine.clone()),
            owner: self.owner,
            batch: self.batch.clone(),
            flight: self.flight,
            index: self.index,
            holds: true,
            pinned: false,
        })
    }

    /// The host's handler of a pulled part has returned, and somebody holds the part: the next part may begin.
    pub(crate) fn keep_pulled(&self) -> Status {
        let Some(engine) = &self.engine else {
            return Status::WRONG_MODE;
        };
        if engine.is_foreign() {
            return Status::FORKED;
        }
        let mut core = engine.core.lock();
        let kept = core.change(self.flight, |flight| match flight.part(self.index) {
            Some(part) if part.state == PartState::Pulled => {
                part.state = PartState::Kept;
                Status::OK
            }
            Some(part) if part.state == PartState::Kept => Status::INVALID_ARGUMENT,
            _ => Status::TOO_LATE,
        });
        engine.touch(&mut core);
        kept.unwrap_or(Status::TOO_LATE)
    }

    /// Completes the part; TOO_LATE if its outcomes stand already.
    pub(crate) fn complete(mut self, ending: Ending<'_>) -> Status {
        self.end(ending, true, false).0
    }

    /// Completes the part and takes the first set of results that is ready then, if the host pulls results: nobody is
    /// woken for a set that the caller takes.
    pub(crate) fn complete_and_take(mut self, ending: Ending<'_>) -> (Status, Option<ResultSet>) {
        self.end(ending, true, true)
    }

    /// Completes the part from inside its handler: what the handler returns counts no more.
    pub(crate) fn complete_early(&self, ending: Ending<'_>) -> Status {
        let Some(engine) = &self.engine else {
            return Status::WRONG_MODE;
        };
        if engine.is_foreign() {
            return Status::FORKED;
        }
        let now = engine.now();
        let mut core = engine.core.lock();
        let status = engine.end_part(&mut core, self.flight, self.index, ending, now);
        core.late += u64::from(status == Status::TOO_LATE);
        engine.touch(&mut core);
        status
    }

    /// Fails the part: as many results came as `got` says, and it has another number of values.
    pub(crate) fn fail_count(&self, got: usize) -> Status {
        let mut text = [0u8; 96];
        let message = {
            use std::io::Write;
            let mut left = &mut text[..];
            // 96 bytes hold the sentence with two 20-digit numbers.
            let _ = write!(
                left,
                "the handler gave {got} results for {} values",
                self.batch().len
            );
            let used = 96 - left.len();
            std::str::from_utf8(&text[..used]).unwrap_or_default()
        };
        let reason = Reason {
            code: Status::RESULT_COUNT.code(),
            type_name: "",
            message,
        };
        match self.batch().fail_all(reason) {
            Status::OK => Status::RESULT_COUNT,
            other => other,
        }
    }

    fn end(&mut self, ending: Ending<'_>, completes: bool, takes: bool) -> (Status, Option<ResultSet>) {
        self.holds = false;
        let Some(engine) = self.engine.take() else {
            return (Status::WRONG_MODE, None);
        };
        if engine.is_foreign() {
            return (Status::FORKED, None);
        }
        if self.pinned {
            self.unpin(&engine);
            return (Status::WRONG_MODE, None);
        }
        let now = engine.now();
        let mut core = engine.lock_core();
        // Given up first, so that the set can be recycled the moment it is delivered.
        self.batch = None;
        let takes = takes && engine.pulls_results() && !core.in_callback();
        core.taker = takes;
        let status = engine.end_part(&mut core, self.flight, self.index, ending, now);
        core.taker = false;
        core.late += u64::from(completes && status == Status::TOO_LATE);
        engine.settle_lingering(&mut core);
        let taken = if takes && status.is_ok() {
            engine.take_set(&engine, &mut core)
        } else {
            None
        };
        if takes && core.result_waiters > 0 && core.has_set() {
            engine.results.notify_all();
        }
        engine.touch(&mut core);
        engine.drop_ready_if_freed(core);
        (status, taken)
    }
}

impl Part {
    /// Lets the memory go; a set of results may have waited for that.
    fn unpin(&mut self, engine: &Shared<Inner>) {
        let mut core = engine.core.lock();
        self.batch = None;
        engine.settle_lingering(&mut core);
        engine.touch(&mut core);
        engine.drop_ready_if_freed(core);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.pinned
            && let Some(engine) = self.engine.take().filter(|engine| !engine.is_foreign())
        {
            self.unpin(&engine);
        }
        if self.holds {
            let reason = Reason::bare(Status::NO_RESULT);
            self.end(Ending::Failed(reason, Handled::Maybe), false, false);
        }
    }
}

impl Batch {
    /// Gathers the rows whose kinds are in `mask` into an empty batch; their releases stay here. False if memory
    /// ran out.
    pub(super) fn gather(&self, mask: u8, part: &mut Batch) -> bool {
        let chosen = |row: &usize| mask & (1 << self.kinds()[*row]) != 0;
        let capacity = part.rows.capacity();
        if part.positions.is_none() {
            part.positions = super::column::Column::new(capacity);
        }
        part.id = self.id;
        part.first = self.first;
        part.opened_at = self.opened_at;
        part.trigger = self.trigger;
        part.number = self.number;
        part.dispatched_at = self.dispatched_at;
        if self.has_deadlines && !part.reserve_deadlines() {
            return false;
        }
        let mut count = 0;
        for (at, row) in (0..self.len).filter(chosen).enumerate() {
            let kind = self.kinds()[row];
            let is_text = kind == Kind::String as u8 || kind == Kind::Bytes as u8;
            if is_text && !part.put_text(at, self.text(row)) {
                return false;
            }
            if kind == Kind::Object as u8 {
                if !part.reserve_size() {
                    return false;
                }
                part.put_size(at, self.object_size(row));
            }
            part.rows.put(at, self.cells()[row], self.tags()[row], kind);
            if let Some(deadlines) = &mut part.deadlines
                && self.has_deadlines
            {
                deadlines[at] = self.deadline(row);
            }
            let Some(positions) = &mut part.positions else {
                return false;
            };
            positions[at] = row as u32;
            count += 1;
        }
        part.len = count;
        part.is_part = true;
        part.classify();
        part.rows.clear_results(count);
        true
    }
}
