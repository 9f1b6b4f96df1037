//! What fuzzing came by, once more: each target of `tests/fuzz/` is given every file of its corpus.
//!
//! To look for more, with a nightly compiler and cargo-fuzz: `tests/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a test fails by panicking"
)]

#[path = "histories/history.rs"]
mod history;
#[allow(dead_code, reason = "the vectors are played elsewhere")]
mod model;
#[path = "conformance/runner/mod.rs"]
#[allow(dead_code, reason = "histories have nothing that Rust lacks")]
mod runner;
#[path = "fuzz/src/targets/mod.rs"]
#[allow(unreachable_pub, missing_docs, reason = "the fuzz crate shares these files")]
mod targets;

use std::fs;
use std::path::Path;

/// Gives `run` each file of a corpus; what it was given last is printed if it fails.
fn replay(target: &str, run: fn(&[u8])) {
    // `tests/checked` has this file too, under tools that watch it.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = package
        .ancestors()
        .map(|folder| folder.join("tests/fuzz/corpus"))
        .find(|corpus| corpus.is_dir())
        .unwrap();
    let mut files: Vec<_> = fs::read_dir(corpus.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} is there");
    for file in &files {
        println!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
}

#[test]
fn p36_options_of_the_corpus() {
    replay("options", targets::options::run);
}

#[test]
fn p03_values_of_the_corpus() {
    replay("values", targets::values::run);
}

#[test]
fn p30_calls_of_the_corpus() {
    replay("calls", targets::calls::run);
}

#[test]
fn p16_histories_of_the_corpus() {
    replay("histories", targets::histories::run);
}

#[test]
fn p16_scenarios_of_the_corpus() {
    replay("conformance", targets::conformance::run);
}

/// Or the target would play less than there is to play: almost every line of the vectors.
#[test]
fn p16_vectors_are_read_as_they_stand() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("tests/conformance"))
        .find(|folder| folder.is_dir())
        .unwrap();
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("needs ");
    let (mut lines, mut left_out) = (0, Vec::new());
    for path in model::scenarios(&directory) {
        let text = fs::read_to_string(&path).unwrap();
        let needs = |line: &str| runner::LACKS.iter().any(|lacks| line == format!("needs {lacks}"));
        if text.lines().any(needs) {
            continue;
        }
        let (scenario, _) = targets::conformance::read(text.as_bytes()).unwrap();
        lines += text.lines().filter(is_said).count();
        let is_read = |line: &&str| scenario.lines().any(|read| read == *line);
        left_out.extend(
            text.lines()
                .filter(is_said)
                .filter(|line| !is_read(line))
                .map(str::to_owned),
        );
    }
    assert!(
        lines > 2_000 && left_out.len() < lines / 200,
        "of {lines} lines {left_out:#?} are left out"
    );
}
