//! The front: what stands behind the gate.

use super::batch::Batch;
use super::batcher::Inner;
use super::core::Core;
use super::error::Status;
use super::forming::{self, Load};
use super::options::Limits;
use super::utf8::Short;
use super::value::Kind;
use super::writer::Writer;
use crate::sync::{Shared, try_box};

/// Codes of the library at most.
const REFUSALS: usize = 24;

/// What stands behind the gate: the open batch and how far pushes may go on without asking.
pub(crate) struct Front {
    pub(super) writer: Writer,
    pub(super) open: Option<Shared<Batch>>,
    /// Bytes of the open batch beyond 8 a row.
    pub(super) extra: u64,
    /// Rows, and bytes, the open batch may reach before a push must ask again.
    pub(super) count_limit: u64,
    pub(super) byte_limit: u64,
    /// Values, and bytes, accepted before the open batch.
    pub(super) accepted_before: u64,
    pub(super) bytes_before: u64,
    /// The open batch has no value yet: it was opened when the last one was full, so that its first value need not ask.
    pub(super) prepared: bool,
    /// Somebody asks again for room: every push asks, so that it is seen who finds some.
    pub(super) asked: bool,
    pub(crate) closed: bool,
    /// Places that producers hold for values they stage.
    pub(crate) reserved: u64,
    /// The core knows since when values may be staged, or an earlier time: somebody joins the stages in time.
    pub(crate) stages_are_watched: bool,
    /// A batch for staged values that fit the open one no more: they were accepted, so memory must not be lacking. There is
    /// one while values may be staged, and no more of them than it holds.
    pub(crate) in_reserve: Option<Shared<Batch>>,
    /// Refused pushes by negated code, once there was one.
    refusals: Option<Box<[u64; REFUSALS]>>,
    /// Refused pushes for whose count there was no memory.
    uncounted: u32,
}

impl Front {
    pub(crate) fn new() -> Front {
        Front {
            writer: Writer::detached(),
            open: None,
            extra: 0,
            count_limit: 0,
            byte_limit: 0,
            accepted_before: 0,
            bytes_before: 0,
            prepared: false,
            asked: false,
            closed: false,
            reserved: 0,
            stages_are_watched: false,
            in_reserve: None,
            refusals: None,
            uncounted: 0,
        }
    }

    /// Values accepted since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted_before + self.writer.row() as u64
    }

    pub(super) fn bytes_accepted(&self) -> u64 {
        self.bytes_before + self.open_bytes()
    }

    pub(super) fn open_bytes(&self) -> u64 {
        8 * self.writer.row() as u64 + self.extra
    }

    /// Values of the open batch that wait.
    pub(crate) fn open_live(&self) -> u64 {
        self.open
            .as_ref()
            .map_or(0, |batch| (self.writer.row() - batch.removed) as u64)
    }

    pub(crate) fn load(&self, core: &Core) -> Load {
        Load {
            waiting: self.accepted() + self.reserved - core.left,
            waiting_bytes: self.bytes_accepted() + 8 * self.reserved - core.left_bytes,
            held: self.accepted() + self.reserved - core.delivered,
        }
    }

    /// Where the next pushes may go without asking.
    pub(super) fn set_limits(&mut self, inner: &Inner, core: &Core) {
        let load = self.load(core);
        (self.count_limit, self.byte_limit) =
            forming::row_limit(&inner.limits, self.writer.row() as u64, self.extra, load);
        self.narrow();
    }

    /// Rows that may join the open batch without asking.
    pub(crate) fn places(&self) -> u64 {
        self.writer.limit().saturating_sub(self.writer.row()) as u64
    }

    /// The open batch has a value.
    pub(crate) fn has_begun(&self) -> bool {
        self.writer.row() > 0
    }

    /// Rows of 8 bytes that the open batch takes before the one that fills it: that one must come through the front, which
    /// seals.
    pub(crate) fn rows_before_the_last(&self, limits: &Limits) -> u64 {
        let by_count = u64::from(limits.max_batch_size).saturating_sub(self.writer.row() as u64 + 1);
        by_count.min(limits.max_batch_bytes.saturating_sub(self.open_bytes()) / 8)
    }

    /// Keeps places for values to come, out of those that may join without asking.
    pub(crate) fn reserve_places(&mut self, places: u64) {
        self.reserved += places;
        self.count_limit = self.count_limit.saturating_sub(places);
        self.byte_limit = self.byte_limit.saturating_sub(8 * places);
        self.narrow();
    }

    /// Gives places back to those that may join without asking: the values come now, or not at all.
    pub(crate) fn give_places_back(&mut self, places: u64, limits: &Limits) {
        self.reserved -= places;
        if self.open.is_some() {
            self.count_limit = (self.count_limit + places).min(u64::from(limits.max_batch_size));
            self.byte_limit = (self.byte_limit + 8 * places).min(limits.max_batch_bytes);
            self.narrow();
        }
    }

    /// Places were reserved for a producer: fewer rows remain.
    pub(crate) fn narrow_for(&mut self, inner: &Inner, core: &Core) {
        if self.open.is_some() {
            self.set_limits(inner, core);
        }
    }

    /// Text took bytes: fewer rows of 8 bytes remain. None at all in a prepared batch, whose first value begins it, and while
    /// somebody asks for room.
    #[inline(always)]
    pub(super) fn narrow(&mut self) {
        if self.prepared || self.asked {
            return self.writer.set_limit(0);
        }
        let by_bytes = self.byte_limit.saturating_sub(self.extra) / 8;
        self.writer.set_limit(self.count_limit.min(by_bytes) as usize);
    }

    /// Adds short text into the midst of a batch of text; else false, and nothing happened. No call in here.
    #[inline(always)]
    pub(super) fn put_text_inside(&mut self, kind: Kind, text: Short, tag: u64) -> bool {
        let row = self.writer.row();
        let extra = self.extra + text.len() as u64;
        let by_bytes = self.byte_limit.saturating_sub(extra) / 8;
        let limit = self.count_limit.min(by_bytes);
        // Whoever writes the last row below the limit has more to do.
        if row as u64 + 1 >= limit {
            return false;
        }
        let Some(batch) = self.open.as_mut().and_then(Shared::get_mut) else {
            return false;
        };
        if !batch.takes_short_text(row, text) || !self.writer.put_inside(None, tag, kind as u8) {
            return false;
        }
        batch.put_short_text(row, text);
        self.extra = extra;
        self.writer.set_limit(limit as usize);
        true
    }

    /// The open batch's age counts from here.
    pub(super) fn stamp(&mut self, now: i64) {
        if let Some(batch) = self.open.as_mut().and_then(Shared::get_mut) {
            batch.opened_at = now;
        }
    }

    pub(super) fn count_refusal(&mut self, status: Status) {
        if self.refusals.is_none() {
            self.refusals = try_box([0; REFUSALS]);
        }
        match &mut self.refusals {
            Some(counts) => {
                if let Some(count) = counts.get_mut(status.code().unsigned_abs() as usize) {
                    *count += 1;
                }
            }
            None => self.uncounted = self.uncounted.saturating_add(1),
        }
    }

    /// Refused pushes by negated code. Where memory lacked even for the count, that was the reason.
    pub(crate) fn refusals(&self) -> [u64; REFUSALS] {
        let mut counts = self.refusals.as_deref().copied().unwrap_or([0; REFUSALS]);
        counts[Status::NO_MEMORY.code().unsigned_abs() as usize] += u64::from(self.uncounted);
        counts
    }

    pub(crate) fn memory(&self) -> u64 {
        let batches = self.open.iter().chain(&self.in_reserve);
        batches.map(|batch| batch.memory()).sum()
    }
}
