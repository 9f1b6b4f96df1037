//! What is watched at every change, and that the watchers are awake: each has something wrong on purpose to report.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use microbatch_checks::memory::{self, Borrows, Sanitizer};
use microbatch_checks::nightly;
use microbatch_checks::tool::Result;

/// Without the nightly compiler there is nothing to run: said aloud, and a failure under CI.
fn with_nightly(check: impl FnOnce() -> Result) {
    if let Err(why) = nightly::channel() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("IGNORED: {why}");
        return;
    }
    if let Err(told) = check() {
        panic!("{told}");
    }
}

const CONTROL: [&str; 4] = ["--test", "small", "--", "--ignored"];

fn control(name: &'static str) -> Vec<&'static str> {
    let mut arguments = CONTROL.to_vec();
    arguments.extend(["--exact", name]);
    arguments
}

#[test]
fn p11_p15_miri_reports_nothing() {
    with_nightly(|| {
        memory::miri(Borrows::Tree, "0..3", true, &["--test", "small"])?
            .content("small suite, tree borrows")?;
        memory::miri(
            Borrows::Stacked,
            "",
            true,
            &["--test", "small", "--test", "regressions"],
        )?
        .content("small suite, stacked borrows")
    });
}

#[test]
fn miri_reports_a_race_a_use_after_free_and_a_leak() {
    with_nightly(|| {
        memory::miri(Borrows::Tree, "", true, &control("control_race"))?.complains("Data race", "Miri")?;
        memory::miri(Borrows::Tree, "", true, &control("control_use_after_free"))?
            .complains("Undefined Behavior", "Miri")?;
        memory::miri(Borrows::Tree, "", true, &control("control_leak"))?.complains("memory leaked", "Miri")
    });
}

#[test]
fn p15_the_thread_sanitizer_reports_nothing() {
    with_nightly(|| {
        // SAFETY: nothing else in this process reads this variable.
        unsafe { std::env::set_var("MICROBATCH_SEEDS", "0-29") };
        memory::sanitized(Sanitizer::Thread, false, &["--test", "small", "--test", "stress"])?
            .content("stress test with the thread sanitizer")?;
        memory::sanitized(Sanitizer::Thread, false, &control("control_race"))?
            .complains("data race", "the thread sanitizer")
    });
}

#[test]
fn p30_the_address_sanitizer_reports_nothing() {
    with_nightly(|| {
        let suites = ["--test", "small", "--test", "regressions", "--test", "corpus"];
        memory::sanitized(Sanitizer::Address, true, &suites)?.content("the address and leak sanitizers")?;
        memory::sanitized(Sanitizer::Address, true, &control("control_use_after_free"))?
            .complains("heap-use-after-free", "the address sanitizer")?;
        memory::sanitized(Sanitizer::Address, true, &control("control_leak"))?
            .complains("detected memory leaks", "the leak sanitizer")
    });
}

/// Three C programs that go everywhere; all of them on demand.
#[test]
fn p26_valgrind_reports_nothing_and_no_byte_is_lost() {
    let check = || -> Result {
        if !memory::has_valgrind()? {
            println!("IGNORED: no valgrind: apt-get install valgrind libc6-dbg");
            return Ok(());
        }
        let library = memory::plain_library()?;
        for source in ["tests/c/objects.c", "tests/c/keep.c", "tests/c/owned.c"] {
            memory::memcheck(source, &[], &library)?.content(source)?;
        }
        memory::memcheck("tests/checks/tests/wrong.c", &[], &library)?
            .complains("Invalid read", "valgrind")?;
        memory::memcheck("tests/checks/tests/wrong.c", &["LEAK"], &library)?
            .complains("definitely lost", "valgrind")
    };
    if let Err(told) = check() {
        panic!("{told}");
    }
}
