//! Close (P24), and time that goes on while callbacks run (P20, P21).

use super::*;

/// Fails if a push is accepted after another one was refused with CLOSED, or if an accepted value gets lost on the way.
#[test]
fn p24_close_is_atomic_under_eight_pushing_threads() {
    let _watchdog = watchdog();
    for round in 0..20_u64 {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(16)
            .handler(echo)
            .on_result(ledger.on_result());
        let batcher = batcher.build().unwrap();
        let (closed, start) = (AtomicBool::new(false), Barrier::new(9));
        let left = thread::scope(|scope| {
            for producer in 0..8_u64 {
                let (batcher, ledger, closed, start) = (&batcher, &ledger, &closed, &start);
                scope.spawn(move || {
                    start.wait();
                    for tag in producer << 32.. {
                        let was_closed = closed.load(SeqCst);
                        match batcher.push_int64(1, tag) {
                            Ok(()) => {
                                assert!(!was_closed, "round {round}: accepted after CLOSED was answered");
                                ledger.pushed(tag);
                            }
                            Err(status) => {
                                assert_eq!(status, Status::CLOSED, "round {round}");
                                closed.store(true, SeqCst);
                                return;
                            }
                        }
                    }
                });
            }
            start.wait();
            thread::sleep(Duration::from_micros(100 * round));
            batcher.close(FOREVER).unwrap().left
        });
        assert_eq!(left, 0);
        let stats = batcher.stats().unwrap();
        assert_eq!(
            (stats.accepted, stats.ok, stats.undelivered),
            (ledger.accepted(), ledger.accepted(), 0)
        );
        ledger.assert_exactly_one_result_each();
        assert_eq!(stats.refused_with(Status::CLOSED), 8);
    }
}

/// Fails if the time-out discards nothing, is cut short, counts wrong, or if close returns before the results are out.
#[test]
fn p24_close_discards_at_the_timeout() {
    let _watchdog = watchdog();
    let (door, journal) = (Door::default(), Journal::new());
    let batcher = stuck(&door, 3, 4, |builder| builder.on_result(journal.on_result()));
    let _opens = door.opens_at_end();
    let start = Instant::now();
    assert_eq!(batcher.close(ms(30)).unwrap().left, 7);
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
    // The handler is still inside; its values and those that waited have their results all the same.
    let rows = journal.rows();
    assert_eq!(rows.len(), 7, "delivered before close returned");
    for row in rows {
        let handled = if row.tag < 3 { Handled::Maybe } else { Handled::No };
        assert_eq!(
            (row.outcome, row.code, row.handled),
            (Outcome::Discarded, Status::DISCARDED, handled)
        );
    }
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.discarded, stats.outstanding, stats.undelivered, stats.stuck),
        (7, 0, 0, 1)
    );
    assert_eq!(
        batcher.close(FOREVER).unwrap().left,
        7,
        "closing again says the same"
    );
    door.open();
    wait_until(|| batcher.stats().unwrap().stuck == 0);
    assert_eq!(
        batcher.stats().unwrap().ok,
        0,
        "what the handler answers now counts no more"
    );
}

/// Fails if close takes a delivery that began after the time-out for one that it cannot wait for.
#[test]
fn p24_results_are_delivered_before_close_returns_however_slow_on_result_is() {
    let _watchdog = watchdog();
    for round in 0..10 {
        let (door, delivered) = (Door::default(), Arc::new(AtomicUsize::new(0)));
        let count = delivered.clone();
        let batcher = stuck(&door, 1, 3, |builder| {
            builder.on_result(move |results| {
                thread::sleep(ms(3));
                count.fetch_add(results.len(), SeqCst);
            })
        });
        let _opens = door.opens_at_end();
        thread::scope(|scope| {
            for timeout in [ms(2), ms(2), ms(4)] {
                let (batcher, delivered) = (&batcher, &delivered);
                scope.spawn(move || {
                    assert_eq!(batcher.close(timeout).unwrap().left, 4);
                    assert_eq!(
                        delivered.load(SeqCst),
                        4,
                        "round {round}: close returned before the results were out"
                    );
                });
            }
        });
    }
}

/// Fails if close waits for an on_result that was running when the time-out came.
#[test]
fn p24_close_does_not_wait_for_an_on_result_that_never_returns() {
    let _watchdog = watchdog();
    let (door, inside) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let (behind, entered) = (door.clone(), inside.clone());
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler(echo)
        .on_result(move |_| {
            entered.store(true, SeqCst);
            behind.pass();
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    assert_eq!(
        batcher.close(ms(20)).unwrap().left,
        0,
        "its outcome was fixed before"
    );
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.ok, stats.undelivered), (1, 1));
}

/// Fails if a second closer is told that all is done while the first still drains.
#[test]
fn p24_a_second_closer_waits_too() {
    let _watchdog = watchdog();
    let (door, handled) = (Door::default(), Arc::new(AtomicUsize::new(0)));
    let (behind, count) = (door.clone(), handled.clone());
    let batcher = Batcher::builder().max_batch_size(2).handler(move |batch| {
        behind.pass();
        count.fetch_add(batch.len(), SeqCst);
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    for tag in 0..6 {
        batcher.push(1, tag).unwrap();
    }
    thread::scope(|scope| {
        for timeout in [FOREVER; 3] {
            let (batcher, handled) = (&batcher, &handled);
            scope.spawn(move || {
                assert_eq!(batcher.close(timeout).unwrap().left, 0);
                assert_eq!(handled.load(SeqCst), 6);
            });
        }
        thread::sleep(ms(10));
        door.open();
    });
}

/// Fails if a later, shorter time-out does not end an earlier close, or if the two count differently.
#[test]
fn p24_a_later_closer_may_shorten_the_time_out() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = stuck(&door, 2, 3, |builder| builder);
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let first = scope.spawn(|| batcher.close(Duration::MAX).unwrap().left);
        thread::sleep(ms(5));
        assert_eq!(batcher.close(ms(10)).unwrap().left, 5);
        assert_eq!(first.join().unwrap(), 5);
    });
}

/// Fails if close(0) lets anything more be handled, or waits for the handler inside.
#[test]
fn p24_close_zero_discards_at_once() {
    let _watchdog = watchdog();
    let (door, journal) = (Door::default(), Journal::new());
    let batcher = stuck(&door, 1, 5, |builder| builder.on_result(journal.on_result()));
    let _opens = door.opens_at_end();
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 6);
    assert_eq!(journal.rows().len(), 6);
    assert_eq!(batcher.stats().unwrap().batches, 1);
}

/// Fails if an idle handler thread gets the batch that close(0) has just sealed.
#[test]
fn p24_close_zero_hands_nothing_to_an_idle_handler() {
    let _watchdog = watchdog();
    for _ in 0..1000 {
        let batcher = Batcher::builder()
            .max_delay(FOREVER)
            .handler(echo)
            .build()
            .unwrap();
        batcher.push(1, 0).unwrap();
        assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 1);
        assert_eq!(batcher.stats().unwrap().batches, 0);
    }
}

/// Fails if deadlines and time-outs wait for an on_result that does not return, while every handler is busy too: the
/// thread that keeps the time is the one that delivers then.
#[test]
fn p20_p21_time_goes_on_while_every_thread_is_in_a_callback() {
    let _watchdog = watchdog();
    let (door, delivery) = (Door::default(), Door::default());
    let (behind, delivered) = (delivery.clone(), Arc::new(AtomicU64::new(0)));
    let sets = delivered.clone();
    let batcher = stuck(&door, 1, 0, |builder| {
        let builder = builder.threads(1).handler_timeout(ms(60)).queue_capacity(2);
        builder.on_result(move |_| {
            sets.fetch_add(1, SeqCst);
            behind.pass();
        })
    });
    let _opens = (door.opens_at_end(), delivery.opens_at_end());
    let after = |nanos| PushOptions::new().deadline(batcher.now().unwrap() + nanos);
    batcher.push_with(1, 1, after(1_000_000)).unwrap();
    wait_until(|| delivered.load(SeqCst) == 1);
    // The time thread is in on_result, the handler thread in its handler.
    batcher.push_with(2, 2, after(1_000_000)).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 3);
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.stuck, stats.undelivered), (1, 3));
    assert_eq!(delivered.load(SeqCst), 1);
    delivery.open();
    door.open();
    batcher.close(FOREVER).unwrap();
    assert_eq!(delivered.load(SeqCst), 3);
}

/// Fails if nobody looks at the clock for a deadline that comes when every thread is in a callback already.
#[test]
fn p20_a_first_deadline_counts_while_every_thread_is_in_a_callback() {
    let _watchdog = watchdog();
    let (door, delivery) = (Door::default(), Door::default());
    let (behind, delivered) = (delivery.clone(), Arc::new(AtomicU64::new(0)));
    let sets = delivered.clone();
    let batcher = stuck(&door, 1, 0, |builder| {
        builder.threads(1).on_result(move |_| {
            sets.fetch_add(1, SeqCst);
            behind.pass();
        })
    });
    let _opens = (door.opens_at_end(), delivery.opens_at_end());
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.cancel(1), Ok(1));
    wait_until(|| delivered.load(SeqCst) == 1);
    let soon = PushOptions::new().deadline(batcher.now().unwrap() + 1_000_000);
    batcher.push_with(2, 2, soon).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 1);
    delivery.open();
    door.open();
    batcher.close(FOREVER).unwrap();
    assert_eq!(delivered.load(SeqCst), 3);
}

/// Fails if close with nothing outstanding waits, or counts what was discarded earlier for other reasons.
#[test]
fn p24_close_of_an_idle_batcher_leaves_nothing() {
    let _watchdog = watchdog();
    for builder in [Batcher::builder(), given()] {
        let batcher = builder
            .on_full(OnFull::DiscardOldest)
            .queue_capacity(1)
            .handler(echo)
            .build()
            .unwrap();
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 0);
    }
    let batcher = timeless()
        .on_full(OnFull::DiscardOldest)
        .queue_capacity(1)
        .handler(echo)
        .build()
        .unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(
        batcher.close(FOREVER).unwrap().left,
        0,
        "the discarded one made room, close left nothing"
    );
    assert_eq!(batcher.stats().unwrap().discarded, 1);
}

/// Fails if manual close waits, if its time-out does not go on under run, or if closing again does not ask.
#[test]
fn p24_manual_close_goes_on_under_run() {
    let (kept, journal) = (Kept::default(), Journal::new());
    let batcher = timeless()
        .handler(kept.handler())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for tag in 0..3 {
        batcher.push(1, tag).unwrap();
        batcher.seal().unwrap();
    }
    batcher.advance(100).unwrap();
    assert_eq!(status(batcher.close(common::ns(50))), Status::IN_PROGRESS);
    assert_eq!(kept.len(), 1, "close does what run does");
    assert_eq!(batcher.next_due(), Ok(150));
    answer(kept.take()).unwrap();
    run_at(&batcher, 149);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        status(batcher.close(FOREVER)),
        Status::IN_PROGRESS,
        "asking does not lengthen it"
    );
    assert_eq!(batcher.next_due(), Ok(150));
    batcher.advance(150).unwrap();
    assert_eq!(
        batcher.stats().unwrap().discarded,
        0,
        "time passes under run only"
    );
    assert_eq!(batcher.close(FOREVER).unwrap().left, 2);
    let ends: Vec<_> = (0..3).map(|tag| journal.ended(tag).unwrap()).collect();
    assert_eq!(
        ends,
        [
            (Outcome::Ok, Status::OK, Handled::Yes),
            (Outcome::Discarded, Status::DISCARDED, Handled::Maybe),
            (Outcome::Discarded, Status::DISCARDED, Handled::No)
        ]
    );
    assert_eq!(status(answer(kept.take())), Status::TOO_LATE);
}

/// Fails if calls besides push, seal and new flushes stop working after close.
#[test]
fn p24_after_close_only_push_seal_and_new_flushes_answer_closed() {
    let kept = Kept::default();
    let batcher = timeless().pull_results().handler(kept.handler()).build().unwrap();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    batcher.push(3, 3).unwrap();
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    for (name, push) in PUSHERS {
        assert!(
            matches!(push(&batcher, 0, 9), Some(Status::CLOSED | Status::WRONG_OWNER)),
            "{name}"
        );
    }
    assert_eq!(batcher.check(1).unwrap_err().status(), Status::CLOSED);
    assert_eq!(status(batcher.seal()), Status::CLOSED);
    assert_eq!(status(batcher.flush_begin()), Status::CLOSED);
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::CLOSED);

    assert_eq!(
        status(batcher.flush_end(mark, Timeout::ZERO)),
        Status::IN_PROGRESS
    );
    assert_eq!(batcher.cancel(2), Ok(1));
    assert_eq!(batcher.cancel(1), Err(Status::TOO_LATE));
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [2]);
    answer(kept.take()).unwrap();
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [1]);
    batcher.flush_end(mark, Timeout::ZERO).unwrap();
    batcher.run().unwrap();
    answer(kept.take()).unwrap();
    assert_eq!(batcher.next_results(Timeout::ZERO).unwrap().tags(), [3]);
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::CLOSED);
    assert!(batcher.fd().is_ok() && batcher.now().is_ok() && batcher.next_due().is_ok());
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 0);
    assert!(batcher.stats().unwrap().balanced());
}

/// Fails if drained means delivered although the results are pulled: nobody could close and pull on one thread.
#[test]
fn p24_pulled_results_may_follow_close() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().pull_results().handler(echo).build().unwrap();
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(batcher.next_results(FOREVER).unwrap().tags(), [1]);
    assert_eq!(status(batcher.next_results(FOREVER)), Status::CLOSED);
}
