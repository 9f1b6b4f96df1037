//! Sets of results on their way out, and what they give back once they are delivered.

use super::batch::Batch;
use super::batcher::Inner;
use super::core::Core;
use super::ready::{Ready, Releases};
use super::release::{Release, ToRelease};
use super::value::Kind;
use crate::sync::{MutexGuard, Shared};

/// A set of results on its way out; dropping a pulled one gives it back.
pub(crate) struct ResultSet {
    pub(super) engine: Option<Shared<Inner>>,
    pub(super) set: Option<Shared<Batch>>,
    pub(super) owner: u32,
    /// 1, 2, 3, ... in the order in which sets were pulled; 0 of one that was not.
    pub(super) turn: u64,
}

impl ResultSet {
    /// The process is a fork of the one it was made in.
    pub(crate) fn is_foreign(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_foreign())
    }

    pub(crate) fn batch(&self) -> &Batch {
        match &self.set {
            Some(set) => set,
            None => unreachable!("a result set has its batch until it is dropped"),
        }
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// A set that belongs to no batcher.
    pub(crate) fn detached(set: Shared<Batch>, owner: u32) -> ResultSet {
        ResultSet {
            engine: None,
            set: Some(set),
            owner,
            turn: 0,
        }
    }
}

impl Drop for ResultSet {
    fn drop(&mut self) {
        let (Some(engine), Some(set)) = (self.engine.take(), self.set.take()) else {
            return;
        };
        if engine.is_foreign() {
            return;
        }
        let mut core = engine.core.lock();
        core.taken -= 1;
        if !core.reserve_caller() {
            // Without memory to note the callback the releases run like any others.
            engine.let_go(&mut core, set, false);
            return engine.touch(&mut core);
        }
        core.enter_callback();
        drop(core);
        // The host read the objects until now: what the set carries is given back here.
        engine.give_back(set);
        let mut core = engine.core.lock();
        core.leave_callback();
        if core.done_waiters > 0 {
            engine.done.notify_all();
        }
        engine.touch(&mut core);
        engine.drop_ready_if_freed(core);
    }
}

impl Inner {
    /// A set whose releases ran is recycled, or lingers while somebody looks at it.
    pub(super) fn end_releases(&self, core: &mut Core, releases: Releases) {
        match releases.done() {
            (set, true) => self.let_go(core, set, true),
            (set, false) => core.recycle(set),
        }
    }

    /// Runs a delivered set's releases on the calling thread.
    pub(super) fn give_back(&self, set: Shared<Batch>) {
        match Releases::of(set, false) {
            Ok(releases) => self.give_back_these(releases),
            Err((set, _)) => self.let_go(&mut self.core.lock(), set, true),
        }
    }

    pub(super) fn give_back_these(&self, mut releases: Releases) {
        while let Some(release) = releases.next() {
            match release {
                ToRelease::Object(word) => self.callbacks.release_object(word),
                ToRelease::Owned(release) => release.run(),
            }
        }
        self.end_releases(&mut self.core.lock(), releases);
    }

    /// Has an object released where releases run: it was handed over too late to be a result.
    pub(crate) fn release_object_later(&self, word: u64) {
        let mut core = self.core.lock();
        let Some(mut set) = core.take_set(1, self.batch_rows()) else {
            drop(core);
            return self.callbacks.release_object(word);
        };
        if let Some(batch) = set.get_mut() {
            batch.rows.put(0, word, 0, Kind::Object as u8);
            batch.len = 1;
            batch.classify();
        }
        self.let_go(&mut core, set, true);
        self.touch(&mut core);
    }

    /// Has a release run where releases run: never on the thread that calls this.
    pub(crate) fn release_later(&self, release: Release) {
        let mut core = self.core.lock();
        let set = core.take_set(1, self.batch_rows());
        let Some(mut set) = set else {
            // Without memory to pass it on, here and now is better than never.
            drop(core);
            return release.run();
        };
        if let Some(batch) = set.get_mut()
            && batch.reserve_owned()
        {
            batch.rows.put(0, 0, 0, Kind::Null as u8);
            batch.put_owned(0, std::ptr::null(), 0, Some(release));
            batch.len = 1;
        }
        self.let_go(&mut core, set, true);
        self.touch(&mut core);
    }

    /// Once the batcher was freed nobody else gives back what batches kept: whoever lets go of them does. Inside a
    /// callback it is left to whoever called back.
    pub(crate) fn drop_ready_if_freed(&self, core: MutexGuard<'_, Core>) {
        if core.stop && core.drivers == 0 && !core.in_callback() {
            drop(core);
            self.drop_ready();
        }
    }

    /// Drops sets nobody will pull any more, running what they release.
    pub(crate) fn drop_ready(&self) {
        let mut core = self.core.lock();
        if core.ready.is_empty() {
            return;
        }
        // Without memory to note the callback the releases run all the same.
        let noted = core.reserve_caller();
        if noted {
            core.enter_callback();
        }
        while let Some(next) = core.ready.pop_front() {
            if let Ready::Set(set, since) = &next {
                let took = self.now().saturating_sub(*since);
                self.mark_delivered(&mut core, set, took);
            }
            drop(core);
            match next {
                Ready::Set(set, _) => self.give_back(set),
                Ready::Releases(releases) => self.give_back_these(releases),
            }
            core = self.core.lock();
        }
        if noted {
            core.leave_callback();
            if core.done_waiters > 0 {
                self.done.notify_all();
            }
        }
    }
}
