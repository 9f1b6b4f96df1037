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

mod common;

use common::{
    Chance, FOREVER, Journal, Ledger, echo, given, int, ints, run_at, status, timeless, wait_until, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Failure, Handled, HeldBatch, Mode, Object, OnFull, Outcome, PushOptions,
    Results, Status, Tags, Timeout, Trigger, Value,
};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

// ---- What the tests of this file share

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

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

/// Whether the descriptor is readable, within `wait` milliseconds.
fn readable(fd: i32, wait: i32) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait) == 1 }
}

/// Readable now, or as soon as the kernel has run the timer behind it.
fn fires(fd: i32) -> bool {
    readable(fd, 20_000)
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

/// Runs `test` in a process of its own, where nothing else starts threads or opens descriptors: this very test of this
/// binary, alone.
fn alone(name: &str, test: fn()) {
    if std::env::var("MICROBATCH_ALONE").is_ok_and(|alone| alone == name) {
        return test();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env("MICROBATCH_ALONE", name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{name}, alone ({}):\n{text}",
        child.status
    );
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

/// Threads and descriptors of this process.
fn footprint() -> (usize, usize) {
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

/// A handler that keeps every batch for the test.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<HeldBatch>>>);

impl Kept {
    fn handler(&self) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static {
        let kept = self.clone();
        move |batch| {
            let held = batch.keep()?;
            kept.0.lock().unwrap().push(held);
            Ok(())
        }
    }

    fn take(&self) -> HeldBatch {
        self.0.lock().unwrap().remove(0)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Answers every row with itself.
fn answer(held: HeldBatch) -> microbatch::Result {
    for (row, value) in held.values().enumerate() {
        held.set(row, value)?;
    }
    held.complete()
}

// ---- P22: room

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

/// A batcher in virtual time that refuses and takes every kind.
fn refusing() -> Builder {
    timeless().on_full(OnFull::Reject).on_object_release(7, |_| {})
}

/// Fails if the count is compared with `>` instead of `>=`, or is asked on some ways to push only.
#[test]
fn p22_queue_capacity_is_never_passed() {
    for (name, push) in PUSHERS {
        for capacity in 1..4 {
            let batcher = refusing().queue_capacity(capacity).handler(echo).build().unwrap();
            for tag in 0..capacity {
                assert_eq!(
                    push(&batcher, 0, tag),
                    Some(Status::OK),
                    "{name}: value {tag} of {capacity}"
                );
            }
            for tag in 0..2 {
                assert_eq!(
                    push(&batcher, 0, 100 + tag),
                    Some(Status::QUEUE_FULL),
                    "{name}: beyond {capacity}"
                );
            }
            let stats = batcher.stats().unwrap();
            assert_eq!((stats.accepted, stats.waiting), (capacity, capacity), "{name}");
            assert_eq!(stats.refused_with(Status::QUEUE_FULL), 2, "{name}");
            // What was dispatched waits no more.
            batcher.run().unwrap();
            assert_eq!(push(&batcher, 0, 200), Some(Status::OK), "{name}: after run");
        }
    }
}

/// Fails if a byte more than queue_bytes is let in, a byte less is refused, or a value counts without its 8 bytes.
#[test]
fn p22_queue_bytes_is_never_passed() {
    for (name, push) in PUSHERS {
        // The first value weighs 8 + first, the second must fit the rest exactly.
        for (first, second, room) in [(0, 0, 16), (3, 5, 24), (0, 9, 25), (20, 1, 37)] {
            for (bytes, expected) in [
                (room - 1, Status::QUEUE_FULL_BYTES),
                (room, Status::OK),
                (room + 1, Status::OK),
            ] {
                let batcher = refusing().queue_bytes(bytes).handler(echo).build().unwrap();
                let Some(pushed) = push(&batcher, first, 1) else {
                    continue;
                };
                assert_eq!(pushed, Status::OK, "{name}: {first} bytes into {bytes}");
                let Some(pushed) = push(&batcher, second, 2) else {
                    continue;
                };
                assert_eq!(
                    pushed, expected,
                    "{name}: {first} and {second} bytes into {bytes}"
                );
                let stats = batcher.stats().unwrap();
                assert!(stats.waiting_bytes <= bytes, "{name}");
                assert_eq!(stats.accepted, 1 + u64::from(expected.is_ok()), "{name}");
            }
        }
    }
}

/// Fails if a result place is given back before delivery, or asked for after acceptance only.
#[test]
fn p22_result_places_are_held_until_delivery() {
    for (name, push) in PUSHERS {
        let places = 3;
        let batcher = refusing()
            .pull_results()
            .queue_capacity(2)
            .max_in_flight(8)
            .result_capacity(places)
            .handler(echo);
        let batcher = batcher.build().unwrap();
        for tag in 0..places {
            assert_eq!(push(&batcher, 0, tag), Some(Status::OK), "{name}");
            batcher.seal().unwrap();
            // Handled at once: nothing waits and nothing flies, but nobody takes the results.
            batcher.run().unwrap();
        }
        assert_eq!(push(&batcher, 0, 9), Some(Status::RESULTS_FULL), "{name}");
        assert_eq!(batcher.stats().unwrap().undelivered, places, "{name}");
        drop(batcher.next_results(Timeout::ZERO).unwrap());
        assert_eq!(
            push(&batcher, 0, 9),
            Some(Status::OK),
            "{name}: after one was taken"
        );
        assert_eq!(
            push(&batcher, 0, 10),
            Some(Status::RESULTS_FULL),
            "{name}: the place is taken again"
        );
    }
}

/// Fails if a refused value leaves anything behind, or if the refusal names another bound than the first that lacks.
#[test]
fn p22_a_refusal_consumes_nothing_and_names_the_first_lack() {
    let journal = Journal::new();
    let batcher = refusing()
        .queue_capacity(2)
        .queue_bytes(40)
        .max_batch_bytes(32)
        .result_capacity(3);
    let batcher = batcher
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push("12345678", 1).unwrap();
    assert_eq!(
        status(batcher.push("123456789012345678", 2)),
        Status::QUEUE_FULL_BYTES
    );
    batcher.push((), 3).unwrap();
    let before = batcher.stats().unwrap();
    assert_eq!(
        status(batcher.push("123456789012345678", 4)),
        Status::QUEUE_FULL,
        "count comes before bytes"
    );
    let refused = batcher.push_owned("0".repeat(20), 5).unwrap_err();
    assert_eq!(
        refused,
        (Status::QUEUE_FULL, "0".repeat(20)),
        "a refused string comes back"
    );
    let after = batcher.stats().unwrap();
    assert_eq!(
        (
            after.accepted,
            after.waiting,
            after.waiting_bytes,
            after.outstanding
        ),
        (
            before.accepted,
            before.waiting,
            before.waiting_bytes,
            before.outstanding
        )
    );
    assert_eq!(after.refused_with(Status::QUEUE_FULL), 2);
    assert_eq!(after.refused_with(Status::QUEUE_FULL_BYTES), 1);
    batcher.run().unwrap();
    assert_eq!(
        journal.rows().iter().map(|row| row.tag).collect::<Vec<_>>(),
        [1, 3]
    );
}

/// Fails if the explanation names the wrong bound, lacks its value, or pushes.
#[test]
fn p22_check_explains_a_refusal_without_pushing() {
    let batcher = refusing()
        .pull_results()
        .queue_capacity(2)
        .queue_bytes(32)
        .result_capacity(3)
        .handler(echo);
    let batcher = batcher.build().unwrap();
    assert!(batcher.check(1).is_ok());
    batcher.push(1, 1).unwrap();
    let bytes = batcher.check("12345678901234567").unwrap_err();
    assert_eq!(
        (bytes.status(), bytes.subject()),
        (Status::QUEUE_FULL_BYTES, "queue_bytes")
    );
    assert!(
        bytes.message().contains("32") && bytes.message().contains("25"),
        "{bytes}"
    );
    batcher.push(1, 2).unwrap();
    let count = batcher.check(1).unwrap_err();
    assert_eq!(
        (count.status(), count.subject()),
        (Status::QUEUE_FULL, "queue_capacity")
    );
    assert!(count.message().contains('2'), "{count}");
    batcher.run().unwrap();
    batcher.push(1, 3).unwrap();
    let places = batcher.check(1).unwrap_err();
    assert_eq!(
        (places.status(), places.subject()),
        (Status::RESULTS_FULL, "result_capacity")
    );
    assert!(places.message().contains('3'), "{places}");
    assert_eq!(batcher.stats().unwrap().accepted, 3);
    assert_eq!(
        batcher.stats().unwrap().refusals,
        [0; 24],
        "asking is not refusing"
    );
}

/// Fails if BLOCK waits for anything in manual mode, where nobody else could make room.
#[test]
fn p22_block_answers_at_once_in_manual_mode() {
    let _watchdog = watchdog();
    let batcher = timeless()
        .push_timeout(FOREVER)
        .queue_capacity(1)
        .handler(echo)
        .build()
        .unwrap();
    batcher.push(1, 1).unwrap();
    assert_eq!(status(batcher.push(2, 2)), Status::QUEUE_FULL);
    assert_eq!(status(batcher.room(FOREVER)), Status::QUEUE_FULL);
}

/// Fails if more or fewer values than needed are discarded, not the oldest ones, or without a result for each.
#[test]
fn p22_discard_oldest_discards_just_enough_waiting_values() {
    let journal = Journal::new();
    let batcher = timeless()
        .on_full(OnFull::DiscardOldest)
        .queue_capacity(4)
        .queue_bytes(64)
        .max_batch_size(3);
    let batcher = batcher
        .max_batch_bytes(40)
        .handler(journal.echo())
        .on_result(journal.on_result());
    let batcher = batcher.build().unwrap();
    for tag in 0..4 {
        batcher.push("1234", tag).unwrap(); // 12 bytes each: 48 of 64
    }
    batcher.push("12", 4).unwrap(); // one too many: the oldest goes
    let discarded = |journal: &Journal| -> Vec<u64> {
        let rows = journal.rows();
        let gone = rows.iter().filter(|row| row.outcome == Outcome::Discarded);
        gone.inspect(|row| assert_eq!((row.code, row.handled), (Status::DISCARDED, Handled::No)))
            .map(|row| row.tag)
            .collect()
    };
    assert_eq!(batcher.stats().unwrap().waiting, 4);
    assert_eq!(batcher.stats().unwrap().waiting_bytes, 46);
    // 40 bytes: 22 must go beside the one place: two values of 12.
    batcher.push("12345678901234567890123456789012", 5).unwrap();
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.waiting, stats.waiting_bytes, stats.discarded), (3, 62, 3));
    assert!(
        journal.rows().is_empty(),
        "results come under run, not inside push"
    );
    batcher.run().unwrap();
    assert_eq!(discarded(&journal), [0, 1, 2]);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        journal
            .batches()
            .iter()
            .flat_map(|batch| batch.tags.clone())
            .collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert_eq!(journal.rows().len(), 6);
}

/// Fails if values in flight are discarded, or if discarding is tried when only a result place lacks.
#[test]
fn p22_discard_oldest_spares_flights_and_cannot_make_result_places() {
    let kept = Kept::default();
    let journal = Journal::new();
    let batcher = timeless()
        .on_full(OnFull::DiscardOldest)
        .queue_capacity(1)
        .result_capacity(3);
    let batcher = batcher
        .handler(kept.handler())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(kept.len(), 1);
    batcher.push(2, 2).unwrap();
    batcher.push(3, 3).unwrap(); // discards 2, whose place is held until its result is delivered
    assert_eq!(status(batcher.push(4, 4)), Status::RESULTS_FULL);
    assert_eq!(
        batcher.stats().unwrap().discarded,
        1,
        "a push that is refused discards nothing"
    );
    batcher.run().unwrap();
    assert_eq!(journal.row(2).outcome, Outcome::Discarded);
    batcher.push(4, 4).unwrap();
    assert_eq!(batcher.stats().unwrap().in_flight, 1);
    answer(kept.take()).unwrap();
    batcher.run().unwrap();
    assert_eq!(journal.row(1).value, int(1));
    assert_eq!(journal.row(3).outcome, Outcome::Discarded);
    drop(batcher);
    assert_eq!(journal.rows().len(), 4);
}

/// A threaded batcher of one slot: one value is with the handler, behind the door, and one waits; there is no room.
fn crowded(door: &Door, build: impl FnOnce(Builder) -> Builder) -> Batcher {
    let inside = Arc::new(AtomicBool::new(false));
    let (behind, entered) = (door.clone(), inside.clone());
    let builder = Batcher::builder()
        .queue_capacity(1)
        .max_batch_size(1)
        .handler(move |batch| {
            entered.store(true, SeqCst);
            behind.pass();
            echo(batch)
        });
    let batcher = build(builder).build().unwrap();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    batcher.push(2, 2).unwrap();
    batcher
}

/// Fails if BLOCK refuses at once, or if dispatch does not wake whoever waits for room.
#[test]
fn p22_block_waits_until_room_comes() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder.push_timeout(FOREVER));
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let pushers: Vec<_> = (3..6)
            .map(|tag| {
                scope.spawn({
                    let batcher = &batcher;
                    move || status(batcher.push(3, tag))
                })
            })
            .collect();
        // They wait or come late: either way nothing was refused and the bound holds.
        thread::sleep(ms(5));
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.waiting, stats.accepted, stats.refusals), (1, 2, [0; 24]));
        door.open();
        for pusher in pushers {
            assert_eq!(pusher.join().unwrap(), Status::OK);
        }
    });
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(batcher.stats().unwrap().ok, 5);
}

/// Fails if a push that waits for result places is not woken when results are taken.
#[test]
fn p22_block_waits_until_results_are_taken() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .pull_results()
        .result_capacity(2)
        .push_timeout(FOREVER)
        .handler(echo);
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push(2, 2).unwrap();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| status(batcher.push(3, 3)));
        thread::sleep(ms(5));
        assert_eq!(batcher.stats().unwrap().accepted, 2);
        drop(batcher.next_results(FOREVER).unwrap());
        assert_eq!(pusher.join().unwrap(), Status::OK);
    });
}

/// Fails if close leaves a blocked push waiting for its time-out, or lets it in.
#[test]
fn p22_block_is_woken_by_close_with_closed() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder.push_timeout(FOREVER));
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let pushers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| status(batcher.push(3, 3))))
            .collect();
        thread::sleep(ms(5));
        let closer = scope.spawn(|| batcher.close(FOREVER).unwrap());
        // The handler is still inside: no room came.
        for pusher in pushers {
            assert_eq!(pusher.join().unwrap(), Status::CLOSED);
        }
        door.open();
        assert_eq!(closer.join().unwrap().left, 0);
    });
    assert_eq!(batcher.stats().unwrap().accepted, 2);
}

/// Fails if push_timeout is cut short, or if a push answers TIMEOUT instead of what lacked.
#[test]
fn p22_block_answers_as_reject_at_the_time_out() {
    let _watchdog = watchdog();
    let (door, wait) = (Door::default(), ms(30));
    let timed = |batcher: &Batcher, value: &str| {
        let start = Instant::now();
        let status = status(batcher.push(value, 3));
        assert!(start.elapsed() >= wait, "{status} after {:?}", start.elapsed());
        status
    };
    let count = crowded(&door, |builder| builder.push_timeout(wait));
    let bytes = crowded(&door, |b| {
        b.push_timeout(wait)
            .queue_capacity(9)
            .queue_bytes(16)
            .max_batch_bytes(16)
    });
    let places = crowded(&door, |builder| {
        builder.push_timeout(wait).queue_capacity(9).result_capacity(2)
    });
    let _opens = door.opens_at_end();
    assert_eq!(timed(&count, ""), Status::QUEUE_FULL);
    assert_eq!(timed(&bytes, "x"), Status::QUEUE_FULL_BYTES);
    assert_eq!(timed(&places, ""), Status::RESULTS_FULL);
    assert_eq!(
        count.stats().unwrap().refused_with(Status::QUEUE_FULL),
        1,
        "one push, one refusal"
    );
}

/// Fails if a push in a callback of the same batcher waits: with one thread nobody else could make room.
#[test]
fn p22_block_answers_at_once_in_callbacks_of_the_same_batcher() {
    let _watchdog = watchdog();
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let answers: Arc<Mutex<Vec<Status>>> = Arc::default();
    let (own, seen) = (cell.clone(), answers.clone());
    let fill = move || {
        let Some(batcher) = own.lock().unwrap().upgrade() else {
            return;
        };
        let mut refused = Status::OK;
        while refused.is_ok() {
            refused = status(batcher.push(1, 1));
        }
        seen.lock().unwrap().push(refused);
    };
    let fill_too = fill.clone();
    let batcher = Batcher::builder()
        .queue_capacity(1)
        .push_timeout(FOREVER)
        .handler(move |batch| {
            fill();
            echo(batch)
        });
    let batcher = Arc::new(batcher.on_result(move |_| fill_too()).build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    batcher.push(1, 1).unwrap();
    wait_until(|| answers.lock().unwrap().len() >= 4);
    assert!(batcher.close(ms(20)).is_ok());
    drop(batcher);
    let answers = answers.lock().unwrap();
    assert!(
        answers
            .iter()
            .all(|status| [Status::QUEUE_FULL, Status::CLOSED].contains(status)),
        "{answers:?}"
    );
}

/// Fails if room() pushes, answers OK without room, is cut short, or is not woken when room comes.
#[test]
fn p22_room_waits_without_pushing() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder);
    let _opens = door.opens_at_end();
    let start = Instant::now();
    assert_eq!(status(batcher.room(ms(30))), Status::QUEUE_FULL);
    assert!(start.elapsed() >= ms(30));
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::QUEUE_FULL);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| status(batcher.room(FOREVER)));
        thread::sleep(ms(5));
        door.open();
        assert_eq!(waiter.join().unwrap(), Status::OK);
    });
    assert_eq!(batcher.stats().unwrap().accepted, 2);
    assert_eq!(batcher.stats().unwrap().refusals, [0; 24]);
}

/// Fails if close leaves someone waiting in room(): there will never be any.
#[test]
fn p22_room_is_woken_by_close() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder);
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| status(batcher.room(FOREVER)));
        thread::sleep(ms(5));
        let closer = scope.spawn(|| batcher.close(FOREVER));
        assert_eq!(waiter.join().unwrap(), Status::CLOSED);
        door.open();
        closer.join().unwrap().unwrap();
    });
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::CLOSED);
}

/// Fails if a refusal does not arm the descriptor, or if it fires before there is room for that very value.
#[test]
fn p22_the_descriptor_fires_when_there_is_room_after_a_refusal() {
    let batcher = refusing()
        .queue_capacity(3)
        .queue_bytes(100)
        .max_in_flight(8)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    for tag in 0..3 {
        batcher.push("12345678901234567890", tag).unwrap(); // 28 bytes each: 84 of 100
        batcher.seal().unwrap();
    }
    // Batches are taken out of sight of the descriptor by handing them to nobody: look at it when none is due.
    let first = batcher.next_batch(Timeout::ZERO).unwrap();
    let second = batcher.next_batch(Timeout::ZERO).unwrap();
    let third = batcher.next_batch(Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0), "nothing waits, nothing was refused");
    drop((first, second, third));
    assert!(!readable(fd, 0));

    // No slot is free from here on: what is refused can be asked for by time only.
    let held: Vec<_> = (0..8)
        .map(|tag| {
            batcher.push(1, tag).unwrap();
            batcher.seal().unwrap();
            batcher.next_batch(Timeout::ZERO).unwrap()
        })
        .collect();
    for tag in 0..3 {
        batcher.push("12345678901234567890", tag).unwrap();
    }
    assert!(!readable(fd, 0));
    assert_eq!(
        status(batcher.push("12345678901234567890", 3)),
        Status::QUEUE_FULL
    );
    assert!(!readable(fd, 0), "refused, and still no room");
    assert_eq!(batcher.cancel(0), Ok(1));
    assert!(fires(fd), "there is room for it");
    batcher.push("12345678901234567890", 3).unwrap();
    assert_eq!(status(batcher.push((), 4)), Status::QUEUE_FULL);
    assert!(!readable(fd, 0), "refused again");
    drop(held);
}

/// Fails if the descriptor goes on firing for room that was found: a host that polls would spin.
#[test]
fn p22_the_descriptor_is_quiet_once_the_push_found_room() {
    let batcher = refusing()
        .queue_bytes(24)
        .pull_results()
        .handler(echo)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push("12345678", 1).unwrap();
    assert_eq!(status(batcher.push("123", 2)), Status::QUEUE_FULL_BYTES);
    batcher.run().unwrap(); // the refusal had made the open batch due
    drop(batcher.next_results(Timeout::ZERO).unwrap());
    assert!(fires(fd), "there is room");
    batcher.push("123", 2).unwrap();
    assert_eq!(batcher.next_due(), Ok(i64::MAX), "nothing is to be done");
    assert!(
        !readable(fd, 0),
        "the value that was refused is in, and nothing is due"
    );
}

/// Fails if room() leaves the descriptor firing for a refusal that it answered, or does not arm it.
#[test]
fn p22_room_arms_and_answers_the_descriptor() {
    let batcher = refusing().queue_capacity(1).max_in_flight(1).build().unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    let held = batcher.next_batch(Timeout::ZERO).unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::QUEUE_FULL);
    assert!(!readable(fd, 0));
    assert_eq!(batcher.cancel(2), Ok(1));
    assert!(fires(fd), "there is room for what room() asked for");
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::OK);
    assert!(!readable(fd, 0), "it was answered");
    drop(held);
}

/// Fails if any bound can be passed while many threads push at once.
#[test]
fn p22_bounds_hold_under_load() {
    let _watchdog = watchdog();
    for policy in [OnFull::Block, OnFull::Reject, OnFull::DiscardOldest] {
        let (ledger, over) = (Ledger::new(), AtomicBool::new(false));
        let batcher = Batcher::builder()
            .on_full(policy)
            .queue_capacity(20)
            .queue_bytes(300)
            .max_batch_bytes(100);
        let batcher = batcher
            .max_batch_size(8)
            .result_capacity(25)
            .threads(2)
            .push_timeout(FOREVER);
        let came = ledger.on_result();
        let batcher = batcher.handler(echo).on_result(move |results| {
            came(results);
            // Slow enough for result places to run out.
            thread::sleep(Duration::from_micros(10));
        });
        let batcher = batcher.build().unwrap();
        thread::scope(|scope| {
            let producers: Vec<_> = (0..4)
                .map(|producer| {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        let mut chance = Chance::new(producer);
                        for tag in producer * 10_000..producer * 10_000 + 1500 {
                            let text = "x".repeat(chance.below(40) as usize);
                            if batcher.push(text.as_str(), tag).is_ok() {
                                ledger.pushed(tag);
                            }
                        }
                    })
                })
                .collect();
            while producers.iter().any(|producer| !producer.is_finished()) {
                let stats = batcher.stats().unwrap();
                let held = stats.outstanding + stats.undelivered;
                if stats.waiting > 20 || stats.waiting_bytes > 300 || held > 25 {
                    over.store(true, SeqCst);
                    panic!(
                        "{policy}: {} values, {} bytes, {held} held",
                        stats.waiting, stats.waiting_bytes
                    );
                }
            }
        });
        batcher.close(FOREVER).unwrap();
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().accepted);
        if policy == OnFull::Block {
            assert_eq!(ledger.accepted(), 6000, "blocking loses nothing");
        }
    }
}

// ---- P23: seal and flush

/// Fails if seal waits, seals an empty batch, or leaves the open batch open.
#[test]
fn p23_seal_closes_the_open_batch_and_does_not_wait() {
    let journal = Journal::new();
    let batcher = timeless().handler(journal.echo()).build().unwrap();
    batcher.seal().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.seal().unwrap();
    batcher.push(2, 2).unwrap();
    assert!(journal.batches().is_empty(), "seal runs nothing");
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), [1]);
    assert_eq!(journal.triggers(), [Trigger::Flush]);
    assert_eq!(batcher.stats().unwrap().waiting, 1);
}

/// Fails if a mark is reached before everything accepted before it is delivered, or waits for what came after.
#[test]
fn p23_each_mark_waits_for_what_was_accepted_before_it() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(4)
        .handler(kept.handler())
        .build()
        .unwrap();
    let marks: Vec<_> = (0..3)
        .map(|tag| {
            batcher.push(1, tag).unwrap();
            batcher.flush_begin().unwrap()
        })
        .collect();
    let none = batcher.flush_begin().unwrap();
    let ended = |mark| status(batcher.flush_end(mark, Timeout::FOREVER)); // manual: never waits
    assert_eq!(ended(marks[0]), Status::IN_PROGRESS);
    assert_eq!(kept.len(), 3, "flush_end does what run does");
    let third = kept.0.lock().unwrap().pop().unwrap();
    answer(third).unwrap();
    assert_eq!(
        marks.iter().map(|mark| ended(*mark)).collect::<Vec<_>>(),
        [Status::IN_PROGRESS; 3]
    );
    answer(kept.take()).unwrap();
    assert_eq!(ended(marks[0]), Status::OK);
    assert_eq!(
        (ended(marks[1]), ended(marks[2]), ended(none)),
        (Status::IN_PROGRESS, Status::IN_PROGRESS, Status::IN_PROGRESS)
    );
    batcher.push(9, 9).unwrap();
    answer(kept.take()).unwrap();
    assert_eq!(
        (ended(marks[1]), ended(marks[2]), ended(none)),
        (Status::OK, Status::OK, Status::OK)
    );
    assert_eq!(
        batcher.stats().unwrap().waiting,
        1,
        "the value after the marks waits for its own time"
    );
    assert_eq!(ended(marks[0]), Status::OK, "asking again is fine");
}

/// Fails if flush makes later values due, or changes when their batch is.
#[test]
fn p23_later_values_follow_their_own_delay() {
    let journal = Journal::new();
    let batcher = given()
        .max_delay(common::ns(100))
        .handler(journal.echo())
        .build()
        .unwrap();
    run_at(&batcher, 50);
    batcher.push(1, 1).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    batcher.advance(80).unwrap();
    batcher.push(2, 2).unwrap();
    run_at(&batcher, 179);
    assert_eq!(journal.sizes(), [1]);
    run_at(&batcher, 180);
    assert_eq!(journal.triggers(), [Trigger::Flush, Trigger::Delay]);
}

/// Fails if flush counts a value as delivered before next_results handed it out.
#[test]
fn p23_pulled_results_count_when_they_are_handed_out() {
    let batcher = timeless().pull_results().handler(echo).build().unwrap();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    assert_eq!(
        status(batcher.flush_end(mark, Timeout::ZERO)),
        Status::IN_PROGRESS
    );
    let results = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!(status(batcher.flush_end(mark, Timeout::ZERO)), Status::OK);
    assert_eq!(results.tags(), [1]);
}

/// Fails if flush returns when the handler is done and on_result is still running.
#[test]
fn p23_flush_returns_when_on_result_returned() {
    let _watchdog = watchdog();
    let (door, delivered) = (Door::default(), Arc::new(AtomicUsize::new(0)));
    let (behind, count) = (door.clone(), delivered.clone());
    let batcher = Batcher::builder()
        .threads(2)
        .max_batch_size(2)
        .max_delay(FOREVER)
        .handler(echo)
        .on_result(move |results| {
            behind.pass();
            count.fetch_add(results.len(), SeqCst);
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    for tag in 0..5 {
        batcher.push(1, tag).unwrap();
    }
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    wait_until(|| batcher.stats().unwrap().ok == 5);
    let start = Instant::now();
    assert_eq!(status(batcher.flush(ms(30))), Status::TIMEOUT);
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
    thread::scope(|scope| {
        let flushers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    batcher.flush(FOREVER).unwrap();
                    assert_eq!(delivered.load(SeqCst), 5);
                })
            })
            .collect();
        thread::sleep(ms(5));
        assert_eq!(delivered.load(SeqCst), 0);
        door.open();
        flushers.into_iter().for_each(|flusher| flusher.join().unwrap());
    });
}

/// Fails if a flusher returns before its own values are delivered, or never does while others push on.
#[test]
fn p23_several_flushers_each_find_their_own_values_delivered() {
    let _watchdog = watchdog();
    let delivered: Arc<Vec<AtomicBool>> = Arc::new((0..4 * 400).map(|_| AtomicBool::new(false)).collect());
    let seen = delivered.clone();
    let batcher = Batcher::builder()
        .threads(2)
        .max_delay(FOREVER)
        .max_batch_size(7)
        .handler(echo);
    let batcher = batcher.on_result(move |results| {
        for tag in results.tags() {
            seen[*tag as usize].store(true, SeqCst);
        }
    });
    let batcher = batcher.build().unwrap();
    thread::scope(|scope| {
        for flusher in 0..4_u64 {
            let (batcher, delivered) = (&batcher, &delivered);
            scope.spawn(move || {
                for tag in flusher * 400..(flusher + 1) * 400 {
                    batcher.push(1, tag).unwrap();
                    if tag % 10 == 9 {
                        batcher.flush(FOREVER).unwrap();
                        let own = &delivered[(flusher * 400) as usize..=tag as usize];
                        assert!(
                            own.iter().all(|delivered| delivered.load(SeqCst)),
                            "flusher {flusher} at {tag}"
                        );
                    }
                }
            });
        }
    });
}

/// Fails if a flush waits for values that were accepted after its mark.
#[test]
fn p23_a_flush_does_not_wait_for_later_values() {
    let _watchdog = watchdog();
    let door = Door::default();
    let behind = door.clone();
    let batcher = Batcher::builder()
        .threads(2)
        .max_batch_size(1)
        .handler(move |batch| {
            if batch.tags() == [2] {
                behind.pass();
            }
            echo(batch)
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    batcher.flush_end(mark, FOREVER).unwrap();
    assert_eq!(batcher.stats().unwrap().outstanding, 1);
}

/// Fails if the descriptor does not fire at the end of a flush, in manual mode or with threads, or goes on firing after
/// it was asked.
#[test]
fn p23_the_descriptor_fires_when_a_flush_is_done() {
    let _watchdog = watchdog();
    for builder in [given(), Batcher::builder()] {
        let kept = Kept::default();
        let batcher = builder
            .max_delay(FOREVER)
            .handler(kept.handler())
            .build()
            .unwrap();
        let manual = batcher.run().is_ok();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        let mark = batcher.flush_begin().unwrap();
        if manual {
            assert!(fires(fd), "a sealed batch is work");
            batcher.run().unwrap();
        }
        wait_until(|| kept.len() == 1);
        assert_eq!(
            status(batcher.flush_end(mark, Timeout::ZERO)),
            Status::IN_PROGRESS
        );
        assert!(!readable(fd, 0), "manual {manual}: the batch is still in flight");
        answer(kept.take()).unwrap();
        assert!(
            fires(fd),
            "manual {manual}: everything before the mark is delivered"
        );
        batcher.flush_end(mark, Timeout::ZERO).unwrap();
        assert!(!readable(fd, 0), "manual {manual}: it was asked");
    }
}

/// Fails if only the latest of several marks is watched: whoever flushed before waits for everybody else.
#[test]
fn p23_the_descriptor_fires_for_every_mark() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(2)
        .handler(kept.handler())
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    let first = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    let second = batcher.flush_begin().unwrap();
    batcher.run().unwrap();
    assert_eq!(kept.len(), 2);
    assert!(!readable(fd, 0));
    answer(kept.take()).unwrap();
    assert!(readable(fd, 1000), "the first mark is reached");
    batcher.flush_end(first, Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0), "it was asked, and the second is not reached");
    answer(kept.take()).unwrap();
    assert!(fires(fd), "the second mark is reached");
    batcher.flush_end(second, Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0));
}

// ---- P24: close

/// Fails if a push is accepted after another one was refused with CLOSED, or if an accepted value gets lost on the way.
#[test]
fn p24_close_is_atomic_under_eight_pushing_threads() {
    let _watchdog = watchdog();
    for round in 0..20_u64 {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(16)
            .handler(echo)
            .on_result(ledger.on_result());
        let batcher = batcher.build().unwrap();
        let (closed, start) = (AtomicBool::new(false), Barrier::new(9));
        let left = thread::scope(|scope| {
            for producer in 0..8_u64 {
                let (batcher, ledger, closed, start) = (&batcher, &ledger, &closed, &start);
                scope.spawn(move || {
                    start.wait();
                    for tag in producer << 32.. {
                        let was_closed = closed.load(SeqCst);
                        match batcher.push_int64(1, tag) {
                            Ok(()) => {
                                assert!(!was_closed, "round {round}: accepted after CLOSED was answered");
                                ledger.pushed(tag);
                            }
                            Err(status) => {
                                assert_eq!(status, Status::CLOSED, "round {round}");
                                closed.store(true, SeqCst);
                                return;
                            }
                        }
                    }
                });
            }
            start.wait();
            thread::sleep(Duration::from_micros(100 * round));
            batcher.close(FOREVER).unwrap().left
        });
        assert_eq!(left, 0);
        let stats = batcher.stats().unwrap();
        assert_eq!(
            (stats.accepted, stats.ok, stats.undelivered),
            (ledger.accepted(), ledger.accepted(), 0)
        );
        ledger.assert_exactly_one_result_each();
        assert_eq!(stats.refused_with(Status::CLOSED), 8);
    }
}

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

/// Fails if the time-out discards nothing, is cut short, counts wrong, or if close returns before the results are out.
#[test]
fn p24_close_discards_at_the_timeout() {
    let _watchdog = watchdog();
    let (door, journal) = (Door::default(), Journal::new());
    let batcher = stuck(&door, 3, 4, |builder| builder.on_result(journal.on_result()));
    let _opens = door.opens_at_end();
    let start = Instant::now();
    assert_eq!(batcher.close(ms(30)).unwrap().left, 7);
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
    // The handler is still inside; its values and those that waited have their results all the same.
    let rows = journal.rows();
    assert_eq!(rows.len(), 7, "delivered before close returned");
    for row in rows {
        let handled = if row.tag < 3 { Handled::Maybe } else { Handled::No };
        assert_eq!(
            (row.outcome, row.code, row.handled),
            (Outcome::Discarded, Status::DISCARDED, handled)
        );
    }
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.discarded, stats.outstanding, stats.undelivered, stats.stuck),
        (7, 0, 0, 1)
    );
    assert_eq!(
        batcher.close(FOREVER).unwrap().left,
        7,
        "closing again says the same"
    );
    door.open();
    wait_until(|| batcher.stats().unwrap().stuck == 0);
    assert_eq!(
        batcher.stats().unwrap().ok,
        0,
        "what the handler answers now counts no more"
    );
}

/// Fails if close takes a delivery that began after the time-out for one that it cannot wait for.
#[test]
fn p24_results_are_delivered_before_close_returns_however_slow_on_result_is() {
    let _watchdog = watchdog();
    for round in 0..10 {
        let (door, delivered) = (Door::default(), Arc::new(AtomicUsize::new(0)));
        let count = delivered.clone();
        let batcher = stuck(&door, 1, 3, |builder| {
            builder.on_result(move |results| {
                thread::sleep(ms(3));
                count.fetch_add(results.len(), SeqCst);
            })
        });
        let _opens = door.opens_at_end();
        thread::scope(|scope| {
            for timeout in [ms(2), ms(2), ms(4)] {
                let (batcher, delivered) = (&batcher, &delivered);
                scope.spawn(move || {
                    assert_eq!(batcher.close(timeout).unwrap().left, 4);
                    assert_eq!(
                        delivered.load(SeqCst),
                        4,
                        "round {round}: close returned before the results were out"
                    );
                });
            }
        });
    }
}

/// Fails if close waits for an on_result that was running when the time-out came.
#[test]
fn p24_close_does_not_wait_for_an_on_result_that_never_returns() {
    let _watchdog = watchdog();
    let (door, inside) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let (behind, entered) = (door.clone(), inside.clone());
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler(echo)
        .on_result(move |_| {
            entered.store(true, SeqCst);
            behind.pass();
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    assert_eq!(
        batcher.close(ms(20)).unwrap().left,
        0,
        "its outcome was fixed before"
    );
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.ok, stats.undelivered), (1, 1));
}

/// Fails if a second closer is told that all is done while the first still drains.
#[test]
fn p24_a_second_closer_waits_too() {
    let _watchdog = watchdog();
    let (door, handled) = (Door::default(), Arc::new(AtomicUsize::new(0)));
    let (behind, count) = (door.clone(), handled.clone());
    let batcher = Batcher::builder().max_batch_size(2).handler(move |batch| {
        behind.pass();
        count.fetch_add(batch.len(), SeqCst);
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    for tag in 0..6 {
        batcher.push(1, tag).unwrap();
    }
    thread::scope(|scope| {
        for timeout in [FOREVER; 3] {
            let (batcher, handled) = (&batcher, &handled);
            scope.spawn(move || {
                assert_eq!(batcher.close(timeout).unwrap().left, 0);
                assert_eq!(handled.load(SeqCst), 6);
            });
        }
        thread::sleep(ms(10));
        door.open();
    });
}

/// Fails if a later, shorter time-out does not end an earlier close, or if the two count differently.
#[test]
fn p24_a_later_closer_may_shorten_the_time_out() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = stuck(&door, 2, 3, |builder| builder);
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let first = scope.spawn(|| batcher.close(Duration::MAX).unwrap().left);
        thread::sleep(ms(5));
        assert_eq!(batcher.close(ms(10)).unwrap().left, 5);
        assert_eq!(first.join().unwrap(), 5);
    });
}

/// Fails if close(0) lets anything more be handled, or waits for the handler inside.
#[test]
fn p24_close_zero_discards_at_once() {
    let _watchdog = watchdog();
    let (door, journal) = (Door::default(), Journal::new());
    let batcher = stuck(&door, 1, 5, |builder| builder.on_result(journal.on_result()));
    let _opens = door.opens_at_end();
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 6);
    assert_eq!(journal.rows().len(), 6);
    assert_eq!(batcher.stats().unwrap().batches, 1);
}

/// Fails if an idle handler thread gets the batch that close(0) has just sealed.
#[test]
fn p24_close_zero_hands_nothing_to_an_idle_handler() {
    let _watchdog = watchdog();
    for _ in 0..1000 {
        let batcher = Batcher::builder()
            .max_delay(FOREVER)
            .handler(echo)
            .build()
            .unwrap();
        batcher.push(1, 0).unwrap();
        assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 1);
        assert_eq!(batcher.stats().unwrap().batches, 0);
    }
}

/// Fails if deadlines and time-outs wait for an on_result that does not return, while every handler is busy too: the
/// thread that keeps the time is the one that delivers then.
#[test]
fn p20_p21_time_goes_on_while_every_thread_is_in_a_callback() {
    let _watchdog = watchdog();
    let (door, delivery) = (Door::default(), Door::default());
    let (behind, delivered) = (delivery.clone(), Arc::new(AtomicU64::new(0)));
    let sets = delivered.clone();
    let batcher = stuck(&door, 1, 0, |builder| {
        let builder = builder.threads(1).handler_timeout(ms(60)).queue_capacity(2);
        builder.on_result(move |_| {
            sets.fetch_add(1, SeqCst);
            behind.pass();
        })
    });
    let _opens = (door.opens_at_end(), delivery.opens_at_end());
    let after = |nanos| PushOptions::new().deadline(batcher.now().unwrap() + nanos);
    batcher.push_with(1, 1, after(1_000_000)).unwrap();
    wait_until(|| delivered.load(SeqCst) == 1);
    // The time thread is in on_result, the handler thread in its handler.
    batcher.push_with(2, 2, after(1_000_000)).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 3);
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.stuck, stats.undelivered), (1, 3));
    assert_eq!(delivered.load(SeqCst), 1);
    delivery.open();
    door.open();
    batcher.close(FOREVER).unwrap();
    assert_eq!(delivered.load(SeqCst), 3);
}

/// Fails if nobody looks at the clock for a deadline that comes when every thread is in a callback already.
#[test]
fn p20_a_first_deadline_counts_while_every_thread_is_in_a_callback() {
    let _watchdog = watchdog();
    let (door, delivery) = (Door::default(), Door::default());
    let (behind, delivered) = (delivery.clone(), Arc::new(AtomicU64::new(0)));
    let sets = delivered.clone();
    let batcher = stuck(&door, 1, 0, |builder| {
        builder.threads(1).on_result(move |_| {
            sets.fetch_add(1, SeqCst);
            behind.pass();
        })
    });
    let _opens = (door.opens_at_end(), delivery.opens_at_end());
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.cancel(1), Ok(1));
    wait_until(|| delivered.load(SeqCst) == 1);
    let soon = PushOptions::new().deadline(batcher.now().unwrap() + 1_000_000);
    batcher.push_with(2, 2, soon).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 1);
    delivery.open();
    door.open();
    batcher.close(FOREVER).unwrap();
    assert_eq!(delivered.load(SeqCst), 3);
}

/// Fails if close with nothing outstanding waits, or counts what was discarded earlier for other reasons.
#[test]
fn p24_close_of_an_idle_batcher_leaves_nothing() {
    let _watchdog = watchdog();
    for builder in [Batcher::builder(), given()] {
        let batcher = builder
            .on_full(OnFull::DiscardOldest)
            .queue_capacity(1)
            .handler(echo)
            .build()
            .unwrap();
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 0);
    }
    let batcher = timeless()
        .on_full(OnFull::DiscardOldest)
        .queue_capacity(1)
        .handler(echo)
        .build()
        .unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(
        batcher.close(FOREVER).unwrap().left,
        0,
        "the discarded one made room, close left nothing"
    );
    assert_eq!(batcher.stats().unwrap().discarded, 1);
}

/// Fails if manual close waits, if its time-out does not go on under run, or if closing again does not ask.
#[test]
fn p24_manual_close_goes_on_under_run() {
    let (kept, journal) = (Kept::default(), Journal::new());
    let batcher = timeless()
        .handler(kept.handler())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for tag in 0..3 {
        batcher.push(1, tag).unwrap();
        batcher.seal().unwrap();
    }
    batcher.advance(100).unwrap();
    assert_eq!(status(batcher.close(common::ns(50))), Status::IN_PROGRESS);
    assert_eq!(kept.len(), 1, "close does what run does");
    assert_eq!(batcher.next_due(), Ok(150));
    answer(kept.take()).unwrap();
    run_at(&batcher, 149);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        status(batcher.close(FOREVER)),
        Status::IN_PROGRESS,
        "asking does not lengthen it"
    );
    assert_eq!(batcher.next_due(), Ok(150));
    batcher.advance(150).unwrap();
    assert_eq!(
        batcher.stats().unwrap().discarded,
        0,
        "time passes under run only"
    );
    assert_eq!(batcher.close(FOREVER).unwrap().left, 2);
    let ends: Vec<_> = (0..3).map(|tag| journal.ended(tag).unwrap()).collect();
    assert_eq!(
        ends,
        [
            (Outcome::Ok, Status::OK, Handled::Yes),
            (Outcome::Discarded, Status::DISCARDED, Handled::Maybe),
            (Outcome::Discarded, Status::DISCARDED, Handled::No)
        ]
    );
    assert_eq!(status(answer(kept.take())), Status::TOO_LATE);
}

/// Fails if calls besides push, seal and new flushes stop working after close.
#[test]
fn p24_after_close_only_push_seal_and_new_flushes_answer_closed() {
    let kept = Kept::default();
    let batcher = timeless().pull_results().handler(kept.handler()).build().unwrap();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    batcher.push(3, 3).unwrap();
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    for (name, push) in PUSHERS {
        assert!(
            matches!(push(&batcher, 0, 9), Some(Status::CLOSED | Status::WRONG_OWNER)),
            "{name}"
        );
    }
    assert_eq!(batcher.check(1).unwrap_err().status(), Status::CLOSED);
    assert_eq!(status(batcher.seal()), Status::CLOSED);
    assert_eq!(status(batcher.flush_begin()), Status::CLOSED);
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::CLOSED);

    assert_eq!(
        status(batcher.flush_end(mark, Timeout::ZERO)),
        Status::IN_PROGRESS
    );
    assert_eq!(batcher.cancel(2), Ok(1));
    assert_eq!(batcher.cancel(1), Err(Status::TOO_LATE));
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [2]);
    answer(kept.take()).unwrap();
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [1]);
    batcher.flush_end(mark, Timeout::ZERO).unwrap();
    batcher.run().unwrap();
    answer(kept.take()).unwrap();
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [3]);
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::CLOSED);
    assert!(batcher.fd().is_ok() && batcher.now().is_ok() && batcher.next_due().is_ok());
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 0);
    assert!(batcher.stats().unwrap().balanced());
}

/// Fails if drained means delivered although the results are pulled: nobody could close and pull on one thread.
#[test]
fn p24_pulled_results_may_follow_close() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().pull_results().handler(echo).build().unwrap();
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(batcher.next_results(FOREVER).unwrap().tags(), [1]);
    assert_eq!(status(batcher.next_results(FOREVER)), Status::CLOSED);
}

// ---- P25: calls inside callbacks

/// Where a callback makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Handler,
    OnResult,
    Release,
    Log,
}

const PLACES: [Place; 4] = [Place::Handler, Place::OnResult, Place::Release, Place::Log];

/// Every call of the API that can be made on a borrowed batcher, with its answer.
fn call_everything(batcher: &Batcher) -> Vec<(&'static str, Status)> {
    let mark = batcher.flush_begin();
    let explained =
        |result: Result<(), microbatch::Error>| result.map_or_else(|e| e.status(), |()| Status::OK);
    vec![
        ("push", status(batcher.push(1, 100))),
        ("push_int64", status(batcher.push_int64(1, 100))),
        ("push_float64", status(batcher.push_float64(1.0, 100))),
        ("push_str", status(batcher.push_str("text", 100))),
        ("push_bytes", status(batcher.push_bytes(b"bytes", 100))),
        (
            "push_with",
            status(batcher.push_with(1, 100, PushOptions::new().deadline(i64::MAX - 1))),
        ),
        (
            "push_owned",
            batcher
                .push_owned("mine".to_owned(), 100)
                .map_or_else(|e| e.0, |()| Status::OK),
        ),
        (
            "push_int64s",
            status(batcher.push_int64s(&[1, 2], Tags::From(100)).1),
        ),
        (
            "push_values",
            status(
                batcher
                    .push_values(&[Value::Null, Value::Bool(true)], Tags::From(100))
                    .1,
            ),
        ),
        (
            "producer",
            status(batcher.producer().and_then(|producer| producer.push(1, 100))),
        ),
        ("check", explained(batcher.check(1))),
        ("room", status(batcher.room(FOREVER))),
        ("cancel", status(batcher.cancel(100))),
        ("cancel nothing", status(batcher.cancel(999))),
        ("seal", status(batcher.seal())),
        ("stats", status(batcher.stats())),
        ("next_due", status(batcher.next_due())),
        ("now", status(batcher.now())),
        ("fd", explained(batcher.fd().map(drop))),
        ("flush_begin", status(mark)),
        ("flush", status(batcher.flush(FOREVER))),
        (
            "flush_end",
            mark.map_or_else(
                |_| Status::REENTRANT,
                |mark| status(batcher.flush_end(mark, FOREVER)),
            ),
        ),
        ("run", status(batcher.run())),
        ("advance", status(batcher.advance(1_000_000))),
        ("next_batch", status(batcher.next_batch(FOREVER))),
        ("next_results", status(batcher.next_results(FOREVER))),
    ]
}

/// What each of them must answer there.
fn must_answer(call: &str, manual: bool, pulled: bool, pulls_results: bool, closed: bool) -> Status {
    match call {
        "cancel" if closed => Status::NOT_FOUND,
        "cancel nothing" => Status::NOT_FOUND,
        "flush" | "flush_end" => Status::REENTRANT,
        "run" | "advance" => {
            if manual {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "next_batch" => {
            if pulled {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "next_results" => {
            if pulls_results {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "cancel" | "stats" | "next_due" | "now" | "fd" => Status::OK,
        _ if closed => Status::CLOSED,
        _ => Status::OK,
    }
}

/// Who is called where, and what came of it.
struct Scene {
    place: Place,
    called: AtomicBool,
    answers: Mutex<Option<Vec<(&'static str, Status)>>>,
    after_close: Mutex<Option<Vec<(&'static str, Status)>>>,
    closed: AtomicI32,
}

impl Scene {
    fn new(place: Place) -> Arc<Scene> {
        let closed = AtomicI32::new(0);
        Arc::new(Scene {
            place,
            called: AtomicBool::default(),
            answers: Mutex::default(),
            after_close: Mutex::default(),
            closed,
        })
    }

    /// Makes the calls if this is the place, once.
    fn at(&self, place: Place, batcher: &Weak<Batcher>) {
        let Some(batcher) = batcher.upgrade() else { return };
        if place != self.place || self.called.swap(true, SeqCst) {
            return;
        }
        let answers = call_everything(&batcher);
        self.closed.store(status(batcher.close(FOREVER)).code(), SeqCst);
        *self.after_close.lock().unwrap() = Some(call_everything(&batcher));
        assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
        // Last: whoever waits for the answers may go on.
        *self.answers.lock().unwrap() = Some(answers);
    }
}

/// A batcher all of whose callbacks come by the scene. Everything is called: on_result fails on purpose, for the log.
fn staged(scene: &Arc<Scene>, builder: Builder, pulled: bool, pulls_results: bool) -> Arc<Batcher> {
    Arc::new_cyclic(|weak: &Weak<Batcher>| {
        let at = |place| {
            let (scene, weak) = (scene.clone(), weak.clone());
            move || scene.at(place, &weak)
        };
        let (handler, on_result, release, log) = (
            at(Place::Handler),
            at(Place::OnResult),
            at(Place::Release),
            at(Place::Log),
        );
        let mut builder = builder
            .on_object_release(7, move |_| release())
            .log(move |_, _| log());
        if !pulled {
            builder = builder.handler(move |batch| {
                handler();
                echo(batch)
            });
        }
        if pulls_results {
            builder = builder.pull_results();
        } else {
            builder = builder.on_result(move |_| {
                on_result();
                // As a panic, without the message that the test's own hook would print.
                std::panic::resume_unwind(Box::new("for the log"));
            });
        }
        builder.build().unwrap()
    })
}

/// Drives a staged batcher until its scene has played.
fn play(scene: &Scene, batcher: &Batcher, manual: bool, pulled: bool, pulls_results: bool) {
    batcher
        .push(
            Object {
                owner: 7,
                word: 5,
                size: 0,
            },
            1,
        )
        .unwrap();
    batcher.seal().unwrap();
    if pulled {
        answer(batcher.next_batch(FOREVER).unwrap()).unwrap();
    }
    if manual {
        batcher.run().unwrap();
    }
    if pulls_results {
        drop(batcher.next_results(FOREVER).unwrap());
        if manual {
            batcher.run().unwrap();
        }
    }
    wait_until(|| scene.answers.lock().unwrap().is_some());
}

/// Fails if any call inside any callback deadlocks, waits, or answers otherwise than the table says.
#[test]
fn p25_every_call_inside_every_callback_is_defined() {
    let _watchdog = watchdog();
    for place in PLACES {
        for (manual, pulled, pulls_results) in [
            (true, false, false),
            (true, false, true),
            (true, true, false),
            (false, false, false),
            (false, false, true),
            (false, true, false),
        ] {
            let called = match place {
                Place::Handler => !pulled,
                Place::OnResult | Place::Log => !pulls_results,
                Place::Release => true,
            };
            if !called {
                continue;
            }
            let scene = Scene::new(place);
            // Nobody pulls what the scene pushed: the end does not drain.
            let builder = if manual {
                timeless()
            } else {
                Batcher::builder().max_delay(FOREVER).close_timeout(ms(1))
            };
            let batcher = staged(&scene, builder, pulled, pulls_results);
            play(&scene, &batcher, manual, pulled, pulls_results);
            let here = format!("{place:?}, manual {manual}, pulled {pulled}, results pulled {pulls_results}");
            for (call, answer) in scene.answers.lock().unwrap().as_ref().unwrap() {
                let expected = must_answer(call, manual, pulled, pulls_results, false);
                assert_eq!(*answer, expected, "{call} in {here}");
            }
            assert_eq!(
                scene.closed.load(SeqCst),
                Status::IN_PROGRESS.code(),
                "close in {here}"
            );
            for (call, answer) in scene.after_close.lock().unwrap().as_ref().unwrap() {
                let expected = must_answer(call, manual, pulled, pulls_results, true);
                let fine = *answer == expected || (*call == "cancel" && *answer == Status::OK);
                assert!(fine, "{call} after close in {here}: {answer:?}");
            }
            if !pulls_results && !pulled {
                // What the callback began goes on when it returns.
                let closed = batcher.close(FOREVER);
                assert_eq!(closed.unwrap().left, 0, "{here}");
            }
            assert!(batcher.stats().unwrap().balanced(), "{here}");
        }
    }
}

/// Fails if a refused re-entrant call seals, moves the clock, or takes anything.
#[test]
fn p25_reentrant_calls_consume_nothing() {
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let own = cell.clone();
    let journal = Journal::new();
    let saw = journal.clone();
    let batcher = timeless().max_in_flight(4).handler(move |batch| {
        let batcher = own.lock().unwrap().upgrade().unwrap();
        saw.saw(batch);
        if batch.tags() == [1] {
            batcher.push(2, 2)?;
            let before = batcher.stats().unwrap();
            assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::REENTRANT);
            assert_eq!(status(batcher.advance(77)), Status::REENTRANT);
            assert_eq!(status(batcher.run()), Status::REENTRANT);
            assert_eq!(batcher.now(), Ok(0));
            let after = batcher.stats().unwrap();
            assert_eq!(
                (after.waiting, after.triggers, after.in_flight),
                (before.waiting, before.triggers, 1)
            );
        }
        echo(batch)
    });
    let batcher = Arc::new(batcher.build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(
        journal.sizes(),
        [1],
        "the value pushed inside is still in the open batch"
    );
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), [1]);
    assert_eq!(batcher.stats().unwrap().ok, 1);
}

/// Fails if detection is per process or per thread only: other batchers may be driven inside a callback.
#[test]
fn p25_another_batcher_may_be_driven_inside_a_callback() {
    let _watchdog = watchdog();
    let inner = Arc::new(Batcher::builder().handler(echo).build().unwrap());
    let manual = Arc::new(timeless().handler(echo).build().unwrap());
    let (threaded, driven) = (inner.clone(), manual.clone());
    let batcher = Batcher::builder().handler(move |batch| {
        threaded.push(1, 1)?;
        threaded.flush(FOREVER)?;
        driven.push(1, 1)?;
        driven.advance(5)?;
        driven.flush(Timeout::ZERO)?;
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.flush(FOREVER).unwrap();
    assert_eq!(batcher.stats().unwrap().ok, 1);
    assert_eq!((inner.stats().unwrap().ok, manual.stats().unwrap().ok), (1, 1));
}

/// Fails if a second thread is refused because the first is in a callback: detection is per thread.
#[test]
fn p25_other_threads_are_not_reentrant() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = stuck(&door, 1, 0, |builder| builder);
    let _opens = door.opens_at_end();
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    assert_eq!(status(batcher.flush(ms(5))), Status::TIMEOUT);
}

/// Fails if two batchers whose handlers push into each other wait for each other for ever.
#[test]
fn p25_a_cycle_of_two_batchers_ends_by_time_out() {
    let _watchdog = watchdog();
    let other: [Arc<Mutex<Weak<Batcher>>>; 2] = Default::default();
    let ledgers = [Ledger::new(), Ledger::new()];
    let next_tag = Arc::new(AtomicU64::new(1000));
    let batchers = [0, 1].map(|own| {
        let (target, ledger, next_tag) = (other[1 - own].clone(), ledgers[1 - own].clone(), next_tag.clone());
        let batcher = Batcher::builder()
            .queue_capacity(1)
            .max_batch_size(1)
            .push_timeout(ms(10));
        let batcher = batcher.handler(move |batch| {
            for hops in batch.int64s().unwrap().iter().filter(|hops| **hops > 0) {
                let Some(target) = target.lock().unwrap().upgrade() else {
                    continue;
                };
                let tag = next_tag.fetch_add(1, SeqCst);
                match target.push(hops - 1, tag) {
                    Ok(()) => ledger.pushed(tag),
                    Err(status) => assert!(matches!(status, Status::QUEUE_FULL | Status::CLOSED), "{status}"),
                }
            }
            echo(batch)
        });
        Arc::new(batcher.on_result(ledgers[own].on_result()).build().unwrap())
    });
    for own in 0..2 {
        *other[own].lock().unwrap() = Arc::downgrade(&batchers[own]);
    }
    thread::scope(|scope| {
        for own in 0..2 {
            let (batcher, ledger) = (&batchers[own], &ledgers[own]);
            scope.spawn(move || {
                for tag in 0..20 {
                    if batcher.push(5, tag).is_ok() {
                        ledger.pushed(tag);
                    }
                }
            });
        }
    });
    for batcher in &batchers {
        batcher.close(FOREVER).unwrap();
    }
    for (batcher, ledger) in batchers.iter().zip(&ledgers) {
        ledger.assert_exactly_one_result_each();
        let stats = batcher.stats().unwrap();
        assert!(stats.balanced() && stats.outstanding == 0 && stats.accepted == ledger.accepted());
    }
}

/// Fails if flushing each other from on_result hangs instead of ending by time-out.
#[test]
fn p25_two_batchers_may_flush_each_other_from_on_result() {
    let _watchdog = watchdog();
    let other: [Arc<Mutex<Weak<Batcher>>>; 2] = Default::default();
    let answers: Arc<Mutex<Vec<Status>>> = Arc::default();
    let batchers = [0, 1].map(|own| {
        let (target, answers) = (other[1 - own].clone(), answers.clone());
        let batcher = Batcher::builder().handler(echo).on_result(move |_| {
            let target = target.lock().unwrap().upgrade();
            if let Some(target) = target {
                answers.lock().unwrap().push(status(target.flush(ms(20))));
            }
        });
        Arc::new(batcher.build().unwrap())
    });
    for own in 0..2 {
        *other[own].lock().unwrap() = Arc::downgrade(&batchers[own]);
    }
    for tag in 0..5 {
        batchers.iter().for_each(|batcher| batcher.push(1, tag).unwrap());
    }
    for batcher in &batchers {
        batcher.close(FOREVER).unwrap();
    }
    let answers = answers.lock().unwrap();
    let fine = [Status::OK, Status::TIMEOUT, Status::CLOSED];
    assert!(
        !answers.is_empty() && answers.iter().all(|answer| fine.contains(answer)),
        "{answers:?}"
    );
}

/// Fails if a handler thread that was woken for a batch goes into on_result instead and wakes nobody else.
#[test]
fn p25_on_result_may_wait_for_the_handler_of_another_batch() {
    let _watchdog = watchdog();
    for round in 0..100 {
        let (kept, handled) = (Kept::default(), Arc::new(AtomicBool::new(false)));
        let (keep, done, seen) = (kept.handler(), handled.clone(), handled.clone());
        let waited_out = Arc::new(AtomicBool::new(false));
        let hung = waited_out.clone();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(1)
            .handler(move |batch| {
                if batch.tags() == [1] {
                    return keep(batch);
                }
                done.store(true, SeqCst);
                echo(batch)
            });
        let batcher = batcher.on_result(move |results| {
            if results.tags() == [1] {
                let start = Instant::now();
                while !seen.load(SeqCst) {
                    thread::sleep(ms(1));
                    if start.elapsed() > ms(3000) {
                        return hung.store(true, SeqCst);
                    }
                }
            }
        });
        let batcher = batcher.build().unwrap();
        batcher.push(1, 1).unwrap();
        wait_until(|| kept.len() == 1);
        let first = kept.take();
        thread::scope(|scope| {
            // The first batch is completed and the second comes at the same moment.
            scope.spawn(|| answer(first).unwrap());
            scope.spawn(|| batcher.push(2, 2).unwrap());
        });
        batcher.flush(FOREVER).unwrap();
        assert!(
            !waited_out.load(SeqCst),
            "round {round}: a handler thread was idle and batch 2 waited"
        );
    }
}

/// Fails if nobody looks at the clock while the thread that keeps the time is inside on_result: deadlines and time-outs
/// would wait for it although a handler thread sleeps.
#[test]
fn p25_time_goes_on_while_the_time_thread_delivers() {
    let _watchdog = watchdog();
    let (door, kept) = (Door::default(), Kept::default());
    let (behind, inside) = (door.clone(), Arc::new(AtomicBool::new(false)));
    let (entered, delivers) = (inside.clone(), inside.clone());
    let keep = kept.handler();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler_timeout(ms(200))
        .handler(move |batch| {
            keep(batch)?;
            // The handler thread comes back when the time thread is in on_result.
            wait_until(|| delivers.load(SeqCst));
            Ok(())
        });
    let batcher = batcher.on_result(move |_| {
        entered.store(true, SeqCst);
        behind.pass();
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| kept.len() == 1);
    batcher.push(2, 2).unwrap();
    assert_eq!(batcher.cancel(2), Ok(1));
    wait_until(|| inside.load(SeqCst));
    // One deadline is known when the handler thread goes to sleep, or it is told of it.
    let deadline = batcher.now().unwrap() + 5_000_000;
    let options = PushOptions::new().deadline(deadline);
    batcher.push_with(3, 3, options).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 2);
    assert_eq!(batcher.stats().unwrap().in_flight, 0, "the slot is free");
}

/// Fails if the thread that keeps the time is the one that is inside on_result: time would stand still meanwhile.
#[test]
fn p25_time_goes_on_while_on_result_runs() {
    let _watchdog = watchdog();
    let (door, kept) = (Door::default(), Kept::default());
    let (behind, inside) = (door.clone(), Arc::new(AtomicBool::new(false)));
    let entered = inside.clone();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler_timeout(ms(20))
        .handler(kept.handler());
    let batcher = batcher.on_result(move |_| {
        entered.store(true, SeqCst);
        behind.pass();
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| kept.len() == 1);
    batcher.push(2, 2).unwrap();
    let deadline = batcher.now().unwrap() + 5_000_000;
    batcher
        .push_with(3, 3, PushOptions::new().deadline(deadline))
        .unwrap();
    // Nobody but the time thread is free to deliver this, or awake to look at the clock.
    assert_eq!(batcher.cancel(2), Ok(1));
    wait_until(|| inside.load(SeqCst));
    let start = Instant::now();
    while batcher.stats().unwrap().expired < 2 {
        assert!(
            start.elapsed() < ms(5000),
            "a deadline and a time-out passed, and nobody looked: {:?}",
            {
                let stats = batcher.stats().unwrap();
                (stats.expired, stats.in_flight, stats.waiting)
            }
        );
        thread::sleep(ms(1));
    }
    assert_eq!(batcher.stats().unwrap().in_flight, 0, "the slot is free");
}

// ---- P26: free and abandon

/// Fails if a thread or descriptor outlives its batcher, in any mode, however it ends.
#[test]
fn p26_free_gives_back_threads_and_descriptors() {
    alone("p26_free_gives_back_threads_and_descriptors", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        type Make = fn() -> Builder;
        let makes: [Make; 5] = [
            || Batcher::builder().handler(echo),
            || Batcher::builder().handler(echo).threads(4).on_result(|_| {}),
            || Batcher::builder().pull_results().handler(echo),
            || Batcher::builder().close_timeout(ms(1)),
            || {
                Batcher::builder()
                    .mode(Mode::Manual)
                    .handler(echo)
                    .on_result(|_| {})
            },
        ];
        for make in makes {
            for round in 0..12 {
                let batcher = make().build().unwrap();
                let fd = batcher.fd().unwrap();
                assert!(footprint() > baseline, "it has threads or a descriptor");
                assert_eq!(
                    batcher.fd().unwrap(),
                    fd,
                    "one descriptor, however often it is asked for"
                );
                for tag in 0..100 {
                    batcher.push(1, tag).unwrap();
                }
                match round % 4 {
                    0 => assert!(batcher.close(ms(1)).is_ok()),
                    1 => drop(batcher.stats()),
                    2 => batcher.abandon(),
                    _ => drop(batcher),
                }
            }
            wait_until(|| footprint() == baseline);
        }
        // What is not made is not left behind either.
        assert!(Batcher::builder().threads(5000).handler(echo).build().is_err());
        assert_eq!(footprint(), baseline);
    });
}

/// Fails if a closure leaks, goes twice, or goes while it may still be called.
#[test]
fn p26_every_closure_is_dropped_exactly_once_after_its_last_call() {
    let _watchdog = watchdog();
    let build = |builder: Builder, drops: &Drops| {
        let early = Arc::new(AtomicUsize::new(0));
        let tokens: Vec<_> = (0..5).map(|_| drops.token()).collect();
        let mut tokens = tokens.into_iter().map(|token| {
            let early = early.clone();
            move || {
                early.fetch_add(token.0.load(SeqCst), SeqCst);
            }
        });
        let mut next = || tokens.next().unwrap();
        let (handler, strings, on_result, release, log) = (next(), next(), next(), next(), next());
        let builder = builder.handler(move |batch| {
            handler();
            echo(batch)
        });
        let builder = builder.handler_for(microbatch::Kind::String, move |batch| {
            strings();
            echo(batch)
        });
        let builder = builder
            .on_result(move |_| on_result())
            .on_object_release(7, move |_| release())
            .log(move |_, _| log());
        (builder, early)
    };
    for manual in [false, true] {
        for ending in 0..4 {
            let drops = Drops::default();
            let builder = if manual {
                given()
            } else {
                Batcher::builder().threads(3)
            };
            let (builder, early) = build(builder, &drops);
            let batcher = builder.build().unwrap();
            for tag in 0..50 {
                batcher
                    .push(
                        Object {
                            owner: 7,
                            word: tag,
                            size: 0,
                        },
                        tag,
                    )
                    .unwrap();
                batcher.push("text", tag).unwrap();
            }
            assert_eq!(drops.count(), 0);
            match ending {
                0 => drop(batcher),
                1 => batcher.abandon(),
                2 => {
                    let _ = batcher.close(Timeout::ZERO);
                    drop(batcher);
                }
                _ => {
                    let _ = batcher.close(FOREVER);
                    batcher.abandon();
                }
            }
            wait_until(|| drops.count() >= 5);
            assert_eq!(
                (drops.count(), early.load(SeqCst)),
                (5, 0),
                "manual {manual}, ending {ending}"
            );
        }
    }
    // A batcher that was not made keeps nothing.
    let drops = Drops::default();
    let (builder, _) = build(Batcher::builder().queue_capacity(1).max_batch_size(2), &drops);
    assert_eq!(builder.build().unwrap_err().status(), Status::INVALID_OPTION);
    assert_eq!(drops.count(), 5);
}

/// Fails if dropping a batcher does not wait for the handler that is inside.
#[test]
fn p26_free_waits_for_callbacks_in_other_threads() {
    let _watchdog = watchdog();
    let (door, left) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let (behind, leaves, inside) = (door.clone(), left.clone(), Arc::new(AtomicBool::new(false)));
    let entered = inside.clone();
    let batcher = Batcher::builder().close_timeout(ms(5)).handler(move |batch| {
        entered.store(true, SeqCst);
        behind.pass();
        thread::sleep(ms(5));
        leaves.store(true, SeqCst);
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(batcher);
            assert!(left.load(SeqCst), "the batcher was freed under its handler");
        });
        thread::sleep(ms(20));
        door.open();
    });
}

/// Fails if dropping discards what could be drained within close_timeout, or loses what could not.
#[test]
fn p26_drop_drains_within_close_timeout_then_discards() {
    let _watchdog = watchdog();
    let journal = Journal::new();
    let batcher = Batcher::builder()
        .max_delay(FOREVER)
        .max_batch_size(3)
        .handler(echo);
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    for tag in 0..10 {
        batcher.push(1, tag).unwrap();
    }
    drop(batcher);
    assert_eq!(
        journal
            .rows()
            .iter()
            .filter(|row| row.outcome == Outcome::Ok)
            .count(),
        10
    );

    let (kept, journal) = (Kept::default(), Journal::new());
    let batcher = Batcher::builder()
        .close_timeout(ms(5))
        .max_batch_size(1)
        .handler(kept.handler());
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    for tag in 0..3 {
        batcher.push(1, tag).unwrap();
    }
    drop(batcher);
    assert_eq!(
        journal
            .rows()
            .iter()
            .filter(|row| row.outcome == Outcome::Discarded)
            .count(),
        3
    );
}

/// Fails if abandon waits for a handler, takes its closures from under it, or loses outstanding values.
#[test]
fn p26_abandon_does_not_wait() {
    alone("p26_abandon_does_not_wait", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        let (door, journal, drops) = (Door::default(), Journal::new(), Drops::default());
        let (token, on_result) = (drops.token(), journal.on_result());
        let batcher = stuck(&door, 2, 3, |builder| {
            builder.on_result(move |results| {
                on_result(results);
                drop_nothing(&token);
            })
        });
        let _opens = door.opens_at_end();
        batcher.fd().unwrap();
        // With the handler inside: waiting for it would hang.
        batcher.abandon();
        wait_until(|| journal.rows().len() == 5);
        for row in journal.rows() {
            let handled = if row.tag < 2 { Handled::Maybe } else { Handled::No };
            assert_eq!((row.outcome, row.handled), (Outcome::Discarded, handled));
        }
        assert_eq!(drops.count(), 0, "its handler still runs");
        door.open();
        wait_until(|| drops.count() == 1 && footprint() == baseline);
        assert_eq!(journal.rows().len(), 5);
    });
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

/// A batcher of objects whose releases are noted.
fn releasing(builder: Builder) -> (Builder, Arc<Mutex<Vec<u64>>>) {
    let released: Arc<Mutex<Vec<u64>>> = Arc::default();
    let words = released.clone();
    (
        builder.on_object_release(7, move |word| words.lock().unwrap().push(word)),
        released,
    )
}

fn object(word: u64) -> Object {
    Object {
        owner: 7,
        word,
        size: 0,
    }
}

/// Fails if objects of a batch that is held past free wait for every other held batch, leak, or go twice.
#[test]
fn p26_objects_of_held_batches_go_with_their_own_batch() {
    let kept = Kept::default();
    let (builder, released) = releasing(timeless().max_in_flight(2).handler(kept.handler()));
    let batcher = builder.build().unwrap();
    for word in [1, 2] {
        batcher.push(object(word), word).unwrap();
        batcher.seal().unwrap();
    }
    batcher.run().unwrap();
    let (first, second) = (kept.take(), kept.take());
    drop(batcher);
    assert!(
        released.lock().unwrap().is_empty(),
        "both batches are still shown"
    );
    drop(first);
    assert_eq!(*released.lock().unwrap(), [1]);
    assert_eq!(status(second.complete()), Status::TOO_LATE);
    assert_eq!(*released.lock().unwrap(), [1, 2]);
}

/// Fails if objects leak when the results of a timed-out batch go before the batch itself, after free.
#[test]
fn p26_objects_shown_by_results_and_batch_go_with_the_last_of_them() {
    for results_first in [false, true] {
        for freed in [false, true] {
            let kept = Kept::default();
            let builder = timeless()
                .pull_results()
                .handler_timeout(common::ns(10))
                .handler(kept.handler());
            let (builder, released) = releasing(builder);
            let batcher = builder.build().unwrap();
            batcher.push(object(1), 1).unwrap();
            batcher.seal().unwrap();
            batcher.run().unwrap();
            batcher.advance(10).unwrap();
            let results = batcher.next_results(Timeout::ZERO).unwrap();
            assert_eq!(results.outcome(0), Outcome::Expired);
            let held = kept.take();
            let batcher = if freed {
                drop(batcher);
                None
            } else {
                Some(batcher)
            };
            if results_first {
                drop(results);
                assert!(released.lock().unwrap().is_empty(), "the batch is still shown");
                drop(held);
            } else {
                drop(held);
                assert!(released.lock().unwrap().is_empty(), "the results are still shown");
                drop(results);
            }
            if let Some(batcher) = batcher {
                batcher.run().unwrap();
            }
            assert_eq!(
                *released.lock().unwrap(),
                [1],
                "results first {results_first}, freed before {freed}"
            );
        }
    }
}

/// Fails if abandoning, or dropping, a batcher inside one of its own callbacks waits for itself or leaves a thread.
#[test]
fn p26_a_batcher_may_end_inside_its_own_callbacks() {
    alone("p26_a_batcher_may_end_inside_its_own_callbacks", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        for place in PLACES {
            for abandon in [false, true] {
                let (drops, ledger) = (Drops::default(), Ledger::new());
                let cell: Arc<Mutex<Option<Batcher>>> = Arc::default();
                let ended = Arc::new(AtomicUsize::new(0));
                let at = |here: Place| {
                    let (cell, token, ended) = (cell.clone(), drops.token(), ended.clone());
                    move || {
                        drop_nothing(&token);
                        let mut cell = cell.lock().unwrap();
                        let Some(batcher) = cell.take_if(|_| here == place) else {
                            return;
                        };
                        drop(cell);
                        if abandon {
                            batcher.abandon();
                        } else {
                            drop(batcher);
                        }
                        // A panic in there would be taken for one of the callback's own.
                        ended.fetch_add(1, SeqCst);
                    }
                };
                let (handler, on_result, release, log) = (
                    at(Place::Handler),
                    at(Place::OnResult),
                    at(Place::Release),
                    at(Place::Log),
                );
                let came = ledger.on_result();
                let batcher = Batcher::builder().threads(2).max_batch_size(2).max_delay(FOREVER);
                let batcher = batcher.handler(move |batch| {
                    handler();
                    echo(batch)
                });
                let batcher = batcher.on_result(move |results| {
                    came(results);
                    on_result();
                    std::panic::resume_unwind(Box::new("for the log"));
                });
                let batcher = batcher
                    .on_object_release(7, move |_| release())
                    .log(move |_, _| log())
                    .build()
                    .unwrap();
                batcher.fd().unwrap();
                {
                    // Whoever wants to take it waits until all values are in.
                    let mut cell = cell.lock().unwrap();
                    for tag in 0..7 {
                        batcher.push(object(tag), tag).unwrap();
                        ledger.pushed(tag);
                    }
                    batcher.seal().unwrap();
                    *cell = Some(batcher);
                }
                wait_until(|| drops.count() == 4 && footprint() == baseline);
                ledger.assert_exactly_one_result_each();
                assert_eq!(
                    (ledger.accepted(), ended.load(SeqCst)),
                    (7, 1),
                    "{place:?}, abandon {abandon}"
                );
            }
        }
    });
}

/// Fails if values that are outstanding at the end of a manual batcher get no result, or get it after free returned.
#[test]
fn p26_free_of_a_manual_batcher_delivers_what_is_outstanding() {
    for abandon in [false, true] {
        let (kept, journal) = (Kept::default(), Journal::new());
        let (builder, released) = releasing(timeless().max_batch_size(2));
        let batcher = builder
            .handler(kept.handler())
            .on_result(journal.on_result())
            .build()
            .unwrap();
        for tag in 0..5 {
            batcher.push(object(tag), tag).unwrap();
        }
        batcher.run().unwrap();
        assert_eq!(batcher.cancel(4), Ok(1));
        if abandon {
            batcher.abandon();
        } else {
            drop(batcher);
        }
        let ends: Vec<_> = (0..5).map(|tag| journal.ended(tag).unwrap()).collect();
        let discarded = |handled| (Outcome::Discarded, Status::DISCARDED, handled);
        assert_eq!(
            ends,
            [
                discarded(Handled::Maybe),
                discarded(Handled::Maybe),
                discarded(Handled::No),
                discarded(Handled::No),
                (Outcome::Cancelled, Status::CANCELLED, Handled::No)
            ]
        );
        let mut words = released.lock().unwrap().clone();
        words.sort_unstable();
        assert_eq!(words, [2, 3, 4], "the batch in flight is still held");
        drop(kept.take());
        words = released.lock().unwrap().clone();
        words.sort_unstable();
        assert_eq!(words, [0, 1, 2, 3, 4]);
    }
}

/// Fails if results that nobody pulled, or strings that the batcher owns, are not given back by free.
#[test]
fn p26_free_gives_back_what_nobody_took() {
    let (builder, released) = releasing(timeless().pull_results().handler(|batch| {
        for row in 0..batch.len() {
            batch.set(row, object(100 + batch.tags()[row]))?;
        }
        Ok(())
    }));
    let batcher = builder.build().unwrap();
    for tag in 0..3 {
        batcher.push(object(tag), tag).unwrap();
    }
    batcher.seal().unwrap();
    batcher.run().unwrap();
    batcher.push(object(3), 3).unwrap();
    drop(batcher);
    let mut words = released.lock().unwrap().clone();
    words.sort_unstable();
    assert_eq!(words, [0, 1, 2, 3, 100, 101, 102]);
}

/// Fails if the values of results that are taken depend on the batch they came from.
#[test]
fn p26_results_stay_readable_while_new_batches_reuse_memory() {
    let batcher = timeless()
        .pull_results()
        .max_batch_size(4)
        .handler(echo)
        .build()
        .unwrap();
    let mut sets: Vec<Results<'static>> = Vec::new();
    for set in 0..10_i64 {
        batcher
            .push_int64s(&[set, set + 1, set + 2, set + 3], Tags::From(set as u64))
            .1
            .unwrap();
        batcher.run().unwrap();
        sets.push(batcher.next_results(Timeout::ZERO).unwrap());
        if set % 3 == 2 {
            sets.remove(0);
        }
    }
    for set in sets {
        let first = set.tags()[0] as i64;
        let values: Vec<_> = (0..4)
            .map(|row| common::Copied::from(set.value(row).unwrap()))
            .collect();
        assert_eq!(values, ints(&[first, first + 1, first + 2, first + 3]));
    }
}
