//! Endings: close with time-outs, free and abandon, beside held batches.

use microbatch_shuttle::account::{Account, Bounds, PRODUCER};
use microbatch_shuttle::world::{self, Flag, Parcels, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{
    Batch, Batcher, Builder, Closed, Failure, HeldBatch, Outcome, Results, Status, Timeout,
};
use std::sync::{Arc, Mutex, PoisonError};

use super::{FOREVER, microseconds, producer};

/// A handler that answers some batches and keeps the others for whoever receives `held`.
fn keeping(account: &Arc<Account>, held: &Arc<Parcels<HeldBatch>>, builder: Builder) -> Builder {
    let (account, held) = (account.clone(), held.clone());
    builder.handler(move |batch| keep(&account, &held, batch))
}

fn keep(account: &Account, held: &Parcels<HeldBatch>, batch: &mut Batch<'_>) -> Result<(), Failure> {
    if one_of(&[true, false]) {
        world::dawdle(3);
        return account.handle(batch);
    }
    let answer = account.keep(batch, held);
    world::dawdle(3);
    answer
}

/// Two closers race with producers, handlers and late completions.
fn close() {
    let bounds = Bounds {
        flights: one_of(&[1, 2, 3]),
        size: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held = Arc::new(Parcels::default());
    let builder = keeping(&account, &held, account.delivered(account.builder()));
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let batcher = Arc::new(
        builder
            .threads(one_of(&[1, 2]))
            .max_delay(delay)
            .build()
            .expect("a batcher"),
    );
    let completer = account.completer(&held);
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let timeouts = [Timeout::ZERO, microseconds(20), FOREVER];
    let closers = [one_of(&timeouts), one_of(&timeouts)].map(|timeout| {
        let batcher = batcher.clone();
        world::spawn("closer", move || {
            world::dawdle(20);
            batcher.close(timeout)
        })
    });
    account.snapshot(&batcher);
    let closed = world::join(closers);
    world::join(producers);
    let last = batcher.close(Timeout::ZERO);
    for closed in &closed {
        ensure_eq(*closed, last, "two closers see different ends");
    }
    if one_of(&[true, false]) {
        held.close();
        completer.join();
        let stats = account.snapshot(&batcher);
        ensure(
            stats.late >= account.late(),
            format_args!("late: {} and {}", stats.late, account.late()),
        );
        ensure_eq(stats.outstanding, 0, "outstanding after close");
        drop(batcher);
    } else {
        drop(batcher);
        held.close();
        completer.join();
    }
    ensure_eq(
        last,
        Ok(Closed {
            left: account.count(Outcome::Discarded),
        }),
        "what close says",
    );
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p15_p18_p24_close() {
    explore(
        "close",
        200,
        &[
            "Complete TOO_LATE",
            "Complete OK",
            "discarded DISCARDED Maybe",
            "discarded DISCARDED No",
        ],
        close,
    );
}

#[test]
fn control_a_batch_ends_twice() {
    must_catch("ended_twice", 300, close);
}

/// The batcher is dropped while batches are held and producers push.
fn free() {
    let bounds = Bounds {
        flights: one_of(&[1, 2, 3]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held = Arc::new(Parcels::default());
    let builder = keeping(&account, &held, account.delivered(account.builder()));
    let builder = builder.close_timeout(one_of(&[microseconds(1), microseconds(50)]));
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let batcher = builder
        .threads(one_of(&[1, 2]))
        .max_delay(delay)
        .build()
        .expect("a batcher");
    let completer = account.completer(&held);
    let producers = pushing(&account, &batcher);
    world::dawdle(20);
    if one_of(&[true, false]) {
        drop(batcher);
    } else {
        batcher.abandon();
    }
    world::join(producers);
    held.close();
    completer.join();
    account.ensure_order_of_producers();
    account.finish();
}

/// Producer handles, which may outlive the batcher.
fn pushing(account: &Arc<Account>, batcher: &Batcher) -> Vec<world::Task> {
    let push = |number| {
        let (account, handle) = (account.clone(), batcher.producer().expect("a producer"));
        world::spawn("producer", move || {
            for at in 0..3 {
                let status = account.push(&handle, number * PRODUCER + at);
                ensure(matches!(status, Status::OK | Status::CLOSED), status);
            }
        })
    };
    [1, 2].map(push).into()
}

#[test]
fn p26_free() {
    explore(
        "free",
        200,
        &[
            "Complete TOO_LATE",
            "Complete OK",
            "discarded DISCARDED Maybe",
            "discarded DISCARDED No",
        ],
        free,
    );
}

#[test]
fn control_results_are_stolen() {
    must_catch("results_stolen", 300, free);
}

#[test]
fn control_threads_never_stop() {
    must_catch("never_stops", 10, free);
}

/// A batcher that its callbacks can take.
#[derive(Default)]
struct Slot {
    batcher: Mutex<Option<Batcher>>,
    ended: Flag,
}

impl Slot {
    /// Drops or abandons the batcher, if it is still there.
    fn end(&self) {
        // Taken out first: the batcher ends with no lock of the model held.
        let batcher = self.batcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(batcher) = batcher {
            if one_of(&[true, false]) {
                batcher.abandon();
            } else {
                drop(batcher);
            }
            self.ended.set();
        }
    }
}

/// A callback abandons its own batcher, while producers push and another thread completes.
fn abandon() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held = Arc::new(Parcels::default());
    let slot = Arc::new(Slot::default());
    let place = one_of(&[0, 1, 2]);
    let builder = {
        let (account, held, slot) = (account.clone(), held.clone(), slot.clone());
        account.clone().builder().handler(move |batch| {
            if place == 0 {
                slot.end();
            }
            keep(&account, &held, batch)
        })
    };
    let builder = {
        let (account, slot) = (account.clone(), slot.clone());
        builder.on_result(move |results| {
            if place == 1 {
                slot.end();
            }
            account.deliver(results);
            if place == 2 {
                slot.end();
            }
        })
    };
    let batcher = builder.threads(one_of(&[1, 2])).build().expect("a batcher");
    let completer = account.completer(&held);
    let producers = pushing(&account, &batcher);
    *slot.batcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(batcher);
    world::join(producers);
    slot.end();
    slot.ended.wait();
    held.close();
    completer.join();
    drop(slot);
    account.finish();
}

#[test]
fn p25_p26_abandon() {
    explore(
        "abandon",
        200,
        &[
            "Complete TOO_LATE",
            "Complete OK",
            "discarded DISCARDED Maybe",
            "discarded DISCARDED No",
        ],
        abandon,
    );
}

/// Results that were pulled outlive their batcher.
fn free_beside_readers() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held = Arc::new(Parcels::default());
    let taken = Arc::new(Parcels::default());
    let builder = account.pulls(keeping(&account, &held, account.builder()));
    let batcher = builder.close_timeout(microseconds(1)).build().expect("a batcher");
    let completer = account.completer(&held);
    let producers = pushing(&account, &batcher);
    let dropper = {
        let taken: Arc<Parcels<Results<'static>>> = taken.clone();
        let account = account.clone();
        world::spawn("dropper", move || {
            while let Some(results) = taken.receive() {
                world::dawdle(8);
                account.compare_results(&results);
                drop(results);
            }
        })
    };
    for _ in 0..one_of(&[1, 2, 3]) {
        if let Ok(results) = batcher.next_results(microseconds(100)) {
            account.pulled(&results);
            taken.send(results);
        }
    }
    // What nobody pulled is given up with the batcher.
    account.may_lose();
    if one_of(&[true, false]) {
        drop(batcher);
    } else {
        batcher.abandon();
    }
    world::join(producers);
    taken.close();
    dropper.join();
    held.close();
    completer.join();
    account.finish();
}

#[test]
fn p26_free_beside_readers() {
    explore(
        "free_beside_readers",
        200,
        &["Complete TOO_LATE", "failed NO_RESULT Maybe"],
        free_beside_readers,
    );
}
