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

use shuttle::scheduler::{Schedule, Scheduler, Task as Runnable, TaskId};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Poll, Waker};

/// No time limit.
const FOREVER: i64 = i64::MAX;

/// Steps after which a schedule counts as one that never ends.
const MOST_STEPS: usize = 400_000;

// ---- exploring -------------------------------------------------------------------------------------------------

/// How the next thread is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Any runnable thread, each as likely as the others.
    Random,
    /// As random, but mostly the thread that runs already.
    Sticky,
    /// Probabilistic concurrency testing: the thread of the highest priority, which falls at two random points.
    Pct,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Random, Kind::Sticky, Kind::Pct];

    fn name(self) -> &'static str {
        match self {
            Kind::Random => "random",
            Kind::Sticky => "sticky",
            Kind::Pct => "pct",
        }
    }
}

/// All that a schedule follows from.
#[derive(Clone, Copy, Debug)]
struct Recipe {
    kind: Kind,
    seed: u64,
    /// Scheduling choices to spread PCT's change points over.
    choices: u64,
}

impl Recipe {
    fn parse(text: &str) -> Option<Recipe> {
        let mut parts = text.split(':');
        let name = parts.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
        let seed = parts.next()?.parse().ok()?;
        let choices = parts.next()?.parse().ok()?;
        Some(Recipe { kind, seed, choices })
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.name(), self.seed, self.choices)
    }
}

/// What a set of schedules came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    schedules: u64,
    steps: u64,
}

thread_local! {
    /// The schedule that runs on this thread of the test runner.
    static RECIPE: Cell<Option<Recipe>> = const { Cell::new(None) };
    static TALLY: Cell<Tally> = const { Cell::new(Tally { schedules: 0, steps: 0 }) };
    static WORLD: RefCell<World> = const { RefCell::new(World::new()) };
    /// How often the models of this test came by the places that `reached` names.
    static REACHED: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
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

/// Makes one schedule from each recipe: the same recipe, the same schedule.
struct Seeded {
    recipes: Box<dyn Iterator<Item = Recipe>>,
    kind: Kind,
    random: Random,
    /// PCT: a priority for every thread seen, and the choices at which the running one's falls.
    priorities: BTreeMap<TaskId, i64>,
    falls: [u64; 2],
    lowest: i64,
    choices: u64,
    most_choices: u64,
}

impl Seeded {
    fn new(recipes: Box<dyn Iterator<Item = Recipe>>) -> Seeded {
        Seeded {
            recipes,
            kind: Kind::Random,
            random: Random(0),
            priorities: BTreeMap::new(),
            falls: [0; 2],
            lowest: 0,
            choices: 0,
            most_choices: 0,
        }
    }

    fn fall(&mut self, task: Option<TaskId>) {
        if let Some(task) = task {
            self.lowest -= 1;
            self.priorities.insert(task, self.lowest);
        }
    }
}

impl Scheduler for Seeded {
    fn new_execution(&mut self) -> Option<Schedule> {
        let mut recipe = self.recipes.next()?;
        if recipe.choices == 0 {
            recipe.choices = self.most_choices.max(100);
        }
        RECIPE.set(Some(recipe));
        self.kind = recipe.kind;
        self.random = Random(recipe.seed);
        self.priorities.clear();
        self.falls = [
            self.random.below(recipe.choices),
            self.random.below(recipe.choices),
        ];
        self.lowest = 0;
        self.choices = 0;
        Some(Schedule::new(recipe.seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Runnable],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let runs_on = current.filter(|current| runnable.iter().any(|task| task.id() == *current));
        if runnable.len() == 1 {
            return Some(runnable[0].id());
        }
        self.choices += 1;
        self.most_choices = self.most_choices.max(self.choices);
        match self.kind {
            Kind::Sticky if !is_yielding && runs_on.is_some() && self.random.below(12) != 0 => runs_on,
            Kind::Random | Kind::Sticky => {
                Some(runnable[self.random.below(runnable.len() as u64) as usize].id())
            }
            Kind::Pct => {
                if is_yielding || self.falls.contains(&self.choices) {
                    self.fall(runs_on);
                }
                for task in runnable {
                    let priority = (self.random.next() >> 1) as i64;
                    self.priorities.entry(task.id()).or_insert(priority);
                }
                runnable
                    .iter()
                    .map(|task| task.id())
                    .max_by_key(|task| self.priorities.get(task).copied())
            }
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next()
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Runs `model` under `schedules` schedules of each kind. Panics at the first that fails, and names it. Prints what
/// the schedules came by, and panics if they never came by one of `must`.
pub fn explore(name: &str, schedules: u64, must: &[&str], model: fn()) {
    TALLY.set(Tally::default());
    REACHED.take();
    let start = std::time::Instant::now();
    let replay = std::env::var("MICROBATCH_SHUTTLE_REPLAY").ok();
    let recipes: Vec<Recipe> = match replay.as_deref().map(Recipe::parse) {
        Some(recipe) => recipe.into_iter().collect(),
        None => recipes(schedules * number("MICROBATCH_SHUTTLE_TIMES", 1)).collect(),
    };
    assert!(
        !recipes.is_empty(),
        "MICROBATCH_SHUTTLE_REPLAY is kind:seed:choices, as a failure names it"
    );
    if let Err(panic) = run(recipes, None, model) {
        let recipe = RECIPE.get().map_or(String::new(), |recipe| recipe.to_string());
        eprintln!("model {name} failed; to see that schedule again: MICROBATCH_SHUTTLE_REPLAY={recipe}");
        resume_unwind(panic);
    }
    let tally = TALLY.get();
    let steps = tally.steps / tally.schedules.max(1);
    println!(
        "{name}: {} schedules of about {steps} steps in {:?}",
        tally.schedules,
        start.elapsed()
    );
    let reached = REACHED.take();
    for (place, times) in &reached {
        println!("    {times:>9} {place}");
    }
    let missed: Vec<_> = must
        .iter()
        .filter(|place| !reached.contains_key(**place))
        .collect();
    assert!(
        replay.is_some() || missed.is_empty(),
        "model {name} never comes by {missed:?}"
    );
}

/// The positive control of a model: with `bug` switched on, one of `schedules` schedules of each kind must fail.
pub fn must_catch(bug: &'static str, schedules: u64, model: fn()) {
    assert!(
        bug == LOSE_NOTIFICATIONS || crate::PLANTED.contains(&bug),
        "bug {bug} is not planted: its text is gone from the engine; mend BUGS in tests/shuttle/build.rs"
    );
    TALLY.set(Tally::default());
    assert!(
        run(recipes(schedules).collect(), Some(bug), model).is_err(),
        "bug {bug} went unnoticed in {} schedules",
        TALLY.get().schedules
    );
    let recipe = RECIPE.get().map_or(String::new(), |recipe| recipe.to_string());
    println!(
        "bug {bug}: caught by schedule {} ({recipe})",
        TALLY.get().schedules + 1
    );
}

fn recipes(schedules: u64) -> impl Iterator<Item = Recipe> {
    let first = number("MICROBATCH_SHUTTLE_SEED", 1);
    (0..schedules).flat_map(move |at| {
        // `choices` 0: as many as the longest schedule so far had.
        Kind::ALL.map(|kind| Recipe {
            kind,
            seed: first.wrapping_add(at),
            choices: 0,
        })
    })
}

fn run(recipes: Vec<Recipe>, bug: Option<&'static str>, model: fn()) -> Result<(), Box<dyn Any + Send>> {
    hear_panics();
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 18;
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.max_steps = shuttle::MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let runner = shuttle::Runner::new(Seeded::new(Box::new(recipes.into_iter())), config);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runner.run(move || {
            WORLD.with(|world| {
                let mut world = world.borrow_mut();
                *world = World::new();
                // A stream of its own, so that the model's choices do not shift the scheduler's.
                world.random = Random(!RECIPE.get().map_or(0, |recipe| recipe.seed));
                world.ends = Some(Arc::new(Waiters::new()));
                world.bug = bug;
                world.runs = true;
            });
            model();
            end();
        });
    }));
    WORLD.with(|world| {
        if let Ok(mut world) = world.try_borrow_mut() {
            world.runs = false;
        }
    });
    ran.map(|_| ())
}

/// Panics that the engine contains are failures here.
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if runs() {
                fail(&info.to_string());
            }
            before(info);
        }));
    });
}

// ---- the world -------------------------------------------------------------------------------------------------

/// A hook for the end of a thread.
type Hook = (*mut c_void, extern "C" fn(*mut c_void));

/// What a descriptor is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    Never,
    At(i64),
    Closed,
}

struct Descriptor {
    armed: Armed,
    waiters: Arc<Waiters>,
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
    hooks: BTreeMap<usize, Hook>,
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
    let mut tally = TALLY.get();
    tally.schedules += 1;
    tally.steps += shuttle::current::context_switches() as u64;
    TALLY.set(tally);
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

/// Counts that a model came by a place.
pub fn reached(place: impl fmt::Display) {
    let place = place.to_string();
    REACHED.with(|reached| *reached.borrow_mut().entry(place).or_default() += 1);
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

// ---- waiting ---------------------------------------------------------------------------------------------------

/// Threads that wait to be told.
pub(crate) struct Waiters(Mutex<Vec<Arc<Waiter>>>);

struct Waiter {
    told: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// One wait; it began when it was made.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    waiter: Arc<Waiter>,
}

impl Waiters {
    pub(crate) const fn new() -> Waiters {
        Waiters(Mutex::new(Vec::new()))
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait: whoever tells from now on may tell the caller.
    pub(crate) fn join(&self) -> Waiting<'_> {
        let waiter = Arc::new(Waiter {
            told: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        self.list().push(waiter.clone());
        Waiting {
            waiters: self,
            waiter,
        }
    }

    /// Tells one that waits, any.
    pub(crate) fn tell_one(&self) {
        let mut list = self.list();
        if !list.is_empty() {
            let at = random(list.len() as u64) as usize;
            let waiter = list.swap_remove(at);
            drop(list);
            waiter.tell();
        }
    }

    /// Tells all that wait.
    pub(crate) fn tell_all(&self) {
        let list = std::mem::take(&mut *self.list());
        for waiter in list {
            waiter.tell();
        }
    }
}

impl Waiter {
    fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }
}

impl Waiting<'_> {
    /// Waits until told, until the deadline, or, rarely, for no reason.
    pub(crate) fn until(self, deadline: i64) {
        if random(32) == 0 {
            shuttle::thread::yield_now();
        } else if deadline == FOREVER {
            shuttle::future::block_on(std::future::poll_fn(|context| {
                if self.waiter.is_told() {
                    return Poll::Ready(());
                }
                *self.waiter.waker.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(context.waker().clone());
                Poll::Pending
            }));
        } else {
            self.until_late(deadline);
        }
        self.waiters
            .list()
            .retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
    }

    /// A wait with a deadline looks again and again, and at some look the deadline has come: sooner or later by the
    /// patience drawn for it, and mostly not before earlier deadlines of others.
    fn until_late(&self, deadline: i64) {
        with(|world| world.deadlines.push(deadline));
        let patience = 1 << (2 * random(4));
        while !self.waiter.is_told() {
            let first = with(|world| world.deadlines.iter().all(|other| deadline <= *other));
            if random(patience) == 0 && (first || random(8) == 0) {
                with(|world| world.now = world.now.max(deadline));
                break;
            }
            shuttle::thread::yield_now();
        }
        with(|world| {
            if let Some(at) = world.deadlines.iter().position(|other| *other == deadline) {
                world.deadlines.swap_remove(at);
            }
        });
    }
}

// ---- descriptors -----------------------------------------------------------------------------------------------

/// Numbers of descriptors begin here.
const FIRST: i32 = 1000;

fn with_fd<R>(raw: i32, act: impl FnOnce(&mut Descriptor) -> R) -> Option<R> {
    with(|world| {
        world
            .descriptors
            .get_mut(usize::try_from(raw - FIRST).ok()?)
            .map(act)
    })
}

pub(crate) fn open_fd() -> i32 {
    with(|world| {
        world.descriptors.push(Descriptor {
            armed: Armed::Never,
            waiters: Arc::new(Waiters::new()),
        });
        FIRST + world.descriptors.len() as i32 - 1
    })
}

pub(crate) fn arm_fd(raw: i32, armed: Armed) {
    point();
    let waiters = with_fd(raw, |descriptor| {
        descriptor.armed = armed;
        descriptor.waiters.clone()
    });
    if let Some(waiters) = waiters {
        waiters.tell_all();
    }
}

/// Whether a descriptor is readable now.
pub fn is_readable(raw: i32) -> bool {
    let now = with(|world| world.now);
    matches!(with_fd(raw, |descriptor| descriptor.armed), Some(Armed::At(at)) if at <= now)
}

/// Waits until a descriptor is readable: what a host's poll does. False: `stop` came, or it was closed.
pub fn readable(raw: i32, stop: &Flag) -> bool {
    loop {
        point();
        if stop.is_set() {
            return false;
        }
        let now = with(|world| world.now);
        let Some((armed, waiters)) =
            with_fd(raw, |descriptor| (descriptor.armed, descriptor.waiters.clone()))
        else {
            return false;
        };
        match armed {
            Armed::Closed => return false,
            Armed::At(at) if at <= now => return true,
            Armed::At(at) => waiters.join().until(at),
            Armed::Never => waiters.join().until(FOREVER),
        }
    }
}

/// Sets `stop` and ends every [`readable`] that watches it.
pub fn stop_reading(raw: i32, stop: &Flag) {
    stop.set();
    if let Some(waiters) = with_fd(raw, |descriptor| descriptor.waiters.clone()) {
        waiters.tell_all();
    }
}

// ---- for models ------------------------------------------------------------------------------------------------

/// Something that happens once, and can be waited for.
pub struct Flag {
    happened: AtomicBool,
    waiters: Waiters,
}

impl Default for Flag {
    fn default() -> Flag {
        Flag {
            happened: AtomicBool::new(false),
            waiters: Waiters::new(),
        }
    }
}

impl Flag {
    /// It happens.
    pub fn set(&self) {
        self.happened.store(true, Ordering::SeqCst);
        self.waiters.tell_all();
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.happened.load(Ordering::SeqCst)
    }

    /// Waits until it has happened.
    pub fn wait(&self) {
        point();
        while !self.is_set() {
            self.waiters.join().until(FOREVER);
        }
    }
}

/// Things on their way from thread to thread.
pub struct Parcels<T> {
    list: Mutex<VecDeque<T>>,
    closed: Flag,
}

impl<T> Default for Parcels<T> {
    fn default() -> Parcels<T> {
        Parcels {
            list: Mutex::default(),
            closed: Flag::default(),
        }
    }
}

impl<T> Parcels<T> {
    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one; drops it if nobody receives any more.
    pub fn send(&self, parcel: T) {
        point();
        if self.closed.is_set() {
            return drop(parcel);
        }
        self.list().push_back(parcel);
        self.closed.waiters.tell_one();
    }

    /// Takes the next, waiting for it; None when there is none and nobody will send more.
    pub fn receive(&self) -> Option<T> {
        loop {
            point();
            if let Some(parcel) = self.list().pop_front() {
                return Some(parcel);
            }
            if self.closed.is_set() {
                return None;
            }
            self.closed.waiters.join().until(FOREVER);
        }
    }

    /// Nobody will send more.
    pub fn close(&self) {
        self.closed.set();
    }
}

// ---- threads ---------------------------------------------------------------------------------------------------

/// A thread to be joined.
pub struct Task<T = ()>(shuttle::thread::JoinHandle<T>);

impl<T> Task<T> {
    /// Waits for the thread, and takes what it returned.
    pub fn join(self) -> T {
        match self.0.join() {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Waits for threads, and takes what they returned.
pub fn join<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Vec<T> {
    tasks.into_iter().map(Task::join).collect()
}

/// Starts a thread of the model's.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    start(name, run)
}

fn start<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    match shuttle::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(handle) => Task(handle),
        Err(error) => unreachable!("shuttle starts every thread: {error}"),
    }
}

/// What a thread unwinds with that ends itself inside a callback, as `pthread_exit` does.
struct Ended;

/// Whether the calling thread is one of the engine's.
pub fn is_engine_thread() -> bool {
    let me = task();
    with(|world| world.threads.contains(&me))
}

/// Ends the calling thread, one of the engine's.
pub(crate) fn end_thread() -> ! {
    resume_unwind(Box::new(Ended))
}

pub(crate) fn spawn_engine(name: &str, run: impl FnOnce() + Send + 'static) -> Task {
    with(|world| world.alive += 1);
    start(name, move || {
        with(|world| world.threads.insert(task()));
        let ended = catch_unwind(AssertUnwindSafe(run));
        if let Err(panic) = ended
            && !panic.is::<Ended>()
        {
            resume_unwind(panic);
        }
        let hook = with(|world| world.hooks.remove(&task()));
        if let Some((arg, hook)) = hook {
            hook(arg);
        }
        let ends = with(|world| {
            world.threads.remove(&task());
            world.alive -= 1;
            world.ends.clone()
        });
        if let Some(ends) = ends {
            ends.tell_all();
        }
    })
}

pub(crate) fn detach(task: Task) {
    with(|world| world.detached.push(task));
}

pub(crate) fn set_hook(hook: Option<Hook>) {
    let me = task();
    with(|world| match hook {
        Some(hook) => world.hooks.insert(me, hook),
        None => world.hooks.remove(&me),
    });
}

/// Number of the calling thread in this model.
pub(crate) fn task() -> usize {
    shuttle::current::try_get_current_task().map_or(0, usize::from)
}

pub(crate) fn count_locks(change: i32) {
    let me = task();
    WORLD.with(|world| {
        if let Ok(mut world) = world.try_borrow_mut() {
            *world.locks.entry(me).or_default() += change;
        }
    });
}

/// Locks of the engine that the calling thread holds.
pub fn locks() -> i32 {
    let me = task();
    with(|world| world.locks.get(&me).copied().unwrap_or(0))
}
