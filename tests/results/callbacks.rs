//! When callbacks run: one on_result at a time, never inside other calls, with no lock held (P19).

use super::*;

/// Fails if two threads deliver at once (`delivering` in `take_ready`).
#[test]
fn p19_on_result_never_runs_beside_itself() {
    let _watchdog = watchdog();
    let inside = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let ledger = Ledger::new();
    let (now_inside, at_most, notes) = (inside.clone(), most.clone(), ledger.clone());
    let on_result = move |results: &Results<'_>| {
        at_most.fetch_max(now_inside.fetch_add(1, SeqCst) + 1, SeqCst);
        notes.came(results);
        thread::yield_now();
        now_inside.fetch_sub(1, SeqCst);
    };
    let options = Batcher::builder()
        .threads(4)
        .max_batch_size(2)
        .handler(echo)
        .on_result(on_result);
    let batcher = options.build().unwrap();
    thread::scope(|scope| {
        for producer in 0..2 {
            let (batcher, ledger) = (&batcher, ledger.clone());
            scope.spawn(move || {
                for value in 0..3000 {
                    let tag = producer << 32 | value;
                    batcher
                        .push_with(1, tag, by(if value % 3 == 0 { 1 } else { 0 }))
                        .unwrap();
                    ledger.pushed(tag);
                    let _ = batcher.cancel(tag - value % 2);
                }
            });
        }
    });
    batcher.close(FOREVER).unwrap();
    assert_eq!(most.load(SeqCst), 1);
    ledger.assert_exactly_one_result_each();
}

/// Fails if a callback runs inside push, cancel, seal, stats or complete: on_result called by `make_ready`, a release
/// by `remove_waiting`, a handler by the push that fills a batch.
#[test]
fn p19_no_callback_runs_inside_push_cancel_seal_stats_or_complete() {
    let calling = Arc::new(AtomicBool::new(false));
    let seen = Notes::new();
    let look = |what: &'static str| {
        let (calling, seen) = (calling.clone(), seen.clone());
        move || seen.add((what, calling.load(SeqCst)))
    };
    let (in_handler, in_on_result, in_release) = (look("handler"), look("on_result"), look("release"));
    let shelf = Shelf::new();
    let keep = shelf.keep();
    let handler = move |batch: &mut Batch<'_>| {
        in_handler();
        if batch.number() == 2 {
            keep(batch)
        } else {
            echo(batch)
        }
    };
    let batcher = given()
        .max_batch_size(2)
        .queue_capacity(2)
        .max_in_flight(2)
        .on_full(OnFull::DiscardOldest)
        .on_object_release(OWNER, move |_| in_release())
        .handler(handler)
        .on_result(move |_| in_on_result())
        .build()
        .unwrap();
    let quietly = |call: &dyn Fn()| {
        calling.store(true, SeqCst);
        call();
        calling.store(false, SeqCst);
    };
    let object = |word| Object {
        owner: OWNER,
        word,
        size: 0,
    };
    for round in 0..3 {
        quietly(&|| {
            for tag in 0..5 {
                batcher.push(object(tag), tag).unwrap();
            }
            assert_eq!(batcher.cancel(3), Ok(1));
            batcher.push_with(object(5), 5, by(1)).unwrap();
            batcher.seal().unwrap();
            assert!(batcher.stats().unwrap().undelivered > 0);
            batcher.advance(round).unwrap();
            batcher.flush_begin().unwrap();
        });
        batcher.run().unwrap();
        if shelf.len() > 0 {
            let batch = shelf.take();
            quietly(&|| assert_eq!(status(batch.set(0, object(9))), Status::OK));
            calling.store(true, SeqCst);
            assert_eq!(finish(batch), Status::OK);
            calling.store(false, SeqCst);
        }
        batcher.run().unwrap();
    }
    drop(batcher);
    for what in ["handler", "on_result", "release"] {
        let times = seen.all().iter().filter(|(name, _)| *name == what).count();
        assert!(times >= 3, "{what} ran {times} times");
    }
    assert!(seen.all().iter().all(|(_, calling)| !calling), "{:?}", seen.all());
}

/// Fails if a library lock is held around a callback: another thread's call would wait for ever.
#[test]
fn p19_no_lock_is_held_in_callbacks() {
    let _watchdog = watchdog();
    for options in [Batcher::builder(), given()] {
        let slot: Arc<Mutex<Option<Arc<Batcher>>>> = Arc::default();
        let seen = Notes::new();
        let elsewhere = |what: &'static str| {
            let (slot, seen) = (slot.clone(), seen.clone());
            move || {
                let Some(batcher) = slot.lock().unwrap().clone() else {
                    return;
                };
                // Another thread does anything, and the callback waits for it.
                thread::spawn(move || {
                    batcher.stats().unwrap();
                    batcher.push(1, 100).unwrap();
                    assert_eq!(batcher.cancel(100), Ok(1));
                    batcher.seal().unwrap();
                    batcher.check(1).unwrap();
                    batcher.next_due().unwrap();
                    batcher.flush_begin().unwrap();
                })
                .join()
                .unwrap();
                seen.add(what);
            }
        };
        let (in_handler, in_on_result, in_release) =
            (elsewhere("handler"), elsewhere("on_result"), elsewhere("release"));
        let handler = move |batch: &mut Batch<'_>| {
            in_handler();
            Ok(batch.set(0, 1)?)
        };
        let done = Arc::new(AtomicBool::new(false));
        let over = done.clone();
        let on_result = move |results: &Results<'_>| {
            // Not for the results of what the other thread cancels: that would go on for ever.
            if results.batch() > 0 {
                in_on_result();
                over.store(true, SeqCst);
            }
        };
        let options = options.max_delay(FOREVER).handler(handler).on_result(on_result);
        let batcher = Arc::new(
            options
                .on_object_release(OWNER, move |_| in_release())
                .build()
                .unwrap(),
        );
        *slot.lock().unwrap() = Some(batcher.clone());
        batcher
            .push(
                Object {
                    owner: OWNER,
                    word: 1,
                    size: 0,
                },
                1,
            )
            .unwrap();
        batcher.seal().unwrap();
        let _ = batcher.run();
        wait_until(|| seen.len() >= 3);
        assert_eq!(seen.all(), ["handler", "on_result", "release"]);
        assert!(done.load(SeqCst));
        *slot.lock().unwrap() = None;
        batcher.close(Timeout::ZERO).unwrap();
    }
}
