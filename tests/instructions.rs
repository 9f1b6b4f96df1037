//! How many instructions a value takes, counted by callgrind: a number that no scheduler, neighbour or clock changes.
//!
//! `tests/instructions/recorded.txt` holds the counts of the last change that meant to move them. A count that grows past its
//! record by more than MARGIN fails; `MICROBATCH_BLESS=1 cargo test --test instructions` records new ones.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "this suite uses its own part of the module")]
#[path = "common/native.rs"]
mod native;

use native::{C, ignored, scratch, text};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Another release of rustc or gcc moves a push by one to three instructions of about fifty. A lock, a call or a clock where
/// there was none takes more than this.
const MARGIN: f64 = 0.10;

/// Values in a call of a `round_` function.
const WINDOW: f64 = 39.0 * 256.0;

/// Windows of the short and of the long run: their difference has neither the start of the program nor the growth of pools.
const WINDOWS: [u32; 2] = [4, 12];

/// What is counted: its name in the record, and the function whose calls are, with everything they call.
const COUNTED: [(&str, &str); 8] = [
    ("push an int64", "mb_batcher_push_int64"),
    ("push an int64 through a producer", "mb_producer_push_int64"),
    ("push a 16-byte string", "mb_batcher_push_string"),
    ("push int64 in an array", "mb_batcher_push_int64s"),
    ("whole round of an int64", "round_int64"),
    ("whole round of an int64 through a producer", "round_producer"),
    ("whole round of a 16-byte string", "round_string"),
    ("whole round of an int64 in an array", "round_bulk"),
];

#[test]
fn instructions_a_value() {
    if cfg!(not(target_arch = "x86_64")) {
        ignored("the counts are recorded for x86-64");
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        ignored("there is no valgrind to count instructions with: install it (Debian: apt install valgrind)");
        return;
    }
    if !C.is_installed() {
        return;
    }
    let directory = scratch("instructions", "rounds");
    let program = program(&directory);
    let runs = WINDOWS.map(|windows| calls(&program, windows, &directory));
    let between = f64::from(WINDOWS[1] - WINDOWS[0]) * WINDOW;
    let counts = COUNTED.map(|(name, function)| {
        let [short, long] = [&runs[0], &runs[1]].map(|run| *run.get(function).expect(function) as f64);
        (name, (long - short) / between)
    });

    let path = root().join("tests/instructions/recorded.txt");
    if env::var_os("MICROBATCH_BLESS").is_some() {
        let mut text = String::from("# Instructions a value, by tests/instructions.rs.\n");
        for (name, count) in counts {
            writeln!(text, "{count:.1}\t{name}").unwrap();
        }
        fs::write(&path, text).unwrap();
    }
    let record = fs::read_to_string(&path).unwrap();
    let recorded = recorded(&record);
    let mut grown = Vec::new();
    let mut table = format!(
        "{:>8} {:>8}  instructions a value, counted and recorded\n",
        "", ""
    );
    for (name, count) in counts {
        let record = *recorded
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in {}", path.display()));
        let note = match count / record - 1.0 {
            more if more > MARGIN => {
                grown.push(name);
                "GREW"
            }
            less if less < -MARGIN => "fell: record it",
            _ => "",
        };
        writeln!(table, "{count:>8.1} {record:>8.1}  {name} {note}").unwrap();
    }
    // Past the capture of the test runner: CI shows the counts of every change.
    write!(std::io::stderr(), "{table}").unwrap();
    assert!(
        grown.is_empty(),
        "more than {:.0} % above the record: {}. If that is meant, MICROBATCH_BLESS=1 records it.\n{table}",
        100.0 * MARGIN,
        grown.join(", ")
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, with the library as it is released: what `cargo test` built has other instructions.
fn program(directory: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions/release");
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(root())
        .args([
            "rustc",
            "--quiet",
            "--release",
            "--locked",
            "--lib",
            "--crate-type",
            "staticlib",
        ])
        .arg("--target-dir")
        .arg(&target);
    succeed(&mut build);
    let program = directory.join("rounds");
    let mut link = Command::new(env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    link.args([
        "-std=c99",
        "-D_DEFAULT_SOURCE",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
    ])
    .arg(root().join("tests/instructions/rounds.c"))
    .arg(target.join("release/libmicrobatch.a"))
    .args(["-lpthread", "-lm", "-ldl", "-o"])
    .arg(&program);
    succeed(&mut link);
    program
}

/// Runs the program under callgrind: the instructions of all calls of each function that the C program makes or is made of.
fn calls(program: &Path, windows: u32, directory: &Path) -> BTreeMap<String, u64> {
    let out = directory.join(format!("{windows}.out"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args([
            "--tool=callgrind",
            "--quiet",
            "--compress-strings=no",
            "--compress-pos=no",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(windows.to_string());
    succeed(&mut valgrind);
    let mut costs = BTreeMap::new();
    let mut callee = "";
    let mut called = false;
    let profile = fs::read_to_string(&out).unwrap();
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if line.starts_with("calls=") {
            called = true;
        } else if called {
            // The line after "calls=" has a position and the inclusive cost.
            called = false;
            let cost: u64 = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse().ok())
                .expect(line);
            *costs.entry(callee.to_owned()).or_default() += cost;
        }
    }
    costs
}

fn recorded(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (count, name) = line.split_once('\t').expect(line);
            (name, count.parse().expect(line))
        })
        .collect()
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}
