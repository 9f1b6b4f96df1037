//! Removal: values that leave while they wait - cancelled, expired, discarded.

use super::batch::{Batch, REMOVED};
use super::batcher::Inner;
use super::column::Column;
use super::core::Core;
use super::error::Status;
use super::forming::{self, FOREVER, Load};
use super::front::Front;
use super::room::Room;
use super::rows::Rows;
use super::value::{Kind, Outcome};
use crate::sync::Shared;

impl Inner {
    /// Removes waiting values that `pick` names, in queue order, as one result set. Answers how many.
    ///
    /// `pick` sees (batch, row, values removed so far).
    pub(crate) fn remove_waiting(
        &self,
        front: &mut Front,
        core: &mut Core,
        outcome: Outcome,
        status: Status,
        pick: impl Fn(&Batch, usize, u64, u64) -> bool,
    ) -> Result<u64, Status> {
        let open_rows = front.writer.row();
        if front.open.is_some() {
            front.writer.spell_out();
        }
        for batch in &mut core.sealed {
            if let Some(batch) = batch.get_mut() {
                batch.rows.spell_out(batch.len);
            }
        }
        // Count first, so that one allocation serves all and nothing is half done when memory runs out.
        let (mut count, mut bytes) = (0, 0);
        for (batch, rows) in waiting(core, front, open_rows) {
            for row in 0..rows {
                if batch.rows.kinds(rows)[row] != REMOVED && pick(batch, row, count, bytes) {
                    count += 1;
                    bytes += batch.row_weight(row);
                }
            }
        }
        if count == 0 {
            return Ok(0);
        }
        let Some(mut shared) = core.take_set(count as usize, self.batch_rows()) else {
            return Err(Status::NO_MEMORY);
        };
        let Some(set) = shared.get_mut() else {
            return Err(Status::INTERNAL);
        };
        let (mut taken, mut taken_bytes) = (0, 0);
        let mut sealed = std::mem::take(&mut core.sealed);
        let batches = sealed.iter_mut().map(|batch| (batch, None));
        let open = front.open.as_mut().map(|batch| (batch, Some(open_rows)));
        let mut out_of_memory = false;
        'all: for (shared, rows) in batches.chain(open) {
            let Some(batch) = shared.get_mut() else { continue };
            for row in 0..rows.unwrap_or(batch.len) {
                if batch.rows.kinds(row + 1)[row] == REMOVED || !pick(batch, row, taken, taken_bytes) {
                    continue;
                }
                let weight = batch.row_weight(row);
                if !batch.remove_into(row, set).is_ok() {
                    out_of_memory = true;
                    break 'all;
                }
                taken += 1;
                taken_bytes += weight;
            }
        }
        for _ in 0..sealed.len() {
            match sealed.pop_front() {
                Some(batch) if batch.live() > 0 => sealed.push_back(batch),
                Some(emptied) => core.recycle(emptied),
                None => {}
            }
        }
        for batch in &mut sealed {
            if let Some(batch) = batch.get_mut() {
                batch.find_earliest(batch.len);
            }
        }
        if let Some(batch) = front.open.as_mut().and_then(Shared::get_mut) {
            batch.find_earliest(open_rows);
            core.open_deadline = batch.earliest;
        }
        core.sealed = sealed;
        core.left += taken;
        core.left_bytes += taken_bytes;
        if front
            .open
            .as_ref()
            .is_some_and(|batch| batch.removed == open_rows)
        {
            self.drop_open(front, core);
        } else if front.open.is_some() {
            front.set_limits(self, core);
        }
        core.find_deadline();
        set.classify();
        set.rows.clear_results(set.len);
        set.settle_unhandled(outcome, status);
        self.room_came(core, Room::Queue);
        if taken == 0 {
            core.recycle(shared);
            return if out_of_memory {
                Err(Status::NO_MEMORY)
            } else {
                Ok(0)
            };
        }
        core.count(outcome, taken);
        self.make_ready(core, shared, self.now());
        // Where memory ran out half way, what left stays out and is counted; the rest can be asked for again.
        Ok(taken)
    }

    /// Discards the oldest waiting values until one of `weight` bytes has room.
    pub(super) fn discard_for(&self, front: &mut Front, core: &mut Core, weight: u64) -> Status {
        let load = front.load(core);
        if load.held >= self.limits.result_capacity {
            return Status::RESULTS_FULL;
        }
        let limits = &self.limits;
        let discarded = self.remove_waiting(
            front,
            core,
            Outcome::Discarded,
            Status::DISCARDED,
            |_, _, count, bytes| {
                let left = Load {
                    waiting: load.waiting - count,
                    waiting_bytes: load.waiting_bytes - bytes,
                    held: load.held,
                };
                forming::lack(limits, left, weight).is_some()
            },
        );
        match discarded {
            Ok(_) => Status::OK,
            Err(status) => status,
        }
    }

    /// Gives waiting values whose deadline has come their outcome.
    pub(crate) fn expire_waiting(&self, front: &mut Front, core: &mut Core, now: i64) {
        if core.next_deadline > now {
            return;
        }
        let due = |batch: &Batch, row: usize| {
            let deadline = batch.deadline(row);
            deadline != 0 && deadline <= now
        };
        let removed = self.remove_waiting(
            front,
            core,
            Outcome::Expired,
            Status::DEADLINE,
            |batch, row, _, _| due(batch, row),
        );
        if removed.is_err() {
            // Without memory for the set the values wait on; ask again in a millisecond.
            core.next_deadline = now + 1_000_000;
        }
    }

    /// Cancels every waiting value with this tag.
    pub(crate) fn cancel(&self, tag: u64) -> Result<u64, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        self.gate.visit(|front| {
            self.join_stages(front);
            let mut core = self.core.lock();
            let cancelled = self.remove_waiting(
                front,
                &mut core,
                Outcome::Cancelled,
                Status::CANCELLED,
                |batch, row, _, _| batch.rows.tags(row + 1)[row] == tag,
            );
            self.touch(&mut core);
            match cancelled {
                Ok(0) if core.in_flight_has(tag) => Err(Status::TOO_LATE),
                Ok(0) => Err(Status::NOT_FOUND),
                other => other,
            }
        })
    }
}

/// Batches that wait, sealed ones first, with the rows written so far.
fn waiting<'a>(
    core: &'a Core,
    front: &'a Front,
    open_rows: usize,
) -> impl Iterator<Item = (&'a Batch, usize)> {
    let sealed = core.sealed.iter().map(|batch| (&**batch, batch.len));
    sealed.chain(front.open.as_ref().map(|batch| (&**batch, open_rows)))
}

impl Core {
    /// An empty batch for `count` removed values: of their size, so that a whole batch is not held for a few, unless that
    /// is what batches have, room for `rows`.
    pub(crate) fn take_set(&mut self, count: usize, rows: usize) -> Option<Shared<Batch>> {
        let other = Rows::room_for(count) != Rows::room_for(rows) && self.reserve_for_new_batch();
        let mut set = if other { self.make_batch(count) } else { None };
        if set.is_none() && self.reserve_for_batch() {
            set = self.take_batch();
        }
        let mut shared = set?;
        if shared
            .get_mut()
            .is_some_and(|batch| batch.prepare_as_set(count).is_some())
        {
            return Some(shared);
        }
        self.recycle(shared);
        None
    }

    /// Works out `next_deadline` after a batch left or lost rows.
    pub(crate) fn find_deadline(&mut self) {
        let sealed = self
            .sealed
            .iter()
            .map(|batch| batch.earliest)
            .min()
            .unwrap_or(FOREVER);
        self.next_deadline = sealed.min(self.open_deadline);
    }
}

impl Batch {
    /// Makes an empty batch one that takes `count` removed values. None if memory ran out.
    pub(crate) fn prepare_as_set(&mut self, count: usize) -> Option<()> {
        if self.rows.capacity() < count {
            self.rows = Rows::new(count)?;
        }
        if self.origins.as_ref().is_none_or(|origins| origins.len() < count) {
            self.origins = Some(Column::new(count)?);
        }
        self.is_removed_set = true;
        Some(())
    }

    /// Moves a waiting row's value into `set`, a batch of removed values, and marks the row. `set` has room.
    pub(crate) fn remove_into(&mut self, row: usize, set: &mut Batch) -> Status {
        let kind = self.rows.kinds(row + 1)[row];
        let cell = self.rows.values(row + 1)[row];
        let tag = self.rows.tags(row + 1)[row];
        let weight = self.row_weight(row);
        let at = set.len;
        if let Ok(found) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row) {
            if !set.reserve_owned() {
                return Status::NO_MEMORY;
            }
            let owned = &mut self.owned[found];
            set.put_owned(at, owned.ptr, owned.len, owned.release.take());
        }
        set.rows.put(at, cell, tag, kind);
        if let Some(origins) = &mut set.origins {
            origins[at] = self.id;
        }
        set.len += 1;
        self.rows.put_kind(row, REMOVED);
        self.removed += 1;
        self.removed_weight += weight;
        Status::OK
    }

    /// What a row weighs in every byte limit; also while the batch is open, when `len` is not kept up.
    pub(crate) fn row_weight(&self, row: usize) -> u64 {
        8 + match Kind::from_code(self.rows.kinds(row + 1)[row]) {
            Some(Kind::String | Kind::Bytes) => self.text(row).len() as u64,
            Some(Kind::Object) => self.object_size(row),
            _ => 0,
        }
    }

    /// Closes up removed rows before dispatch.
    pub(crate) fn close_up(&mut self) {
        if self.removed == 0 {
            return;
        }
        self.finish_offsets();
        // What removed rows carried went with them.
        let kinds = self.rows.kinds(self.len);
        self.owned.retain(|owned| kinds[owned.row as usize] != REMOVED);
        self.sizes.retain(|size| kinds[size.0 as usize] != REMOVED);
        let has_text = self.offsets_filled > 0;
        let mut to = 0;
        let mut text_end = 0usize;
        for row in 0..self.len {
            let text = match &self.offsets {
                Some(offsets) if has_text => offsets[row] as usize..offsets[row + 1] as usize,
                _ => 0..0,
            };
            if self.rows.kinds(self.len)[row] == REMOVED {
                continue;
            }
            if let Ok(at) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row) {
                // Rows move down only, so `owned` stays in row order.
                self.owned[at].row = to as u32;
            }
            if let Ok(at) = self.sizes.binary_search_by_key(&(row as u32), |size| size.0) {
                self.sizes[at].0 = to as u32;
            }
            self.rows.copy_row(row, to);
            if let Some(deadlines) = &mut self.deadlines {
                deadlines[to] = deadlines[row];
            }
            if has_text && let Some(offsets) = &mut self.offsets {
                offsets[to] = text_end as i32;
                self.text.move_down(text.start, text.len(), text_end);
                text_end += text.len();
                offsets[to + 1] = text_end as i32;
            }
            to += 1;
        }
        if has_text {
            self.text.truncate(text_end);
            self.offsets_filled = to + 1;
        }
        self.len = to;
        self.removed = 0;
        self.weight -= self.removed_weight;
        self.removed_weight = 0;
    }

    /// Finds the earliest deadline anew among the first `rows` rows, after some were removed.
    pub(crate) fn find_earliest(&mut self, rows: usize) {
        if !self.has_deadlines {
            return;
        }
        let kinds = self.rows.kinds(rows);
        let deadlines = (0..rows)
            .filter(|row| kinds[*row] != REMOVED)
            .map(|row| self.deadline(row));
        self.earliest = deadlines
            .filter(|deadline| *deadline != 0)
            .min()
            .unwrap_or(FOREVER);
    }
}
