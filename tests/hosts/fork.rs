//! Fork (P31).

use super::*;

/// Runs `child` in a forked child and answers whether it came to its end; its panics are printed.
fn in_a_fork(child: impl FnOnce()) -> bool {
    // SAFETY: the process runs one test. The child uses the C library as a child of a threaded process may under
    // glibc (malloc and stdio work after fork), and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // Whatever hangs in the child is ended: SIGALRM kills.
        // SAFETY: takes an integer.
        unsafe { libc::alarm(20) };
        let fine = catch_unwind(AssertUnwindSafe(child)).is_ok();
        // SAFETY: ends the child and runs nothing.
        unsafe { libc::_exit(if fine { 42 } else { 1 }) };
    }
    let mut ended = 0;
    // SAFETY: waits for the child above and writes one int.
    let waited = unsafe { libc::waitpid(pid, &raw mut ended, 0) };
    assert_eq!(waited, pid);
    if libc::WIFSIGNALED(ended) {
        eprintln!("the child was ended by signal {}", libc::WTERMSIG(ended));
    }
    libc::WIFEXITED(ended) && libc::WEXITSTATUS(ended) == 42
}

/// Every call on a batcher from before the fork.
fn assert_all_forked(batcher: &Batcher) {
    let explained =
        |result: Result<(), microbatch::Error>| result.map_or_else(|e| e.status(), |()| Status::OK);
    let (taken, pushed) = batcher.push_int64s(&[1, 2], Tags::From(1));
    // Of an owner that the batcher refuses, and counts.
    let object = Object {
        owner: 9,
        word: 1,
        size: 0,
    };
    let answers = [
        ("push", status(batcher.push((), 1))),
        ("push int64", status(batcher.push_int64(1, 1))),
        ("push float64", status(batcher.push_float64(1.0, 1))),
        ("push str", status(batcher.push_str("text", 1))),
        ("push bytes", status(batcher.push_bytes(b"bytes", 1))),
        ("push object", status(batcher.push(object, 1))),
        (
            "push_with",
            status(batcher.push_with(1, 1, PushOptions::new().deadline(5))),
        ),
        (
            "push_owned",
            batcher
                .push_owned("text".to_owned(), 1)
                .map_or_else(|e| e.0, |()| Status::OK),
        ),
        ("push_int64s", status(pushed)),
        (
            "push_values",
            status(batcher.push_values(&[Value::Null], Tags::From(1)).1),
        ),
        ("producer", status(batcher.producer())),
        ("check", explained(batcher.check(1))),
        ("cancel", status(batcher.cancel(1))),
        ("room", status(batcher.room(FOREVER))),
        ("seal", status(batcher.seal())),
        ("flush", status(batcher.flush(FOREVER))),
        ("flush_begin", status(batcher.flush_begin())),
        ("close", status(batcher.close(FOREVER))),
        ("run", status(batcher.run())),
        ("advance", status(batcher.advance(5))),
        ("next_due", status(batcher.next_due())),
        ("now", status(batcher.now())),
        ("fd", explained(batcher.fd().map(drop))),
        ("next_batch", status(batcher.next_batch(FOREVER))),
        ("next_results", status(batcher.next_results(FOREVER))),
        ("stats", status(batcher.stats())),
    ];
    for (call, answer) in answers {
        assert_eq!(answer, Status::FORKED, "{call}");
    }
    assert_eq!(taken, 0);
}

/// A new batcher does a piece of work.
fn assert_works(builder: Builder) {
    let ledger = Ledger::new();
    let batcher = builder
        .max_batch_size(32)
        .handler(echo)
        .on_result(ledger.on_result())
        .build()
        .unwrap();
    for tag in 0..2000 {
        batcher.push_int64(1, tag).unwrap();
        ledger.pushed(tag);
    }
    batcher.flush(FOREVER).unwrap();
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(ledger.count(Outcome::Ok), 2000);
    ledger.assert_exactly_one_result_each();
}

/// Fails if any call in a forked child answers otherwise, waits, or if freeing there hangs or touches the parent.
#[test]
fn p31_every_call_on_an_old_handle_answers_forked() {
    alone("p31_every_call_on_an_old_handle_answers_forked", || {
        let _watchdog = watchdog();
        let builders: [fn() -> Builder; 4] = [
            || Batcher::builder().handler(echo).on_result(|_| {}),
            || Batcher::builder().pull_results(),
            || manual().handler(echo),
            || given().pull_results(),
        ];
        for builder in builders {
            for abandon in [false, true] {
                let batcher = builder().max_delay(FOREVER).close_timeout(ms(1)).build().unwrap();
                batcher.fd().unwrap();
                batcher.push(1, 1).unwrap();
                let mark = batcher.flush_begin().unwrap();
                let producer = batcher.producer().unwrap();
                producer.push(1, 2).unwrap();
                let held = batcher.next_batch(FOREVER).ok();
                let mut batcher = Some(batcher);
                let mut kept = (held, Some(producer));
                assert!(in_a_fork(|| {
                    let batcher = batcher.take().unwrap();
                    assert_all_forked(&batcher);
                    assert_eq!(status(batcher.flush_end(mark, FOREVER)), Status::FORKED);
                    let producer = kept.1.as_ref().unwrap();
                    assert_eq!(status(producer.push(1, 1)), Status::FORKED);
                    assert_eq!(status(producer.push_int64(1, 1)), Status::FORKED);
                    assert_eq!(status(producer.push("text", 1)), Status::FORKED);
                    if let Some(held) = kept.0.take() {
                        assert_eq!(held.value(0), Value::Int64(1));
                        assert_eq!(status(held.complete()), Status::FORKED);
                    }
                    drop(kept.1.take());
                    if abandon { batcher.abandon() } else { drop(batcher) }
                }));
                // The parent goes on where it was.
                let (batcher, (held, producer)) = (batcher.unwrap(), kept);
                producer.unwrap().push(1, 3).unwrap();
                if let Some(held) = held {
                    answer(held).unwrap();
                    batcher.seal().unwrap();
                    answer(batcher.next_batch(FOREVER).unwrap()).unwrap();
                }
                assert!(batcher.stats().unwrap().balanced());
                batcher.push(1, 4).unwrap();
                let _ = batcher.flush(ms(1));
                assert_eq!(batcher.stats().unwrap().accepted, 4);
            }
        }
    });
}

/// Fails if a call in the child takes a lock that a thread of the parent held at the fork.
#[test]
fn p31_a_child_of_a_busy_process_waits_for_no_lock() {
    alone("p31_a_child_of_a_busy_process_waits_for_no_lock", || {
        let _watchdog = watchdog();
        let ledger = Ledger::new();
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(4)
            .queue_capacity(64)
            .push_timeout(FOREVER);
        let batcher = Arc::new(
            batcher
                .handler(echo)
                .on_result(ledger.on_result())
                .build()
                .unwrap(),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..3_u64)
            .map(|producer| {
                let (batcher, ledger, stop) = (batcher.clone(), ledger.clone(), stop.clone());
                thread::spawn(move || {
                    for tag in producer << 32.. {
                        if stop.load(SeqCst) {
                            return;
                        }
                        batcher.push(1, tag).unwrap();
                        ledger.pushed(tag);
                        if tag % 16 == 0 {
                            batcher.stats().unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..40 {
            let producer = batcher.producer().unwrap();
            producer.push_int64(1, u64::MAX).unwrap();
            ledger.pushed(u64::MAX);
            let mut producer = Some(producer);
            assert!(in_a_fork(|| {
                assert_all_forked(&batcher);
                assert_eq!(
                    status(producer.as_ref().unwrap().push_int64(1, 1)),
                    Status::FORKED
                );
                drop(producer.take());
                // SAFETY: the child frees the batcher that it shares with threads it does not have; nobody there uses
                // it again.
                drop(unsafe { std::ptr::read(Arc::as_ptr(&batcher)) });
            }));
        }
        stop.store(true, SeqCst);
        busy.into_iter().for_each(|producer| producer.join().unwrap());
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().ok);
    });
}

/// Fails if a new batcher in a child, or in a child of that, does not work: with threads, fences, clocks, descriptors.
#[test]
fn p31_new_batchers_work_in_the_child() {
    alone("p31_new_batchers_work_in_the_child", || {
        let _watchdog = watchdog();
        let before = Batcher::builder().handler(echo).build().unwrap();
        for tag in 0..1000 {
            before.push_int64(1, tag).unwrap();
        }
        assert!(in_a_fork(|| {
            assert_works(Batcher::builder().threads(2));
            assert_works(manual());
            let own = Batcher::builder().handler(echo).build().unwrap();
            assert!(in_a_fork(|| {
                assert_all_forked(&own);
                assert_all_forked(&before);
                assert_works(Batcher::builder());
            }));
            own.push(1, 1).unwrap();
            own.flush(FOREVER).unwrap();
            let timed = manual().max_delay(ms(5)).handler(echo).build().unwrap();
            let fd = timed.fd().unwrap();
            timed.push(1, 1).unwrap();
            assert!(readable(fd, -1));
        }));
        assert_works(Batcher::builder());
        before.flush(FOREVER).unwrap();
        assert_eq!(before.stats().unwrap().ok, 1000);
    });
}

/// Fails if a callback of an old batcher runs in the child: its results would come twice.
#[test]
fn p31_no_callback_runs_in_the_child() {
    alone("p31_no_callback_runs_in_the_child", || {
        let _watchdog = watchdog();
        // SAFETY: a fresh page that parent and children share.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: zeroed memory that is never unmapped.
        let calls: &'static AtomicU64 = unsafe { &*page.cast::<AtomicU64>() };
        let count = move || {
            calls.fetch_add(1, SeqCst);
        };
        for (threaded, abandon) in [(false, false), (false, true), (true, false), (true, true)] {
            calls.store(0, SeqCst);
            let kept = Kept::default();
            let keep = kept.handler();
            let builder = if threaded { Batcher::builder() } else { manual() };
            let builder = builder
                .max_delay(FOREVER)
                .close_timeout(ms(1))
                .on_object_release(7, move |_| count());
            let batcher = builder
                .handler(keep)
                .on_result(move |_| count())
                .log(move |_, _| count());
            let batcher = batcher.build().unwrap();
            let object = Object {
                owner: 7,
                word: 1,
                size: 0,
            };
            batcher.push(object, 1).unwrap();
            batcher.seal().unwrap();
            let _ = batcher.run();
            wait_until(|| kept.len() == 1);
            batcher.push(object, 2).unwrap();
            let mut batcher = Some(batcher);
            assert!(in_a_fork(|| {
                let batcher = batcher.take().unwrap();
                if abandon {
                    batcher.abandon()
                } else {
                    drop(batcher)
                }
                drop(kept.take());
            }));
            assert_eq!(calls.load(SeqCst), 0, "threaded {threaded}");
            drop(kept.take());
            drop(batcher);
            // The drain at the end may have had the second batch handled, that is kept, as well.
            kept.clear();
            assert_eq!(
                calls.load(SeqCst),
                2 + 2,
                "threaded {threaded}: two sets of results, two objects"
            );
        }
    });
}
