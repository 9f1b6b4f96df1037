//! One call, whichever the bytes choose, with whatever arguments.

use std::ptr::{null, null_mut};

use microbatch::ffi::batch::{
    mb_batch_complete, mb_batch_complete_next, mb_batch_complete_ok, mb_batch_free, mb_batch_gather,
    mb_batch_get_view, mb_batch_keep, mb_batch_value, mb_batch_view, mb_batcher_next_batch, mb_column,
};
use microbatch::ffi::batcher::{
    mb_batcher_abandon, mb_batcher_close, mb_batcher_flush, mb_batcher_flush_begin, mb_batcher_flush_end,
    mb_batcher_free, mb_batcher_seal,
};
use microbatch::ffi::bulk::{mb_batcher_push_int64s, mb_batcher_push_strings};
use microbatch::ffi::error::mb_error_code;
use microbatch::ffi::handle::{mb_batch, mb_batcher, mb_error, mb_producer, mb_results};
use microbatch::ffi::producer::{
    mb_producer_free, mb_producer_new, mb_producer_push_int64, mb_producer_push_object,
    mb_producer_push_string,
};
use microbatch::ffi::push::{
    mb_batcher_cancel, mb_batcher_check, mb_batcher_push_bytes, mb_batcher_push_float64,
    mb_batcher_push_int64, mb_batcher_push_object, mb_batcher_push_string, mb_batcher_push_value,
    mb_batcher_room, mb_push_options,
};
use microbatch::ffi::results::{
    mb_batcher_next_results, mb_results_error, mb_results_free, mb_results_get_view, mb_results_value,
    mb_results_view, mb_row_error,
};
use microbatch::ffi::run::{mb_batcher_advance, mb_batcher_next_due, mb_batcher_run};
use microbatch::ffi::set::{
    mb_batch_fail, mb_batch_fail_all, mb_batch_set_int64, mb_batch_set_int64s, mb_batch_set_object,
    mb_batch_set_string,
};
use microbatch::ffi::stats::{mb_batcher_stats, mb_stats};
use microbatch::ffi::value::{mb_value, mb_value_as};

use super::new_batcher;
use super::world::{OWNER, World};

/// Makes one call.
#[allow(clippy::too_many_lines, reason = "a list of calls")]
pub(super) fn call(world: *mut World<'_>) {
    // SAFETY: as in `super::call_back`: not used any more once a call of the library is under way that can call back.
    let this = unsafe { &mut *world };
    if this.is_over() {
        return;
    }
    this.calls += 1;
    let which = this.choose(44);
    let batcher: *mut mb_batcher = this.handle();
    let batch: *mut mb_batch = this.handle();
    let (row, tag) = (this.choose(6), this.choose(6) as u64);
    // SAFETY: every pointer is good for its use or NULL; handles are words, whatever they are worth.
    unsafe {
        match which {
            0 if this.words.len() < 40 => new_batcher(world),
            1 => drop(mb_batcher_seal(batcher)),
            2 => drop(mb_batcher_flush(batcher, this.timeout())),
            3 => {
                let mut mark = 0;
                if mb_batcher_flush_begin(batcher, &raw mut mark) == 0 {
                    this.marks.push(mark);
                }
            }
            4 => {
                let mark = if this.marks.is_empty() {
                    this.number()
                } else {
                    let at = this.choose(this.marks.len());
                    this.marks[at]
                };
                mb_batcher_flush_end(batcher, mark, this.timeout());
            }
            5 => {
                let mut left = 9;
                let status = mb_batcher_close(batcher, this.timeout(), &raw mut left);
                assert!(status == -14 || left == 0);
            }
            6 => drop(mb_batcher_free(batcher)),
            7 => drop(mb_batcher_abandon(batcher)),
            8 => drop(mb_batcher_push_int64(batcher, this.number() as i64, tag)),
            9 => drop(mb_batcher_push_float64(
                batcher,
                f64::from_bits(this.number()),
                tag,
            )),
            10 | 11 => {
                let text = [&b"text"[..], b"", b"\xff", b"a longer text that fills a batch"][this.choose(4)];
                if which == 10 {
                    mb_batcher_push_string(batcher, text.as_ptr().cast(), text.len(), tag);
                } else {
                    mb_batcher_push_bytes(batcher, text.as_ptr().cast(), text.len(), tag);
                }
            }
            12 | 13 => {
                // Counted before: a release may come inside.
                let owner = [OWNER, OWNER, OWNER, 0, 3][this.choose(5)];
                let status = mb_batcher_push_object(batcher, owner, this.number(), tag, tag);
                this.references += i64::from(status == 0);
            }
            14 => {
                let value = mb_value {
                    kind: this.choose(9) as u32,
                    owner: OWNER,
                    r#as: mb_value_as { int64: 0 },
                };
                let mut options: mb_push_options = std::mem::zeroed();
                options.struct_size = [size_of::<mb_push_options>(), 0, 8, usize::MAX][this.choose(4)];
                options.deadline = [0, this.now + 5, 1, -1][this.choose(4)];
                options.if_full = this.choose(4) as u64;
                if options.struct_size == usize::MAX {
                    // A longer struct is promised to be there as a whole.
                    options.struct_size = 0;
                }
                let status = mb_batcher_push_value(batcher, &raw const value, tag, &raw const options);
                this.references += i64::from(status == 0 && value.kind == 6);
            }
            15 => {
                let numbers = [1_i64, 2, 3, 4, 5];
                let mut accepted = 9;
                mb_batcher_push_int64s(
                    batcher,
                    numbers.as_ptr(),
                    null(),
                    this.choose(6),
                    null(),
                    tag,
                    null(),
                    &raw mut accepted,
                );
                assert!(accepted <= 5);
            }
            16 => {
                let offsets = [0_i32, 1, 3, 3, 6];
                let mut accepted = 9;
                let count = this.choose(5);
                mb_batcher_push_strings(
                    batcher,
                    c"abcdef".as_ptr().cast(),
                    offsets.as_ptr(),
                    null(),
                    count,
                    null(),
                    tag,
                    null(),
                    &raw mut accepted,
                );
                assert!(accepted <= count);
            }
            17 => {
                let value = mb_value {
                    kind: this.choose(9) as u32,
                    owner: OWNER,
                    r#as: mb_value_as { int64: 1 },
                };
                if value.kind != 4 && value.kind != 5 {
                    let mut error = null_mut();
                    mb_batcher_check(batcher, &raw const value, &raw mut error);
                    this.keep(error);
                }
            }
            18 => {
                let mut count = 9;
                mb_batcher_cancel(batcher, tag, &raw mut count);
            }
            19 => drop(mb_batcher_room(batcher, this.timeout())),
            20..=23 => drop(mb_batcher_run(batcher)),
            24 => {
                let now = this.now + [0, 1, 5, 20, -3][this.choose(5)];
                if mb_batcher_advance(batcher, now) == 0 {
                    this.now = this.now.max(now);
                }
            }
            25 => {
                let mut due = 0;
                mb_batcher_next_due(batcher, &raw mut due);
            }
            26 | 27 => {
                let mut held = null_mut();
                mb_batcher_next_batch(batcher, this.timeout(), &raw mut held);
                this.keep(held);
            }
            28 | 29 => {
                let mut results: *mut mb_results = null_mut();
                mb_batcher_next_results(batcher, this.timeout(), &raw mut results);
                this.keep(results);
            }
            30 => drop(mb_batch_keep(batch)),
            31 => drop(mb_batch_complete(batch)),
            32 => drop(mb_batch_complete_ok(batch)),
            33 => {
                let mut results = null_mut();
                mb_batch_complete_next(batch, &raw mut results);
                this.keep(results);
            }
            34 => drop(mb_batch_free(batch)),
            35 => {
                let mut view: mb_batch_view = std::mem::zeroed();
                view.struct_size = size_of::<mb_batch_view>();
                let mut value: mb_value = std::mem::zeroed();
                let mut column: mb_column = std::mem::zeroed();
                column.struct_size = size_of::<mb_column>();
                mb_batch_get_view(batch, &raw mut view);
                mb_batch_value(batch, row, &raw mut value);
                mb_batch_gather(batch, this.choose(9) as u32, &raw mut column);
            }
            36 => drop(mb_batch_set_int64(batch, row, this.number() as i64)),
            37 => drop(mb_batch_set_string(
                batch,
                row,
                c"result".as_ptr(),
                this.choose(7),
            )),
            38 => set_object(this, batch, row),
            39 => drop(mb_batch_set_int64s(
                batch,
                [1_i64, 2, 3, 4].as_ptr(),
                null(),
                this.choose(5),
            )),
            40 => {
                let code = [5, -13, 0, -99][this.choose(4)];
                if this.choose(2) == 0 {
                    mb_batch_fail(batch, row, code, null(), c"why".as_ptr(), 3);
                } else {
                    mb_batch_fail_all(batch, code, c"Type".as_ptr(), null(), 0);
                }
            }
            41 => stats(batcher),
            42 => {
                let results: *mut mb_results = this.handle();
                read_results(results, row);
                if this.choose(2) == 0 {
                    mb_results_free(results);
                }
            }
            _ => {
                let mut producer: *mut mb_producer = this.handle();
                match this.choose(5) {
                    0 => {
                        producer = null_mut();
                        mb_producer_new(batcher, &raw mut producer);
                        this.keep(producer);
                    }
                    1 => drop(mb_producer_free(producer)),
                    2 => {
                        let status = mb_producer_push_object(producer, OWNER, 1, 0, tag);
                        this.references += i64::from(status == 0);
                    }
                    3 => drop(mb_producer_push_string(producer, c"text".as_ptr(), 4, tag)),
                    _ => {
                        mb_producer_push_int64(producer, 1, tag);
                        let error: *mut mb_error = this.handle();
                        mb_error_code(error);
                    }
                }
            }
        }
    }
}

/// Sets an object. TOO_LATE takes the reference as well, if the batcher is still there: for one that is gone the books
/// can't say, so an object is set only while the batch can be read.
fn set_object(this: &mut World<'_>, batch: *mut mb_batch, row: usize) {
    // SAFETY: plain data.
    let mut view: mb_batch_view = unsafe { std::mem::zeroed() };
    view.struct_size = size_of::<mb_batch_view>();
    // SAFETY: a word, and a place to write to.
    if unsafe { mb_batch_get_view(batch, &raw mut view) } != 0 {
        return;
    }
    // SAFETY: as above.
    let status = unsafe { mb_batch_set_object(batch, row, OWNER, 1, 0) };
    this.references += i64::from(status == 0 || status == -19);
}

fn stats(batcher: *mut mb_batcher) {
    // SAFETY: plain data.
    let mut stats: mb_stats = unsafe { std::mem::zeroed() };
    stats.struct_size = size_of::<mb_stats>();
    // SAFETY: a word, and a place to write to.
    if unsafe { mb_batcher_stats(batcher, &raw mut stats) } == 0 {
        let ended = stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded;
        assert_eq!(stats.accepted, ended + stats.outstanding, "the law of P16");
    }
}

fn read_results(results: *mut mb_results, row: usize) {
    // SAFETY: plain data.
    let (mut view, mut value, mut error): (mb_results_view, mb_value, mb_row_error) =
        unsafe { std::mem::zeroed() };
    view.struct_size = size_of::<mb_results_view>();
    error.struct_size = size_of::<mb_row_error>();
    // SAFETY: a word, and places to write to.
    unsafe {
        mb_results_get_view(results, &raw mut view);
        mb_results_value(results, row, &raw mut value);
        mb_results_error(results, row, &raw mut error);
    }
}
