//! Ordered delivery.

use microbatch_shuttle::account::{Account, Bounds};
use microbatch_shuttle::world::{self, Parcels, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Closed, Delivery, HeldBatch, Timeout};
use std::sync::Arc;

use super::{FOREVER, microseconds, producer};

/// Two handler threads, two or three batches in flight, some kept and some timed out: results come in order of
/// dispatch.
fn ordered() {
    let bounds = Bounds {
        flights: one_of(&[2, 3]),
        size: one_of(&[1, 2]),
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
                world::dawdle(6);
                if one_of(&[true, true, false]) {
                    return account.handle(batch);
                }
                account.keep(batch, &held)
            })
    };
    let builder = builder
        .threads(2)
        .delivery(Delivery::Ordered)
        .max_delay(one_of(&[Timeout::ZERO, microseconds(10), FOREVER]))
        .handler_timeout(one_of(&[microseconds(30), FOREVER]));
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let completer = account.completer(&held);
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    account.snapshot(&batcher);
    world::join(producers);
    ensure_eq(batcher.flush(FOREVER), Ok(()), "flush");
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    held.close();
    completer.join();
    drop(batcher);
    account.ensure_ordered();
    account.ensure_order_of_producers();
    account.finish();
}

#[test]
fn p19_ordered() {
    explore(
        "ordered",
        200,
        &["Complete TOO_LATE", "expired HANDLER_TIMEOUT Maybe", "ok OK Yes"],
        ordered,
    );
}

#[test]
fn control_order_is_lost() {
    must_catch("unordered", 300, ordered);
}
