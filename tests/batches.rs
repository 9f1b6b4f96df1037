//! Batches: when they seal, what they hold, in which order they go, who handles them, and `map` (promises P7 to P14).
//!
//! Time is given wherever the rule allows. Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{
    Chance, Copied, Door, FOREVER, Journal, Notes, Seen, Shelf, alone, echo, finish, given, int, ints, journaled, ns,
    run_at, status, text, timeless, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Failure, Handled, Kind, Mode, Object, OnFull, Outcome, PushOptions, Split, Status, Tags,
    Timeout, Trigger, Value, map,
};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

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
    batches.iter().map(|batch| batch.values.iter().map(integer).collect()).collect()
}

// ---- P7: triggers

/// Fails if `seals_after` asks for more than `max_batch_size` rows (engine/forming.rs).
#[test]
fn p07_size_seals_at_max_batch_size() {
    let (batcher, journal) = journaled(timeless().max_batch_size(3));
    push_all(&batcher, 1..=2);
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), []);
    push_all(&batcher, 3..=7);
    batcher.run().unwrap();
    assert_eq!(values_of(&journal.batches()), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(journal.triggers(), [Trigger::Size; 2]);
    assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Size), 2);
}

/// Fails if `seals_before` seals at the limit instead of past it, or lets the value in that passes it.
#[test]
fn p07_bytes_seals_before_the_value_that_would_pass_the_limit() {
    let (batcher, journal) = journaled(timeless().max_batch_bytes(24));
    push_all(&batcher, 1..=3);
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), [], "24 bytes are within the limit");
    push_all(&batcher, 4..=4);
    batcher.run().unwrap();
    assert_eq!(values_of(&journal.batches()), [[1, 2, 3]]);
    assert_eq!(journal.triggers(), [Trigger::Bytes]);
    batcher.push("nine byte", 5).unwrap();
    batcher.run().unwrap();
    assert_eq!(journal.batches()[1].values, [int(4)], "8 + 8 + 9 would pass it");
    assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Bytes), 2);
}

/// Fails if a batch is due a nanosecond early or late (`<=` in `forming::due`).
#[test]
fn p07_delay_seals_at_the_instant() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    batcher.advance(100).unwrap();
    push_all(&batcher, 1..=1);
    assert_eq!(batcher.next_due(), Ok(110));
    run_at(&batcher, 109);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 110);
    assert_eq!(journal.triggers(), [Trigger::Delay]);
    assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Delay), 1);
}

/// Fails if `max_delay` 0, the default, means no limit (`forming::due`).
#[test]
fn p07_idle_seals_at_once() {
    let (batcher, journal) = journaled(given());
    push_all(&batcher, 1..=2);
    assert_eq!(batcher.next_due(), Ok(0));
    batcher.run().unwrap();
    assert_eq!(journal.triggers(), [Trigger::Idle]);
    assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Idle), 1);
}

/// Fails if a refused push does not make the open batch due (`open.full = true` in engine/queue.rs): such a batcher
/// stays full for ever.
#[test]
fn p07_full_makes_the_open_batch_due() {
    for (limit, refused) in [
        (timeless().max_batch_size(2).queue_capacity(2), Status::OK),
        (timeless().queue_capacity(300), Status::QUEUE_FULL),
        (timeless().max_batch_bytes(2400).queue_bytes(2400), Status::QUEUE_FULL_BYTES),
        (timeless().result_capacity(300), Status::RESULTS_FULL),
    ] {
        let (batcher, journal) = journaled(limit.max_batch_size(300).on_full(OnFull::Reject).queue_capacity(300));
        if refused == Status::OK {
            continue;
        }
        push_all(&batcher, 1..=299);
        let last = if refused == Status::QUEUE_FULL { "" } else { "x" };
        assert_eq!(last.len() as u64 + 8, Value::from(last).weight());
        batcher.run().unwrap();
        assert_eq!(journal.sizes(), []);
    }
}
