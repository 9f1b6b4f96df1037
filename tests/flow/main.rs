//! Flow control, flush, close, re-entrancy and free: P22 to P26.
//!
//! Rules are tested in virtual time. What needs threads asserts lower bounds of time only; its waits are without end, so
//! that a lost wake is a hang, which the watchdog ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod room;
mod flush;
mod close;
mod reentrancy;
mod callbacks;
mod ends;
mod held;

use common::{
    Chance, FOREVER, Journal, Kept, Ledger, alone, answer, echo, fires, given, int, ints, ms, readable,
    run_at, status, timeless, wait_until, watchdog,
};
use microbatch::{
    Batcher, Builder, Handled, Mode, Object, OnFull, Outcome, PushOptions, Results, Status, Tags, Timeout,
    Trigger, Value,
};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

// ---- What the tests of this file share

/// What threads wait at until the test opens it.
#[derive(Clone, Default)]
struct Door {
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Door {
    fn pass(&self) {
        let (open, changed) = &*self.open;
        let mut open = open.lock().unwrap();
        while !*open {
            open = changed.wait(open).unwrap();
        }
    }

    fn open(&self) {
        let (open, changed) = &*self.open;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }

    /// Opens the door when it is dropped, so that a test that fails does not hang as well. Declared after the batcher.
    fn opens_at_end(&self) -> impl Drop + use<> {
        struct Opens(Door);
        impl Drop for Opens {
            fn drop(&mut self) {
                self.0.open();
            }
        }
        Opens(self.clone())
    }
}

/// Counts how often it was dropped, over all its clones made by `part`.
#[derive(Default)]
struct Drops(Arc<AtomicUsize>);

/// What a closure owns: dropped with it.
struct Token(Arc<AtomicUsize>);

impl Drops {
    fn token(&self) -> Token {
        Token(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

/// Threads and descriptors of this process.
fn footprint() -> (usize, usize) {
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

/// A batcher in virtual time that refuses and takes every kind.
fn refusing() -> Builder {
    timeless().on_full(OnFull::Reject).on_object_release(7, |_| {})
}

/// Every way to push one value that weighs 8 bytes plus `extra`; ways that cannot carry extra bytes answer None.
type Pusher = (&'static str, fn(&Batcher, usize, u64) -> Option<Status>);

const PUSHERS: &[Pusher] = &[
    ("int64", |b, extra, tag| {
        (extra == 0).then(|| status(b.push_int64(1, tag)))
    }),
    ("float64", |b, extra, tag| {
        (extra == 0).then(|| status(b.push_float64(1.0, tag)))
    }),
    ("null", |b, extra, tag| {
        (extra == 0).then(|| status(b.push((), tag)))
    }),
    ("bool", |b, extra, tag| {
        (extra == 0).then(|| status(b.push(true, tag)))
    }),
    ("str", |b, extra, tag| {
        Some(status(b.push_str(&"x".repeat(extra), tag)))
    }),
    ("bytes", |b, extra, tag| {
        Some(status(b.push_bytes(&vec![0; extra], tag)))
    }),
    ("string value", |b, extra, tag| {
        Some(status(b.push(Value::String(&"x".repeat(extra)), tag)))
    }),
    ("deadline", |b, extra, tag| {
        Some(status(b.push_with(
            &*"x".repeat(extra),
            tag,
            PushOptions::new().deadline(i64::MAX - 1),
        )))
    }),
    ("owned", |b, extra, tag| {
        Some(
            b.push_owned("x".repeat(extra), tag)
                .map_or_else(|e| e.0, |()| Status::OK),
        )
    }),
    ("object", |b, extra, tag| {
        Some(status(b.push(
            Object {
                owner: 7,
                word: tag,
                size: extra as u64,
            },
            tag,
        )))
    }),
    ("int64s", |b, extra, tag| {
        (extra == 0).then(|| status(b.push_int64s(&[1], Tags::Each(&[tag])).1))
    }),
    ("float64s", |b, extra, tag| {
        (extra == 0).then(|| status(b.push_float64s(&[1.0], Tags::From(tag)).1))
    }),
    ("values", |b, extra, tag| {
        Some(status(
            b.push_values(&[Value::Bytes(&vec![0; extra])], Tags::From(tag)).1,
        ))
    }),
    ("producer", |b, extra, tag| {
        Some(status(b.producer().unwrap().push(&*"x".repeat(extra), tag)))
    }),
];

/// A threaded batcher whose handler never returns until the test ends, with `flying` values in flight and `waiting`.
fn stuck(door: &Door, flying: u64, waiting: u64, build: impl FnOnce(Builder) -> Builder) -> Batcher {
    let inside = Arc::new(AtomicU64::new(0));
    let (behind, entered) = (door.clone(), inside.clone());
    let builder = Batcher::builder()
        .threads(2)
        .max_batch_size(flying)
        .max_in_flight(1)
        .handler(move |batch| {
            entered.fetch_add(1, SeqCst);
            behind.pass();
            echo(batch)
        });
    let batcher = build(builder.max_delay(FOREVER)).build().unwrap();
    for tag in 0..flying {
        batcher.push(1, tag).unwrap();
    }
    wait_until(|| inside.load(SeqCst) == 1);
    for tag in flying..flying + waiting {
        batcher.push(1, tag).unwrap();
    }
    batcher
}

/// Keeps a token in the closure that mentions it.
fn drop_nothing(_: &Token) {}

/// Fails if a held batch or a set of results loses its memory with its batcher, or completes after it.
#[test]
fn p26_held_batches_and_results_outlive_the_batcher() {
    let _watchdog = watchdog();
    for abandon in [false, true] {
        let kept = Kept::default();
        let batcher = timeless()
            .pull_results()
            .max_in_flight(2)
            .handler_for(microbatch::Kind::String, kept.handler());
        let batcher = batcher
            .handler_for(microbatch::Kind::Int64, echo)
            .build()
            .unwrap();
        batcher.push("held text", 1).unwrap();
        batcher.seal().unwrap();
        batcher.push(7, 2).unwrap();
        batcher.push(8, 3).unwrap();
        batcher.flush_begin().unwrap();
        batcher.run().unwrap();
        let results = batcher.next_results(Timeout::ZERO).unwrap();
        let held = kept.take();
        if abandon {
            batcher.abandon();
        } else {
            drop(batcher);
        }
        assert_eq!(
            (results.tags(), results.int64s()),
            (&[2, 3][..], Some(&[7, 8][..]))
        );
        assert_eq!(
            (held.tags(), held.value(0)),
            (&[1][..], Value::String("held text"))
        );
        assert_eq!(status(held.set(0, 5)), Status::TOO_LATE);
        assert_eq!(status(held.complete()), Status::TOO_LATE);
        assert_eq!(results.value(1), Some(Value::Int64(8)));
    }
}

/// Where a callback makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Handler,
    OnResult,
    Release,
    Log,
}

const PLACES: [Place; 4] = [Place::Handler, Place::OnResult, Place::Release, Place::Log];
