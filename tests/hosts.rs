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

mod common;

use common::{FOREVER, Journal, Ledger, echo, given, ns, run_at, status, timeless, wait_until, watchdog};
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

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs `test` in a process of its own: this very test of this binary, alone. Its environment asks std for larger
/// stacks, which is none of the engine's business.
fn alone(name: &str, test: fn()) {
    if std::env::var("MICROBATCH_ALONE").is_ok_and(|alone| alone == name) {
        return test();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env("MICROBATCH_ALONE", name)
        .env("RUST_MIN_STACK", "8388608")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{name}, alone ({}):\n{text}",
        child.status
    );
}

/// Whether the descriptor is readable, within `wait` milliseconds; -1 waits for ever.
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

/// A batcher without threads on the system's clock.
fn manual() -> Builder {
    Batcher::builder().mode(Mode::Manual)
}

// ---- P27: two modes

/// Fails if anything in manual mode starts a thread: creation, a descriptor, time, flush, close.
#[test]
fn p27_manual_mode_starts_no_thread() {
    alone("p27_manual_mode_starts_no_thread", || {
        let _watchdog = watchdog();
        let baseline = tasks();
        let same = |what: &str| assert_eq!(tasks(), baseline, "threads after {what}");
        for builder in [manual(), given(), manual().pull_results()] {
            let batcher = builder
                .max_delay(ms(1))
                .handler_timeout(ms(50))
                .handler(echo)
                .build()
                .unwrap();
            same("build");
            batcher.fd().unwrap();
            same("fd");
            for tag in 0..1000 {
                batcher.push(1, tag).unwrap();
            }
            batcher
                .push_with(1, 1000, PushOptions::new().deadline(1))
                .unwrap();
            batcher.producer().unwrap().push(1, 1001).unwrap();
            same("push");
            batcher.run().unwrap();
            same("run");
            let _ = batcher.flush(ms(5));
            same("flush");
            let _ = batcher.close(ms(5));
            same("close");
            drop(batcher);
            same("free");
        }
        // Pulled, and on the system's clock.
        let batcher = manual().build().unwrap();
        batcher.push(1, 1).unwrap();
        answer(batcher.next_batch(Timeout::ZERO).unwrap()).unwrap();
        same("next_batch");
        batcher.abandon();
        same("abandon");
    });
}

/// Fails if a thread more or less is started than the options say, or if a pulled batcher has handler threads.
#[test]
fn p27_threaded_mode_starts_its_handler_threads_and_one_for_time() {
    alone(
        "p27_threaded_mode_starts_its_handler_threads_and_one_for_time",
        || {
            let _watchdog = watchdog();
            let baseline = tasks();
            for threads in [1, 2, 7] {
                let batcher = Batcher::builder().threads(threads).handler(echo).build().unwrap();
                assert_eq!(tasks(), baseline + threads as usize + 1);
                let mut names: Vec<_> = engine_threads().into_iter().map(|thread| thread.1).collect();
                names.sort();
                assert_eq!(names.pop().as_deref(), Some("mb-time"));
                assert_eq!(names, vec!["mb-handler"; threads as usize]);
                for tag in 0..1000 {
                    batcher.push(1, tag).unwrap();
                }
                batcher.flush(FOREVER).unwrap();
                assert_eq!(tasks(), baseline + threads as usize + 1, "work starts no more");
                drop(batcher);
                wait_until(|| tasks() == baseline);
            }
            let pulled = Batcher::builder().threads(3).build().unwrap();
            assert_eq!(tasks(), baseline + 1);
            drop(pulled);
            wait_until(|| tasks() == baseline);
        },
    );
}

/// Fails if anything waits in manual mode, however long its time-out.
#[test]
fn p27_nothing_waits_in_manual_mode() {
    let _watchdog = watchdog();
    let kept = Kept::default();
    let batcher = manual()
        .max_delay(FOREVER)
        .queue_capacity(1)
        .pull_results()
        .handler(kept.handler());
    let batcher = batcher.push_timeout(FOREVER).build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.run().unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(status(batcher.push(3, 3)), Status::QUEUE_FULL);
    assert_eq!(status(batcher.room(FOREVER)), Status::QUEUE_FULL);
    assert_eq!(status(batcher.flush(FOREVER)), Status::IN_PROGRESS);
    assert_eq!(status(batcher.next_results(FOREVER)), Status::TIMEOUT);
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    let pulled = manual().build().unwrap();
    assert_eq!(status(pulled.next_batch(FOREVER)), Status::TIMEOUT);
}

/// Fails if the descriptor is edge-triggered, misses a cause, or stays readable when nothing is to be done.
#[test]
fn p27_the_descriptor_is_level_triggered() {
    let kept = Kept::default();
    let journal = Journal::new();
    let batcher = timeless()
        .max_batch_size(2)
        .max_in_flight(2)
        .handler(kept.handler());
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    let fd = batcher.fd().unwrap();
    let quiet = |what: &str| assert!(!readable(fd, 0), "readable after {what}");
    let firing = |what: &str| {
        assert!(fires(fd), "not readable after {what}");
        assert!(
            readable(fd, 0) && readable(fd, 0),
            "polling consumed it after {what}"
        );
    };
    quiet("nothing");
    batcher.push(1, 1).unwrap();
    quiet("a push into an open batch that is not due");
    batcher.push(1, 2).unwrap();
    firing("a push that sealed by size");
    batcher.run().unwrap();
    quiet("run");
    answer(kept.take()).unwrap();
    firing("a completion: results are to be delivered");
    batcher.run().unwrap();
    quiet("run delivered them");
    batcher.push(1, 3).unwrap();
    batcher.seal().unwrap();
    firing("seal");
    batcher.run().unwrap();
    batcher.push(1, 4).unwrap();
    assert_eq!(batcher.cancel(4), Ok(1));
    firing("a cancel: its result is to be delivered");
    batcher.run().unwrap();
    quiet("run");
    batcher.push(1, 5).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    batcher.push(1, 6).unwrap();
    batcher.seal().unwrap();
    quiet("a seal without a free slot");
    assert_eq!(kept.len(), 2);
    drop(kept.take());
    firing("a slot that came free");
    batcher.run().unwrap();
    quiet("run");
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    quiet("close with everything in flight");
}

/// Fails if pulled batches or results that wait do not fire the descriptor, in manual mode or with threads.
#[test]
fn p27_the_descriptor_fires_for_what_can_be_pulled() {
    let _watchdog = watchdog();
    for builder in [manual, Batcher::builder] {
        let batcher = builder().max_delay(FOREVER).close_timeout(ms(1)).build().unwrap();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        assert!(!readable(fd, 0));
        batcher.seal().unwrap();
        assert!(fires(fd) && readable(fd, 0), "a batch can be pulled");
        let held = batcher.next_batch(Timeout::ZERO).unwrap();
        assert!(!readable(fd, 0), "it was pulled");
        batcher.push(1, 2).unwrap();
        batcher.seal().unwrap();
        assert!(!readable(fd, 0), "no slot is free");
        answer(held).unwrap();
        assert!(fires(fd), "a slot is free");

        let batcher = builder().pull_results().handler(echo).build().unwrap();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        if batcher.run().is_err() {
            batcher.seal().unwrap();
        }
        assert!(fires(fd) && readable(fd, 0), "results can be pulled");
        drop(batcher.next_results(Timeout::ZERO).unwrap());
        assert!(!readable(fd, 0), "they were pulled");
    }
}

/// Fails if the descriptor does not fire by itself when a time comes, or fires before.
/// Fails if a flush that is given up leaves its mark behind: the descriptor would fire for it, and nobody would ask.
#[test]
fn p23_a_flush_that_is_given_up_leaves_the_descriptor_quiet() {
    let shelf = Arc::new(Mutex::new(Vec::new()));
    let kept = shelf.clone();
    let batcher = manual()
        .handler(move |batch: &mut Batch<'_>| {
            kept.lock().unwrap().push(batch.keep()?);
            Ok(())
        })
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.flush(Timeout::ZERO), Err(Status::IN_PROGRESS));
    let held = shelf.lock().unwrap().remove(0);
    held.complete_ok().unwrap();
    batcher.run().unwrap();
    assert!(!readable(fd, 0));
}

/// Whoever asks for room is told of it whenever there is some, whatever others push meanwhile; and that there will be none.
#[test]
fn p22_who_asks_for_room_is_told_though_others_find_it() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .queue_capacity(1)
        .max_in_flight(64)
        .push_timeout(FOREVER)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    let ask = |tag| batcher.push_with(0i64, tag, PushOptions::new().if_full(IfFull::Ask));
    let push_elsewhere = |tag| {
        std::thread::scope(|scope| scope.spawn(|| batcher.push(0i64, tag)).join().unwrap()).unwrap();
    };
    batcher.push(0i64, 0).unwrap();
    assert_eq!(ask(1), Err(Status::WOULD_WAIT));
    let mut held = vec![batcher.next_batch(Timeout::ZERO).unwrap()];
    assert!(fires(fd), "there is room");
    for round in 1..4 {
        // Somebody else has it.
        push_elsewhere(10 * round);
        assert_eq!(ask(1), Err(Status::WOULD_WAIT));
        held.push(batcher.next_batch(Timeout::ZERO).unwrap());
        push_elsewhere(10 * round + 1);
        held.push(batcher.next_batch(Timeout::ZERO).unwrap());
        assert!(fires(fd), "there is room again");
    }
    assert_eq!(ask(1), Ok(()));
    held.push(batcher.next_batch(Timeout::ZERO).unwrap());
    assert!(!readable(fd, 0), "nobody asks, and nothing is to be pulled");
    batcher.push(0i64, 2).unwrap();
    assert_eq!(ask(3), Err(Status::WOULD_WAIT));
    held.push(batcher.next_batch(Timeout::ZERO).unwrap());
    push_elsewhere(100);
    let _ = batcher.close(Timeout::ZERO);
    assert!(fires(fd), "there will be no room");
    assert_eq!(ask(3), Err(Status::CLOSED));
    drop(held);
    assert!(!readable(fd, 0));
}

#[test]
fn p27_the_descriptor_fires_when_the_next_deadline_has_come() {
    let _watchdog = watchdog();
    type Cause = (&'static str, fn(Builder) -> Builder, fn(&Batcher));
    let causes: [Cause; 4] = [
        ("max_delay", |b| b.max_delay(ms(20)), |b| b.push(1, 1).unwrap()),
        (
            "deadline",
            |b| b.max_delay(FOREVER),
            |b| {
                let deadline = b.now().unwrap() + 20_000_000;
                b.push_with(1, 1, PushOptions::new().deadline(deadline)).unwrap();
            },
        ),
        (
            "handler_timeout",
            |b| b.handler_timeout(ms(20)),
            |b| {
                b.push(1, 1).unwrap();
                b.run().unwrap();
            },
        ),
        (
            "close",
            |b| b,
            |b| {
                b.push(1, 1).unwrap();
                assert_eq!(status(b.close(ms(20))), Status::IN_PROGRESS);
            },
        ),
    ];
    for (cause, options, begin) in causes {
        let kept = Kept::default();
        let batcher = options(manual()).handler(kept.handler()).build().unwrap();
        let fd = batcher.fd().unwrap();
        assert!(!readable(fd, 0), "{cause}: nothing is to be done");
        let start = Instant::now();
        begin(&batcher);
        let due = batcher.next_due().unwrap();
        assert!(due < i64::MAX, "{cause}");
        assert!(readable(fd, -1));
        assert!(
            start.elapsed() >= ms(20) && batcher.now().unwrap() >= due,
            "{cause}: fired too early"
        );
        assert!(readable(fd, 0), "{cause}: polling consumed it");
        batcher.run().unwrap();
        assert!(!readable(fd, 0), "{cause}: it was done");
    }
}

/// Fails if a change made by another thread does not reach the descriptor: a host that only polls would sleep on.
#[test]
fn p27_a_host_can_live_on_poll_and_run_alone() {
    let _watchdog = watchdog();
    for delay in [Duration::ZERO, Duration::from_micros(300), Duration::MAX] {
        let ledger = Ledger::new();
        let batcher = manual()
            .max_delay(delay)
            .max_batch_size(16)
            .queue_capacity(64)
            .on_full(OnFull::Reject);
        let batcher = batcher
            .handler(echo)
            .on_result(ledger.on_result())
            .build()
            .unwrap();
        let (fd, producing) = (batcher.fd().unwrap(), AtomicUsize::new(3));
        thread::scope(|scope| {
            for producer in 0..3_u64 {
                let (batcher, ledger, producing) = (&batcher, &ledger, &producing);
                scope.spawn(move || {
                    for tag in producer * 10_000..producer * 10_000 + 800 {
                        match batcher.push_int64(1, tag) {
                            Ok(()) => ledger.pushed(tag),
                            Err(refused) => {
                                assert_eq!(refused, Status::QUEUE_FULL);
                                thread::yield_now();
                            }
                        }
                    }
                    // What is left of a batch that is never due by time.
                    batcher.seal().unwrap();
                    producing.fetch_sub(1, SeqCst);
                });
            }
            loop {
                let last = producing.load(SeqCst) == 0;
                if last && batcher.stats().unwrap().outstanding == 0 {
                    break;
                }
                if !last || batcher.next_due().unwrap() < i64::MAX {
                    // Without end: only the descriptor ends it.
                    assert!(readable(fd, if last { -1 } else { 1000 }) || producing.load(SeqCst) == 0);
                }
                batcher.run().unwrap();
            }
        });
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().ok);
    }
}

/// Fails if a mode handles, fails, expires or cancels otherwise than the other.
#[test]
fn p27_both_modes_give_the_same_results() {
    let _watchdog = watchdog();
    let results = [manual(), Batcher::builder().threads(2)].map(|builder| {
        let journal = Journal::new();
        let batcher = builder.max_batch_size(3).max_delay(FOREVER).handler(|batch| {
            for (row, tag) in batch.tags().iter().enumerate() {
                match tag % 4 {
                    0 => batch.set(row, batch.value(row))?,
                    1 => batch.fail(row, 5, "five")?,
                    _ => {}
                }
            }
            if batch.tags().contains(&6) {
                Err(Failure::new(9, "all of them"))
            } else {
                Ok(())
            }
        });
        let batcher = batcher.on_result(journal.on_result()).build().unwrap();
        batcher.push(1, 100).unwrap();
        assert_eq!(batcher.cancel(100), Ok(1));
        batcher.push_with(1, 101, PushOptions::new().deadline(1)).unwrap();
        let manual = batcher.run().is_ok();
        wait_until(|| journal.rows().len() == 2);
        for tag in 0..11 {
            batcher.push(tag as i64, tag).unwrap();
        }
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.run().is_ok(), manual);
        let mut rows = journal.rows();
        rows.sort_by_key(|row| row.tag);
        rows
    });
    assert_eq!(results[0].len(), 13);
    assert_eq!(results[0], results[1]);
}

// ---- P28: the clock

/// Fails if a given clock starts elsewhere, moves by itself, or goes back.
#[test]
fn p28_a_given_clock_moves_by_advance_alone() {
    let journal = Journal::new();
    let batcher = given().max_delay(ns(10)).handler(journal.echo()).build().unwrap();
    assert_eq!((batcher.now(), batcher.next_due()), (Ok(0), Ok(i64::MAX)));
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.next_due(), Ok(10));
    thread::sleep(ms(1));
    batcher.run().unwrap();
    assert_eq!(batcher.now(), Ok(0));
    batcher.advance(9).unwrap();
    batcher.advance(3).unwrap();
    batcher.advance(-5).unwrap();
    batcher.advance(i64::MIN).unwrap();
    assert_eq!(batcher.now(), Ok(9), "backwards is ignored");
    batcher.run().unwrap();
    assert!(journal.batches().is_empty());
    batcher.advance(10).unwrap();
    assert!(journal.batches().is_empty(), "advance runs nothing");
    assert_eq!(batcher.next_due(), Ok(10));
    batcher.run().unwrap();
    assert_eq!(
        (journal.triggers(), journal.batches()[0].age),
        (vec![Trigger::Delay], 10)
    );
}

/// Fails if what is never due counts as due at the end of time: run would not end.
#[test]
fn p28_run_ends_at_the_end_of_time() {
    alone("p28_run_ends_at_the_end_of_time", || {
        // A loop without end is ended, in this process of its own: SIGALRM kills.
        // SAFETY: takes an integer.
        unsafe { libc::alarm(20) };
        let journal = Journal::new();
        let batcher = given()
            .max_delay(ns(10))
            .handler_timeout(ns(10))
            .handler(journal.echo())
            .build()
            .unwrap();
        batcher.push(1, 1).unwrap();
        batcher
            .push_with(2, 2, PushOptions::new().deadline(i64::MAX - 1))
            .unwrap();
        run_at(&batcher, i64::MAX);
        // The last moment there is may be the one before "never".
        assert!(batcher.now().unwrap() >= i64::MAX - 1);
        assert_eq!(batcher.next_due(), Ok(i64::MAX));
        assert_eq!(journal.sizes(), [1]);
        assert_eq!(batcher.stats().unwrap().expired, 1);
        batcher.push(3, 3).unwrap();
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(journal.sizes(), [1, 1]);
    });
}

/// Fails if the descriptor of a given clock fires because real time passes, or not when its own time comes.
#[test]
fn p28_the_descriptor_of_a_given_clock_fires_at_the_given_time() {
    let batcher = given().max_delay(ns(1000)).handler(echo).build().unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    assert!(!readable(fd, 20), "real time is far past 1000 ns");
    batcher.advance(999).unwrap();
    assert!(!readable(fd, 5));
    batcher.advance(1000).unwrap();
    assert!(fires(fd));
    batcher.run().unwrap();
    assert!(!readable(fd, 0));
    batcher
        .push_with(1, 2, PushOptions::new().deadline(1500))
        .unwrap();
    batcher.advance(1500).unwrap();
    assert!(fires(fd), "a deadline has come");
}

/// Fails if a given clock is let into threaded mode, or time can be given to the system's clock.
#[test]
fn p28_a_given_clock_is_for_manual_mode_only() {
    let error = Batcher::builder()
        .clock(Clock::Given)
        .handler(echo)
        .build()
        .unwrap_err();
    assert_eq!(
        (error.status(), error.subject()),
        (Status::INVALID_OPTION, "clock")
    );
    assert!(error.message().contains("manual"), "{error}");
    assert_eq!(
        status(manual().handler(echo).build().unwrap().advance(5)),
        Status::WRONG_MODE
    );
    assert_eq!(
        status(Batcher::builder().handler(echo).build().unwrap().advance(5)),
        Status::WRONG_MODE
    );
}

/// Fails if the batcher's clock is another than CLOCK_MONOTONIC, which deadlines are given on.
#[test]
fn p28_the_clock_is_the_systems_monotonic_clock() {
    let monotonic = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes one timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    for builder in [manual(), Batcher::builder()] {
        let batcher = builder.handler(echo).build().unwrap();
        let before = monotonic();
        let now = batcher.now().unwrap();
        assert!(before <= now && now <= monotonic());
    }
    let batcher = manual()
        .max_delay(Duration::from_secs(1000))
        .handler(echo)
        .build()
        .unwrap();
    let before = batcher.now().unwrap();
    batcher.push(1, 1).unwrap();
    let due = batcher.next_due().unwrap() - 1_000_000_000_000;
    assert!(before <= due && due <= batcher.now().unwrap());
}

// ---- P29: pulling

/// Takes batches until there are no more, answers them, and says how many values that were.
fn pull_batches(batcher: &Batcher) -> u64 {
    let mut values = 0;
    loop {
        match batcher.next_batch(FOREVER) {
            Ok(held) => {
                values += held.len() as u64;
                answer(held).unwrap();
            }
            Err(ended) => {
                assert_eq!(
                    ended,
                    Status::CLOSED,
                    "a puller was not told that the batcher is closed and empty"
                );
                return values;
            }
        }
    }
}

/// Fails if a batch is handed out twice or to nobody, or if a puller sleeps on when there is work or an end.
#[test]
fn p29_several_threads_pull_batches() {
    let _watchdog = watchdog();
    for (round, slots) in [1, 2, 4, 8].into_iter().enumerate() {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .max_in_flight(slots)
            .max_batch_size(8)
            .queue_capacity(64);
        let batcher = batcher
            .push_timeout(FOREVER)
            .max_delay(Duration::from_micros(50 * round as u64));
        let batcher = batcher.on_result(ledger.on_result()).build().unwrap();
        let pulled: u64 = thread::scope(|scope| {
            let pullers: Vec<_> = (0..4).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
            let producers: Vec<_> = (0..3_u64)
                .map(|producer| {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        for tag in producer * 10_000..producer * 10_000 + 700 {
                            batcher.push_int64(1, tag).unwrap();
                            ledger.pushed(tag);
                        }
                    })
                })
                .collect();
            producers
                .into_iter()
                .for_each(|producer| producer.join().unwrap());
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
            pullers.into_iter().map(|puller| puller.join().unwrap()).sum()
        });
        assert_eq!((pulled, ledger.count(Outcome::Ok)), (2100, 2100));
        ledger.assert_exactly_one_result_each();
    }
}

/// Fails if the puller that takes the last batch, or ends it, leaves the others asleep.
#[test]
fn p29_the_end_is_told_to_every_puller() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_in_flight(1)
        .max_delay(FOREVER)
        .build()
        .unwrap();
    for tag in 0..2 {
        batcher.push(1, tag).unwrap();
        batcher.seal().unwrap();
    }
    let first = batcher.next_batch(FOREVER).unwrap();
    thread::scope(|scope| {
        let pullers: Vec<_> = (0..3).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
        let closer = scope.spawn(|| batcher.close(FOREVER));
        // All of them wait for the one slot, or will.
        thread::sleep(ms(20));
        answer(first).unwrap();
        let pulled: u64 = pullers.into_iter().map(|puller| puller.join().unwrap()).sum();
        assert_eq!((pulled, closer.join().unwrap().unwrap().left), (1, 0));
    });
}

/// Fails if a puller that waits for a slot is not told when close discards what it waits for.
#[test]
fn p29_a_discarding_close_is_told_to_every_puller() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_in_flight(1)
        .max_delay(FOREVER)
        .build()
        .unwrap();
    for tag in 0..2 {
        batcher.push(1, tag).unwrap();
        batcher.seal().unwrap();
    }
    let first = batcher.next_batch(FOREVER).unwrap();
    thread::scope(|scope| {
        let pullers: Vec<_> = (0..3).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
        thread::sleep(ms(10));
        assert_eq!(batcher.close(ms(10)).unwrap().left, 2);
        let pulled: u64 = pullers.into_iter().map(|puller| puller.join().unwrap()).sum();
        assert_eq!(pulled, 0);
    });
    assert_eq!(status(answer(first)), Status::TOO_LATE);
}

/// Fails if a caller that gives up takes the watch over the open batch with it, and those who still wait sleep on.
#[test]
fn p29_next_batch_hands_the_watch_over() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().max_delay(ms(300)).build().unwrap();
    batcher.push(1, 1).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(status(batcher.next_batch(ms(100))), Status::TIMEOUT));
        // The first most likely sleeps by now, and watches.
        thread::sleep(Duration::from_millis(30));
        scope.spawn(|| answer(batcher.next_batch(FOREVER).unwrap()).unwrap());
    });
}

/// Fails if a time-out is cut short, or a batch that is not due is handed out.
#[test]
fn p29_next_batch_waits_for_its_time_out() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_delay(FOREVER)
        .close_timeout(ms(1))
        .build()
        .unwrap();
    for value in [false, true] {
        if value {
            batcher.push(1, 1).unwrap();
        }
        let start = Instant::now();
        assert_eq!(status(batcher.next_batch(ms(30))), Status::TIMEOUT);
        assert!(start.elapsed() >= ms(30));
    }
    assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::TIMEOUT);
}

/// Fails if a waiting puller misses a push, a seal, a delay that passes, or a slot that comes free.
#[test]
fn p29_a_waiting_puller_is_woken() {
    let _watchdog = watchdog();
    type Wake = (&'static str, Trigger, fn(Builder) -> Builder, fn(&Batcher));
    let wakes: [Wake; 4] = [
        ("push", Trigger::Idle, |b| b, |b| b.push(1, 1).unwrap()),
        (
            "size",
            Trigger::Size,
            |b| b.max_delay(FOREVER).max_batch_size(1),
            |b| b.push(1, 1).unwrap(),
        ),
        (
            "seal",
            Trigger::Flush,
            |b| b.max_delay(FOREVER),
            |b| {
                b.push(1, 1).unwrap();
                b.seal().unwrap();
            },
        ),
        (
            "delay",
            Trigger::Delay,
            |b| b.max_delay(ms(10)),
            |b| b.push(1, 1).unwrap(),
        ),
    ];
    for (what, trigger, options, wake) in wakes {
        for early in [false, true] {
            let batcher = options(Batcher::builder()).build().unwrap();
            thread::scope(|scope| {
                if early {
                    wake(&batcher);
                }
                let puller = scope.spawn(|| {
                    let held = batcher.next_batch(FOREVER).expect(what);
                    assert_eq!(held.trigger(), trigger, "{what}");
                    assert!(what != "delay" || held.age() >= ms(10), "{:?}", held.age());
                    answer(held).unwrap();
                });
                if !early {
                    thread::sleep(ms(5));
                    wake(&batcher);
                }
                puller.join().unwrap();
            });
        }
    }
    let batcher = Batcher::builder().build().unwrap();
    batcher.push(1, 1).unwrap();
    let held = batcher.next_batch(FOREVER).unwrap();
    batcher.push(1, 2).unwrap();
    thread::scope(|scope| {
        let puller = scope.spawn(|| answer(batcher.next_batch(FOREVER).expect("slot")).unwrap());
        thread::sleep(ms(5));
        answer(held).unwrap();
        puller.join().unwrap();
    });
}

/// Fails if a set of results is handed out twice or to nobody, or if a waiting thread is not told of the end.
#[test]
fn p29_several_threads_pull_results() {
    let _watchdog = watchdog();
    for rounds in 0..5 {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(8)
            .queue_capacity(64)
            .result_capacity(128);
        let batcher = batcher
            .push_timeout(FOREVER)
            .pull_results()
            .handler(echo)
            .build()
            .unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        match batcher.next_results(FOREVER) {
                            Ok(results) => ledger.came(&results),
                            Err(ended) => return assert_eq!(ended, Status::CLOSED),
                        }
                    }
                });
            }
            for tag in 0..2000 {
                batcher.push_int64(1, tag).unwrap();
                ledger.pushed(tag);
                if tag % 50 == rounds {
                    // Whether it still waits is chance; either way it has one result.
                    let _ = batcher.cancel(tag);
                }
            }
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        });
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), 2000);
    }
}

/// Fails if a time-out is cut short, or a waiting thread misses results.
#[test]
fn p29_next_results_waits_for_its_time_out() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().pull_results().handler(echo).build().unwrap();
    let start = Instant::now();
    assert_eq!(status(batcher.next_results(ms(30))), Status::TIMEOUT);
    assert!(start.elapsed() >= ms(30));
    thread::scope(|scope| {
        let puller = scope.spawn(|| {
            batcher
                .next_results(FOREVER)
                .map(|results| results.tags().to_vec())
        });
        thread::sleep(ms(5));
        batcher.push(1, 7).unwrap();
        assert_eq!(puller.join().unwrap(), Ok(vec![7]));
    });
}

/// Fails if one thread cannot be producer, handler and owner of a batcher in turn.
#[test]
fn p29_one_thread_can_do_everything() {
    let _watchdog = watchdog();
    for builder in [manual(), Batcher::builder()] {
        let batcher = builder.pull_results().max_batch_size(4).build().unwrap();
        for tag in 0..12 {
            batcher.push(tag as i64, tag).unwrap();
        }
        for set in 0..3_u64 {
            let held = batcher.next_batch(FOREVER).unwrap();
            assert_eq!(held.tags(), [set * 4, set * 4 + 1, set * 4 + 2, set * 4 + 3]);
            answer(held).unwrap();
            let results = batcher.next_results(FOREVER).unwrap();
            assert_eq!(results.int64s().unwrap()[3], set as i64 * 4 + 3);
        }
        assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::TIMEOUT);
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(status(batcher.next_batch(FOREVER)), Status::CLOSED);
        assert_eq!(status(batcher.next_results(FOREVER)), Status::CLOSED);
    }
}

/// Fails if pulling works on a batcher with handlers, or results can be pulled that go to on_result.
#[test]
fn p29_pulling_is_refused_where_others_take() {
    let batcher = given().handler(echo).build().unwrap();
    assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::WRONG_MODE);
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::WRONG_MODE);
    let error = given()
        .pull_results()
        .on_result(|_| {})
        .handler(echo)
        .build()
        .unwrap_err();
    assert_eq!(
        (error.status(), error.subject()),
        (Status::INVALID_OPTION, "results")
    );
}

// ---- P31: fork

/// Runs `child` in a forked child and answers whether it came to its end; its panics are printed.
fn in_a_fork(child: impl FnOnce()) -> bool {
    // SAFETY: the process runs one test. The child uses the C library as a child of a threaded process may under
    // glibc (malloc and stdio work after fork), and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // Whatever hangs in the child is ended: SIGALRM kills.
        // SAFETY: takes an integer.
        unsafe { libc::alarm(20) };
        let fine = catch_unwind(AssertUnwindSafe(child)).is_ok();
        // SAFETY: ends the child and runs nothing.
        unsafe { libc::_exit(if fine { 42 } else { 1 }) };
    }
    let mut ended = 0;
    // SAFETY: waits for the child above and writes one int.
    let waited = unsafe { libc::waitpid(pid, &raw mut ended, 0) };
    assert_eq!(waited, pid);
    if libc::WIFSIGNALED(ended) {
        eprintln!("the child was ended by signal {}", libc::WTERMSIG(ended));
    }
    libc::WIFEXITED(ended) && libc::WEXITSTATUS(ended) == 42
}

/// Every call on a batcher from before the fork.
fn assert_all_forked(batcher: &Batcher) {
    let explained =
        |result: Result<(), microbatch::Error>| result.map_or_else(|e| e.status(), |()| Status::OK);
    let (taken, pushed) = batcher.push_int64s(&[1, 2], Tags::From(1));
    // Of an owner that the batcher refuses, and counts.
    let object = Object {
        owner: 9,
        word: 1,
        size: 0,
    };
    let answers = [
        ("push", status(batcher.push((), 1))),
        ("push int64", status(batcher.push_int64(1, 1))),
        ("push float64", status(batcher.push_float64(1.0, 1))),
        ("push str", status(batcher.push_str("text", 1))),
        ("push bytes", status(batcher.push_bytes(b"bytes", 1))),
        ("push object", status(batcher.push(object, 1))),
        (
            "push_with",
            status(batcher.push_with(1, 1, PushOptions::new().deadline(5))),
        ),
        (
            "push_owned",
            batcher
                .push_owned("text".to_owned(), 1)
                .map_or_else(|e| e.0, |()| Status::OK),
        ),
        ("push_int64s", status(pushed)),
        (
            "push_values",
            status(batcher.push_values(&[Value::Null], Tags::From(1)).1),
        ),
        ("producer", status(batcher.producer())),
        ("check", explained(batcher.check(1))),
        ("cancel", status(batcher.cancel(1))),
        ("room", status(batcher.room(FOREVER))),
        ("seal", status(batcher.seal())),
        ("flush", status(batcher.flush(FOREVER))),
        ("flush_begin", status(batcher.flush_begin())),
        ("close", status(batcher.close(FOREVER))),
        ("run", status(batcher.run())),
        ("advance", status(batcher.advance(5))),
        ("next_due", status(batcher.next_due())),
        ("now", status(batcher.now())),
        ("fd", explained(batcher.fd().map(drop))),
        ("next_batch", status(batcher.next_batch(FOREVER))),
        ("next_results", status(batcher.next_results(FOREVER))),
        ("stats", status(batcher.stats())),
    ];
    for (call, answer) in answers {
        assert_eq!(answer, Status::FORKED, "{call}");
    }
    assert_eq!(taken, 0);
}

/// A new batcher does a piece of work.
fn assert_works(builder: Builder) {
    let ledger = Ledger::new();
    let batcher = builder
        .max_batch_size(32)
        .handler(echo)
        .on_result(ledger.on_result())
        .build()
        .unwrap();
    for tag in 0..2000 {
        batcher.push_int64(1, tag).unwrap();
        ledger.pushed(tag);
    }
    batcher.flush(FOREVER).unwrap();
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(ledger.count(Outcome::Ok), 2000);
    ledger.assert_exactly_one_result_each();
}

/// Fails if any call in a forked child answers otherwise, waits, or if freeing there hangs or touches the parent.
#[test]
fn p31_every_call_on_an_old_handle_answers_forked() {
    alone("p31_every_call_on_an_old_handle_answers_forked", || {
        let _watchdog = watchdog();
        let builders: [fn() -> Builder; 4] = [
            || Batcher::builder().handler(echo).on_result(|_| {}),
            || Batcher::builder().pull_results(),
            || manual().handler(echo),
            || given().pull_results(),
        ];
        for builder in builders {
            for abandon in [false, true] {
                let batcher = builder().max_delay(FOREVER).close_timeout(ms(1)).build().unwrap();
                batcher.fd().unwrap();
                batcher.push(1, 1).unwrap();
                let mark = batcher.flush_begin().unwrap();
                let producer = batcher.producer().unwrap();
                producer.push(1, 2).unwrap();
                let held = batcher.next_batch(FOREVER).ok();
                let mut batcher = Some(batcher);
                let mut kept = (held, Some(producer));
                assert!(in_a_fork(|| {
                    let batcher = batcher.take().unwrap();
                    assert_all_forked(&batcher);
                    assert_eq!(status(batcher.flush_end(mark, FOREVER)), Status::FORKED);
                    let producer = kept.1.as_ref().unwrap();
                    assert_eq!(status(producer.push(1, 1)), Status::FORKED);
                    assert_eq!(status(producer.push_int64(1, 1)), Status::FORKED);
                    assert_eq!(status(producer.push("text", 1)), Status::FORKED);
                    if let Some(held) = kept.0.take() {
                        assert_eq!(held.value(0), Value::Int64(1));
                        assert_eq!(status(held.complete()), Status::FORKED);
                    }
                    drop(kept.1.take());
                    if abandon { batcher.abandon() } else { drop(batcher) }
                }));
                // The parent goes on where it was.
                let (batcher, (held, producer)) = (batcher.unwrap(), kept);
                producer.unwrap().push(1, 3).unwrap();
                if let Some(held) = held {
                    answer(held).unwrap();
                    batcher.seal().unwrap();
                    answer(batcher.next_batch(FOREVER).unwrap()).unwrap();
                }
                assert!(batcher.stats().unwrap().balanced());
                batcher.push(1, 4).unwrap();
                let _ = batcher.flush(ms(1));
                assert_eq!(batcher.stats().unwrap().accepted, 4);
            }
        }
    });
}

/// Fails if a call in the child takes a lock that a thread of the parent held at the fork.
#[test]
fn p31_a_child_of_a_busy_process_waits_for_no_lock() {
    alone("p31_a_child_of_a_busy_process_waits_for_no_lock", || {
        let _watchdog = watchdog();
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(4)
            .queue_capacity(64)
            .push_timeout(FOREVER);
        let batcher = Arc::new(
            batcher
                .handler(echo)
                .on_result(ledger.on_result())
                .build()
                .unwrap(),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..3_u64)
            .map(|producer| {
                let (batcher, ledger, stop) = (batcher.clone(), ledger.clone(), stop.clone());
                thread::spawn(move || {
                    for tag in producer << 32.. {
                        if stop.load(SeqCst) {
                            return;
                        }
                        batcher.push(1, tag).unwrap();
                        ledger.pushed(tag);
                        if tag % 16 == 0 {
                            batcher.stats().unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..40 {
            let producer = batcher.producer().unwrap();
            producer.push_int64(1, u64::MAX).unwrap();
            ledger.pushed(u64::MAX);
            let mut producer = Some(producer);
            assert!(in_a_fork(|| {
                assert_all_forked(&batcher);
                assert_eq!(
                    status(producer.as_ref().unwrap().push_int64(1, 1)),
                    Status::FORKED
                );
                drop(producer.take());
                // SAFETY: the child frees the batcher that it shares with threads it does not have; nobody there uses
                // it again.
                drop(unsafe { std::ptr::read(Arc::as_ptr(&batcher)) });
            }));
        }
        stop.store(true, SeqCst);
        busy.into_iter().for_each(|producer| producer.join().unwrap());
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().ok);
    });
}

/// Fails if a new batcher in a child, or in a child of that, does not work: with threads, fences, clocks, descriptors.
#[test]
fn p31_new_batchers_work_in_the_child() {
    alone("p31_new_batchers_work_in_the_child", || {
        let _watchdog = watchdog();
        let before = Batcher::builder().handler(echo).build().unwrap();
        for tag in 0..1000 {
            before.push_int64(1, tag).unwrap();
        }
        assert!(in_a_fork(|| {
            assert_works(Batcher::builder().threads(2));
            assert_works(manual());
            let own = Batcher::builder().handler(echo).build().unwrap();
            assert!(in_a_fork(|| {
                assert_all_forked(&own);
                assert_all_forked(&before);
                assert_works(Batcher::builder());
            }));
            own.push(1, 1).unwrap();
            own.flush(FOREVER).unwrap();
            let timed = manual().max_delay(ms(5)).handler(echo).build().unwrap();
            let fd = timed.fd().unwrap();
            timed.push(1, 1).unwrap();
            assert!(readable(fd, -1));
        }));
        assert_works(Batcher::builder());
        before.flush(FOREVER).unwrap();
        assert_eq!(before.stats().unwrap().ok, 1000);
    });
}

/// Fails if a callback of an old batcher runs in the child: its results would come twice.
#[test]
fn p31_no_callback_runs_in_the_child() {
    alone("p31_no_callback_runs_in_the_child", || {
        let _watchdog = watchdog();
        // SAFETY: a fresh page that parent and children share.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: zeroed memory that is never unmapped.
        let calls: &'static AtomicU64 = unsafe { &*page.cast::<AtomicU64>() };
        let count = move || {
            calls.fetch_add(1, SeqCst);
        };
        for (threaded, abandon) in [(false, false), (false, true), (true, false), (true, true)] {
            calls.store(0, SeqCst);
            let kept = Kept::default();
            let keep = kept.handler();
            let builder = if threaded { Batcher::builder() } else { manual() };
            let builder = builder
                .max_delay(FOREVER)
                .close_timeout(ms(1))
                .on_object_release(7, move |_| count());
            let batcher = builder
                .handler(keep)
                .on_result(move |_| count())
                .log(move |_, _| count());
            let batcher = batcher.build().unwrap();
            let object = Object {
                owner: 7,
                word: 1,
                size: 0,
            };
            batcher.push(object, 1).unwrap();
            batcher.seal().unwrap();
            let _ = batcher.run();
            wait_until(|| kept.len() == 1);
            batcher.push(object, 2).unwrap();
            let mut batcher = Some(batcher);
            assert!(in_a_fork(|| {
                let batcher = batcher.take().unwrap();
                if abandon {
                    batcher.abandon()
                } else {
                    drop(batcher)
                }
                drop(kept.take());
            }));
            assert_eq!(calls.load(SeqCst), 0, "threaded {threaded}");
            drop(kept.take());
            drop(batcher);
            // The drain at the end may have had the second batch handled, that is kept, as well.
            kept.0.lock().unwrap().clear();
            assert_eq!(
                calls.load(SeqCst),
                2 + 2,
                "threaded {threaded}: two sets of results, two objects"
            );
        }
    });
}

// ---- P32: threads as guests

/// What SigBlk says of a thread.
fn blocked(task: &str) -> u64 {
    let page = std::fs::read_to_string(format!("/proc/self/task/{task}/status")).unwrap();
    let mask = page
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Fails if an engine thread can be picked to run a signal handler of the host, has no name, or std's stack size.
#[test]
fn p32_engine_threads_block_all_signals_and_have_names_and_a_stack() {
    alone(
        "p32_engine_threads_block_all_signals_and_have_names_and_a_stack",
        || {
            let _watchdog = watchdog();
            // SAFETY: takes nothing.
            let me = unsafe { libc::gettid() }.to_string();
            let own = blocked(&me);
            let stacks: Arc<Mutex<Vec<usize>>> = Arc::default();
            let seen = stacks.clone();
            let look = move || {
                let mut attributes = std::mem::MaybeUninit::uninit();
                // SAFETY: has no preconditions.
                let me = unsafe { libc::pthread_self() };
                // SAFETY: the calling thread; initializes the attributes.
                unsafe { libc::pthread_getattr_np(me, attributes.as_mut_ptr()) };
                let mut stack = 0;
                // SAFETY: initialized above.
                unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut stack) };
                // SAFETY: initialized above.
                unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
                seen.lock().unwrap().push(stack);
            };
            let look_too = look.clone();
            let batcher = Batcher::builder().threads(3).handler(move |batch| {
                look();
                echo(batch)
            });
            let batcher = batcher.on_result(move |_| look_too()).build().unwrap();
            batcher.push(1, 1).unwrap();
            batcher.flush(FOREVER).unwrap();
            let threads = engine_threads();
            assert_eq!(threads.len(), 4, "{threads:?}");
            // SIGKILL and SIGSTOP cannot be blocked; the C library keeps signals 32 and 33 to itself.
            let blockable = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1) | 1_u64 << 31 | 1 << 32);
            for (task, name) in &threads {
                assert_eq!(blocked(task) & blockable, blockable, "{name}");
            }
            assert_eq!(blocked(&me), own, "the host's own mask is as it was");
            let stacks = stacks.lock().unwrap();
            assert!(
                stacks.len() == 2 && stacks.iter().all(|stack| *stack == 1 << 20),
                "1 MiB, not std's: {stacks:?}"
            );
        },
    );
}

/// Who ran the host's signal handler: a thread id, once seen in an engine thread.
static STORM_HIT: AtomicI32 = AtomicI32::new(0);
static STORM_COUNT: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_a_storm(_: i32) {
    // SAFETY: takes nothing; safe in a signal handler.
    let task = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
    STORM_COUNT.fetch_add(1, SeqCst);
    let mut name = [0_u8; 16];
    // SAFETY: writes 16 bytes; a plain system call, safe in a signal handler.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr(), 0_usize, 0_usize, 0_usize) };
    if name.starts_with(b"mb-") {
        STORM_HIT.store(task, SeqCst);
    }
}

/// Fails if an interrupted system call of the host's threads ends a wait early or loses a wake, or if an engine thread
/// takes a signal.
#[test]
fn p32_a_storm_of_signals_changes_nothing() {
    alone("p32_a_storm_of_signals_changes_nothing", || {
        let _watchdog = watchdog();
        // Without SA_RESTART: every system call that can be interrupted is.
        // SAFETY: a zeroed sigaction is a valid one, with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = in_a_storm as *const () as usize;
        // SAFETY: installs a handler that only makes calls that are safe there.
        let set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 200,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: reads one itimerval.
        let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        for round in 0..20 {
            let ledger = Ledger::new();
            let batcher = Batcher::builder()
                .threads(2)
                .max_batch_size(8)
                .queue_capacity(32)
                .push_timeout(FOREVER);
            let batcher = batcher.max_delay(Duration::from_micros(round * 20));
            let batcher = batcher
                .handler(echo)
                .on_result(ledger.on_result())
                .build()
                .unwrap();
            thread::scope(|scope| {
                for producer in 0..3_u64 {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        for tag in producer * 1000..producer * 1000 + 150 {
                            batcher.push(1, tag).unwrap();
                            ledger.pushed(tag);
                        }
                    });
                }
            });
            batcher.flush(FOREVER).unwrap();
            let start = Instant::now();
            let pulled = Batcher::builder().build().unwrap();
            assert_eq!(status(pulled.next_batch(ms(5))), Status::TIMEOUT);
            assert!(start.elapsed() >= ms(5), "a signal cut a wait short");
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
            ledger.assert_exactly_one_result_each();
            assert_eq!(ledger.count(Outcome::Ok), 450);
        }
        wait_until(|| STORM_COUNT.load(SeqCst) > 100);
        assert_eq!(
            STORM_HIT.load(SeqCst),
            0,
            "an engine thread ran the host's handler"
        );
    });
}

/// The disposition of every signal.
fn dispositions() -> Vec<usize> {
    (1..=64)
        .map(|signal| {
            // SAFETY: a zeroed sigaction is a valid one.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: asks only; writes one sigaction. For 32 and 33 it answers an error and writes nothing.
            unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
            action.sa_sigaction
        })
        .collect()
}

/// Fails if the library installs a signal handler, or writes to any descriptor, its own included.
#[test]
fn p32_the_library_installs_no_signal_handler_and_writes_nothing() {
    alone(
        "p32_the_library_installs_no_signal_handler_and_writes_nothing",
        || {
            let _watchdog = watchdog();
            let before = dispositions();
            let calls = || {
                let page = std::fs::read_to_string("/proc/self/io").unwrap();
                page.lines()
                    .find(|line| line.starts_with("syscw"))
                    .unwrap()
                    .to_owned()
            };
            let written = calls();
            for threaded in [true, false] {
                let builder = if threaded { Batcher::builder() } else { manual() };
                let batcher = builder.max_batch_size(4).handler(|batch| {
                    batch.fail(0, 1, "on purpose")?;
                    Err(Failure::new(2, "all of it"))
                });
                let batcher = batcher
                    .on_result(|_| std::panic::resume_unwind(Box::new("unheard")))
                    .build()
                    .unwrap();
                batcher.fd().unwrap();
                for tag in 0..100 {
                    batcher.push("text", tag).unwrap();
                }
                let _ = batcher.cancel(5);
                batcher.flush(FOREVER).unwrap();
                let _ = batcher.close(ms(1));
                assert_eq!(status(batcher.push(1, 1)), Status::CLOSED);
                drop(batcher);
                assert!(Batcher::builder().threads(9999).handler(echo).build().is_err());
            }
            assert_eq!(calls(), written, "system calls that write");
            assert_eq!(dispositions(), before);
        },
    );
}

/// Fails if a batcher belongs to the thread that made it.
#[test]
fn p32_a_batcher_may_be_made_used_and_freed_by_different_threads() {
    let _watchdog = watchdog();
    let batcher = thread::spawn(|| Batcher::builder().pull_results().handler(echo).build().unwrap())
        .join()
        .unwrap();
    let batcher = Arc::new(batcher);
    let mut tags = HashSet::new();
    for tag in 0..20 {
        let pusher = batcher.clone();
        thread::spawn(move || pusher.push(1, tag).unwrap())
            .join()
            .unwrap();
        let puller = batcher.clone();
        let results = thread::spawn(move || puller.next_results(FOREVER).unwrap())
            .join()
            .unwrap();
        assert_eq!(
            (results.outcome(0), results.handled(0)),
            (Outcome::Ok, Handled::Yes)
        );
        tags.extend(thread::spawn(move || results.tags().to_vec()).join().unwrap());
    }
    assert_eq!(tags.len(), 20);
    thread::spawn(move || drop(batcher)).join().unwrap();
}
