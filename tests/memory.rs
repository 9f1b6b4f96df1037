//! Memory: when there is none left, and when none should be asked for (P33, and the memory of P26).
//!
//! The allocator of this binary counts, and refuses the allocations it is told to refuse. Every test runs in a process
//! of its own, so that counts are its own and an abort names its test; what it printed last says where it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Copied, FOREVER, echo, ns, status, timeless, wait_until, watchdog};
use microbatch::{
    Batcher, Builder, Kind, MapOutcome, Mode, Object, OnFull, Outcome, PushOptions, Results, Status, Tags, Timeout,
    Value,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
