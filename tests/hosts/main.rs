//! Threads and hosts: modes, clocks, pulling, fork, signals (P27 to P32, as far as Rust can show them).
//!
//! Whatever counts threads, descriptors or system calls runs in a process of its own (`alone`). Waits are without
//! end, so that a lost wake is a hang, which the watchdog ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod modes;
mod descriptor;
mod clock;
mod pulling;
mod fork;
mod guests;

use common::{
    FOREVER, Journal, Kept, Ledger, Shelf, alone, answer, echo, fires, given, ms, ns, readable, run_at,
    status, timeless, wait_until, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Clock, Failure, Handled, HeldBatch, IfFull, Mode, Object, OnFull, Outcome,
    PushOptions, Status, Tags, Timeout, Trigger, Value,
};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

// ---- What the tests of this file share

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Thread id and name of every thread of this process that is the engine's.
fn engine_threads() -> Vec<(String, String)> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let id = task.unwrap().file_name().into_string().unwrap();
        // A thread may end between the two reads.
        if let Ok(name) = std::fs::read_to_string(format!("/proc/self/task/{id}/comm"))
            && name.starts_with("mb-")
        {
            threads.push((id, name.trim().to_owned()));
        }
    }
    threads.sort();
    threads
}

/// A batcher without threads on the system's clock.
fn manual() -> Builder {
    Batcher::builder().mode(Mode::Manual)
}
