//! The engine object and its steps.
//!
//! All work that calls back is a step: `next_step` decides under the locks, the caller runs the callback with no
//! lock held, and an `end_*` call brings the answer back. Handler threads, the time thread and a host's `run`
//! drive the same steps; only what they wait for differs.

use super::batch::{Batch, Release, ToRelease};
use super::core::{Core, Ready, Releases};
use super::dispatch::Part;
use super::error::{Error, Status};
use super::forming::{self, FOREVER};
use super::options::{Clock, Limits, Mode, OnFull, Options, ResultsMode};
use super::producer::Stages;
use super::queue::{Front, Push};
use super::stats::Stats;
use super::value::{Kind, Trigger, Value};
use crate::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use crate::sync::fd::TimerFd;
use crate::sync::thread::Thread;
use crate::sync::{Condvar, Gate, Mutex, MutexGuard, Shared, clock, fork, thread};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `which` of the default handler.
pub(crate) const DEFAULT: usize = Kind::COUNT;
/// `which` of a batch that is pulled.
pub(crate) const PULLED: usize = Kind::COUNT + 1;

/// How long a thread that ran out of work looks out for more before it sleeps.
const SPIN_NS: i64 = 20_000;
/// Looks between two readings of the clock, and pauses between two looks: tight polling would steal the line from
/// the producers.
const SPIN_LOOKS: u32 = 8;
const SPIN_PAUSES: u32 = 16;

/// A pool nobody used for this long is given back.
const IDLE_TRIM: i64 = 1_000_000_000;

/// The user's functions, called with no lock held.
pub(crate) trait Callbacks: Send + Sync {
    /// Runs handler `which` (a kind code or DEFAULT) on its part.
    fn handle(&self, which: usize, part: &Part) -> Status;
    /// Takes a set of results.
    fn on_result(&self, results: &ResultSet);
    /// Gives an object back to its owner.
    fn release_object(&self, word: u64);
    /// Takes a line of log.
    fn log(&self, level: i32, message: &str);
    /// The calling thread is ending inside one of these: what it was lent is not good any more.
    fn thread_left(&self) {}
}

/// Which callbacks there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routes {
    /// A bit for every kind with a handler of its own.
    pub(crate) own: u8,
    pub(crate) default: bool,
    pub(crate) on_result: bool,
}

impl Routes {
    /// No handlers at all: the host pulls batches, of every kind.
    pub(crate) fn is_pulled(&self) -> bool {
        self.own == 0 && !self.default
    }

    /// A bit for every kind that is taken.
    fn accepted(&self) -> u8 {
        if self.default || self.is_pulled() {
            u8::MAX
        } else {
            self.own
        }
    }
}

/// A set of results on its way out; dropping a pulled one gives it back.
pub(crate) struct ResultSet {
    engine: Option<Shared<Inner>>,
    set: Option<Shared<Batch>>,
    owner: u32,
}

impl ResultSet {
    pub(crate) fn batch(&self) -> &Batch {
        match &self.set {
            Some(set) => set,
            None => unreachable!("a result set has its batch until it is dropped"),
        }
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// A set that belongs to no batcher.
    pub(crate) fn detached(set: Shared<Batch>, owner: u32) -> ResultSet {
        ResultSet {
            engine: None,
            set: Some(set),
            owner,
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
    }
}

/// What a thread that drives steps is doing: it outlives every callback, so that a thread that ends inside one
/// leaves word of what it held.
pub(crate) struct Record {
    part: Option<Part>,
    which: usize,
    set: Option<ResultSet>,
    /// Since when that set was ready.
    ready_since: i64,
    releases: Option<Releases>,
    release: Option<ToRelease>,
    role: Role,
}

impl Record {
    const fn new(role: Role) -> Record {
        Record {
            part: None,
            which: 0,
            set: None,
            ready_since: 0,
            releases: None,
            release: None,
            role,
        }
    }
}

/// Who drives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A handler thread: waits for work.
    Worker,
    /// The time thread: deadlines, time-outs and deliveries nobody else is free for.
    Time,
    /// A host in `run`: never waits, and takes only batches whose first value is among the first `limit`.
    Host { limit: u64 },
}

/// What a step asks its driver to call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Handle,
    Deliver,
    Release,
    /// Nothing to do (a host), or the batcher is gone (a thread).
    End,
}

/// The engine behind every handle.
pub(crate) struct Inner {
    pub(crate) limits: Limits,
    pub(crate) routes: Routes,
    accepted: u8,
    pub(crate) callbacks: Box<dyn Callbacks>,
    fork_epoch: u32,
    pub(crate) gate: Gate<Front>,
    pub(crate) stages: Stages,
    pub(crate) core: Mutex<Core>,
    /// Handler threads and callers of next_batch wait here.
    pub(crate) work: Condvar,
    time: Condvar,
    pub(crate) room: Condvar,
    pub(crate) done: Condvar,
    pub(crate) results: Condvar,
    given_now: AtomicI64,
    /// Counts work that came while somebody spins for it.
    hint: AtomicU32,
    threads: Mutex<Vec<Thread>>,
}

impl Inner {
    // ---- creation --------------------------------------------------------------------------------------------

    /// Checks the options, makes the engine and starts its threads.
    pub(crate) fn start(
        options: &Options,
        routes: Routes,
        callbacks: Box<dyn Callbacks>,
    ) -> Result<Shared<Inner>, Error> {
        let no_memory = || Error::bare(Status::NO_MEMORY);
        let limits = options.resolve(!routes.is_pulled())?;
        if limits.results == ResultsMode::Pull && routes.on_result {
            return Err(Error::new(
                Status::INVALID_OPTION,
                "results",
                format_args!("results = pull and an on_result callback: give one of the two"),
            ));
        }
        fork::install().map_err(|errno| {
            Error::new(
                Status::SYSTEM,
                "fork",
                format_args!("fork detection could not be set up (errno {errno})"),
            )
        })?;
        let threads = match limits.mode {
            Mode::Manual => 0,
            Mode::Threaded => {
                1 + if routes.is_pulled() {
                    0
                } else {
                    limits.threads as usize
                }
            }
        };
        let core = Core::new(threads + 2, limits.max_in_flight).ok_or_else(no_memory)?;
        let mut handles = Vec::new();
        handles.try_reserve(threads).map_err(|_| no_memory())?;
        let engine = Shared::try_new(Inner {
            limits,
            routes,
            accepted: routes.accepted(),
            callbacks,
            fork_epoch: fork::epoch(),
            gate: Gate::new(Front::new()),
            stages: Stages::new(),
            core: Mutex::new(core),
            work: Condvar::new(),
            time: Condvar::new(),
            room: Condvar::new(),
            done: Condvar::new(),
            results: Condvar::new(),
            given_now: AtomicI64::new(0),
            hint: AtomicU32::new(0),
            threads: Mutex::new(handles),
        })
        .ok_or_else(no_memory)?;
        for index in 0..threads {
            if let Err(error) = Inner::spawn(&engine, index > 0) {
                engine.stop_threads();
                return Err(error);
            }
        }
        if limits.drain_at_exit > 0
            && let Err(error) = super::exit::register(&engine)
        {
            engine.stop_threads();
            return Err(error);
        }
        Ok(engine)
    }

    fn spawn(engine: &Shared<Inner>, worker: bool) -> Result<(), Error> {
        let (name, entry): (_, extern "C-unwind" fn(*mut c_void) -> *mut c_void) = if worker {
            ("mb-handler", worker_main)
        } else {
            ("mb-time", time_main)
        };
        let mut threads = engine.threads.lock();
        if threads.try_reserve(1).is_err() {
            return Err(Error::bare(Status::NO_MEMORY));
        }
        let arg = Shared::into_raw(engine.clone());
        match thread::spawn(name, thread::STACK_BYTES, entry, arg.cast::<c_void>().as_ptr()) {
            Ok(handle) => {
                threads.push(handle);
                Ok(())
            }
            Err(errno) => {
                // SAFETY: the thread that would have taken this count over was not made.
                drop(unsafe { Shared::<Inner>::from_raw(arg) });
                Err(Error::new(
                    Status::SYSTEM,
                    "threads",
                    format_args!(
                        "a thread could not be made (errno {errno}); threads = {}",
                        engine.limits.threads
                    ),
                ))
            }
        }
    }

    // ---- small questions -------------------------------------------------------------------------------------

    /// This process is a fork of the one the batcher was made in.
    #[inline(always)]
    pub(crate) fn is_foreign(&self) -> bool {
        self.fork_epoch != fork::epoch()
    }

    /// There is somebody for values of this kind.
    #[inline(always)]
    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.accepted & (1 << kind as u8) != 0
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.limits.mode == Mode::Manual
    }

    pub(crate) fn monotonic(&self) -> i64 {
        clock::monotonic_ns()
    }

    /// The batcher's clock.
    pub(crate) fn now(&self) -> i64 {
        match self.limits.clock {
            Clock::Monotonic => clock::monotonic_ns(),
            // SYNC: Relaxed; a given clock orders nothing.
            Clock::Given => self.given_now.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn clock_now(&self) -> Result<i64, Status> {
        if self.is_foreign() {
            Err(Status::FORKED)
        } else {
            Ok(self.now())
        }
    }

    pub(crate) fn batch_rows(&self) -> usize {
        self.limits.max_batch_size as usize
    }

    pub(crate) fn pulls_results(&self) -> bool {
        self.limits.results == ResultsMode::Pull
    }

    // ---- telling those who wait ------------------------------------------------------------------------------

    /// Places became free.
    pub(crate) fn room_came(&self, core: &mut Core) {
        core.room_changes += 1;
        if core.room_waiters > 0 {
            self.room.notify_all();
        }
    }

    /// Called with the core lock after every change: wakes whoever has something to do now.
    pub(crate) fn touch(&self, core: &mut Core) {
        let deliver = !core.ready.is_empty() && !core.delivering && !self.pulls_results();
        self.tell(core, deliver);
    }

    /// `touch` for a thread that takes its next step at once: it delivers what is ready itself.
    fn touch_between_steps(&self, core: &mut Core) {
        self.tell(core, false);
    }

    fn tell(&self, core: &mut Core, deliver: bool) {
        self.wake_sleeper(core);
        if core.closing() {
            self.tell_closers(core);
        }
        if core.time_sleeps {
            let due = self.next_time_event(core);
            if due < core.time_due || deliver || core.stop {
                core.time_sleeps = false;
                self.time.notify_one();
            }
        }
        if core.fd.is_some() {
            self.set_fd(core);
        }
    }

    /// Those who wait for the end: close itself, and pullers that would wait in vain.
    fn tell_closers(&self, core: &Core) {
        if core.sleepers > 0 && core.open.is_none() && core.sealed.is_empty() && self.routes.is_pulled() {
            self.work.notify_all();
        }
        if core.result_waiters > 0 && core.drained(true) {
            self.results.notify_all();
        }
        if core.done_waiters > 0 && core.drained(self.pulls_results()) {
            self.done.notify_all();
        }
    }

    fn wake_sleeper(&self, core: &mut Core) {
        if core.stop {
            // SYNC: Release pairs with the load in `spin`.
            self.hint.fetch_add(1, Ordering::Release);
            self.work.notify_all();
            return;
        }
        if core.sleepers <= core.waking && core.spin.spinners == 0 {
            return;
        }
        if core.in_flight >= self.limits.max_in_flight {
            return;
        }
        let due = if !core.sealed.is_empty() {
            i64::MIN
        } else {
            match &core.open {
                _ if core.staged_since < FOREVER => self.oldest_due(core),
                None => return,
                Some(open) if open.full => i64::MIN,
                Some(_) => self.oldest_due(core),
            }
        };
        let now = due == i64::MIN;
        if core.spin.spinners > 0 {
            // A spinner looks at the open batch's time by itself when it stops spinning.
            if now {
                // SYNC: Release pairs with the load in `spin`; the core lock publishes the work itself.
                self.hint.fetch_add(1, Ordering::Release);
            }
            return;
        }
        if (now && core.waking == 0) || (!now && due < core.watch_due && core.waking == 0) {
            core.waking += 1;
            self.work.notify_one();
        }
    }

    /// When the open batch or a stage is due by time; i64::MIN for "at once".
    fn oldest_due(&self, core: &Core) -> i64 {
        let since = core
            .open
            .as_ref()
            .map_or(FOREVER, |open| open.opened_at)
            .min(core.staged_since);
        match self.limits.max_delay {
            _ if since == FOREVER => FOREVER,
            0 => i64::MIN,
            _ => forming::due_at(&self.limits, since),
        }
    }

    /// The open batch, or what may be staged, is due at `now`.
    fn is_due(&self, core: &Core, now: i64) -> bool {
        core.open.as_ref().is_some_and(|open| open.full) || self.oldest_due(core) <= now
    }

    fn next_time_event(&self, core: &Core) -> i64 {
        let close = core.close.filter(|close| !close.discarded && !core.drained(true));
        let close = close.map_or(FOREVER, |close| close.due);
        core.next_deadline.min(core.next_expiry()).min(close)
    }

    // ---- time ------------------------------------------------------------------------------------------------

    /// Deadlines, then handler time-outs, then close's time-out (the contract's P7).
    pub(crate) fn sweep(&self, now: i64) {
        self.gate.visit(|front| {
            let mut core = self.core.lock();
            if core.next_deadline <= now {
                self.expire_waiting(front, &mut core, now);
            }
            self.expire_flights(&mut core, now);
            if let Some(close) = core.close
                && !close.discarded
                && close.due <= now
            {
                let running = core.delivering.then_some(core.deliveries);
                let left = close.left + self.discard_all(&mut core);
                core.close = Some(super::core::Closing {
                    due: close.due,
                    discarded: true,
                    left,
                    running,
                });
                self.done.notify_all();
            }
            self.touch(&mut core);
        });
    }

    fn sweep_if_due(&self, now: i64) {
        let due = self.next_time_event(&self.core.lock());
        if due <= now {
            self.sweep(now);
        }
    }

    // ---- steps -----------------------------------------------------------------------------------------------

    /// Finds the next callback to run and notes it in the record. Waits if the role waits.
    fn next_step(&self, engine: &Shared<Inner>, record: &mut Record) -> Step {
        loop {
            let now = self.now();
            let mut core = self.core.lock();
            if self.next_time_event(&core) <= now {
                drop(core);
                self.sweep(now);
                continue;
            }
            if let Some(step) = self.take_ready(&mut core, engine, record) {
                // A thread that was woken for a batch and goes into on_result passes the wake on.
                self.wake_sleeper(&mut core);
                return step;
            }
            if core.stop {
                return Step::End;
            }
            match record.role {
                Role::Time => {
                    let due = self.next_time_event(&core);
                    core.time_due = due;
                    core.time_sleeps = true;
                    let mut core = self.time.wait_until(core, due);
                    core.time_sleeps = false;
                }
                Role::Host { limit } => {
                    if !self.routes.is_pulled() && self.take_batch_to_handle(core, engine, record, limit, now)
                    {
                        return Step::Handle;
                    }
                    return Step::End;
                }
                Role::Worker => {
                    if self.take_batch_to_handle(core, engine, record, u64::MAX, now) {
                        return Step::Handle;
                    }
                    let core = self.core.lock();
                    drop(self.sleep(core, FOREVER));
                }
            }
        }
    }

    /// A ready set, if nobody else is delivering.
    fn take_ready(&self, core: &mut Core, engine: &Shared<Inner>, record: &mut Record) -> Option<Step> {
        if core.delivering {
            return None;
        }
        if self.pulls_results() && !matches!(core.ready.front(), Some(Ready::Releases(_))) {
            return self.take_releases(core, record);
        }
        match core.ready.pop_front()? {
            Ready::Set(set, since) => {
                let owner = self.limits.owner;
                core.delivering_values = set.len as u64;
                record.ready_since = since;
                record.set = Some(ResultSet {
                    engine: Some(engine.clone()),
                    set: Some(set),
                    owner,
                });
                self.begin_delivery(core);
                Some(Step::Deliver)
            }
            Ready::Releases(set) => {
                record.releases = Some(set);
                self.begin_delivery(core);
                Some(Step::Release)
            }
        }
    }

    /// With pulled results the sets stay, but releases behind them run.
    fn take_releases(&self, core: &mut Core, record: &mut Record) -> Option<Step> {
        let at = core
            .ready
            .iter()
            .position(|ready| matches!(ready, Ready::Releases(_)))?;
        let Some(Ready::Releases(releases)) = core.ready.remove(at) else {
            return None;
        };
        record.releases = Some(releases);
        self.begin_delivery(core);
        Some(Step::Release)
    }

    fn begin_delivery(&self, core: &mut Core) {
        core.delivering = true;
        core.deliveries += 1;
        core.enter_callback();
    }

    /// Dispatches a sealed batch, or the open one if it is due, and begins its first part.
    fn take_batch_to_handle(
        &self,
        mut core: MutexGuard<'_, Core>,
        engine: &Shared<Inner>,
        record: &mut Record,
        limit: u64,
        now: i64,
    ) -> bool {
        let part = if let Some(part) = self.take_sealed(&mut core, engine, limit, now) {
            part
        } else {
            drop(core);
            self.take_open(engine, limit, now)
        };
        let Some((part, which)) = part else { return false };
        record.part = Some(part);
        record.which = which;
        true
    }

    /// Some(None): a sealed batch there is, but it is not to be taken. None: look at the open batch.
    #[expect(
        clippy::option_option,
        reason = "the outer level says whether the open batch may be looked at"
    )]
    fn take_sealed(
        &self,
        core: &mut Core,
        engine: &Shared<Inner>,
        limit: u64,
        now: i64,
    ) -> Option<Option<(Part, usize)>> {
        loop {
            if core.in_flight >= self.limits.max_in_flight {
                return Some(None);
            }
            match core.sealed.front() {
                None => {
                    // Only a look: `take_open` asks again with the gate.
                    let early = core.open.as_ref().is_none_or(|open| open.first < limit);
                    return if early && self.is_due(core, now) {
                        None
                    } else {
                        Some(None)
                    };
                }
                Some(batch) if batch.first >= limit => return Some(None),
                Some(_) => {}
            }
            if !core.reserve_caller() {
                return Some(None);
            }
            // A batch that could not be split has its outcome already: look for the next.
            let Some(number) = self.dispatch(core, now) else {
                continue;
            };
            let begun = self.begin_part(core, engine, number);
            if begun.is_some() && !self.routes.is_pulled() {
                core.enter_callback();
            }
            self.touch(core);
            return Some(begun);
        }
    }

    /// Seals the open batch into a free slot if it is due, and dispatches it.
    fn take_open(&self, engine: &Shared<Inner>, limit: u64, now: i64) -> Option<(Part, usize)> {
        self.gate.visit(|front| {
            self.join_stages(front);
            let mut core = self.core.lock();
            if core.sealed.is_empty()
                && let Some(open) = &core.open
                && open.first < limit
                && let Some(trigger) = self.open_due(open, now)
                && core.in_flight < self.limits.max_in_flight
            {
                self.seal(front, &mut core, trigger);
            }
            self.take_sealed(&mut core, engine, limit, now).flatten()
        })
    }

    /// Sleeps until there may be work; a sleeper that watches the open batch wakes when it is due.
    fn sleep<'a>(&'a self, mut core: MutexGuard<'a, Core>, until: i64) -> MutexGuard<'a, Core> {
        let free = core.in_flight < self.limits.max_in_flight;
        if core.stop || (free && !core.sealed.is_empty()) {
            return core;
        }
        if core.spin.wants() {
            return self.spin(core);
        }
        if free && self.is_due(&core, self.now()) {
            return core;
        }
        let open_due = if free { self.oldest_due(&core) } else { FOREVER };
        let idle = core.has_pool() && core.open.is_none() && core.in_flight == 0;
        let trim_at = if idle {
            forming::after(self.monotonic(), IDLE_TRIM)
        } else {
            FOREVER
        };
        let watch = open_due.min(trim_at);
        let watches = watch < core.watch_due;
        if watches {
            core.watch_due = watch;
        }
        core.sleepers += 1;
        let mut core = self
            .work
            .wait_until(core, until.min(if watches { watch } else { FOREVER }));
        core.sleepers -= 1;
        core.waking = core.waking.saturating_sub(1);
        if watches {
            core.watch_due = FOREVER;
        }
        if idle && core.open.is_none() && core.in_flight == 0 && self.monotonic() >= trim_at {
            core.trim();
        }
        core
    }

    /// Looks out for work for a few microseconds before sleeping: a wake costs the producer more than a batch of
    /// pushes. Whether that pays is learnt from whether it did.
    fn spin<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        // SYNC: Relaxed under the core lock, which orders it with the increments made there.
        let seen = self.hint.load(Ordering::Relaxed);
        core.spin.spinners += 1;
        drop(core);
        let until = self.monotonic() + SPIN_NS;
        let mut found = false;
        while !found && self.monotonic() < until {
            for _ in 0..SPIN_LOOKS {
                for _ in 0..SPIN_PAUSES {
                    std::hint::spin_loop();
                }
                // SYNC: Acquire pairs with the increments in `wake_sleeper`; the work itself is read under the lock.
                found = self.hint.load(Ordering::Acquire) != seen;
                if found {
                    break;
                }
            }
        }
        let mut core = self.core.lock();
        core.spin.spinners -= 1;
        core.spin.learn(found);
        core
    }

    /// Runs the callback of a step, and the steps that follow from it. No lock is held, and nothing here needs to
    /// be dropped while a callback runs, so that a thread may end inside it.
    fn call(&self, record: &mut Record, mut step: Step) {
        loop {
            step = match (step, &record.part, &record.set) {
                (Step::Handle, Some(part), _) => {
                    let status = self.callbacks.handle(record.which, part);
                    self.contained(Step::End, || self.end_handle(record, status))
                }
                (Step::Deliver, _, Some(set)) => {
                    self.callbacks.on_result(set);
                    self.contained(Step::End, || self.end_deliver(record))
                }
                (Step::Release, _, _) => {
                    match record.release.take() {
                        Some(ToRelease::Object(word)) => self.callbacks.release_object(word),
                        Some(ToRelease::Owned(release)) => release.run(),
                        None => {}
                    }
                    self.contained(Step::End, || self.next_release(record))
                }
                _ => return,
            }
        }
    }

    /// A handler returned: the batch's next part, or the delivery of its results, follows.
    fn end_handle(&self, record: &mut Record, status: Status) -> Step {
        let Some(part) = record.part.take() else {
            return Step::End;
        };
        part.settle(status);
        let Some(engine) = part.engine() else {
            return Step::End;
        };
        let number = part.flight();
        let mut core = self.core.lock();
        core.leave_callback();
        let again = self.end_handler(&mut core, part);
        if again && let Some((part, which)) = self.begin_part(&mut core, &engine, number) {
            core.enter_callback();
            record.part = Some(part);
            record.which = which;
            return Step::Handle;
        }
        let step = self.take_ready(&mut core, &engine, record);
        self.touch_between_steps(&mut core);
        step.unwrap_or(Step::End)
    }

    /// on_result returned: releases follow, or the next batch.
    fn end_deliver(&self, record: &mut Record) -> Step {
        let Some(mut results) = record.set.take() else {
            return Step::End;
        };
        let (Some(engine), Some(set)) = (results.engine.take(), results.set.take()) else {
            return Step::End;
        };
        let now = self.now();
        let mut core = self.core.lock();
        self.mark_delivered(&mut core, &set, now.saturating_sub(record.ready_since));
        core.delivering_values = 0;
        match Releases::of(set, false) {
            Ok(releases) => {
                record.releases = Some(releases);
                return Step::Release;
            }
            Err((set, _)) => self.let_go(&mut core, set, true),
        }
        self.end_delivery(&mut core);
        // A worker goes on with what waits, under the same lock; everything else is for the next step.
        if record.role == Role::Worker
            && core.ready.is_empty()
            && !core.stop
            && self.next_time_event(&core) > now
            && let Some(Some((part, which))) = self.take_sealed(&mut core, &engine, u64::MAX, now)
        {
            record.part = Some(part);
            record.which = which;
            return Step::Handle;
        }
        Step::End
    }

    fn end_delivery(&self, core: &mut Core) {
        core.delivering = false;
        core.leave_callback();
        if core.done_waiters > 0 {
            self.done.notify_all();
        }
        self.touch_between_steps(core);
    }

    /// The next release of the set in the record; the set is recycled when there is none.
    fn next_release(&self, record: &mut Record) -> Step {
        let Some(releases) = &mut record.releases else {
            return Step::End;
        };
        record.release = releases.next();
        if record.release.is_some() {
            return Step::Release;
        }
        if let Some(releases) = record.releases.take() {
            let mut core = self.core.lock();
            self.end_releases(&mut core, releases);
            self.end_delivery(&mut core);
        }
        Step::End
    }

    /// A set whose releases ran is recycled, or lingers while somebody looks at it.
    fn end_releases(&self, core: &mut Core, releases: Releases) {
        match releases.done() {
            (set, true) => self.let_go(core, set, true),
            (set, false) => core.recycle(set),
        }
    }

    /// Runs a delivered set's releases on the calling thread.
    fn give_back(&self, set: Shared<Batch>) {
        match Releases::of(set, false) {
            Ok(releases) => self.give_back_these(releases),
            Err((set, _)) => self.let_go(&mut self.core.lock(), set, true),
        }
    }

    fn give_back_these(&self, mut releases: Releases) {
        while let Some(release) = releases.next() {
            match release {
                ToRelease::Object(word) => self.callbacks.release_object(word),
                ToRelease::Owned(release) => release.run(),
            }
        }
        self.end_releases(&mut self.core.lock(), releases);
    }

    /// A thread ended inside a callback: what it held gets an outcome, and another thread takes its place.
    fn thread_ended(&self, engine: &Shared<Inner>, record: &mut Record) {
        self.callbacks.thread_left();
        // It takes no further step, whatever it was.
        let role = std::mem::replace(&mut record.role, Role::Time);
        self.callbacks
            .log(LOG_ERROR, "an engine thread ended inside a callback");
        if record.part.is_some() {
            if let Some(part) = &record.part {
                let reason = super::results::Reason::bare(Status::THREAD_ENDED);
                let ending = super::results::Ending::Failed(reason, super::value::Handled::Maybe);
                part.complete_early(ending);
            }
            if let Some(part) = record.part.take() {
                let mut core = self.core.lock();
                core.leave_callback();
                self.end_handler(&mut core, part);
                self.touch(&mut core);
            }
        }
        if record.set.is_some() {
            self.end_deliver(record);
        }
        if let Some(releases) = record.releases.take() {
            let mut core = self.core.lock();
            core.ready.push_front(Ready::Releases(releases));
            self.end_delivery(&mut core);
        }
        if !matches!(role, Role::Host { .. }) && !self.core.lock().stop {
            let made = Inner::spawn(engine, role == Role::Worker);
            if made.is_err() {
                self.callbacks
                    .log(LOG_ERROR, "no thread could be made in its place");
            }
        }
    }

    fn drive(&self, engine: &Shared<Inner>, record: &mut Record) {
        loop {
            match self.contained(Step::End, || self.next_step(engine, record)) {
                Step::End => return,
                step => self.call(record, step),
            }
        }
    }

    /// Drives as a host: a thread of the host's that ends inside a callback leaves word of what it held, too.
    fn drive_as_host(&self, engine: &Shared<Inner>, limit: u64) {
        struct Visit<'a> {
            engine: &'a Shared<Inner>,
            record: Record,
        }
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                let record = &mut self.record;
                if record.part.is_some() || record.set.is_some() || record.releases.is_some() {
                    self.engine.thread_ended(self.engine, record);
                }
            }
        }
        let mut visit = Visit {
            engine,
            record: Record::new(Role::Host { limit }),
        };
        self.drive(engine, &mut visit.record);
    }

    /// Runs a piece of the engine between two callbacks. A panic in it is a bug; it must not unwind into the host.
    /// The callbacks themselves are outside, so that a thread may end in them without passing `catch_unwind`.
    fn contained<T>(&self, otherwise: T, piece: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(piece)).unwrap_or_else(|panic| {
            std::mem::forget(panic);
            otherwise
        })
    }

    // ---- the host's calls ------------------------------------------------------------------------------------

    fn in_callback(&self) -> bool {
        self.core.lock().in_callback()
    }

    /// Does what is due now (manual mode).
    pub(crate) fn run(engine: &Shared<Inner>) -> Status {
        if engine.is_foreign() {
            return Status::FORKED;
        }
        if !engine.is_manual() {
            return Status::WRONG_MODE;
        }
        if engine.in_callback() {
            return Status::REENTRANT;
        }
        engine.run_due(engine);
        Status::OK
    }

    /// `run` without its questions.
    pub(crate) fn run_due(&self, engine: &Shared<Inner>) {
        let limit = self.gate.visit(|front| {
            self.join_stages(front);
            front.accepted()
        });
        if !self.core.lock().reserve_caller() {
            return;
        }
        self.drive_as_host(engine, limit);
        let mut core = self.core.lock();
        let quiet =
            core.open.is_none() && core.in_flight == 0 && core.sealed.is_empty() && core.ready.is_empty();
        if quiet && core.has_pool() {
            let now = self.monotonic();
            match core.idle_since {
                0 => core.idle_since = now,
                since if now.saturating_sub(since) >= IDLE_TRIM => core.trim(),
                _ => {}
            }
        } else {
            core.idle_since = 0;
        }
        self.touch(&mut core);
    }

    /// Moves a given clock; backwards is ignored, and FOREVER never comes.
    pub(crate) fn advance(&self, now: i64) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        if self.limits.clock != Clock::Given {
            return Status::WRONG_MODE;
        }
        if self.in_callback() {
            return Status::REENTRANT;
        }
        // SYNC: Relaxed; a given clock orders nothing.
        self.given_now.fetch_max(now.min(FOREVER - 1), Ordering::Relaxed);
        let mut core = self.core.lock();
        self.touch(&mut core);
        Status::OK
    }

    /// When `run`, `next_batch` or `next_results` has something to do, FOREVER if nothing is in sight.
    pub(crate) fn next_due(&self) -> Result<i64, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        let core = self.core.lock();
        Ok(self.due_in(&core, self.now()))
    }

    fn due_in(&self, core: &Core, now: i64) -> i64 {
        if !core.ready.is_empty() && !core.delivering {
            return now;
        }
        let mut due = self.next_time_event(core);
        let takers = self.is_manual() || self.routes.is_pulled();
        if takers && core.in_flight < self.limits.max_in_flight {
            if !core.sealed.is_empty() {
                return now;
            }
            if self.is_due(core, now) {
                return now;
            }
            due = due.min(self.oldest_due(core));
        }
        due.max(now)
    }

    /// The descriptor a host polls; made at the first call.
    pub(crate) fn descriptor(&self) -> Result<i32, Error> {
        if self.is_foreign() {
            return Err(Error::bare(Status::FORKED));
        }
        let mut core = self.core.lock();
        if core.fd.is_none() {
            core.fd = Some(TimerFd::new().map_err(|errno| {
                Error::new(
                    Status::SYSTEM,
                    "fd",
                    format_args!("no descriptor could be made (errno {errno})"),
                )
            })?);
        }
        self.set_fd(&mut core);
        core.fd
            .as_ref()
            .map(TimerFd::raw)
            .ok_or(Error::bare(Status::SYSTEM))
    }

    /// Makes the descriptor fire now, at the next due time, or not at all.
    fn set_fd(&self, core: &mut Core) {
        let now = self.now();
        let asked = core.a_mark_is_reached() || core.wanted_room_is_there(&self.limits);
        let due = if asked {
            now
        } else if self.is_manual() {
            self.due_in(core, now)
        } else {
            self.due_for_pullers(core, now)
        };
        let given = self.limits.clock == Clock::Given;
        let due = match due {
            due if due <= now => i64::MIN,
            _ if given => FOREVER,
            due => due,
        };
        if core.fd_due == Some(due) {
            return;
        }
        let Some(fd) = &core.fd else { return };
        match due {
            i64::MIN => fd.fire_now(),
            FOREVER => fd.disarm(),
            due => fd.fire_at(due),
        }
        core.fd_due = Some(due);
    }

    /// With threads the descriptor is for those who pull: time and on_result have threads of their own.
    fn due_for_pullers(&self, core: &Core, now: i64) -> i64 {
        if self.pulls_results() && core.ready.iter().any(|ready| matches!(ready, Ready::Set(..))) {
            return now;
        }
        if !self.routes.is_pulled() || core.in_flight >= self.limits.max_in_flight {
            return FOREVER;
        }
        if !core.sealed.is_empty() || self.is_due(core, now) {
            now
        } else {
            self.oldest_due(core)
        }
    }

    /// Hands a whole batch to the caller, who completes it.
    pub(crate) fn next_batch(engine: &Shared<Inner>, timeout: i64) -> Result<Part, Status> {
        let this = &**engine;
        if this.is_foreign() {
            return Err(Status::FORKED);
        }
        if !this.routes.is_pulled() {
            return Err(Status::WRONG_MODE);
        }
        if this.in_callback() {
            return Err(Status::REENTRANT);
        }
        let until = forming::after(this.monotonic(), timeout.max(0));
        loop {
            let now = this.now();
            this.sweep_if_due(now);
            let mut core = this.core.lock();
            let taken = match this.take_sealed(&mut core, engine, u64::MAX, now) {
                Some(taken) => {
                    drop(core);
                    taken
                }
                None => {
                    drop(core);
                    this.take_open(engine, u64::MAX, now)
                }
            };
            if let Some((part, _)) = taken {
                return Ok(part);
            }
            let core = this.core.lock();
            if core.closing() && core.open.is_none() && core.sealed.is_empty() {
                return Err(Status::CLOSED);
            }
            if this.is_manual() || this.monotonic() >= until {
                return Err(Status::TIMEOUT);
            }
            drop(this.sleep(core, until));
        }
    }

    /// Hands a set of results to the caller.
    pub(crate) fn next_results(engine: &Shared<Inner>, timeout: i64) -> Result<ResultSet, Status> {
        let this = &**engine;
        if this.is_foreign() {
            return Err(Status::FORKED);
        }
        if !this.pulls_results() {
            return Err(Status::WRONG_MODE);
        }
        if this.in_callback() {
            return Err(Status::REENTRANT);
        }
        let until = forming::after(this.monotonic(), timeout.max(0));
        this.sweep_if_due(this.now());
        let mut core = this.core.lock();
        loop {
            let at = core
                .ready
                .iter()
                .position(|ready| matches!(ready, Ready::Set(..)));
            if let Some(Some(Ready::Set(set, since))) = at.map(|at| core.ready.remove(at)) {
                this.mark_delivered(&mut core, &set, this.now().saturating_sub(since));
                core.taken += 1;
                this.touch(&mut core);
                let owner = this.limits.owner;
                return Ok(ResultSet {
                    engine: Some(engine.clone()),
                    set: Some(set),
                    owner,
                });
            }
            if core.closing() && core.drained(true) {
                return Err(Status::CLOSED);
            }
            if this.is_manual() || this.monotonic() >= until {
                return Err(Status::TIMEOUT);
            }
            core.result_waiters += 1;
            core = this.results.wait_until(core, until);
            core.result_waiters -= 1;
        }
    }

    // ---- pushing a whole value -------------------------------------------------------------------------------

    /// Pushes any value. `owned` keeps the pointer of a string instead of a copy.
    pub(crate) fn push_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<super::batch::Release>,
    ) -> Status {
        let (cell, text, size): (u64, &[u8], u64) = match value {
            Value::Null => (0, &[], 0),
            Value::Bool(value) => (u64::from(value), &[], 0),
            Value::Int64(value) => (value as u64, &[], 0),
            Value::Float64(value) => (value.to_bits(), &[], 0),
            Value::String(text) => (0, text.as_bytes(), 0),
            Value::Bytes(bytes) => (0, bytes, 0),
            Value::Object(object) => {
                if self.limits.owner == 0 || object.owner != self.limits.owner {
                    return self.count_refused(Status::WRONG_OWNER);
                }
                (object.word, &[], object.size)
            }
        };
        let kind = value.kind();
        if deadline == 0 && owned.is_none() && size == 0 {
            return match kind {
                Kind::String | Kind::Bytes => self.push_text(kind, text, tag),
                _ => self.push_cell(kind, cell, tag),
            };
        }
        self.push_slow(Push {
            kind,
            cell,
            text,
            size,
            tag,
            deadline,
            owned,
        })
    }

    /// Counts a completion that came after the outcomes stood.
    pub(crate) fn count_late(&self) {
        self.core.lock().late += 1;
    }

    /// Counts a refusal that was decided before the gate.
    pub(crate) fn count_refused(&self, status: Status) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        self.gate.visit(|front| {
            if let Some(count) = front.refusals.get_mut(status.code().unsigned_abs() as usize) {
                *count += 1;
            }
        });
        status
    }

    /// Why a value would be refused now, without pushing it.
    pub(crate) fn check(&self, value: Value<'_>) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::bare(Status::FORKED));
        }
        let limits = &self.limits;
        if let Value::Object(object) = value
            && (limits.owner == 0 || object.owner != limits.owner)
        {
            return Err(Error::new(
                Status::WRONG_OWNER,
                "value",
                format_args!(
                    "an object of owner {}: this batcher takes objects of owner {}",
                    object.owner, limits.owner
                ),
            ));
        }
        let weight = value.weight();
        self.gate.visit(|front| {
            self.join_stages(front);
            if front.closed {
                return Err(Error::new(
                    Status::CLOSED,
                    "batcher",
                    format_args!("the batcher is closed: it takes no values"),
                ));
            }
            if !self.accepts(value.kind()) {
                return Err(Error::new(
                    Status::NO_HANDLER,
                    "value",
                    format_args!(
                        "a {} value: no handler takes it and there is no default handler",
                        value.kind()
                    ),
                ));
            }
            if !forming::fits_empty(limits, weight) {
                return Err(Error::new(
                    Status::TOO_LARGE,
                    "value",
                    format_args!(
                        "a value of {weight} bytes: max_batch_bytes is {}",
                        limits.max_batch_bytes
                    ),
                ));
            }
            let core = self.core.lock();
            let load = front.load(&core);
            let places_can_be_made =
                limits.on_full == OnFull::DiscardOldest && load.held < limits.result_capacity;
            match forming::lack(limits, load, weight) {
                None => Ok(()),
                Some(_) if places_can_be_made => Ok(()),
                Some(_) if limits.on_full == OnFull::DiscardOldest => Err(self.results_full(load)),
                Some(forming::Lack::Count) => Err(Error::new(
                    Status::QUEUE_FULL,
                    "queue_capacity",
                    format_args!(
                        "{} values wait: queue_capacity is {}",
                        load.waiting, limits.queue_capacity
                    ),
                )),
                Some(forming::Lack::Bytes) => Err(Error::new(
                    Status::QUEUE_FULL_BYTES,
                    "queue_bytes",
                    format_args!(
                        "{} bytes wait and the value has {weight}: queue_bytes is {}",
                        load.waiting_bytes, limits.queue_bytes
                    ),
                )),
                Some(forming::Lack::ResultPlace) => Err(self.results_full(load)),
            }
        })
    }

    fn results_full(&self, load: forming::Load) -> Error {
        let capacity = self.limits.result_capacity;
        Error::new(
            Status::RESULTS_FULL,
            "result_capacity",
            format_args!(
                "{} accepted values have results nobody took: result_capacity is {capacity}",
                load.held
            ),
        )
    }

    // ---- stats -----------------------------------------------------------------------------------------------

    /// One consistent snapshot.
    pub(crate) fn stats(&self) -> Result<Stats, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        Ok(self.gate.visit(|front| {
            let staged = self.stages.len();
            let core = self.core.lock();
            let load = front.load(&core);
            let [ok, failed, expired, cancelled, discarded] = core.outcomes();
            let now = self.now();
            let oldest = core
                .flights
                .iter()
                .find(|flight| !flight.fixed)
                .map(|flight| flight.batch.dispatched_at);
            let mut stats = Stats {
                accepted: front.accepted() + staged,
                ok,
                failed,
                expired,
                cancelled,
                discarded,
                outstanding: front.open_live() + core.sealed_live() + core.flying() + staged,
                undelivered: core.undelivered,
                triggers: core.triggers,
                refusals: front.refusals,
                batches: core.dispatched,
                late: core.late,
                stuck: core.flights.iter().filter(|flight| flight.is_stuck()).count() as u64,
                waiting: load.waiting - front.reserved + staged,
                waiting_bytes: load.waiting_bytes - 8 * (front.reserved - staged),
                in_flight: u64::from(core.in_flight),
                delivering: core.delivering_values,
                bytes_in_use: core.memory() + front.memory(),
                oldest_in_flight_age: oldest.map_or(0, |at| now.saturating_sub(at)),
                ..Stats::default()
            };
            if let Some(histograms) = &core.histograms {
                stats.batch_size = histograms.batch_size;
                stats.queue_time = histograms.queue_time;
                stats.handler_time = histograms.handler_time;
                stats.delivery_time = histograms.delivery_time;
            }
            stats
        }))
    }

    // ---- threads ---------------------------------------------------------------------------------------------

    /// Tells the threads to end once nothing is left to deliver, and waits for them.
    pub(crate) fn stop_threads(&self) {
        self.tell_threads_to_stop();
        loop {
            let next = self.threads.lock().pop();
            match next {
                Some(thread) => thread.join(),
                None => return,
            }
        }
    }

    pub(crate) fn tell_threads_to_stop(&self) {
        let mut core = self.core.lock();
        core.stop = true;
        self.work.notify_all();
        self.time.notify_all();
        self.touch(&mut core);
    }

    /// Lets the threads end by themselves.
    pub(crate) fn detach_threads(&self) {
        self.tell_threads_to_stop();
        loop {
            let next = self.threads.lock().pop();
            match next {
                Some(thread) => thread.detach(),
                None => return,
            }
        }
    }

    /// Delivers what is ready on the calling thread, whatever the mode: for the end of a manual batcher.
    pub(crate) fn deliver_all(&self, engine: &Shared<Inner>) {
        if !self.core.lock().reserve_caller() {
            return;
        }
        self.drive_as_host(engine, 0);
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

    /// Drops sets nobody will pull any more, running what they release.
    pub(crate) fn drop_ready(&self) {
        loop {
            let next = self.core.lock().ready.pop_front();
            match next {
                Some(Ready::Set(set, since)) => {
                    let took = self.now().saturating_sub(since);
                    self.mark_delivered(&mut self.core.lock(), &set, took);
                    self.give_back(set);
                }
                Some(Ready::Releases(releases)) => self.give_back_these(releases),
                None => return,
            }
        }
    }

    /// Seals what is open, for good.
    pub(crate) fn stop_taking(&self) {
        self.gate.visit(|front| {
            if front.closed {
                return;
            }
            self.join_stages(front);
            front.closed = true;
            let mut core = self.core.lock();
            self.seal(front, &mut core, Trigger::Close);
            self.touch(&mut core);
        });
        self.room.notify_all();
    }
}

/// Log level of something that should not happen.
pub(crate) const LOG_ERROR: i32 = 3;

extern "C-unwind" fn worker_main(arg: *mut c_void) -> *mut c_void {
    thread_main(arg, Role::Worker)
}

extern "C-unwind" fn time_main(arg: *mut c_void) -> *mut c_void {
    thread_main(arg, Role::Time)
}

/// What an engine thread owns: its count of the engine, and its record.
struct Seat {
    engine: Shared<Inner>,
    record: Record,
}

fn thread_main(arg: *mut c_void, role: Role) -> *mut c_void {
    let Some(raw) = std::ptr::NonNull::new(arg.cast::<Inner>()) else {
        return arg;
    };
    // SAFETY: `spawn` gave this count away with into_raw, once, to this thread.
    let engine = unsafe { Shared::from_raw(raw) };
    let Some(seat) = crate::sync::try_box(Seat {
        engine,
        record: Record::new(role),
    }) else {
        return std::ptr::null_mut();
    };
    let seat = Box::into_raw(seat);
    // Without the hook a thread that ends in a callback goes unnoticed; nothing else is lost with it.
    let _ = thread::on_exit(seat.cast(), seat_left);
    // SAFETY: the box was leaked above and is taken back below, or by `seat_left` if this thread ends in a callback.
    let held = unsafe { &mut *seat };
    held.engine.drive(&held.engine, &mut held.record);
    thread::clear_exit_hook();
    // SAFETY: this thread made the box, the hook is cleared, and `held` is not used any more.
    drop(unsafe { Box::from_raw(seat) });
    std::ptr::null_mut()
}

/// The thread ended inside a callback.
extern "C" fn seat_left(seat: *mut c_void) {
    // SAFETY: `thread_main` leaked this box for this thread and did not come to take it back.
    let mut seat = unsafe { Box::from_raw(seat.cast::<Seat>()) };
    let engine = seat.engine.clone();
    engine.thread_ended(&engine, &mut seat.record);
}
