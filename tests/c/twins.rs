//! The programs are awake: each finds the bug of `twins.c` that is seeded for it, and the sanitizers find theirs.

use super::native::{Build, C, Link, can_sanitize, library, run, sanitized, scratch, text};
use super::{PROGRAMS, Program, pass_arguments, sources};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

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
    pass_arguments(program, &executable, &mut command);
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
            "volatile int most = 2147483647; most += 1; if (most == 0) return 1;",
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
        // clang does not know the second, and would say so.
        build.arguments = ["-Wno-unknown-warning-option", "-Wno-use-after-free"]
            .map(OsStr::new)
            .to_vec();
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
