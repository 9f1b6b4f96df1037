//! Random histories against the reference model: whatever is called in whatever order, the engine's trace is the model's.
//!
//! proptest draws a history (`histories/history.rs`), the model of `tests/model/` writes the trace that it must give,
//! and the runners of `tests/conformance/` play it over the public APIs of Rust and C. A failure is made as short as
//! possible and printed as a scenario; it becomes a file in `tests/regressions/`. Engines with bugs must be found.
//!
//! | variable | effect |
//! |---|---|
//! | `MICROBATCH_HISTORIES` | so many histories, instead of 2,000 in Rust and 500 in C |
//! | `MICROBATCH_SEED` | another first seed than 1; `random` draws one |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "conformance/c_runner.rs"]
mod c_runner;
#[path = "histories/history.rs"]
mod history;
#[allow(dead_code, reason = "the vectors are played elsewhere")]
mod model;
#[path = "conformance/runner/mod.rs"]
#[allow(dead_code, reason = "histories have nothing that Rust lacks")]
mod runner;

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;

use history::{Can, History, canonical, histories, write};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

const MOST_STEPS: usize = 60;

/// The histories to play: their number and the seed that they are drawn from.
fn asked(default: u32) -> (u32, u64) {
    let variable = |name: &str| std::env::var(name).ok();
    let count = variable("MICROBATCH_HISTORIES").map(|text| text.parse().expect("a number of histories"));
    let seed = match variable("MICROBATCH_SEED").as_deref() {
        None => 1,
        Some("random") => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64),
        Some(text) => text.parse().expect("a seed"),
    };
    (count.unwrap_or(default), seed)
}

fn seeded(config: Config, seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Plays random histories: how many lines of trace are equal, or the first history that differs.
#[allow(clippy::result_large_err, reason = "the error is proptest's, and made once")]
fn differing(
    config: Config,
    seed: u64,
    can: Can,
    places: &mut Places,
    play: impl Fn(&str) -> String,
) -> Result<u64, TestError<History>> {
    let lines = Cell::new(0_u64);
    let places = RefCell::new(places);
    seeded(config, seed).run(&histories(MOST_STEPS), |history| {
        let written = write(&history, can);
        lines.set(lines.get() + written.trace.lines().count() as u64);
        places.borrow_mut().come_by(&written.trace);
        match model::first_difference(&canonical(&written.trace), &canonical(&play(&written.scenario))) {
            None => Ok(()),
            Some(difference) => Err(TestCaseError::fail(difference)),
        }
    })?;
    Ok(lines.get())
}

/// What traces must come by, so that equal ones prove something.
struct Places(Vec<&'static str>);

impl Places {
    fn of(can: Can) -> Places {
        let mut texts = PLACES.to_vec();
        if can.own {
            texts.push("release owned ");
        }
        Places(texts)
    }

    fn come_by(&mut self, trace: &str) {
        self.0.retain(|text| !trace.contains(text));
    }
}

const PLACES: &[&str] = &[
    " SIZE ",
    " BYTES ",
    " DELAY ",
    " IDLE ",
    " FULL ",
    " FLUSH ",
    " CLOSE ",
    " OK YES ",
    " FAILED MAYBE ",
    " EXPIRED NO ",
    " EXPIRED MAYBE ",
    " CANCELLED NO ",
    " DISCARDED NO ",
    " DISCARDED MAYBE ",
    " HANDLER_TIMEOUT",
    " -> QUEUE_FULL",
    " -> QUEUE_FULL_BYTES",
    " -> RESULTS_FULL",
    " -> TOO_LARGE",
    " -> NO_HANDLER",
    " -> WRONG_OWNER",
    " -> INVALID_UTF8",
    " -> CLOSED",
    " -> TOO_LATE",
    " -> NOT_FOUND",
    " -> REENTRANT",
    " -> IN_PROGRESS",
    " -> TIMEOUT left ",
    " -> RESULT_COUNT",
    "keep -> OK h",
    "next_batch -> OK h",
    "next_results -> OK",
    "complete_next -> OK",
    " keep -> OK",
    " pulled ",
    "producer -> OK",
    "results map ",
    "release object ",
];

/// Plays random histories; fails with the shortest that differs.
fn compare(language: &str, can: Can, default: u32, play: impl Fn(&str) -> String) {
    let (cases, seed) = asked(default);
    println!("{language}: {cases} histories from seed {seed}");
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut places = Places::of(can);
    match differing(config, seed, can, &mut places, play) {
        Ok(lines) => println!("{language}: {lines} lines of trace are equal"),
        Err(TestError::Fail(difference, history)) => {
            let written = write(&history, can);
            panic!(
                "{language} differs from the model (seed {seed}), {difference}\n---- scenario\n{}---- expected\n{}",
                written.scenario, written.trace
            );
        }
        Err(other) => panic!("{other}"),
    }
    assert!(
        cases < default || places.0.is_empty(),
        "no history comes by {:?}",
        places.0
    );
}

/// Fails if random histories do not find this engine, which has a bug.
fn must_find(bug: &str, can: Can, play: impl Fn(&str) -> String) {
    let config = Config {
        cases: 2_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let found = differing(config, 1, can, &mut Places(Vec::new()), play);
    assert!(matches!(found, Err(TestError::Fail(..))), "{bug} is not found");
}

const RUST: Can = Can {
    own: false,
    name_types: false,
    free_in_callbacks: false,
    use_stale_handles: false,
};

const C: Can = Can {
    own: true,
    name_types: true,
    free_in_callbacks: true,
    use_stale_handles: true,
};

#[test]
fn p16_random_histories_in_rust_go_as_the_model_says() {
    compare("Rust", RUST, 2_000, runner::play);
}

#[test]
fn p16_random_histories_in_c_go_as_the_model_says() {
    let Some(program) = c_runner::program("histories") else {
        return;
    };
    compare("C", C, 500, |scenario| play_in_c(&program, scenario));
}

fn play_in_c(program: &Path, scenario: &str) -> String {
    let file = program.with_file_name("history.mbt");
    fs::write(&file, scenario).expect("a file beside the runner");
    c_runner::play(program, &file)
}

/// A line of a scenario with the number behind these words one higher; `None` if it does not have them.
fn one_more(line: &str, words: &str) -> Option<String> {
    let (before, after) = line.split_once(words)?;
    let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = after[..digits].parse().ok()?;
    Some(format!("{before}{words}{}{}", number + 1, &after[digits..]))
}

/// An engine that gets one limit wrong by one is found, and one that forgets an option.
#[test]
fn histories_find_an_engine_with_a_wrong_limit() {
    for limit in [
        "max_batch_size",
        "max_batch_bytes",
        "queue_capacity",
        "queue_bytes",
        "result_capacity",
        "max_in_flight",
        "max_delay",
        "handler_timeout",
    ] {
        let words = format!("option {limit} ");
        must_find(&format!("{limit} one higher"), RUST, |scenario| {
            let wrong = |line: &str| one_more(line, &words).unwrap_or_else(|| line.to_owned()) + "\n";
            runner::play(&scenario.lines().map(wrong).collect::<String>())
        });
    }
    for forgotten in ["delivery ordered", "on_full discard_oldest"] {
        let line = format!("option {forgotten}\n");
        must_find(&format!("{forgotten} forgotten"), RUST, |scenario| {
            runner::play(&scenario.replace(&line, ""))
        });
    }
}

/// Each of these seeded bugs of `tests/c/twins.c` is found.
#[test]
fn histories_find_an_engine_with_a_seeded_bug() {
    for (bug, wraps) in [
        ("CLOSED_IS_FINE", "mb_batcher_push_int64"),
        ("COMPLETES_TWICE", "mb_batch_complete"),
        ("KEEPS_A_REFUSED_OBJECT", "mb_batcher_push_object"),
        ("LOSES_A_SIGN", "mb_batcher_push_float64"),
        ("MISCOUNTS", "mb_batcher_stats"),
        ("MISCOUNTS_A_PREFIX", "mb_batcher_push_int64s"),
        ("NEVER_SAYS_CLOSED", "mb_batcher_next_results"),
        ("RELEASES_INSIDE_PUSH", "mb_batcher_push_value"),
    ] {
        let c = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
        let arguments = [
            c.join("twins.c").display().to_string(),
            format!("-D{bug}"),
            format!("-Wl,--wrap={wraps}"),
        ];
        let Some(program) = c_runner::program_with(&format!("histories-{bug}"), &arguments) else {
            return;
        };
        must_find(bug, C, |scenario| play_in_c(&program, scenario));
    }
}
