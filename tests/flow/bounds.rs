//! The bounds of the queue, and what a push does at them (P22).

use super::*;

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
