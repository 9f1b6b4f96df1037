//! The world of a model: its schedules, its clock, its threads, and what went wrong in it.
//!
//! Environment:
//!
//! | variable | effect |
//! |---|---|
//! | `MICROBATCH_SHUTTLE_REPLAY` | runs one schedule, as a failure names it |
//! | `MICROBATCH_SHUTTLE_TRACE` | prints what [`note`] is told |
//! | `MICROBATCH_SHUTTLE_TIMES` | that many times as many schedules |
//! | `MICROBATCH_SHUTTLE_SEED` | the first seed, else 1 |

mod explore;
mod fd;
mod thread;
mod wait;

pub use explore::{explore, must_catch, reached};
pub(crate) use fd::{Armed, arm_fd, open_fd};
pub use fd::{is_readable, readable, stop_reading};
pub use thread::{Task, is_engine_thread, join, locks, spawn};
pub(crate) use thread::{count_locks, detach, end_thread, set_hook, spawn_engine, task};
pub(crate) use wait::Waiters;
pub use wait::{Flag, Parcels};

use fd::Descriptor;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// No time limit.
const FOREVER: i64 = i64::MAX;

thread_local! {
    static WORLD: RefCell<World> = const { RefCell::new(World::new()) };
}

/// A small generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

struct World {
    runs: bool,
    bug: Option<&'static str>,
    random: Random,
    now: i64,
    /// Waits under way that have a deadline.
    deadlines: Vec<i64>,
    /// Locks held, and exit hook, by thread.
    locks: BTreeMap<usize, i32>,
    hooks: BTreeMap<usize, thread::Hook>,
    descriptors: Vec<Descriptor>,
    /// Engine threads that were detached.
    detached: Vec<Task>,
    /// Engine threads that run, and how many were started and have not ended.
    threads: BTreeSet<usize>,
    alive: u64,
    /// Told when one ends.
    ends: Option<Arc<Waiters>>,
    failures: Vec<String>,
}

impl World {
    const fn new() -> World {
        World {
            runs: false,
            bug: None,
            random: Random(0),
            now: 1_000_000,
            deadlines: Vec::new(),
            locks: BTreeMap::new(),
            hooks: BTreeMap::new(),
            descriptors: Vec::new(),
            detached: Vec::new(),
            threads: BTreeSet::new(),
            alive: 0,
            ends: None,
            failures: Vec::new(),
        }
    }
}

fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| act(&mut world.borrow_mut()))
}

/// Whether a model runs on this thread of the test runner.
fn runs() -> bool {
    WORLD.with(|world| world.try_borrow().is_ok_and(|world| world.runs))
}

/// Waits until the last engine thread has ended.
pub fn wait_for_threads() {
    loop {
        let (next, alive, ends) = with(|world| (world.detached.pop(), world.alive, world.ends.clone()));
        match (next, ends) {
            (Some(task), _) => task.join(),
            (None, Some(ends)) if alive > 0 => ends.join().until(FOREVER),
            (None, _) => return,
        }
    }
}

/// The end of a model: nothing is left of it.
fn end() {
    wait_for_threads();
    let held = with(|world| world.locks.values().any(|count| *count != 0));
    ensure(!held, "a lock is held at the end");
    let open = with(|world| {
        world
            .descriptors
            .iter()
            .any(|descriptor| descriptor.armed != Armed::Closed)
    });
    ensure(!open, "a descriptor is open at the end");
    let failures = with(|world| std::mem::take(&mut world.failures));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Notes that the model failed. It goes on: the panic of an assertion in a callback would be caught by the engine.
pub fn fail(what: &str) {
    eprintln!("{what}");
    WORLD.with(|world| {
        if let Ok(mut world) = world.try_borrow_mut() {
            world.failures.push(what.to_owned());
        }
    });
}

/// Fails the model unless `holds`.
#[track_caller]
pub fn ensure(holds: bool, otherwise: impl fmt::Display) {
    if !holds {
        let place = std::panic::Location::caller();
        fail(&format!("{place}: {otherwise}"));
    }
}

/// Fails the model unless both are equal.
#[track_caller]
pub fn ensure_eq<T: PartialEq + fmt::Debug>(left: T, right: T, otherwise: impl fmt::Display) {
    if left != right {
        let place = std::panic::Location::caller();
        fail(&format!("{place}: {otherwise}: {left:?} and {right:?}"));
    }
}

/// Prints a line in a replay with trace.
pub fn note(what: impl FnOnce() -> String) {
    thread_local! {
        static TRACE: bool = std::env::var_os("MICROBATCH_SHUTTLE_TRACE").is_some();
    }
    if TRACE.with(|trace| *trace) && runs() {
        let now = with(|world| world.now);
        eprintln!("[{now:>9} thread {}] {}", task(), what());
    }
}

// ---- choices ---------------------------------------------------------------------------------------------------

/// A place where the scheduler may let another thread go on.
pub fn point() {
    if runs() && !std::thread::panicking() && shuttle::current::try_get_current_task().is_some() {
        shuttle::thread::sleep(std::time::Duration::ZERO);
    }
}

/// Lets others go on, a few times: slow work.
pub fn dawdle(most: u64) {
    for _ in 0..random(most + 1) {
        shuttle::thread::yield_now();
    }
}

/// A random number below `end`, drawn from the schedule's seed.
pub fn random(end: u64) -> u64 {
    with(|world| world.random.below(end))
}

/// One of these.
pub fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[random(choices.len() as u64) as usize]
}

/// Whether a planted bug is on.
pub(crate) fn bug(name: &str) -> bool {
    with(|world| world.bug == Some(name))
}

/// The bug of the models' own: one notification in four is lost.
pub const LOSE_NOTIFICATIONS: &str = "lose_notifications";

// ---- time ------------------------------------------------------------------------------------------------------

/// Reads the clock, which goes on by it: mostly a little, sometimes a scheduling quantum.
pub fn read_clock() -> i64 {
    if !runs() || shuttle::current::try_get_current_task().is_none() {
        return with(|world| world.now);
    }
    let step = match random(8) {
        0 => random(60_000),
        _ => random(200),
    };
    with(|world| {
        world.now += 1 + step as i64;
        world.now
    })
}
