//! Threads that end inside callbacks.

use microbatch_shuttle::account::{Account, Bounds};
use microbatch_shuttle::world::{self, ensure_eq, explore, must_catch, one_of};
use microbatch_shuttle::{Closed, Options, ending};
use std::sync::Arc;

use super::{FOREVER, producer};

/// Handler threads and the delivering thread end inside callbacks: what they held ends, others take their place.
fn threads_end() {
    let bounds = Bounds {
        flights: one_of(&[1, 2]),
        ..Bounds::default()
    };
    let account = Account::mixed(bounds);
    let options = Options {
        max_batch_size: bounds.size,
        queue_capacity: bounds.queue,
        result_capacity: bounds.results,
        max_in_flight: bounds.flights as u32,
        threads: one_of(&[1, 2]),
        close_timeout: one_of(&[1, 50_000]),
        ..Options::default()
    };
    let batcher = Arc::new(ending::batcher(&account, options, one_of(&[2, 4, 8])));
    let producers = [1, 2].map(|number| producer(number, 3, &account, &batcher));
    account.snapshot(&batcher);
    world::join(producers);
    match one_of(&[0, 1, 2]) {
        0 => account.wait_for_all(),
        1 => ensure_eq(batcher.flush(FOREVER), Ok(()), "flush"),
        // The batcher ends with values outstanding.
        _ => {
            match Arc::try_unwrap(batcher) {
                Ok(batcher) if one_of(&[true, false]) => batcher.abandon(),
                batcher => drop(batcher),
            }
            return account.finish();
        }
    }
    ensure_eq(batcher.close(FOREVER), Ok(Closed { left: 0 }), "close");
    account.settle(&batcher);
    drop(batcher);
    account.finish();
}

#[test]
fn p32_threads_end() {
    explore(
        "threads_end",
        200,
        &["failed THREAD_ENDED Maybe", "discarded DISCARDED No", "ok OK Yes"],
        threads_end,
    );
}

#[test]
fn control_a_thread_is_not_replaced() {
    must_catch("unreplaced", 100, threads_end);
}
