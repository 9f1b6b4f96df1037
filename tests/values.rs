//! Values: their kinds, exact round trips, pushes that take or refuse, tags and bulk pushes (promises P1 to P6).
//!
//! Time is given, so nothing here waits. Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{Chance, Copied, Journal, Notes, Shelf, echo, given, int, ns, run_at, status, text, timeless};
use microbatch::{
    Batcher, Builder, Failure, Handled, Kind, Object, OnFull, Outcome, PushOptions, Split, Stats, Status,
    Tags, Timeout, Value, map,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The owner of the objects in these tests.
const OWNER: u32 = 7;

fn object(word: u64) -> Object {
    Object {
        owner: OWNER,
        word,
        size: 0,
    }
}

/// One value of every kind, in order of kind code.
fn one_of_each() -> [Value<'static>; Kind::COUNT] {
    [
        Value::Null,
        Value::Bool(true),
        Value::Int64(-5),
        Value::Float64(2.5),
        Value::String("hello"),
        Value::Bytes(b"\x00\xff"),
        Value::Object(object(99)),
    ]
}

/// A release callback that writes down the words of the objects it is given, in order.
fn adds(notes: &Notes<u64>) -> impl Fn(u64) + Send + Sync + 'static {
    let notes = notes.clone();
    move |word| notes.add(word)
}

// ---- P1: kinds and objects

/// Fails if `push_value` puts bools in as int64 (`kind = Kind::Int64` for `Value::Bool` in engine/push.rs).
#[test]
fn p01_every_kind_keeps_its_kind_and_its_value() {
    let journal = Journal::new();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let noted = kinds.clone();
    let handler = journal.echo();
    let batcher = timeless()
        .on_object_release(OWNER, |_| ())
        .handler(move |batch| {
            *noted.lock().unwrap() = batch.kinds().to_vec();
            handler(batch)
        })
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, value) in one_of_each().into_iter().enumerate() {
        batcher.push(value, tag as u64).unwrap();
    }
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::OK);
    assert_eq!(
        *kinds.lock().unwrap(),
        [0, 1, 2, 3, 4, 5, 6],
        "kind codes are fixed numbers"
    );
    let expected: Vec<_> = one_of_each().into_iter().map(Copied::from).collect();
    assert_eq!(journal.batches()[0].values, expected);
    assert_eq!(journal.batches()[0].kind, None, "the batch is of several kinds");
    let results: Vec<_> = journal.rows().into_iter().map(|row| row.value).collect();
    assert_eq!(results, expected);
}

/// Fails if `push_value` does not compare owners (engine/push.rs), or `Batch::set` does not (api/batch.rs).
#[test]
fn p01_an_object_of_another_owner_is_refused() {
    let stranger = Object {
        owner: OWNER + 1,
        word: 1,
        size: 0,
    };
    let released = Notes::new();
    let batcher = timeless()
        .on_object_release(OWNER, adds(&released))
        .handler(move |batch| {
            assert_eq!(status(batch.set(0, stranger)), Status::WRONG_OWNER);
            Ok(())
        })
        .build()
        .unwrap();
    assert_eq!(status(batcher.push(stranger, 1)), Status::WRONG_OWNER);
    assert_eq!(batcher.check(stranger).unwrap_err().status(), Status::WRONG_OWNER);
    batcher.push(1, 2).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.accepted, stats.failed),
        (1, 1),
        "the handler set no result that counts"
    );
    assert_eq!(stats.refused_with(Status::WRONG_OWNER), 1);

    let nobodys = timeless().handler(echo).build().unwrap();
    for owner in [0, OWNER] {
        assert_eq!(
            status(nobodys.push(
                Object {
                    owner,
                    word: 1,
                    size: 0
                },
                1
            )),
            Status::WRONG_OWNER
        );
    }
    drop(batcher);
    assert_eq!(released.all(), [], "what was refused is not released");
}

/// Fails if a set's releases run before `on_result` (call them ahead of `callbacks.on_result` in `Inner::call`), or
/// not at all.
#[test]
fn p01_an_object_is_released_once_after_its_delivery() {
    let (released, seen) = (Notes::new(), Notes::new());
    let (in_handler, in_on_result) = ((released.clone(), seen.clone()), (released.clone(), seen.clone()));
    let batcher = timeless()
        .on_object_release(OWNER, adds(&released))
        .handler(move |batch| {
            in_handler.1.add(("handler", in_handler.0.all()));
            Ok(batch.set_int64s(&[1, 2])?)
        })
        .on_result(move |_| in_on_result.1.add(("on_result", in_on_result.0.all())))
        .build()
        .unwrap();
    batcher.push(object(11), 1).unwrap();
    batcher.push(object(12), 2).unwrap();
    assert_eq!(released.all(), []);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        seen.all(),
        [("handler", vec![]), ("on_result", vec![])],
        "not before it was delivered"
    );
    assert_eq!(released.all(), [11, 12]);
    drop(batcher);
    assert_eq!(released.all(), [11, 12], "once");
}

/// Fails if `remove_into` leaves the row's kind out of the set (engine/batch.rs), or `carries_releases` does not look
/// at objects.
#[test]
fn p01_an_object_is_released_once_however_it_ends() {
    let released = Notes::new();
    let batcher = timeless()
        .queue_capacity(3)
        .max_batch_size(3)
        .on_full(OnFull::DiscardOldest)
        .on_object_release(OWNER, adds(&released))
        .handler(|_| Err(Failure::new(1, "no")))
        .build()
        .unwrap();
    batcher.push(object(1), 1).unwrap();
    assert_eq!(batcher.cancel(1), Ok(1));
    batcher.run().unwrap();
    assert_eq!(released.take(), [1], "cancelled");

    batcher
        .push_with(object(2), 2, PushOptions::new().deadline(5))
        .unwrap();
    run_at(&batcher, 5);
    assert_eq!(released.take(), [2], "expired");

    for word in 3..=6 {
        batcher.push(object(word), word).unwrap();
        batcher.seal().unwrap();
    }
    batcher.run().unwrap();
    assert_eq!(
        released.take(),
        [3, 4, 5, 6],
        "the first was discarded for room, the others failed"
    );
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.cancelled, stats.expired, stats.discarded, stats.failed),
        (1, 1, 1, 3)
    );

    batcher.push(object(7), 7).unwrap();
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 1);
    drop(batcher);
    assert_eq!(released.take(), [7], "discarded at close");
}

/// Fails if a delivered set is released while a holder still shows it (`let_go` without its `lingering` branch in
/// engine/dispatch.rs).
#[test]
fn p01_a_held_batch_keeps_its_objects() {
    let (released, shelf, journal) = (Notes::new(), Shelf::new(), Journal::new());
    let batcher = timeless()
        .handler_timeout(ns(10))
        .on_object_release(OWNER, adds(&released))
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push(object(1), 1).unwrap();
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    run_at(&batcher, 10);
    assert_eq!(journal.row(1).outcome, Outcome::Expired);
    assert_eq!(
        released.all(),
        [],
        "the result is delivered, but the batch still shows the object"
    );
    let batch = shelf.take();
    assert_eq!(batch.value(0), Value::Object(object(1)));
    assert_eq!(status(batch.complete()), Status::TOO_LATE);
    batcher.run().unwrap();
    assert_eq!(released.all(), [1]);
}

/// Fails if `forget` does not keep replaced objects, or `settle` those of a part that fails (engine/results.rs).
#[test]
fn p01_an_object_result_is_released_after_delivery_or_replacement() {
    let (released, seen) = (Notes::new(), Notes::new());
    let (in_on_result, results) = (released.clone(), seen.clone());
    let batcher = timeless()
        .on_object_release(OWNER, adds(&released))
        .handler(|batch| {
            batch.set(0, object(100 + batch.number() * 10))?;
            match batch.number() {
                1 => Ok(()),
                2 => Ok(batch.set(0, object(121))?),
                3 => Ok(batch.fail(0, 5, "row")?),
                _ => Err(Failure::new(6, "part")),
            }
        })
        .on_result(move |set| results.add((set.value(0).map(Copied::from), in_on_result.all())))
        .build()
        .unwrap();
    for (tag, expected) in [
        (1, vec![110]),
        (2, vec![120, 121]),
        (3, vec![130]),
        (4, vec![140]),
    ] {
        batcher.push(1, tag).unwrap();
        batcher.flush(Timeout::ZERO).unwrap();
        let mut words = released.take();
        words.sort_unstable();
        assert_eq!(words, expected, "of batch {tag}, each once");
    }
    let copied = |word| Some(Copied::Object(object(word)));
    let expected = [
        (copied(110), vec![]),
        (copied(121), vec![]),
        (None, vec![]),
        (None, vec![]),
    ];
    assert_eq!(seen.all(), expected, "nothing is released before delivery");
}

/// Fails if an object that comes after the outcomes stand is forgotten (`set_slow` that only answers TOO_LATE).
#[test]
fn p01_an_object_result_that_comes_late_is_released() {
    let (released, shelf) = (Notes::new(), Shelf::new());
    let keeper = shelf.keep();
    let batcher = timeless()
        .handler_timeout(ns(10))
        .on_object_release(OWNER, adds(&released))
        .handler(move |batch| {
            batch.set(0, object(21))?;
            keeper(batch)
        })
        .on_result(|_| ())
        .build()
        .unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    run_at(&batcher, 10);
    let batch = shelf.take();
    assert_eq!(status(batch.set(1, object(22))), Status::TOO_LATE);
    drop(batch);
    batcher.run().unwrap();
    let mut words = released.all();
    words.sort_unstable();
    assert_eq!(words, [21, 22]);
}

// ---- P2: the kind follows the type

/// Fails if `From<f64>` turns whole numbers into int64 (engine/value.rs), or `push_float64` pushes as int64.
#[test]
fn p02_the_kind_never_depends_on_the_number() {
    let journal = Journal::new();
    let batcher = timeless()
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push(1i64, 0).unwrap();
    batcher.push(1.0f64, 1).unwrap();
    batcher.push(1u8, 2).unwrap();
    batcher.push(1.0f32, 3).unwrap();
    batcher.push(true, 4).unwrap();
    batcher.push("1", 5).unwrap();
    batcher.push(Some(1), 6).unwrap();
    batcher.push(None::<i64>, 7).unwrap();
    batcher.push_int64(1, 8).unwrap();
    batcher.push_float64(1.0, 9).unwrap();
    batcher.push_bytes(b"1", 10).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let one = Copied::Float64(1.0f64.to_bits());
    let expected = vec![
        int(1),
        one.clone(),
        int(1),
        one.clone(),
        Copied::Bool(true),
        text("1"),
        int(1),
        Copied::Null,
        int(1),
        one,
        Copied::Bytes(b"1".to_vec()),
    ];
    assert_eq!(journal.batches()[0].values, expected);
    let results: Vec<_> = journal.rows().into_iter().map(|row| row.value).collect();
    assert_eq!(results, expected, "a result has the kind it was set with");
}

/// Fails if integers beyond 64 bits wrap (`as i64` in `Value::from_integer`).
#[test]
fn p02_what_does_not_fit_is_refused() {
    assert_eq!(Value::try_from(u64::MAX), Err(Status::OUT_OF_RANGE));
    assert_eq!(
        Value::try_from(i128::from(i64::MAX) + 1),
        Err(Status::OUT_OF_RANGE)
    );
    assert_eq!(
        Value::try_from(i128::from(i64::MIN) - 1),
        Err(Status::OUT_OF_RANGE)
    );
    assert_eq!(Value::try_from(i64::MAX as u64), Ok(Value::Int64(i64::MAX)));
    assert_eq!(Value::try_from(i128::from(i64::MIN)), Ok(Value::Int64(i64::MIN)));
}

// ---- P3: round trips

/// Pushes the values, lets every one be answered with itself, and gives the results in push order.
fn round_trip(builder: Builder, values: &[Value<'_>]) -> Vec<Copied> {
    let batcher = builder
        .on_object_release(OWNER, |_| ())
        .pull_results()
        .build()
        .unwrap();
    let (taken, pushed) = batcher.push_values(values, Tags::From(0));
    assert_eq!((taken, pushed), (values.len(), Ok(())));
    batcher.seal().unwrap();
    batcher.run().unwrap();
    while let Ok(batch) = batcher.next_batch(Timeout::ZERO) {
        for (row, value) in batch.values().enumerate() {
            batch.set(row, value).unwrap();
        }
        batch.complete().unwrap();
    }
    let mut results = vec![None; values.len()];
    while let Ok(set) = batcher.next_results(Timeout::ZERO) {
        for row in set.iter() {
            let place = &mut results[row.tag as usize];
            assert_eq!(*place, None, "tag {} came twice", row.tag);
            *place = Some(Copied::from(row.result.unwrap()));
        }
    }
    results.into_iter().map(Option::unwrap).collect()
}

/// The ways a value can take: one handler, one for each kind (mixed batches are gathered and merged), and pulled.
fn ways() -> Vec<Builder> {
    let per_kind = Kind::ALL
        .iter()
        .fold(timeless(), |builder, kind| builder.handler_for(*kind, echo));
    let small = Kind::ALL
        .iter()
        .fold(timeless(), |builder, kind| builder.handler_for(*kind, echo));
    vec![
        timeless().handler(echo),
        timeless().handler(echo).max_batch_size(1),
        per_kind,
        small.max_batch_size(3),
        timeless()
            .handler_for(Kind::String, echo)
            .handler(echo)
            .max_batch_size(5),
        timeless(),
    ]
}

fn awkward_floats() -> Vec<f64> {
    let bits = [
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x000f_ffff_ffff_ffff,
        0x0000_0000_0000_0001,
        0x8000_0000_0000_0001,
        0x3ff0_0000_0000_0001,
    ];
    let mut floats: Vec<_> = bits.into_iter().map(f64::from_bits).collect();
    floats.extend([
        0.0,
        -0.0,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        0.1,
        9_007_199_254_740_993.0,
    ]);
    floats
}

/// Fails if a float passes through arithmetic (`value + 0.0` in `push_float64` or `Value::Float64` in `push_value`:
/// -0.0 is lost), or a cell is cut to 32 bits.
#[test]
fn p03_numbers_come_back_with_every_bit() {
    let mut values: Vec<_> = awkward_floats().into_iter().map(Value::Float64).collect();
    for integer in [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
    ] {
        values.push(Value::Int64(integer));
    }
    values.extend([
        Value::Bool(false),
        Value::Bool(true),
        Value::Null,
        Value::Object(object(u64::MAX)),
    ]);
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}");
    }

    let floats = awkward_floats();
    let batcher = timeless().handler(|batch| Ok(batch.set_float64s(batch.float64s().unwrap())?));
    let batcher = batcher.pull_results().build().unwrap();
    for (tag, float) in floats.iter().enumerate() {
        batcher.push_float64(*float, tag as u64).unwrap();
    }
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    let results = batcher.next_results(Timeout::ZERO).unwrap();
    let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(results.float64s().unwrap()), bits(&floats), "as one array");
}

/// Fails if text is looked for by its first NUL, empty text is taken for null (`text` in engine/batch.rs), or the
/// offsets of gathered parts are off by one.
#[test]
fn p03_text_comes_back_byte_for_byte() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = "\u{1f600}x".repeat(3000);
    let mut values = vec![
        Value::String(""),
        Value::String("\0"),
        Value::String("a\0b\0"),
        Value::String("\u{1f600}\u{10ffff}\u{ffff}\u{7f}\u{80}\u{7ff}\u{800}"),
        Value::String("e\u{301} is not \u{e9}"),
        Value::String(&long),
        Value::Bytes(b""),
        Value::Bytes(b"\0"),
        Value::Bytes(&every_byte),
        // Not UTF-8, and nothing tries to make it so.
        Value::Bytes(b"\xed\xa0\x80\xff\xc0\x80"),
        Value::String(""),
        Value::Null,
    ];
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}");
    }
    values.retain(|value| value.kind() == Kind::String);
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}, strings alone");
    }
}

/// Fails if any way mixes up rows or bytes of a mixed batch: `gather` without `put_text`, `settle_from` without
/// `positions`, `close_up` without `move_down`.
#[test]
fn p03_random_mixtures_come_back_exactly() {
    let mut chance = Chance::new(3);
    for round in 0..40 {
        let texts: Vec<Vec<u8>> = (0..100)
            .map(|_| {
                (0..chance.below(20))
                    .map(|_| b'a' + chance.below(26) as u8)
                    .collect()
            })
            .collect();
        let values: Vec<_> = texts
            .iter()
            .map(|bytes| match chance.below(7) {
                0 => Value::Null,
                1 => Value::Bool(chance.one_in(2)),
                2 => Value::Int64(chance.below(1 << 31) as i64 - (1 << 30)),
                3 => Value::Float64(f64::from_bits(chance.below(1 << 31) << 33)),
                4 => Value::String(std::str::from_utf8(bytes).unwrap()),
                5 => Value::Bytes(bytes),
                _ => Value::Object(object(chance.below(1000))),
            })
            .collect();
        let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
        for (way, builder) in ways().into_iter().enumerate() {
            assert_eq!(round_trip(builder, &values), expected, "round {round}, way {way}");
        }
        let results = map(&values, Split::Size(7), |batch| {
            for (row, value) in batch
                .values()
                .enumerate()
                .filter(|(_, value)| value.as_object().is_none())
            {
                batch.set(row, value)?;
            }
            Ok(())
        });
        let results = results.unwrap();
        for (row, value) in values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.as_object().is_none())
        {
            assert_eq!(
                results.value(row).map(Copied::from),
                Some(Copied::from(*value)),
                "map, round {round}"
            );
        }
    }
}

// ---- P4: a push takes or refuses

/// A snapshot without what a refusal is allowed to change.
fn without_refusals(batcher: &Batcher) -> Stats {
    Stats {
        refusals: [0; 24],
        ..batcher.stats().unwrap()
    }
}

/// Asserts that the batcher refuses the value with this status, counts that, and is otherwise unchanged.
fn assert_refused(batcher: &Batcher, value: Value<'_>, expected: Status) {
    let (before, counted) = (
        without_refusals(batcher),
        batcher.stats().unwrap().refused_with(expected),
    );
    let due = batcher.next_due().unwrap();
    assert_eq!(batcher.check(value).unwrap_err().status(), expected);
    assert_eq!(
        batcher.stats().unwrap().refused_with(expected),
        counted,
        "check pushes nothing"
    );
    assert_eq!(status(batcher.push(value, 77)), expected);
    assert_eq!(
        without_refusals(batcher),
        before,
        "{expected:?} consumed something"
    );
    assert_eq!(batcher.stats().unwrap().refused_with(expected), counted + 1);
    assert_eq!(status(batcher.cancel(77)), Status::NOT_FOUND);
    if expected != Status::QUEUE_FULL
        && expected != Status::QUEUE_FULL_BYTES
        && expected != Status::RESULTS_FULL
    {
        assert_eq!(batcher.next_due().unwrap(), due);
    }
}

/// Fails if a push counts, copies or discards before all its questions are answered: `fits_empty` asked after the
/// room is made, or the value appended before `lack` is asked (`push_locked` in engine/queue.rs).
#[test]
fn p04_a_refusal_consumes_nothing() {
    let journal = Journal::new();
    let numbers = |builder: Builder| {
        let journal = journal.clone();
        builder
            .handler_for(Kind::Int64, journal.echo())
            .handler_for(Kind::String, journal.echo())
    };
    let small = || {
        let options = timeless()
            .max_batch_size(2)
            .max_batch_bytes(64)
            .queue_capacity(4)
            .queue_bytes(128);
        numbers(options.result_capacity(6)).on_result(journal.on_result())
    };
    let too_large = "x".repeat(57);
    for policy in [OnFull::Reject, OnFull::Block, OnFull::DiscardOldest] {
        let batcher = small().on_full(policy).build().unwrap();
        batcher.push(1, 1).unwrap();
        assert_refused(&batcher, Value::Float64(1.0), Status::NO_HANDLER);
        assert_refused(&batcher, Value::Null, Status::NO_HANDLER);
        assert_refused(&batcher, Value::String(&too_large), Status::TOO_LARGE);
        assert_refused(&batcher, Value::Object(object(1)), Status::WRONG_OWNER);
        assert_eq!(batcher.push_int64s(&[2, 3, 4], Tags::From(2)), (3, Ok(())));
        // Full by count now: what can never fit is told as that, and nothing makes room for it.
        assert_refused(&batcher, Value::String(&too_large), Status::TOO_LARGE);
        if policy != OnFull::DiscardOldest {
            assert_refused(&batcher, Value::Int64(5), Status::QUEUE_FULL);
        }
        batcher.close(Timeout::ZERO).unwrap();
        assert_refused(&batcher, Value::Int64(6), Status::CLOSED);
        assert_refused(&batcher, Value::String(&too_large), Status::CLOSED);
    }
    let batcher = small().on_full(OnFull::Reject).build().unwrap();
    for tag in 1..=3 {
        batcher.push("x".repeat(34).as_str(), tag).unwrap();
    }
    assert_refused(&batcher, Value::Int64(4), Status::QUEUE_FULL_BYTES);

    for policy in [OnFull::Reject, OnFull::DiscardOldest] {
        let batcher = numbers(
            timeless()
                .max_batch_size(2)
                .queue_capacity(4)
                .result_capacity(3)
                .pull_results(),
        );
        let batcher = batcher.on_full(policy).build().unwrap();
        assert_eq!(batcher.push_int64s(&[1, 2, 3], Tags::From(1)), (3, Ok(())));
        assert_refused(&batcher, Value::Int64(4), Status::RESULTS_FULL);
        batcher.run().unwrap();
        assert_refused(&batcher, Value::Int64(4), Status::RESULTS_FULL);
    }
}

/// Fails if `push_text` keeps the pointer (`put_owned` in place of `put_text`), or several texts share one buffer
/// that is overwritten.
#[test]
fn p04_pushed_bytes_are_copied_before_the_push_returns() {
    let journal = Journal::new();
    let batcher = timeless()
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    let mut buffer = [0u8; 4];
    for round in 0..50u8 {
        buffer.fill(b'a' + round % 26);
        match round % 3 {
            0 => batcher.push_bytes(&buffer, u64::from(round)).unwrap(),
            1 => batcher.push(Value::Bytes(&buffer), u64::from(round)).unwrap(),
            _ => batcher
                .push_with(
                    Value::Bytes(&buffer),
                    u64::from(round),
                    PushOptions::new().deadline(1000),
                )
                .unwrap(),
        }
    }
    buffer.fill(0);
    batcher.flush(Timeout::ZERO).unwrap();
    for round in 0..50u8 {
        let expected = Copied::Bytes(vec![b'a' + round % 26; 4]);
        assert_eq!(journal.batches()[0].values[usize::from(round)], expected);
        assert_eq!(journal.row(u64::from(round)).value, expected);
    }
}

/// The system's allocator; it knows when one watched address is given back.
struct Watching;

static WATCHED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if WATCHED.compare_exchange(ptr as usize, 0, SeqCst, SeqCst).is_ok() {
            FREED.fetch_add(1, SeqCst);
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Fails if `push_owned` copies (push the text, drop the string), releases inside push, or the releases run before
/// `on_result` returned.
#[test]
fn p04_an_owned_push_keeps_the_pointer_until_after_delivery() {
    let held = "held by the pusher ".repeat(10);
    let (copy, address) = (held.clone(), held.as_ptr() as usize);
    WATCHED.store(address, SeqCst);

    let narrow = timeless().max_batch_bytes(100).handler(echo).build().unwrap();
    let (refused, held) = narrow.push_owned(held, 0).unwrap_err();
    assert_eq!(
        (refused, held.as_ptr() as usize),
        (Status::TOO_LARGE, address),
        "a refused string comes back"
    );
    drop(narrow);
    assert_eq!(FREED.load(SeqCst), 0, "a refused push releases nothing");

    let seen = Notes::new();
    let (in_handler, in_on_result) = (seen.clone(), seen.clone());
    let batcher = timeless()
        .handler(move |batch| {
            let text = batch.value(1).as_str().unwrap();
            in_handler.add((text.as_ptr() as usize, FREED.load(SeqCst)));
            assert_eq!(text, copy);
            echo(batch)
        })
        .on_result(move |_| in_on_result.add((0, FREED.load(SeqCst))))
        .build()
        .unwrap();
    batcher.push("copied", 1).unwrap();
    batcher.push_owned(held, 2).unwrap();
    assert_eq!(FREED.load(SeqCst), 0, "nothing is released in push");
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        seen.all(),
        [(address, 0), (0, 0)],
        "read where it is, and not released before delivery"
    );
    assert_eq!(batcher.stats().unwrap().ok, 2, "the handler saw the text");
    assert_eq!(FREED.load(SeqCst), 1, "released after delivery");
}

/// Fails if owned texts stay at their old rows when rows are closed up (`close_up` in engine/batch.rs), or weigh nothing.
#[test]
fn p04_an_owned_value_is_weighed_and_ends_like_any_other() {
    let journal = Journal::new();
    let batcher = timeless()
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for tag in 0..6u64 {
        let text = format!("text number {tag}");
        match tag % 2 {
            0 => batcher.push_owned(text, tag).unwrap(),
            _ => batcher.push(&text, tag).unwrap(),
        }
    }
    assert_eq!(batcher.stats().unwrap().waiting_bytes, 6 * (8 + 13));
    assert_eq!((batcher.cancel(2), batcher.cancel(3)), (Ok(1), Ok(1)));
    assert_eq!(batcher.stats().unwrap().waiting_bytes, 4 * (8 + 13));
    batcher.flush(Timeout::ZERO).unwrap();
    for tag in [0, 1, 4, 5] {
        assert_eq!(journal.row(tag).value, text(&format!("text number {tag}")));
    }
    assert_eq!(journal.batches()[0].tags, [0, 1, 4, 5]);
}

// ---- P5: tags

/// Fails if tags are cut to 32 bits (`Writer::put`), or a part is shown those of other rows (`gather`).
#[test]
fn p05_the_tag_comes_back_whatever_it_is() {
    let journal = Journal::new();
    let mut fails = timeless()
        .max_batch_size(4)
        .handler_for(Kind::String, |_| Err(Failure::new(1, "no")));
    fails = fails.handler(journal.echo()).on_result(journal.on_result());
    let batcher = fails.build().unwrap();
    let tags = [0, u64::MAX, 1 << 32, 5, 5, 1 << 63, 0, 5];
    for (row, tag) in tags.iter().enumerate() {
        match row {
            1 | 6 => batcher.push("fails", *tag).unwrap(),
            _ => batcher.push(row as i64, *tag).unwrap(),
        }
    }
    batcher.flush(Timeout::ZERO).unwrap();
    let results: Vec<_> = journal
        .rows()
        .into_iter()
        .map(|row| (row.tag, row.outcome, row.value))
        .collect();
    let expected: Vec<_> = (0..8)
        .map(|row| match row {
            1 | 6 => (tags[row], Outcome::Failed, Copied::Null),
            _ => (tags[row], Outcome::Ok, int(row as i64)),
        })
        .collect();
    assert_eq!(results, expected);
    assert_eq!(journal.batches()[0].tags, [0, 1 << 32, 5], "handlers read them");
}

/// Fails if the age runs from dispatch or from the last value (`opened_at` in engine/queue.rs).
#[test]
fn p05_handlers_read_the_age_of_the_oldest_value() {
    let journal = Journal::new();
    let batcher = given()
        .max_delay(ns(100))
        .handler(journal.echo())
        .build()
        .unwrap();
    batcher.advance(7).unwrap();
    batcher.push(1, 1).unwrap();
    batcher.advance(40).unwrap();
    batcher.push(2, 2).unwrap();
    batcher
        .push_with(2, 2, PushOptions::new().deadline(1000))
        .unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    batcher.push(3, 3).unwrap();
    run_at(&batcher, 200);
    let ages: Vec<_> = journal.batches().iter().map(|batch| batch.age).collect();
    assert_eq!(ages, [33, 160]);
}

// ---- P6: typed, general and bulk pushes

/// Fails if a typed push differs from the general one, as `push_float64` that keeps the number and not its bits.
#[test]
fn p06_typed_pushes_are_the_general_push() {
    let play = |push: &dyn Fn(&Batcher)| {
        let journal = Journal::new();
        let batcher = timeless()
            .handler(journal.echo())
            .on_result(journal.on_result())
            .build()
            .unwrap();
        push(&batcher);
        batcher.flush(Timeout::ZERO).unwrap();
        // A producer's batcher has a batch in reserve.
        let stats = Stats {
            bytes_in_use: 0,
            ..batcher.stats().unwrap()
        };
        (journal.batches(), journal.sets(), stats)
    };
    let general = play(&|batcher| {
        batcher.push(Value::Int64(-3), 1).unwrap();
        batcher.push(Value::Float64(-0.0), 2).unwrap();
        batcher.push(Value::String("a\0"), 3).unwrap();
        batcher.push(Value::Bytes(b"\xff"), 4).unwrap();
    });
    let typed = play(&|batcher| {
        batcher.push_int64(-3, 1).unwrap();
        batcher.push_float64(-0.0, 2).unwrap();
        batcher.push_str("a\0", 3).unwrap();
        batcher.push_bytes(b"\xff", 4).unwrap();
    });
    let bulk = play(&|batcher| {
        assert_eq!(batcher.push_int64s(&[-3], Tags::From(1)), (1, Ok(())));
        assert_eq!(batcher.push_float64s(&[-0.0], Tags::From(2)), (1, Ok(())));
        let rest = [Value::String("a\0"), Value::Bytes(b"\xff")];
        assert_eq!(batcher.push_values(&rest, Tags::Each(&[3, 4])), (2, Ok(())));
    });
    let producer = play(&|batcher| {
        let producer = batcher.producer().unwrap();
        producer.push_int64(-3, 1).unwrap();
        producer.push_float64(-0.0, 2).unwrap();
        producer.push("a\0", 3).unwrap();
        producer.push(Value::Bytes(b"\xff"), 4).unwrap();
    });
    assert_eq!(typed, general);
    assert_eq!(bulk, general);
    assert_eq!(producer, general);
}

/// Fails if a bulk push goes on after a refusal or counts the refused value (`push_each` in api/batcher.rs), or seals
/// elsewhere than single pushes do.
#[test]
fn p06_a_bulk_push_is_its_values_one_by_one() {
    let mut chance = Chance::new(6);
    for round in 0..300 {
        let size = 1 + chance.below(5);
        let bytes = 8 + chance.below(60);
        let capacity = size + chance.below(12);
        let queue_bytes = bytes + chance.below(100);
        let places = 1 + chance.below(20);
        let policy = [OnFull::Reject, OnFull::Block, OnFull::DiscardOldest][chance.below(3) as usize];
        let values: Vec<_> = (0..chance.below(8))
            .flat_map(|_| {
                let value = match chance.below(7) {
                    0 => {
                        Value::String(&"a long text that may be cut off, or not"[..chance.below(40) as usize])
                    }
                    1 | 2 => Value::Float64(1.5),
                    3 if chance.one_in(6) => Value::Null,
                    _ => Value::Int64(chance.below(100) as i64),
                };
                vec![value; chance.below(7) as usize]
            })
            .collect();
        let play = |push: &dyn Fn(&Batcher) -> (usize, microbatch::Result)| {
            let journal = Journal::new();
            let options = timeless()
                .max_batch_size(size)
                .max_batch_bytes(bytes)
                .queue_capacity(capacity);
            let options = options
                .queue_bytes(queue_bytes)
                .result_capacity(places)
                .on_full(policy);
            let numbers = options.handler_for(Kind::Int64, journal.echo());
            let texts = numbers
                .handler_for(Kind::Float64, journal.echo())
                .handler_for(Kind::String, echo);
            let batcher = texts.on_result(journal.on_result()).build().unwrap();
            let taken = push(&batcher);
            let stats = batcher.stats().unwrap();
            batcher.flush(Timeout::ZERO).unwrap();
            (taken, stats, journal.batches(), journal.sets())
        };
        let singly = play(&|batcher| {
            for (row, value) in values.iter().enumerate() {
                if let Err(refused) = batcher.push(*value, 1000 + row as u64) {
                    return (row, Err(refused));
                }
            }
            (values.len(), Ok(()))
        });
        let in_one = play(&|batcher| batcher.push_values(&values, Tags::From(1000)));
        assert_eq!(in_one, singly, "round {round}: {values:?}");
        let by_kind = play(&|batcher| {
            let mut taken = 0;
            for run in values.chunk_by(|a, b| a.kind() == b.kind()) {
                let tags = Tags::From(1000 + taken as u64);
                let ints: Vec<_> = run.iter().filter_map(Value::as_int64).collect();
                let floats: Vec<_> = run.iter().filter_map(Value::as_float64).collect();
                let (more, refused) = match run[0].kind() {
                    Kind::Int64 => batcher.push_int64s(&ints, tags),
                    Kind::Float64 => batcher.push_float64s(&floats, tags),
                    _ => batcher.push_values(run, tags),
                };
                taken += more;
                if refused.is_err() {
                    return (taken, refused);
                }
            }
            (taken, Ok(()))
        });
        assert_eq!(by_kind, singly, "round {round}: {values:?}");
    }
}

/// Fails if `accepted` is not the index of the refused value, or what came before it is taken back.
#[test]
fn p06_a_bulk_push_takes_a_prefix() {
    let journal = Journal::new();
    let options = timeless()
        .max_batch_size(3)
        .queue_capacity(5)
        .on_full(OnFull::Reject);
    let batcher = options.handler(journal.echo()).build().unwrap();
    assert_eq!(batcher.push_int64s(&[], Tags::From(0)), (0, Ok(())));
    assert_eq!(batcher.push_int64s(&[10, 11], Tags::From(0)), (2, Ok(())));
    assert_eq!(
        batcher.push_float64s(&[0.5; 9], Tags::From(2)),
        (3, Err(Status::QUEUE_FULL))
    );
    assert_eq!(
        batcher.push_int64s(&[12], Tags::From(0)),
        (0, Err(Status::QUEUE_FULL))
    );
    assert_eq!(
        batcher.stats().unwrap().refused_with(Status::QUEUE_FULL),
        2,
        "one refusal a call"
    );
    batcher.run().unwrap();
    let stranger = Value::Object(object(1));
    let mixed = [Value::Int64(1), stranger, Value::Int64(2)];
    assert_eq!(
        batcher.push_values(&mixed, Tags::From(7)),
        (1, Err(Status::WRONG_OWNER))
    );
    batcher.flush(Timeout::ZERO).unwrap();
    let tags: Vec<_> = journal.batches().iter().map(|batch| batch.tags.clone()).collect();
    assert_eq!(tags, [vec![0, 1, 2], vec![3, 4], vec![7]]);
    batcher.close(Timeout::ZERO).unwrap();
    assert_eq!(
        batcher.push_int64s(&[1, 2], Tags::From(0)),
        (0, Err(Status::CLOSED))
    );
}

/// Fails if the first tag does not count up for each value, or tags beyond the last are made up.
#[test]
fn p06_tags_come_as_an_array_or_count_up() {
    let journal = Journal::new();
    let batcher = timeless().handler(journal.echo()).build().unwrap();
    assert_eq!(
        batcher.push_int64s(&[1, 2, 3], Tags::From(u64::MAX - 1)),
        (3, Ok(()))
    );
    assert_eq!(
        batcher.push_float64s(&[1.0, 2.0], Tags::Each(&[9, 4])),
        (2, Ok(()))
    );
    assert_eq!(
        batcher.push_int64s(&[1, 2, 3], Tags::Each(&[8, 8])),
        (2, Err(Status::INVALID_ARGUMENT))
    );
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.batches()[0].tags, [u64::MAX - 1, u64::MAX, 0, 9, 4, 8, 8]);
}

/// Fails if `push_with` leaves the deadline out (api/batcher.rs).
#[test]
fn p06_a_deadline_travels_in_the_options() {
    let journal = Journal::new();
    let batcher = timeless()
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, value) in [
        Value::Null,
        Value::Int64(1),
        Value::Float64(1.0),
        Value::String("x"),
    ]
    .iter()
    .enumerate()
    {
        batcher
            .push_with(*value, tag as u64, PushOptions::new().deadline(10))
            .unwrap();
        batcher
            .push_with(*value, 10 + tag as u64, PushOptions::default())
            .unwrap();
    }
    run_at(&batcher, 10);
    batcher.flush(Timeout::ZERO).unwrap();
    for tag in 0..4 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::DEADLINE, Handled::No))
        );
        assert_eq!(
            journal.ended(10 + tag),
            Some((Outcome::Ok, Status::OK, Handled::Yes))
        );
    }
}
