//! No memory (P33).

use super::*;

/// Fails if creation aborts, hangs, keeps anything, or says anything but NO_MEMORY.
#[test]
fn p33_creation_without_memory_answers_no_memory() {
    alone("p33_creation_without_memory_answers_no_memory", || {
        let _watchdog = watchdog();
        for manual in [true, false] {
            without_every_allocation(|| {
                let books = Books::new();
                let builder = builder(
                    &books,
                    Batcher::builder().mode(if manual { Mode::Manual } else { Mode::Threaded }),
                );
                match counted(|| builder.build()) {
                    Ok(batcher) => drop(batcher),
                    Err(error) => assert_eq!(error.status(), Status::NO_MEMORY, "{error}"),
                }
                books.assert_closed(CLOSURES);
            });
        }
        // The text of an error is cut off where memory ends; the error itself is not.
        without_every_allocation(|| {
            let error = counted(|| Batcher::builder().option("max_dely", "5ms")).unwrap_err();
            assert_eq!(error.status(), Status::INVALID_OPTION);
            let error =
                counted(|| Batcher::builder().max_batch_size(5).queue_capacity(2).build()).unwrap_err();
            assert!(
                matches!(error.status(), Status::INVALID_OPTION | Status::NO_MEMORY),
                "{error}"
            );
        });
    });
}

/// What a bulk push answered, which takes a prefix: up to the first that was refused.
fn pushed_many(books: &Books, tags: std::ops::Range<u64>, taken: usize, refusal: Status) {
    for (index, tag) in tags.enumerate().take(taken + 1) {
        books.pushed(tag, if index < taken { Status::OK } else { refusal });
    }
}

/// Pushes values of every kind in every way, with every extra.
fn push_everything(batcher: &Batcher, books: &Books, first: u64, producers: bool) {
    let long = "x".repeat(3000);
    let mut tag = first;
    let mut next = |push: &dyn Fn(u64) -> Status| {
        tag += 1;
        let answer = counted(|| push(tag));
        books.pushed(tag, answer);
        answer
    };
    next(&|tag| status(batcher.push_int64(1, tag)));
    next(&|tag| status(batcher.push_float64(1.5, tag)));
    next(&|tag| status(batcher.push((), tag)));
    next(&|tag| status(batcher.push_str("short", tag)));
    next(&|tag| status(batcher.push_bytes(b"bytes", tag)));
    next(&|tag| status(batcher.push_str(&long, tag)));
    next(&|tag| status(batcher.push_with(true, tag, PushOptions::new().deadline(50))));
    next(&|tag| status(batcher.push_with("text", tag, PushOptions::new().deadline(60))));
    for _ in 0..4 {
        next(&|tag| {
            let answer = status(batcher.push(object(tag), tag));
            books.offered(tag, answer);
            answer
        });
    }
    if producers {
        match counted(|| batcher.producer()) {
            Ok(producer) => {
                for _ in 0..3 {
                    next(&|tag| status(producer.push_int64(1, tag)));
                }
                next(&|tag| status(producer.push("text", tag)));
                counted(|| drop(producer));
            }
            Err(refused) => assert_eq!(refused, Status::NO_MEMORY),
        }
    }
    let (taken, answer) = counted(|| batcher.push_int64s(&[1; 5], Tags::From(tag + 1)));
    pushed_many(books, tag + 1..tag + 1 + 5, taken, status(answer));
    tag += 5;
    let values = [Value::Bytes(b"b"), Value::String(&long), Value::Float64(2.5)];
    let (taken, answer) = counted(|| batcher.push_values(&values, Tags::From(tag + 1)));
    pushed_many(books, tag + 1..tag + 1 + 3, taken, status(answer));
}

/// A life of a batcher in virtual time, with all that can need memory in it.
fn life(options: fn(Builder) -> Builder) {
    let books = Books::new();
    let builder = builder(&books, options(timeless().max_batch_size(10).queue_capacity(60)));
    let Ok(batcher) = counted(|| builder.build()) else {
        return books.assert_closed(CLOSURES);
    };
    // There may be no memory to do it, and never anything wrong.
    let fine = |answer: Status| {
        let fine = [
            Status::OK,
            Status::NO_MEMORY,
            Status::NOT_FOUND,
            Status::TOO_LATE,
            Status::IN_PROGRESS,
        ];
        assert!(fine.contains(&answer), "{answer:?}");
    };
    for round in 0..2_u64 {
        push_everything(&batcher, &books, 1 + 50 * round, true);
        fine(status(counted(|| batcher.cancel(3 + 50 * round))));
        fine(status(counted(|| batcher.cancel(9 + 50 * round))));
        fine(status(counted(|| batcher.seal())));
        fine(status(counted(|| batcher.advance(55 + 100 * round as i64))));
        fine(counted(|| {
            batcher.fd().map_or_else(|e| e.status(), |_| Status::OK)
        }));
        fine(status(counted(|| batcher.run())));
        fine(status(counted(|| batcher.flush_begin())));
        let stats = counted(|| batcher.stats()).unwrap();
        assert!(stats.balanced(), "{stats:?}");
        let accepted: u32 = books.accepted.iter().map(|accepted| accepted.load(SeqCst)).sum();
        assert_eq!(stats.accepted, u64::from(accepted));
    }
    push_everything(&batcher, &books, 101, false);
    fine(status(counted(|| batcher.close(Timeout::ZERO))));
    assert!(batcher.stats().unwrap().balanced());
    counted(|| drop(batcher));
    books.assert_closed(CLOSURES);
}

/// Fails if a lack of memory aborts, loses a value or an object, or upsets the accounts: at every single allocation.
#[test]
fn p33_a_life_without_memory_loses_nothing() {
    alone("p33_a_life_without_memory_loses_nothing", || {
        let _watchdog = watchdog();
        without_every_allocation(|| life(|builder| builder));
    });
}

/// Fails if discarding, ordered delivery or small batches need memory that was not reserved.
#[test]
fn p33_other_options_lose_nothing_either() {
    alone("p33_other_options_lose_nothing_either", || {
        let _watchdog = watchdog();
        without_every_allocation(|| life(|b| b.option("delivery", "ordered").unwrap().max_delay(ns(0))));
        without_every_allocation(|| {
            life(|b| {
                b.on_full(OnFull::DiscardOldest)
                    .queue_capacity(12)
                    .max_batch_size(4)
            });
        });
    });
}

/// Fails if a batch that comes back after the pool was given back finds that its places went with it.
#[test]
fn p33_a_batch_that_was_held_comes_back_to_its_places() {
    alone("p33_a_batch_that_was_held_comes_back_to_its_places", || {
        let _watchdog = watchdog();
        let made = || {
            let batcher = timeless().handler(echo).pull_results().build().unwrap();
            let mut sets = (0..2).map(|tag| {
                batcher.push_int64(1, tag).unwrap();
                batcher.seal().unwrap();
                batcher.run().unwrap();
                batcher.next_results(Timeout::ZERO).unwrap()
            });
            let held = (sets.next().unwrap(), sets.next().unwrap());
            drop(sets);
            (batcher, held)
        };
        let mut all: Vec<_> = (0..8).map(|_| made()).collect();
        let mut held = Vec::new();
        for (batcher, (one, other)) in all.drain(..) {
            drop(other);
            held.push((batcher, one));
        }
        // After a second of idleness the pool goes, and the held batch stays.
        for (batcher, one) in &held {
            let both = batcher.stats().unwrap().bytes_in_use;
            wait_until(|| {
                batcher.run().unwrap();
                batcher.stats().unwrap().bytes_in_use < both
            });
            assert_eq!(one.len(), 1);
        }
        for (k, (batcher, one)) in held.into_iter().enumerate() {
            drop(one);
            // All are refused from the k-th on.
            ASKED.store(0, SeqCst);
            LAST.store(u64::MAX, SeqCst);
            FIRST.store(k as u64, SeqCst);
            let pushed = status(counted(|| batcher.push_int64(1, 5)));
            assert!(matches!(pushed, Status::OK | Status::NO_MEMORY), "{pushed:?}");
            counted(|| batcher.seal()).unwrap();
            counted(|| batcher.run()).unwrap();
            FIRST.store(u64::MAX, SeqCst);
            batcher.run().unwrap();
            assert_eq!(batcher.next_results(Timeout::ZERO).is_ok(), pushed.is_ok(), "{k}");
        }
    });
}

/// Fails if an accepted value lacks memory later: everything after acceptance must have been reserved.
#[test]
fn p33_what_was_accepted_needs_no_memory_until_its_result_is_delivered() {
    alone(
        "p33_what_was_accepted_needs_no_memory_until_its_result_is_delivered",
        || {
            let _watchdog = watchdog();
            for ordered in [false, true] {
                let books = Books::new();
                let came = Pen(books.clone());
                let builder = timeless()
                    .option("delivery", if ordered { "ordered" } else { "as_completed" })
                    .unwrap();
                let builder = builder.max_batch_size(8).queue_capacity(200).handler(|batch| {
                    for row in 0..batch.len() {
                        // A cell: results of 8 bytes have their places.
                        batch.set(row, 7)?;
                    }
                    Ok(())
                });
                let batcher = builder
                    .on_result(move |results| came.0.came(results))
                    .build()
                    .unwrap();
                for tag in 0..100 {
                    books.pushed(tag, status(batcher.push_int64(1, tag)));
                }
                for tag in 100..200 {
                    books.pushed(tag, status(batcher.push("text", tag)));
                }
                // From here on there is no memory at all.
                ASKED.store(0, SeqCst);
                FIRST.store(0, SeqCst);
                let ended = counted(|| {
                    let flushed = status(batcher.flush(Timeout::ZERO));
                    let closed = batcher.close(FOREVER);
                    drop(batcher);
                    (flushed, closed.map(|closed| closed.left))
                });
                FIRST.store(u64::MAX, SeqCst);
                assert_eq!(ended, (Status::OK, Ok(0)), "ordered {ordered}");
                books.assert_closed(1);
            }
        },
    );
}

/// Fails if a refused owned push loses the string, or aborts.
#[test]
fn p33_an_owned_push_without_memory_gives_the_string_back() {
    alone("p33_an_owned_push_without_memory_gives_the_string_back", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let batcher = timeless().handler(echo).build().unwrap();
            let text = "y".repeat(100);
            match counted(|| batcher.push_owned(text, 1)) {
                Ok(()) => assert_eq!(batcher.stats().unwrap().waiting_bytes, 108),
                Err((refused, text)) => {
                    assert_eq!((refused, text), (Status::NO_MEMORY, "y".repeat(100)));
                    assert_eq!(batcher.stats().unwrap().accepted, 0);
                }
            }
        });
    });
}

/// Fails if `?` on a refused `set` aborts inside the handler instead of failing the part.
#[test]
fn p33_a_failure_without_memory_is_still_a_failure() {
    alone("p33_a_failure_without_memory_is_still_a_failure", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let books = Books::new();
            let came = Pen(books.clone());
            let builder = timeless().handler(|batch| {
                batch.set(0, "a result that needs memory")?;
                Err(Failure::from(Status::TIMEOUT))
            });
            let batcher = builder.on_result(move |results| {
                if results.outcome(0) == Outcome::Failed {
                    came.0.came(results);
                }
            });
            let batcher = batcher.build().unwrap();
            books.pushed(1, status(batcher.push(1, 1)));
            counted(|| batcher.flush(Timeout::ZERO)).unwrap();
            drop(batcher);
            books.assert_closed(1);
        });
    });
}

/// Fails if what was made for a few removed values, and could not be finished, is later taken for a whole batch.
#[test]
fn p33_a_cancel_without_memory_leaves_whole_batches() {
    alone("p33_a_cancel_without_memory_leaves_whole_batches", || {
        let _watchdog = watchdog();
        const SIZE: u64 = 256;
        without_every_allocation(|| {
            let batcher = timeless().max_batch_size(SIZE).handler(echo).build().unwrap();
            batcher.push(0, 0).unwrap();
            let cancelled = counted(|| batcher.cancel(0));
            assert!(
                matches!(cancelled, Ok(1) | Err(Status::NO_MEMORY)),
                "{cancelled:?}"
            );
            FIRST.store(u64::MAX, SeqCst);
            batcher.flush(Timeout::ZERO).unwrap();
            for tag in 0..2 * SIZE {
                batcher.push(1, tag).unwrap();
            }
            assert_eq!(batcher.stats().unwrap().sealed_by(Trigger::Size), 2);
        });
    });
}

/// Fails if map aborts, or answers anything but all its results or NO_MEMORY.
#[test]
fn p33_map_without_memory_answers_no_memory() {
    alone("p33_map_without_memory_answers_no_memory", || {
        let _watchdog = watchdog();
        let values = [
            Value::Int64(1),
            Value::String("two"),
            Value::Float64(3.0),
            Value::Bytes(b"four"),
            Value::Null,
            // More texts than the first place for where they are holds.
            Value::String("six"),
            Value::String("seven"),
            Value::String("eight"),
            Value::String("nine"),
        ];
        without_every_allocation(|| {
            for split in [Split::Size(2), Split::Batches(2), Split::Batches(1)] {
                let mapped = counted(|| {
                    map(&values, split, |batch| {
                        for (row, value) in batch.values().enumerate() {
                            let _ = batch.set(row, value);
                        }
                        Ok(())
                    })
                });
                match mapped {
                    Ok(results) => assert_eq!(results.tags(), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
                    Err(error) => assert_eq!(error.status(), Status::NO_MEMORY),
                }
            }
        });
    });
}

/// Fails if an engine thread that finds no memory is missed by the batcher: values would wait for ever.
#[test]
fn p33_threads_without_memory_lose_nothing() {
    alone("p33_threads_without_memory_lose_nothing", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let books = Books::new();
            let builder = builder(
                &books,
                Batcher::builder().threads(1).max_batch_size(4).queue_capacity(40),
            );
            // Allocations of all threads count; nothing in here allocates for the test itself.
            ENGINE.store(true, SeqCst);
            MINE.set(true);
            let built = builder.build();
            let mut answers = [Status::OK; 24];
            let mut ended = (Status::OK, Ok(0));
            if let Ok(batcher) = built {
                for (tag, answer) in answers.iter_mut().enumerate() {
                    let tag = tag as u64;
                    *answer = match tag % 4 {
                        0 => status(batcher.push("a text", tag)),
                        1 => status(batcher.push(1.5, tag)),
                        _ => status(batcher.push_int64(1, tag)),
                    };
                }
                let flushed = status(batcher.flush(Duration::from_secs(5)));
                ended = (
                    flushed,
                    batcher.close(Duration::from_secs(5)).map(|closed| closed.left),
                );
                drop(batcher);
            } else {
                answers = [Status::NO_MEMORY; 24];
            }
            MINE.set(false);
            ENGINE.store(false, SeqCst);
            assert_eq!(ended, (Status::OK, Ok(0)));
            answers
                .iter()
                .enumerate()
                .for_each(|(tag, answer)| books.pushed(tag as u64, *answer));
            books.assert_closed(CLOSURES);
        });
    });
}
