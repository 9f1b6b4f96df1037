//! Random histories: what proptest draws, and how it becomes a scenario of `tests/conformance/`.
//!
//! A history is drawn without knowing what will happen in it. [`write`] plays it on the reference model line by line
//! and so turns "the second held batch" or "5 ns later" into the names and numbers that fit by then; what does not fit
//! is left out. So every part of a history can be taken away and what is left still makes sense: that is how a failure
//! is made shorter.

use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

mod callback;
mod step;
mod value;
mod write;

use callback::{calling_back, handling_calls};
use proptest::collection::vec;
use step::{Step, step};
pub(crate) use write::{canonical, write};

/// A random scenario.
#[derive(Clone, Debug)]
pub(crate) struct History {
    options: Vec<(&'static str, &'static str)>,
    has_owner: bool,
    /// Everything is pushed through a producer, which stages values where batches are large enough.
    produces: bool,
    handlers: Vec<(&'static str, Vec<Vec<String>>)>,
    /// The host that pulls has handlers for these kinds.
    pulls: Vec<&'static str>,
    on_result: Option<Vec<Vec<String>>>,
    on_release: Vec<Vec<String>>,
    steps: Vec<Step>,
}

/// What the runner can do that is not for every language.
#[derive(Clone, Copy)]
pub(crate) struct Can {
    pub(crate) own: bool,
    pub(crate) name_types: bool,
    pub(crate) free_in_callbacks: bool,
    /// Callbacks can still call the batcher that is being freed, and complete what was completed.
    pub(crate) use_stale_handles: bool,
}

fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let option = |likely: f64, name: &'static str, texts: &'static [&'static str]| {
        weighted(likely, select(texts)).prop_map(move |text| text.map(|text| (name, text)))
    };
    (
        option(0.9, "max_batch_size", &["1", "2", "3", "4", "8"]),
        option(0.3, "max_batch_bytes", &["16", "24B", "40", "64"]),
        option(0.5, "queue_capacity", &["8", "9", "12", "4", "3"]),
        option(0.2, "queue_bytes", &["64", "100", "40"]),
        option(0.3, "result_capacity", &["1", "3", "6", "10"]),
        option(0.5, "max_in_flight", &["1", "2", "3"]),
        option(0.8, "max_delay", &["5", "10ns", "100", "forever"]),
        option(0.4, "handler_timeout", &["7", "20", "100"]),
        option(0.5, "on_full", &["reject", "discard_oldest", "block"]),
        option(0.3, "delivery", &["ordered", "as_completed"]),
        option(0.25, "results", &["pull"]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j, k)| {
            [a, b, c, d, e, f, g, h, i, j, k].into_iter().flatten().collect()
        })
}

/// The options of a batcher whose producer stages values: it needs batches of 8 or more.
fn widened(
    mut options: Vec<(&'static str, &'static str)>,
    size: &'static str,
    capacity: &'static str,
) -> Vec<(&'static str, &'static str)> {
    options.retain(|(name, _)| !["max_batch_size", "queue_capacity"].contains(name));
    options.extend([("max_batch_size", size), ("queue_capacity", capacity)]);
    options
}

/// Any history of at most so many steps.
pub(crate) fn histories(most_steps: usize) -> impl Strategy<Value = History> {
    let kinds = ["default", "int64", "string", "float64", "object", "bytes", "null"];
    let handler = |name: &'static str, likely: f64| {
        weighted(likely, handling_calls()).prop_map(move |lines| lines.map(|lines| (name, lines)))
    };
    let [default, int64, string, float64, object, bytes, null] = kinds;
    let handlers = (
        prop::bool::weighted(0.85),
        handler(default, 0.9),
        handler(int64, 0.3),
        handler(string, 0.3),
        handler(float64, 0.15),
        handler(object, 0.15),
        handler(bytes, 0.1),
        handler(null, 0.1),
    )
        .prop_map(|(has, a, b, c, d, e, f, g)| {
            let found = [a, b, c, d, e, f, g].into_iter().flatten();
            let found: Vec<(&'static str, Vec<Vec<String>>)> = found.collect();
            if has { found } else { Vec::new() }
        });
    let map = handler("map", 0.95);
    let pulls = weighted(
        0.2,
        subsequence(vec!["default", "int64", "string", "object", "float64"], 1..5),
    );
    (
        options(),
        weighted(0.2, (select(vec!["8", "16", "40"]), select(vec!["40", "43"]))),
        prop::bool::weighted(0.7),
        (handlers, map, pulls),
        weighted(0.8, calling_back()),
        calling_back(),
        vec(step(), 1..most_steps),
    )
        .prop_map(
            |(options, wide, has_owner, (mut handlers, map, pulls), on_result, on_release, steps)| {
                let pulls = pulls.unwrap_or_default();
                if !pulls.is_empty() {
                    // A host that pulls has no handlers that are called.
                    handlers.clear();
                }
                handlers.extend(map);
                History {
                    produces: wide.is_some(),
                    options: match wide {
                        Some((size, capacity)) => widened(options, size, capacity),
                        None => options,
                    },
                    has_owner,
                    handlers,
                    pulls,
                    on_result,
                    on_release,
                    steps,
                }
            },
        )
}

/// A history of which these numbers choose each part.
#[allow(dead_code, reason = "fuzzing draws histories so")]
pub(crate) fn drawn(head: u64, steps: impl Iterator<Item = u64>) -> History {
    fn draw<T: std::fmt::Debug>(from: &impl Strategy<Value = T>, number: u64) -> T {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = from.new_tree(&mut runner);
        tree.expect("no strategy here refuses what it draws").current()
    }
    let step = step();
    let mut history = draw(&histories(2), head);
    history.steps = steps.map(|number| draw(&step, number)).collect();
    history
}
