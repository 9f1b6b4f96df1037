//! The engine object: what every handle stands for.
//!
//! It is made here and asked small questions here. What producers do is in `queue.rs` and `push.rs`, what threads and
//! hosts drive in `step.rs`, who is woken when in `wake.rs`, what a host calls in `host.rs`, its end in `close.rs`.

use super::core::Core;
use super::delivery::ResultSet;
use super::driver::{Seat, thread_main};
use super::error::{Error, Status};
use super::front::Front;
use super::list::List;
use super::options::{Clock, Limits, Mode, Options, ResultsMode};
use super::part::Part;
use super::producer::Stages;
use super::step::Role;
use super::value::Kind;
use crate::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::sync::thread::Thread;
use crate::sync::{
    Common, Condvar, Gate, LINE, Mutex, MutexGuard, Shared, clock, fetch_to_write, fork, rest_of_line, thread,
};
use std::ffi::c_void;
use std::fmt;

/// `which` of the default handler.
pub(crate) const DEFAULT: usize = Kind::COUNT;
/// `which` of a batch that is pulled.
pub(crate) const PULLED: usize = Kind::COUNT + 1;

/// The limits that the last batcher was made with.
pub(super) static LIMITS: Common<Limits> = Common::new();

/// Cache lines of the core's head: see `Core`.
const HEAD_LINES: usize = 6;

/// A pool nobody used for this long is given back.
pub(super) const IDLE_TRIM: i64 = 1_000_000_000;

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
    /// These handlers are the host's, which pulls the parts for them.
    pub(crate) pulled: bool,
}

impl Routes {
    /// `own` are the handlers here, `pulled` those of a host that pulls: a bit for each kind, and one for the default.
    pub(crate) fn new(own: u64, pulled: u64, on_result: bool) -> Result<Routes, Error> {
        let invalid =
            |message: fmt::Arguments<'_>| Error::new(Status::INVALID_OPTION, "pull_handlers", message);
        let all = (1 << (DEFAULT + 1)) - 1;
        if pulled > all {
            return Err(invalid(format_args!(
                "pull_handlers = {pulled}: write the sum of 1 << kind for each kind that has a handler, and {} for a \
                 default, at most {all}",
                1 << DEFAULT
            )));
        }
        if own != 0 && pulled != 0 {
            return Err(invalid(format_args!(
                "pull_handlers beside handlers: the host pulls all batches or none; give one of the two"
            )));
        }
        let handlers = own | pulled;
        Ok(Routes {
            // The bit of the default is cut off.
            own: (handlers & ((1 << DEFAULT) - 1)) as u8,
            default: handlers & (1 << DEFAULT) != 0,
            on_result,
            pulled: pulled != 0,
        })
    }

    /// No handlers here: the host pulls.
    pub(crate) fn is_pulled(&self) -> bool {
        self.pulled || self.takes_whole()
    }

    /// No handlers at all: the host pulls whole batches, of every kind.
    pub(crate) fn takes_whole(&self) -> bool {
        self.own == 0 && !self.default
    }

    fn accepts(&self, kind: Kind) -> bool {
        self.default || self.takes_whole() || self.own & (1 << kind as u8) != 0
    }

    fn taken_in(&self, epoch: u32) -> [u32; 8] {
        // An epoch that no process reaches.
        let mut taken_in = [epoch.wrapping_sub(1); 8];
        for kind in Kind::ALL.iter().filter(|kind| self.accepts(**kind)) {
            taken_in[*kind as usize] = epoch;
        }
        taken_in
    }
}

/// Bytes between what seldom changes and the core.
const BEFORE_CORE: usize = rest_of_line(size_of::<(AtomicU32, Mutex<List<Thread>>, Stages)>());

/// The engine behind every handle. In this order, what every push reads does not share a cache line with what handler
/// threads write. A test says where lines begin.
#[repr(C)]
pub(crate) struct Inner {
    // ---- beside the count of references: what wakes and waits
    /// `room_changes` for those who spin.
    pub(super) room_hints: [AtomicU64; 2],
    /// Handler threads and callers of next_batch wait here.
    pub(crate) work: Condvar,
    pub(super) time: Condvar,
    /// Pushes that wait, by kind of room.
    pub(crate) room: [Condvar; 2],
    pub(crate) done: Condvar,
    pub(crate) results: Condvar,
    /// Counts work that came while somebody spins for it.
    pub(super) hint: AtomicU32,
    pub(super) given_now: AtomicI64,
    // ---- what every push reads and nobody writes
    /// Batchers made alike share them.
    pub(crate) limits: Shared<Limits>,
    pub(crate) callbacks: Box<dyn Callbacks>,
    /// By kind, the epoch in which pushes are taken at once: the batcher's own, or none.
    taken_in: [u32; 8],
    fork_epoch: u32,
    pub(crate) routes: Routes,
    // ---- what pushes write
    pub(crate) gate: Gate<Front>,
    // ---- what every push reads that took a lock, and what seldom changes
    /// Wakes that wait until the locks are left: see `wake.rs`.
    pub(super) wakes: AtomicU32,
    pub(super) threads: Mutex<List<Thread>>,
    pub(crate) stages: Stages,
    _core_line: [u8; BEFORE_CORE],
    // ---- what opens, seals, dispatches and delivers
    pub(crate) core: Mutex<Core>,
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
        let core = Core::new(threads, &limits).ok_or_else(no_memory)?;
        let mut handles = List::new();
        if threads > 0 && !handles.reserve(threads) {
            return Err(no_memory());
        }
        let engine = Shared::try_new(Inner {
            limits: LIMITS.get(limits).ok_or_else(no_memory)?,
            routes,
            taken_in: routes.taken_in(fork::epoch()),
            callbacks,
            fork_epoch: fork::epoch(),
            gate: Gate::new(Front::new(), Front::accepted),
            stages: Stages::new(),
            _core_line: [0; BEFORE_CORE],
            core: Mutex::new(core),
            work: Condvar::new(),
            time: Condvar::new(),
            room: [const { Condvar::new() }; 2],
            done: Condvar::new(),
            results: Condvar::new(),
            given_now: AtomicI64::new(0),
            hint: AtomicU32::new(0),
            wakes: AtomicU32::new(0),
            room_hints: [const { AtomicU64::new(0) }; 2],
            threads: Mutex::new(handles),
        })
        .ok_or_else(no_memory)?;
        for index in 0..threads {
            if let Err(error) = Inner::spawn(&engine, index > 0) {
                engine.stop_threads();
                return Err(error);
            }
        }
        if engine.limits.drain_at_exit > 0
            && let Err(error) = super::exit::register(&engine)
        {
            engine.stop_threads();
            return Err(error);
        }
        Ok(engine)
    }

    pub(super) fn spawn(engine: &Shared<Inner>, worker: bool) -> Result<(), Error> {
        let name = if worker { "mb-handler" } else { "mb-time" };
        let mut threads = engine.threads.lock();
        if !threads.reserve(1) {
            return Err(Error::bare(Status::NO_MEMORY));
        }
        let role = if worker { Role::Worker } else { Role::Time };
        let Some(seat) = Seat::new(engine, role) else {
            return Err(Error::bare(Status::NO_MEMORY));
        };
        let arg = Box::into_raw(seat);
        engine.core.lock().drivers += 1;
        match thread::spawn(name, thread::STACK_BYTES, thread_main, arg.cast::<c_void>()) {
            Ok(handle) => {
                // `detach_threads` sets the flag before it empties the list.
                if engine.core.lock().detached {
                    handle.detach();
                } else {
                    threads.push(handle);
                }
                Ok(())
            }
            Err(errno) => {
                engine.core.lock().drivers -= 1;
                // SAFETY: the box was just leaked for a thread that was not made.
                drop(unsafe { Box::from_raw(arg) });
                if errno == thread::NO_MEMORY {
                    return Err(Error::bare(Status::NO_MEMORY));
                }
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
    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.routes.accepts(kind)
    }

    /// The core lock, for those who take it once a batch: another core mostly had it last. Its head is asked for as a
    /// whole, so that its lines come side by side and not one after another.
    #[inline(always)]
    pub(super) fn lock_core(&self) -> MutexGuard<'_, Core> {
        let head = (&raw const self.core).cast::<u8>();
        for line in 0..HEAD_LINES {
            fetch_to_write(head.wrapping_add(LINE * line));
        }
        self.core.lock()
    }

    /// Not foreign, and somebody is there for values of this kind: both in one comparison.
    #[inline(always)]
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.taken_in[kind as usize] == fork::epoch()
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
        self.touch_later(&mut core);
        core.stop = true;
        // SYNC: Release pairs with the load in `spin`.
        self.hint.fetch_add(1, Ordering::Release);
        drop(core);
        // Past the lock, which is what they want first.
        self.work.notify_all();
        self.time.notify_all();
        self.pay();
    }

    /// Lets the threads end by themselves.
    pub(crate) fn detach_threads(&self) {
        self.core.lock().detached = true;
        self.tell_threads_to_stop();
        loop {
            let next = self.threads.lock().pop();
            match next {
                Some(thread) => thread.detach(),
                None => return,
            }
        }
    }
}

/// Log level of something that should not happen.
pub(crate) const LOG_ERROR: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::shared::IN_LINE;
    use std::mem::offset_of;

    #[test]
    fn what_different_threads_write_stands_on_different_lines() {
        for (what, offset) in [
            ("limits", offset_of!(Inner, limits)),
            ("gate", offset_of!(Inner, gate)),
            ("wakes", offset_of!(Inner, wakes)),
            ("core", offset_of!(Inner, core)),
        ] {
            assert_eq!((IN_LINE + offset) % LINE, 0, "{what} at {offset}");
        }
    }
}
