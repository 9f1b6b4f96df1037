//! What is delivered, in which order, called back, pulled or only counted (P19).

use super::*;

/// Fails if results are not one set a batch (`make_ready` a part at a time), or the set does not say what it is.
#[test]
fn p19_results_come_a_batch_at_a_time_as_columns() {
    let seen = Notes::new();
    let notes = seen.clone();
    let on_result = move |results: &Results<'_>| {
        let ints = results.int64s().map(<[i64]>::to_vec);
        let floats = results.float64s().map(<[f64]>::to_vec);
        notes.add((
            results.tags().to_vec(),
            results.all_ok(),
            results.kind(),
            ints,
            floats,
        ));
    };
    let handler = |batch: &mut Batch<'_>| {
        match batch.number() {
            1 => batch.set_int64s(&[10, 20])?,
            2 => batch.set_float64s(&[0.5, 1.5])?,
            3 => batch.set(0, 1).and(batch.set(1, 1.0))?,
            4 => batch.set(0, 1).and(batch.fail(1, 5, "no"))?,
            _ => batch.set(0, "a").and(batch.set(1, "b"))?,
        }
        Ok(())
    };
    let batcher = timeless()
        .max_batch_size(2)
        .handler(handler)
        .on_result(on_result)
        .build()
        .unwrap();
    push_all(&batcher, 1..=10);
    batcher.run().unwrap();
    let expected = [
        (vec![1, 2], true, Some(Kind::Int64), Some(vec![10, 20]), None),
        (vec![3, 4], true, Some(Kind::Float64), None, Some(vec![0.5, 1.5])),
        (vec![5, 6], true, None, None, None),
        (vec![7, 8], false, None, None, None),
        (vec![9, 10], true, Some(Kind::String), None, None),
    ];
    assert_eq!(seen.all(), expected);
}

/// The numbers of the batches whose results came, in order.
fn order(journal: &Journal) -> Vec<u64> {
    journal.sets().iter().map(|set| set.batch).collect()
}

/// A batcher with a slot for each batch, whose handler keeps them all: batches of one value, dispatched in order.
fn keeping(options: Builder, batches: u64) -> (Batcher, Journal, Shelf) {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = options
        .max_batch_size(1)
        .max_in_flight(batches as u32)
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, 1..=batches);
    batcher.run().unwrap();
    assert_eq!(shelf.len() as u64, batches);
    (batcher, journal, shelf)
}

/// Fails if as completed is in order of dispatch, or ordered is as completed (`fix_flight`'s match on `delivery`).
#[test]
fn p19_results_come_as_completed_or_in_order_of_dispatch() {
    for (delivery, expected) in [
        (
            Delivery::AsCompleted,
            [vec![3], vec![3, 1], vec![3, 1, 4], vec![3, 1, 4, 2]],
        ),
        (Delivery::Ordered, [vec![], vec![1], vec![1], vec![1, 2, 3, 4]]),
    ] {
        let (batcher, journal, shelf) = keeping(timeless().delivery(delivery), 4);
        for (tag, expected) in [3, 1, 4, 2].into_iter().zip(expected) {
            assert_eq!(finish(shelf.take_tag(tag)), Status::OK);
            batcher.run().unwrap();
            assert_eq!(order(&journal), expected, "{delivery} after {tag}");
        }
    }
    // The default.
    let (batcher, journal, shelf) = keeping(timeless(), 2);
    finish(shelf.take_tag(2));
    batcher.run().unwrap();
    assert_eq!(order(&journal), [2]);
}

/// Fails if a batch that expired or was discarded in flight is delivered at once, or never and holds up the others
/// (`turns` in `fix_flight`).
#[test]
fn p19_ordered_gives_what_ended_in_flight_in_its_turn() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .delivery(Delivery::Ordered)
        .handler_timeout(ns(10))
        .max_in_flight(3);
    let batcher = options
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, now) in [(1, 0), (2, 0), (3, 5)] {
        batcher.advance(now).unwrap();
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    finish(shelf.take_tag(2));
    batcher.run().unwrap();
    assert_eq!(order(&journal), []);
    run_at(&batcher, 10);
    assert_eq!(order(&journal), [1, 2], "1 expired, and 2 waited for it");
    assert_eq!(
        (journal.row(1).outcome, journal.row(2).outcome),
        (Outcome::Expired, Outcome::Ok)
    );
    push_all(&batcher, [4]);
    batcher.seal().unwrap();
    batcher.run().unwrap();
    finish(shelf.take_tag(4));
    push_all(&batcher, [5]);
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 2);
    let ends: Vec<_> = journal.rows()[2..]
        .iter()
        .map(|row| (row.tag, row.outcome))
        .collect();
    assert_eq!(
        ends,
        [(3, Outcome::Discarded), (4, Outcome::Ok), (5, Outcome::Discarded)]
    );
}

/// Fails if values that never flew wait for batches that do (sets of `remove_waiting` in `turns`).
#[test]
fn p19_results_of_values_never_dispatched_come_at_once() {
    for delivery in [Delivery::Ordered, Delivery::AsCompleted] {
        let (journal, shelf) = (Journal::new(), Shelf::new());
        let options = timeless()
            .max_batch_size(2)
            .queue_capacity(2)
            .on_full(OnFull::DiscardOldest);
        let options = options
            .delivery(delivery)
            .handler(shelf.keep())
            .on_result(journal.on_result());
        let batcher = options.build().unwrap();
        push_all(&batcher, 1..=2);
        batcher.run().unwrap();
        push_all(&batcher, [3]);
        batcher.push_with(4, 4, by(5)).unwrap();
        push_all(&batcher, [5]);
        assert_eq!(batcher.cancel(5), Ok(1));
        batcher.run().unwrap();
        assert_eq!(
            (journal.row(3).outcome, journal.row(5).outcome),
            (Outcome::Discarded, Outcome::Cancelled)
        );
        run_at(&batcher, 5);
        assert_eq!(journal.row(4).outcome, Outcome::Expired);
        assert_eq!(
            order(&journal),
            [0, 0, 0],
            "batch 1 flies on, and these are of none"
        );
    }
}

/// Fails if several handler threads deliver out of turn, or an earlier batch keeps later ones back although results
/// come as completed.
#[test]
fn p19_delivery_with_several_handler_threads() {
    let _watchdog = watchdog();
    for delivery in [Delivery::AsCompleted, Delivery::Ordered] {
        let (journal, door) = (Journal::new(), Door::new());
        let stop = door.clone();
        let handler = move |batch: &mut Batch<'_>| {
            if batch.number() == 1 {
                stop.stop();
            }
            echo(batch)
        };
        let options = Batcher::builder().threads(3).max_batch_size(1).delivery(delivery);
        let batcher = options
            .handler(handler)
            .on_result(journal.on_result())
            .build()
            .unwrap();
        let _opener = door.opens_at_the_end();
        push_all(&batcher, [1]);
        door.wait_for(1);
        push_all(&batcher, 2..=50);
        match delivery {
            Delivery::AsCompleted => wait_until(|| journal.rows().len() == 49),
            Delivery::Ordered => wait_until(|| batcher.stats().unwrap().ok == 49),
        }
        let undelivered = if delivery == Delivery::Ordered { 49 } else { 0 };
        // The last on_result may be on its way out still.
        wait_until(|| batcher.stats().unwrap().undelivered == undelivered);
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.outstanding, stats.ok), (1, 49));
        door.open();
        batcher.flush(FOREVER).unwrap();
        let mut came = order(&journal);
        if delivery == Delivery::AsCompleted {
            assert_eq!(came.last(), Some(&1));
            came.sort_unstable();
        }
        assert_eq!(came, (1..=50).collect::<Vec<_>>());
    }
}

/// Fails if pulled results go anywhere but to `next_results`, or go with the batcher (`next_results`, `free`).
#[test]
fn p19_results_can_be_pulled() {
    let batcher = timeless()
        .max_batch_size(2)
        .handler(echo)
        .pull_results()
        .build()
        .unwrap();
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::TIMEOUT);
    push_all(&batcher, 1..=4);
    batcher.run().unwrap();
    assert_eq!(batcher.cancel(1), Err(Status::NOT_FOUND));
    assert_eq!(
        (batcher.stats().unwrap().undelivered, batcher.next_due()),
        (4, Ok(0))
    );
    let first = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!((first.tags(), first.int64s()), (&[1, 2][..], Some(&[1, 2][..])));
    assert_eq!(batcher.stats().unwrap().undelivered, 2, "handed out is delivered");
    push_all(&batcher, [5]);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    let second = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!((second.tags(), second.batch()), (&[3, 4][..], 2));
    let third = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::CLOSED);
    drop(batcher);
    assert_eq!(
        (first.int64s(), third.tags()),
        (Some(&[1, 2][..]), &[5][..]),
        "they outlive the batcher"
    );

    let both = timeless()
        .handler(echo)
        .on_result(|_| ())
        .pull_results()
        .build()
        .unwrap_err();
    assert_eq!(both.status(), Status::INVALID_OPTION);
    let (lent, _) = journaled(timeless());
    assert_eq!(status(lent.next_results(Timeout::ZERO)), Status::WRONG_MODE);
}

/// Fails if a thread in `next_results` is not woken by results, or not by the end (`result_waiters`).
#[test]
fn p19_pulled_results_wake_the_thread_that_waits_for_them() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_batch_size(7)
        .handler(echo)
        .pull_results()
        .build()
        .unwrap();
    let (sender, pulled) = mpsc::channel();
    thread::scope(|scope| {
        let puller = scope.spawn(|| {
            loop {
                match batcher.next_results(FOREVER) {
                    Ok(results) => sender.send(results.tags().to_vec()).unwrap(),
                    Err(ended) => return ended,
                }
            }
        });
        // One at a time, so that the puller waits for nearly every one of them.
        for tag in 0..100 {
            push_all(&batcher, [tag]);
            assert_eq!(pulled.recv().unwrap(), [tag]);
        }
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(puller.join().unwrap(), Status::CLOSED);
    });
}

/// Fails if results nobody asked for hold their places (`make_ready` without on_result).
#[test]
fn p19_without_on_result_results_are_only_counted() {
    let options = timeless()
        .max_batch_size(2)
        .queue_capacity(4)
        .result_capacity(4)
        .on_full(OnFull::Reject);
    let batcher = options.handler(echo).build().unwrap();
    for round in 0..10 {
        push_all(&batcher, round * 4..round * 4 + 4);
        assert_eq!(status(batcher.push(0, 0)), Status::QUEUE_FULL);
        batcher.run().unwrap();
    }
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.ok, stats.undelivered, stats.outstanding), (40, 0, 0));
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
}
