//! Running a model under many schedules.

use super::{LOSE_NOTIFICATIONS, Random, WORLD, Waiters, World, end, fail, runs};
use shuttle::scheduler::{Schedule, Scheduler, Task as Runnable, TaskId};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};

/// Steps after which a schedule counts as one that never ends.
const MOST_STEPS: usize = 400_000;

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
    /// How often the models of this test came by the places that `reached` names.
    static REACHED: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
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
            let mut tally = TALLY.get();
            tally.schedules += 1;
            tally.steps += shuttle::current::context_switches() as u64;
            TALLY.set(tally);
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

/// Counts that a model came by a place.
pub fn reached(place: impl fmt::Display) {
    let place = place.to_string();
    REACHED.with(|reached| *reached.borrow_mut().entry(place).or_default() += 1);
}
