//! Room: full queues, what they do to a push, and how a host waits for room.

use microbatch_shuttle::account::{Account, Bounds, PRODUCER};
use microbatch_shuttle::world::{self, Flag, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Closed, IfFull, OnFull, PushOptions, Status, Tags, Timeout};
use std::sync::Arc;

use super::{FOREVER, microseconds, producer};

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
    explore("block", 200, &["ok OK Yes", "push CLOSED"], block);
}

#[test]
fn control_notifications_get_lost() {
    must_catch(world::LOSE_NOTIFICATIONS, 100, block);
}

#[test]
fn control_room_is_not_told() {
    must_catch("room_untold", 300, block);
}

#[test]
fn control_wakes_are_not_paid() {
    must_catch("unpaid", 300, block);
}

/// The first batch leaves a full queue for which so many pushes wait, and the host takes no other before they have found room.
fn one_batch_of_room(bounds: Bounds, pushes: u64) {
    let account = Account::new(bounds);
    let builder = account
        .pulls(account.builder())
        .on_full(OnFull::Block)
        .push_timeout(FOREVER)
        .max_delay(FOREVER);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    for at in 0..bounds.queue {
        ensure_eq(account.push(&*batcher, 10 * PRODUCER + at), Status::OK, "room");
    }
    let waiting: Vec<_> = (1..=pushes)
        .map(|number| producer(number, 1, &account, &batcher))
        .collect();
    world::dawdle(20);
    let first = batcher.next_batch(FOREVER).expect("the first batch");
    account.see(first.number(), first.tags());
    world::join(waiting);
    account.end(first);
    ensure_eq(
        batcher.close(Timeout::ZERO).map(|closed| closed.left),
        Ok(bounds.queue),
        "close",
    );
    while let Ok(results) = batcher.next_results(Timeout::ZERO) {
        account.pulled(&results);
    }
    account.settle(&batcher);
    drop(batcher);
    account.finish();
}

/// A batch leaves a full queue, and the host takes no other before all places that it left are taken again.
fn passed_on() {
    let queue = one_of(&[2, 3]);
    let bounds = Bounds {
        queue,
        size: queue,
        results: 16,
        flights: 1,
    };
    one_batch_of_room(bounds, queue);
}

#[test]
fn p22_room_is_passed_on() {
    explore("passed_on", 200, &[], passed_on);
}

#[test]
fn control_room_is_kept() {
    must_catch("room_kept", 300, passed_on);
}

/// Room for two comes, and is left to the first that is woken, which has nothing more to push; the host is in no hurry to
/// make more.
fn turns() {
    let queue = one_of(&[6, 8]);
    let bounds = Bounds {
        queue,
        size: 2,
        results: 32,
        flights: 1,
    };
    one_batch_of_room(bounds, 2);
}

#[test]
fn p22_turns_end() {
    explore("turns", 200, &[], turns);
}

#[test]
fn control_a_turn_does_not_end() {
    must_catch("turn_endless", 300, turns);
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
        200,
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
    explore("bulk", 200, &["push CLOSED", "push QUEUE_FULL"], bulk);
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
        200,
        &["waits for room", "waits for the flush"],
        descriptor,
    );
}

#[test]
fn control_the_descriptor_does_not_fire() {
    must_catch("descriptor_stale", 10, descriptor);
}

/// A host that waits for room itself, beside one whose pushes wait: a push asks, the host waits for the descriptor and
/// pushes again.
fn asking() {
    let bounds = Bounds {
        queue: one_of(&[1, 2]),
        size: 1,
        results: one_of(&[1, 2, 8]),
        flights: 1,
    };
    let account = Account::new(bounds);
    let handle = account.clone();
    let builder = account
        .delivered(account.builder())
        .on_full(OnFull::Block)
        .push_timeout(FOREVER)
        .handler(move |batch| {
            world::dawdle(4);
            handle.handle(batch)
        });
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let fd = batcher.fd().expect("a descriptor");
    let beside = producer(2, one_of(&[0, 3]), &account, &batcher);
    let push = |tag: u64, if_full| {
        let options = PushOptions::new().if_full(if_full);
        account.try_push(tag, 0, false, || batcher.push_with(tag as i64, tag, options))
    };
    let never = Flag::default();
    // A refused tag is not used again.
    let mut tags = PRODUCER..;
    let mut next = || tags.next().unwrap_or_default();
    for _ in 0..4 {
        loop {
            let status = push(next(), IfFull::Ask);
            if status.is_ok() {
                break;
            }
            ensure_eq(status, Status::WOULD_WAIT, "a push that asks");
            world::reached("asks");
            ensure(world::readable(fd, &never), "the descriptor is gone");
        }
    }
    let status = push(next(), IfFull::Refuse);
    let answers = [Status::OK, Status::QUEUE_FULL, Status::RESULTS_FULL];
    ensure(answers.contains(&status), status);
    account.snapshot(&batcher);
    beside.join();
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    drop(batcher);
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p22_asking() {
    explore("asking", 200, &["asks", "push QUEUE_FULL"], asking);
}

#[test]
fn control_who_asks_is_not_told() {
    must_catch("asked_in_vain", 100, asking);
}
