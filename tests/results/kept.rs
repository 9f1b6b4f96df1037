//! Batches that are kept (P18).

use super::*;

/// Fails if a kept batch completes when its handler returns (`PartState::Kept` in `end_handler`), or only on the
/// thread that kept it.
#[test]
fn p18_a_kept_batch_is_completed_later_from_any_thread() {
    let _watchdog = watchdog();
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let batcher = given()
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.run().unwrap();
    run_at(&batcher, 1000);
    assert_eq!(
        (journal.rows().len(), batcher.stats().unwrap().outstanding),
        (0, 2)
    );
    let batch = shelf.take();
    assert_eq!(
        (batch.number(), batch.trigger(), batch.tags()),
        (1, Trigger::Idle, &[1, 2][..])
    );
    assert_eq!(thread::spawn(move || finish(batch)).join().unwrap(), Status::OK);
    assert_eq!(journal.rows().len(), 0, "complete delivers nothing itself");
    assert_eq!(batcher.next_due(), Ok(1000));
    batcher.run().unwrap();
    assert_eq!((journal.row(1).value, journal.row(2).value), (int(1), int(2)));

    // With threads, and completed by threads that the engine has never seen.
    let (sender, kept) = mpsc::channel::<HeldBatch>();
    let (sender, ledger) = (Mutex::new(sender), Ledger::new());
    let options = Batcher::builder()
        .max_in_flight(8)
        .max_batch_size(16)
        .on_result(ledger.on_result());
    let handler = move |batch: &mut Batch<'_>| {
        let held = batch.keep()?;
        sender.lock().unwrap().send(held).unwrap();
        Ok(())
    };
    let batcher = options.handler(handler).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for tag in 0..2000 {
                batcher.push_int64(1, tag).unwrap();
                ledger.pushed(tag);
            }
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        });
        let mut taken = 0;
        while taken < 2000 {
            let batch = kept.recv().unwrap();
            taken += batch.len();
            scope.spawn(move || assert_eq!(finish(batch), Status::OK));
        }
    });
    assert_eq!(ledger.count(Outcome::Ok), 2000);
    ledger.assert_exactly_one_result_each();
}

/// Fails if a batch that is dropped leaves its values without an outcome (`Drop for Part`).
#[test]
fn p18_freed_without_completing_its_values_fail() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    for options in [timeless().handler(shelf.keep()), timeless()] {
        let batcher = options.on_result(journal.on_result()).build().unwrap();
        push_all(&batcher, 1..=2);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        let batch = batcher.next_batch(Timeout::ZERO).unwrap_or_else(|_| shelf.take());
        batch.set(0, 10).unwrap();
        drop(batch);
        batcher.run().unwrap();
        let expected = Some((Outcome::Failed, Status::NO_RESULT, Handled::Maybe));
        assert_eq!(
            (journal.ended(1), journal.ended(2)),
            (expected, expected),
            "also what was set"
        );
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.failed, stats.in_flight, stats.late), (2, 0, 0));
        drop(batcher);
        journal.clear();
    }
}

/// Fails if a late completion changes outcomes or is not counted (`end_part`), or answers OK.
#[test]
fn p18_a_late_completion_is_too_late_and_counted() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler(shelf.keep())
        .max_in_flight(3);
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    for tag in 1..=3 {
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    let (first, second, third) = (shelf.take(), shelf.take(), shelf.take());
    first.set(0, 10).unwrap();
    run_at(&batcher, 10);
    assert_eq!(status(first.set(0, 11)), Status::TOO_LATE);
    assert_eq!(status(first.set(0, "text")), Status::TOO_LATE);
    assert_eq!(status(first.set_int64s(&[12])), Status::TOO_LATE);
    assert_eq!(status(first.fail(0, 1, "late")), Status::TOO_LATE);
    assert_eq!(status(first.fail_all(1, "late")), Status::TOO_LATE);
    assert_eq!(first.value(0), Value::Int64(1), "it can still be read");
    assert_eq!(batcher.stats().unwrap().late, 0);
    assert_eq!(status(first.complete()), Status::TOO_LATE);
    assert_eq!(status(second.complete_ok()), Status::TOO_LATE);
    assert_eq!(batcher.stats().unwrap().late, 2);
    drop(third);
    batcher.run().unwrap();
    assert_eq!(
        batcher.stats().unwrap().late,
        2,
        "giving a batch up is no completion"
    );
    for tag in 1..=3 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
}

/// Fails if what a handler returns or throws after `keep` ends the batch (`call_handler` that does not look at
/// `kept`), or a part can be kept twice.
#[test]
fn p18_what_a_handler_answers_after_keeping_counts_no_more() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let keeper = shelf.clone();
    let handler = move |batch: &mut Batch<'_>| {
        let held = batch.keep()?;
        assert_eq!(status(batch.keep()), Status::INVALID_ARGUMENT);
        assert_eq!(batch.len(), 1, "its own view stays readable");
        match batch.number() {
            1 => keeper.put(held),
            2 => {
                keeper.put(held);
                panic!("after keeping");
            }
            3 => {
                keeper.put(held);
                return Err(Failure::new(1, "after keeping"));
            }
            _ => assert_eq!(finish(held), Status::OK, "completed before the handler returns"),
        }
        Ok(())
    };
    let options = timeless()
        .max_in_flight(4)
        .handler(handler)
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    for tag in 1..=4 {
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    assert_eq!(journal.rows().len(), 1);
    assert_eq!(
        (journal.row(4).value, batcher.stats().unwrap().in_flight),
        (int(4), 3)
    );
    for _ in 0..3 {
        assert_eq!(finish(shelf.take()), Status::OK);
    }
    batcher.run().unwrap();
    assert_eq!(
        (batcher.stats().unwrap().ok, batcher.stats().unwrap().in_flight),
        (4, 0)
    );
}

/// Fails if a kept batch waits for its handler to return before it ends, ends twice when it does (`end_part` that
/// does not look at `fixed`), or frees its slot under the handler.
#[test]
fn p18_a_kept_batch_may_end_while_its_handler_is_inside() {
    let _watchdog = watchdog();
    for in_time in [true, false] {
        let (journal, shelf, door) = (Journal::new(), Shelf::new(), Door::new());
        let (keep, stop) = (shelf.keep(), door.clone());
        let handler = move |batch: &mut Batch<'_>| {
            keep(batch)?;
            stop.stop();
            Ok(())
        };
        let options = given()
            .handler_timeout(ns(10))
            .handler(handler)
            .on_result(journal.on_result());
        let batcher = options.build().unwrap();
        push_all(&batcher, 1..=2);
        thread::scope(|scope| {
            let _opener = door.opens_at_the_end();
            let inside = scope.spawn(|| batcher.run().unwrap());
            door.wait_for(1);
            if in_time {
                assert_eq!(finish(shelf.take()), Status::OK);
                run_at(&batcher, 10);
            } else {
                run_at(&batcher, 10);
                assert_eq!(status(shelf.take().complete()), Status::TOO_LATE);
            }
            let outcome = if in_time { Outcome::Ok } else { Outcome::Expired };
            assert_eq!(
                (journal.row(1).outcome, journal.row(2).outcome),
                (outcome, outcome)
            );
            assert_eq!(
                batcher.stats().unwrap().in_flight,
                1,
                "the handler keeps the slot until it returns"
            );
            door.open();
            inside.join().unwrap();
        });
        batcher.run().unwrap();
        let stats = batcher.stats().unwrap();
        assert_eq!((journal.rows().len(), stats.in_flight, stats.stuck), (2, 0, 0));
        assert_eq!((stats.ok + stats.expired, stats.balanced()), (2, true));
    }
}

/// Fails if the view a handler borrows still sets results once the batch is kept: its holder may have completed it on
/// another thread, and what was delivered would change under its reader.
#[test]
fn p18_once_kept_only_the_holder_sets_results() {
    let (journal, refused) = (Journal::new(), Notes::new());
    let notes = refused.clone();
    let handler = move |batch: &mut Batch<'_>| {
        batch.set(0, "before")?;
        let held = batch.keep()?;
        held.set(1, "held")?;
        notes.add(status(batch.set(0, "after")));
        notes.add(status(batch.set(0, 5)));
        notes.add(status(batch.set_int64s(&[5, 5])));
        notes.add(status(batch.set_int64s(&[5])));
        notes.add(status(batch.fail(0, 5, "after")));
        notes.add(status(batch.fail_all(5, "after")));
        Ok(held.complete()?)
    };
    let batcher = timeless()
        .handler(handler)
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        (journal.row(1).value, journal.row(2).value),
        (text("before"), text("held"))
    );
    assert_eq!(refused.len(), 6);
    assert!(
        refused.all().iter().all(|status| *status != Status::OK),
        "{:?}",
        refused.all()
    );
}

/// Fails if a batch's memory goes with its batcher (`free` that frees what is held), or what it carried is released
/// before it, or never.
#[test]
fn p18_a_held_batch_outlives_its_batcher() {
    let _watchdog = watchdog();
    for pulled in [true, false] {
        for mode in [given(), Batcher::builder()] {
            let (shelf, released, ledger) = (Shelf::new(), Notes::new(), Ledger::new());
            let release = released.clone();
            let options = mode
                .max_delay(FOREVER)
                .on_object_release(OWNER, move |word| release.add(word));
            let options = options
                .on_result(ledger.on_result())
                .close_timeout(Duration::from_millis(1));
            let batcher = match pulled {
                true => options.build().unwrap(),
                false => options.handler(shelf.keep()).build().unwrap(),
            };
            let long = "a text that is longer than a cell ".repeat(20);
            batcher
                .push(
                    Object {
                        owner: OWNER,
                        word: 5,
                        size: 0,
                    },
                    1,
                )
                .unwrap();
            batcher.push(&long, 2).unwrap();
            batcher.push_owned(long.clone(), 3).unwrap();
            (1..=3).for_each(|tag| ledger.pushed(tag));
            batcher.seal().unwrap();
            let _ = batcher.run();
            if pulled {
                shelf.put(batcher.next_batch(FOREVER).unwrap());
            }
            wait_until(|| shelf.len() == 1);
            drop(batcher);
            assert_eq!(
                ledger.count(Outcome::Discarded),
                3,
                "free delivers what it discards"
            );
            ledger.assert_exactly_one_result_each();
            let batch = shelf.take();
            assert_eq!(released.all(), [], "the batch still shows it");
            let values: Vec<_> = batch.values().map(Copied::from).collect();
            let object = Copied::Object(Object {
                owner: OWNER,
                word: 5,
                size: 0,
            });
            assert_eq!(
                (values, batch.tags()),
                (vec![object, text(&long), text(&long)], &[1, 2, 3][..])
            );
            assert_eq!(status(batch.set(1, 1)), Status::TOO_LATE);
            assert_eq!(status(batch.complete()), Status::TOO_LATE);
            assert_eq!(released.all(), [5]);
        }
    }
}

/// Fails if the parts of a batch share one fate (`end_part` that ends the flight and not the part).
#[test]
fn p18_each_part_is_kept_and_completed_for_itself() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler_for(Kind::Int64, shelf.keep());
    let options = options
        .handler_for(Kind::String, shelf.keep())
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push("a", 2).unwrap();
    batcher.push(true, 3).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    let (int64, string, default) = (shelf.take_tag(1), shelf.take_tag(2), shelf.take_tag(3));
    assert_eq!(finish(int64), Status::OK);
    drop(string);
    run_at(&batcher, 10);
    assert_eq!(finish(default), Status::TOO_LATE);
    assert_eq!(journal.ended(1), Some((Outcome::Ok, Status::OK, Handled::Yes)));
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Failed, Status::NO_RESULT, Handled::Maybe))
    );
    assert_eq!(
        journal.ended(3),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
    );
    assert_eq!(journal.sets().len(), 1);
}
