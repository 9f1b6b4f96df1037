//! Triggers (P7).

use super::*;

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
