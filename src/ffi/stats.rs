//! Stats
//!
//! One consistent snapshot of what a batcher has done and holds. In every snapshot
//! accepted = ok + failed + expired + cancelled + discarded + outstanding.

use super::guard;
use super::handle::mb_batcher;
use super::status::mb_status;
use crate::engine::histogram::Histogram;
use crate::engine::stats::Stats;
use std::ffi::c_char;
use std::fmt;
use std::mem::offset_of;

/// How often each magnitude was seen. Bucket 0 counts 0 and 1, bucket i counts 2^i to 2^(i+1) - 1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_histogram {
    /// How many values were recorded.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest of them, 0 without any.
    pub max: u64,
    /// How many values each bucket counted.
    pub buckets: [u64; 64],
}

/// A snapshot. Set `struct_size` before the call that fills it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_stats {
    /// `sizeof(mb_stats)`.
    pub struct_size: usize,
    /// Values taken by a push.
    pub accepted: u64,
    /// Values answered by a handler.
    pub ok: u64,
    /// Values failed by a handler, or left without a result.
    pub failed: u64,
    /// Values ended by their deadline or by handler_timeout.
    pub expired: u64,
    /// Values cancelled while they waited.
    pub cancelled: u64,
    /// Values given up for room or at the end of close.
    pub discarded: u64,
    /// Values accepted and without an outcome yet, waiting or in flight.
    pub outstanding: u64,
    /// Values with an outcome that is not delivered yet.
    pub undelivered: u64,
    /// Batches sealed, by `MB_TRIGGER_*`.
    pub triggers: [u64; 8],
    /// Pushes refused, by their status times -1.
    pub refusals: [u64; 24],
    /// Batches dispatched.
    pub batches: u64,
    /// Completions that came after their batch had ended.
    pub late: u64,
    /// Threads inside a handler whose batch has timed out.
    pub stuck: u64,
    /// Values in the queue.
    pub waiting: u64,
    /// What they weigh.
    pub waiting_bytes: u64,
    /// Batches dispatched and not finished.
    pub in_flight: u64,
    /// Values in the result set that is being delivered.
    pub delivering: u64,
    /// Memory held for batches and results, idle pools included.
    pub bytes_in_use: u64,
    /// Nanoseconds since the oldest batch in flight was dispatched; 0 without one.
    pub oldest_in_flight_age: i64,
    /// Values in each dispatched batch.
    pub batch_size: mb_histogram,
    /// Nanoseconds from the acceptance of each batch's oldest value to its dispatch.
    pub queue_time: mb_histogram,
    /// Nanoseconds from each batch's dispatch until its last part was finished.
    pub handler_time: mb_histogram,
    /// Nanoseconds from the moment each result set was ready until it was delivered.
    pub delivery_time: mb_histogram,
}

/// The engine's numbers go where the fields of the same name are.
macro_rules! same_layout {
    ($($field:ident),+) => {
        $(const _: () = assert!(offset_of!(mb_stats, $field) == size_of::<usize>() + offset_of!(Stats, $field));)+

        impl From<Stats> for mb_stats {
            fn from(stats: Stats) -> mb_stats {
                mb_stats { struct_size: size_of::<mb_stats>(), $($field: stats.$field.into()),+ }
            }
        }
    };
}
same_layout!(
    accepted,
    ok,
    failed,
    expired,
    cancelled,
    discarded,
    outstanding,
    undelivered,
    triggers,
    refusals,
    batches,
    late,
    stuck,
    waiting,
    waiting_bytes,
    in_flight,
    delivering,
    bytes_in_use,
    oldest_in_flight_age,
    batch_size,
    queue_time,
    handler_time,
    delivery_time
);
const _: () = assert!(size_of::<mb_stats>() == size_of::<usize>() + size_of::<Stats>());

impl From<Histogram> for mb_histogram {
    fn from(histogram: Histogram) -> mb_histogram {
        let Histogram {
            count,
            sum,
            max,
            buckets,
        } = histogram;
        mb_histogram {
            count,
            sum,
            max,
            buckets,
        }
    }
}

/// Takes a snapshot.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `stats` is NULL or its `struct_size` is not set; `MB_ERR_INVALID_HANDLE`;
/// `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_stats(batcher: *mut mb_batcher, stats: *mut mb_stats) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, stats) = (caller.engine(batcher)?, caller.sized_output(stats)?);
            stats.set(&engine.stats()?.into());
            Ok(())
        })
    }
}

/// Writes a snapshot as text for Prometheus.
///
/// `needed`: how many bytes the text and its NUL take; may be NULL. If that is more than `capacity` the text was cut: make
/// room and call again. `buffer` may be NULL if `capacity` is 0.
/// Returns: `MB_OK`, also if the text was cut; `MB_ERR_INVALID_ARGUMENT` if `buffer` is NULL with a capacity;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: a text that was cut ends with a NUL too. Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_stats_text(
    batcher: *mut mb_batcher,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let engine = caller.engine(batcher)?;
            let mut page = Page {
                buffer: caller.buffer(buffer.cast(), capacity)?,
                length: 0,
            };
            let stats = engine.stats()?;
            // A page takes everything.
            let _ = stats.prometheus(None, &mut page);
            caller.optional_output(needed).set(page.end());
            Ok(())
        })
    }
}

/// Text that is written as far as it fits, and counted as a whole.
struct Page<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.buffer.get_mut(self.length..).unwrap_or_default();
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += text.len();
        Ok(())
    }
}

impl Page<'_> {
    /// Puts the NUL, and answers what it all takes.
    fn end(self) -> usize {
        let last = self.length.min(self.buffer.len().saturating_sub(1));
        if let Some(end) = self.buffer.get_mut(last) {
            *end = 0;
        }
        self.length + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn p38_text_is_cut_where_the_buffer_ends() {
        for (capacity, shown) in [(0, ""), (1, "\0"), (4, "abc\0"), (6, "abcde\0"), (8, "abcde\0..")] {
            let mut buffer = [b'.'; 8];
            let mut page = Page {
                buffer: &mut buffer[..capacity],
                length: 0,
            };
            assert!(page.write_str("ab").is_ok() && page.write_str("cde").is_ok());
            assert_eq!(page.end(), 6);
            assert_eq!(&buffer[..capacity], shown.as_bytes());
        }
    }
}
