//! Producers: per-thread handles that give up order across threads for speed.
//!
//! A producer stages values of 8 bytes in a small buffer of its own and passes them to the open batch in groups, so
//! that the front gate is taken once a group. The places of a group are reserved when it is granted: a staged
//! value has been accepted, and joining can't be refused. A grant counts as a value that waits since then: whoever
//! looks after `max_delay` joins the stages in time. Everything else a producer pushes goes through the front at
//! once, behind what it staged.

use super::batch::Release;
use super::batcher::Inner;
use super::core::Core;
use super::error::Status;
use super::forming;
use super::queue::{Front, IfFull, Push};
use super::value::{Kind, Value};
use crate::sync::{Gate, Mutex, Shared};

/// Values a stage holds at most.
const STAGE: usize = 64;

/// A group takes at most this share of a batch, so that stages never hold back a batch for long.
const SHARE: u64 = 8;

/// Values on their way to the open batch.
pub(crate) struct Staged {
    cells: [u64; STAGE],
    tags: [u64; STAGE],
    kinds: [u8; STAGE],
    len: usize,
    /// Values that may be staged without asking: their places are reserved.
    limit: usize,
    /// When the group was granted.
    since: i64,
}

/// One producer's buffer behind a gate of its own.
pub(crate) struct Stage {
    gate: Gate<Staged>,
}

/// The stages of a batcher's producers.
pub(crate) struct Stages {
    list: Mutex<Vec<Shared<Stage>>>,
}

impl Stages {
    pub(crate) const fn new() -> Stages {
        Stages {
            list: Mutex::new(Vec::new()),
        }
    }

    /// Values staged now.
    pub(crate) fn len(&self) -> u64 {
        self.list
            .lock()
            .iter()
            .map(|stage| stage.gate.visit(|staged| staged.len as u64))
            .sum()
    }
}

impl Inner {
    /// Joins what all producers staged to the open batch, and takes their grants back.
    pub(crate) fn join_stages(&self, front: &mut Front) {
        if front.reserved == 0 && self.core.lock().staged_since == forming::FOREVER {
            return;
        }
        for stage in self.stages.list.lock().iter() {
            self.join_stage(front, stage);
        }
        if front.reserved == 0 {
            self.core.lock().staged_since = forming::FOREVER;
        }
    }

    fn join_stage(&self, front: &mut Front, stage: &Stage) {
        stage.gate.visit(|staged| {
            if staged.limit == 0 {
                return;
            }
            front.reserved -= staged.limit as u64;
            let mut joined = 0;
            while joined < staged.len {
                let row = (staged.cells[joined], staged.tags[joined], staged.kinds[joined]);
                if !self.join_row(front, row, staged.since) {
                    break;
                }
                joined += 1;
            }
            // What found no memory waits on, its places reserved.
            staged.cells.copy_within(joined..staged.len, 0);
            staged.tags.copy_within(joined..staged.len, 0);
            staged.kinds.copy_within(joined..staged.len, 0);
            staged.len -= joined;
            staged.limit = staged.len;
            front.reserved += staged.limit as u64;
        });
    }

    /// Gives a producer its next group, if there is room for one.
    fn grant(&self, front: &mut Front, core: &mut Core, stage: &Stage) {
        let load = front.load(core);
        let (count, bytes) = forming::row_limit(&self.limits, 0, 0, load);
        let share = u64::from(self.limits.max_batch_size) / SHARE;
        let group = count.min(bytes / 8).min(share).min(STAGE as u64);
        let mut granted = false;
        stage.gate.visit(|staged| {
            if group > 1 && staged.limit == 0 {
                staged.limit = group as usize;
                staged.since = self.now();
                let oldest = if front.reserved == 0 {
                    staged.since
                } else {
                    core.staged_since
                };
                core.staged_since = oldest.min(staged.since);
                front.reserved += group;
                granted = true;
            }
        });
        if granted {
            // What the group holds, pushes through the front must not take without asking.
            front.narrow_for(self, core);
        }
    }
}

/// A producer of one thread at a time.
pub(crate) struct Producer {
    engine: Shared<Inner>,
    stage: Shared<Stage>,
}

impl Producer {
    pub(crate) fn new(engine: &Shared<Inner>) -> Result<Producer, Status> {
        if engine.is_foreign() {
            return Err(Status::FORKED);
        }
        let staged = Staged {
            cells: [0; STAGE],
            tags: [0; STAGE],
            kinds: [0; STAGE],
            len: 0,
            limit: 0,
            since: 0,
        };
        let stage = Shared::try_new(Stage {
            gate: Gate::new(staged),
        })
        .ok_or(Status::NO_MEMORY)?;
        let mut list = engine.stages.list.lock();
        list.try_reserve(1).map_err(|_| Status::NO_MEMORY)?;
        list.push(stage.clone());
        drop(list);
        Ok(Producer {
            engine: engine.clone(),
            stage,
        })
    }

    /// Pushes a value of 8 bytes.
    #[inline(always)]
    pub(crate) fn push_cell(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        if !self.engine.takes(kind) {
            return self.engine.push_cell_if(kind, cell, tag, if_full);
        }
        let taken = self.stage.gate.push(move |staged| {
            let row = staged.len;
            if row >= staged.limit || row >= STAGE {
                return false;
            }
            staged.cells[row] = cell;
            staged.tags[row] = tag;
            staged.kinds[row] = kind as u8;
            staged.len = row + 1;
            true
        });
        if taken {
            Status::OK
        } else {
            self.push_next(Push {
                if_full,
                ..Push::cell(kind, cell, tag)
            })
        }
    }

    /// Passes the group on, pushes a value behind it, and asks for the next group.
    #[cold]
    #[inline(never)]
    fn push_next(&self, push: Push<'_>) -> Status {
        self.join();
        let status = self.engine.push_slow(push);
        if status.is_ok() {
            self.engine.gate.push(|front| {
                if !front.closed {
                    let mut core = self.engine.core.lock();
                    self.engine.grant(front, &mut core, &self.stage);
                    self.engine.touch(&mut core);
                }
            });
        }
        status
    }

    fn join(&self) {
        self.engine
            .gate
            .push(|front| self.engine.join_stage(front, &self.stage));
    }

    /// Pushes a string or byte string, copied, behind what is staged.
    pub(crate) fn push_text(&self, kind: Kind, text: &[u8], tag: u64, if_full: IfFull) -> Status {
        if self.engine.is_foreign() {
            return Status::FORKED;
        }
        self.join();
        self.engine.push_text(kind, text, tag, if_full)
    }

    /// Pushes any value.
    pub(crate) fn push_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<Release>,
        if_full: IfFull,
    ) -> Status {
        if self.engine.is_foreign() {
            return Status::FORKED;
        }
        if deadline == 0 && owned.is_none() {
            match value {
                Value::Null => return self.push_cell(Kind::Null, 0, tag, if_full),
                Value::Bool(value) => return self.push_cell(Kind::Bool, u64::from(value), tag, if_full),
                Value::Int64(value) => return self.push_cell(Kind::Int64, value as u64, tag, if_full),
                Value::Float64(value) => return self.push_cell(Kind::Float64, value.to_bits(), tag, if_full),
                Value::String(_) | Value::Bytes(_) | Value::Object(_) => {}
            }
        }
        self.join();
        self.engine.push_value(value, tag, deadline, owned, if_full)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.engine.is_foreign() {
            return;
        }
        // What found no memory to join stays with the batcher, which joins it later; its stage stays listed.
        self.engine.gate.push(|front| {
            self.engine.join_stage(front, &self.stage);
            let empty = self.stage.gate.visit(|staged| staged.limit == 0);
            if empty {
                self.engine
                    .stages
                    .list
                    .lock()
                    .retain(|stage| !Shared::ptr_eq(stage, &self.stage));
            }
        });
    }
}
