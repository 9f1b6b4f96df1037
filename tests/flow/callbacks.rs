//! Callbacks that wait for each other (P25).

use super::*;

/// Fails if detection is per process or per thread only: other batchers may be driven inside a callback.
#[test]
fn p25_another_batcher_may_be_driven_inside_a_callback() {
    let _watchdog = watchdog();
    let inner = Arc::new(Batcher::builder().handler(echo).build().unwrap());
    let manual = Arc::new(timeless().handler(echo).build().unwrap());
    let (threaded, driven) = (inner.clone(), manual.clone());
    let batcher = Batcher::builder().handler(move |batch| {
        threaded.push(1, 1)?;
        threaded.flush(FOREVER)?;
        driven.push(1, 1)?;
        driven.advance(5)?;
        driven.flush(Timeout::ZERO)?;
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.flush(FOREVER).unwrap();
    assert_eq!(batcher.stats().unwrap().ok, 1);
    assert_eq!((inner.stats().unwrap().ok, manual.stats().unwrap().ok), (1, 1));
}

/// Fails if a second thread is refused because the first is in a callback: detection is per thread.
#[test]
fn p25_other_threads_are_not_reentrant() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = stuck(&door, 1, 0, |builder| builder);
    let _opens = door.opens_at_end();
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    assert_eq!(status(batcher.flush(ms(5))), Status::TIMEOUT);
}

/// Fails if two batchers whose handlers push into each other wait for each other for ever.
#[test]
fn p25_a_cycle_of_two_batchers_ends_by_time_out() {
    let _watchdog = watchdog();
    let other: [Arc<Mutex<Weak<Batcher>>>; 2] = Default::default();
    let ledgers = [Ledger::new(), Ledger::new()];
    let next_tag = Arc::new(AtomicU64::new(1000));
    let batchers = [0, 1].map(|own| {
        let (target, ledger, next_tag) = (other[1 - own].clone(), ledgers[1 - own].clone(), next_tag.clone());
        let batcher = Batcher::builder()
            .queue_capacity(1)
            .max_batch_size(1)
            .push_timeout(ms(10));
        let batcher = batcher.handler(move |batch| {
            for hops in batch.int64s().unwrap().iter().filter(|hops| **hops > 0) {
                let Some(target) = target.lock().unwrap().upgrade() else {
                    continue;
                };
                let tag = next_tag.fetch_add(1, SeqCst);
                match target.push(hops - 1, tag) {
                    Ok(()) => ledger.pushed(tag),
                    Err(status) => assert!(matches!(status, Status::QUEUE_FULL | Status::CLOSED), "{status}"),
                }
            }
            echo(batch)
        });
        Arc::new(batcher.on_result(ledgers[own].on_result()).build().unwrap())
    });
    for own in 0..2 {
        *other[own].lock().unwrap() = Arc::downgrade(&batchers[own]);
    }
    thread::scope(|scope| {
        for own in 0..2 {
            let (batcher, ledger) = (&batchers[own], &ledgers[own]);
            scope.spawn(move || {
                for tag in 0..20 {
                    if batcher.push(5, tag).is_ok() {
                        ledger.pushed(tag);
                    }
                }
            });
        }
    });
    for batcher in &batchers {
        batcher.close(FOREVER).unwrap();
    }
    for (batcher, ledger) in batchers.iter().zip(&ledgers) {
        ledger.assert_exactly_one_result_each();
        let stats = batcher.stats().unwrap();
        assert!(stats.balanced() && stats.outstanding == 0 && stats.accepted == ledger.accepted());
    }
}

/// Fails if flushing each other from on_result hangs instead of ending by time-out.
#[test]
fn p25_two_batchers_may_flush_each_other_from_on_result() {
    let _watchdog = watchdog();
    let other: [Arc<Mutex<Weak<Batcher>>>; 2] = Default::default();
    let answers: Arc<Mutex<Vec<Status>>> = Arc::default();
    let batchers = [0, 1].map(|own| {
        let (target, answers) = (other[1 - own].clone(), answers.clone());
        let batcher = Batcher::builder().handler(echo).on_result(move |_| {
            let target = target.lock().unwrap().upgrade();
            if let Some(target) = target {
                answers.lock().unwrap().push(status(target.flush(ms(20))));
            }
        });
        Arc::new(batcher.build().unwrap())
    });
    for own in 0..2 {
        *other[own].lock().unwrap() = Arc::downgrade(&batchers[own]);
    }
    for tag in 0..5 {
        batchers.iter().for_each(|batcher| batcher.push(1, tag).unwrap());
    }
    for batcher in &batchers {
        batcher.close(FOREVER).unwrap();
    }
    let answers = answers.lock().unwrap();
    let fine = [Status::OK, Status::TIMEOUT, Status::CLOSED];
    assert!(
        !answers.is_empty() && answers.iter().all(|answer| fine.contains(answer)),
        "{answers:?}"
    );
}

/// Fails if a handler thread that was woken for a batch goes into on_result instead and wakes nobody else.
#[test]
fn p25_on_result_may_wait_for_the_handler_of_another_batch() {
    let _watchdog = watchdog();
    for round in 0..100 {
        let (kept, handled) = (Kept::default(), Arc::new(AtomicBool::new(false)));
        let (keep, done, seen) = (kept.handler(), handled.clone(), handled.clone());
        let waited_out = Arc::new(AtomicBool::new(false));
        let hung = waited_out.clone();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(1)
            .handler(move |batch| {
                if batch.tags() == [1] {
                    return keep(batch);
                }
                done.store(true, SeqCst);
                echo(batch)
            });
        let batcher = batcher.on_result(move |results| {
            if results.tags() == [1] {
                let start = Instant::now();
                while !seen.load(SeqCst) {
                    thread::sleep(ms(1));
                    if start.elapsed() > ms(3000) {
                        return hung.store(true, SeqCst);
                    }
                }
            }
        });
        let batcher = batcher.build().unwrap();
        batcher.push(1, 1).unwrap();
        wait_until(|| kept.len() == 1);
        let first = kept.take();
        thread::scope(|scope| {
            // The first batch is completed and the second comes at the same moment.
            scope.spawn(|| answer(first).unwrap());
            scope.spawn(|| batcher.push(2, 2).unwrap());
        });
        batcher.flush(FOREVER).unwrap();
        assert!(
            !waited_out.load(SeqCst),
            "round {round}: a handler thread was idle and batch 2 waited"
        );
    }
}

/// Fails if nobody looks at the clock while the thread that keeps the time is inside on_result: deadlines and time-outs
/// would wait for it although a handler thread sleeps.
#[test]
fn p25_time_goes_on_while_the_time_thread_delivers() {
    let _watchdog = watchdog();
    let (door, kept) = (Door::default(), Kept::default());
    let (behind, inside) = (door.clone(), Arc::new(AtomicBool::new(false)));
    let (entered, delivers) = (inside.clone(), inside.clone());
    let keep = kept.handler();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler_timeout(ms(200))
        .handler(move |batch| {
            keep(batch)?;
            // The handler thread comes back when the time thread is in on_result.
            wait_until(|| delivers.load(SeqCst));
            Ok(())
        });
    let batcher = batcher.on_result(move |_| {
        entered.store(true, SeqCst);
        behind.pass();
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| kept.len() == 1);
    batcher.push(2, 2).unwrap();
    assert_eq!(batcher.cancel(2), Ok(1));
    wait_until(|| inside.load(SeqCst));
    // One deadline is known when the handler thread goes to sleep, or it is told of it.
    let deadline = batcher.now().unwrap() + 5_000_000;
    let options = PushOptions::new().deadline(deadline);
    batcher.push_with(3, 3, options).unwrap();
    wait_until(|| batcher.stats().unwrap().expired == 2);
    assert_eq!(batcher.stats().unwrap().in_flight, 0, "the slot is free");
}

/// Fails if the thread that keeps the time is the one that is inside on_result: time would stand still meanwhile.
#[test]
fn p25_time_goes_on_while_on_result_runs() {
    let _watchdog = watchdog();
    let (door, kept) = (Door::default(), Kept::default());
    let (behind, inside) = (door.clone(), Arc::new(AtomicBool::new(false)));
    let entered = inside.clone();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .handler_timeout(ms(20))
        .handler(kept.handler());
    let batcher = batcher.on_result(move |_| {
        entered.store(true, SeqCst);
        behind.pass();
    });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    wait_until(|| kept.len() == 1);
    batcher.push(2, 2).unwrap();
    let deadline = batcher.now().unwrap() + 5_000_000;
    batcher
        .push_with(3, 3, PushOptions::new().deadline(deadline))
        .unwrap();
    // Nobody but the time thread is free to deliver this, or awake to look at the clock.
    assert_eq!(batcher.cancel(2), Ok(1));
    wait_until(|| inside.load(SeqCst));
    let start = Instant::now();
    while batcher.stats().unwrap().expired < 2 {
        assert!(
            start.elapsed() < ms(5000),
            "a deadline and a time-out passed, and nobody looked: {:?}",
            {
                let stats = batcher.stats().unwrap();
                (stats.expired, stats.in_flight, stats.waiting)
            }
        );
        thread::sleep(ms(1));
    }
    assert_eq!(batcher.stats().unwrap().in_flight, 0, "the slot is free");
}
