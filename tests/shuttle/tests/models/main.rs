//! The models. Each runs under random, sticky and PCT schedules, and each group has a positive control: a bug in the
//! engine, or in the world under it, that the model must catch.

#![allow(clippy::expect_used, reason = "a model fails by panicking")]

mod flow;
mod room;
mod closing;
mod times;
mod pull;
mod order;
mod ending;
mod manual;

use microbatch_shuttle::account::{Account, PRODUCER};
use microbatch_shuttle::world::{self, ensure};
use microbatch_shuttle::{Batcher, Status, Timeout};
use std::sync::Arc;
use std::time::Duration;

const FOREVER: Timeout = Timeout::FOREVER;

fn microseconds(count: u64) -> Timeout {
    Duration::from_micros(count).into()
}

/// Starts a producer of `count` values.
fn producer(number: u64, count: u64, account: &Arc<Account>, batcher: &Arc<Batcher>) -> world::Task {
    let (account, batcher) = (account.clone(), batcher.clone());
    world::spawn("producer", move || {
        for at in 0..count {
            let status = account.push(&*batcher, number * PRODUCER + at);
            ensure(matches!(status, Status::OK | Status::CLOSED), status);
        }
    })
}
