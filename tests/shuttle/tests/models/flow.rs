//! Values flow: pushes, bounds, flush and a close that drains.

use microbatch_shuttle::account::{Account, Bounds, PRODUCER};
use microbatch_shuttle::world::{self, Flag, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Batcher, Closed, OnFull, Status, Tags, Timeout};
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
        300,
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

/// BLOCK with room for one or two values, and a slow handler.
fn block() {
    let queue = one_of(&[1, 2]);
    let bounds = Bounds {
        queue,
        size: 1 + world::random(queue),
        results: one_of(&[1, 2, 8]),
        flights: one_of(&[1, 2]),
    };
    let account = Account::new(bounds);
    let handle = account.clone();
    let builder = account.delivered(account.builder()).handler(move |batch| {
        world::dawdle(4);
        handle.handle(batch)
    });
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = builder
        .threads(one_of(&[1, 2]))
        .on_full(OnFull::Block)
        .push_timeout(FOREVER)
        .max_delay(delay);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let waiter = {
        let batcher = batcher.clone();
        world::spawn("waiter", move || {
            // Unlike a push, waiting for room does not make the open batch due.
            let room = batcher.room(if delay == FOREVER {
                microseconds(50)
            } else {
                FOREVER
            });
            let lacks = matches!(room, Err(Status::QUEUE_FULL | Status::RESULTS_FULL));
            ensure(
                matches!(room, Ok(()) | Err(Status::CLOSED)) || delay == FOREVER && lacks,
                format_args!("{room:?}"),
            );
        })
    };
    account.snapshot(&batcher);
    account.snapshot(&batcher);
    if one_of(&[true, false]) {
        world::join(producers);
        waiter.join();
        account.snapshot(&batcher);
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    } else {
        world::dawdle(20);
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
        world::join(producers);
        waiter.join();
    }
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p22_block() {
    explore("block", 300, &["ok OK Yes", "push CLOSED"], block);
}

#[test]
fn control_notifications_get_lost() {
    must_catch(world::LOSE_NOTIFICATIONS, 100, block);
}

#[test]
fn control_room_is_not_told() {
    must_catch("room_untold", 300, block);
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
    explore("producers", 300, &["ok OK Yes", "push CLOSED"], producers);
}

#[test]
fn control_stages_are_forgotten() {
    must_catch("stages_forgotten", 300, producers);
}

/// REJECT and DISCARD_OLDEST beside cancel: bounds hold and every value ends once.
fn refuse() {
    let queue = one_of(&[1, 2, 3]);
    let bounds = Bounds {
        queue,
        size: 1 + world::random(queue),
        results: one_of(&[2, 3, 16]),
        flights: 1,
    };
    let account = Account::mixed(bounds);
    let policy = one_of(&[OnFull::Reject, OnFull::DiscardOldest, OnFull::Block]);
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = account
        .delivered(account.handled())
        .on_full(policy)
        .push_timeout(microseconds(5))
        .max_delay(delay);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let producers = [1, 2].map(|number| {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("producer", move || {
            for at in 0..4 {
                let status = account.push(&*batcher, number * PRODUCER + at);
                let refusals = [Status::OK, Status::QUEUE_FULL, Status::RESULTS_FULL];
                ensure(refusals.contains(&status), status);
                ensure(
                    policy != OnFull::DiscardOldest || status != Status::QUEUE_FULL,
                    status,
                );
            }
        })
    });
    let canceller = {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("canceller", move || {
            for tag in [PRODUCER + 1, 2 * PRODUCER + 2] {
                world::dawdle(4);
                let cancelled = batcher.cancel(tag);
                account.cancelled(tag, cancelled);
            }
        })
    };
    account.snapshot(&batcher);
    account.snapshot(&batcher);
    world::join(producers);
    canceller.join();
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p20_p22_refuse() {
    explore(
        "refuse",
        300,
        &[
            "cancelled CANCELLED No",
            "discarded DISCARDED No",
            "push QUEUE_FULL",
            "push RESULTS_FULL",
        ],
        refuse,
    );
}

#[test]
fn control_the_queue_is_passed() {
    must_catch("queue_passed", 300, refuse);
}

/// Bulk pushes take a prefix, in order, and wait for room in between.
fn bulk() {
    let queue = one_of(&[2, 3]);
    let bounds = Bounds {
        queue,
        size: 1 + world::random(queue),
        results: one_of(&[2, 16]),
        flights: one_of(&[1, 2]),
    };
    let account = Account::new(bounds);
    let policy = one_of(&[OnFull::Reject, OnFull::Block]);
    let builder = account
        .delivered(account.handled())
        .on_full(policy)
        .push_timeout(microseconds(50));
    let builder = builder
        .threads(one_of(&[1, 2]))
        .max_delay(one_of(&[Timeout::ZERO, microseconds(10)]));
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let producers = [1, 2].map(|number| {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("producer", move || {
            let tags: Vec<u64> = (0..5).map(|at| number * PRODUCER + at).collect();
            let values: Vec<i64> = tags.iter().map(|tag| *tag as i64).collect();
            account.try_push_many(&tags, || batcher.push_int64s(&values, Tags::Each(&tags)));
        })
    });
    account.snapshot(&batcher);
    account.snapshot(&batcher);
    if one_of(&[true, false]) {
        world::join(producers);
        account.wait_for_all();
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    } else {
        world::dawdle(20);
        ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
        world::join(producers);
    }
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p06_bulk() {
    explore("bulk", 300, &["push CLOSED", "push QUEUE_FULL"], bulk);
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
        300,
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
    explore("rounds", 300, &["ok OK Yes"], rounds);
}

#[test]
fn control_sleepers_sleep_on() {
    must_catch("sleeps_on", 300, rounds);
}

/// A host that never blocks in a call: after a refusal, and after beginning a flush, it waits for the descriptor.
fn descriptor() {
    let bounds = Bounds {
        queue: one_of(&[2, 3]),
        size: 2,
        results: one_of(&[2, 8]),
        flights: 1,
    };
    let account = Account::mixed(bounds);
    let handle = account.clone();
    let builder = account
        .delivered(account.builder())
        .on_full(OnFull::Reject)
        .handler(move |batch| {
            world::dawdle(4);
            handle.handle(batch)
        });
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let batcher = builder.max_delay(delay).build().expect("a batcher");
    let fd = batcher.fd().expect("a descriptor");
    let never = Flag::default();
    for at in 0..5 {
        let mut tag = PRODUCER + at;
        while !account.push(&batcher, tag).is_ok() {
            world::reached("waits for room");
            ensure(world::readable(fd, &never), "the descriptor is gone");
            // A refused tag is not used again.
            tag += 10;
        }
    }
    let before = account.accepted();
    let mark = batcher.flush_begin().expect("a mark");
    loop {
        match batcher.flush_end(mark, Timeout::ZERO) {
            Ok(()) => break,
            Err(status) => ensure_eq(status, Status::IN_PROGRESS, "flush_end"),
        }
        world::reached("waits for the flush");
        ensure(world::readable(fd, &never), "the descriptor is gone");
    }
    ensure(
        account.are_delivered(&before),
        "flush is done before its values are delivered",
    );
    account.settle(&batcher);
    drop(batcher);
    account.finish();
}

#[test]
fn p22_p23_descriptor() {
    explore(
        "descriptor",
        300,
        &["waits for room", "waits for the flush"],
        descriptor,
    );
}

#[test]
fn control_the_descriptor_does_not_fire() {
    must_catch("descriptor_stale", 10, descriptor);
}
