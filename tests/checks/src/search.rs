//! What looks for more than the tests say: fuzzing, coverage.

use std::process::Command;

use crate::nightly;
use crate::tool::{Outcome, Result, root, run, target, write_script};

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

/// A C compiler that gives programs with the archive what compilers of Rust give: what writes the counters down.
const WITH_COUNTERS: &str = "#!/bin/sh
case \"$*\" in
*libmicrobatch.a*) exec COMPILER \"$@\" -Wl,-u,__llvm_profile_runtime DIRECTORY/libprofiler_builtins-*.rlib ;;
esac
exec COMPILER \"$@\"
";

/// Lines, regions and branches of the engine and the boundary that the suites in Rust and C run. Counters lie in mapped
/// files, so that processes count which end by `_exit` or a signal.
///
/// # Errors
/// No nightly compiler, or no cargo-llvm-cov.
pub fn coverage(arguments: &[&str]) -> Result<Outcome> {
    let mut find = Command::new("rustup");
    find.args(["run", &nightly::channel()?, "rustc", "--print", "target-libdir"]);
    let directory = run(&mut find)?.text;
    let mut cargo = nightly::cargo()?;
    for (variable, compiler) in [("CC", "cc"), ("CXX", "c++")] {
        let text = WITH_COUNTERS.replace("COMPILER", compiler);
        let script = target("coverage").join(compiler);
        write_script(&script, &text.replace("DIRECTORY", directory.trim()))?;
        cargo.env(variable, script);
    }
    cargo
        .env("CARGO_TARGET_DIR", target("coverage"))
        .env("RUSTFLAGS", "-Cllvm-args=-runtime-counter-relocation")
        .env("LLVM_PROFILE_FILE_NAME", "microbatch-%c%p-%m.profraw")
        .env("MICROBATCH_WATCHDOG", "3600")
        .args([
            "llvm-cov",
            "test",
            "--locked",
            "--branch",
            "--ignore-run-fail",
            "-p",
            "microbatch",
            "--lib",
        ])
        .args(SUITES.iter().flat_map(|suite| ["--test", *suite]))
        .args(["--ignore-filename-regex", "tests/|benches/|src/sync/.*_tests"])
        .args(arguments);
    run(&mut cargo)
}
