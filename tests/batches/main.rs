//! Batches: when they seal, what they hold, in which order they go, who handles them, and `map` (promises P7 to P14).
//!
//! Time is given wherever the rule allows. Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod triggers;
mod limits;
mod delay;
mod slots;
mod order;
mod columns;
mod parts;
mod mapping;

use common::{
    Chance, Copied, Door, FOREVER, Journal, Notes, Seen, Shelf, alone, echo, finish, given, int, ints,
    journaled, ns, run_at, status, text, timeless, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Failure, Handled, Kind, Mode, Object, OnFull, Outcome, PushOptions, Results,
    Split, Status, Tags, Timeout, Trigger, Value, map,
};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const OWNER: u32 = 7;

/// Pushes int64 values whose tags are the values.
fn push_all(batcher: &Batcher, values: impl IntoIterator<Item = i64>) {
    for value in values {
        batcher.push(value, value as u64).unwrap();
    }
}

/// The batches as lists of their values, which are int64.
fn values_of(batches: &[Seen]) -> Vec<Vec<i64>> {
    let integer = |value: &Copied| match value {
        Copied::Int64(value) => *value,
        other => panic!("{other:?} is no int64"),
    };
    batches
        .iter()
        .map(|batch| batch.values.iter().map(integer).collect())
        .collect()
}
