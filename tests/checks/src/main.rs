//! `cargo run -p microbatch-checks -- CHECK [ARGUMENTS]`: one check for longer than at every change.

use microbatch_checks::memory::{self, Borrows, Sanitizer};
use microbatch_checks::search;
use microbatch_checks::tool::{Outcome, Result, root, run, write_script};
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "cargo run -p microbatch-checks -- CHECK
  miri [SEEDS|SUITE]    suites of the engine under Miri, small ones with SEEDS schedules (0..64), both sets of aliasing rules
  tsan [SEEDS]          the stress test's rounds (0-119), and the small suite, with the thread sanitizer
  asan                  the suites of the engine with the address and leak sanitizers
  valgrind              every C test under memcheck
  hosts [java|node|python]  the suites of another language on an engine with the address sanitizer
  fuzz [SECONDS]        every fuzz target (3600); what it learns is left in target/checks/corpus
  coverage              lines and branches of the engine and the boundary
  mutants [quick] [FILES] [K/N]  mutants of the engine and the boundary, or of files; the K-th of N samples; some seconds each
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match check(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(told) => {
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

fn check(words: &[&str]) -> Result {
    match *words {
        ["miri"] => miri("0..64"),
        ["miri", suite] if root().join("tests").join(suite).is_dir() => miri_suite(suite),
        ["miri", seeds] => miri(seeds),
        ["tsan"] => tsan("0-119"),
        ["tsan", seeds] => tsan(seeds),
        ["asan"] => asan(),
        ["valgrind"] => valgrind(),
        ["hosts"] => ["java", "node", "python"].into_iter().try_for_each(host),
        ["hosts", language] => host(language),
        ["fuzz"] => fuzz(3600),
        ["fuzz", seconds] => fuzz(seconds.parse().map_err(|_| "SECONDS is a number")?),
        ["coverage"] => show(search::coverage(&["--summary-only"])?),
        ["mutants", ref files @ .., part]
            if part
                .split_once('/')
                .is_some_and(|(part, _)| part.parse::<usize>().is_ok()) =>
        {
            mutants(files, part)
        }
        ["mutants", ref files @ ..] => mutants(files, "0/1"),
        _ => Err(USAGE.to_owned()),
    }
}

fn mutants(words: &[&str], part: &str) -> Result {
    let files = words.strip_prefix(&["quick"]).unwrap_or(words);
    let is_quick = files.len() < words.len();
    let numbers = part
        .split_once('/')
        .and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    let (part, parts) = numbers.filter(|(_, parts)| *parts > 0).ok_or("a part is K/N")?;
    microbatch_checks::mutants::mutants(files, part, parts, is_quick)
}

fn show(outcome: Outcome) -> Result {
    println!("{}", outcome.text);
    if outcome.is_ok {
        Ok(())
    } else {
        Err("it failed".to_owned())
    }
}

/// The suites that run under Miri one at a time.
const LARGER_SUITES: [&str; 6] = ["batches", "flow", "results", "values", "hosts", "seeing"];

/// Tests that Miri cannot run, by suite and by their whole names, and why.
const NOT_UNDER_MIRI: &[(&str, &str, &str)] = &[
    (
        "batches",
        "parts::p13_a_batcher_without_handlers_starts_no_handler_threads",
        "runs itself in a process of its own",
    ),
    (
        "flow",
        "ends::p26_free_gives_back_threads_and_descriptors",
        "runs itself in a process of its own",
    ),
    (
        "flow",
        "ends::p26_abandon_does_not_wait",
        "runs itself in a process of its own",
    ),
    (
        "flow",
        "held::p26_a_batcher_may_end_inside_its_own_callbacks",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "clock::p28_run_ends_at_the_end_of_time",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "fork::p31_every_call_on_an_old_handle_answers_forked",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "fork::p31_a_child_of_a_busy_process_waits_for_no_lock",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "fork::p31_new_batchers_work_in_the_child",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "fork::p31_no_callback_runs_in_the_child",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "guests::p32_engine_threads_block_all_signals_and_have_names_and_a_stack",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "guests::p32_a_storm_of_signals_changes_nothing",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "guests::p32_the_library_installs_no_signal_handler_and_writes_nothing",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "guests::p30_panics_of_the_host_go_to_its_own_hook",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "modes::p27_manual_mode_starts_no_thread",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "modes::p27_threaded_mode_starts_its_handler_threads_and_one_for_time",
        "runs itself in a process of its own",
    ),
    (
        "hosts",
        "modes::p27_threads_that_have_nothing_to_do_sleep",
        "runs itself in a process of its own",
    ),
    (
        "flow",
        "flush::p23_the_descriptor_fires_when_a_flush_is_done",
        "polls a descriptor",
    ),
    (
        "flow",
        "flush::p23_the_descriptor_fires_for_every_mark",
        "polls a descriptor",
    ),
    (
        "flow",
        "room::p22_the_descriptor_fires_when_there_is_room_after_a_refusal",
        "polls a descriptor",
    ),
    (
        "flow",
        "room::p22_the_descriptor_is_quiet_once_the_push_found_room",
        "polls a descriptor",
    ),
    (
        "flow",
        "room::p22_room_arms_and_answers_the_descriptor",
        "polls a descriptor",
    ),
    (
        "hosts",
        "clock::p28_the_descriptor_of_a_given_clock_fires_at_the_given_time",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p27_the_descriptor_is_level_triggered",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p27_the_descriptor_fires_for_what_can_be_pulled",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p23_a_flush_that_is_given_up_leaves_the_descriptor_quiet",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p22_who_asks_for_room_is_told_though_others_find_it",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p27_the_descriptor_fires_when_the_next_deadline_has_come",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p27_a_host_can_live_on_poll_and_run_alone",
        "polls a descriptor",
    ),
    (
        "hosts",
        "descriptor::p23_of_many_marks_the_descriptor_tells_of_the_newest",
        "polls a descriptor",
    ),
    (
        "batches",
        "delay::p09_a_delay_that_is_spun_out_is_not_shorter",
        "reads /proc",
    ),
    (
        "results",
        "deadlines::p20_a_handler_thread_keeps_a_sooner_deadline_while_the_time_thread_is_in_on_result",
        "reads /proc",
    ),
    (
        "batches",
        "columns::p12_the_handler_reads_the_very_address_the_push_wrote",
        "reads /proc",
    ),
    (
        "batches",
        "columns::p12_a_held_batch_is_read_where_the_push_wrote_it",
        "reads /proc",
    ),
    (
        "batches",
        "limits::p08_no_batch_passes_its_limits",
        "would take hours",
    ),
    (
        "batches",
        "slots::p10_batches_grow_under_load_and_shrink_when_idle",
        "would take hours",
    ),
    (
        "batches",
        "order::p11_values_of_one_thread_keep_their_order",
        "would take hours",
    ),
    (
        "batches",
        "order::p11_a_push_that_returned_comes_before_one_that_begins",
        "would take hours",
    ),
    (
        "batches",
        "order::p11_a_producer_handle_keeps_the_order_of_its_thread",
        "would take hours",
    ),
];

/// Tests that look through all memory of the process, of which a sanitizer makes terabytes.
const NOT_SANITIZED: [&str; 2] = [
    "p12_the_handler_reads_the_very_address",
    "p12_a_held_batch_is_read_where",
];

fn miri(seeds: &str) -> Result {
    for borrows in [Borrows::Stacked, Borrows::Tree] {
        memory::miri(borrows, seeds, true, &["--test", "small"])?.content("small")?;
        memory::miri(borrows, "", true, &["--test", "regressions", "--test", "corpus"])?.content("corpus")?;
    }
    for suite in LARGER_SUITES {
        let began = Instant::now();
        miri_suite(suite)?;
        println!("{suite}: nothing, in {} s", began.elapsed().as_secs());
    }
    Ok(())
}

/// One of the larger suites under Miri, but for what it cannot run.
fn miri_suite(suite: &str) -> Result {
    // A test that shelves batches in their own handler leaves a ring behind.
    let mut arguments = vec!["--test", suite, "--", "--exact"];
    for (of, name, why) in NOT_UNDER_MIRI {
        if *of == suite {
            println!("{suite}: not {name}, which {why}");
            arguments.extend(["--skip", *name]);
        }
    }
    memory::miri(Borrows::Tree, "", false, &arguments)?.content(suite)
}

/// Arguments for cargo: these suites, without what no sanitizer can run.
fn sanitizable(suites: &[&'static str]) -> Vec<&'static str> {
    let mut arguments: Vec<&str> = suites.iter().flat_map(|suite| ["--test", *suite]).collect();
    arguments.push("--");
    arguments.extend(NOT_SANITIZED.iter().flat_map(|name| ["--skip", *name]));
    arguments
}

fn tsan(seeds: &str) -> Result {
    let all = sanitizable(&["small", "flow", "batches", "results", "hosts", "values"]);
    memory::sanitized(Sanitizer::Thread, false, &all)?.content("the suites with the thread sanitizer")?;
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("MICROBATCH_SEEDS", seeds) };
    show(memory::sanitized(
        Sanitizer::Thread,
        false,
        &["--test", "stress"],
    )?)
}

fn asan() -> Result {
    memory::sanitized(
        Sanitizer::Address,
        true,
        &["--test", "small", "--test", "regressions", "--test", "corpus"],
    )?
    .content("the address and leak sanitizers")?;
    // Tests that shelve batches in their own handler leave rings behind.
    let all = sanitizable(&[
        "stress", "flow", "batches", "results", "hosts", "values", "seeing",
    ]);
    show(memory::sanitized(Sanitizer::Address, false, &all)?)
}

/// C tests that valgrind cannot run as they are, and why.
const NOT_UNDER_VALGRIND: [(&str, &str); 10] = [
    ("exit.c", "ends while threads live, whose stacks look lost"),
    (
        "fork.c",
        "has children without the threads, whose stacks look lost",
    ),
    ("fork_everywhere.c", "likewise"),
    ("signals.c", "sees the signal that valgrind keeps for itself"),
    ("twins.c", "is what is wrong with others"),
    ("oom.c", "has a malloc of its own, and so has valgrind"),
    ("share_lib.c", "is no program"),
    ("share.c", "takes libraries as arguments"),
    ("dlclose.c", "takes the library as an argument"),
    ("c89.c", "is strict C89, compiled by its own test"),
];

fn valgrind() -> Result {
    if !memory::has_valgrind()? {
        return Err("no valgrind: apt-get install valgrind libc6-dbg".to_owned());
    }
    let library = memory::plain_library()?;
    let mut sources: Vec<String> = std::fs::read_dir(root().join("tests/c"))
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.ends_with(".c") && !NOT_UNDER_VALGRIND.iter().any(|(not, _)| not == name))
        .collect();
    sources.sort();
    let mut told = String::new();
    for source in sources {
        let defines = ["WITHOUT_BUSY_FORKS", "WATCHDOG_SECONDS=3600"];
        let outcome = memory::memcheck(&format!("tests/c/{source}"), &defines, &library)?;
        println!("{source}: {}", if outcome.is_ok { "nothing" } else { "REPORTED" });
        if !outcome.is_ok {
            told += &format!("---- {source}\n{}", outcome.text);
        }
    }
    if told.is_empty() { Ok(()) } else { Err(told) }
}

/// Tests in Java that an engine with the address sanitizer cannot pass: it takes address space that a collector wants, keeps
/// freed memory for long, and of a thread that leaves its stack by `pthread_exit` it is not told.
const NOT_SANITIZED_IN_JAVA: [&str; 4] = [
    "CollectorsTest",
    "LifetimeTest#aHundredThousandBatchersComeAndGo",
    "LogTest#p39_linesOfTheEnginesThreadsReachJava",
    "LogTest#p39_linesThatWaitAreBoundedAndDropsAreSaid",
];

/// The suite of a language whose glue is linked with an engine that has the address sanitizer. gcc's runtime is loaded
/// first into every process: rustc links none into libraries, and compilers are told to add it, since libraries may leave
/// nothing undefined. C++'s comes with it, for exceptions of libraries that are loaded later.
fn host(language: &str) -> Result {
    let find = |library: &str| -> Result<String> {
        let mut compiler = Command::new("cc");
        compiler.arg(format!("-print-file-name={library}"));
        Ok(run(&mut compiler)?.text.trim().to_owned())
    };
    let (runtime, exceptions) = (find("libasan.so")?, find("libstdc++.so.6")?);
    let place = microbatch_checks::tool::target("host");
    let compilers = [("CC", "cc"), ("CXX", "c++")].map(|(variable, compiler)| {
        let wrapper = place.join(compiler);
        write_script(
            &wrapper,
            &format!("#!/bin/sh\nexec {compiler} \"$@\" '{runtime}'\n"),
        )
        .map(|()| (variable, wrapper))
    });
    let mut cargo = microbatch_checks::nightly::cargo()?;
    cargo
        .env(
            "RUSTFLAGS",
            format!("-Zsanitizer=address -Zexternal-clangrt -Clink-arg={runtime}"),
        )
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            format!("env LD_PRELOAD={runtime}:{exceptions}"),
        )
        // What is freed stays a while, but not so much that a test that looks for growth takes it for some.
        .env(
            "ASAN_OPTIONS",
            "handle_segv=0:detect_leaks=0:quarantine_size_mb=16",
        )
        .env(memory::PATIENCE.0, memory::PATIENCE.1)
        .args([
            "test",
            "--locked",
            "--target",
            "x86_64-unknown-linux-gnu",
            "--test",
            language,
        ])
        .arg("--target-dir")
        .arg(&place);
    if language == "java" {
        let without: Vec<String> = NOT_SANITIZED_IN_JAVA
            .iter()
            .map(|name| format!("!{name}"))
            .collect();
        cargo.env("MAVEN_OPTS", format!("-Dtest={}", without.join(",")));
    }
    for compiler in compilers {
        let (variable, wrapper) = compiler?;
        cargo.env(variable, wrapper);
    }
    show(run(&mut cargo)?)
}

fn fuzz(seconds: u32) -> Result {
    for name in search::TARGETS {
        let outcome = search::fuzz(name, seconds, false)?;
        let last = outcome.text.lines().last().unwrap_or_default().to_owned();
        println!("{name}: {last}");
        outcome.content(name)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{LARGER_SUITES, NOT_UNDER_MIRI, root};

    /// What is left out under Miri is there, or a test of another name would be left out unseen.
    #[test]
    fn what_miri_cannot_run_exists() {
        for (suite, name, _) in NOT_UNDER_MIRI {
            let there = name.split_once("::").is_some_and(|(module, test)| {
                let file = root().join("tests").join(suite).join(format!("{module}.rs"));
                std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {test}()")))
            });
            assert!(there, "{suite}: {name}");
        }
    }

    /// What needs a process of its own, or polls, is left out under Miri.
    #[test]
    fn what_miri_cannot_run_is_left_out() {
        let mut found = 0;
        for suite in LARGER_SUITES {
            for entry in std::fs::read_dir(root().join("tests").join(suite)).unwrap() {
                let path = entry.unwrap().path();
                let (text, module) = (std::fs::read_to_string(&path).unwrap(), path.file_stem().unwrap());
                for test in text.split("\n#[test]\nfn ").skip(1) {
                    let (name, body) = test.split_once("() {\n").unwrap();
                    let body = body.split("\n}\n").next().unwrap();
                    if ["    alone(", "readable(", "fires("]
                        .iter()
                        .any(|call| body.contains(call))
                    {
                        let name = format!("{}::{name}", module.display());
                        let is_out = |(of, out, _): &(&str, &str, &str)| *of == suite && *out == name;
                        assert!(NOT_UNDER_MIRI.iter().any(is_out), "{suite}: {name}");
                        found += 1;
                    }
                }
            }
        }
        assert!(found > 20, "{found}");
    }
}
