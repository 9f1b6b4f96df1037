//! The descriptor (P27).

use super::*;

/// Fails if the descriptor is edge-triggered, misses a cause, or stays readable when nothing is to be done.
#[test]
fn p27_the_descriptor_is_level_triggered() {
    let kept = Kept::default();
    let journal = Journal::new();
    let batcher = timeless()
        .max_batch_size(2)
        .max_in_flight(2)
        .handler(kept.handler());
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    let fd = batcher.fd().unwrap();
    let quiet = |what: &str| assert!(!readable(fd, 0), "readable after {what}");
    let firing = |what: &str| {
        assert!(fires(fd), "not readable after {what}");
        assert!(
            readable(fd, 0) && readable(fd, 0),
            "polling consumed it after {what}"
        );
    };
    quiet("nothing");
    batcher.push(1, 1).unwrap();
    quiet("a push into an open batch that is not due");
    batcher.push(1, 2).unwrap();
    firing("a push that sealed by size");
    batcher.run().unwrap();
    quiet("run");
    answer(kept.take()).unwrap();
    firing("a completion: results are to be delivered");
    batcher.run().unwrap();
    quiet("run delivered them");
    batcher.push(1, 3).unwrap();
    batcher.seal().unwrap();
    firing("seal");
    batcher.run().unwrap();
    batcher.push(1, 4).unwrap();
    assert_eq!(batcher.cancel(4), Ok(1));
    firing("a cancel: its result is to be delivered");
    batcher.run().unwrap();
    quiet("run");
    batcher.push(1, 5).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    batcher.push(1, 6).unwrap();
    batcher.seal().unwrap();
    quiet("a seal without a free slot");
    assert_eq!(kept.len(), 2);
    drop(kept.take());
    firing("a slot that came free");
    batcher.run().unwrap();
    quiet("run");
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    quiet("close with everything in flight");
}

/// Fails if pulled batches or results that wait do not fire the descriptor, in manual mode or with threads.
#[test]
fn p27_the_descriptor_fires_for_what_can_be_pulled() {
    let _watchdog = watchdog();
    for builder in [manual, Batcher::builder] {
        let batcher = builder().max_delay(FOREVER).close_timeout(ms(1)).build().unwrap();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        assert!(!readable(fd, 0));
        batcher.seal().unwrap();
        assert!(fires(fd) && readable(fd, 0), "a batch can be pulled");
        let held = batcher.next_batch(Timeout::ZERO).unwrap();
        assert!(!readable(fd, 0), "it was pulled");
        batcher.push(1, 2).unwrap();
        batcher.seal().unwrap();
        assert!(!readable(fd, 0), "no slot is free");
        answer(held).unwrap();
        assert!(fires(fd), "a slot is free");

        let batcher = builder().pull_results().handler(echo).build().unwrap();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        if batcher.run().is_err() {
            batcher.seal().unwrap();
        }
        assert!(fires(fd) && readable(fd, 0), "results can be pulled");
        drop(batcher.next_results(Timeout::ZERO).unwrap());
        assert!(!readable(fd, 0), "they were pulled");
    }
}

/// Fails if the descriptor does not fire by itself when a time comes, or fires before.
/// Fails if a flush that is given up leaves its mark behind: the descriptor would fire for it, and nobody would ask.
#[test]
fn p23_a_flush_that_is_given_up_leaves_the_descriptor_quiet() {
    let shelf = Arc::new(Mutex::new(Vec::new()));
    let kept = shelf.clone();
    let batcher = manual()
        .handler(move |batch: &mut Batch<'_>| {
            kept.lock().unwrap().push(batch.keep()?);
            Ok(())
        })
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.flush(Timeout::ZERO), Err(Status::IN_PROGRESS));
    let held = shelf.lock().unwrap().remove(0);
    held.complete_ok().unwrap();
    batcher.run().unwrap();
    assert!(!readable(fd, 0));
}

/// Whoever asks for room is told of it whenever there is some, whatever others push meanwhile; and that there will be none.
#[test]
fn p22_who_asks_for_room_is_told_though_others_find_it() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_batch_size(1)
        .queue_capacity(1)
        .max_in_flight(64)
        .push_timeout(FOREVER)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    let ask = |tag| batcher.push_with(0i64, tag, PushOptions::new().if_full(IfFull::Ask));
    let push_elsewhere = |tag| {
        std::thread::scope(|scope| scope.spawn(|| batcher.push(0i64, tag)).join().unwrap()).unwrap();
    };
    batcher.push(0i64, 0).unwrap();
    assert_eq!(ask(1), Err(Status::WOULD_WAIT));
    let mut held = vec![batcher.next_batch(Timeout::ZERO).unwrap()];
    assert!(fires(fd), "there is room");
    for round in 1..4 {
        // Somebody else has it.
        push_elsewhere(10 * round);
        assert_eq!(ask(1), Err(Status::WOULD_WAIT));
        held.push(batcher.next_batch(Timeout::ZERO).unwrap());
        push_elsewhere(10 * round + 1);
        held.push(batcher.next_batch(Timeout::ZERO).unwrap());
        assert!(fires(fd), "there is room again");
    }
    assert_eq!(ask(1), Ok(()));
    held.push(batcher.next_batch(Timeout::ZERO).unwrap());
    assert!(!readable(fd, 0), "nobody asks, and nothing is to be pulled");
    batcher.push(0i64, 2).unwrap();
    assert_eq!(ask(3), Err(Status::WOULD_WAIT));
    held.push(batcher.next_batch(Timeout::ZERO).unwrap());
    push_elsewhere(100);
    let _ = batcher.close(Timeout::ZERO);
    assert!(fires(fd), "there will be no room");
    assert_eq!(ask(3), Err(Status::CLOSED));
    drop(held);
    assert!(!readable(fd, 0));
}

#[test]
fn p27_the_descriptor_fires_when_the_next_deadline_has_come() {
    let _watchdog = watchdog();
    type Cause = (&'static str, fn(Builder) -> Builder, fn(&Batcher));
    let causes: [Cause; 4] = [
        ("max_delay", |b| b.max_delay(ms(20)), |b| b.push(1, 1).unwrap()),
        (
            "deadline",
            |b| b.max_delay(FOREVER),
            |b| {
                let deadline = b.now().unwrap() + 20_000_000;
                b.push_with(1, 1, PushOptions::new().deadline(deadline)).unwrap();
            },
        ),
        (
            "handler_timeout",
            |b| b.handler_timeout(ms(20)),
            |b| {
                b.push(1, 1).unwrap();
                b.run().unwrap();
            },
        ),
        (
            "close",
            |b| b,
            |b| {
                b.push(1, 1).unwrap();
                assert_eq!(status(b.close(ms(20))), Status::IN_PROGRESS);
            },
        ),
    ];
    for (cause, options, begin) in causes {
        let kept = Kept::default();
        let batcher = options(manual()).handler(kept.handler()).build().unwrap();
        let fd = batcher.fd().unwrap();
        assert!(!readable(fd, 0), "{cause}: nothing is to be done");
        let start = Instant::now();
        begin(&batcher);
        let due = batcher.next_due().unwrap();
        assert!(due < i64::MAX, "{cause}");
        assert!(readable(fd, -1));
        assert!(
            start.elapsed() >= ms(20) && batcher.now().unwrap() >= due,
            "{cause}: fired too early"
        );
        assert!(readable(fd, 0), "{cause}: polling consumed it");
        batcher.run().unwrap();
        assert!(!readable(fd, 0), "{cause}: it was done");
    }
}

/// Fails if a change made by another thread does not reach the descriptor: a host that only polls would sleep on.
#[test]
fn p27_a_host_can_live_on_poll_and_run_alone() {
    let _watchdog = watchdog();
    for delay in [Duration::ZERO, Duration::from_micros(300), Duration::MAX] {
        let ledger = Ledger::new();
        let batcher = manual()
            .max_delay(delay)
            .max_batch_size(16)
            .queue_capacity(64)
            .on_full(OnFull::Reject);
        let batcher = batcher
            .handler(echo)
            .on_result(ledger.on_result())
            .build()
            .unwrap();
        let (fd, producing) = (batcher.fd().unwrap(), AtomicUsize::new(3));
        thread::scope(|scope| {
            for producer in 0..3_u64 {
                let (batcher, ledger, producing) = (&batcher, &ledger, &producing);
                scope.spawn(move || {
                    for tag in producer * 10_000..producer * 10_000 + 800 {
                        match batcher.push_int64(1, tag) {
                            Ok(()) => ledger.pushed(tag),
                            Err(refused) => {
                                assert_eq!(refused, Status::QUEUE_FULL);
                                thread::yield_now();
                            }
                        }
                    }
                    // What is left of a batch that is never due by time.
                    batcher.seal().unwrap();
                    producing.fetch_sub(1, SeqCst);
                });
            }
            loop {
                let last = producing.load(SeqCst) == 0;
                if last && batcher.stats().unwrap().outstanding == 0 {
                    break;
                }
                if !last || batcher.next_due().unwrap() < i64::MAX {
                    // Without end: only the descriptor ends it.
                    assert!(readable(fd, if last { -1 } else { 1000 }) || producing.load(SeqCst) == 0);
                }
                batcher.run().unwrap();
            }
        });
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().ok);
    }
}

/// Fails if nobody is told of a mark for all those that were begun before it and never asked for.
#[test]
fn p23_of_many_marks_the_descriptor_tells_of_the_newest() {
    let shelf = Shelf::new();
    let batcher = manual().max_in_flight(100).handler(shelf.keep()).build().unwrap();
    let fd = batcher.fd().unwrap();
    let marks: Vec<_> = (0..65)
        .map(|tag| {
            batcher.push(1, tag).unwrap();
            batcher.flush_begin().unwrap()
        })
        .collect();
    batcher.run().unwrap();
    let next = || {
        shelf.take().complete_ok().unwrap();
        batcher.run().unwrap();
        readable(fd, 0)
    };
    assert!(!next(), "the oldest is forgotten");
    assert!(next());
    for mark in marks.into_iter().take(2) {
        assert_eq!(batcher.flush_end(mark, Timeout::ZERO), Ok(()));
    }
    assert!(!readable(fd, 0));
    assert!(next());
}
