//! Ours by the Rust API, until the C API is there.
#![allow(clippy::unwrap_used, reason = "interim")]

use crate::side::{Calls, Config, Tally};
use microbatch::{Batcher, Mode, OnFull, Timeout};
use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Ours {
    batcher: Batcher,
    tally: &'static Tally,
    manual: bool,
}

extern "C" fn create(config: *const Config) -> *mut c_void {
    // SAFETY: interim.
    let config = unsafe { &*config };
    let tally: &'static Tally = Box::leak(Box::default());
    let batcher = Batcher::builder()
        .mode(if config.consumer == 0 { Mode::Manual } else { Mode::Threaded })
        .max_batch_size(config.max_batch_size)
        .queue_capacity(config.outstanding)
        .result_capacity(config.outstanding)
        .queue_bytes(8 * config.outstanding + (16 << 20))
        .max_delay(Duration::from_nanos(config.max_delay_ns as u64))
        .on_full(OnFull::Block)
        .push_timeout(Timeout::FOREVER)
        .handler(|batch| {
            let mut doubled = [0i64; 4096];
            let values = batch.int64s().unwrap();
            for (doubled, value) in doubled.iter_mut().zip(values) {
                *doubled = 2 * value;
            }
            let count = batch.len();
            let _ = batch.set_int64s(&doubled[..count]);
            Ok(())
        })
        .on_result(|results| {
            let (mut sum, mut expected) = (0u64, 0u64);
            for (value, tag) in results.int64s().unwrap().iter().zip(results.tags()) {
                sum = sum.wrapping_add(*value as u64);
                expected = expected.wrapping_add(2 * tag);
            }
            tally.sum.store(tally.sum.load(Ordering::Relaxed).wrapping_add(sum), Ordering::Relaxed);
            tally.expected.store(tally.expected.load(Ordering::Relaxed).wrapping_add(expected), Ordering::Relaxed);
            tally.last_at.store(crate::side::now(), Ordering::Relaxed);
            let count = results.len() as u64;
            tally.delivered.store(tally.delivered.load(Ordering::Relaxed) + count, Ordering::Release);
        })
        .build()
        .unwrap();
    Box::into_raw(Box::new(Ours { batcher, tally, manual: config.consumer == 0 })).cast()
}

fn of<'a>(side: *mut c_void) -> &'a Ours {
    // SAFETY: interim.
    unsafe { &*side.cast::<Ours>() }
}

#[inline(never)]
fn push_int64(batcher: &Batcher, value: i64, tag: u64) -> i32 {
    batcher.push_int64(value, tag).map_or_else(|status| status.code(), |()| 0)
}

extern "C" fn push(side: *mut c_void, first: u64, count: u64) -> u64 {
    let batcher = &of(side).batcher;
    for i in 0..count {
        if push_int64(batcher, (first + i) as i64, first + i) != 0 {
            return i;
        }
    }
    count
}

extern "C" fn drain(side: *mut c_void) {
    let ours = of(side);
    if ours.manual {
        let _ = ours.batcher.seal();
        let _ = ours.batcher.run();
    } else {
        let _ = ours.batcher.flush(Timeout::FOREVER);
    }
}

extern "C" fn tally(side: *mut c_void) -> *const Tally {
    of(side).tally
}

extern "C" fn bytes_in_use(side: *mut c_void) -> u64 {
    of(side).batcher.stats().unwrap().bytes_in_use
}

extern "C" fn destroy(side: *mut c_void) {
    // SAFETY: interim.
    drop(unsafe { Box::from_raw(side.cast::<Ours>()) });
}

pub(crate) static OURS: Calls = Calls { create, push, drain, tally, bytes_in_use, destroy };
