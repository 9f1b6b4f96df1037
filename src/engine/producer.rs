//! Producers: per-thread handles that give up order across threads for speed.
//!
//! A producer stages values of 8 bytes in a small buffer of its own and passes them to the open batch in groups, so
//! that the front gate is taken once a group. The places of a group are reserved when it is granted: a staged
//! value has been accepted, and joining can't be refused. A grant counts as a value that waits since then: whoever
//! looks after `max_delay` joins the stages in time. Everything else a producer pushes goes through the front at
//! once, behind what it staged.

use super::batcher::Inner;
use super::error::Status;
use super::forming;
use super::front::Front;
use super::list::List;
use super::push::{IfFull, Push};
use super::release::Release;
use super::rows::Rows;
use super::value::{Kind, Value};
use super::writer::{Common, Tags, Writer};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::shared::IN_LINE;
use crate::sync::{Gate, LINE, Mutex, Shared};

/// Values a stage holds at most.
const STAGE: usize = 64;

/// A group takes at most this share of a batch, so that stages never hold back a batch for long.
const SHARE: u64 = 4;

/// Values on their way to the open batch.
pub(crate) struct Staged {
    rows: Rows,
    writer: Writer,
    /// Places reserved for this group.
    granted: u64,
    /// When the group was granted.
    since: i64,
}

impl Staged {
    fn new() -> Option<Staged> {
        Some(Staged {
            rows: Rows::new(STAGE)?,
            writer: Writer::detached(),
            granted: 0,
            since: 0,
        })
    }

    /// Begins a group of so many values.
    fn begin(&mut self, group: u64, now: i64) {
        self.writer = self.rows.writer(group as usize);
        self.granted = group;
        self.since = now;
    }

    fn end(&mut self) {
        self.writer = Writer::detached();
        self.granted = 0;
    }

    /// Goes on with the rows from `from` on.
    fn keep(&mut self, from: usize, len: usize) {
        self.writer = self.rows.writer(len - from);
        for row in from..len {
            let cell = self.rows.values(len)[row];
            let (tag, kind) = (self.rows.tags(len)[row], self.rows.kinds(len)[row]);
            self.writer.put(cell, tag, kind);
            self.writer.spell_out();
        }
        self.granted = (len - from) as u64;
    }
}

/// One producer's buffer behind a gate of its own.
#[repr(C)]
pub(crate) struct Stage {
    /// It has a grant: others need not take the gate from its producer to see that there is none. Behind the front.
    granted: AtomicBool,
    _line: [u8; LINE - IN_LINE - size_of::<AtomicBool>()],
    gate: Gate<Staged>,
}

impl Stage {
    /// Looks in with the front held, and keeps note of whether there is a grant.
    fn visit(&self, look: impl FnOnce(&mut Staged)) {
        self.gate.visit(|staged| {
            look(staged);
            // SYNC: Relaxed; stored and loaded by whoever has the front.
            self.granted.store(staged.granted > 0, Ordering::Relaxed);
        });
    }

    /// To be asked with the front held.
    fn has_grant(&self) -> bool {
        // SYNC: Relaxed; as in `visit`.
        self.granted.load(Ordering::Relaxed)
    }
}

/// The stages of a batcher's producers.
pub(crate) struct Stages {
    list: Mutex<List<Shared<Stage>>>,
}

impl Stages {
    pub(crate) const fn new() -> Stages {
        Stages {
            list: Mutex::new(List::new()),
        }
    }

    /// Values staged now.
    pub(crate) fn len(&self) -> u64 {
        self.list
            .lock()
            .iter()
            .map(|stage| stage.gate.visit(|staged| staged.writer.row() as u64))
            .sum()
    }
}

impl Inner {
    /// Joins what all producers staged to the open batch, and takes their grants back.
    pub(crate) fn join_stages(&self, front: &mut Front) {
        if !front.stages_are_watched {
            return;
        }
        for stage in self.stages.list.lock().iter() {
            self.join_stage(front, stage);
        }
        if front.reserved == 0 {
            let mut core = self.core.lock();
            core.staged_since = forming::FOREVER;
            front.stages_are_watched = false;
            if let Some(batch) = front.in_reserve.take() {
                core.recycle(batch);
            }
        }
    }

    /// Joins one stage. If that took the batch in reserve, the other stages join it at once, while it has room for all.
    fn join_one(&self, front: &mut Front, stage: &Stage) {
        self.join_stage(front, stage);
        if front.in_reserve.is_none() && front.reserved > 0 {
            self.join_stages(front);
        }
    }

    fn join_stage(&self, front: &mut Front, stage: &Stage) {
        if stage.has_grant() {
            stage.visit(|staged| self.join_staged(front, staged));
        }
    }

    fn join_staged(&self, front: &mut Front, staged: &mut Staged) {
        front.give_places_back(staged.granted, &self.limits);
        let len = staged.writer.row();
        let common = staged.writer.common();
        if common.kind.is_none() || common.first_tag.is_none() {
            staged.writer.spell_out();
        }
        let mut joined = 0;
        while joined < len {
            // As many as fit at once; the first of a batch on its own.
            let taken = match common {
                Common {
                    kind: Some(kind),
                    first_tag: Some(first),
                } => {
                    let tags = Tags::From(first.wrapping_add(joined as u64));
                    self.join_rows(
                        front,
                        &staged.rows.values(len)[joined..],
                        tags,
                        kind,
                        staged.since,
                    )
                }
                _ => {
                    let kinds = &staged.rows.kinds(len)[joined..];
                    let same = kinds.iter().take_while(|kind| **kind == kinds[0]).count();
                    let tags = &staged.rows.tags(len)[joined..joined + same];
                    let cells = &staged.rows.values(len)[joined..joined + same];
                    self.join_rows(front, cells, Tags::Each(tags), kinds[0], staged.since)
                }
            };
            if taken == 0 {
                break;
            }
            joined += taken;
        }
        if joined < len {
            // What found no memory waits on, its places reserved.
            staged.writer.spell_out();
            staged.keep(joined, len);
            front.reserve_places(staged.granted);
        } else {
            staged.end();
        }
    }

    /// Joins staged rows of one kind, as many as fit at once; answers how many, 0 if memory ran out.
    fn join_rows(&self, front: &mut Front, cells: &[u64], tags: Tags<'_>, kind: u8, since: i64) -> usize {
        let taken = self.put_rows(front, cells, tags, kind);
        if taken > 0 {
            return taken;
        }
        let row = (cells[0], tags.of(0).unwrap_or_default(), kind);
        usize::from(self.join_row(front, row, since))
    }

    /// Gives a producer its next group, if there is room for one: from the places that the open batch may fill without
    /// asking, or else from all there is. Only into a batch that has begun: its first value says when.
    fn grant(&self, front: &mut Front, stage: &Stage) {
        if front.closed || !front.has_begun() {
            return;
        }
        let batch = u64::from(self.limits.max_batch_size).min(self.limits.max_batch_bytes / 8);
        let share = (batch / SHARE)
            .min(STAGE as u64)
            .min(batch.saturating_sub(front.reserved))
            .min(front.rows_before_the_last(&self.limits));
        if front.in_reserve.is_some() && front.stages_are_watched && front.places() > share {
            stage.visit(|staged| {
                if staged.granted == 0 && share > 1 {
                    staged.begin(share, self.now());
                    front.reserve_places(share);
                }
            });
            return;
        }
        let mut core = self.core.lock();
        let load = front.load(&core);
        let (count, bytes) = forming::row_limit(&self.limits, 0, 0, load);
        let group = count.min(bytes / 8).min(share);
        if group > 1 && front.in_reserve.is_none() && core.reserve_for_batch() {
            front.in_reserve = core.take_batch();
        }
        if front.in_reserve.is_none() {
            return;
        }
        stage.visit(|staged| {
            if group > 1 && staged.granted == 0 {
                staged.begin(group, self.now());
                if !front.stages_are_watched {
                    core.staged_since = core.staged_since.min(staged.since);
                    front.stages_are_watched = true;
                }
                front.reserved += group;
                // What the group holds, pushes through the front must not take without asking.
                front.narrow_for(self, &core);
            }
        });
        self.touch_later(&mut core);
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
        let staged = Staged::new().ok_or(Status::NO_MEMORY)?;
        let stage = Shared::try_new(Stage {
            granted: AtomicBool::new(false),
            _line: [0; LINE - IN_LINE - size_of::<AtomicBool>()],
            gate: Gate::new(staged, |_| 0),
        })
        .ok_or(Status::NO_MEMORY)?;
        let mut list = engine.stages.list.lock();
        if !list.reserve(1) {
            return Err(Status::NO_MEMORY);
        }
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
        if self.push_inside(kind, cell, tag) {
            return Status::OK;
        }
        self.push_cell_asking(kind, cell, tag, if_full)
    }

    /// The common push: into the midst of a group, like the values before it; else false, and nothing happened.
    #[inline(always)]
    pub(crate) fn push_inside(&self, kind: Kind, cell: u64, tag: u64) -> bool {
        self.engine.takes(kind)
            && self.stage.gate.push_if_owner(
                #[inline(always)]
                |staged| staged.writer.put_inside(Some(cell), tag, kind as u8),
            ) == Some(true)
    }

    /// The same for every other value.
    #[inline(never)]
    pub(crate) fn push_cell_asking(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        if !self.engine.takes(kind) {
            return self.engine.push_cell_if(kind, cell, tag, if_full);
        }
        let taken = self
            .stage
            .gate
            .push(|staged| staged.writer.put(cell, tag, kind as u8));
        if taken {
            return Status::OK;
        }
        self.push_next(Push {
            if_full,
            ..Push::cell(kind, cell, tag)
        })
    }

    /// Passes the group on, pushes a value behind it, and asks for the next group.
    #[cold]
    #[inline(never)]
    fn push_next(&self, push: Push<'_>) -> Status {
        let engine = &self.engine;
        let taken = engine.gate.push(|front| {
            engine.join_one(front, &self.stage);
            let taken = engine.put_row(front, push.kind, push.cell, push.tag);
            if taken {
                engine.grant(front, &self.stage);
            }
            taken
        });
        engine.pay();
        if taken {
            return Status::OK;
        }
        let status = engine.push_slow(push);
        if status.is_ok() {
            engine.gate.push(|front| engine.grant(front, &self.stage));
            engine.pay();
        }
        status
    }

    fn join(&self) {
        self.engine
            .gate
            .push(|front| self.engine.join_one(front, &self.stage));
        self.engine.pay();
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
        // What a fault kept from joining stays with the batcher, which joins it later; its stage stays listed.
        self.engine.gate.push(|front| {
            self.engine.join_one(front, &self.stage);
            if !self.stage.has_grant() {
                self.engine
                    .stages
                    .list
                    .lock()
                    .retain(|stage| !Shared::ptr_eq(stage, &self.stage));
            }
        });
    }
}
