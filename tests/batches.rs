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
        assert_eq!(
            (last.trigger, last.values),
            (Trigger::Full, ints(&[1, 2, 3])),
            "{refused:?}"
        );
        assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Full), 1);
        batcher.push("x", 9).unwrap();
        batcher.run().unwrap();
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
    assert_eq!(
        journal.triggers(),
        [Trigger::Flush, Trigger::Flush, Trigger::Close]
    );
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.sealed_by(Trigger::Flush), stats.sealed_by(Trigger::Close)),
        (2, 1)
    );
}

/// Fails if FOREVER is a point in time (`forming::due_at` without its test).
#[test]
fn p07_forever_is_no_time_limit() {
    let (batcher, journal) = journaled(timeless());
    push_all(&batcher, 1..=1);
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
    run_at(&batcher, i64::MAX - 1);
    assert_eq!(journal.sizes(), []);
    assert_eq!(batcher.flush(Timeout::ZERO), Ok(()));
    assert_eq!(journal.triggers(), [Trigger::Flush]);
}

/// Fails if the end of time is when everything without a limit comes due (`now` compared with FOREVER): a host that
/// advances to `next_due` gets there.
#[test]
fn p07_nothing_without_a_limit_is_due_at_the_end_of_time() {
    let _watchdog = watchdog();
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let batcher = timeless()
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=1);
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    push_all(&batcher, 2..=2);
    run_at(&batcher, batcher.next_due().unwrap());
    assert_eq!((shelf.len(), journal.rows().len()), (1, 0));
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    assert_eq!(finish(shelf.take()), Status::OK);
    batcher.run().unwrap();
    assert_eq!(finish(shelf.take()), Status::OK);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Close), 1);
}

/// Fails if `sweep` asks time-outs before deadlines, or `next_step` looks for batches before it sweeps.
#[test]
fn p07_deadlines_come_before_handler_time_outs_before_delay() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let (echo, keep) = (journal.echo(), shelf.keep());
    let batcher = given()
        .max_delay(ns(10))
        .handler_timeout(ns(10))
        .max_in_flight(2)
        .handler(move |batch| {
            if batch.number() == 1 {
                keep(batch)
            } else {
                echo(batch)
            }
        })
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
    assert_eq!(
        order,
        [
            (2, Status::DEADLINE),
            (1, Status::HANDLER_TIMEOUT),
            (3, Status::OK)
        ]
    );
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
    assert_eq!(
        journal.batches()[0].number,
        1,
        "no number was spent on what never flew"
    );
    assert_eq!(batcher.stats().unwrap().batches, 1);
}

/// Fails if triggers are counted at dispatch (move the count from `seal` to `dispatch`): what is sealed and never
/// flies would be missing.
#[test]
fn p07_triggers_are_counted_when_batches_seal() {
    let shelf = Shelf::new();
    let batcher = timeless()
        .max_batch_size(2)
        .handler(shelf.keep())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.run().unwrap();
    push_all(&batcher, 3..=5);
    batcher.seal().unwrap();
    push_all(&batcher, 6..=6);
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.batches, stats.in_flight), (1, 1), "the one slot is taken");
    assert_eq!(
        (stats.sealed_by(Trigger::Size), stats.sealed_by(Trigger::Flush)),
        (2, 1)
    );
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
        let (batcher, journal) = journaled(options.queue_bytes(1 << 20).on_object_release(OWNER, |_| ()));
        let mut weights = Vec::new();
        for tag in 0..60 {
            let length = chance.below(bytes - 7);
            let value = match chance.below(5) {
                0 => Value::String(&filler[..length as usize]),
                1 => Value::Bytes(&filler.as_bytes()[..length as usize]),
                2 => Value::Object(Object {
                    owner: OWNER,
                    word: tag,
                    size: length,
                }),
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
            assert!(
                batch.len() as u64 <= size && weight <= bytes,
                "round {round}: {} {weight}",
                batch.len()
            );
            match batch.trigger {
                Trigger::Size => assert_eq!(batch.len() as u64, size),
                Trigger::Bytes => assert!(weight + weights[row] > bytes, "round {round}: sealed too early"),
                trigger => assert_eq!(trigger, Trigger::Flush),
            }
        }
        assert_eq!(row, 60);
    }
}

/// Fails if short text in the midst of a batch of text passes a limit, seals too early or lands in a wrong place: without
/// `extra` or `set_limit` in `put_text_inside`, where `put_short_text` leaves `offsets_filled` alone, or where `Short`
/// copies its ends the wrong way round.
#[test]
fn p08_short_text_stays_within_the_limits_and_arrives_as_it_was() {
    let mut chance = Chance::new(88);
    let letters: String = ('a'..='z').cycle().take(200).collect();
    for round in 0..120 {
        let size = 1 + chance.below(80);
        let bytes = 60 + chance.below(1500);
        let (batcher, journal) = journaled(
            timeless()
                .max_batch_size(size)
                .max_batch_bytes(bytes)
                .queue_capacity(1 << 20)
                .queue_bytes(1 << 30),
        );
        let mut pushed = Vec::new();
        let mut tag = 0;
        let mut text = true;
        for _ in 0..1500 {
            let longest = if chance.one_in(30) { 52 } else { 36 };
            let from = chance.below(100) as usize;
            let piece = &letters[from..from + chance.below(longest + 1) as usize];
            text = text != chance.one_in(100);
            let value = match chance.below([300, 40, 12][round % 3]) {
                0 => Value::Null,
                1 => Value::Int64(3),
                _ if text => Value::String(piece),
                _ => Value::Bytes(piece.as_bytes()),
            };
            tag += 1 + u64::from(chance.one_in(50));
            batcher.push(value, tag).unwrap();
            pushed.push((tag, Copied::from(value), value.weight()));
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let mut row = 0;
        for batch in &journal.batches() {
            let those = &pushed[row..row + batch.len()];
            row += batch.len();
            let weight: u64 = those.iter().map(|(_, _, weight)| weight).sum();
            assert!(
                batch.len() as u64 <= size && weight <= bytes,
                "round {round}: {weight}"
            );
            match batch.trigger {
                Trigger::Size => assert_eq!(batch.len() as u64, size),
                Trigger::Bytes => assert!(weight + pushed[row].2 > bytes, "round {round}: sealed too early"),
                trigger => assert_eq!(trigger, Trigger::Flush),
            }
            assert!(batch.tags.iter().eq(those.iter().map(|(tag, _, _)| tag)));
            assert!(
                batch.values.iter().eq(those.iter().map(|(_, value, _)| value)),
                "round {round}"
            );
        }
        assert_eq!(row, pushed.len());
    }
}

/// Fails if a value of exactly `max_batch_bytes` is refused, or a larger one is not (`fits_empty`).
#[test]
fn p08_what_fits_no_batch_is_too_large() {
    let options = timeless().max_batch_bytes(20).on_object_release(OWNER, |_| ());
    let (batcher, journal) = journaled(options);
    let sized = |size| Object {
        owner: OWNER,
        word: 1,
        size,
    };
    batcher.push("123456789012", 1).unwrap();
    batcher.push(b"123456789012", 2).unwrap();
    batcher.push(sized(12), 3).unwrap();
    assert_eq!(status(batcher.push("1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(b"1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(13), 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(u64::MAX), 4)), Status::TOO_LARGE);
    assert_eq!(
        batcher.push_owned("1234567890123".into(), 4).unwrap_err().0,
        Status::TOO_LARGE
    );
    let error = batcher.check("1234567890123").unwrap_err();
    assert!(
        error.message().contains("21") && error.message().contains("20"),
        "{error}"
    );
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
    refused(
        options().max_batch_size(11).queue_capacity(10),
        ["max_batch_size", "queue_capacity"],
    );
    refused(
        options().max_batch_bytes(101).queue_bytes(100),
        ["max_batch_bytes", "queue_bytes"],
    );
    refused(
        options().max_batch_bytes(1 << 31),
        ["max_batch_bytes", "2147483647"],
    );
    let largest = options()
        .max_batch_size(10)
        .queue_capacity(10)
        .max_batch_bytes(100)
        .queue_bytes(100);
    largest.handler(echo).build().unwrap();
    options()
        .max_batch_bytes((1 << 31) - 1)
        .handler(echo)
        .build()
        .unwrap();
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
        batcher
            .push_with("with a deadline", 0, PushOptions::new().deadline(100))
            .unwrap();
        assert_eq!(batcher.next_due(), Ok(10));
    }
    run_at(&batcher, 9);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 10);
    assert_eq!((journal.sizes(), journal.batches()[0].age), (vec![7], 10));
}

/// Fails if the batch's age is reckoned anew when a value leaves (`opened_at` set in `remove_waiting`).
#[test]
fn p09_delay_counts_from_the_first_value_also_if_that_one_left() {
    for deadline in [0, 7] {
        let (batcher, journal) = journaled(given().max_delay(ns(10)));
        batcher
            .push_with(1, 1, PushOptions::new().deadline(deadline))
            .unwrap();
        run_at(&batcher, 6);
        push_all(&batcher, 2..=2);
        run_at(&batcher, 7);
        if deadline == 0 {
            assert_eq!(batcher.cancel(1), Ok(1));
        }
        assert_eq!(batcher.stats().unwrap().waiting, 1, "the first value left");
        run_at(&batcher, 9);
        assert_eq!(journal.sizes(), []);
        run_at(&batcher, 10);
        assert_eq!(
            (values_of(&journal.batches()), journal.batches()[0].age),
            (vec![vec![2]], 10)
        );
    }
}

/// Fails if what is spun out is taken off the delay (a batch due at `wake_at`), or slept out as without the option.
#[test]
fn p09_a_delay_that_is_spun_out_is_not_shorter() {
    let _alive = watchdog();
    let delay = Duration::from_millis(20);
    // Nanoseconds of the processor that the calling thread has had.
    fn spent() -> u64 {
        let stats = fs::read_to_string("/proc/thread-self/schedstat").expect("what the thread has had");
        stats
            .split(' ')
            .next()
            .and_then(|first| first.parse().ok())
            .expect("a number")
    }
    for (spin, least) in [(delay / 2, 0), (delay * 3, 10_000_000)] {
        let (handled, batches) = mpsc::channel();
        let batcher = Batcher::builder()
            .max_delay(delay)
            .delay_spin(spin)
            .handler(move |batch| {
                let _ = handled.send((batch.trigger(), batch.age(), Instant::now(), spent()));
                echo(batch)
            })
            .build()
            .expect("a batcher");
        let mut had = Vec::new();
        for _ in 0..50 {
            let before = Instant::now();
            push_all(&batcher, [1]);
            let (trigger, age, at, spent) = batches.recv().expect("the batch");
            had.push(spent);
            assert_eq!(trigger, Trigger::Delay);
            assert!(
                age >= delay && at.duration_since(before) >= delay,
                "sealed too early"
            );
        }
        // Slept out, fifty delays take two or three milliseconds of the processor; spun out, what the thread can get of a second.
        assert!(had[49] - had[0] >= least, "nothing was spun out");
    }
}

/// Fails if a thread that spins out a delay hears of nothing else (`hint` not looked at), keeps the watch (`watch_due` left
/// as it is), or does not see the end.
#[test]
fn p07_whoever_spins_out_a_delay_takes_what_comes_meanwhile() {
    let _alive = watchdog();
    let hour = Duration::from_secs(3600);
    for threads in [1, 3] {
        let journal = Journal::new();
        let batcher = Batcher::builder()
            .threads(threads)
            .max_batch_size(2)
            .max_delay(hour)
            .delay_spin(hour)
            .handler(journal.echo())
            .build()
            .expect("a batcher");
        for round in 0..20 {
            push_all(&batcher, [1]);
            if round % 4 == 1 {
                thread::yield_now();
            }
            // The value that fills the batch, a flush, and a deadline that leaves nothing to watch.
            match round % 3 {
                0 => push_all(&batcher, [2]),
                1 => batcher.seal().expect("a seal"),
                _ => assert_eq!(batcher.cancel(1), Ok(1)),
            }
            batcher.flush(Timeout::FOREVER).expect("a flush");
        }
        push_all(&batcher, [1]);
        batcher.close(Timeout::FOREVER).expect("a close");
        assert_eq!(journal.sizes().iter().sum::<usize>(), 7 * 2 + 7 + 1);
    }
}

/// Fails if a busy input starves the delay: a due batch that only a quiet moment seals (`open_due` asked when the
/// last push is old).
/// The batch behind a full one is opened together with the seal: its age still counts from its first value.
#[test]
fn p09_delay_counts_from_the_first_value_behind_a_full_batch() {
    let _alive = watchdog();
    let delay = Duration::from_millis(60);
    let (handled, batches) = mpsc::channel();
    let batcher = Batcher::builder()
        .max_batch_size(2)
        .max_delay(delay)
        .handler(move |batch| {
            let age = batch.age();
            let _ = handled.send((batch.len(), age, Instant::now()));
            echo(batch)
        })
        .build()
        .expect("a batcher");
    for round in 0..5 {
        push_all(&batcher, [1, 2]);
        let (len, ..) = batches.recv().expect("the full batch");
        assert_eq!(len, 2);
        thread::sleep(delay * round / 3);
        let before = Instant::now();
        push_all(&batcher, [3]);
        let (len, age, at) = batches.recv().expect("the batch behind it");
        assert_eq!(len, 1);
        assert!(
            at.duration_since(before) >= delay,
            "round {round}: sealed too early"
        );
        assert!(age >= delay, "round {round}: {age:?} old");
    }
}

#[test]
fn p09_a_busy_input_never_starves_the_delay() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    for now in 0..110 {
        batcher.advance(now).unwrap();
        push_all(&batcher, now..=now);
        batcher.run().unwrap();
    }
    let batches = journal.batches();
    assert_eq!(batches.len(), 10);
    for batch in &batches {
        assert_eq!((batch.trigger, batch.age, batch.len()), (Trigger::Delay, 10, 11));
    }
}

// ---- P10: slots

/// Fails if a due batch is sealed without a free slot (`take_open` that does not look at `in_flight`).
#[test]
fn p10_batches_grow_under_load_and_shrink_when_idle() {
    for options in [given(), given().max_delay(ns(10))] {
        let (journal, shelf) = (Journal::new(), Shelf::new());
        let (saw, keep) = (journal.clone(), shelf.keep());
        let handler = move |batch: &mut Batch<'_>| {
            saw.saw(batch);
            keep(batch)
        };
        let batcher = options.handler(handler).build().unwrap();
        push_all(&batcher, 1..=1);
        run_at(&batcher, 10);
        for value in 2..=6 {
            push_all(&batcher, value..=value);
            run_at(&batcher, 10 * value);
        }
        assert_eq!(journal.sizes(), [1], "the slot is taken: what is due fills");
        assert_eq!(batcher.stats().unwrap().sealed_by(journal.triggers()[0]), 1);
        assert_eq!(batcher.next_due(), Ok(i64::MAX));
        finish(shelf.take());
        assert_eq!(
            batcher.next_due(),
            Ok(60),
            "the slot is free and the batch long due"
        );
        batcher.run().unwrap();
        finish(shelf.take());
        push_all(&batcher, 7..=7);
        run_at(&batcher, 80);
        assert_eq!(journal.sizes(), [1, 5, 1]);
    }
}

/// Fails if SIZE, BYTES, FLUSH or CLOSE waits for a slot, or a sealed batch is overtaken (`push_front` in `seal`).
#[test]
fn p10_sealed_batches_wait_in_order() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let (saw, keep) = (journal.clone(), shelf.keep());
    let handler = move |batch: &mut Batch<'_>| {
        saw.saw(batch);
        keep(batch)
    };
    let batcher = timeless()
        .max_batch_size(3)
        .max_batch_bytes(32)
        .handler(handler)
        .build()
        .unwrap();
    push_all(&batcher, 0..=0);
    batcher.seal().unwrap();
    batcher.run().unwrap();
    push_all(&batcher, 1..=4);
    batcher.push("a long enough text", 5).unwrap();
    batcher.seal().unwrap();
    push_all(&batcher, 6..=6);
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    let sealed = batcher.stats().unwrap();
    for (trigger, count) in [
        (Trigger::Size, 1),
        (Trigger::Bytes, 1),
        (Trigger::Flush, 2),
        (Trigger::Close, 1),
    ] {
        assert_eq!(sealed.sealed_by(trigger), count, "{trigger}");
    }
    while shelf.len() > 0 {
        assert_eq!(batcher.stats().unwrap().in_flight, 1);
        finish(shelf.take());
        batcher.run().unwrap();
    }
    let tags: Vec<_> = journal
        .batches()
        .into_iter()
        .map(|batch| (batch.trigger, batch.tags))
        .collect();
    let expected = [
        (Trigger::Flush, vec![0]),
        (Trigger::Size, vec![1, 2, 3]),
        (Trigger::Bytes, vec![4]),
        (Trigger::Flush, vec![5]),
        (Trigger::Close, vec![6]),
    ];
    assert_eq!(tags, expected);
}

/// Fails if a sealed batch or a due one flies without a slot (`take_sealed` and `take_open` that do not look at
/// `max_in_flight`).
#[test]
fn p10_max_in_flight_batches_fly_at_once() {
    for (options, last) in [(given(), vec![4, 5]), (given().max_batch_size(1), vec![4])] {
        let shelf = Shelf::new();
        let batcher = options.max_in_flight(3).handler(shelf.keep()).build().unwrap();
        for value in 1..=5 {
            push_all(&batcher, value..=value);
            batcher.run().unwrap();
        }
        let stats = batcher.stats().unwrap();
        assert_eq!((shelf.len(), stats.in_flight, stats.waiting), (3, 3, 2));
        finish(shelf.take_tag(2));
        batcher.run().unwrap();
        assert_eq!(
            (shelf.len(), batcher.stats().unwrap().in_flight),
            (3, 3),
            "any one's end frees a slot"
        );
        assert_eq!(shelf.take_tag(4).tags(), last);
    }
}

/// Fails if an expired batch that is kept holds its slot (`cut_flight`), or its late completion frees another.
#[test]
fn p10_expiry_gives_the_slot_of_a_kept_batch_back() {
    let shelf = Shelf::new();
    let batcher = given()
        .handler_timeout(ns(10))
        .handler(shelf.keep())
        .build()
        .unwrap();
    push_all(&batcher, 1..=1);
    batcher.run().unwrap();
    push_all(&batcher, 2..=2);
    run_at(&batcher, 9);
    assert_eq!(shelf.len(), 1);
    run_at(&batcher, 10);
    assert_eq!((shelf.len(), batcher.stats().unwrap().in_flight), (2, 1));
    assert_eq!(finish(shelf.take()), Status::TOO_LATE);
    push_all(&batcher, 3..=3);
    batcher.run().unwrap();
    assert_eq!(
        (shelf.len(), batcher.stats().unwrap().in_flight),
        (1, 1),
        "the slot was given back once"
    );
}

/// Fails if the expiry of a batch whose handler is still inside frees its slot (`fix_flight` that drops the flight
/// although it is `running`).
#[test]
fn p10_a_synchronous_handler_keeps_its_slot_until_it_returns() {
    let _watchdog = watchdog();
    let (journal, door) = (Journal::new(), Door::new());
    let (echo, stop) = (journal.echo(), door.clone());
    let handler = move |batch: &mut Batch<'_>| {
        if batch.number() == 1 {
            stop.stop();
        }
        echo(batch)
    };
    let options = given().handler_timeout(ns(10)).handler(handler);
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, 1..=1);
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        let inside = scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        push_all(&batcher, 2..=2);
        run_at(&batcher, 10);
        assert_eq!(
            journal.row(1).outcome,
            Outcome::Expired,
            "its result does not wait"
        );
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.in_flight, stats.stuck, stats.waiting), (1, 1, 1));
        assert_eq!(batcher.next_due(), Ok(i64::MAX));
        door.open();
        inside.join().unwrap();
        batcher.run().unwrap();
        assert_eq!(
            (journal.row(2).outcome, batcher.stats().unwrap().in_flight),
            (Outcome::Ok, 0)
        );
    });
}

/// Fails if a slot counts as free without a thread that could take the batch: sealing at the push, or by the time
/// thread.
#[test]
fn p10_a_batch_is_sealed_only_for_a_thread_that_takes_it() {
    let _watchdog = watchdog();
    let (journal, door) = (Journal::new(), Door::new());
    let (echo, stop) = (journal.echo(), door.clone());
    let handler = move |batch: &mut Batch<'_>| {
        stop.stop();
        echo(batch)
    };
    let batcher = Batcher::builder()
        .threads(1)
        .max_in_flight(4)
        .handler(handler)
        .build()
        .unwrap();
    let _opener = door.opens_at_the_end();
    push_all(&batcher, 1..=1);
    door.wait_for(1);
    push_all(&batcher, 2..=5);
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.sealed_by(Trigger::Idle), stats.waiting),
        (1, 4),
        "three slots, but no idle thread"
    );
    door.open();
    batcher.flush(FOREVER).unwrap();
    assert_eq!(values_of(&journal.batches()), [vec![1], vec![2, 3, 4, 5]]);

    // Pulled: only a caller in next_batch can take a batch.
    for (options, run) in [(Batcher::builder(), Status::WRONG_MODE), (given(), Status::OK)] {
        let batcher = options.max_in_flight(4).build().unwrap();
        push_all(&batcher, 1..=3);
        assert_eq!(status(batcher.run()), run);
        assert_eq!(batcher.stats().unwrap().waiting, 3);
        let batch = batcher.next_batch(FOREVER).unwrap();
        assert_eq!(
            (batch.trigger(), batch.int64s()),
            (Trigger::Idle, Some(&[1, 2, 3][..]))
        );
        finish(batch);
    }
}

// ---- P11: order

/// Fails if sealed batches are taken from the wrong end, or a text push goes another way than an int64 push.
#[test]
fn p11_values_of_one_thread_keep_their_order() {
    let mut chance = Chance::new(11);
    for _ in 0..50 {
        let options = given()
            .max_batch_size(1 + chance.below(9))
            .max_batch_bytes(64)
            .queue_bytes(1 << 20)
            .max_delay(ns(chance.below(5)));
        let (batcher, journal) = journaled(options);
        for tag in 0..200 {
            match chance.below(5) {
                0 => batcher.push_str("a text", tag).unwrap(),
                1 => batcher
                    .push_with("later", tag, PushOptions::new().deadline(1000))
                    .unwrap(),
                2 => batcher.push_owned("owned".to_owned(), tag).unwrap(),
                3 => assert_eq!(batcher.push_float64s(&[1.0], Tags::From(tag)), (1, Ok(()))),
                _ => batcher.push_int64(1, tag).unwrap(),
            }
            if chance.one_in(9) {
                run_at(&batcher, tag as i64);
            }
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let tags: Vec<_> = journal
            .batches()
            .into_iter()
            .flat_map(|batch| batch.tags)
            .collect();
        assert_eq!(tags, (0..200).collect::<Vec<_>>());
        let tags: Vec<_> = journal.rows().into_iter().map(|row| row.tag).collect();
        assert_eq!(tags, (0..200).collect::<Vec<_>>());
    }
}

/// Fails if pushes of different threads wait in places of their own and are put together later (a push that returned
/// before another began could then come after it).
#[test]
fn p11_a_push_that_returned_comes_before_one_that_begins() {
    let _watchdog = watchdog();
    const THREADS: u64 = 4;
    const VALUES: u64 = 8_000;
    let journal = Journal::new();
    let options = Batcher::builder()
        .threads(3)
        .max_batch_size(64)
        .queue_capacity(100_000);
    let batcher = options
        .max_delay(Duration::from_millis(5))
        .handler(journal.echo())
        .build()
        .unwrap();
    // The threads take turns, a few values each: every push returns before the next begins.
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for mine in 0..THREADS {
            let (next, batcher) = (&next, &batcher);
            scope.spawn(move || {
                loop {
                    match next.load(SeqCst) {
                        VALUES => return,
                        value if value / 3 % THREADS == mine => {
                            batcher.push_int64(value as i64, value).unwrap();
                            next.store(value + 1, SeqCst);
                        }
                        _ => thread::yield_now(),
                    }
                }
            });
        }
    });
    batcher.flush(FOREVER).unwrap();
    let mut batches = journal.batches();
    batches.sort_by_key(|batch| batch.number);
    let tags: Vec<_> = batches.into_iter().flat_map(|batch| batch.tags).collect();
    assert_eq!(tags, (0..VALUES).collect::<Vec<_>>(), "in order of dispatch");
}

/// Fails if a producer handle swaps its groups, or its values overtake each other between the handle and the batch.
#[test]
fn p11_a_producer_handle_keeps_the_order_of_its_thread() {
    let _watchdog = watchdog();
    const PRODUCERS: u64 = 4;
    const VALUES: u64 = 5_000;
    let journal = Journal::new();
    let options = Batcher::builder().max_batch_size(256).queue_capacity(100_000);
    let batcher = options.handler(journal.echo()).build().unwrap();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let handle = batcher.producer().unwrap();
            scope.spawn(move || {
                for value in 0..VALUES {
                    // Text does not wait in the handle, and numbers may, many at a time.
                    match value % 100 {
                        0 => handle.push("text", producer << 32 | value).unwrap(),
                        1..50 => handle.push_float64(0.5, producer << 32 | value).unwrap(),
                        _ => handle.push_int64(1, producer << 32 | value).unwrap(),
                    }
                }
            });
        }
    });
    batcher.flush(FOREVER).unwrap();
    let mut batches = journal.batches();
    batches.sort_by_key(|batch| batch.number);
    for producer in 0..PRODUCERS {
        let tags = batches
            .iter()
            .flat_map(|batch| &batch.tags)
            .filter(|tag| *tag >> 32 == producer);
        let values: Vec<_> = tags.map(|tag| tag & 0xffff_ffff).collect();
        assert_eq!(values, (0..VALUES).collect::<Vec<_>>());
    }
}

// ---- P12: columns

/// Cells that stand nowhere in memory unless a push put them there: `seed` tells tests apart.
fn cell(seed: u64, row: u64) -> i64 {
    (seed << 56 | 0x00a5_c3e1_b700_0000 | row) as i64
}

/// Where in the memory of this process the cells of rows 0 to `rows` stand one after another, as a debugger would
/// look for them: in everything that can be written to, whoever it belongs to.
fn places_in_memory(seed: u64, rows: u64) -> Vec<usize> {
    // One look at a time: another's window would hold copies.
    static LOOKING: Mutex<()> = Mutex::new(());
    let _looking = LOOKING.lock();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut window = vec![0u8; 1 << 20];
    let own = window.as_ptr() as usize..window.as_ptr() as usize + window.len();
    let overlap = 8 * rows as usize;
    let mut places = Vec::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, flags) = (fields.next().unwrap(), fields.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let (mut at, end) = (
            usize::from_str_radix(start, 16).unwrap(),
            usize::from_str_radix(end, 16).unwrap(),
        );
        if !flags.starts_with("rw") {
            continue;
        }
        while at + overlap <= end {
            if own.contains(&at) {
                at = own.end.next_multiple_of(8);
                continue;
            }
            let stop = if at < own.start { end.min(own.start) } else { end };
            let length = window.len().min(stop - at);
            // A thread that ends takes its memory along: what cannot be read holds nothing.
            let Ok(read) = memory.read_at(&mut window[..length], at as u64) else {
                break;
            };
            let word = |row: usize| u64::from_ne_bytes(window[8 * row..8 * row + 8].try_into().unwrap());
            let first = cell(seed, 0) as u64;
            for row in (0..read / 8).filter(|row| word(*row) == first) {
                let rest = 1..rows as usize;
                if 8 * (row + rows as usize) <= read
                    && rest
                        .into_iter()
                        .all(|i| word(row + i) == cell(seed, i as u64) as u64)
                {
                    places.push(at + 8 * row);
                }
            }
            window[..read].fill(0);
            at += if length == window.len() {
                length - overlap
            } else {
                length.max(8)
            };
        }
    }
    places
}

/// Fails if the values are copied anywhere between the push and the handler, as by a `dispatch` that gathers every
/// batch: the copy would stand at a second place, and the handler would read that one.
#[test]
fn p12_the_handler_reads_the_very_address_the_push_wrote() {
    let _watchdog = watchdog();
    const ROWS: u64 = 100;
    for seed in 1..=8 {
        let (floats, threaded, own) = (seed & 1 != 0, seed & 2 != 0, seed & 4 != 0);
        let seen = Notes::new();
        let in_handler = seen.clone();
        let handler = move |batch: &mut Batch<'_>| {
            let address = match floats {
                true => batch.float64s().unwrap().as_ptr() as usize,
                false => batch.int64s().unwrap().as_ptr() as usize,
            };
            in_handler.add((address, places_in_memory(seed, ROWS)));
            Ok(())
        };
        let mode = if threaded { Batcher::builder() } else { given() };
        let options = match (own, floats) {
            (false, _) => mode.handler(handler),
            (true, true) => mode.handler(echo).handler_for(Kind::Float64, handler),
            (true, false) => mode.handler(echo).handler_for(Kind::Int64, handler),
        };
        let batcher = options.max_delay(FOREVER).build().unwrap();
        for row in 0..ROWS {
            match floats {
                true => batcher
                    .push_float64(f64::from_bits(cell(seed, row) as u64), row)
                    .unwrap(),
                false => batcher.push_int64(cell(seed, row), row).unwrap(),
            }
        }
        let written = places_in_memory(seed, ROWS);
        assert_eq!(written.len(), 1, "the push wrote them to one place");
        batcher.flush(FOREVER).unwrap();
        assert_eq!(
            seen.all(),
            [(written[0], written)],
            "and there the handler reads them"
        );
    }
}

/// Fails if `next_batch` or `keep` hands out a copy.
#[test]
fn p12_a_held_batch_is_read_where_the_push_wrote_it() {
    const ROWS: u64 = 100;
    let shelf = Shelf::new();
    for (seed, options) in (11..).zip([timeless(), timeless().handler(shelf.keep())]) {
        let batcher = options.build().unwrap();
        for row in 0..ROWS {
            batcher.push_int64(cell(seed, row), row).unwrap();
        }
        let written = places_in_memory(seed, ROWS);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        let batch = batcher.next_batch(Timeout::ZERO).unwrap_or_else(|_| shelf.take());
        assert_eq!(written, [batch.int64s().unwrap().as_ptr() as usize]);
        assert_eq!(places_in_memory(seed, ROWS), written);
        finish(batch);
    }
}

/// Fails if columns are not laid out for Arrow: `ALIGN` below 64, or rows that are not rounded up to a multiple of 64
/// (engine/column.rs).
#[test]
fn p12_columns_are_aligned_to_64_bytes() {
    for size in [1, 7, 64, 100, 1000] {
        let seen = Notes::new();
        let (in_handler, in_on_result) = (seen.clone(), seen.clone());
        let handler = move |batch: &mut Batch<'_>| {
            let values = match batch.kind() {
                Some(Kind::Int64) => batch.int64s().unwrap().as_ptr() as usize,
                Some(Kind::Float64) => batch.float64s().unwrap().as_ptr() as usize,
                _ => batch.value(0).as_str().unwrap().as_ptr() as usize,
            };
            in_handler.add(values);
            in_handler.add(batch.tags().as_ptr() as usize);
            in_handler.add(batch.kinds().as_ptr() as usize);
            Ok(batch.set_int64s(&vec![1; batch.len()])?)
        };
        let on_result =
            move |results: &Results<'_>| in_on_result.add(results.int64s().unwrap().as_ptr() as usize);
        let options = timeless().max_batch_size(size).handler(handler);
        let batcher = options.on_result(on_result).build().unwrap();
        for value in [Value::Int64(1), Value::Float64(1.0), Value::String("text")] {
            for _ in 0..size {
                batcher.push(value, 0).unwrap();
            }
            batcher.run().unwrap();
        }
        let addresses = seen.all();
        assert_eq!(addresses.len(), 12);
        assert!(
            addresses.iter().all(|address| address % 64 == 0),
            "{addresses:x?} at size {size}"
        );
    }
}

/// Fails if strings are not one buffer in row order (`put_text`).
#[test]
fn p12_strings_are_offsets_into_one_buffer() {
    let seen = Notes::new();
    let notes = seen.clone();
    let handler = move |batch: &mut Batch<'_>| {
        for value in batch.values() {
            let text = value.as_str().unwrap();
            notes.add((text.as_ptr() as usize, text.len()));
        }
        Ok(())
    };
    let batcher = timeless().handler(handler).build().unwrap();
    for row in 0..200usize {
        batcher.push(&"x".repeat(1 + row % 50), row as u64).unwrap();
    }
    batcher.flush(Timeout::ZERO).unwrap();
    let texts = seen.all();
    assert_eq!(texts.len(), 200);
    assert!(texts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
}

/// Fails if a batch of one kind is not a typed array, or one of several is (`classify`).
#[test]
fn p12_a_batch_of_one_kind_is_a_typed_array() {
    let seen = Notes::new();
    let notes = seen.clone();
    let handler = move |batch: &mut Batch<'_>| {
        let floats = batch.float64s().map(<[f64]>::to_vec);
        notes.add((
            batch.kind(),
            batch.int64s().map(<[i64]>::to_vec),
            floats,
            batch.kinds().to_vec(),
        ));
        Ok(())
    };
    let batcher = timeless().handler(handler).build().unwrap();
    for values in [
        vec![Value::Int64(1), Value::Int64(2)],
        vec![Value::Float64(1.5)],
        vec![Value::Int64(1), Value::Float64(1.5)],
        vec![Value::Int64(1), Value::Null],
        vec![Value::Null, Value::Null],
        vec![Value::String("a")],
    ] {
        assert_eq!(
            batcher.push_values(&values, Tags::From(0)),
            (values.len(), Ok(()))
        );
        batcher.flush(Timeout::ZERO).unwrap();
    }
    let expected = [
        (Some(Kind::Int64), Some(vec![1, 2]), None, vec![2, 2]),
        (Some(Kind::Float64), None, Some(vec![1.5]), vec![3]),
        (None, None, None, vec![2, 3]),
        (None, None, None, vec![2, 0]),
        (Some(Kind::Null), None, None, vec![0, 0]),
        (Some(Kind::String), None, None, vec![4]),
    ];
    assert_eq!(seen.all(), expected);
}

/// Fails if `close_up` leaves a column behind: texts without `move_down`, `owned` or `sizes` with their old rows.
#[test]
fn p12_removed_rows_are_closed_up_before_dispatch() {
    let mut chance = Chance::new(12);
    for round in 0..300 {
        let (batcher, journal) = journaled(timeless().on_object_release(OWNER, |_| ()));
        let mut waiting = Vec::new();
        for tag in 0..1 + chance.below(30) {
            let length = chance.below(12) as usize;
            let letters = &"abcdefghijkl"[..length];
            let value = match chance.below(6) {
                0 => Value::Int64(tag as i64),
                1 => Value::Bytes(letters.as_bytes()),
                2 => Value::Object(Object {
                    owner: OWNER,
                    word: tag,
                    size: chance.below(3),
                }),
                3 => Value::Null,
                _ => Value::String(letters),
            };
            let deadline = if chance.one_in(5) { 5 } else { 0 };
            if value.as_str().is_some() && deadline == 0 && chance.one_in(2) {
                batcher.push_owned(letters.to_owned(), tag).unwrap();
            } else {
                batcher
                    .push_with(value, tag, PushOptions::new().deadline(deadline))
                    .unwrap();
            }
            waiting.push((tag, Copied::from(value), value.weight(), deadline));
        }
        if chance.one_in(2) {
            batcher.seal().unwrap();
        }
        waiting.retain(|(tag, ..)| !chance.one_in(3) || batcher.cancel(*tag) != Ok(1));
        batcher.advance(5).unwrap();
        if chance.one_in(2) {
            // Deadlines are swept before the batch goes, here together with it.
            batcher.seal().unwrap();
        }
        waiting.retain(|(_, _, _, deadline)| *deadline == 0);
        batcher.flush(Timeout::ZERO).unwrap();
        let batches = journal.batches();
        if waiting.is_empty() {
            assert_eq!(batches, [], "round {round}");
            continue;
        }
        let (tags, values): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|(tag, value, ..)| (tag, value)).unzip();
        assert_eq!(
            (&batches[0].tags, &batches[0].values),
            (&tags, &values),
            "round {round}"
        );
        for (tag, value) in tags.into_iter().zip(values) {
            // An object's declared size is that of the push; a result has none.
            let answered = match value {
                Copied::Object(object) => Copied::Object(Object { size: 0, ..object }),
                other => other,
            };
            assert_eq!(journal.row(tag).value, answered, "round {round}");
        }
    }
}

/// Fails if one kind is not found again after the others left (`classify` before `close_up` in `dispatch`).
#[test]
fn p12_what_is_left_of_one_kind_is_a_typed_array() {
    let (batcher, journal) = journaled(timeless());
    batcher.push(1, 1).unwrap();
    batcher.push("gone", 2).unwrap();
    batcher.push(3, 3).unwrap();
    assert_eq!(batcher.cancel(2), Ok(1));
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        (journal.batches()[0].kind, values_of(&journal.batches())),
        (Some(Kind::Int64), vec![vec![1, 3]])
    );
}

/// Fails if a removed row gives its place in the batch back (rows counted by `live` in `push_locked`), or keeps its
/// place in the queue (`core.left` in `remove_waiting`).
#[test]
fn p12_removed_rows_count_for_size_and_bytes_and_not_for_the_queue() {
    let options = timeless()
        .max_batch_size(3)
        .queue_capacity(3)
        .max_batch_bytes(100)
        .queue_bytes(100);
    let (batcher, journal) = journaled(options.on_full(OnFull::Reject));
    push_all(&batcher, 1..=2);
    assert_eq!(batcher.cancel(1), Ok(1));
    assert_eq!(
        (
            batcher.stats().unwrap().waiting,
            batcher.stats().unwrap().waiting_bytes
        ),
        (1, 8)
    );
    push_all(&batcher, 3..=3);
    batcher.run().unwrap();
    assert_eq!(values_of(&journal.batches()), [[2, 3]], "sealed by its third row");
    assert_eq!(journal.triggers(), [Trigger::Size]);

    batcher.push("x".repeat(70).as_str(), 4).unwrap();
    push_all(&batcher, 5..=5);
    assert_eq!(batcher.cancel(4), Ok(1));
    batcher.push("y".repeat(20).as_str(), 6).unwrap();
    assert_eq!(
        batcher.stats().unwrap().sealed_by(Trigger::Bytes),
        1,
        "78 + 8 + 28 bytes, removed ones included"
    );
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.sizes(), [2, 1, 1]);
}

/// Fails if an emptied open batch lives on (`drop_open`): the next value would inherit its age.
#[test]
fn p12_a_batch_left_empty_ends_its_age() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    push_all(&batcher, 1..=1);
    assert_eq!(batcher.cancel(1), Ok(1));
    assert_eq!(batcher.next_due(), Ok(0), "the cancelled value's result is ready");
    run_at(&batcher, 8);
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
    push_all(&batcher, 2..=2);
    assert_eq!(batcher.next_due(), Ok(18));
    run_at(&batcher, 10);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 18);
    assert_eq!(
        (values_of(&journal.batches()), journal.batches()[0].age),
        (vec![vec![2]], 10)
    );
}

// ---- P13: handlers per kind

/// One handler for each of these kinds, and a default; each answers with its name and what it got.
fn named_handlers(builder: Builder, kinds: &[Kind], notes: &Notes<(&'static str, Seen)>) -> Builder {
    let named = |name: &'static str| {
        let notes = notes.clone();
        move |batch: &mut Batch<'_>| {
            notes.add((name, Seen::from(&*batch)));
            for row in 0..batch.len() {
                batch.set(row, format!("{name} {:?}", batch.value(row)).as_str())?;
            }
            Ok(())
        }
    };
    let builder = kinds.iter().fold(builder, |builder, kind| {
        builder.handler_for(*kind, named(kind.name()))
    });
    builder.handler(named("default"))
}

/// Fails if parts run in another order than that of kind codes with the default last (`kinds.chain(default)` in
/// `Inner::split`), or the default runs once for each kind.
#[test]
fn p13_handlers_run_in_order_of_kind_code_and_the_default_once() {
    let (notes, journal) = (Notes::new(), Journal::new());
    let options = timeless()
        .on_object_release(OWNER, |_| ())
        .on_result(journal.on_result());
    let options = named_handlers(options, &[Kind::String, Kind::Int64, Kind::Float64], &notes);
    let batcher = options.build().unwrap();
    let values = [
        Value::String("a"),
        Value::Null,
        Value::Float64(1.5),
        Value::Int64(1),
        Value::Bool(true),
        Value::Int64(2),
        Value::Bytes(b"b"),
        Value::String("c"),
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (8, Ok(())));
    batcher.flush(Timeout::ZERO).unwrap();
    let parts: Vec<_> = notes
        .all()
        .into_iter()
        .map(|(name, part)| (name, part.tags))
        .collect();
    let expected = [
        ("int64", vec![3, 5]),
        ("float64", vec![2]),
        ("string", vec![0, 7]),
        ("default", vec![1, 4, 6]),
    ];
    assert_eq!(parts, expected);
    for (name, part) in notes.all() {
        assert_eq!(
            (part.number, part.trigger),
            (1, Trigger::Flush),
            "parts are of one batch"
        );
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        assert_eq!(part.kind, kind.copied());
        for (tag, value) in part.tags.iter().zip(&part.values) {
            assert_eq!(*value, Copied::from(values[*tag as usize]));
        }
    }
    // P13 also: the results are merged back in the order of the pushes.
    let sets = journal.sets();
    assert_eq!((sets.len(), sets[0].tags()), (1, (0..8).collect()));
    for (row, value) in sets[0].rows.iter().zip(values) {
        let name = match value.kind() {
            kind @ (Kind::String | Kind::Int64 | Kind::Float64) => kind.name(),
            _ => "default",
        };
        assert_eq!(row.value, text(&format!("{name} {value:?}")));
    }
}

/// Fails if a batch of one kind goes to the default although its kind has a handler (`split`).
#[test]
fn p13_a_batch_of_one_kind_goes_whole_to_its_handler() {
    let notes = Notes::new();
    let batcher = named_handlers(timeless(), &[Kind::Int64], &notes)
        .build()
        .unwrap();
    for value in [Value::Int64(1), Value::Float64(1.0)] {
        batcher.push(value, 1).unwrap();
        batcher.push(value, 2).unwrap();
        batcher.flush(Timeout::ZERO).unwrap();
    }
    batcher.push("a", 1).unwrap();
    batcher.push(1.0, 2).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let names: Vec<_> = notes
        .all()
        .into_iter()
        .map(|(name, part)| (name, part.kind))
        .collect();
    let expected = [
        ("int64", Some(Kind::Int64)),
        ("default", Some(Kind::Float64)),
        ("default", None),
    ];
    assert_eq!(names, expected);
}

/// Fails if a part's failure fails its batch (`settle_from` that takes one part's outcome for all).
#[test]
fn p13_a_failing_part_fails_only_its_own_values() {
    let journal = Journal::new();
    let panics = |_: &mut Batch<'_>| -> Result<(), Failure> { panic!("int64s are out of luck") };
    let fails = |batch: &mut Batch<'_>| {
        batch.set(0, "set before it failed")?;
        Err(Failure::new(41, "no strings today"))
    };
    let batcher = timeless()
        .handler_for(Kind::Int64, panics)
        .handler_for(Kind::String, fails)
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    let values = [
        Value::String("a"),
        Value::Float64(2.5),
        Value::Int64(1),
        Value::String("b"),
        Value::Null,
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (5, Ok(())));
    batcher.flush(Timeout::ZERO).unwrap();
    let rows: Vec<_> = journal
        .rows()
        .into_iter()
        .map(|row| (row.code, row.message))
        .collect();
    let ok = || (Status::OK, String::new());
    let string = || (Status::from_code(41), "no strings today".to_owned());
    let expected = [
        string(),
        ok(),
        (Status::HANDLER_FAILED, "int64s are out of luck".to_owned()),
        string(),
        ok(),
    ];
    assert_eq!(rows, expected);
    assert_eq!(journal.row(1).value, Copied::from(Value::Float64(2.5)));
    assert!(journal.rows().iter().all(|row| row.handled == Handled::Yes));
}

/// Fails if a mixed batch takes a slot for each part, or gives it back before its last part is done.
#[test]
fn p13_a_mixed_batch_takes_one_slot_until_its_last_part_is_done() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let batcher = given()
        .max_in_flight(2)
        .handler_for(Kind::Int64, shelf.keep())
        .handler_for(Kind::String, journal.echo())
        .handler_for(Kind::Float64, shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, value) in [Value::Float64(1.0), Value::String("a"), Value::Int64(2)]
        .iter()
        .enumerate()
    {
        batcher.push(*value, tag as u64).unwrap();
    }
    batcher.run().unwrap();
    assert_eq!(
        journal.batches()[0].tags,
        [1],
        "a kept part does not keep the next from running"
    );
    assert_eq!((shelf.len(), batcher.stats().unwrap().in_flight), (2, 1));
    assert_eq!(finish(shelf.take_tag(0)), Status::OK);
    batcher.run().unwrap();
    assert_eq!(
        (journal.rows().len(), batcher.stats().unwrap().in_flight),
        (0, 1),
        "one part is out still"
    );
    assert_eq!(
        batcher.stats().unwrap().outstanding,
        3,
        "an outcome counts when its batch's set is fixed"
    );
    assert_eq!(finish(shelf.take_tag(2)), Status::OK);
    batcher.run().unwrap();
    assert_eq!(journal.sets()[0].tags(), [0, 1, 2]);
    assert_eq!((journal.sets().len(), batcher.stats().unwrap().in_flight), (1, 0));
}

/// Fails if a kind without a handler is taken (`accepts`).
#[test]
fn p13_a_kind_without_a_handler_is_refused() {
    let batcher = timeless()
        .handler_for(Kind::Int64, echo)
        .handler_for(Kind::Bytes, echo)
        .build()
        .unwrap();
    let object = Object {
        owner: OWNER,
        word: 1,
        size: 0,
    };
    for value in [
        Value::Null,
        Value::Bool(true),
        Value::Float64(1.0),
        Value::String("1"),
    ] {
        assert_eq!(status(batcher.push(value, 1)), Status::NO_HANDLER);
        assert_eq!(
            status(batcher.push_with(value, 1, PushOptions::new().deadline(5))),
            Status::NO_HANDLER
        );
        let error = batcher.check(value).unwrap_err();
        assert!(error.message().contains(value.kind().name()), "{error}");
    }
    assert_eq!(status(batcher.push_float64(1.0, 1)), Status::NO_HANDLER);
    assert_eq!(status(batcher.push_str("1", 1)), Status::NO_HANDLER);
    assert_eq!(
        batcher.push_float64s(&[1.0], Tags::From(0)),
        (0, Err(Status::NO_HANDLER))
    );
    assert_eq!(
        status(batcher.push(object, 1)),
        Status::WRONG_OWNER,
        "asked first"
    );
    batcher.push(1, 1).unwrap();
    batcher.push(b"1", 1).unwrap();
    assert_eq!(batcher.stats().unwrap().accepted, 2);
}

/// Fails if a batcher without handlers refuses a kind, or splits what is pulled.
#[test]
fn p13_a_batcher_without_handlers_is_pulled_and_takes_every_kind() {
    let batcher = timeless().on_object_release(OWNER, |_| ()).build().unwrap();
    let object = Object {
        owner: OWNER,
        word: 1,
        size: 0,
    };
    let values = [
        Value::Object(object),
        Value::Bytes(b"1"),
        Value::String("1"),
        Value::Float64(1.0),
        Value::Int64(1),
        Value::Bool(true),
        Value::Null,
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (7, Ok(())));
    batcher.seal().unwrap();
    assert_eq!(
        batcher
            .next_batch(Timeout::ZERO)
            .unwrap()
            .values()
            .collect::<Vec<_>>(),
        values
    );
    let with_handler = timeless().handler(echo).build().unwrap();
    assert_eq!(status(with_handler.next_batch(Timeout::ZERO)), Status::WRONG_MODE);
}

/// Fails if a pulled batcher starts handler threads (`Inner::start`).
#[test]
fn p13_a_batcher_without_handlers_starts_no_handler_threads() {
    let _watchdog = watchdog();
    if !alone("p13_a_batcher_without_handlers_starts_no_handler_threads") {
        return;
    }
    let handler_threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.trim() == "mb-handler").count()
    };
    let pulled = Batcher::builder().threads(3).build();
    if let Ok(_batcher) = &pulled {
        assert_eq!(handler_threads(), 0);
    }
    let _pulled = Batcher::builder().build().unwrap();
    assert_eq!(handler_threads(), 0);
    let _handled = Batcher::builder().threads(3).handler(echo).build().unwrap();
    common::wait_until(|| handler_threads() == 3);
}

// ---- P14: map

/// What numpy's array_split does, in its own words: sizes of `batches` parts of `count` values.
fn array_split(count: usize, batches: usize) -> Vec<usize> {
    let extras = count % batches;
    let sizes = vec![count / batches + 1; extras]
        .into_iter()
        .chain(vec![count / batches; batches - extras]);
    sizes.filter(|size| *size > 0).collect()
}

/// Fails if the parts with one value more come last, or empty parts are handled (`forming::split`).
#[test]
fn p14_map_splits_as_array_split_does() {
    assert_eq!(array_split(15, 2), [8, 7]);
    let sizes = |count: usize, split: Split| {
        let values = vec![Value::Int64(1); count];
        let notes = Notes::new();
        let results = map(&values, split, |batch| {
            notes.add(batch.len());
            echo(batch)
        });
        assert_eq!(results.unwrap().len(), count);
        notes.all()
    };
    for count in 0..30 {
        for batches in 1..12 {
            assert_eq!(
                sizes(count, Split::Batches(batches as u64)),
                array_split(count, batches)
            );
        }
        for size in 1..12 {
            let full = vec![size; count / size].into_iter();
            let expected: Vec<_> = full.chain((count % size > 0).then_some(count % size)).collect();
            assert_eq!(sizes(count, Split::Size(size as u64)), expected);
        }
    }
    assert_eq!(
        sizes(600, Split::Size(0)),
        [256, 256, 88],
        "the default of max_batch_size"
    );
    let refused = map(&[Value::Int64(1)], Split::Batches(0), echo).unwrap_err();
    assert_eq!(refused.status(), Status::INVALID_OPTION);
    assert!(refused.message().contains("batches"), "{refused}");
}

/// Fails if results come in the order of the batches' kinds or tags do not count up (`positions` in engine/map.rs).
#[test]
fn p14_map_gives_results_in_input_order() {
    // The list of the main job, of four kinds, in two batches.
    let words = ["hello", "world", "Python", "deep", "learning"];
    let values = [
        Value::Int64(1),
        Value::Float64(2.0),
        Value::String(words[0]),
        Value::String(words[1]),
        Value::Int64(3),
        Value::Float64(4.0),
        Value::Int64(5),
        Value::String(words[2]),
        Value::Int64(6),
        Value::Float64(7.0),
        Value::Int64(8),
        Value::String(words[3]),
        Value::String(words[4]),
        Value::Int64(9),
        Value::Float64(10.0),
    ];
    let notes = Notes::new();
    let results = map(&values, Split::Batches(2), |batch| {
        notes.add(Seen::from(&*batch));
        for row in (0..batch.len()).rev() {
            batch.set(row, batch.value(row))?;
        }
        Ok(())
    });
    let results = results.unwrap();
    assert_eq!(results.tags(), (0..15).collect::<Vec<_>>());
    let answered: Vec<_> = results.iter().map(|row| row.result.unwrap()).collect();
    assert_eq!(answered, values);
    let batches = notes.all();
    assert_eq!(
        (batches[0].tags.clone(), batches[1].tags.clone()),
        ((0..8).collect(), (8..15).collect())
    );
    assert_eq!((batches[0].number, batches[1].number), (1, 2));
}

/// Fails if `map` goes through a batcher or copies text: another thread, other addresses.
#[test]
fn p14_map_runs_on_the_calling_thread_in_place() {
    let texts: Vec<String> = (0..10).map(|row| format!("text number {row}")).collect();
    let values: Vec<_> = texts.iter().map(Value::from).collect();
    let notes = Notes::new();
    map(&values, Split::Size(3), |batch| {
        for value in batch.values() {
            notes.add((value.as_str().unwrap().as_ptr() as usize, thread::current().id()));
        }
        echo(batch)
    })
    .unwrap();
    let here = thread::current().id();
    let expected: Vec<_> = texts.iter().map(|text| (text.as_ptr() as usize, here)).collect();
    assert_eq!(notes.all(), expected);
}

/// Fails if a failing part ends the call or takes others with it.
#[test]
fn p14_a_failed_part_fails_its_own_values() {
    let values: Vec<_> = (0..10).map(Value::Int64).collect();
    let results = map(&values, Split::Size(2), |batch| match batch.number() {
        1 => panic!("the first two"),
        2 => Err(Failure::new(9, "the next two")),
        3 => Ok(batch.set_int64s(&[1]).or_else(|status| match status {
            Status::RESULT_COUNT => Ok(()),
            other => Err(other),
        })?),
        4 => Ok(batch.set(1, 70)?),
        _ => echo(batch),
    });
    let results = results.unwrap();
    let codes: Vec<_> = (0..10)
        .map(|row| results.error(row).map_or(0, |error| error.code.code()))
        .collect();
    let (panicked, count, unset) = (
        Status::HANDLER_FAILED.code(),
        Status::RESULT_COUNT.code(),
        Status::NO_RESULT.code(),
    );
    assert_eq!(codes, [panicked, panicked, 9, 9, count, count, unset, 0, 0, 0]);
    assert_eq!(results.value(7), Some(Value::Int64(70)));
    assert_eq!(results.error(2).unwrap().message, "the next two");
    assert!(!results.all_ok());
}
