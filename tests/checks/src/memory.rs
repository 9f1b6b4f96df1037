//! Memory and races: Miri, the sanitizers, valgrind.

use std::path::PathBuf;
use std::process::Command;

use crate::nightly;
use crate::tool::{Outcome, Result, is_there, root, run, target};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// All is slower: a test is given up after so many seconds.
pub const PATIENCE: (&str, &str) = ("MICROBATCH_WATCHDOG", "3600");

/// Which aliasing rules Miri holds the engine to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borrows {
    /// The stricter.
    Stacked,
    /// The newer.
    Tree,
}

/// One suite of `tests/checked` under Miri, with as many schedules as there are seeds.
///
/// # Errors
/// No nightly compiler.
pub fn miri(borrows: Borrows, seeds: &str, leaks: bool, arguments: &[&str]) -> Result<Outcome> {
    let mut flags =
        "-Zmiri-disable-isolation -Zmiri-strict-provenance -Zmiri-preemption-rate=0.05".to_owned();
    if borrows == Borrows::Tree {
        flags += " -Zmiri-tree-borrows";
    }
    if !leaks {
        flags += " -Zmiri-ignore-leaks";
    }
    if !seeds.is_empty() {
        flags += &format!(" -Zmiri-many-seeds={seeds}");
    }
    let mut cargo = nightly::cargo()?;
    cargo
        .env("MIRIFLAGS", flags)
        .env(PATIENCE.0, PATIENCE.1)
        .args([
            "miri",
            "test",
            "--locked",
            "-p",
            "microbatch-checked",
            "--target-dir",
        ])
        .arg(target("miri"))
        .args(arguments);
    run(&mut cargo)
}

/// A sanitizer for Rust code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitizer {
    /// Data races. std is built with it too, or every use of std would look like one.
    Thread,
    /// Addresses, and leaks at the end.
    Address,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Sanitizer::Thread => "thread",
            Sanitizer::Address => "address",
        }
    }
}

/// Suites of `tests/checked`, compiled with a sanitizer. `leaks`: memory that is lost at the end is a failure.
///
/// # Errors
/// No nightly compiler.
pub fn sanitized(sanitizer: Sanitizer, leaks: bool, arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = nightly::cargo()?;
    let leaks = i32::from(leaks);
    cargo
        .env("RUSTFLAGS", format!("-Zsanitizer={}", sanitizer.name()))
        .env(PATIENCE.0, PATIENCE.1)
        // Children of a fork start threads too.
        .env("TSAN_OPTIONS", "halt_on_error=1:die_after_fork=0")
        .env(
            "ASAN_OPTIONS",
            format!("detect_leaks={leaks}:detect_stack_use_after_return=1"),
        )
        .args([
            "test",
            "--locked",
            "-Zbuild-std",
            "--target",
            TRIPLE,
            "-p",
            "microbatch-checked",
        ])
        .arg("--target-dir")
        .arg(target(sanitizer.name()))
        .args(arguments);
    run(&mut cargo)
}

/// A release library that knows the address sanitizer, for hosts of other languages; its path.
///
/// # Errors
/// No nightly compiler, or it does not build.
pub fn sanitized_library() -> Result<PathBuf> {
    let mut cargo = nightly::cargo()?;
    cargo
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .args([
            "build",
            "--locked",
            "--release",
            "--target",
            TRIPLE,
            "--target-dir",
        ])
        .arg(target("host"));
    run(&mut cargo)?.content("the library with the address sanitizer")?;
    Ok(target("host").join(TRIPLE).join("release/libmicrobatch.so"))
}

/// Whether valgrind is here. Under CI it must be.
///
/// # Errors
/// It is not, and CI is set.
pub fn has_valgrind() -> Result<bool> {
    let there = is_there("valgrind");
    if !there && std::env::var_os("CI").is_some() {
        return Err("no valgrind: apt-get install valgrind libc6-dbg".to_owned());
    }
    Ok(there)
}

/// One program of `tests/c`, linked with the shared library and run by valgrind's memcheck. `defines`: what it leaves out.
///
/// # Errors
/// It does not compile.
pub fn memcheck(source: &str, defines: &[&str], library: &std::path::Path) -> Result<Outcome> {
    let place = target("valgrind");
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let program = place.join(source.replace(['/', '.'], "_"));
    let directory = library.parent().unwrap_or(library);
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(["-std=c99", "-g", "-O1", "-pthread", "-I"])
        .arg(root().join("include"))
        .args(defines.iter().map(|define| format!("-D{define}")))
        .arg(root().join(source))
        .arg("-o")
        .arg(&program)
        .arg(library)
        .arg(format!("-Wl,-rpath,{}", directory.display()));
    run(&mut compiler)?.content(source)?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args([
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,possible",
        ])
        .args(["--show-leak-kinds=definite,possible", "--fair-sched=yes"])
        .arg(&program);
    run(&mut valgrind)
}

/// A library for programs under valgrind: an ordinary build with symbols; its path.
///
/// # Errors
/// It does not build.
pub fn plain_library() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--locked", "--lib", "--target-dir"])
        .arg(target("plain"));
    run(&mut cargo)?.content("the library")?;
    Ok(target("plain").join("debug/libmicrobatch.so"))
}
