//! The Node binding: its package is made under the target directory with the library of this build, and its tests run
//! there with node:test, each file a test here.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/native.rs"]
#[allow(dead_code, reason = "every test crate uses its own part of this module")]
mod native;

use native::{C, ignored, library, run, scratch, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

/// The oldest version that the package is for.
const OLDEST: u32 = 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The major version of node, if there is one.
fn node_version() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    text(&output.stdout)
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// What is missing for the binding to be built and tested, and how to get it.
fn lack() -> Option<String> {
    let get = "https://nodejs.org has it; its headers and npm come along (Debian: apt install nodejs npm libnode-dev)";
    match node_version() {
        None => Some(format!("there is no node: install {OLDEST} or later; {get}")),
        Some(version) if version < OLDEST => Some(format!(
            "node is version {version}: install {OLDEST} or later; {get}"
        )),
        Some(_) if Command::new("npm").arg("--version").output().is_err() => {
            Some(format!("there is no npm: {get}"))
        }
        Some(_) => None,
    }
}

/// Runs a command that must succeed.
fn must(command: &mut Command) -> Output {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "node_modules" || name == "prebuilds" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The package with its binary and its development dependencies, made once; None if something is missing.
fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGE
        .get_or_init(|| {
            if let Some(lack) = lack() {
                ignored(&lack);
                return None;
            }
            if !C.is_installed() {
                return None;
            }
            let package = scratch("node", "microbatch");
            copy(&root().join("bindings/node"), &package);
            must(
                Command::new(package.join("build.sh"))
                    .env("MICROBATCH_ROOT", root())
                    .env("MICROBATCH_STATICLIB", library("libmicrobatch.a")),
            );
            must(
                Command::new("npm")
                    .args(["ci", "--silent", "--no-audit", "--no-fund"])
                    .current_dir(&package),
            );
            Some(package)
        })
        .as_deref()
}

/// `examples/quickstart.mjs` as a newcomer has it: its own lock file, the package beside it.
#[test]
fn quickstart_in_node_prints_what_is_expected() {
    let Some(package) = package() else { return };
    let examples = scratch("node", "examples");
    let temporary = scratch("node", "temporary");
    let beside = scratch("node", "bindings");
    std::os::unix::fs::symlink(package, beside.join("node")).unwrap();
    for file in ["quickstart.mjs", "package.json", "package-lock.json", ".npmrc"] {
        fs::copy(root().join("examples").join(file), examples.join(file)).unwrap();
    }
    must(
        Command::new("npm")
            .args(["ci", "--silent", "--no-audit", "--no-fund"])
            .current_dir(&examples),
    );
    let output = must(
        Command::new("node")
            .arg("quickstart.mjs")
            .arg(root().join("examples/data/flights-2013-02.csv"))
            .arg("0.2")
            .env("TMPDIR", &temporary)
            .current_dir(&examples),
    );
    assert_eq!(
        without_rates(&text(&output.stdout)),
        include_str!("../examples/quickstart.expected")
    );
    assert!(text(&output.stderr).contains("a transaction a batch: 100 %\n"));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

/// In lines that begin with `rate` every number becomes `#`.
fn without_rates(printed: &str) -> String {
    let mut shown = String::new();
    for line in printed.lines() {
        let measured = line.trim_start().starts_with("rate");
        let mut number = false;
        for letter in line.chars() {
            let digit = measured && (letter.is_ascii_digit() || letter == '.');
            if !digit {
                shown.push(letter);
            } else if !number {
                shown.push('#');
            }
            number = digit;
        }
        shown.push('\n');
    }
    shown
}

/// How often a file is run: what goes wrong only at times gets more chances, each process with a watchdog of its own.
fn runs(file: &str) -> usize {
    if file == "terminate.test.mjs" { 5 } else { 1 }
}

/// Runs one file of tests.
fn node_test(file: &str) {
    let Some(package) = package() else { return };
    for _ in 0..runs(file) {
        must(
            Command::new("node")
                .args(["--expose-gc", "--test"])
                .arg(package.join("tests").join(file))
                .env("MICROBATCH_ROOT", root())
                .current_dir(package),
        );
    }
}

macro_rules! files {
    ($($test:ident: $file:literal,)*) => {
        const FILES: &[&str] = &[$($file),*];
        $(
            #[test]
            fn $test() {
                node_test($file);
            }
        )*
    };
}

files! {
    wrong_arguments: "arguments.test.mjs",
    batcher: "batcher.test.mjs",
    conformance: "conformance.test.mjs",
    ergonomics: "ergonomics.test.mjs",
    growth: "growth.test.mjs",
    hazards: "hazards.test.mjs",
    log: "log.test.mjs",
    native_handlers: "native.test.mjs",
    the_package: "package.test.mjs",
    parts: "parts.test.mjs",
    reentrant: "reentrant.test.mjs",
    shared: "shared.test.mjs",
    signals: "signals.test.mjs",
    terminate: "terminate.test.mjs",
    threads: "threads.test.mjs",
    values: "values.test.mjs",
}

/// Every file of tests is run by a test here.
#[test]
fn every_file_of_tests_is_run() {
    let mut found: Vec<_> = fs::read_dir(root().join("bindings/node/tests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".test."))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}
