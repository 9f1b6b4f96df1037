//! Random histories against the reference model: whatever is called in whatever order, the engine's trace is the model's.
//!
//! proptest draws a history (`histories/history.rs`), the model of `tests/model/` writes the trace that it must give,
//! and the runners of `tests/conformance/` play it over the public APIs of Rust and C. A failure is made as short as
//! possible and printed as a scenario; it becomes a file in `tests/regressions/`.
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
#[path = "conformance/runner.rs"]
#[allow(dead_code, reason = "histories have nothing that Rust lacks")]
mod runner;

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use history::{Can, canonical, histories, write};
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
    let lines = Cell::new(0_u64);
    let outcome = seeded(config, seed).run(&histories(MOST_STEPS), |history| {
        let written = write(&history, can);
        lines.set(lines.get() + written.trace.lines().count() as u64);
        match model::first_difference(&canonical(&written.trace), &canonical(&play(&written.scenario))) {
            None => Ok(()),
            Some(difference) => Err(TestCaseError::fail(difference)),
        }
    });
    match outcome {
        Ok(()) => println!("{language}: {} lines of trace are equal", lines.get()),
        Err(TestError::Fail(difference, history)) => {
            let written = write(&history, can);
            panic!(
                "{language} differs from the model (seed {seed}), {difference}\n---- scenario\n{}---- expected\n{}",
                written.scenario, written.trace
            );
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn p16_random_histories_in_rust_go_as_the_model_says() {
    let can = Can {
        own: false,
        name_types: false,
        free_in_callbacks: false,
        use_stale_handles: false,
    };
    compare("Rust", can, 2_000, runner::play);
}

#[test]
fn p16_random_histories_in_c_go_as_the_model_says() {
    let Some(program) = c_runner::program("histories") else {
        return;
    };
    let can = Can {
        own: true,
        name_types: true,
        free_in_callbacks: true,
        use_stale_handles: true,
    };
    let file: PathBuf = program.with_file_name("history.mbt");
    compare("C", can, 500, |scenario| {
        fs::write(&file, scenario).expect("a file beside the runner");
        c_runner::play(&program, &file)
    });
}
