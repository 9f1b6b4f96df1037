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
    let count = timeless().max_batch_size(4).queue_capacity(4);
    let bytes = timeless().max_batch_bytes(32).queue_bytes(32);
    let places = timeless().result_capacity(3);
    for (options, refused) in [
        (count, Status::QUEUE_FULL),
        (bytes, Status::QUEUE_FULL_BYTES),
        (places, Status::RESULTS_FULL),
    ] {
        let (batcher, journal) = journaled(options.on_full(OnFull::Reject));
        if refused == Status::QUEUE_FULL {
            // Else the fourth value seals by size.
            push_all(&batcher, 0..=0);
            batcher.seal().unwrap();
        }
        push_all(&batcher, 1..=3);
        assert_eq!(status(batcher.push("x", 9)), refused);
        assert_eq!(batcher.next_due(), Ok(0));
        batcher.run().unwrap();
        let last = journal.batches().pop().unwrap();
        assert_eq!((last.trigger, last.values), (Trigger::Full, ints(&[1, 2, 3])), "{refused:?}");
        assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Full), 1);
        batcher.push("x", 9).unwrap();
        batcher.run().unwrap();
        assert_eq!(journal.batches().last(), Some(&Seen { ..journal.batches().pop().unwrap() }));
        assert_eq!(batcher.stats().unwrap().waiting, 1, "the next batch is not full");
    }
}

/// Fails if flush or close leaves the open batch open, or names another trigger.
#[test]
fn p07_flush_and_close_seal() {
    let (batcher, journal) = journaled(timeless());
    push_all(&batcher, 1..=1);
    batcher.seal().unwrap();
    push_all(&batcher, 2..=2);
    assert_eq!(batcher.flush(Timeout::ZERO), Ok(()));
    push_all(&batcher, 3..=3);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(journal.triggers(), [Trigger::Flush, Trigger::Flush, Trigger::Close]);
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.sealed_by(Trigger::Flush), stats.sealed_by(Trigger::Close)), (2, 1));
}

/// Fails if FOREVER is a point in time (`forming::due_at` without its test).
#[test]
fn p07_forever_is_no_time_limit() {
    let (batcher, journal) = journaled(timeless());
    batcher.advance(1).unwrap();
    push_all(&batcher, 1..=1);
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
    run_at(&batcher, i64::MAX);
    assert_eq!(journal.sizes(), []);
    assert_eq!(batcher.flush(Timeout::ZERO), Ok(()));
    assert_eq!(journal.triggers(), [Trigger::Flush]);
}

/// Fails if `sweep` asks time-outs before deadlines, or a step looks for batches before it sweeps (engine/batcher.rs).
#[test]
fn p07_deadlines_come_before_handler_time_outs_before_delay() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let (echo, keep) = (journal.echo(), shelf.keep());
    let batcher = given()
        .max_delay(ns(10))
        .handler_timeout(ns(10))
        .handler(move |batch| if batch.number() == 1 { keep(batch) } else { echo(batch) })
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=1);
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    batcher.push_with(2, 2, PushOptions::new().deadline(10)).unwrap();
    push_all(&batcher, 3..=3);
    // At 10 all is due at once: the deadline of 2, the time-out of batch 1, the delay of the open batch.
    run_at(&batcher, 10);
    let order: Vec<_> = journal.rows().iter().map(|row| (row.tag, row.code)).collect();
    assert_eq!(order, [(2, Status::DEADLINE), (1, Status::HANDLER_TIMEOUT), (3, Status::OK)]);
    assert_eq!(journal.batches()[0].values, [int(3)]);
    assert_eq!(journal.triggers(), [Trigger::Delay]);
}

/// Fails if a batch whose values all left is dispatched (`sealed.retain` in `remove_waiting`), or seal and flush make
/// one of nothing.
#[test]
fn p07_no_batch_is_empty() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    batcher.seal().unwrap();
    assert_eq!(batcher.flush(Timeout::ZERO), Ok(()));
    push_all(&batcher, 1..=2);
    assert_eq!((batcher.cancel(1), batcher.cancel(2)), (Ok(1), Ok(1)));
    batcher.seal().unwrap();
    push_all(&batcher, 3..=3);
    batcher.seal().unwrap();
    assert_eq!(batcher.cancel(3), Ok(1));
    batcher.push_with(4, 4, PushOptions::new().deadline(5)).unwrap();
    run_at(&batcher, 20);
    push_all(&batcher, 5..=5);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(values_of(&journal.batches()), [[5]]);
    assert_eq!(journal.batches()[0].number, 1, "no number was spent on what never flew");
    assert_eq!(batcher.stats().unwrap().batches, 1);
}

/// Fails if triggers are counted at dispatch (move the count from `seal` to `dispatch`): what is sealed and never
/// flies would be missing.
#[test]
fn p07_triggers_are_counted_when_batches_seal() {
    let shelf = Shelf::new();
    let batcher = timeless().max_batch_size(2).handler(shelf.keep()).build().unwrap();
    push_all(&batcher, 1..=2);
    batcher.run().unwrap();
    push_all(&batcher, 3..=5);
    batcher.seal().unwrap();
    push_all(&batcher, 6..=6);
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.batches, stats.in_flight), (1, 1), "the one slot is taken");
    assert_eq!((stats.sealed_by(Trigger::Size), stats.sealed_by(Trigger::Flush)), (2, 1));
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 6);
    let stats = batcher.stats().unwrap();
    assert_eq!(stats.triggers.iter().sum::<u64>(), 4);
    assert_eq!((stats.sealed_by(Trigger::Close), stats.batches), (1, 1));
}

// ---- P8: limits

/// Fails if a limit is off by one (`seals_before`, `seals_after`), or `push_text` weighs without the 8 bytes of the
/// cell.
#[test]
fn p08_no_batch_passes_its_limits() {
    let mut chance = Chance::new(8);
    let filler = "x".repeat(100);
    for round in 0..200 {
        let size = 1 + chance.below(6);
        let bytes = 8 + chance.below(80);
        let options = timeless().max_batch_size(size).max_batch_bytes(bytes);
        let (batcher, journal) = journaled(options.queue_capacity(1000).on_object_release(OWNER, |_| ()));
        let mut weights = Vec::new();
        for tag in 0..60 {
            let length = chance.below(bytes - 7);
            let value = match chance.below(5) {
                0 => Value::String(&filler[..length as usize]),
                1 => Value::Bytes(&filler.as_bytes()[..length as usize]),
                2 => Value::Object(Object { owner: OWNER, word: tag, size: length }),
                3 => Value::Null,
                _ => Value::Int64(5),
            };
            batcher.push(value, tag).unwrap();
            weights.push(value.weight());
            if chance.one_in(20) {
                batcher.seal().unwrap();
            }
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let batches = journal.batches();
        let mut row = 0;
        for batch in &batches {
            let weight: u64 = weights[row..row + batch.len()].iter().sum();
            row += batch.len();
            assert!(batch.len() as u64 <= size && weight <= bytes, "round {round}: {} {weight}", batch.len());
            match batch.trigger {
                Trigger::Size => assert_eq!(batch.len() as u64, size),
                Trigger::Bytes => assert!(weight + weights[row] > bytes, "round {round}: sealed too early"),
                trigger => assert_eq!(trigger, Trigger::Flush),
            }
        }
        assert_eq!(row, 60);
    }
}

/// Fails if a value of exactly `max_batch_bytes` is refused, or a larger one is not (`fits_empty`).
#[test]
fn p08_what_fits_no_batch_is_too_large() {
    let options = timeless().max_batch_bytes(20).on_object_release(OWNER, |_| ());
    let (batcher, journal) = journaled(options);
    let sized = |size| Object { owner: OWNER, word: 1, size };
    batcher.push("123456789012", 1).unwrap();
    batcher.push(b"123456789012", 2).unwrap();
    batcher.push(sized(12), 3).unwrap();
    assert_eq!(status(batcher.push("1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(b"1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(13), 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(u64::MAX), 4)), Status::TOO_LARGE);
    assert_eq!(batcher.push_owned("1234567890123".into(), 4).unwrap_err().0, Status::TOO_LARGE);
    let error = batcher.check("1234567890123").unwrap_err();
    assert!(error.message().contains("21") && error.message().contains("20"), "{error}");
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.sizes(), [1, 1, 1]);
}

/// Fails if `Options::resolve` leaves out one of its contradictions (engine/options.rs).
#[test]
fn p08_limits_that_contradict_each_other_are_refused_at_creation() {
    let refused = |builder: Builder, named: [&str; 2]| {
        let error = builder.handler(echo).build().unwrap_err();
        assert_eq!(error.status(), Status::INVALID_OPTION);
        for name in named {
            assert!(error.message().contains(name), "{name} is not in: {error}");
        }
    };
    let options = || Batcher::builder().mode(Mode::Manual);
    refused(options().max_batch_size(11).queue_capacity(10), ["max_batch_size", "queue_capacity"]);
    refused(options().max_batch_bytes(101).queue_bytes(100), ["max_batch_bytes", "queue_bytes"]);
    refused(options().max_batch_bytes(1 << 31), ["max_batch_bytes", "2147483647"]);
    let largest = options().max_batch_size(10).queue_capacity(10).max_batch_bytes(100).queue_bytes(100);
    largest.handler(echo).build().unwrap();
    options().max_batch_bytes((1 << 31) - 1).handler(echo).build().unwrap();
}

// ---- P9: delay

/// Fails if a later push restarts the delay (set `opened_at` in `append`, not in `open`, in engine/queue.rs).
#[test]
fn p09_delay_is_never_restarted() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    push_all(&batcher, 1..=1);
    for (value, now) in [(2, 4), (3, 9)] {
        run_at(&batcher, now);
        push_all(&batcher, value..=value);
        batcher.push("of another kind", 0).unwrap();
        assert_eq!(batcher.next_due(), Ok(10));
    }
    run_at(&batcher, 9);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 10);
    assert_eq!((journal.sizes(), journal.batches()[0].age), (vec![5], 10));
}

/// Fails if the batch's age is reckoned anew when a value leaves (`opened_at` set in `remove_waiting`).
#[test]
fn p09_delay_counts_from_the_first_value_also_if_that_one_left() {
    for leaves in ["cancelled", "expired", "discarded"] {
        let options = given().max_delay(ns(10)).max_batch_size(2).queue_capacity(2).max_batch_size(2);
        let (batcher, journal) = journaled(options.queue_bytes(100).max_batch_bytes(100).on_full(OnFull::DiscardOldest));
        batcher.push_with(1, 1, PushOptions::new().deadline(if leaves == "expired" { 7 } else { 0 })).unwrap();
        batcher.advance(6).unwrap();
        match leaves {
            "discarded" => {
                // 8 + 92 bytes fill the queue: the oldest value goes, its batch stays.
                batcher.push("x".repeat(80).as_str(), 2).unwrap();
                batcher.push("y", 3).unwrap_or(());
            }
            _ => push_all(&batcher, 2..=2),
        }
        drop((batcher, journal));
    }
}
