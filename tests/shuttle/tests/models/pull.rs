//! Hosts that pull: batches and results taken from several threads, beside flush and close.

use microbatch_shuttle::account::{Account, Bounds};
use microbatch_shuttle::world::{self, Flag, Parcels, ensure, explore, must_catch, one_of};
use microbatch_shuttle::{Batcher, Builder, Delivery, HeldBatch, Kind, Status, Timeout};
use std::sync::Arc;

use super::{FOREVER, microseconds, producer};

/// A thread that takes batches and ends them, or hands them on, until the batcher is closed and empty.
fn taker(account: &Arc<Account>, batcher: &Arc<Batcher>, held: &Arc<Parcels<HeldBatch>>) -> world::Task {
    let (account, batcher, held) = (account.clone(), batcher.clone(), held.clone());
    let timeout = one_of(&[FOREVER, microseconds(30)]);
    world::spawn("taker", move || {
        loop {
            match batcher.next_batch(timeout) {
                Ok(batch) => {
                    account.see(batch.number(), batch.tags());
                    // Only a part that was not cut meanwhile can be kept, and whole batches cannot.
                    let kept = one_of(&[true, false]) && batch.keep().is_ok();
                    if kept {
                        world::reached("kept a part");
                    }
                    if one_of(&[true, false]) {
                        account.end(batch);
                    } else {
                        held.send(batch);
                    }
                }
                Err(Status::CLOSED) => return,
                Err(status) => ensure(status == Status::TIMEOUT && timeout != FOREVER, status),
            }
        }
    })
}

/// A thread that takes results until the batcher is closed and empty.
fn reader(account: &Arc<Account>, batcher: &Arc<Batcher>) -> world::Task {
    let (account, batcher) = (account.clone(), batcher.clone());
    let timeout = one_of(&[FOREVER, microseconds(30)]);
    world::spawn("reader", move || {
        loop {
            match batcher.next_results(timeout) {
                Ok(results) => {
                    account.pulled(&results);
                    world::dawdle(2);
                }
                Err(Status::CLOSED) => return,
                Err(status) => ensure(status == Status::TIMEOUT && timeout != FOREVER, status),
            }
        }
    })
}

/// A host with handlers of its own, or with none.
fn in_parts(builder: Builder) -> Builder {
    match one_of(&[0, 1, 2]) {
        0 => builder,
        1 => builder.pull_handler_for(Kind::Int64).pull_handler(),
        _ => (builder.pull_handler_for(Kind::String))
            .pull_handler_for(Kind::Object)
            .pull_handler(),
    }
}

/// Two threads take batches, two take results; a flush and a close wait.
fn pull() {
    let bounds = Bounds {
        flights: one_of(&[1, 2, 3]),
        size: one_of(&[1, 2, 3]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let batcher = Arc::new(
        in_parts(account.pulls(account.builder()))
            .max_delay(delay)
            .build()
            .expect("a batcher"),
    );
    let held = Arc::new(Parcels::default());
    let completer = account.completer(&held);
    let takers = [0, 1].map(|_| taker(&account, &batcher, &held));
    let readers = [0, 1].map(|_| reader(&account, &batcher));
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let flusher = {
        let batcher = batcher.clone();
        world::spawn("flusher", move || {
            let flushed = batcher.flush(FOREVER);
            ensure(
                matches!(flushed, Ok(()) | Err(Status::CLOSED)),
                format_args!("flush: {flushed:?}"),
            );
        })
    };
    account.snapshot(&batcher);
    let mut producers = Vec::from(producers);
    if one_of(&[true, false]) {
        world::join(producers.drain(..));
        if delay != FOREVER {
            account.wait_for_all();
        }
    } else {
        world::dawdle(20);
    }
    let closed = batcher.close(one_of(&[FOREVER, microseconds(20), Timeout::ZERO]));
    ensure(closed.is_ok(), format_args!("close: {closed:?}"));
    world::join(producers);
    world::join(takers);
    world::join(readers);
    flusher.join();
    held.close();
    completer.join();
    drop(batcher);
    account.finish();
}

#[test]
fn p24_p29_pull() {
    explore(
        "pull",
        200,
        &[
            "Complete TOO_LATE",
            "Complete OK",
            "discarded DISCARDED Maybe",
            "discarded DISCARDED No",
            "kept a part",
            "took results",
        ],
        pull,
    );
}

/// A completer takes the first of two sets that its batch sets free; the second is for whoever waits for results.
fn ordered() {
    let account = Account::new(Bounds {
        flights: 2,
        size: 1,
        ..Bounds::default()
    });
    let builder = account.pulls(account.builder()).delivery(Delivery::Ordered);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let reader = reader(&account, &batcher);
    world::join([producer(1, 2, &account, &batcher)]);
    let batches = [0, 1].map(|_| batcher.next_batch(FOREVER).expect("a batch"));
    for batch in &batches {
        account.see(batch.number(), batch.tags());
    }
    for batch in batches.into_iter().rev() {
        account.end(batch);
    }
    account.wait_for_all();
    ensure(batcher.close(FOREVER).is_ok(), "close");
    reader.join();
    drop(batcher);
    account.finish();
}

#[test]
fn p19_ordered_sets_are_told_of() {
    explore("ordered", 100, &["took results"], ordered);
}

/// One event loop that waits for the descriptor alone serves a pulled batcher: no wake-up is missing.
fn event_loop() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10)]);
    let batcher = Arc::new(
        in_parts(account.pulls(account.builder()))
            .max_delay(delay)
            .build()
            .expect("a batcher"),
    );
    let fd = batcher.fd().expect("a descriptor");
    let stop = Arc::new(Flag::default());
    let host = {
        let (account, batcher, stop) = (account.clone(), batcher.clone(), stop.clone());
        world::spawn("host", move || {
            while world::readable(fd, &stop) {
                if let Ok(batch) = batcher.next_batch(Timeout::ZERO) {
                    account.see(batch.number(), batch.tags());
                    account.end(batch);
                }
                if let Ok(results) = batcher.next_results(Timeout::ZERO) {
                    account.pulled(&results);
                }
            }
        })
    };
    world::join([1, 2].map(|number| producer(number, 3, &account, &batcher)));
    account.wait_for_all();
    world::stop_reading(fd, &stop);
    host.join();
    account.settle(&batcher);
    drop(batcher);
    account.finish();
}

#[test]
fn p23_p29_event_loop() {
    explore("event_loop", 200, &["Complete OK", "ok OK Yes"], event_loop);
}

#[test]
fn control_pullers_are_not_told() {
    must_catch("pullers_untold", 1000, pull);
}

#[test]
fn control_pullers_of_parts_are_not_told() {
    must_catch("parts_untold", 1000, pull);
}

#[test]
fn control_takers_of_results_are_not_told() {
    must_catch("sets_untold", 1000, ordered);
}

#[test]
fn control_the_descriptor_is_stale() {
    must_catch("descriptor_stale", 10, event_loop);
}
