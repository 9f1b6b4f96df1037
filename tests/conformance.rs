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

mod model;
#[path = "conformance/runner.rs"]
mod runner;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no C compiler {compiler:?}: apt-get install gcc"
        );
        println!("IGNORED: no C compiler {compiler:?}: apt-get install gcc");
        return;
    }
    let program = build_c_runner();
    compare("C", &[], |path, _| {
        let run = Command::new(&program)
            .arg(path)
            // cargo's own comes before the program's: it may hold the library of an earlier build.
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .expect("the C runner starts");
        let mut trace = String::from_utf8_lossy(&run.stdout).into_owned();
        if !run.status.success() {
            trace.push_str(&format!(
                "({}) {}",
                run.status,
                String::from_utf8_lossy(&run.stderr)
            ));
        }
        trace
    });
}

/// Compiles `runner.c` against the committed header and the shared library of this build.
fn build_c_runner() -> PathBuf {
    // the test runs as target/<profile>/deps/conformance-*; cargo leaves the library of a test build beside it, and
    // links it into target/<profile> only for `cargo build`
    let test = std::env::current_exe().expect("the path of this test");
    let places = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|place| place.join("libmicrobatch.so"));
    let library = places
        .into_iter()
        .find(|library| library.exists())
        .unwrap_or_else(|| {
            panic!(
                "no libmicrobatch.so beside {}: the C runner links against it",
                test.display()
            );
        });
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    fs::create_dir_all(&place).expect("the target directory is writable");
    // The runner finds the library beside itself, whatever else is in the target directory.
    let soname = place.join("libmicrobatch.so");
    let _ = fs::remove_file(&soname);
    std::os::unix::fs::symlink(&library, &soname).expect("a link in the target directory");
    let program = place.join("runner");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args([
            "-std=c99",
            "-pedantic-errors",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-g",
            "-O1",
        ])
        .arg("-I")
        .arg(manifest.join("include"))
        .arg(manifest.join("tests/conformance/runner.c"))
        .arg(&soname)
        .arg(format!("-Wl,-rpath,{}", place.display()))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("the C compiler {compiler:?} does not start: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "runner.c does not compile:\n{messages}");
    program
}
