//! Room: what a push lacks that finds none, who waits for it, and who is told when it comes.

use super::batcher::Inner;
use super::core::Core;
use super::error::Status;
use super::forming::{self, FOREVER, Lack};
use super::front::Front;
use super::options::{Limits, Mode};
use super::wake::{ROOM, SPIN_NS, is_apart};
use crate::sync::atomic::Ordering;
use crate::sync::{DENSE_TURN, thread, try_box};

/// How long room is left to those that are awake before one that sleeps is woken, too: long beside a wake.
const TURN_NS: i64 = 50_000;

/// When those that sleep are woken at the latest, if nobody takes what was left to others.
const LEFT_NS: i64 = 1_000_000;

/// Turns: where the pushes that wait push many values each, the first to be woken takes all there is, and the next would be
/// woken in vain. So room is left for a while to those that are awake, but not half of all there is, not where the handlers
/// have nothing else to do, and for a millisecond at most.
pub(crate) struct Turn {
    /// Until when room is left to those that are awake.
    ends: i64,
    /// When those that sleep are woken all the same; FOREVER while nothing was left to others.
    pub(super) over: i64,
    /// The thread that was woken last; 0 is none.
    of: usize,
    /// Where pushes wait at all.
    learnt: Option<Box<Learnt>>,
}

/// What turns are judged by.
#[derive(Default)]
struct Learnt {
    /// Values accepted lately, and how many of the pushes that waited found room meanwhile, in sixteenths: the older the less
    /// they count.
    took: u64,
    found: u64,
    /// What was accepted, and what had left the queue and was delivered, when a push last began to wait.
    accepted: u64,
    gone: [u64; 2],
    gone_bytes: u64,
}

impl Turn {
    /// None if memory ran out.
    pub(super) fn new(limits: &Limits) -> Option<Turn> {
        let waits = limits.mode == Mode::Threaded;
        let learnt = if waits {
            Some(try_box(Learnt::default())?)
        } else {
            None
        };
        Some(Turn {
            ends: 0,
            over: FOREVER,
            of: 0,
            learnt,
        })
    }
}

impl Learnt {
    /// Those that wait push many values each.
    fn is_worth_it(&self) -> bool {
        self.found > 0 && 16 * self.took >= DENSE_TURN * self.found.max(16)
    }
}

/// What a push lacks that waits for room: a place in the queue, which dispatch gives back, or one for its result, which
/// delivery gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Queue = 0,
    Results = 1,
}

impl Room {
    pub(crate) fn other(self) -> Room {
        match self {
            Room::Queue => Room::Results,
            Room::Results => Room::Queue,
        }
    }
}

/// A push that was refused for want of room, for the descriptor: it fires when there would be.
#[derive(Clone, Copy)]
pub(crate) struct RoomWanted {
    /// Who asks again; none if whoever pushes next may have the room.
    by: Option<usize>,
    accepted: u64,
    bytes: u64,
    weight: u64,
}

impl Lack {
    /// What has to come first.
    pub(super) fn room(self) -> Room {
        match self {
            Lack::Count | Lack::Bytes => Room::Queue,
            Lack::ResultPlace => Room::Results,
        }
    }

    pub(super) fn status(self) -> Status {
        match self {
            Lack::Count => Status::QUEUE_FULL,
            Lack::Bytes => Status::QUEUE_FULL_BYTES,
            Lack::ResultPlace => Status::RESULTS_FULL,
        }
    }
}

impl Front {
    /// The calling thread wants room: it asks again, or whoever pushes next may have it.
    pub(super) fn want_room(&mut self, core: &mut Core, asks: bool, weight: u64) {
        if !asks {
            core.forget_wanted_room();
        }
        core.want_room(asks, self.accepted(), self.bytes_accepted(), weight);
        self.heed_askers(core);
    }

    /// The calling thread found room, or none will come.
    pub(super) fn found_room(&mut self, core: &mut Core) {
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
}

impl Core {
    /// `asks`: the calling thread asks again when the descriptor fires, whoever finds room meanwhile.
    pub(crate) fn want_room(&mut self, asks: bool, accepted: u64, bytes: u64, weight: u64) {
        let by = asks.then(thread::current_id);
        let wanted = RoomWanted {
            by,
            accepted,
            bytes,
            weight,
        };
        let before = self.room_wanted.iter().position(|other| other.by == by);
        match before {
            Some(at) => self.room_wanted[at] = wanted,
            None if self.room_wanted.reserve(1) => self.room_wanted.push(wanted),
            // Without memory the last one is told, and others find room when they look for themselves.
            None => self
                .room_wanted
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|last| *last = wanted),
        }
    }

    /// The calling thread found room, or waits no more.
    pub(crate) fn forget_wanted_room(&mut self) {
        if !self.room_wanted.is_empty() {
            let me = thread::current_id();
            self.room_wanted
                .retain(|wanted| wanted.by.is_some_and(|by| by != me));
        }
    }

    /// A thread asks again when the descriptor fires.
    pub(crate) fn is_asked_for_room(&self) -> bool {
        self.room_wanted.iter().any(|wanted| wanted.by.is_some())
    }

    /// A push that waited has found room, or one is about to wait.
    fn learn_of_turns(&mut self, front: &Front, waits: bool) {
        let turn = &mut self.room_turn;
        let Some(learnt) = &mut turn.learnt else {
            return;
        };
        if !waits {
            learnt.found += 16;
            return;
        }
        let accepted = front.accepted();
        learnt.took = learnt.took / 2 + accepted - learnt.accepted;
        learnt.found /= 2;
        learnt.accepted = accepted;
        learnt.gone = [self.left, self.delivered];
        learnt.gone_bytes = self.left_bytes;
        turn.over = FOREVER;
    }

    /// Whether a push that was refused would find room by now, or would be told that there will be none.
    pub(crate) fn wanted_room_is_there(&self, limits: &Limits) -> bool {
        self.room_wanted.iter().any(|wanted| {
            if wanted.by.is_some() && self.closing() {
                return true;
            }
            let load = super::forming::Load {
                waiting: wanted.accepted.saturating_sub(self.left),
                waiting_bytes: wanted.bytes.saturating_sub(self.left_bytes),
                held: wanted.accepted.saturating_sub(self.delivered),
            };
            super::forming::lack(limits, load, wanted.weight).is_none()
        })
    }
}

impl Inner {
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

    /// Places became free. One push that waits for them is woken; it takes what it needs and passes the wake on
    /// (`pass_room_on`): most often the first takes all.
    pub(crate) fn room_came(&self, core: &mut Core, room: Room) {
        let changes = &mut core.room_changes[room as usize];
        *changes += 1;
        // SYNC: Release pairs with the load of `spin_for_room`; the room itself is read under the lock.
        self.room_hints[room as usize].store(*changes, Ordering::Release);
        if core.room_waiters[room as usize] == 0 {
            return;
        }
        let now = self.monotonic();
        // One that looks out for this room takes it and passes on what it leaves.
        let taken = core.room_spinner == Some(room) && now < core.room_turn.ends;
        if !taken && !self.leave_room(core, now) {
            self.owe_room(core, room);
        }
    }

    /// A push that waited, or is about to wait for `next`, has had its turn: if places are left, the next one that waits
    /// for any has it. If none are, those that still wait have found no room in the batch that is open now either, and
    /// one of them waits for the kind that is lacking.
    pub(super) fn pass_room_on(&self, front: &Front, core: &mut Core, next: Option<Room>) {
        core.learn_of_turns(front, next.is_some());
        if core.room_waiters == [0; 2] {
            return;
        }
        let Some(lack) = forming::lack(&self.limits, front.load(core), 8) else {
            if self.leave_room(core, self.monotonic()) {
                return self.touch_later(core);
            }
            self.owe_room(core, Room::Queue);
            self.owe_room(core, Room::Results);
            return;
        };
        if next != Some(lack.room()) && core.room_waiters[lack.room() as usize] == 0 {
            self.owe_room(core, lack.room().other());
        }
        if let Some(open) = &mut core.open {
            open.full = true;
            self.touch_later(core);
        }
    }

    /// Leaves room to those that are awake while a turn goes on; the caller touches, since that ends in time.
    fn leave_room(&self, core: &mut Core, now: i64) -> bool {
        let limits = &self.limits;
        let turn = &mut core.room_turn;
        let Some(learnt) = &turn.learnt else {
            return false;
        };
        let half_is_free = 2 * (core.left - learnt.gone[0]) >= limits.queue_capacity
            || 2 * (core.delivered - learnt.gone[1]) >= limits.result_capacity
            || 2 * (core.left_bytes - learnt.gone_bytes) >= limits.queue_bytes;
        let left = now < turn.ends && learnt.is_worth_it() && !half_is_free;
        if left {
            turn.over = turn.over.min(forming::after(now, LEFT_NS));
        }
        left
    }

    /// Nobody takes the room that was left to those that are awake: one that sleeps is woken, and passes on what it leaves.
    pub(super) fn end_turn(&self, core: &mut Core) {
        if let Some(learnt) = &mut core.room_turn.learnt {
            learnt.took = 0;
        }
        core.room_turn.over = FOREVER;
        self.owe_room(core, Room::Queue);
        self.owe_room(core, Room::Results);
    }

    /// One that was told and has not come yet looks at all there is by then.
    fn owe_room(&self, core: &mut Core, room: Room) {
        let at = room as usize;
        if core.room_waiters[at] > 0 && !core.room_told[at] {
            core.room_told[at] = true;
            core.room_turn.ends = forming::after(self.monotonic(), TURN_NS);
            core.room_turn.over = FOREVER;
            // SYNC: Relaxed; see `pay`.
            self.wakes.fetch_or(ROOM << room as u32, Ordering::Relaxed);
        }
    }

    /// Waits until room of this kind came since `seen`, until the batcher closes, or until `until`.
    pub(super) fn await_room(&self, room: Room, seen: u64, until: i64) {
        let at = room as usize;
        let mut core = self.core.lock();
        // Beside a handler on the same processor a sleeper is better off: it is woken to where there is nobody.
        let apart = is_apart(core.handler_cpu);
        // Beside others that wait only the one whose turn it is: who looks out besides is in its way.
        let may = apart && (core.room_waiters == [0; 2] || core.room_turn.of == thread::current_id());
        if core.room_changes[at] == seen && !core.closing() && may && core.room_spin.wants() {
            core.room_spin.spinners += 1;
            core.room_spinner = Some(room);
            drop(core);
            let found = self.spin_for_room(at, seen, until);
            core = self.core.lock();
            core.room_spin.spinners -= 1;
            core.room_spinner = None;
            core.room_spin.learn(found);
        }
        core.room_waiters[at] += 1;
        while core.room_changes[at] == seen && !core.closing() && self.monotonic() < until {
            core = self.room[at].wait_until(core, until);
            // Whoever was told looks and passes on what it leaves, since others were not told meanwhile.
            if std::mem::take(&mut core.room_told[at]) {
                core.room_turn.of = thread::current_id();
                break;
            }
        }
        core.room_waiters[at] -= 1;
    }

    /// Looks out for room for some microseconds: going to sleep and being woken costs more than a batch of pushes. A
    /// push that waits has nothing better to do, so any other thread may have the core meanwhile.
    fn spin_for_room(&self, at: usize, seen: u64, until: i64) -> bool {
        let until = until.min(self.monotonic() + SPIN_NS);
        self.look_out(until, thread::yield_now, || {
            // SYNC: Acquire pairs with `room_came`.
            self.room_hints[at].load(Ordering::Acquire) != seen
        })
    }
}
