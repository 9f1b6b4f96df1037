//! Time: deadlines, cancel and the handler time-out race with dispatch and completion.

use microbatch_shuttle::account::{Account, Bounds, PRODUCER};
use microbatch_shuttle::world::{self, Parcels, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Batch, Closed, HeldBatch, Kind, Outcome, PushOptions, Status, Timeout};
use std::sync::Arc;

use super::{FOREVER, microseconds, producer};

/// Values with deadlines, handlers that overrun, cancels, late completions.
fn times() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        size: one_of(&[1, 2, 3]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held: Arc<Parcels<HeldBatch>> = Arc::default();
    let builder = {
        let (account, held) = (account.clone(), held.clone());
        account
            .clone()
            .delivered(account.builder())
            .handler(move |batch| {
                world::dawdle(2);
                if one_of(&[true, false]) {
                    let handled = account.handle(batch);
                    world::dawdle(2);
                    return handled;
                }
                account.keep(batch, &held)
            })
    };
    let builder = builder
        .threads(one_of(&[1, 2]))
        .max_delay(one_of(&[Timeout::ZERO, microseconds(10)]))
        .handler_timeout(one_of(&[microseconds(10), microseconds(40), FOREVER]));
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let completer = account.completer(&held);
    let producers = [1, 2].map(|number| {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("producer", move || {
            for at in 0..3 {
                let tag = number * PRODUCER + at;
                let now = batcher.now().expect("a clock");
                let deadline = one_of(&[0, now - 1, now + 5_000, now + 50_000]);
                let options = PushOptions::new().deadline(deadline);
                let push = || batcher.push_with(tag as i64, tag, options);
                ensure_eq(account.try_push(tag, deadline, false, push), Status::OK, "push");
            }
        })
    });
    let canceller = {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("canceller", move || {
            for tag in [PRODUCER + 1, 2 * PRODUCER + 1] {
                world::dawdle(4);
                let cancelled = batcher.cancel(tag);
                account.cancelled(tag, cancelled);
            }
        })
    };
    account.snapshot(&batcher);
    world::join(producers);
    canceller.join();
    account.snapshot(&batcher);
    // No close and no flush: time alone ends every value.
    account.wait_for_all();
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    held.close();
    completer.join();
    let stats = batcher.stats().expect("stats");
    ensure(
        stats.late >= account.late(),
        format_args!("late: {} and {}", stats.late, account.late()),
    );
    drop(batcher);
    account.finish();
}

#[test]
fn p20_p21_times() {
    explore(
        "times",
        200,
        &[
            "Complete TOO_LATE",
            "keep TOO_LATE",
            "expired DEADLINE No",
            "expired HANDLER_TIMEOUT Maybe",
            "cancel OK",
            "cancel TOO_LATE",
        ],
        times,
    );
}

#[test]
fn control_deadlines_come_early() {
    must_catch("expires_early", 300, times);
}

/// Mixed batches with a handler for integers, one for strings and one for the rest: parts end one by one, some are
/// kept, some time out, and close cuts what is left.
fn parts() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        size: 4,
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held: Arc<Parcels<HeldBatch>> = Arc::default();
    let handler = || {
        let (account, held) = (account.clone(), held.clone());
        move |batch: &mut Batch<'_>| {
            world::dawdle(2);
            match one_of(&[0, 0, 1, 2]) {
                0 => account.handle(batch),
                1 => account.keep(batch, &held),
                _ => account.overrun(batch),
            }
        }
    };
    let builder = account.delivered(account.builder());
    let builder = builder
        .handler_for(Kind::Int64, handler())
        .handler_for(Kind::String, handler())
        .handler(handler());
    let builder = builder
        .threads(one_of(&[1, 2]))
        .max_delay(one_of(&[Timeout::ZERO, microseconds(10)]))
        .handler_timeout(one_of(&[microseconds(5), microseconds(30), FOREVER]));
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let completer = account.completer(&held);
    let producers = [1, 2].map(|number| producer(number, 4, &account, &batcher));
    account.snapshot(&batcher);
    world::join(producers);
    if one_of(&[true, false]) {
        account.wait_for_all();
    }
    let closed = batcher.close(one_of(&[FOREVER, microseconds(20)]));
    ensure(closed.is_ok(), "close");
    drop(batcher);
    held.close();
    completer.join();
    ensure_eq(
        closed,
        Ok(Closed {
            left: account.count(Outcome::Discarded),
        }),
        "what close says",
    );
    account.finish();
}

#[test]
fn p13_parts() {
    explore(
        "parts",
        200,
        &[
            "Complete TOO_LATE",
            "expired HANDLER_TIMEOUT Maybe",
            "expired HANDLER_TIMEOUT No",
            "ok OK Yes",
        ],
        parts,
    );
}

#[test]
fn control_a_part_is_handled_again() {
    must_catch("part_again", 10, parts);
}

#[test]
fn control_late_cells_show() {
    must_catch("late_cells", 300, parts);
}
