//! The C tests, by hazard: each program in `tests/c/` is compiled against the committed header, linked static, linked
//! shared, and linked static with sanitizers, and run.
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

use native::{Build, C, CPP, Language, Link, can_sanitize, library, run, sanitized, scratch, text};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
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
const NOT_PROGRAMS: &[&str] = &["calls.h", "check.h", "kit.h", "share_lib.c", "twins.c"];

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
    let directory = executable.parent().unwrap();
    let mut command = Command::new(&executable);
    if link == Link::Sanitized {
        command = sanitized(command);
    }
    for argument in program.arguments {
        command.arg(match argument {
            Argument::Library => library("libmicrobatch.so"),
            Argument::Copy => copy_of_library(directory),
            Argument::ShareLib => share_lib(directory),
        });
    }
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
        .filter(|name| !NOT_PROGRAMS.contains(&name.as_str()))
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

/// Functions that take no pointer.
const WITHOUT_POINTER: &[&str] = &[
    "mb_status_name",
    "mb_status_text",
    "mb_version_number",
    "mb_version_string",
    "mb_abi_version",
    "mb_abi_check",
    "mb_kind_name",
    "mb_trigger_name",
    "mb_outcome_name",
    "mb_handled_name",
    "mb_api_table",
];

/// What is in a C table as `{ "name", `.
fn is_listed(table: &str, name: &str) -> bool {
    table.contains(&format!("{{ \"{name}\", "))
}

/// No function of the header is left out where all are called, with whatever is wrong or from wherever: `calls.h` has
/// them all. Of those without a handle, `null.c` has each with NULL.
#[test]
fn p30_every_function_is_misused() {
    let read = |name: &str| fs::read_to_string(sources().join(name)).unwrap();
    let (calls, null) = (read("calls.h"), read("null.c"));
    let (with_handle, plain) = calls.split_once("static const plain_call PLAIN_CALLS[]").unwrap();
    let functions = declarations();
    assert!(functions.len() > 90, "{functions:?}");
    for (function, _) in &functions {
        let takes_a_handle = is_listed(with_handle, function);
        assert!(
            takes_a_handle != is_listed(plain, function),
            "{function} is to be in one table of tests/c/calls.h: CALLS if it takes a handle, else PLAIN_CALLS"
        );
        assert!(
            takes_a_handle
                || null.contains(&format!("{function}("))
                || WITHOUT_POINTER.contains(&function.as_str()),
            "{function} is missing in tests/c/null.c"
        );
    }
}

/// Every place of the header where a callback goes: a field of a struct, or a parameter.
fn callbacks() -> Vec<String> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/microbatch.h");
    let header = fs::read_to_string(header).unwrap();
    let mut found = Vec::new();
    for body in header.split("typedef struct ").skip(1) {
        let Some((name, rest)) = body.split_once(" {") else {
            continue;
        };
        let fields = rest.split_once("\n}").map_or("", |(fields, _)| fields);
        let lines = fields.lines().map(str::split_whitespace);
        for (of_type, field) in lines.filter_map(|mut words| Some((words.next()?, words.next()?))) {
            if of_type.starts_with("mb_") && of_type.ends_with("_fn") {
                found.push(format!("{name}.{}", field.trim_end_matches(';')));
            }
        }
    }
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let (of_type, name) = parameter.rsplit_once(' ').unwrap_or(("", ""));
            if of_type.ends_with("_fn") {
                found.push(format!("{function}.{name}"));
            }
        }
    }
    found
}

/// No callback of the header is left out where all functions are called from within each.
#[test]
fn p25_every_callback_is_a_place() {
    let table = fs::read_to_string(sources().join("reentrant_everywhere.c")).unwrap();
    let callbacks = callbacks();
    assert!(callbacks.len() >= 15, "{callbacks:?}");
    for callback in callbacks {
        assert!(
            is_listed(&table, &callback),
            "tests/c/reentrant_everywhere.c does not call from {callback}"
        );
    }
}

/// The functions of the header with what stands between their parentheses.
fn declarations() -> Vec<(String, String)> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/microbatch.h");
    let header = fs::read_to_string(header).unwrap();
    let table = header.split_once("struct mb_api {").unwrap().1;
    let entries = table
        .split("(*mb_")
        .skip(1)
        .filter_map(|rest| rest.split_once(")("));
    entries
        .map(|(name, rest)| {
            let parameters = rest.split(");").next().unwrap();
            let parameters: Vec<_> = parameters.split_whitespace().collect();
            (format!("mb_{name}"), parameters.join(" "))
        })
        .collect()
}

/// No parameter of the header that says how much there is, or which, is left out of `lengths.c`.
#[test]
fn p30_every_length_is_absurd_once() {
    let table = fs::read_to_string(sources().join("lengths.c")).unwrap();
    let mut found = 0;
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let (of_type, name) = parameter.rsplit_once(' ').unwrap_or(("", ""));
            let says_how_much = of_type == "size_t" && !name.starts_with('*')
                || (of_type, name) == ("uint64_t", "size")
                || of_type == "const mb_value";
            if says_how_much {
                found += 1;
                let row = format!("{{ \"{function}\", \"{}\", ", name.trim_start_matches('*'));
                assert!(table.contains(&row), "tests/c/lengths.c has no {row}");
            }
        }
    }
    assert!(found > 40, "{found}");
}

/// No function of the header that fills or reads a struct that knows its size is left out of `old_struct_size.c`, and no
/// such struct.
#[test]
fn p34_every_sized_struct_has_every_size() {
    let table = fs::read_to_string(sources().join("old_struct_size.c")).unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/microbatch.h");
    let header = fs::read_to_string(header).unwrap();
    let structs = header.split("typedef struct ").skip(1);
    let mut sized: Vec<_> = structs
        .filter_map(|body| body.split_once(" {\n    size_t struct_size;"))
        .map(|(name, _)| name)
        .filter(|name| !name.contains('\n'))
        .collect();
    assert!(sized.len() >= 9, "{sized:?}");
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let of_type = parameter.trim_start_matches("const ").split(' ').next().unwrap();
            let Some(at) = sized.iter().position(|name| *name == of_type) else {
                continue;
            };
            let row = format!("{{ \"{function}\", \"{}\", ", sized[at]);
            let is_there =
                table.contains(&row) || ["mb_options_init", "mb_options_set"].contains(&function.as_str());
            assert!(is_there, "tests/c/old_struct_size.c has no {row}");
        }
    }
    sized.retain(|name| !table.contains(&format!(", \"{name}\", ")));
    assert!(sized.is_empty(), "nothing fills or reads {sized:?}");
}

/// A program together with a bug that it must find: one of `twins.c` in the place of the function that it wraps.
struct Twin {
    source: &'static str,
    bug: &'static str,
    wraps: &'static str,
}

const fn twin(source: &'static str, bug: &'static str, wraps: &'static str) -> Twin {
    Twin { source, bug, wraps }
}

const TWINS: &[Twin] = &[
    twin("bad_input.c", "TAKES_ANY_OPTION", "mb_options_set"),
    twin("bulk.c", "MISCOUNTS_A_PREFIX", "mb_batcher_push_int64s"),
    twin("double_free.c", "FREES_TWICE", "mb_batcher_free"),
    twin("exit.c", "EXIT_DRAINS_NOTHING", "mb_batcher_new"),
    twin("fork.c", "CHILD_IS_NOT_TOLD", "mb_batcher_seal"),
    twin("fork_everywhere.c", "CHILD_IS_NOT_TOLD", "mb_batcher_seal"),
    twin("keep.c", "COMPLETES_TWICE", "mb_batch_complete"),
    twin("late_results.c", "LATE_CELLS_SHOW", "mb_results_get_view"),
    twin("lengths.c", "ANY_LENGTH_IS_FINE", "mb_batch_fail_all"),
    twin("null.c", "NULL_IS_FINE", "mb_batcher_next_due"),
    twin("objects.c", "KEEPS_A_REFUSED_OBJECT", "mb_batcher_push_object"),
    twin("old_struct_size.c", "FILLS_TOO_MUCH", "mb_batcher_stats"),
    twin("old_struct_size.c", "TAKES_ANY_SIZE", "mb_producer_push_value"),
    twin("oom.c", "NO_MEMORY_IS_NOT_TOLD", "mb_batcher_push_string"),
    twin("owned.c", "RELEASES_INSIDE_PUSH", "mb_batcher_push_value"),
    twin("pin.c", "SETS_THROUGH_A_PIN", "mb_batch_set_int64"),
    twin("pthread_exit.c", "END_OF_THREAD_IS_NOT_TOLD", "mb_results_value"),
    twin("pull.c", "NEVER_SAYS_CLOSED", "mb_batcher_next_results"),
    twin("pull_parts.c", "NEVER_SAYS_WOULD_WAIT", "mb_batcher_push_value"),
    twin("reentrant.c", "CLOSED_WITHIN", "mb_batcher_close"),
    twin("reentrant_everywhere.c", "FLUSH_GIVES_UP", "mb_batcher_flush"),
    twin("reentrant_everywhere.c", "FLUSH_WAITS", "mb_batcher_flush"),
    twin("refused.c", "WRONG_REASON", "mb_batcher_fd"),
    twin("share.c", "TABLE_OF_ANOTHER", "mb_api_table"),
    twin("signals.c", "THREADS_TAKE_SIGNALS", "pthread_sigmask"),
    twin("stats.c", "MISCOUNTS", "mb_batcher_stats"),
    twin("stderr_silent.c", "TALKS", "mb_batcher_seal"),
    twin("thread_ends.c", "ENDS_A_THREAD", "mb_batcher_seal"),
    twin("thread_ends.c", "LOSES_A_VALUE", "mb_batcher_push_int64"),
    twin("threads.c", "LOSES_A_VALUE", "mb_batcher_push_int64"),
    twin("threads.c", "PUSHES_TWICE", "mb_batcher_push_int64"),
    twin("use_after_close.c", "CLOSED_IS_FINE", "mb_batcher_push_int64"),
    twin("use_after_free.c", "FREED_IS_FINE", "mb_batcher_push_int64"),
    twin("user_data.c", "FORGETS_USER_DATA", "mb_batcher_new"),
    twin("values.c", "LOSES_A_SIGN", "mb_batcher_push_float64"),
    twin("wrong_handle.c", "ANY_HANDLE_IS_FINE", "mb_batcher_seal"),
];

/// Compiles a program with these arguments more, linked static, and sees it fail with words of its own.
fn fails(source: &str, name: &str, arguments: &[String]) {
    let program = PROGRAMS.iter().find(|program| program.source == source).unwrap();
    let path = sources().join(source);
    let mut build = Build::new(program.language, program.standard, &path, name);
    build.link = Some(Link::Static);
    build.arguments = arguments.iter().map(OsStr::new).collect();
    let executable = build.compile();
    let mut command = Command::new(&executable);
    for argument in program.arguments {
        command.arg(match argument {
            Argument::Library => library("libmicrobatch.so"),
            Argument::Copy => copy_of_library(executable.parent().unwrap()),
            Argument::ShareLib => share_lib(executable.parent().unwrap()),
        });
    }
    let output = run(&mut command);
    assert!(!output.status.success(), "{name}: the bug is not found");
    assert!(!output.stderr.is_empty(), "{name}: nothing is said of the bug");
}

/// Every program here finds the bug that is seeded for it.
#[test]
fn the_programs_are_awake() {
    if !C.is_installed() {
        return;
    }
    let twins = sources().join("twins.c").to_str().unwrap().to_owned();
    for Twin { source, bug, wraps } in TWINS {
        let name = format!("{}-{bug}", source.trim_end_matches(".c"));
        fails(
            source,
            &name,
            &[
                twins.clone(),
                format!("-D{bug}"),
                format!("-Wl,--wrap={wraps}"),
                // Some wait for what never comes.
                "-DWATCHDOG_SECONDS=10".to_owned(),
            ],
        );
    }
    // A library that looks at the wall clock.
    fails("clock.c", "clock-wall", &["-DJUMPING=CLOCK_MONOTONIC".to_owned()]);
}

/// `dlclose.c` falls over a library that is gone when a thread ends that used it.
#[test]
fn dlclose_is_awake() {
    if !C.is_installed() {
        return;
    }
    let twins = sources().join("twins.c");
    let mut wrong = Build::new(C, "-std=c99", &twins, "leaves_a_destructor.so");
    let real = format!("-DLIBRARY=\"{}\"", library("libmicrobatch.so").display());
    wrong.arguments = ["-shared", "-fPIC", "-DLEAVES_A_DESTRUCTOR", &real]
        .map(OsStr::new)
        .to_vec();
    let wrong = wrong.compile();
    let source = sources().join("dlclose.c");
    let program = Build::new(C, "-std=c99", &source, "dlclose-wrong").compile();
    let output = run(Command::new(&program).arg(&wrong));
    assert!(output.status.signal().is_some(), "{}", output.status);
    assert!(
        run(Command::new(&program).arg(library("libmicrobatch.so")))
            .status
            .success()
    );
}

/// Every program here has a twin with a bug, but those whose compiling is the test, or that have a test of their own above.
#[test]
fn every_program_has_a_twin() {
    let others = ["c89.c", "clock.c", "cpp98.cpp", "dlclose.c"];
    for Program { source, .. } in PROGRAMS {
        let has_twin = TWINS.iter().any(|twin| twin.source == *source);
        assert!(has_twin != others.contains(source), "{source}");
    }
}

/// Programs that are wrong, so that passing under the sanitizers means something.
#[test]
fn the_sanitizers_are_awake() {
    if !C.is_installed() || !can_sanitize() {
        return;
    }
    let wrong = [
        (
            "leak",
            "char *volatile lost = malloc(7); *lost = 1; lost = 0;",
            "LeakSanitizer",
        ),
        (
            "after_free",
            "char *gone = malloc(7); free(gone); return *(volatile char *)gone;",
            "heap-use-after-free",
        ),
        (
            "overflow",
            "volatile int most = 2147483647; most += 1;",
            "signed integer overflow",
        ),
    ];
    for (name, body, told) in wrong {
        let directory = scratch("native", &format!("awake-{name}"));
        let source = directory.join("wrong.c");
        fs::write(
            &source,
            format!("#include <stdlib.h>\nint main(void) {{ {body} return 0; }}\n"),
        )
        .unwrap();
        let mut build = Build::new(C, "-std=c99", &source, "wrong");
        build.link = Some(Link::Sanitized);
        build.arguments = vec![OsStr::new("-Wno-use-after-free")];
        build.directory = Some(directory);
        let output = run(&mut sanitized(Command::new(build.compile())));
        let stderr = text(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(told),
            "{name}: {}\n{stderr}",
            output.status
        );
    }
}
