//! The conformance vectors: one scenario, one trace, in every language.
//!
//! The reference model (`tests/model/`) writes the traces; `the_traces_are_what_the_model_writes` notices when one
//! is out of date, and with `MICROBATCH_BLESS=1` writes them anew. The runners play the scenarios over the public
//! APIs of Rust and C and must print the same bytes. `tests/conformance/README.md` describes the formats.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    reason = "a test fails by panicking"
)]

#[path = "conformance/c_runner.rs"]
mod c_runner;
#[allow(dead_code, reason = "random histories ask the model more")]
mod model;
#[path = "conformance/runner/mod.rs"]
mod runner;

use std::fs;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Plays every scenario that the language can and names those whose traces differ, each with its first such line.
fn compare(language: &str, lacks: &[&str], mut play: impl FnMut(&Path, &str) -> String) {
    let scenarios = model::scenarios(&directory());
    let mut differing = Vec::new();
    let mut played = 0;
    for path in &scenarios {
        let scenario = fs::read_to_string(path).expect("a scenario is UTF-8");
        let mut needs = scenario.lines().filter_map(|line| line.strip_prefix("needs "));
        if needs.any(|need| lacks.contains(&need)) {
            continue;
        }
        played += 1;
        let expected = fs::read_to_string(path.with_extension("trace")).expect("a scenario has a trace");
        if let Some(difference) = model::first_difference(&expected, &play(path, &scenario)) {
            differing.push(format!("{}: {difference}", path.display()));
        }
    }
    println!("{language}: {played} of {} scenarios played", scenarios.len());
    let count = differing.len();
    assert!(
        count == 0,
        "{count} of {played} scenarios differ in {language}:\n{}",
        differing.join("\n")
    );
}

#[test]
fn the_traces_are_what_the_model_writes() {
    if std::env::var_os("MICROBATCH_BLESS").is_some() {
        model::bless(&directory());
    }
    let drifted = model::drift(&directory());
    let hint = "run again with MICROBATCH_BLESS=1 and read the diff";
    assert!(
        drifted.is_empty(),
        "{} traces drifted; {hint}:\n{}",
        drifted.len(),
        drifted.join("\n")
    );
}

#[test]
fn there_are_enough_scenarios() {
    assert!(model::scenarios(&directory()).len() >= 130);
}

#[test]
fn rust_gives_the_expected_traces() {
    compare("Rust", runner::LACKS, |_, scenario| runner::play(scenario));
}

#[test]
fn c_gives_the_expected_traces() {
    let Some(program) = c_runner::program("conformance") else {
        return;
    };
    compare("C", &[], |path, _| c_runner::play(&program, path));
}
