//! Seeing what happens: stats, their Prometheus text, and the log (P38, P39).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod snapshot;
mod counters;
mod prometheus;
mod log;

use common::{
    Chance, FOREVER, Journal, Kept, echo, given, ns, run_at, status, timeless, wait_until, watchdog,
};
use microbatch::{
    Batcher, Builder, Failure, Histogram, Kind, Object, OnFull, Outcome, PushOptions, Stats, Status, Timeout,
    Trigger,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

// ---- What the tests of this file share

fn recorded(histogram: &Histogram) -> (u64, u64, u64) {
    assert_eq!(histogram.count, histogram.buckets.iter().sum::<u64>());
    (histogram.count, histogram.sum, histogram.max)
}
