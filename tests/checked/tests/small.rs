//! Every part of the engine with threads, as small as it gets: what Miri can afford under many schedules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use microbatch::{
    Batch, Batcher, Builder, Failure, HeldBatch, Kind, Object, OnFull, Results, Status, Tags, Timeout,
};

const FOREVER: Timeout = Timeout::FOREVER;

/// Results by tag, counted: every value has one.
#[derive(Clone, Default)]
struct Came(Arc<Mutex<Vec<u64>>>);

impl Came {
    fn on_result(&self) -> impl Fn(&Results<'_>) + Send + Sync + 'static + use<> {
        let came = self.clone();
        move |results| came.0.lock().unwrap().extend(results.tags())
    }

    fn ensure(&self, mut tags: Vec<u64>) {
        let mut came = self.0.lock().unwrap().clone();
        came.sort_unstable();
        tags.sort_unstable();
        assert_eq!(came, tags);
    }
}

fn echo(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (row, value) in batch.values().enumerate() {
        batch.set(row, value)?;
    }
    Ok(())
}

fn small() -> Builder {
    Batcher::builder().max_batch_size(3).queue_capacity(6)
}

/// Two threads push numbers and text beside a flush and a snapshot.
#[test]
fn p15_two_producers() {
    let came = Came::default();
    let batcher = small().handler(echo).on_result(came.on_result()).build().unwrap();
    thread::scope(|scope| {
        for first in [0, 10] {
            let batcher = &batcher;
            scope.spawn(move || {
                batcher.push(1_i64, first).unwrap();
                batcher.push("text", first + 1).unwrap();
                batcher.push_int64s(&[1, 2], Tags::From(first + 2)).1.unwrap();
            });
        }
        batcher.flush(FOREVER).unwrap();
        assert!(batcher.stats().unwrap().balanced());
    });
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    came.ensure((0..4).chain(10..14).collect());
}

/// Enough pushes of one thread for it to own the gate, which another takes away.
#[test]
fn p15_the_gate_changes_hands() {
    let came = Came::default();
    let batcher = Batcher::builder()
        .max_batch_size(32)
        .handler(echo)
        .on_result(came.on_result())
        .build()
        .unwrap();
    thread::scope(|scope| {
        let batcher = &batcher;
        scope.spawn(move || {
            for tag in 0..70 {
                batcher.push_int64(1, tag).unwrap();
            }
        });
        scope.spawn(move || {
            for tag in 100..104 {
                batcher.push_int64(1, tag).unwrap();
                thread::yield_now();
            }
        });
    });
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    came.ensure((0..70).chain(100..104).collect());
}

/// Objects go back as often as they came, with cancel and deadlines beside.
#[test]
fn p01_objects_come_back() {
    let came = Came::default();
    let released = Arc::new(AtomicU64::new(0));
    let counts = released.clone();
    let batcher = small()
        .handler_for(Kind::Object, echo)
        .handler(echo)
        .on_result(came.on_result())
        .on_object_release(7, move |word| {
            counts.fetch_add(word, SeqCst);
        })
        .build()
        .unwrap();
    let object = |word| Object {
        owner: 7,
        word,
        size: 4,
    };
    thread::scope(|scope| {
        let batcher = &batcher;
        scope.spawn(move || {
            for tag in 0..4 {
                batcher.push(object(1), tag).unwrap();
            }
        });
        let _ = batcher.cancel(2);
    });
    drop(batcher);
    came.ensure((0..4).collect());
    // A value in and a value out, for each that was echoed.
    assert!((4..=8).contains(&released.load(SeqCst)));
}

/// A kept batch is completed by another thread while the batcher is closed with a time-out.
#[test]
fn p18_completion_beside_close() {
    let came = Came::default();
    let shelf: Arc<Mutex<Vec<HeldBatch>>> = Arc::default();
    let keeps = shelf.clone();
    let batcher = small()
        .handler(move |batch| {
            keeps.lock().unwrap().push(batch.keep()?);
            Ok(())
        })
        .on_result(came.on_result())
        .max_in_flight(2)
        .build()
        .unwrap();
    for tag in 0..4 {
        batcher.push(1_i64, tag).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let held = shelf.lock().unwrap().pop();
                if let Some(held) = held {
                    let _ = held.set(0, 1_i64);
                    let _ = held.complete();
                }
                thread::yield_now();
            }
        });
        let _ = batcher.close(Duration::from_micros(50));
    });
    drop(batcher);
    shelf.lock().unwrap().clear();
    came.ensure((0..4).collect());
}

/// Batches and results pulled by two threads.
#[test]
fn p29_pull() {
    let batcher = small().pull_results().build().unwrap();
    let came = Came::default();
    thread::scope(|scope| {
        let (batcher, came) = (&batcher, &came);
        scope.spawn(move || {
            while let Ok(held) = batcher.next_batch(FOREVER) {
                let _ = held.set_int64s(&vec![2; held.len()]);
                let _ = held.complete();
            }
        });
        scope.spawn(move || {
            while let Ok(results) = batcher.next_results(FOREVER) {
                came.0.lock().unwrap().extend(results.tags());
            }
        });
        for tag in 0..5 {
            batcher.push(1_i64, tag).unwrap();
        }
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    });
    came.ensure((0..5).collect());
}

/// A full queue: pushes that wait, and the oldest given up.
#[test]
fn p22_full() {
    for policy in [OnFull::Block, OnFull::DiscardOldest] {
        let came = Came::default();
        let batcher = Batcher::builder()
            .max_batch_size(2)
            .queue_capacity(2)
            .on_full(policy)
            .handler(echo)
            .on_result(came.on_result())
            .build()
            .unwrap();
        thread::scope(|scope| {
            for first in [0, 10] {
                let batcher = &batcher;
                scope.spawn(move || {
                    for tag in first..first + 3 {
                        batcher.push(1_i64, tag).unwrap();
                    }
                });
            }
        });
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        came.ensure((0..3).chain(10..13).collect());
    }
}

/// Producer handles of two threads, and a handler time-out beside them.
#[test]
fn p21_producers_beside_a_time_out() {
    let came = Came::default();
    let batcher = Batcher::builder()
        .max_batch_size(32)
        .handler_timeout(Duration::from_micros(20))
        .handler(echo)
        .on_result(came.on_result())
        .build()
        .unwrap();
    thread::scope(|scope| {
        for first in [0, 10] {
            let producer = batcher.producer().unwrap();
            scope.spawn(move || {
                for tag in first..first + 6 {
                    producer.push_int64(1, tag).unwrap();
                }
            });
        }
    });
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    came.ensure((0..6).chain(10..16).collect());
}

/// A bug of the engine's kind, in the open: two threads write one cell without a lock. Every tool must tell.
#[test]
#[ignore = "wrong on purpose: a control of the tools"]
fn control_race() {
    struct Cell(std::cell::UnsafeCell<u64>);
    // SAFETY: there is none, which is the point.
    unsafe impl Sync for Cell {}
    impl Cell {
        fn write(&self, value: u64) {
            // SAFETY: as above.
            unsafe { *self.0.get() = value }
        }
    }
    let cell = Arc::new(Cell(std::cell::UnsafeCell::new(0)));
    let other = cell.clone();
    let thread = thread::spawn(move || other.write(1));
    cell.write(2);
    thread.join().unwrap();
}

/// A value read after it was freed.
#[test]
#[ignore = "wrong on purpose: a control of the tools"]
fn control_use_after_free() {
    let gone = Box::into_raw(Box::new(Status::OK.code()));
    // SAFETY: from into_raw above.
    drop(unsafe { Box::from_raw(gone) });
    // SAFETY: there is none, which is the point.
    println!("{}", unsafe { std::ptr::read_volatile(gone) });
}

/// Memory that nobody gives back.
#[test]
#[ignore = "wrong on purpose: a control of the tools"]
fn control_leak() {
    std::mem::forget(std::hint::black_box(vec![1_u64; 7]));
}
