//! The open batch: how it begins, what joins it, how it is sealed.

use super::batcher::Inner;
use super::core::Core;
use super::error::Status;
use super::forming::{self, FOREVER, Open};
use super::front::Front;
use super::push::Push;
use super::value::{Kind, Trigger};
use super::writer::Writer;
use crate::sync::Shared;
use crate::sync::thread;

/// The open batch as those see it who do not hold the gate.
pub(crate) struct OpenInfo {
    pub(crate) opened_at: i64,
    /// Values accepted before its first one.
    pub(crate) first: u64,
    /// A push found no room since it was opened.
    pub(crate) full: bool,
}

impl Inner {
    /// Adds a value that has room. Every allocation comes before the first change. A staged one may use what is in reserve.
    pub(super) fn append(
        &self,
        front: &mut Front,
        core: &mut Core,
        push: &mut Push<'_>,
        staged: bool,
    ) -> Status {
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
        let fresh = core.reserve_for_batch().then(|| core.take_batch()).flatten();
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
        // Text is expected where there was some: grown step by step it would leave holes. Without memory it grows.
        let _ = batch.text.reserve(core.text_bytes as usize);
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

    /// Opens the next batch under the lock that sealing took, so that its first value needs none: whoever fills a batch
    /// is about to push more, and the thread that was just woken wants that lock. The batch is open from now on for
    /// those who watch its age, which is early; they find out behind the gate (`look_at_open`). Only where somebody
    /// watches, and where no host is told times.
    pub(super) fn prepare(&self, front: &mut Front, core: &mut Core) {
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
    pub(super) fn begin_prepared(&self, front: &mut Front) {
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

    /// Ends the life of an open batch in which no value waits.
    pub(super) fn drop_open(&self, front: &mut Front, core: &mut Core) {
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
            core.text_bytes = batch.text.len() as u32;
            core.ledger.seal(batch.id, batch.len as u64);
        }
        self.end_front(front);
        core.open = None;
        core.open_deadline = FOREVER;
        if let Some(accounts) = core.recorded.open() {
            accounts.triggers[trigger as usize] += 1;
        }
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
}
