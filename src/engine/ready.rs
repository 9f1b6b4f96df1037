//! Sets that are ready: their outcomes stand, and they are on their way to whoever takes results; then what their
//! values carried is given back.

use super::batch::Batch;
use super::batcher::Inner;
use super::core::Core;
use super::options::ResultsMode;
use super::release::ToRelease;
use super::room::Room;
use crate::sync::Shared;

/// A set on its way to whoever takes results.
pub(crate) enum Ready {
    /// Deliver it, then run its releases. Since when it is ready.
    Set(Shared<Batch>, i64),
    /// Delivered already: only releases remain.
    Releases(Releases),
}

/// The releases of a delivered set, and how far they are.
///
/// Inputs come in row order, then result objects in row order, then object results that were not delivered. While
/// somebody still looks at the batch only its result objects are given back.
pub(crate) struct Releases {
    pub(crate) set: Shared<Batch>,
    inputs: usize,
    results: Option<usize>,
    dropped: usize,
    only_results: bool,
}

impl Releases {
    /// What is to be given back of a delivered set now. Without anything: the set, and whether it must be kept
    /// because somebody looks at it.
    pub(crate) fn of(
        mut set: Shared<Batch>,
        results_released: bool,
    ) -> Result<Releases, (Shared<Batch>, bool)> {
        let only_results = match set.get_mut().map(Batch::carries_releases) {
            Some(true) => false,
            Some(false) => return Err((set, false)),
            None if !results_released && set.carries_result_objects() => true,
            None => return Err((set, true)),
        };
        Ok(Releases {
            set,
            inputs: 0,
            results: (!results_released).then_some(0),
            dropped: 0,
            only_results,
        })
    }

    pub(crate) fn next(&mut self) -> Option<ToRelease> {
        if !self.only_results
            && let Some(batch) = self.set.get_mut()
            && let Some(release) = batch.next_release(&mut self.inputs)
        {
            return Some(release);
        }
        if let Some(at) = &mut self.results
            && let Some(word) = self.set.next_result_release(at)
        {
            return Some(ToRelease::Object(word));
        }
        if self.only_results {
            return None;
        }
        self.set
            .next_dropped_release(&mut self.dropped)
            .map(ToRelease::Object)
    }

    /// The set, and whether it is only to be kept until nobody looks at it.
    pub(crate) fn done(self) -> (Shared<Batch>, bool) {
        (self.set, self.only_results)
    }
}

impl Core {
    /// A set of results is ready.
    pub(super) fn has_set(&self) -> bool {
        self.ready.iter().any(|ready| matches!(ready, Ready::Set(..)))
    }
}

impl Inner {
    /// Outcomes stand: the set goes to whoever takes results, or is only counted.
    pub(crate) fn make_ready(&self, core: &mut Core, set: Shared<Batch>, now: i64) {
        if self.routes.on_result || self.limits.results == ResultsMode::Pull {
            core.ready.push_back(Ready::Set(set, now));
            if core.result_waiters > 0 && !core.taker {
                self.results.notify_all();
            }
            return;
        }
        self.mark_delivered(core, &set, 0);
        self.let_go(core, set, false);
    }

    /// The set counts as delivered, so long after it was ready: result places and flush marks.
    pub(crate) fn mark_delivered(&self, core: &mut Core, set: &Batch, took: i64) {
        if let Some(accounts) = core.recorded.open() {
            accounts.delivery_time.record(took.max(0) as u64);
        }
        core.delivered += set.len as u64;
        core.undelivered -= set.len as u64;
        match (&set.origins, set.is_removed_set) {
            (Some(origins), true) => {
                for row in 0..set.len {
                    core.ledger.deliver(origins[row], 1);
                }
            }
            _ => core.ledger.deliver(set.id, set.len as u64),
        }
        self.room_came(core, Room::Results);
        if core.done_waiters > 0 {
            self.done.notify_all();
        }
    }

    /// A delivered set goes back to the pool, at once or when its releases have run. `results_released`: its
    /// result objects were given back already.
    pub(crate) fn let_go(&self, core: &mut Core, set: Shared<Batch>, results_released: bool) {
        match Releases::of(set, results_released) {
            Ok(releases) => core.ready.push_back(Ready::Releases(releases)),
            Err((set, true)) => core.lingering.push(set),
            Err((set, false)) => core.recycle(set),
        }
    }

    /// Delivered sets that nobody looks at any more.
    pub(crate) fn settle_lingering(&self, core: &mut Core) {
        let mut at = 0;
        while let Some(set) = core.lingering.get_mut(at) {
            if set.get_mut().is_none() {
                at += 1;
            } else if let Some(set) = core.lingering.remove(at) {
                self.let_go(core, set, true);
            }
        }
    }
}
