//! What outlives a batcher, or ends with it (P26).

use super::*;

/// A batcher of objects whose releases are noted.
fn releasing(builder: Builder) -> (Builder, Arc<Mutex<Vec<u64>>>) {
    let released: Arc<Mutex<Vec<u64>>> = Arc::default();
    let words = released.clone();
    (
        builder.on_object_release(7, move |word| words.lock().unwrap().push(word)),
        released,
    )
}

fn object(word: u64) -> Object {
    Object {
        owner: 7,
        word,
        size: 0,
    }
}

/// Fails if objects of a batch that is held past free wait for every other held batch, leak, or go twice.
#[test]
fn p26_objects_of_held_batches_go_with_their_own_batch() {
    let kept = Kept::default();
    let (builder, released) = releasing(timeless().max_in_flight(2).handler(kept.handler()));
    let batcher = builder.build().unwrap();
    for word in [1, 2] {
        batcher.push(object(word), word).unwrap();
        batcher.seal().unwrap();
    }
    batcher.run().unwrap();
    let (first, second) = (kept.take(), kept.take());
    drop(batcher);
    assert!(
        released.lock().unwrap().is_empty(),
        "both batches are still shown"
    );
    drop(first);
    assert_eq!(*released.lock().unwrap(), [1]);
    assert_eq!(status(second.complete()), Status::TOO_LATE);
    assert_eq!(*released.lock().unwrap(), [1, 2]);
}

/// Fails if objects leak when the results of a timed-out batch go before the batch itself, after free.
#[test]
fn p26_objects_shown_by_results_and_batch_go_with_the_last_of_them() {
    for results_first in [false, true] {
        for freed in [false, true] {
            let kept = Kept::default();
            let builder = timeless()
                .pull_results()
                .handler_timeout(common::ns(10))
                .handler(kept.handler());
            let (builder, released) = releasing(builder);
            let batcher = builder.build().unwrap();
            batcher.push(object(1), 1).unwrap();
            batcher.seal().unwrap();
            batcher.run().unwrap();
            batcher.advance(10).unwrap();
            let results = batcher.next_results(Timeout::ZERO).unwrap();
            assert_eq!(results.outcome(0), Outcome::Expired);
            let held = kept.take();
            let batcher = if freed {
                drop(batcher);
                None
            } else {
                Some(batcher)
            };
            if results_first {
                drop(results);
                assert!(released.lock().unwrap().is_empty(), "the batch is still shown");
                drop(held);
            } else {
                drop(held);
                assert!(released.lock().unwrap().is_empty(), "the results are still shown");
                drop(results);
            }
            if let Some(batcher) = batcher {
                batcher.run().unwrap();
            }
            assert_eq!(
                *released.lock().unwrap(),
                [1],
                "results first {results_first}, freed before {freed}"
            );
        }
    }
}

/// Fails if abandoning, or dropping, a batcher inside one of its own callbacks waits for itself or leaves a thread.
#[test]
fn p26_a_batcher_may_end_inside_its_own_callbacks() {
    alone("p26_a_batcher_may_end_inside_its_own_callbacks", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        for place in PLACES {
            for abandon in [false, true] {
                let (drops, ledger) = (Drops::default(), Ledger::new());
                let cell: Arc<Mutex<Option<Batcher>>> = Arc::default();
                let ended = Arc::new(AtomicUsize::new(0));
                let at = |here: Place| {
                    let (cell, token, ended) = (cell.clone(), drops.token(), ended.clone());
                    move || {
                        drop_nothing(&token);
                        let mut cell = cell.lock().unwrap();
                        let Some(batcher) = cell.take_if(|_| here == place) else {
                            return;
                        };
                        drop(cell);
                        if abandon {
                            batcher.abandon();
                        } else {
                            drop(batcher);
                        }
                        // A panic in there would be taken for one of the callback's own.
                        ended.fetch_add(1, SeqCst);
                    }
                };
                let (handler, on_result, release, log) = (
                    at(Place::Handler),
                    at(Place::OnResult),
                    at(Place::Release),
                    at(Place::Log),
                );
                let came = ledger.on_result();
                let batcher = Batcher::builder().threads(2).max_batch_size(2).max_delay(FOREVER);
                let batcher = batcher.handler(move |batch| {
                    handler();
                    echo(batch)
                });
                let batcher = batcher.on_result(move |results| {
                    came(results);
                    on_result();
                    std::panic::resume_unwind(Box::new("for the log"));
                });
                let batcher = batcher
                    .on_object_release(7, move |_| release())
                    .log(move |_, _| log())
                    .build()
                    .unwrap();
                batcher.fd().unwrap();
                {
                    // Whoever wants to take it waits until all values are in.
                    let mut cell = cell.lock().unwrap();
                    for tag in 0..7 {
                        batcher.push(object(tag), tag).unwrap();
                        ledger.pushed(tag);
                    }
                    batcher.seal().unwrap();
                    *cell = Some(batcher);
                }
                wait_until(|| drops.count() == 4 && footprint() == baseline);
                ledger.assert_exactly_one_result_each();
                assert_eq!(
                    (ledger.accepted(), ended.load(SeqCst)),
                    (7, 1),
                    "{place:?}, abandon {abandon}"
                );
            }
        }
    });
}

/// Fails if values that are outstanding at the end of a manual batcher get no result, or get it after free returned.
#[test]
fn p26_free_of_a_manual_batcher_delivers_what_is_outstanding() {
    for abandon in [false, true] {
        let (kept, journal) = (Kept::default(), Journal::new());
        let (builder, released) = releasing(timeless().max_batch_size(2));
        let batcher = builder
            .handler(kept.handler())
            .on_result(journal.on_result())
            .build()
            .unwrap();
        for tag in 0..5 {
            batcher.push(object(tag), tag).unwrap();
        }
        batcher.run().unwrap();
        assert_eq!(batcher.cancel(4), Ok(1));
        if abandon {
            batcher.abandon();
        } else {
            drop(batcher);
        }
        let ends: Vec<_> = (0..5).map(|tag| journal.ended(tag).unwrap()).collect();
        let discarded = |handled| (Outcome::Discarded, Status::DISCARDED, handled);
        assert_eq!(
            ends,
            [
                discarded(Handled::Maybe),
                discarded(Handled::Maybe),
                discarded(Handled::No),
                discarded(Handled::No),
                (Outcome::Cancelled, Status::CANCELLED, Handled::No)
            ]
        );
        let mut words = released.lock().unwrap().clone();
        words.sort_unstable();
        assert_eq!(words, [2, 3, 4], "the batch in flight is still held");
        drop(kept.take());
        words = released.lock().unwrap().clone();
        words.sort_unstable();
        assert_eq!(words, [0, 1, 2, 3, 4]);
    }
}

/// Fails if results that nobody pulled, or strings that the batcher owns, are not given back by free.
#[test]
fn p26_free_gives_back_what_nobody_took() {
    let (builder, released) = releasing(timeless().pull_results().handler(|batch| {
        for row in 0..batch.len() {
            batch.set(row, object(100 + batch.tags()[row]))?;
        }
        Ok(())
    }));
    let batcher = builder.build().unwrap();
    for tag in 0..3 {
        batcher.push(object(tag), tag).unwrap();
    }
    batcher.seal().unwrap();
    batcher.run().unwrap();
    batcher.push(object(3), 3).unwrap();
    drop(batcher);
    let mut words = released.lock().unwrap().clone();
    words.sort_unstable();
    assert_eq!(words, [0, 1, 2, 3, 100, 101, 102]);
}

/// Fails if the values of results that are taken depend on the batch they came from.
#[test]
fn p26_results_stay_readable_while_new_batches_reuse_memory() {
    let batcher = timeless()
        .pull_results()
        .max_batch_size(4)
        .handler(echo)
        .build()
        .unwrap();
    let mut sets: Vec<Results<'static>> = Vec::new();
    for set in 0..10_i64 {
        batcher
            .push_int64s(&[set, set + 1, set + 2, set + 3], Tags::From(set as u64))
            .1
            .unwrap();
        batcher.run().unwrap();
        sets.push(batcher.next_results(Timeout::ZERO).unwrap());
        if set % 3 == 2 {
            sets.remove(0);
        }
    }
    for set in sets {
        let first = set.tags()[0] as i64;
        let values: Vec<_> = (0..4)
            .map(|row| common::Copied::from(set.value(row).unwrap()))
            .collect();
        assert_eq!(values, ints(&[first, first + 1, first + 2, first + 3]));
    }
}
