//! What the tests of the promises share: a watchdog, batchers in virtual time, a journal of all that handlers and
//! `on_result` were given, and a ledger that checks that every value had exactly one result.
//!
//! Numbers that stand for a time are nanoseconds of a given clock, which only `advance` moves.
#![allow(
    dead_code,
    unused_imports,
    reason = "every suite uses its own part of this module"
)]

mod chance;
mod copied;
mod door;
mod journal;
mod ledger;
mod notes;

pub(crate) use chance::*;
pub(crate) use copied::*;
pub(crate) use door::*;
pub(crate) use journal::*;
pub(crate) use ledger::*;
pub(crate) use notes::*;

use microbatch::{
    Batch, Batcher, Builder, Clock, Failure, Handled, HeldBatch, Kind, Mode, Object, Outcome, Results,
    Status, Timeout, Trigger, Value,
};
use std::collections::HashMap;
use std::io::Write;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a test may take before it counts as hung: `MICROBATCH_WATCHDOG` seconds, or 60. No test asserts that something
/// is faster than this.
fn patience() -> Duration {
    let asked = std::env::var("MICROBATCH_WATCHDOG").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(60))
}

// ---- The watchdog

/// Ends the process with a message if it is not dropped within [`patience`]: a hung test cannot be failed from
/// outside in any other way.
pub(crate) struct Watchdog {
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Every test in real time begins with `let _watchdog = watchdog();`.
pub(crate) fn watchdog() -> Watchdog {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let patience = patience();
        if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            // Not eprintln!, whose text is kept back while a test runs.
            let _ = writeln!(
                std::io::stderr(),
                "watchdog: {test} hangs: it has run for {patience:?}"
            );
            std::process::abort();
        }
    });
    Watchdog {
        alive: Some(alive),
        thread: Some(thread),
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The watching thread ends with the channel; joining it leaves no thread behind.
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Lets other threads go on until `condition` holds. The watchdog ends it if that never comes.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `test` in a process of its own, as this very test of this binary, for what concerns the whole process: the number
/// of its threads, its memory. Its environment asks std for larger stacks, which is none of the engine's business.
pub(crate) fn alone(name: &str, test: fn()) {
    if std::env::var("MICROBATCH_ALONE").is_ok_and(|alone| alone == name) {
        return test();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--test-threads=1", "--nocapture"])
        .env("MICROBATCH_ALONE", name)
        .env("RUST_MIN_STACK", "8388608")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    assert!(
        child.status.success() && text.contains("ok. 1 passed"),
        "{name}, alone ({}):\n{last}",
        child.status
    );
    print!("{text}");
}

// ---- Batchers in virtual time

/// No limit, for options that take a time.
pub(crate) const FOREVER: Timeout = Timeout::FOREVER;

/// Nanoseconds of the given clock, as an option takes them.
pub(crate) fn ns(span: u64) -> Timeout {
    Duration::from_nanos(span).into()
}

/// A batcher without threads whose time is moved by the test. Every other option has its default.
pub(crate) fn given() -> Builder {
    Batcher::builder().mode(Mode::Manual).clock(Clock::Given)
}

/// As [`given`], and no batch is ever due by time: batches seal by the limits a test sets, by seal, flush or close.
pub(crate) fn timeless() -> Builder {
    given().max_delay(FOREVER)
}

/// Moves the clock to `now` and does what is due then.
pub(crate) fn run_at(batcher: &Batcher, now: i64) {
    batcher.advance(now).unwrap();
    batcher.run().unwrap();
}

/// A status without its `Ok`, for comparisons: `status(batcher.push(1, 1))`.
pub(crate) fn status<T>(result: microbatch::Result<T>) -> Status {
    result.err().unwrap_or(Status::OK)
}

// ---- Descriptors and spans

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whether the descriptor is readable, within `wait` milliseconds; -1 waits for ever.
pub(crate) fn readable(fd: i32, wait: i32) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait) == 1 }
}

/// Readable now, or as soon as the kernel has run the timer behind it.
pub(crate) fn fires(fd: i32) -> bool {
    readable(fd, 20_000)
}
