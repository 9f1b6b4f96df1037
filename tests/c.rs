//! The C tests, by hazard: each program in `tests/c/` is compiled against the committed header, linked static, linked
//! shared, and linked static with sanitizers, and run.
//!
//! `tables` compares what the programs list with the header, `twins` sees that they find bugs.
//!
//! A program that fails says where and ends with another code than 0; one that passes prints nothing.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/native.rs"]
mod native;
#[path = "c/tables.rs"]
mod tables;
#[path = "c/twins.rs"]
mod twins;

use native::{Build, C, CPP, Language, Link, can_sanitize, library, run, sanitized, text};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One program of `tests/c/`.
struct Program {
    source: &'static str,
    language: Language,
    standard: &'static str,
    /// It is linked with the library; otherwise it loads it.
    links: bool,
    arguments: &'static [Argument],
}

/// What a program is told on its command line.
#[derive(Copy, Clone)]
enum Argument {
    /// The path of the shared library.
    Library,
    /// The path of a copy of it, which is another library to the loader.
    Copy,
    /// The path of `share_lib.c`, compiled and linked with nothing.
    ShareLib,
}

const fn c99(source: &'static str) -> Program {
    Program {
        source,
        language: C,
        standard: "-std=c99",
        links: true,
        arguments: &[],
    }
}

const PROGRAMS: &[Program] = &[
    c99("bad_input.c"),
    c99("bulk.c"),
    c99("clock.c"),
    Program {
        standard: "-std=c89",
        ..c99("c89.c")
    },
    Program {
        language: CPP,
        standard: "-std=c++98",
        ..c99("cpp98.cpp")
    },
    Program {
        links: false,
        arguments: &[Argument::Library],
        ..c99("dlclose.c")
    },
    c99("double_free.c"),
    c99("exit.c"),
    c99("fork.c"),
    c99("fork_everywhere.c"),
    c99("keep.c"),
    c99("pin.c"),
    c99("late_results.c"),
    c99("lengths.c"),
    c99("null.c"),
    c99("objects.c"),
    c99("old_struct_size.c"),
    c99("oom.c"),
    c99("owned.c"),
    c99("pthread_exit.c"),
    c99("pull.c"),
    c99("pull_parts.c"),
    c99("reentrant.c"),
    c99("reentrant_everywhere.c"),
    c99("refused.c"),
    Program {
        arguments: &[Argument::Copy, Argument::ShareLib],
        ..c99("share.c")
    },
    c99("signals.c"),
    c99("stats.c"),
    c99("stderr_silent.c"),
    c99("thread_ends.c"),
    c99("threads.c"),
    c99("use_after_close.c"),
    c99("use_after_free.c"),
    c99("user_data.c"),
    c99("values.c"),
    c99("wrong_handle.c"),
];

/// What is in `tests/c/` and is no program.
const NOT_PROGRAMS: &[&str] = &["calls.h", "check.h", "end.h", "kit.h", "share_lib.c", "twins.c"];

/// What is left out of a run, and why. Everything else is run in all three ways.
struct Exclusion {
    source: &'static str,
    link: Link,
    /// The whole program, or what it leaves out when it is compiled with this macro.
    part: Option<&'static str>,
    reason: &'static str,
}

const EXCLUDED: &[Exclusion] = &[
    Exclusion {
        source: "oom.c",
        link: Link::Sanitized,
        part: None,
        reason: "it has a malloc of its own, and so has the address sanitizer; it counts its leaks itself",
    },
    Exclusion {
        source: "refused.c",
        link: Link::Sanitized,
        part: None,
        reason: "what it refuses, the sanitizer asks the system for itself",
    },
    Exclusion {
        source: "refused.c",
        link: Link::Shared,
        part: None,
        reason: "a shared library has atexit and pthread_atfork inside, where no program can refuse them",
    },
    Exclusion {
        source: "oom.c",
        link: Link::Shared,
        part: None,
        reason: "it replaces malloc in the whole process either way: the shared library shows nothing new",
    },
    Exclusion {
        source: "dlclose.c",
        link: Link::Static,
        part: None,
        reason: "it loads the library at run time and is linked with nothing: the run called shared does that",
    },
    Exclusion {
        source: "fork.c",
        link: Link::Sanitized,
        part: Some("WITHOUT_BUSY_FORKS"),
        reason: "a fork while other threads allocate leaves the sanitizer's own allocator locked in the child",
    },
    Exclusion {
        source: "fork_everywhere.c",
        link: Link::Sanitized,
        part: Some("WITHOUT_BUSY_FORKS"),
        reason: "a fork while other threads allocate leaves the sanitizer's own allocator locked in the child",
    },
    Exclusion {
        source: "exit.c",
        link: Link::Sanitized,
        part: Some("WITHOUT_LEAKS_OF_FORKS"),
        reason: "in a fork of a process with threads, what their stacks pointed to looks leaked to the sanitizer",
    },
];

macro_rules! tests {
    ($($name:ident: $source:literal, $standing_for:literal;)+) => {
        $(
            #[doc = $standing_for]
            #[test]
            fn $name() {
                play($source);
            }
        )+

        /// Sources that have a test.
        const TESTED: &[&str] = &[$($source),+];
    };
}

tests! {
    p01_objects_come_back_once: "objects.c", "Every reference is given back once, on every path.";
    p03_values_come_and_go_to_the_last_bit: "values.c", "Every awkward value, by every way in and out.";
    p04_owned_pushes_release_once: "owned.c", "Once, after delivery, never inside push, never for a refused value.";
    p09_the_wall_clock_may_jump: "clock.c", "Delays, deadlines and waits are as long as asked, whatever the wall clock does.";
    p06_bulk_pushes: "bulk.c", "Validity, offsets, tags, prefixes, one release for an array.";
    p15_exactly_once_from_eight_threads: "threads.c", "Every accepted value has one result; bounds and order hold.";
    p18_kept_batches: "keep.c", "Completed from any thread, once; too late; freed; outliving the batcher.";
    p18_pinned_batches: "pin.c", "Columns stay past the end of batch and batcher; nothing is set through them.";
    p21_late_results: "late_results.c", "What a handler stores past its time-out shows nowhere.";
    p24_use_after_close: "use_after_close.c", "Pushes, seal and new flushes answer CLOSED, the rest works.";
    p25_reentrant: "reentrant.c", "What ends a batcher, and other batchers, inside every callback.";
    p25_reentrant_everywhere: "reentrant_everywhere.c", "Every function inside every callback.";
    p26_user_data_is_released_once: "user_data.c", "Once, after the last call; not if no batcher was made.";
    p29_pull: "pull.c", "A host that takes whole batches and sets of results.";
    p29_pull_parts: "pull_parts.c", "A host with handlers of its own: parts, room, results as it completes.";
    p29_two_copies_in_one_process: "share.c", "Each copy's table is its own; handlers are given by address.";
    p30_double_free: "double_free.c", "Freeing again is a status, and frees nothing else.";
    p30_lengths: "lengths.c", "Lengths, counts and rows that nothing in memory has, for each parameter that is one.";
    p30_null: "null.c", "NULL for each pointer of each function.";
    p30_stderr_is_silent: "stderr_silent.c", "Nothing is written to 1 and 2; no environment is read.";
    p30_use_after_free: "use_after_free.c", "Freed, completed, or borrowed too long.";
    p30_wrong_handle: "wrong_handle.c", "Another type, an address, a random word, for every function.";
    p31_fork_at_every_point: "fork_everywhere.c", "Between any two calls, and at any moment of other threads' lives; then exit.";
    p31_fork: "fork.c", "The child gets FORKED at once, and has batchers of its own; the parent is untouched.";
    p32_dlclose: "dlclose.c", "Loaded, used from threads, unloaded; then the threads end.";
    p32_drain_at_exit: "exit.c", "exit() drains what asks for it, in bounded time.";
    p32_pthread_exit: "pthread_exit.c", "A thread that ends in a callback fails what it held.";
    p32_threads_of_the_host_end: "thread_ends.c", "With producers and batches in their hands; cancelled in every call.";
    p32_signals: "signals.c", "A storm of signals; the library's threads block them.";
    p33_refused_by_the_system: "refused.c", "Threads, descriptors, keys, hooks and membarrier are refused in turn.";
    p33_out_of_memory: "oom.c", "Each allocation fails in turn, once and for good.";
    p34_c89: "c89.c", "A whole program in strict C89.";
    p34_cpp98: "cpp98.cpp", "A whole program in strict C++98.";
    p34_struct_sizes: "old_struct_size.c", "Structs of older and newer versions.";
    p36_bad_input: "bad_input.c", "Options, values, lengths, times: refused with words, nothing consumed.";
    p38_stats: "stats.c", "Each number of a snapshot, and the text for Prometheus.";
}

/// Runs a program in every way there is.
fn play(source: &str) {
    let program = PROGRAMS.iter().find(|program| program.source == source).unwrap();
    if !program.language.is_installed() {
        return;
    }
    for link in [Link::Static, Link::Shared, Link::Sanitized] {
        let excluded = || {
            EXCLUDED
                .iter()
                .filter(|entry| entry.source == source && entry.link == link)
        };
        for Exclusion { part, reason, .. } in excluded() {
            println!("{source} {link:?} {}: {reason}", part.unwrap_or("is not run"));
        }
        if excluded().any(|entry| entry.part.is_none()) || (link == Link::Sanitized && !can_sanitize()) {
            continue;
        }
        let parts: Vec<_> = excluded()
            .filter_map(|entry| entry.part)
            .map(|part| format!("-D{part}"))
            .collect();
        play_linked(program, link, &parts);
    }
}

fn play_linked(program: &Program, link: Link, without: &[String]) {
    let name = program.source.split('.').next().unwrap();
    let path = sources().join(program.source);
    let mut build = Build::new(program.language, program.standard, &path, name);
    build.link = match link {
        // The sanitizers are for the program itself then.
        Link::Sanitized => Some(link),
        _ => program.links.then_some(link),
    };
    build.arguments = without.iter().map(OsStr::new).collect();
    let executable = build.compile();
    let mut command = Command::new(&executable);
    if link == Link::Sanitized {
        command = sanitized(command);
    }
    pass_arguments(program, &executable, &mut command);
    let mut output = run(&mut command);
    if link == Link::Sanitized && text(&output.stderr).contains("watchdog: the program hangs") {
        // Once in thousands of runs the leak sanitizer, which stops the process to look, does not come back from it. A
        // hang of ours shows again, and in the other runs.
        output = run(&mut command);
    }
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{} {link:?}: {}\n{stdout}{stderr}",
        program.source,
        output.status
    );
    assert_eq!(stdout, "", "{} {link:?}", program.source);
    // The leak sanitizer tells of threads that end while it looks.
    if link != Link::Sanitized {
        assert_eq!(stderr, "", "{} {link:?}", program.source);
    }
}

/// Tells the program what it is to be told, which is made beside it.
fn pass_arguments(program: &Program, executable: &Path, command: &mut Command) {
    let directory = executable.parent().unwrap();
    for argument in program.arguments {
        command.arg(match argument {
            Argument::Library => library("libmicrobatch.so"),
            Argument::Copy => copy_of_library(directory),
            Argument::ShareLib => share_lib(directory),
        });
    }
}

fn copy_of_library(directory: &Path) -> PathBuf {
    let copy = directory.join("another_copy.so");
    fs::copy(library("libmicrobatch.so"), &copy).unwrap();
    copy
}

/// A shared library with nothing undefined and nothing needed.
fn share_lib(directory: &Path) -> PathBuf {
    let source = sources().join("share_lib.c");
    let mut build = Build::new(C, "-std=c99", &source, "share_lib.so");
    build.directory = Some(directory.to_owned());
    build.arguments = ["-shared", "-fPIC", "-nostdlib", "-Wl,-z,defs"]
        .map(OsStr::new)
        .to_vec();
    build.compile()
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c")
}

/// Each file of `tests/c/` is a program with a test, or is known to be none.
#[test]
fn every_program_has_a_test() {
    let mut found: Vec<_> = fs::read_dir(sources())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".rs") && !NOT_PROGRAMS.contains(&name.as_str()))
        .collect();
    found.sort();
    let mut listed: Vec<_> = PROGRAMS.iter().map(|program| program.source).collect();
    listed.sort_unstable();
    assert_eq!(found, listed);
    let mut tested = TESTED.to_vec();
    tested.sort_unstable();
    assert_eq!(tested, listed);
    for Exclusion { source, part, .. } in EXCLUDED {
        assert!(listed.contains(source), "{source} is excluded and does not exist");
        let text = fs::read_to_string(sources().join(source)).unwrap();
        assert!(
            part.is_none_or(|part| text.contains(part)),
            "{source} knows no {part:?}"
        );
    }
}
