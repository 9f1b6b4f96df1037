//! Values: their kinds, exact round trips, pushes that take or refuse, tags and bulk pushes (promises P1 to P6).
//!
//! Time is given, so nothing here waits. Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod kinds;
mod round_trips;
mod taking;
mod tags;
mod bulk;

use common::{
    Chance, Copied, Journal, Notes, Shelf, echo, given, int, journaled, ns, run_at, status, text, timeless,
};
use microbatch::{
    Batcher, Builder, Failure, Handled, Kind, Object, OnFull, Outcome, PushOptions, Split, Stats, Status,
    Tags, Timeout, Value, map,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The owner of the objects in these tests.
const OWNER: u32 = 7;

fn object(word: u64) -> Object {
    Object {
        owner: OWNER,
        word,
        size: 0,
    }
}

/// One value of every kind, in order of kind code.
fn one_of_each() -> [Value<'static>; Kind::COUNT] {
    [
        Value::Null,
        Value::Bool(true),
        Value::Int64(-5),
        Value::Float64(2.5),
        Value::String("hello"),
        Value::Bytes(b"\x00\xff"),
        Value::Object(object(99)),
    ]
}

/// A release callback that writes down the words of the objects it is given, in order.
fn adds(notes: &Notes<u64>) -> impl Fn(u64) + Send + Sync + 'static {
    let notes = notes.clone();
    move |word| notes.add(word)
}
