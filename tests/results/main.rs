//! Results: one for every value, counted where it is fixed, delivered a batch at a time; what handlers answer, keep
//! and overrun; deadlines and cancel (promises P15 to P21).
//!
//! Time is given wherever the rule allows. What runs in real time asserts lower bounds only and has a watchdog.
//! Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod once;
mod law;
mod answers;
mod kept;
mod delivery;
mod callbacks;
mod deadlines;
mod time_outs;

use common::{
    Chance, Copied, Door, FOREVER, Journal, Ledger, Notes, Row, Set, Shelf, echo, finish, given, int,
    journaled, ns, run_at, status, text, timeless, wait_until, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Delivery, Failure, Handled, HeldBatch, Kind, Object, OnFull, Outcome,
    PushOptions, Results, Stats, Status, Timeout, Trigger, Value,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const OWNER: u32 = 7;

type Answer = Result<(), Failure>;

fn push_all(batcher: &Batcher, tags: impl IntoIterator<Item = u64>) {
    for tag in tags {
        batcher.push(tag as i64, tag).unwrap();
    }
}

fn by(deadline: i64) -> PushOptions {
    PushOptions::new().deadline(deadline)
}
