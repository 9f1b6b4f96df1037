//! Handlers that overrun their time (P21).

use super::*;

/// Fails if the time-out runs from acceptance or from the seal (`expires_at` in `dispatch`), or is a nanosecond off.
#[test]
fn p21_handler_timeout_bounds_a_batch_from_dispatch() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler(shelf.keep())
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    push_all(&batcher, 1..=2);
    batcher.advance(50).unwrap();
    batcher.seal().unwrap();
    run_at(&batcher, 100);
    assert_eq!((shelf.len(), batcher.next_due()), (1, Ok(110)));
    run_at(&batcher, 109);
    assert_eq!(journal.rows().len(), 0);
    run_at(&batcher, 110);
    for tag in 1..=2 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
    assert_eq!(batcher.stats().unwrap().expired, 2);
    push_all(&batcher, [3]);
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(shelf.take().tags(), [1, 2]);
    assert_eq!(batcher.next_due(), Ok(120));
    run_at(&batcher, 119);
    assert_eq!(finish(shelf.take()), Status::OK, "in time");
    run_at(&batcher, 500);
    assert_eq!(journal.row(3).value, int(3));
}

/// Fails if every part has a time of its own (`expires_at` set in `begin_part`).
#[test]
fn p21_the_parts_of_a_batch_share_its_time() {
    let _watchdog = watchdog();
    let (journal, shelf, door) = (Journal::new(), Shelf::new(), Door::new());
    let stop = door.clone();
    let slow = move |batch: &mut Batch<'_>| {
        stop.stop();
        echo(batch)
    };
    let options = timeless()
        .handler_timeout(ns(10))
        .handler_for(Kind::Int64, slow)
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, [1]);
    batcher.push("kept", 2).unwrap();
    batcher.seal().unwrap();
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        batcher.advance(6).unwrap();
    });
    assert_eq!(
        (shelf.len(), batcher.next_due()),
        (1, Ok(10)),
        "the second part began at 6"
    );
    run_at(&batcher, 10);
    assert_eq!(journal.ended(1), Some((Outcome::Ok, Status::OK, Handled::Yes)));
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
    );
}

/// Fails if a time-out takes finished parts along (`cut_flight` that does not skip what is done).
#[test]
fn p21_finished_parts_keep_their_results() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless().handler_timeout(ns(10)).handler_for(Kind::Int64, echo);
    let options = options.handler_for(Kind::String, |_| Err(Failure::new(5, "no")));
    let batcher = options
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push(true, 1).unwrap();
    batcher.push(2, 2).unwrap();
    batcher.push("c", 3).unwrap();
    batcher.push(4.0, 4).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    run_at(&batcher, 10);
    assert_eq!(journal.sets()[0].tags(), [1, 2, 3, 4]);
    assert_eq!(
        (journal.row(2).value, journal.row(3).message),
        (int(2), "no".to_owned())
    );
    for tag in [1, 4] {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
}

/// Fails if a stuck handler's thread is not counted (`is_stuck`), its late answer changes results, or is not counted
/// as late (`PartState::Cut` in `end_handler`).
#[test]
fn p21_a_handler_that_does_not_return_in_time_is_stuck_and_then_late() {
    let _watchdog = watchdog();
    let (journal, door, answers) = (Journal::new(), Door::new(), Notes::new());
    let (stop, notes) = (door.clone(), answers.clone());
    let handler = move |batch: &mut Batch<'_>| {
        if batch.number() == 1 {
            batch.set(0, 10)?;
            stop.stop();
            notes.add([
                status(batch.set(0, 11)),
                status(batch.fail(0, 1, "")),
                status(batch.keep()),
            ]);
        }
        echo(batch)
    };
    let options = timeless()
        .handler_timeout(ns(10))
        .max_in_flight(2)
        .handler(handler);
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, [1]);
    batcher.seal().unwrap();
    let gauges = || {
        let stats = batcher.stats().unwrap();
        (
            stats.stuck,
            stats.late,
            stats.in_flight,
            stats.oldest_in_flight_age,
        )
    };
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        let inside = scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        run_at(&batcher, 9);
        assert_eq!((gauges(), journal.rows().len()), ((0, 0, 1, 9), 0));
        run_at(&batcher, 10);
        assert_eq!(
            journal.ended(1),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
        assert_eq!(
            (gauges().0, gauges().1, gauges().2),
            (1, 0, 1),
            "the thread is stuck"
        );
        assert_eq!(batcher.cancel(1), Err(Status::NOT_FOUND), "its outcome stands");
        push_all(&batcher, [2]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        assert_eq!(journal.row(2).value, int(2), "the other slot works on");
        assert_eq!(gauges().0, 1);
        door.open();
        inside.join().unwrap();
    });
    assert_eq!((gauges(), batcher.stats().unwrap().expired), ((0, 1, 0, 0), 1));
    assert_eq!(
        answers.all(),
        [[Status::TOO_LATE; 3]],
        "what the handler set, failed and kept after its time"
    );
    batcher.run().unwrap();
    assert_eq!(journal.rows().len(), 2, "and no result comes twice");
}

/// Fails if the return of a handler that was too late touches outcomes that stand (`settle` without its look at
/// `fixed`): the host may be reading them.
#[test]
fn p21_what_was_delivered_stays_when_the_handler_returns_at_last() {
    let _watchdog = watchdog();
    let door = Door::new();
    let stop = door.clone();
    let handler = move |_: &mut Batch<'_>| -> Answer {
        stop.stop();
        Err(Failure::new(5, "too late to say so"))
    };
    for own in [true, false] {
        let options = given().handler_timeout(ns(10));
        let options = match own {
            true => options.handler_for(Kind::Int64, handler.clone()).handler(echo),
            false => options.handler(handler.clone()),
        };
        let batcher = options.pull_results().build().unwrap();
        batcher
            .push("of a part that is never called, if the other is one", 1)
            .unwrap();
        push_all(&batcher, 2..=3);
        thread::scope(|scope| {
            let _opener = door.opens_at_the_end();
            let inside = scope.spawn(|| batcher.run().unwrap());
            door.wait_for(1);
            batcher.advance(10).unwrap();
            let results = batcher.next_results(Timeout::ZERO).unwrap();
            let before = Set::of(&results);
            assert!(
                before.rows.iter().all(|row| row.code == Status::HANDLER_TIMEOUT),
                "{before:?}"
            );
            door.open();
            inside.join().unwrap();
            assert_eq!(Set::of(&results), before);
        });
        assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::TIMEOUT);
        assert_eq!(
            (batcher.stats().unwrap().expired, batcher.stats().unwrap().late),
            (3, 1)
        );
        door.close();
    }
}

/// Fails if nobody but the stuck handler's thread looks at the time (the time thread), or a batch expires before its
/// time.
#[test]
fn p21_a_stuck_thread_neither_delays_results_nor_stops_the_others() {
    let _watchdog = watchdog();
    let door = Door::new();
    let (stop, (sender, results)) = (door.clone(), mpsc::channel());
    let sender = Mutex::new(sender);
    let handler = move |batch: &mut Batch<'_>| {
        if batch.tags()[0] == 1 {
            stop.stop();
        }
        echo(batch)
    };
    const TIMEOUT: Duration = Duration::from_millis(20);
    let on_result = move |results: &Results<'_>| sender.lock().unwrap().send(Set::of(results)).unwrap();
    let options = Batcher::builder()
        .threads(2)
        .handler_timeout(TIMEOUT)
        .handler(handler);
    let batcher = options.on_result(on_result).build().unwrap();
    let _opener = door.opens_at_the_end();
    push_all(&batcher, [1]);
    door.wait_for(1);
    let expired = results.recv().unwrap();
    // The clock of the time-out began before the handler did, by less than a few milliseconds in any sane run.
    assert_eq!(
        (expired.rows[0].tag, expired.rows[0].code),
        (1, Status::HANDLER_TIMEOUT)
    );
    assert_eq!(
        (batcher.stats().unwrap().stuck, batcher.stats().unwrap().in_flight),
        (1, 1)
    );
    push_all(&batcher, [2]);
    let answered = results.recv().unwrap();
    assert_eq!(
        (answered.rows[0].tag, answered.rows[0].code),
        (2, Status::OK),
        "by the other thread"
    );
    door.open();
    wait_until(|| batcher.stats().unwrap().stuck == 0);
    assert_eq!(batcher.stats().unwrap().late, 1);
    batcher.flush(FOREVER).unwrap();
    assert!(results.try_recv().is_err(), "the late answer is nobody's result");
}
