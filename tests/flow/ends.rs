//! Free and abandon (P26).

use super::*;
use microbatch::ffi::api::mb_api;
use microbatch::ffi::batcher::{mb_batcher_free, mb_batcher_new, mb_batcher_seal};
use microbatch::ffi::handle::{mb_batch, mb_batcher};
use microbatch::ffi::options::{mb_options, mb_options_init};
use microbatch::ffi::push::mb_batcher_push_int64;
use microbatch::ffi::run::mb_batcher_run;
use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};

/// Fails if a thread or descriptor outlives its batcher, in any mode, however it ends.
#[test]
fn p26_free_gives_back_threads_and_descriptors() {
    alone("p26_free_gives_back_threads_and_descriptors", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        type Make = fn() -> Builder;
        let makes: [Make; 5] = [
            || Batcher::builder().handler(echo),
            || Batcher::builder().handler(echo).threads(4).on_result(|_| {}),
            || Batcher::builder().pull_results().handler(echo),
            || Batcher::builder().close_timeout(ms(1)),
            || {
                Batcher::builder()
                    .mode(Mode::Manual)
                    .handler(echo)
                    .on_result(|_| {})
            },
        ];
        for make in makes {
            for round in 0..12 {
                let batcher = make().build().unwrap();
                let fd = batcher.fd().unwrap();
                assert!(footprint() > baseline, "it has threads or a descriptor");
                assert_eq!(
                    batcher.fd().unwrap(),
                    fd,
                    "one descriptor, however often it is asked for"
                );
                for tag in 0..100 {
                    batcher.push(1, tag).unwrap();
                }
                match round % 4 {
                    0 => assert!(batcher.close(ms(1)).is_ok()),
                    1 => drop(batcher.stats()),
                    2 => batcher.abandon(),
                    _ => drop(batcher),
                }
            }
            wait_until(|| footprint() == baseline);
        }
        // What is not made is not left behind either.
        assert!(Batcher::builder().threads(5000).handler(echo).build().is_err());
        assert_eq!(footprint(), baseline);
    });
}

/// Fails if a closure leaks, goes twice, or goes while it may still be called.
#[test]
fn p26_every_closure_is_dropped_exactly_once_after_its_last_call() {
    let _watchdog = watchdog();
    let build = |builder: Builder, drops: &Drops| {
        let early = Arc::new(AtomicUsize::new(0));
        let tokens: Vec<_> = (0..5).map(|_| drops.token()).collect();
        let mut tokens = tokens.into_iter().map(|token| {
            let early = early.clone();
            move || {
                early.fetch_add(token.0.load(SeqCst), SeqCst);
            }
        });
        let mut next = || tokens.next().unwrap();
        let (handler, strings, on_result, release, log) = (next(), next(), next(), next(), next());
        let builder = builder.handler(move |batch| {
            handler();
            echo(batch)
        });
        let builder = builder.handler_for(microbatch::Kind::String, move |batch| {
            strings();
            echo(batch)
        });
        let builder = builder
            .on_result(move |_| on_result())
            .on_object_release(7, move |_| release())
            .log(move |_, _| log());
        (builder, early)
    };
    for manual in [false, true] {
        for ending in 0..4 {
            let drops = Drops::default();
            let builder = if manual {
                given()
            } else {
                Batcher::builder().threads(3)
            };
            let (builder, early) = build(builder, &drops);
            let batcher = builder.build().unwrap();
            for tag in 0..50 {
                batcher
                    .push(
                        Object {
                            owner: 7,
                            word: tag,
                            size: 0,
                        },
                        tag,
                    )
                    .unwrap();
                batcher.push("text", tag).unwrap();
            }
            assert_eq!(drops.count(), 0);
            match ending {
                0 => drop(batcher),
                1 => batcher.abandon(),
                2 => {
                    let _ = batcher.close(Timeout::ZERO);
                    drop(batcher);
                }
                _ => {
                    let _ = batcher.close(FOREVER);
                    batcher.abandon();
                }
            }
            wait_until(|| drops.count() >= 5);
            assert_eq!(
                (drops.count(), early.load(SeqCst)),
                (5, 0),
                "manual {manual}, ending {ending}"
            );
        }
    }
    // A batcher that was not made keeps nothing.
    let drops = Drops::default();
    let (builder, _) = build(Batcher::builder().queue_capacity(1).max_batch_size(2), &drops);
    assert_eq!(builder.build().unwrap_err().status(), Status::INVALID_OPTION);
    assert_eq!(drops.count(), 5);
}

/// Fails if dropping a batcher does not wait for the handler that is inside.
#[test]
fn p26_free_waits_for_callbacks_in_other_threads() {
    let _watchdog = watchdog();
    let (door, left) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let (behind, leaves, inside) = (door.clone(), left.clone(), Arc::new(AtomicBool::new(false)));
    let entered = inside.clone();
    let batcher = Batcher::builder().close_timeout(ms(5)).handler(move |batch| {
        entered.store(true, SeqCst);
        behind.pass();
        thread::sleep(ms(5));
        leaves.store(true, SeqCst);
        echo(batch)
    });
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(batcher);
            assert!(left.load(SeqCst), "the batcher was freed under its handler");
        });
        thread::sleep(ms(20));
        door.open();
    });
}

/// Fails if dropping discards what could be drained within close_timeout, or loses what could not.
#[test]
fn p26_drop_drains_within_close_timeout_then_discards() {
    let _watchdog = watchdog();
    let journal = Journal::new();
    let batcher = Batcher::builder()
        .max_delay(FOREVER)
        .max_batch_size(3)
        .handler(echo);
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    for tag in 0..10 {
        batcher.push(1, tag).unwrap();
    }
    drop(batcher);
    assert_eq!(
        journal
            .rows()
            .iter()
            .filter(|row| row.outcome == Outcome::Ok)
            .count(),
        10
    );

    let (kept, journal) = (Kept::default(), Journal::new());
    let batcher = Batcher::builder()
        .close_timeout(ms(5))
        .max_batch_size(1)
        .handler(kept.handler());
    let batcher = batcher.on_result(journal.on_result()).build().unwrap();
    for tag in 0..3 {
        batcher.push(1, tag).unwrap();
    }
    drop(batcher);
    assert_eq!(
        journal
            .rows()
            .iter()
            .filter(|row| row.outcome == Outcome::Discarded)
            .count(),
        3
    );
}

/// Fails if abandon waits for a handler, takes its closures from under it, or loses outstanding values.
#[test]
fn p26_abandon_does_not_wait() {
    alone("p26_abandon_does_not_wait", || {
        let _watchdog = watchdog();
        let baseline = footprint();
        let (door, journal, drops) = (Door::default(), Journal::new(), Drops::default());
        let (token, on_result) = (drops.token(), journal.on_result());
        let batcher = stuck(&door, 2, 3, |builder| {
            builder.on_result(move |results| {
                on_result(results);
                drop_nothing(&token);
            })
        });
        let _opens = door.opens_at_end();
        batcher.fd().unwrap();
        // With the handler inside: waiting for it would hang.
        batcher.abandon();
        wait_until(|| journal.rows().len() == 5);
        for row in journal.rows() {
            let handled = if row.tag < 2 { Handled::Maybe } else { Handled::No };
            assert_eq!((row.outcome, row.handled), (Outcome::Discarded, handled));
        }
        assert_eq!(drops.count(), 0, "its handler still runs");
        door.open();
        wait_until(|| drops.count() == 1 && footprint() == baseline);
        assert_eq!(journal.rows().len(), 5);
    });
}

/// What a handler in another thread than the one that frees shares with the test.
#[derive(Default)]
struct Elsewhere {
    batcher: AtomicUsize,
    begun: Door,
    ended: AtomicBool,
}

/// Returns some time after `free` began, which closes first.
unsafe extern "C-unwind" fn until_free_begins(
    elsewhere: *mut c_void,
    _batch: *mut mb_batch,
    _api: *const mb_api,
) -> i32 {
    // SAFETY: the test lends it until its threads are joined.
    let elsewhere = unsafe { &*elsewhere.cast::<Elsewhere>() };
    elsewhere.begun.open();
    let batcher = without_provenance_mut(elsewhere.batcher.load(SeqCst));
    // SAFETY: a handle, whatever it is worth.
    while unsafe { mb_batcher_seal(batcher) } == 0 {
        thread::sleep(Duration::from_micros(50));
    }
    for _ in 0..100 {
        thread::yield_now();
    }
    elsewhere.ended.store(true, SeqCst);
    0
}

/// Fails if `free` returns while `run` in another thread calls a handler (`wait_for_callbacks`), or is not told when that
/// one has returned.
#[test]
fn p26_free_waits_for_a_handler_that_another_thread_runs() {
    let _watchdog = watchdog();
    for _ in 0..10 {
        let elsewhere = Elsewhere::default();
        let mut batcher: *mut mb_batcher = null_mut();
        // SAFETY: the options are plain data, for which zeros are fine.
        let mut options: mb_options = unsafe { std::mem::zeroed() };
        // SAFETY: a struct of this size.
        unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
        options.mode = 2;
        options.handler = Some(until_free_begins);
        options.handler_data = (&raw const elsewhere).cast_mut().cast();
        // SAFETY: options and a place.
        let made = unsafe { mb_batcher_new(&raw const options, &raw mut batcher, null_mut()) };
        assert_eq!(made, 0);
        let word = batcher.addr();
        elsewhere.batcher.store(word, SeqCst);
        thread::scope(|scope| {
            scope.spawn(move || {
                let batcher = without_provenance_mut(word);
                // SAFETY: a batcher.
                assert_eq!(unsafe { mb_batcher_push_int64(batcher, 1, 1) }, 0);
                // SAFETY: as above; it is freed before this returns.
                unsafe { mb_batcher_run(batcher) };
            });
            elsewhere.begun.pass();
            // SAFETY: a batcher.
            assert_eq!(unsafe { mb_batcher_free(batcher) }, 0);
            assert!(elsewhere.ended.load(SeqCst));
        });
    }
}
