//! No allocation, and memory given back (P33, P26).

use super::*;

/// Handlers that answer without memory of their own.
fn in_place(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (row, value) in batch.values().enumerate() {
        batch.set(row, value)?;
    }
    Ok(())
}

/// One batch of 64 values.
type Traffic = (&'static str, fn(&Batcher, &mut u64));

const TRAFFIC: &[Traffic] = &[
    ("int64", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_int64(1, *tag).unwrap();
        }
    }),
    ("int64s", |batcher, tag| {
        *tag += 64;
        batcher.push_int64s(&[5; 64], Tags::From(*tag)).1.unwrap();
    }),
    ("strings", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_str("twenty-four bytes of text", *tag).unwrap();
        }
    }),
    ("deadlines", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher
                .push_with(1.5, *tag, PushOptions::new().deadline(i64::MAX - 1))
                .unwrap();
        }
    }),
    ("objects", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push(object(*tag), *tag).unwrap();
        }
    }),
    ("cancelled", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_int64(1, *tag).unwrap();
            if *tag % 10 == 0 {
                assert_eq!(batcher.cancel(*tag), Ok(1));
            }
        }
    }),
    ("mixed", |batcher, tag| {
        for _ in 0..32 {
            *tag += 2;
            batcher.push_int64(1, *tag).unwrap();
            batcher.push_str("a text among numbers", *tag).unwrap();
        }
    }),
];

/// Fails if traffic at a level already reached asks for memory: per value, per batch, per result set.
#[test]
fn p33_traffic_at_a_level_already_reached_allocates_nothing() {
    alone("p33_traffic_at_a_level_already_reached_allocates_nothing", || {
        let _watchdog = watchdog();
        let mut failed = Vec::new();
        for pulled in [false, true] {
            for (name, traffic) in TRAFFIC {
                let builder = timeless()
                    .max_batch_size(64)
                    .handler(in_place)
                    .handler_for(Kind::String, in_place);
                let builder = builder.on_object_release(7, |_| {});
                let builder = if pulled {
                    builder.pull_results()
                } else {
                    builder.on_result(|_| {})
                };
                let batcher = builder.build().unwrap();
                let mut tag = 0;
                let mut round = || {
                    traffic(&batcher, &mut tag);
                    batcher.run().unwrap();
                    while pulled && batcher.next_results(Timeout::ZERO).is_ok() {}
                };
                (0..10).for_each(|_| round());
                // 100,000 values and more; a machine that stops for a second would give idle pools back: once.
                let asked: Vec<_> = (0..4)
                    .map(|_| allocations(|| (0..400).for_each(|_| round())))
                    .collect();
                if !asked.contains(&0) {
                    failed.push(format!(
                        "{name}, pulled {pulled}: {asked:?} allocations in 4 x 25,600 values"
                    ));
                }
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

/// Fails if batches whose values all left while they waited, sealed, are lost from the account of batches: everything that
/// has a place for each of them then grows for ever.
#[test]
fn p33_batches_that_empty_while_they_wait_leave_nothing_behind() {
    alone(
        "p33_batches_that_empty_while_they_wait_leave_nothing_behind",
        || {
            let _watchdog = watchdog();
            let batcher = timeless()
                .max_batch_size(4)
                .queue_capacity(16)
                .on_full(OnFull::DiscardOldest)
                .on_result(|_| {})
                .build()
                .unwrap();
            let mut tag = 0;
            let mut round = || {
                // Sealed batches empty one value after another, by discarding and by cancelling.
                for _ in 0..32 {
                    tag += 1;
                    batcher.push_int64(1, tag).unwrap();
                }
                for waiting in tag - 15..=tag {
                    batcher.cancel(waiting).unwrap();
                }
                batcher.run().unwrap();
            };
            (0..10).for_each(|_| round());
            let asked: Vec<_> = (0..4)
                .map(|_| allocations(|| (0..400).for_each(|_| round())))
                .collect();
            // A machine that stops for a second would give idle pools back: once.
            assert!(asked.contains(&0), "{asked:?} allocations in 4 x 12,800 values");
        },
    );
}

/// Fails if engine threads ask for memory while the level they reached at first is not passed.
#[test]
fn p33_threads_at_a_level_already_reached_allocate_nothing() {
    alone("p33_threads_at_a_level_already_reached_allocate_nothing", || {
        let _watchdog = watchdog();
        let gate = Arc::new(AtomicBool::new(false));
        let passes = gate.clone();
        // Full batches only, and places for 32 of them: no later moment can need more than the first.
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(64)
            .queue_capacity(1024)
            .result_capacity(2048);
        let batcher = batcher
            .max_delay(FOREVER)
            .push_timeout(Duration::from_millis(50))
            .handler(|batch| batch.set_int64s(&[3; 64]).map_err(Failure::from));
        let batcher = batcher.on_result(move |_| {
            while !passes.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let batcher = batcher.build().unwrap();
        let mut tag = 0;
        while batcher.push_int64(1, tag) != Err(Status::RESULTS_FULL) {
            tag += 1;
        }
        assert_eq!(tag, 2048);
        gate.store(true, SeqCst);
        let rounds = (0..5).map(|_| {
            ASKED.store(0, SeqCst);
            ENGINE.store(true, SeqCst);
            counted(|| {
                for value in 0..64 * 400 {
                    while batcher.push_int64(value, 1).is_err() {}
                }
            });
            ENGINE.store(false, SeqCst);
            ASKED.load(SeqCst)
        });
        let asked: Vec<_> = rounds.collect();
        assert!(asked.contains(&0), "{asked:?} allocations in 5 x 25,600 values");
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.stats().unwrap().ok, 2048 + 5 * 25_600);
    });
}

/// Fails if stats, their text, or asking for anything needs memory: they are wanted when it is short.
#[test]
fn p33_looking_needs_no_memory() {
    alone("p33_looking_needs_no_memory", || {
        struct Nowhere(usize);
        impl std::fmt::Write for Nowhere {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0 += text.len();
                Ok(())
            }
        }
        let batcher = timeless().handler(echo).build().unwrap();
        batcher.push(1, 1).unwrap();
        let mut page = Nowhere(0);
        let asked = allocations(|| {
            batcher
                .stats()
                .unwrap()
                .prometheus(Some("a \"name\""), &mut page)
                .unwrap();
            assert!(batcher.check(1).is_ok() && batcher.room(Timeout::ZERO).is_ok());
            assert_eq!((batcher.now(), batcher.next_due()), (Ok(0), Ok(i64::MAX)));
            assert_eq!(batcher.cancel(99), Err(Status::NOT_FOUND));
        });
        assert_eq!(asked, 0);
        assert!(page.0 > 1000);
    });
}

/// A batcher whose batches wait for a flush.
fn patient(manual: bool) -> Batcher {
    let mode = if manual { Mode::Manual } else { Mode::Threaded };
    let builder = Batcher::builder().mode(mode).max_delay(FOREVER);
    builder.handler(echo).build().unwrap()
}

/// Fails if a pool that nobody needs any more is kept.
#[test]
fn p33_idle_pools_are_given_back() {
    alone("p33_idle_pools_are_given_back", || {
        let _watchdog = watchdog();
        for manual in [true, false] {
            let batcher = patient(manual);
            for tag in 0..200 {
                batcher.push(&*"x".repeat(5000), tag).unwrap();
            }
            let full = batcher.stats().unwrap().bytes_in_use;
            assert!(full > 1_000_000);
            let _ = batcher.flush(FOREVER);
            // After a second of idleness; a host without threads has to look in.
            wait_until(|| {
                if manual {
                    batcher.run().unwrap();
                }
                batcher.stats().unwrap().bytes_in_use < full / 10
            });
            let live = LIVE.load(SeqCst);
            batcher.push(1, 1).unwrap();
            assert!(LIVE.load(SeqCst) > live, "there was no pool left");
        }
    });
}

/// Fails if a batcher that was used and is idle again keeps more than its counters, or if one of those is lost with the
/// rest.
#[test]
fn p33_an_idle_batcher_keeps_its_counters_alone() {
    alone("p33_an_idle_batcher_keeps_its_counters_alone", || {
        let _watchdog = watchdog();
        for manual in [true, false] {
            let batcher = patient(manual);
            // Or more: a thread that has not begun holds what it was told.
            let fresh = LIVE.load(SeqCst);
            for round in 1..=2 {
                for tag in 0..4 {
                    batcher.push_int64(1, tag).unwrap();
                }
                let _ = batcher.flush(FOREVER);
                let used = batcher.stats().unwrap();
                // After a second of idleness; a host without threads has to look in.
                wait_until(|| {
                    if manual {
                        batcher.run().unwrap();
                    }
                    batcher.stats().unwrap().bytes_in_use == 0 && LIVE.load(SeqCst) <= fresh
                });
                let kept = batcher.stats().unwrap();
                assert_eq!(kept.batch_size, used.batch_size);
                assert_eq!(kept.queue_time, used.queue_time);
                assert_eq!(kept.handler_time, used.handler_time);
                assert_eq!(kept.delivery_time, used.delivery_time);
                assert_eq!((kept.batch_size.count, kept.batch_size.sum), (round, 4 * round));
            }
        }
    });
}

/// Fails if a batcher that nobody uses holds more than a few cache lines, or what others like it hold already.
#[test]
fn p33_a_fresh_batcher_is_small() {
    alone("p33_a_fresh_batcher_is_small", || {
        let batchers: Vec<_> = (0..9).map(|_| patient(true)).collect();
        let live = LIVE.load(SeqCst);
        let batcher = patient(true);
        let size = LIVE.load(SeqCst) - live;
        assert!(size <= 1256, "{size} bytes");
        drop(batcher);
        assert_eq!(LIVE.load(SeqCst), live);
        assert_eq!(batchers.len(), 9);
    });
}

/// Fails if a refusal goes uncounted where memory is lacking even for the count.
#[test]
fn p38_refusals_are_counted_without_memory() {
    alone("p38_refusals_are_counted_without_memory", || {
        let batcher = timeless().max_batch_bytes(8).handler(echo).build().unwrap();
        let refusals = || {
            let counts = batcher.stats().unwrap().refusals;
            let count = |status: Status| counts[status.code().unsigned_abs() as usize];
            (count(Status::NO_MEMORY), count(Status::TOO_LARGE))
        };
        FIRST.store(0, SeqCst);
        for tag in 1..=3 {
            let answer = counted(|| status(batcher.push_int64(1, tag)));
            assert_eq!((answer, refusals()), (Status::NO_MEMORY, (tag, 0)));
        }
        FIRST.store(u64::MAX, SeqCst);
        assert_eq!(status(batcher.push("too large", 4)), Status::TOO_LARGE);
        assert_eq!(refusals(), (3, 1));
        batcher.push_int64(1, 5).unwrap();
    });
}

/// Fails if parts that were held past their time count as batches that live: then what any batch needs stays for good.
#[test]
fn p33_an_idle_batcher_forgets_parts_that_were_held_past_their_time() {
    alone(
        "p33_an_idle_batcher_forgets_parts_that_were_held_past_their_time",
        || {
            let _watchdog = watchdog();
            let shelf = Shelf::new();
            let batcher = timeless()
                .handler_timeout(ns(10))
                .handler_for(Kind::Int64, shelf.keep())
                .handler(shelf.keep())
                .build()
                .unwrap();
            let fresh = LIVE.load(SeqCst);
            for round in 0..2 {
                batcher.push(1, 1).unwrap();
                batcher.push(2.0, 2).unwrap();
                batcher.seal().unwrap();
                batcher.run().unwrap();
                let held = [shelf.take(), shelf.take()];
                let then = batcher.now().unwrap() + 10;
                run_at(&batcher, then);
                assert_eq!(batcher.stats().unwrap().expired, 2 * (round + 1));
                drop(held);
                // After a second of idleness on the system's clock.
                wait_until(|| {
                    batcher.run().unwrap();
                    LIVE.load(SeqCst) - fresh < 1024
                });
            }
        },
    );
}

/// Fails if a few values that leave while they wait hold as much memory as a batch.
#[test]
fn p33_a_few_removed_values_take_little_memory() {
    alone("p33_a_few_removed_values_take_little_memory", || {
        let batcher = timeless()
            .max_batch_size(10_000)
            .handler(echo)
            .pull_results()
            .build()
            .unwrap();
        for tag in 0..100 {
            batcher.push_int64(1, tag).unwrap();
        }
        let (live, said) = (LIVE.load(SeqCst), batcher.stats().unwrap().bytes_in_use);
        for tag in 0..10 {
            batcher.cancel(tag).unwrap();
        }
        let each = |grown: u64| grown / 10;
        assert!(each((LIVE.load(SeqCst) - live) as u64) < 4096);
        assert!(each(batcher.stats().unwrap().bytes_in_use - said) < 4096);
        // Their memory is no batch's afterwards.
        while let Ok(results) = batcher.next_results(Timeout::ZERO) {
            assert_eq!(results.len(), 1);
        }
        assert!(batcher.stats().unwrap().bytes_in_use <= said);
        for tag in 0..10_000 {
            batcher.push_int64(1, tag).unwrap();
        }
    });
}

/// Fails if a batcher leaves memory behind, in any mode, however it ends and whatever is left in it.
#[test]
fn p26_free_gives_back_all_memory() {
    alone("p26_free_gives_back_all_memory", || {
        let _watchdog = watchdog();
        let modes: [fn() -> Builder; 4] = [
            || timeless().handler(in_place).on_result(|_| {}),
            || {
                timeless()
                    .handler(in_place)
                    .handler_for(Kind::String, in_place)
                    .pull_results()
            },
            || Batcher::builder().handler(in_place).on_result(|_| {}),
            || Batcher::builder().close_timeout(Duration::from_millis(1)),
        ];
        for (mode, make) in modes.into_iter().enumerate() {
            for ending in 0..3 {
                let cycle = || {
                    let batcher = make()
                        .max_batch_size(8)
                        .on_object_release(7, |_| {})
                        .build()
                        .unwrap();
                    batcher.fd().unwrap();
                    let producer = batcher.producer().unwrap();
                    for tag in 0..50 {
                        batcher.push_int64(1, tag).unwrap();
                        batcher.push("a text", tag).unwrap();
                        batcher.push_owned("mine".to_owned(), tag).unwrap();
                        batcher.push(object(1), tag).unwrap();
                        producer.push_int64(1, tag).unwrap();
                    }
                    let _ = batcher.cancel(7);
                    let _ = batcher.run();
                    let held = batcher.next_batch(Timeout::ZERO);
                    let results = batcher.next_results(Timeout::ZERO);
                    match ending {
                        0 => drop(batcher),
                        1 => batcher.abandon(),
                        _ => {
                            let _ = batcher.close(Duration::from_millis(1));
                            drop(batcher);
                        }
                    }
                    drop((held, results, producer));
                };
                // The first time makes what the process keeps: keys, lists that grow.
                (0..2).for_each(|_| cycle());
                let tasks = || std::fs::read_dir("/proc/self/task").unwrap().count();
                let settled = tasks();
                let baseline = LIVE.load(SeqCst);
                (0..10).for_each(|_| cycle());
                // Threads that were let go end by themselves.
                wait_until(|| tasks() <= settled && LIVE.load(SeqCst) <= baseline);
                println!("mode {mode}, ending {ending}: back at {baseline} bytes");
            }
        }
    });
}

/// Fails if the place of a handle that was freed is not used again: a host that makes producers for a while would fill memory
/// with places of handles.
#[test]
fn p30_the_places_of_freed_handles_are_used_again() {
    alone("p30_the_places_of_freed_handles_are_used_again", || {
        use microbatch::ffi::error::mb_error_free;
        use microbatch::ffi::options::{mb_options, mb_options_init, mb_options_set};
        // SAFETY: the options are plain data, for which zeros are fine.
        let mut options: mb_options = unsafe { std::mem::zeroed() };
        // SAFETY: a struct of this size.
        unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
        let mut explained = || {
            let mut error = std::ptr::null_mut();
            // SAFETY: options, text, and a place for an explanation.
            let status = unsafe {
                mb_options_set(
                    &raw mut options,
                    c"no_such".as_ptr(),
                    c"1".as_ptr(),
                    &raw mut error,
                )
            };
            assert_eq!(status, Status::INVALID_OPTION.code());
            // SAFETY: an explanation, freed once.
            unsafe { mb_error_free(error) };
        };
        (0..1000).for_each(|_| explained());
        let live = LIVE.load(SeqCst);
        (0..20_000).for_each(|_| explained());
        assert_eq!(LIVE.load(SeqCst), live);
    });
}
