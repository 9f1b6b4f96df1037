//! Slots (P10).

use super::*;

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
