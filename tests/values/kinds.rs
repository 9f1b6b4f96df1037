//! Kinds and objects (P1, P2).

use super::*;

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

/// Fails if `remove_into` leaves the row's kind out of the set (engine/removal.rs), or `carries_releases` does not look
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
/// engine/ready.rs).
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

/// Fails if `From<f64>` turns whole numbers into int64 (engine/value.rs), or `push_float64` pushes as int64.
#[test]
fn p02_the_kind_never_depends_on_the_number() {
    let (batcher, journal) = journaled(timeless());
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

/// Fails if what a late batch kept waits until somebody pulls the results before it (`take_releases`).
#[test]
fn p01_objects_of_a_late_batch_are_released_while_results_wait_to_be_pulled() {
    let (released, shelf) = (Notes::new(), Shelf::new());
    let batcher = timeless()
        .handler_timeout(ns(10))
        .on_object_release(OWNER, adds(&released))
        .handler(shelf.keep())
        .pull_results()
        .build()
        .unwrap();
    let push = |word| {
        batcher.push(object(word), word).unwrap();
        batcher.seal().unwrap();
        batcher.run().unwrap();
    };
    push(11);
    run_at(&batcher, 10);
    drop(batcher.next_results(Timeout::ZERO).unwrap());
    assert_eq!(released.all(), [], "the late batch shows it");
    push(12);
    let late = shelf.take();
    assert_eq!(shelf.take().complete_ok(), Ok(()));
    assert_eq!(late.complete_ok(), Err(Status::TOO_LATE));
    batcher.run().unwrap();
    assert_eq!(released.all(), [11]);
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [12]);
    batcher.run().unwrap();
    assert_eq!(released.all(), [11, 12]);
}

/// Fails if a value is asked for by another kind than its own and answers, or is made of another kind than it was.
#[test]
fn p01_a_value_answers_for_its_own_kind_alone() {
    let bytes = b"bytes".to_vec();
    for value in one_of_each()
        .into_iter()
        .chain([Value::from(&bytes), Value::from(&bytes[..])])
    {
        let kind = value.kind();
        assert_eq!(value.is_null(), kind == Kind::Null);
        assert_eq!(value.as_bool().is_some(), kind == Kind::Bool);
        assert_eq!(value.as_int64().is_some(), kind == Kind::Int64);
        assert_eq!(value.as_float64().is_some(), kind == Kind::Float64);
        assert_eq!(value.as_str().is_some(), kind == Kind::String);
        assert_eq!(value.as_bytes().is_some(), kind == Kind::Bytes);
        assert_eq!(value.as_object().is_some(), kind == Kind::Object);
    }
    assert_eq!(Value::from(&bytes).as_bytes(), Some(&b"bytes"[..]));
    assert_eq!(Value::from(true).as_bool(), Some(true));
}

/// Fails if the size that a push declares for an object is not what its handler reads, what waits, or what leaves again.
#[test]
fn p01_the_declared_size_of_an_object_counts_until_it_leaves() {
    let seen = Notes::new();
    let in_handler = seen.clone();
    let batcher = timeless()
        .on_object_release(OWNER, |_| {})
        .handler(move |batch| {
            for value in batch.values() {
                in_handler.add(value.as_object().unwrap().size);
            }
            echo(batch)
        })
        .build()
        .unwrap();
    for (tag, size) in [(1, 100), (2, 0), (3, 3)] {
        let sized = Object { size, ..object(tag) };
        batcher.push(sized, tag).unwrap();
    }
    let waits = || batcher.stats().unwrap().waiting_bytes;
    assert_eq!(waits(), 3 * 8 + 103);
    batcher.cancel(1).unwrap();
    assert_eq!(waits(), 2 * 8 + 3);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(seen.all(), [0, 3]);
    assert_eq!(waits(), 0);
}
