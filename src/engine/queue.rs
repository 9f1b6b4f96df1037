//! The queue: what producers do. A push joins the open batch behind the gate.
//!
//! The gate's holder owns the open batch, so a push is plain sequential code and order by happens-before (P11)
//! needs no argument. Common pushes never leave `push_cell`'s first lines: no clock, no system call, no
//! allocation, no wake. Opening and sealing (once a batch) also take the core lock, always after the gate.

use super::batcher::Inner;
use super::error::Status;
use super::forming::{self, Open};
use super::front::Front;
use super::options::OnFull;
use super::push::{IfFull, Push};
use super::room::Room;
use super::utf8::Short;
use super::value::{Kind, Trigger};
use super::writer::Tags;
use crate::sync::Shared;

/// How a push ended inside the gate.
enum Pushed {
    Done(Status),
    /// No room, and the policy is to wait for it: until the count of changes is not this any more.
    Wait(Status, Room, u64),
}

impl Inner {
    /// Pushes a value of 8 bytes: null, bool, int64 or float64.
    #[inline(always)]
    pub(crate) fn push_cell(&self, kind: Kind, cell: u64, tag: u64) -> Status {
        if self.push_inside(kind, cell, tag) {
            return Status::OK;
        }
        self.push_cell_asking(kind, cell, tag)
    }

    /// The common push, by the thread that owns the gate and into the midst of a batch; else false, and nothing
    /// happened. Nothing in here calls, so that it keeps everything in registers.
    #[inline(always)]
    pub(crate) fn push_inside(&self, kind: Kind, cell: u64, tag: u64) -> bool {
        self.takes(kind)
            && self.gate.push_if_owner(
                #[inline(always)]
                |front| front.writer.put_inside(Some(cell), tag, kind as u8),
            ) == Some(true)
    }

    /// The same for a thread that does not own the gate, and for the value that fills a batch or finds none open.
    #[inline(never)]
    pub(crate) fn push_cell_asking(&self, kind: Kind, cell: u64, tag: u64) -> Status {
        if self.put_asking(kind, cell, tag) {
            return Status::OK;
        }
        self.push_slow(Push::cell(kind, cell, tag))
    }

    /// `push_cell` for a host that says what becomes of a value without room.
    #[inline(always)]
    pub(crate) fn push_cell_if(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        if self.push_inside(kind, cell, tag) {
            return Status::OK;
        }
        self.push_cell_asking_if(kind, cell, tag, if_full)
    }

    #[inline(never)]
    fn push_cell_asking_if(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        if self.put_asking(kind, cell, tag) {
            return Status::OK;
        }
        self.push_slow(Push {
            if_full,
            ..Push::cell(kind, cell, tag)
        })
    }

    /// Adds a cell to the open batch if it has room; seals the batch that it fills.
    fn put_asking(&self, kind: Kind, cell: u64, tag: u64) -> bool {
        if !self.takes(kind) {
            return false;
        }
        let taken = self.gate.push(move |front| self.put_row(front, kind, cell, tag));
        if taken {
            self.pay();
        }
        taken
    }

    /// The same with the gate held; the caller pays.
    #[inline]
    pub(super) fn put_row(&self, front: &mut Front, kind: Kind, cell: u64, tag: u64) -> bool {
        self.begin_prepared(front);
        if !front.writer.put(cell, tag, kind as u8) {
            return false;
        }
        if front.writer.is_full() {
            self.filled(front);
        }
        true
    }

    /// Adds cells of one kind to a batch that has begun, as many as have room; answers how many. The caller pays.
    #[inline]
    pub(super) fn put_rows(&self, front: &mut Front, cells: &[u64], tags: Tags<'_>, kind: u8) -> usize {
        let taken = front.writer.put_many(cells, tags, kind);
        if taken > 0 && front.writer.is_full() {
            self.filled(front);
        }
        taken
    }

    /// Pushes a string or byte string, copied in. UTF-8 was checked.
    #[inline(always)]
    pub(crate) fn push_text(&self, kind: Kind, text: &[u8], tag: u64, if_full: IfFull) -> Status {
        if Short::new(text).is_some_and(|short| self.push_text_inside(kind, short, tag)) {
            return Status::OK;
        }
        self.push_text_asking(kind, text, tag, if_full)
    }

    /// `push_inside` for short text.
    #[inline(always)]
    pub(crate) fn push_text_inside(&self, kind: Kind, text: Short, tag: u64) -> bool {
        self.takes(kind)
            && self.gate.push_if_owner(
                #[inline(always)]
                |front| front.put_text_inside(kind, text, tag),
            ) == Some(true)
    }

    /// `push_text` in every other case.
    #[inline(never)]
    pub(crate) fn push_text_asking(&self, kind: Kind, text: &[u8], tag: u64, if_full: IfFull) -> Status {
        let push = Push {
            text,
            if_full,
            ..Push::cell(kind, 0, tag)
        };
        if !self.takes(kind) {
            return self.push_slow(push);
        }
        let taken = self.gate.push(move |front| {
            self.begin_prepared(front);
            let bytes = front.open_bytes() + 8 + text.len() as u64;
            let row = front.writer.row();
            if bytes > front.byte_limit || front.writer.is_full() {
                return false;
            }
            let Some(batch) = front.open.as_mut().and_then(Shared::get_mut) else {
                return false;
            };
            if !batch.put_text(row, text) {
                return false;
            }
            if !front.writer.put_inside(None, tag, kind as u8) {
                front.writer.put(0, tag, kind as u8);
            }
            front.extra += text.len() as u64;
            front.narrow();
            if front.writer.is_full() {
                self.filled(front);
            }
            true
        });
        if !taken {
            return self.push_slow(push);
        }
        self.pay();
        Status::OK
    }

    /// Pushes cells of one kind, as if one by one; a 0 bit in `validity` makes a null. Answers how many were taken
    /// and why no more.
    pub(crate) fn push_cells(
        &self,
        kind: Kind,
        cells: &[u64],
        validity: Option<&[u8]>,
        tags: Tags<'_>,
        deadline: i64,
        if_full: IfFull,
    ) -> (usize, Status) {
        let valid = |row: usize| validity.is_none_or(|bits| bits[row / 8] & (1 << (row % 8)) != 0);
        let whole = deadline == 0 && validity.is_none();
        let mut at = 0;
        while at < cells.len() {
            if whole && self.takes(kind) {
                at += self.gate.push(|front| {
                    self.begin_prepared(front);
                    self.put_rows(front, &cells[at..], tags.after(at), kind as u8)
                });
                self.pay();
            }
            if at == cells.len() {
                break;
            }
            // One value asks all questions: it opens the next batch, waits for room, or is refused.
            let kind = if valid(at) { kind } else { Kind::Null };
            let cell = if valid(at) { cells[at] } else { 0 };
            let Some(tag) = tags.of(at) else {
                return (at, Status::INVALID_ARGUMENT);
            };
            let status = if deadline == 0 {
                self.push_cell_if(kind, cell, tag, if_full)
            } else {
                self.push_slow(Push {
                    deadline,
                    if_full,
                    ..Push::cell(kind, cell, tag)
                })
            };
            if !status.is_ok() {
                return (at, status);
            }
            at += 1;
        }
        (at, Status::OK)
    }

    /// The open batch reached its limit: seals it if that is its size, else the next push asks for more. Whoever owes
    /// wakes for it pays outside of the gate.
    #[cold]
    #[inline(never)]
    fn filled(&self, front: &mut Front) {
        if forming::seals_after(&self.limits, front.writer.row() as u64) {
            let mut core = self.lock_core();
            self.seal(front, &mut core, Trigger::Size);
            self.prepare(front, &mut core);
            self.touch_later(&mut core);
        }
    }

    /// Any push, with all questions asked; waits for room if the policy says so.
    #[cold]
    #[inline(never)]
    pub(crate) fn push_slow(&self, mut push: Push<'_>) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        let mut until = None;
        loop {
            let pushed = self.gate.push(|front| {
                let pushed = self.push_locked(front, &mut push);
                let next = match pushed {
                    Pushed::Wait(_, room, _) => Some(room),
                    Pushed::Done(_) => None,
                };
                if until.is_some() || next.is_some() {
                    self.pass_room_on(front, &mut self.core.lock(), next);
                }
                pushed
            });
            self.pay();
            let (status, room, seen) = match pushed {
                Pushed::Done(status) => return status,
                Pushed::Wait(status, room, seen) => (status, room, seen),
            };
            let until =
                *until.get_or_insert_with(|| forming::after(self.monotonic(), self.limits.push_timeout));
            if until <= self.monotonic() {
                return self.refuse(status);
            }
            self.await_room(room, seen, until);
        }
    }

    fn refuse(&self, status: Status) -> Status {
        self.gate.visit(|front| front.count_refusal(status));
        status
    }

    /// A push with the gate held: the rules in their order (the contract's P4, P7, P8, P13, P22).
    fn push_locked(&self, front: &mut Front, push: &mut Push<'_>) -> Pushed {
        let refused = |front: &mut Front, status| {
            front.count_refusal(status);
            Pushed::Done(status)
        };
        if front.closed {
            if front.asked {
                let mut core = self.core.lock();
                front.found_room(&mut core);
                self.touch_later(&mut core);
            }
            return refused(front, Status::CLOSED);
        }
        if !self.accepts(push.kind) {
            return refused(front, Status::NO_HANDLER);
        }
        let weight = push.weight();
        if !forming::fits_empty(&self.limits, weight) {
            return refused(front, Status::TOO_LARGE);
        }
        let mut core = self.core.lock();
        if front.reserved > 0 && forming::lack(&self.limits, front.load(&core), weight).is_some() {
            // Places held for values that did not come are room.
            drop(core);
            self.join_stages(front);
            core = self.core.lock();
        }
        if let Some(lack) = forming::lack(&self.limits, front.load(&core), weight) {
            if let Some(open) = &mut core.open {
                open.full = true;
            }
            let status = lack.status();
            match self.limits.on_full {
                OnFull::DiscardOldest => {
                    let status = self.discard_for(front, &mut core, weight);
                    if !status.is_ok() {
                        self.touch_later(&mut core);
                        return refused(front, status);
                    }
                }
                OnFull::Block
                    if push.if_full != IfFull::Refuse && !self.is_manual() && !core.in_callback() =>
                {
                    if push.if_full == IfFull::Ask {
                        front.want_room(&mut core, true, weight);
                        self.touch_later(&mut core);
                        return Pushed::Done(Status::WOULD_WAIT);
                    }
                    self.touch_later(&mut core);
                    return Pushed::Wait(status, lack.room(), core.room_changes[lack.room() as usize]);
                }
                OnFull::Block | OnFull::Reject => {
                    front.want_room(&mut core, false, weight);
                    self.touch_later(&mut core);
                    return refused(front, status);
                }
            }
        }
        let open = Open {
            rows: front.writer.row() as u64,
            bytes: front.open_bytes(),
            opened_at: 0,
            full: false,
        };
        if forming::seals_before(&self.limits, open, weight) {
            self.seal(front, &mut core, Trigger::Bytes);
        }
        let status = self.append(front, &mut core, push, false);
        if !status.is_ok() {
            self.touch_later(&mut core);
            return refused(front, status);
        }
        front.found_room(&mut core);
        if forming::seals_after(&self.limits, front.writer.row() as u64) {
            self.seal(front, &mut core, Trigger::Size);
        } else if self.limits.max_delay == 0 && core.is_idle(self.limits.max_in_flight) {
            // A thread is to be woken for this very value: with the batch sealed it needs not come back to the gate.
            self.seal(front, &mut core, Trigger::Idle);
        } else {
            front.set_limits(self, &core);
        }
        self.touch_later(&mut core);
        Pushed::Done(Status::OK)
    }

    /// Adds a staged value: its place was reserved, so only memory can be lacking.
    pub(crate) fn join_row(&self, front: &mut Front, row: (u64, u64, u8), since: i64) -> bool {
        let (cell, tag, kind) = row;
        if !front.writer.put(cell, tag, kind) {
            let mut core = self.core.lock();
            let open = Open {
                rows: front.writer.row() as u64,
                bytes: front.open_bytes(),
                opened_at: 0,
                full: false,
            };
            if forming::seals_before(&self.limits, open, 8) {
                self.seal(front, &mut core, Trigger::Bytes);
            }
            let opening = front.open.is_none() || front.prepared;
            let Some(kind) = Kind::from_code(kind) else {
                return true;
            };
            if !self
                .append(front, &mut core, &mut Push::cell(kind, cell, tag), true)
                .is_ok()
            {
                return false;
            }
            if opening {
                front.stamp(since);
                self.look_at_open(front, &mut core);
            }
            front.set_limits(self, &core);
            if !forming::seals_after(&self.limits, front.writer.row() as u64) {
                return true;
            }
            self.seal(front, &mut core, Trigger::Size);
            self.touch(&mut core);
        } else if front.writer.is_full() {
            self.filled(front);
            self.pay();
        }
        true
    }
}
