//! The queue: what producers do. A push joins the open batch behind the gate; sealing moves it to those that wait.
//!
//! The gate's holder owns the open batch, so a push is plain sequential code and order by happens-before (P11)
//! needs no argument. Common pushes never leave `push_cell`'s first lines: no clock, no system call, no
//! allocation, no wake. Opening and sealing (once a batch) also take the core lock, always after the gate.

use super::batch::{Batch, REMOVED, Release};
use super::batcher::Inner;
use super::core::{Core, OpenInfo, Room};
use super::error::Status;
use super::forming::{self, FOREVER, Lack, Load, Open};
use super::options::{Limits, OnFull};
use super::utf8::Short;
use super::value::{Kind, Outcome, Trigger};
use super::writer::{Tags, Writer};
use crate::sync::{Shared, thread};

/// What stands behind the gate: the open batch and how far pushes may go on without asking.
pub(crate) struct Front {
    writer: Writer,
    open: Option<Shared<Batch>>,
    /// Bytes of the open batch beyond 8 a row.
    extra: u64,
    /// Rows, and bytes, the open batch may reach before a push must ask again.
    count_limit: u64,
    byte_limit: u64,
    /// Values, and bytes, accepted before the open batch.
    accepted_before: u64,
    bytes_before: u64,
    /// The open batch has no value yet: it was opened when the last one was full, so that its first value need not ask.
    prepared: bool,
    /// Somebody asks again for room: every push asks, so that it is seen who finds some.
    asked: bool,
    pub(crate) closed: bool,
    /// Places that producers hold for values they stage.
    pub(crate) reserved: u64,
    /// The core knows since when values may be staged, or an earlier time: somebody joins the stages in time.
    pub(crate) stages_are_watched: bool,
    /// A batch for staged values that fit the open one no more: they were accepted, so memory must not be lacking. There is
    /// one while values may be staged, and no more of them than it holds.
    pub(crate) in_reserve: Option<Shared<Batch>>,
    /// Refused pushes by negated code.
    pub(crate) refusals: [u64; 24],
}

/// A value on its way in.
pub(crate) struct Push<'a> {
    pub(crate) kind: Kind,
    pub(crate) cell: u64,
    pub(crate) text: &'a [u8],
    /// Declared size, of objects.
    pub(crate) size: u64,
    pub(crate) tag: u64,
    /// 0: none.
    pub(crate) deadline: i64,
    /// Keep the pointer instead of a copy; taken when the value is accepted.
    pub(crate) owned: Option<Release>,
    pub(crate) if_full: IfFull,
}

/// What a push does where it would wait for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfFull {
    /// It waits.
    #[default]
    Wait,
    /// The host waits: the push answers WOULD_WAIT, and nobody was refused yet.
    Ask,
    /// The host has waited long enough: the push is refused.
    Refuse,
}

impl Push<'_> {
    pub(crate) fn cell(kind: Kind, cell: u64, tag: u64) -> Push<'static> {
        Push {
            kind,
            cell,
            text: &[],
            size: 0,
            tag,
            deadline: 0,
            owned: None,
            if_full: IfFull::Wait,
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        8u64.saturating_add(self.text.len() as u64)
            .saturating_add(self.size)
    }
}

/// How a push ended inside the gate.
enum Pushed {
    Done(Status),
    /// No room, and the policy is to wait for it: until the count of changes is not this any more.
    Wait(Status, Room, u64),
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
            refusals: [0; 24],
        }
    }

    /// Values accepted since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted_before + self.writer.row() as u64
    }

    fn bytes_accepted(&self) -> u64 {
        self.bytes_before + self.open_bytes()
    }

    fn open_bytes(&self) -> u64 {
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
    fn set_limits(&mut self, inner: &Inner, core: &Core) {
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
    fn narrow(&mut self) {
        if self.prepared || self.asked {
            return self.writer.set_limit(0);
        }
        let by_bytes = self.byte_limit.saturating_sub(self.extra) / 8;
        self.writer.set_limit(self.count_limit.min(by_bytes) as usize);
    }

    /// Adds short text into the midst of a batch of text; else false, and nothing happened. No call in here.
    #[inline(always)]
    fn put_text_inside(&mut self, kind: Kind, text: Short, tag: u64) -> bool {
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
        if !batch.takes_short_text(row, text) || !self.writer.put_inside(0, tag, kind as u8) {
            return false;
        }
        batch.put_short_text(row, text);
        self.extra = extra;
        self.writer.set_limit(limit as usize);
        true
    }

    /// The calling thread wants room: it asks again, or whoever pushes next may have it.
    fn want_room(&mut self, core: &mut Core, asks: bool, weight: u64) {
        if !asks {
            core.forget_wanted_room();
        }
        core.want_room(asks, self.accepted(), self.bytes_accepted(), weight);
        self.heed_askers(core);
    }

    /// The calling thread found room, or none will come.
    fn found_room(&mut self, core: &mut Core) {
        core.forget_wanted_room();
        self.heed_askers(core);
    }

    fn heed_askers(&mut self, core: &Core) {
        let asked = core.is_asked_for_room();
        if asked != self.asked {
            self.asked = asked;
            self.narrow();
        }
    }

    /// The open batch's age counts from here.
    fn stamp(&mut self, now: i64) {
        if let Some(batch) = self.open.as_mut().and_then(Shared::get_mut) {
            batch.opened_at = now;
        }
    }

    fn count_refusal(&mut self, status: Status) {
        if let Some(count) = self.refusals.get_mut(status.code().unsigned_abs() as usize) {
            *count += 1;
        }
    }

    pub(crate) fn memory(&self) -> u64 {
        let batches = self.open.iter().chain(&self.in_reserve);
        batches.map(|batch| batch.memory()).sum()
    }
}

impl Lack {
    /// What has to come first.
    pub(super) fn room(self) -> Room {
        match self {
            Lack::Count | Lack::Bytes => Room::Queue,
            Lack::ResultPlace => Room::Results,
        }
    }

    fn status(self) -> Status {
        match self {
            Lack::Count => Status::QUEUE_FULL,
            Lack::Bytes => Status::QUEUE_FULL_BYTES,
            Lack::ResultPlace => Status::RESULTS_FULL,
        }
    }
}

impl Inner {
    // ---- pushing ---------------------------------------------------------------------------------------------

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
            && self
                .gate
                .push_if_owner(|front| front.writer.put_inside(cell, tag, kind as u8))
                == Some(true)
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
            && self
                .gate
                .push_if_owner(|front| front.put_text_inside(kind, text, tag))
                == Some(true)
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
            if !front.writer.put_inside(0, tag, kind as u8) {
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

    /// Opens the next batch under the lock that sealing took, so that its first value needs none: whoever fills a batch
    /// is about to push more, and the thread that was just woken wants that lock. The batch is open from now on for
    /// those who watch its age, which is early; they find out behind the gate (`look_at_open`). Only where somebody
    /// watches, and where no host is told times.
    fn prepare(&self, front: &mut Front, core: &mut Core) {
        let timed = self.limits.max_delay > 0 && self.limits.max_delay < FOREVER;
        if timed
            && !self.is_manual()
            && !self.routes.is_pulled()
            && !front.closed
            && self.open(front, core, false)
        {
            front.prepared = true;
            front.set_limits(self, core);
        }
    }

    /// The first value of a prepared batch is about to come, if it has room: the batch's age counts from now.
    #[inline(always)]
    fn begin_prepared(&self, front: &mut Front) {
        if front.prepared {
            self.begin(front);
        }
    }

    #[cold]
    #[inline(never)]
    fn begin(&self, front: &mut Front) {
        if front.count_limit == 0 || front.byte_limit < 8 {
            return;
        }
        front.stamp(self.now());
        front.prepared = false;
        front.narrow();
    }

    /// Brings what the core lock guards about the open batch up to date: when it was begun, or that it never was.
    pub(super) fn look_at_open(&self, front: &mut Front, core: &mut Core) {
        if front.prepared {
            self.drop_open(front, core);
        } else if let (Some(open), Some(batch)) = (&mut core.open, &front.open) {
            open.opened_at = batch.opened_at;
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

    /// Adds a value that has room. Every allocation comes before the first change. A staged one may use what is in reserve.
    fn append(&self, front: &mut Front, core: &mut Core, push: &mut Push<'_>, staged: bool) -> Status {
        let opening = front.open.is_none() || front.prepared;
        if front.open.is_none() && !self.open(front, core, staged) {
            return Status::NO_MEMORY;
        }
        if front.prepared {
            front.prepared = false;
            front.stamp(self.now());
            self.look_at_open(front, core);
        }
        let row = front.writer.row();
        let Some(batch) = front.open.as_mut().and_then(Shared::get_mut) else {
            return Status::INTERNAL;
        };
        let is_text = matches!(push.kind, Kind::String | Kind::Bytes);
        let ready = (push.deadline == 0 || batch.reserve_deadlines())
            && (push.size == 0 || batch.reserve_size())
            && match &push.owned {
                Some(_) => batch.reserve_owned() && batch.put_text(row, &[]),
                None => !is_text || batch.put_text(row, push.text),
            };
        if !ready {
            if opening {
                self.drop_open(front, core);
            }
            return Status::NO_MEMORY;
        }
        if let Some(release) = push.owned.take() {
            batch.put_owned(row, push.text.as_ptr(), push.text.len(), Some(release));
        }
        batch.put_size(row, push.size);
        if push.deadline != 0 {
            if let Some(deadlines) = &mut batch.deadlines {
                deadlines[row] = push.deadline;
            }
            batch.earliest = batch.earliest.min(push.deadline);
            core.open_deadline = batch.earliest;
            core.next_deadline = core.next_deadline.min(push.deadline);
        }
        front.writer.set_limit(front.writer.limit().max(row + 1));
        front.writer.put(push.cell, push.tag, push.kind as u8);
        front.extra += push.weight() - 8;
        Status::OK
    }

    /// Opens a batch: the one moment when a push reads the clock. For a staged value there is one in reserve.
    fn open(&self, front: &mut Front, core: &mut Core, staged: bool) -> bool {
        let fresh = core
            .reserve_for_batch()
            .then(|| core.take_batch(self.batch_rows()))
            .flatten();
        let kept = || staged.then(|| front.in_reserve.take()).flatten();
        let Some(mut shared) = fresh.or_else(kept) else {
            return false;
        };
        let now = self.now();
        // The pool is in use: the host's `run` counts idle time anew.
        core.idle_since = 0;
        core.pusher_cpu = thread::current_cpu();
        let Some(batch) = shared.get_mut() else {
            return false;
        };
        batch.id = core.ledger.open();
        batch.first = front.accepted_before;
        batch.opened_at = now;
        front.writer = batch.rows.writer(self.limits.max_batch_size as usize);
        front.open = Some(shared);
        core.open = Some(OpenInfo {
            opened_at: now,
            first: front.accepted_before,
            full: false,
        });
        true
    }

    /// Ends the life of an open batch in which no value waits.
    fn drop_open(&self, front: &mut Front, core: &mut Core) {
        let Some(mut shared) = front.open.take() else {
            return;
        };
        let rows = front.writer.row();
        self.end_front(front);
        core.open = None;
        core.open_deadline = FOREVER;
        if let Some(batch) = shared.get_mut() {
            core.ledger.seal(batch.id, rows as u64);
        }
        core.recycle(shared);
    }

    fn end_front(&self, front: &mut Front) {
        front.prepared = false;
        front.accepted_before += front.writer.row() as u64;
        front.bytes_before += front.open_bytes();
        front.writer = Writer::detached();
        front.extra = 0;
        front.count_limit = 0;
        front.byte_limit = 0;
    }

    /// Moves the open batch to those that wait for dispatch.
    pub(crate) fn seal(&self, front: &mut Front, core: &mut Core, trigger: Trigger) {
        if front.prepared {
            return self.drop_open(front, core);
        }
        let Some(mut shared) = front.open.take() else {
            return;
        };
        if let Some(batch) = shared.get_mut() {
            batch.len = front.writer.row();
            batch.rows.set_common(front.writer.common());
            batch.weight = front.open_bytes();
            batch.trigger = trigger;
            core.ledger.seal(batch.id, batch.len as u64);
        }
        self.end_front(front);
        core.open = None;
        core.open_deadline = FOREVER;
        core.triggers[trigger as usize] += 1;
        core.sealed.push_back(shared);
    }

    /// Why the open batch is due at `now`, if it is.
    pub(crate) fn open_due(&self, open: &OpenInfo, now: i64) -> Option<Trigger> {
        let open = Open {
            rows: 1,
            bytes: 0,
            opened_at: open.opened_at,
            full: open.full,
        };
        forming::due(&self.limits, open, now)
    }

    // ---- values that leave while they wait -------------------------------------------------------------------

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
    fn discard_for(&self, front: &mut Front, core: &mut Core, weight: u64) -> Status {
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

    // ---- sealing by hand -------------------------------------------------------------------------------------

    /// Seals the open batch; does not wait.
    pub(crate) fn seal_now(&self, trigger: Trigger) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        self.gate.visit(|front| {
            if front.closed {
                return Status::CLOSED;
            }
            self.join_stages(front);
            let mut core = self.core.lock();
            self.seal(front, &mut core, trigger);
            self.touch(&mut core);
            Status::OK
        })
    }

    /// Whether a value of 8 bytes has room; waits up to `timeout` for it, then says what is lacking.
    pub(crate) fn wait_for_room(&self, timeout: i64) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        let until = forming::after(self.monotonic(), timeout.max(0));
        loop {
            let (lack, room, seen, reentrant) = self.gate.visit(|front| {
                self.join_stages(front);
                let mut core = self.core.lock();
                let lack = forming::lack(&self.limits, front.load(&core), 8);
                match lack {
                    None => front.found_room(&mut core),
                    Some(_) => {
                        // As for a push that finds no room: the open batch may hold what is in the way.
                        if let Some(open) = &mut core.open {
                            open.full = true;
                        }
                        // Who waits in here is woken by others than the descriptor.
                        front.want_room(&mut core, timeout == 0 && !front.closed, 8);
                    }
                }
                self.pass_room_on(front, &mut core, None);
                self.touch(&mut core);
                let status = if front.closed {
                    Status::CLOSED
                } else {
                    lack.map_or(Status::OK, Lack::status)
                };
                let room = lack.map_or(Room::Queue, Lack::room);
                (status, room, core.room_changes[room as usize], core.in_callback())
            });
            let waits = !matches!(lack, Status::OK | Status::CLOSED);
            if !waits || self.is_manual() || reentrant || self.monotonic() >= until {
                return lack;
            }
            self.await_room(room, seen, until);
        }
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
