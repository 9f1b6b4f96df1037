//! Values flow: pushes, bounds, flush and a close that drains.

use microbatch_shuttle::account::{Account, Bounds, PRODUCER};
use microbatch_shuttle::world::{self, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Batcher, Closed, Status, Timeout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::{FOREVER, microseconds, producer};

/// Two producers, a flusher, somebody who looks at the stats, and a close that drains.
fn push_flush_close() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = account
        .delivered(account.handled())
        .threads(one_of(&[1, 2]))
        .max_delay(delay);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let flusher = {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("flusher", move || {
            let before = account.accepted();
            match batcher.flush(FOREVER) {
                Ok(()) => ensure(
                    account.are_delivered(&before),
                    "flush returns before its values are delivered",
                ),
                Err(status) => ensure_eq(status, Status::CLOSED, "flush"),
            }
        })
    };
    let looker = {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("looker", move || {
            for _ in 0..3 {
                account.snapshot(&batcher);
            }
        })
    };
    if one_of(&[true, false]) {
        world::join(producers);
        if delay != FOREVER {
            account.wait_for_all();
        }
    } else {
        // They race with close.
        world::dawdle(20);
        let before = account.accepted();
        let closed = batcher.close(FOREVER);
        ensure_eq(closed, Ok(Closed { left: 0 }), "close");
        ensure(
            account.are_delivered(&before),
            "close returns before all is delivered",
        );
        world::join(producers);
    }
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    ensure(
        account.are_delivered(&account.accepted()),
        "close returns before all is delivered",
    );
    ensure_eq(batcher.push_int64(0, 0), Err(Status::CLOSED), "push after close");
    flusher.join();
    looker.join();
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p15_p16_p23_p24_push_flush_close() {
    explore(
        "push_flush_close",
        200,
        &["ok OK Yes", "push CLOSED"],
        push_flush_close,
    );
}

#[test]
fn control_stats_miscount() {
    must_catch("miscounts", 10, push_flush_close);
}

#[test]
fn control_flush_returns_early() {
    must_catch("flushes_early", 300, push_flush_close);
}

#[test]
fn control_a_batch_opened_ahead_is_sealed_empty() {
    must_catch("sealed_empty", 300, push_flush_close);
}

/// Values staged by producer handles: in order, none forgotten, flush and close take them along.
fn producers() {
    let bounds = Bounds {
        size: 16,
        queue: one_of(&[16, 20]),
        flights: one_of(&[1, 2]),
        results: 64,
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = account
        .delivered(account.handled())
        .threads(one_of(&[1, 2]))
        .max_delay(delay);
    let batcher = Arc::new(builder.push_timeout(FOREVER).build().expect("a batcher"));
    let staging = [1, 2].map(|number| {
        let (account, handle) = (account.clone(), batcher.producer().expect("a producer"));
        let kept = one_of(&[true, false]);
        world::spawn("producer", move || {
            for at in 0..6 {
                // Mostly tags of int64 values: only those are staged.
                let status = account.push(
                    &handle,
                    number * PRODUCER + if at == 4 { 4 * at + 1 } else { 4 * at },
                );
                ensure(matches!(status, Status::OK | Status::CLOSED), status);
            }
            kept.then_some(handle)
        })
    });
    let direct = producer(3, 2, &account, &batcher);
    let flusher = {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("flusher", move || {
            let before = account.accepted();
            match batcher.flush(FOREVER) {
                Ok(()) => ensure(
                    account.are_delivered(&before),
                    "flush returns before its values are delivered",
                ),
                Err(status) => ensure_eq(status, Status::CLOSED, "flush"),
            }
        })
    };
    account.snapshot(&batcher);
    account.snapshot(&batcher);
    let mut handles = Vec::new();
    if one_of(&[true, false]) {
        handles = world::join(staging);
        direct.join();
        if delay != FOREVER {
            account.wait_for_all();
        }
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    } else {
        world::dawdle(30);
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
        handles.extend(world::join(staging));
        direct.join();
    }
    flusher.join();
    account.settle(&batcher);
    drop(batcher);
    drop(handles);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p11_producers() {
    explore("producers", 200, &["ok OK Yes", "push CLOSED"], producers);
}

#[test]
fn control_stages_are_forgotten() {
    must_catch("stages_forgotten", 300, producers);
}

/// Callbacks call everything that is legal in them, and what is not is told so, beside producers and a close.
fn reentrant() {
    let bounds = Bounds {
        queue: one_of(&[2, 8]),
        results: one_of(&[4, 64]),
        flights: one_of(&[1, 2]),
        size: 2,
    };
    let account = Account::mixed(bounds);
    let shared: Arc<OnceLock<Weak<Batcher>>> = Arc::default();
    // Each callback pushes at most one value.
    let next = Arc::new(AtomicU64::new(5 * PRODUCER));
    let call = {
        let (account, shared, next) = (account.clone(), shared.clone(), next.clone());
        move || {
            let Some(batcher) = shared.get().and_then(Weak::upgrade) else {
                return;
            };
            match world::random(6) {
                0 => {
                    let tag = next.fetch_add(1, Ordering::SeqCst);
                    if tag < 5 * PRODUCER + 3 {
                        let status = account.push(&*batcher, tag);
                        let answers = [
                            Status::OK,
                            Status::QUEUE_FULL,
                            Status::RESULTS_FULL,
                            Status::CLOSED,
                        ];
                        ensure(answers.contains(&status), status);
                    }
                }
                1 => {
                    account.snapshot(&batcher);
                }
                2 => ensure(matches!(batcher.seal(), Ok(()) | Err(Status::CLOSED)), "seal"),
                3 => ensure_eq(batcher.flush(FOREVER), Err(Status::REENTRANT), "flush"),
                4 => account.cancelled_any(batcher.cancel(PRODUCER + 2)),
                _ => {
                    let close = one_of(&[true, false, false]).then(|| batcher.close(microseconds(50)));
                    ensure(
                        close.is_none_or(|closed| closed == Err(Status::IN_PROGRESS)),
                        "close",
                    );
                }
            }
        }
    };
    let builder = {
        let (account, call) = (account.clone(), call.clone());
        account.clone().builder().handler(move |batch| {
            call();
            account.handle(batch)
        })
    };
    let builder = {
        let (account, call) = (account.clone(), call);
        builder.on_result(move |results| {
            call();
            account.deliver(results);
        })
    };
    let builder = builder.threads(one_of(&[1, 2])).push_timeout(FOREVER);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    ensure(shared.set(Arc::downgrade(&batcher)).is_ok(), "set once");
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    world::join(producers);
    ensure(batcher.close(FOREVER).is_ok(), "close");
    // A callback may hold the last reference: then it is the one that drops the batcher.
    drop(batcher);
    account.finish();
}

#[test]
fn p25_reentrant() {
    explore(
        "reentrant",
        200,
        &["discarded DISCARDED Maybe", "push QUEUE_FULL"],
        reentrant,
    );
}

#[test]
fn control_reentry_goes_unseen() {
    must_catch("reentered", 300, reentrant);
}

/// Rounds of a few values with a pause after each: every sleeper is woken by what it waits for, however long it slept.
fn rounds() {
    let bounds = Bounds {
        size: one_of(&[2, 16]),
        queue: 16,
        flights: one_of(&[1, 2]),
        results: 64,
    };
    let account = Account::new(bounds);
    let handle = account.clone();
    let builder = account.delivered(account.builder()).handler(move |batch| {
        world::dawdle(2);
        handle.handle(batch)
    });
    let delay = one_of(&[Timeout::ZERO, microseconds(10), microseconds(100)]);
    let batcher = Arc::new(
        builder
            .threads(one_of(&[1, 2, 3]))
            .max_delay(delay)
            .build()
            .expect("a batcher"),
    );
    let producers = [1, 2].map(|number| {
        let (account, batcher) = (account.clone(), batcher.clone());
        let handle = one_of(&[true, false]).then(|| batcher.producer().expect("a producer"));
        world::spawn("producer", move || {
            for at in 0..4 {
                // Tags of int64 values only, so that a handle stages them.
                let tag = number * PRODUCER + 4 * at;
                let status = match &handle {
                    Some(handle) => account.push(handle, tag),
                    None => account.push(&*batcher, tag),
                };
                ensure_eq(status, Status::OK, "push");
                if one_of(&[true, false]) {
                    account.wait_for(tag);
                }
            }
        })
    });
    world::join(producers);
    account.wait_for_all();
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p07_rounds() {
    explore("rounds", 200, &["ok OK Yes"], rounds);
}

#[test]
fn control_sleepers_sleep_on() {
    must_catch("sleeps_on", 300, rounds);
}
