//! What looks for more than the tests say: fuzzing, coverage, mutation.

use std::process::Command;

use crate::nightly;
use crate::tool::{Outcome, Result, root, run, target};

/// The fuzz targets.
pub const TARGETS: [&str; 5] = ["options", "values", "calls", "histories", "conformance"];

/// Fuzzes one target for so many seconds. What it learns is left in `target/checks/corpus`; `canary` plants a bug that it must
/// find.
///
/// # Errors
/// No nightly compiler, or no cargo-fuzz.
pub fn fuzz(name: &str, seconds: u32, canary: bool) -> Result<Outcome> {
    let learnt = target("corpus").join(name);
    std::fs::create_dir_all(&learnt).map_err(|error| format!("{}: {error}", learnt.display()))?;
    let mut cargo = nightly::cargo()?;
    if canary {
        cargo.env("RUSTFLAGS", "--cfg microbatch_canary");
    }
    cargo
        .env("CARGO_TARGET_DIR", target(if canary { "canary" } else { "fuzz" }))
        .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", name])
        .arg(learnt)
        .arg(root().join("tests/fuzz/corpus").join(name));
    if name == "conformance" {
        cargo.arg(root().join("tests/conformance"));
    }
    cargo.arg("--").arg(format!("-max_total_time={seconds}")).args([
        "-timeout=20",
        "-max_len=4096",
        "-rss_limit_mb=3000",
    ]);
    run(&mut cargo)
}

/// What sees the engine and the boundary in Rust and C.
const SUITES: [&str; 11] = [
    "batches",
    "flow",
    "results",
    "values",
    "hosts",
    "memory",
    "seeing",
    "conformance",
    "histories",
    "regressions",
    "c",
];

/// Lines, regions and branches of the engine and the boundary that the suites in Rust and C run.
///
/// # Errors
/// No nightly compiler, or no cargo-llvm-cov.
pub fn coverage(arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = nightly::cargo()?;
    cargo
        .env("CARGO_TARGET_DIR", target("coverage"))
        .args([
            "llvm-cov",
            "test",
            "--locked",
            "--branch",
            "-p",
            "microbatch",
            "--lib",
        ])
        .args(SUITES.iter().flat_map(|suite| ["--test", *suite]))
        .args(["--ignore-filename-regex", "tests/|benches/|src/sync/.*_tests"])
        .args(arguments);
    run(&mut cargo)
}

/// Mutants of some files, `shard` of `shards`, against the suites that see them.
///
/// # Errors
/// No cargo-mutants.
pub fn mutants(files: &[&str], shard: &str) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "mutants",
        "--no-shuffle",
        "--colors",
        "never",
        "--shard",
        shard,
        "--timeout",
        "60",
    ]);
    cargo.arg("--output").arg(target("mutants"));
    for file in files {
        cargo.args(["--file", file]);
    }
    cargo.args(["--", "-p", "microbatch", "--lib"]);
    // The programs in C take long to compile, and the others see the same.
    for suite in SUITES
        .iter()
        .filter(|suite| **suite != "c" && **suite != "memory")
    {
        cargo.args(["--test", suite]);
    }
    run(&mut cargo)
}
