//! Pulled batches and results (P29).

use super::*;

/// Takes batches until there are no more, answers them, and says how many values that were.
fn pull_batches(batcher: &Batcher) -> u64 {
    let mut values = 0;
    loop {
        match batcher.next_batch(FOREVER) {
            Ok(held) => {
                values += held.len() as u64;
                answer(held).unwrap();
            }
            Err(ended) => {
                assert_eq!(
                    ended,
                    Status::CLOSED,
                    "a puller was not told that the batcher is closed and empty"
                );
                return values;
            }
        }
    }
}

/// Fails if a batch is handed out twice or to nobody, or if a puller sleeps on when there is work or an end.
#[test]
fn p29_several_threads_pull_batches() {
    let _watchdog = watchdog();
    for (round, slots) in [1, 2, 4, 8].into_iter().enumerate() {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .max_in_flight(slots)
            .max_batch_size(8)
            .queue_capacity(64);
        let batcher = batcher
            .push_timeout(FOREVER)
            .max_delay(Duration::from_micros(50 * round as u64));
        let batcher = batcher.on_result(ledger.on_result()).build().unwrap();
        let pulled: u64 = thread::scope(|scope| {
            let pullers: Vec<_> = (0..4).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
            let producers: Vec<_> = (0..3_u64)
                .map(|producer| {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        for tag in producer * 10_000..producer * 10_000 + 700 {
                            batcher.push_int64(1, tag).unwrap();
                            ledger.pushed(tag);
                        }
                    })
                })
                .collect();
            producers
                .into_iter()
                .for_each(|producer| producer.join().unwrap());
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
            pullers.into_iter().map(|puller| puller.join().unwrap()).sum()
        });
        assert_eq!((pulled, ledger.count(Outcome::Ok)), (2100, 2100));
        ledger.assert_exactly_one_result_each();
    }
}

/// Two batches and one slot, which the first has.
fn one_of_two_pulled() -> (Batcher, HeldBatch) {
    let batcher = Batcher::builder()
        .max_in_flight(1)
        .max_delay(FOREVER)
        .build()
        .unwrap();
    for tag in 0..2 {
        batcher.push(1, tag).unwrap();
        batcher.seal().unwrap();
    }
    let first = batcher.next_batch(FOREVER).unwrap();
    (batcher, first)
}

/// Fails if the puller that takes the last batch, or ends it, leaves the others asleep.
#[test]
fn p29_the_end_is_told_to_every_puller() {
    let _watchdog = watchdog();
    let (batcher, first) = one_of_two_pulled();
    thread::scope(|scope| {
        let pullers: Vec<_> = (0..3).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
        let closer = scope.spawn(|| batcher.close(FOREVER));
        // All of them wait for the one slot, or will.
        thread::sleep(ms(20));
        answer(first).unwrap();
        let pulled: u64 = pullers.into_iter().map(|puller| puller.join().unwrap()).sum();
        assert_eq!((pulled, closer.join().unwrap().unwrap().left), (1, 0));
    });
}

/// Fails if a puller that waits for a slot is not told when close discards what it waits for.
#[test]
fn p29_a_discarding_close_is_told_to_every_puller() {
    let _watchdog = watchdog();
    let (batcher, first) = one_of_two_pulled();
    thread::scope(|scope| {
        let pullers: Vec<_> = (0..3).map(|_| scope.spawn(|| pull_batches(&batcher))).collect();
        thread::sleep(ms(10));
        assert_eq!(batcher.close(ms(10)).unwrap().left, 2);
        let pulled: u64 = pullers.into_iter().map(|puller| puller.join().unwrap()).sum();
        assert_eq!(pulled, 0);
    });
    assert_eq!(status(answer(first)), Status::TOO_LATE);
}

/// Fails if a caller that gives up takes the watch over the open batch with it, and those who still wait sleep on.
#[test]
fn p29_next_batch_hands_the_watch_over() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().max_delay(ms(300)).build().unwrap();
    batcher.push(1, 1).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(status(batcher.next_batch(ms(100))), Status::TIMEOUT));
        // The first most likely sleeps by now, and watches.
        thread::sleep(Duration::from_millis(30));
        scope.spawn(|| answer(batcher.next_batch(FOREVER).unwrap()).unwrap());
    });
}

/// Fails if a time-out is cut short, or a batch that is not due is handed out.
#[test]
fn p29_next_batch_waits_for_its_time_out() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_delay(FOREVER)
        .close_timeout(ms(1))
        .build()
        .unwrap();
    for value in [false, true] {
        if value {
            batcher.push(1, 1).unwrap();
        }
        let start = Instant::now();
        assert_eq!(status(batcher.next_batch(ms(30))), Status::TIMEOUT);
        assert!(start.elapsed() >= ms(30));
    }
    assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::TIMEOUT);
}

/// Fails if a waiting puller misses a push, a seal, a delay that passes, or a slot that comes free.
#[test]
fn p29_a_waiting_puller_is_woken() {
    let _watchdog = watchdog();
    type Wake = (&'static str, Trigger, fn(Builder) -> Builder, fn(&Batcher));
    let wakes: [Wake; 4] = [
        ("push", Trigger::Idle, |b| b, |b| b.push(1, 1).unwrap()),
        (
            "size",
            Trigger::Size,
            |b| b.max_delay(FOREVER).max_batch_size(1),
            |b| b.push(1, 1).unwrap(),
        ),
        (
            "seal",
            Trigger::Flush,
            |b| b.max_delay(FOREVER),
            |b| {
                b.push(1, 1).unwrap();
                b.seal().unwrap();
            },
        ),
        (
            "delay",
            Trigger::Delay,
            |b| b.max_delay(ms(10)),
            |b| b.push(1, 1).unwrap(),
        ),
    ];
    for (what, trigger, options, wake) in wakes {
        for early in [false, true] {
            let batcher = options(Batcher::builder()).build().unwrap();
            thread::scope(|scope| {
                if early {
                    wake(&batcher);
                }
                let puller = scope.spawn(|| {
                    let held = batcher.next_batch(FOREVER).expect(what);
                    assert_eq!(held.trigger(), trigger, "{what}");
                    assert!(what != "delay" || held.age() >= ms(10), "{:?}", held.age());
                    answer(held).unwrap();
                });
                if !early {
                    thread::sleep(ms(5));
                    wake(&batcher);
                }
                puller.join().unwrap();
            });
        }
    }
    let batcher = Batcher::builder().build().unwrap();
    batcher.push(1, 1).unwrap();
    let held = batcher.next_batch(FOREVER).unwrap();
    batcher.push(1, 2).unwrap();
    thread::scope(|scope| {
        let puller = scope.spawn(|| answer(batcher.next_batch(FOREVER).expect("slot")).unwrap());
        thread::sleep(ms(5));
        answer(held).unwrap();
        puller.join().unwrap();
    });
}

/// Fails if a set of results is handed out twice or to nobody, or if a waiting thread is not told of the end.
#[test]
fn p29_several_threads_pull_results() {
    let _watchdog = watchdog();
    for rounds in 0..5 {
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(8)
            .queue_capacity(64)
            .result_capacity(128);
        let batcher = batcher
            .push_timeout(FOREVER)
            .pull_results()
            .handler(echo)
            .build()
            .unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        match batcher.next_results(FOREVER) {
                            Ok(results) => ledger.came(&results),
                            Err(ended) => return assert_eq!(ended, Status::CLOSED),
                        }
                    }
                });
            }
            for tag in 0..2000 {
                batcher.push_int64(1, tag).unwrap();
                ledger.pushed(tag);
                if tag % 50 == rounds {
                    // Whether it still waits is chance; either way it has one result.
                    let _ = batcher.cancel(tag);
                }
            }
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        });
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), 2000);
    }
}

/// Fails if a time-out is cut short, or a waiting thread misses results.
#[test]
fn p29_next_results_waits_for_its_time_out() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder().pull_results().handler(echo).build().unwrap();
    let start = Instant::now();
    assert_eq!(status(batcher.next_results(ms(30))), Status::TIMEOUT);
    assert!(start.elapsed() >= ms(30));
    thread::scope(|scope| {
        let puller = scope.spawn(|| {
            batcher
                .next_results(FOREVER)
                .map(|results| results.tags().to_vec())
        });
        thread::sleep(ms(5));
        batcher.push(1, 7).unwrap();
        assert_eq!(puller.join().unwrap(), Ok(vec![7]));
    });
}

/// Fails if one thread cannot be producer, handler and owner of a batcher in turn.
#[test]
fn p29_one_thread_can_do_everything() {
    let _watchdog = watchdog();
    for builder in [manual(), Batcher::builder()] {
        let batcher = builder.pull_results().max_batch_size(4).build().unwrap();
        for tag in 0..12 {
            batcher.push(tag as i64, tag).unwrap();
        }
        for set in 0..3_u64 {
            let held = batcher.next_batch(FOREVER).unwrap();
            assert_eq!(held.tags(), [set * 4, set * 4 + 1, set * 4 + 2, set * 4 + 3]);
            answer(held).unwrap();
            let results = batcher.next_results(FOREVER).unwrap();
            assert_eq!(results.int64s().unwrap()[3], set as i64 * 4 + 3);
        }
        assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::TIMEOUT);
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(status(batcher.next_batch(FOREVER)), Status::CLOSED);
        assert_eq!(status(batcher.next_results(FOREVER)), Status::CLOSED);
    }
}

/// Fails if pulling works on a batcher with handlers, or results can be pulled that go to on_result.
#[test]
fn p29_pulling_is_refused_where_others_take() {
    let batcher = given().handler(echo).build().unwrap();
    assert_eq!(status(batcher.next_batch(Timeout::ZERO)), Status::WRONG_MODE);
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::WRONG_MODE);
    let error = given()
        .pull_results()
        .on_result(|_| {})
        .handler(echo)
        .build()
        .unwrap_err();
    assert_eq!(
        (error.status(), error.subject()),
        (Status::INVALID_OPTION, "results")
    );
}
