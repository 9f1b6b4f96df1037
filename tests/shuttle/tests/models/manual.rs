//! Manual mode, driven by hosts that wait for the descriptor alone.

use microbatch_shuttle::account::{Account, Bounds};
use microbatch_shuttle::world::{self, Flag, Parcels, ensure, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Closed, HeldBatch, Outcome, Status, Timeout};
use std::sync::Arc;

use super::{FOREVER, microseconds, producer};

/// Two hosts run whenever the descriptor says so; nothing else moves the batcher.
fn hosts() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10)]);
    let builder = account
        .manual(account.delivered(account.handled()))
        .max_delay(delay);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let fd = batcher.fd().expect("a descriptor");
    let stop = Arc::new(Flag::default());
    let hosts = [0, 1].map(|_| {
        let (batcher, stop) = (batcher.clone(), stop.clone());
        world::spawn("host", move || {
            while world::readable(fd, &stop) {
                ensure_eq(batcher.run(), Ok(()), "run");
            }
        })
    });
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    account.snapshot(&batcher);
    world::join(producers);
    account.wait_for_all();
    world::stop_reading(fd, &stop);
    world::join(hosts);
    let closed = batcher.close(one_of(&[FOREVER, Timeout::ZERO]));
    ensure_eq(closed, Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    drop(batcher);
    account.finish();
}

#[test]
fn p27_hosts() {
    explore("hosts", 200, &["ok OK Yes"], hosts);
}

/// Two hosts run, flush and close beside producers, without a descriptor; then the batcher is freed.
fn ends() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = account
        .manual(account.delivered(account.handled()))
        .max_delay(delay);
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let hosts = [0, 1].map(|number| {
        let (account, batcher) = (account.clone(), batcher.clone());
        world::spawn("host", move || {
            let before = account.accepted();
            match batcher.flush(FOREVER) {
                Ok(()) => ensure(
                    account.are_delivered(&before),
                    "flush returns before its values are delivered",
                ),
                Err(status) => ensure(matches!(status, Status::IN_PROGRESS | Status::CLOSED), status),
            }
            let _ = batcher.run();
            if number == 0 {
                let closed = batcher.close(one_of(&[FOREVER, microseconds(20), Timeout::ZERO]));
                ensure(
                    matches!(closed, Ok(_) | Err(Status::IN_PROGRESS)),
                    format_args!("close: {closed:?}"),
                );
            }
            let _ = batcher.run();
        })
    });
    account.snapshot(&batcher);
    world::join(producers);
    if one_of(&[true, false]) {
        world::join(hosts);
        drop(batcher);
    } else {
        // The last owner frees it, whoever that is.
        drop(batcher);
        world::join(hosts);
    }
    account.finish();
}

#[test]
fn p24_p27_ends() {
    explore(
        "ends",
        200,
        &[
            "discarded DISCARDED Maybe",
            "discarded DISCARDED No",
            "push CLOSED",
        ],
        ends,
    );
}

/// One host waits for the descriptor and asks close again and again, while another thread ends what handlers kept.
fn close_asks() {
    let bounds = Bounds {
        flights: one_of(&[1, 2, 3]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let held: Arc<Parcels<HeldBatch>> = Arc::default();
    let builder = {
        let (account, held) = (account.clone(), held.clone());
        account
            .clone()
            .manual(account.delivered(account.builder()))
            .handler(move |batch| {
                if one_of(&[true, false]) {
                    account.handle(batch)
                } else {
                    account.keep(batch, &held)
                }
            })
    };
    let delay = one_of(&[Timeout::ZERO, microseconds(10), FOREVER]);
    let builder = builder
        .max_delay(delay)
        .handler_timeout(one_of(&[microseconds(30), FOREVER]));
    let batcher = Arc::new(builder.build().expect("a batcher"));
    let fd = batcher.fd().expect("a descriptor");
    let completer = account.completer(&held);
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    let mut producers = Vec::from(producers);
    if one_of(&[true, true, false]) {
        world::join(producers.drain(..));
        ensure_eq(batcher.run(), Ok(()), "run");
    }
    let never = Flag::default();
    let timeout = one_of(&[FOREVER, microseconds(20)]);
    let left = loop {
        match batcher.close(timeout) {
            Ok(Closed { left }) => break left,
            Err(status) => ensure_eq(status, Status::IN_PROGRESS, "close"),
        }
        world::reached("close is in progress");
        ensure(world::readable(fd, &never), "the descriptor is gone");
    };
    world::join(producers);
    account.settle(&batcher);
    ensure_eq(left, account.count(Outcome::Discarded), "what close says");
    drop(batcher);
    held.close();
    completer.join();
    account.finish();
}

#[test]
fn p24_close_asks() {
    explore(
        "close_asks",
        200,
        &["close is in progress", "discarded DISCARDED Maybe", "Complete OK"],
        close_asks,
    );
}

#[test]
fn control_on_result_runs_beside_itself() {
    must_catch("beside_itself", 300, hosts);
}
