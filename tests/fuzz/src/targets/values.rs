//! Values of every kind by every push: what is accepted comes back as it was, once; what is refused leaves nothing behind.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use arbitrary::Unstructured;
use microbatch::ffi::api::mb_api;
use microbatch::ffi::batch::mb_batch_value;
use microbatch::ffi::batcher::{mb_batcher_close, mb_batcher_free, mb_batcher_new};
use microbatch::ffi::bulk::{
    mb_batcher_push_float64s, mb_batcher_push_int64s, mb_batcher_push_large_strings, mb_batcher_push_strings,
    mb_batcher_push_values,
};
use microbatch::ffi::handle::{mb_batch, mb_batcher, mb_results};
use microbatch::ffi::options::{mb_options, mb_options_init};
use microbatch::ffi::push::{mb_batcher_push_value, mb_push_options};
use microbatch::ffi::results::{mb_results_get_view, mb_results_value, mb_results_view};
use microbatch::ffi::run::mb_batcher_run;
use microbatch::ffi::set::mb_batch_set_value;
use microbatch::ffi::value::{mb_object, mb_string, mb_value, mb_value_as};

const OWNER: u32 = 7;

/// A value as it was pushed.
#[derive(Clone, Debug, PartialEq)]
enum Pushed {
    Cell(u32, u64),
    Text(u32, Vec<u8>),
    Object(u64),
}

/// What callbacks count.
#[derive(Default)]
struct Books {
    came: Vec<(u64, Pushed)>,
    references: i64,
}

fn read(value: &mb_value) -> Pushed {
    match value.kind {
        4 | 5 => {
            // SAFETY: the kind says which field it is.
            let text = unsafe { value.r#as.string };
            if text.length == 0 {
                return Pushed::Text(value.kind, Vec::new());
            }
            // SAFETY: strings point to so many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.length) };
            Pushed::Text(value.kind, bytes.to_vec())
        }
        // SAFETY: as above.
        6 => Pushed::Object(unsafe { value.r#as.object }.word),
        0 => Pushed::Cell(0, 0),
        // SAFETY: any other kind is 8 bytes.
        kind => Pushed::Cell(kind, unsafe { value.r#as.int64 } as u64),
    }
}

unsafe extern "C-unwind" fn echo(data: *mut c_void, batch: *mut mb_batch, _api: *const mb_api) -> i32 {
    // SAFETY: the books of `go`, which nobody else uses while this runs.
    let books = unsafe { &mut *data.cast::<Books>() };
    for row in 0.. {
        // SAFETY: plain data.
        let mut value: mb_value = unsafe { std::mem::zeroed() };
        // SAFETY: the batch is lent, and a place to write to.
        if unsafe { mb_batch_value(batch, row, &raw mut value) } != 0 {
            return 0;
        }
        // SAFETY: as above.
        let status = unsafe { mb_batch_set_value(batch, row, &raw const value) };
        assert_eq!(status, 0, "what was pushed can be set");
        books.references += i64::from(value.kind == 6);
    }
    0
}

unsafe extern "C-unwind" fn came(data: *mut c_void, results: *const mb_results, _api: *const mb_api) {
    // SAFETY: as in `echo`.
    let books = unsafe { &mut *data.cast::<Books>() };
    // SAFETY: plain data.
    let mut view: mb_results_view = unsafe { std::mem::zeroed() };
    view.struct_size = size_of::<mb_results_view>();
    // SAFETY: results that are lent, and a place to write to.
    assert_eq!(unsafe { mb_results_get_view(results, &raw mut view) }, 0);
    for row in 0..view.count {
        // SAFETY: plain data.
        let mut value: mb_value = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let status = unsafe { mb_results_value(results, row, &raw mut value) };
        assert_eq!(status, 0, "an echo is OK");
        // SAFETY: the view has a tag for each row.
        books.came.push((unsafe { *view.tags.add(row) }, read(&value)));
    }
}

unsafe extern "C-unwind" fn released(data: *mut c_void, _word: u64) {
    // SAFETY: as in `echo`.
    unsafe { &mut *data.cast::<Books>() }.references -= 1;
}

fn value<'a>(bytes: &mut Unstructured<'a>) -> arbitrary::Result<(mb_value, &'a [u8])> {
    // Two in ten are of no kind.
    let kind = u32::from(bytes.int_in_range(0..=8_u8)?);
    let mut text: &[u8] = &[];
    let r#as = match kind {
        1 => mb_value_as {
            int64: bytes.int_in_range(0..=2)?,
        },
        4 | 5 => {
            text = bytes.arbitrary()?;
            mb_value_as {
                string: mb_string {
                    data: text.as_ptr().cast(),
                    length: text.len(),
                },
            }
        }
        6 => mb_value_as {
            object: mb_object {
                word: bytes.arbitrary()?,
                size: bytes.arbitrary::<u64>()? >> bytes.int_in_range(0..=63)?,
            },
        },
        _ => mb_value_as {
            int64: bytes.arbitrary()?,
        },
    };
    let owner = if bytes.ratio(1, 8)? { 3 } else { OWNER };
    Ok((mb_value { kind, owner, r#as }, text))
}

/// Whether a value can be taken at all, by what it is.
fn is_sound(value: &mb_value, text: &[u8]) -> bool {
    match value.kind {
        // SAFETY: a bool is an int64.
        1 => (0..=1).contains(&unsafe { value.r#as.int64 }),
        4 => std::str::from_utf8(text).is_ok(),
        6 => value.owner == OWNER,
        0..=5 => true,
        _ => false,
    }
}

pub fn run(data: &[u8]) {
    let mut books = Books::default();
    let mut expected = Vec::new();
    let books: *mut Books = &raw mut books;
    // SAFETY: plain data, for which zeros are fine.
    let mut options: mb_options = unsafe { std::mem::zeroed() };
    // SAFETY: a struct of this size.
    unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
    options.mode = 2;
    options.on_full = 2;
    options.owner = OWNER;
    options.max_batch_size = u64::from(data.first().copied().unwrap_or(0) % 9);
    options.max_batch_bytes = 512;
    options.queue_capacity = 64;
    options.handler = Some(echo);
    options.handler_data = books.cast();
    options.on_result = Some(came);
    options.result_data = books.cast();
    options.object_release = Some(released);
    options.object_data = books.cast();
    let mut batcher: *mut mb_batcher = null_mut();
    // SAFETY: options of this size, and a place to write to.
    let made = unsafe { mb_batcher_new(&raw const options, &raw mut batcher, null_mut()) };
    assert_eq!(made, 0);
    let _ = go(&mut Unstructured::new(data), batcher, books, &mut expected);
    // SAFETY: the batcher, and nothing else asked for.
    assert_eq!(unsafe { mb_batcher_close(batcher, i64::MAX, null_mut()) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { mb_batcher_free(batcher) }, 0);
    // SAFETY: nobody else uses the books any more.
    let books = unsafe { &*books };
    assert_eq!(books.came, expected);
    assert_eq!(books.references, 0, "every reference is given back once");
}

fn go(
    bytes: &mut Unstructured<'_>,
    batcher: *mut mb_batcher,
    books: *mut Books,
    expected: &mut Vec<(u64, Pushed)>,
) -> arbitrary::Result<()> {
    while !bytes.is_empty() {
        let tag: u64 = u64::from(bytes.arbitrary::<u16>()?);
        match bytes.int_in_range(0..=6)? {
            0 => {
                // SAFETY: a batcher outside of callbacks.
                assert_eq!(unsafe { mb_batcher_run(batcher) }, 0);
            }
            1 | 2 => {
                let (value, text) = value(bytes)?;
                let deadline = if bytes.ratio(1, 4)? { i64::MAX } else { 0 };
                // SAFETY: plain data, for which zeros are fine.
                let mut with: mb_push_options = unsafe { std::mem::zeroed() };
                with.struct_size = size_of::<mb_push_options>();
                with.deadline = deadline;
                // SAFETY: a value whose bytes are there, and options of this size.
                let status =
                    unsafe { mb_batcher_push_value(batcher, &raw const value, tag, &raw const with) };
                note(status, &[(value, text)], status == 0, tag, books, expected);
            }
            3 => {
                let values: Vec<i64> = bytes.arbitrary()?;
                let validity = bits(bytes, values.len())?;
                let floats = bytes.arbitrary()?;
                let mut accepted = usize::MAX;
                let bitmap = validity.as_ref().map_or(null(), Vec::as_ptr);
                // SAFETY: so many numbers, a bit for each, and a place to write to.
                unsafe {
                    if floats {
                        mb_batcher_push_float64s(
                            batcher,
                            values.as_ptr().cast(),
                            bitmap,
                            values.len(),
                            null(),
                            tag,
                            null(),
                            &raw mut accepted,
                        );
                    } else {
                        mb_batcher_push_int64s(
                            batcher,
                            values.as_ptr(),
                            bitmap,
                            values.len(),
                            null(),
                            tag,
                            null(),
                            &raw mut accepted,
                        );
                    }
                }
                for (row, number) in values[..accepted].iter().enumerate() {
                    let valid = is_valid(&validity, row);
                    let kind = if floats { 3 } else { 2 };
                    let pushed = if valid {
                        Pushed::Cell(kind, *number as u64)
                    } else {
                        Pushed::Cell(0, 0)
                    };
                    expected.push((tag + row as u64, pushed));
                }
            }
            4 | 5 => strings(bytes, batcher, tag, expected)?,
            _ => {
                let count = bytes.int_in_range(0..=6)?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(value(bytes)?);
                }
                let array: Vec<mb_value> = values.iter().map(|(value, _)| *value).collect();
                let mut accepted = usize::MAX;
                // SAFETY: so many values whose bytes are there, and a place to write to.
                let status = unsafe {
                    mb_batcher_push_values(
                        batcher,
                        array.as_ptr(),
                        array.len(),
                        null(),
                        tag,
                        null(),
                        &raw mut accepted,
                    )
                };
                assert_eq!(status == 0, accepted == values.len());
                note(status, &values[..accepted], true, tag, books, expected);
            }
        }
    }
    Ok(())
}

/// Notes values that were accepted, and that a refused one was not sound or found no room.
fn note(
    status: i32,
    values: &[(mb_value, &[u8])],
    accepted: bool,
    tag: u64,
    books: *mut Books,
    expected: &mut Vec<(u64, Pushed)>,
) {
    for (row, (value, text)) in values.iter().enumerate() {
        // Wrong on purpose: fuzzing must find it.
        #[cfg(microbatch_canary)]
        assert!(*text != b"bug!", "the canary");
        if accepted {
            assert!(is_sound(value, text), "an unsound value was taken");
            // SAFETY: no callback runs now.
            unsafe { &mut *books }.references += i64::from(value.kind == 6);
            expected.push((tag + row as u64, read(value)));
        } else {
            let room = [-7, -9, -10, -11];
            assert!(
                !is_sound(value, text) || room.contains(&status),
                "a sound value was refused with {status}"
            );
        }
    }
}

fn bits(bytes: &mut Unstructured<'_>, count: usize) -> arbitrary::Result<Option<Vec<u8>>> {
    if bytes.arbitrary()? {
        return Ok(None);
    }
    let mut bits = Vec::new();
    for _ in 0..count.div_ceil(8) {
        bits.push(bytes.arbitrary()?);
    }
    Ok(Some(bits))
}

fn is_valid(bits: &Option<Vec<u8>>, row: usize) -> bool {
    bits.as_ref()
        .is_none_or(|bits| bits[row / 8] & (1 << (row % 8)) != 0)
}

fn strings(
    bytes: &mut Unstructured<'_>,
    batcher: *mut mb_batcher,
    tag: u64,
    expected: &mut Vec<(u64, Pushed)>,
) -> arbitrary::Result<()> {
    let text: &[u8] = bytes.arbitrary()?;
    let count = bytes.int_in_range(0..=8_usize)?;
    // Anything within the text, in any order, and sometimes below it: offsets that fall are refused.
    let mut offsets = Vec::new();
    for _ in 0..=count {
        offsets.push(bytes.int_in_range(-1..=text.len() as i64)?);
    }
    if bytes.ratio(3, 4)? {
        offsets.iter_mut().for_each(|offset| *offset = (*offset).max(0));
        offsets.sort_unstable();
    }
    let validity = bits(bytes, count)?;
    let bitmap = validity.as_ref().map_or(null(), Vec::as_ptr);
    let mut accepted = usize::MAX;
    let status = if bytes.arbitrary()? {
        // SAFETY: so many offsets into the text, a bit for each string, and a place to write to.
        unsafe {
            mb_batcher_push_large_strings(
                batcher,
                text.as_ptr().cast(),
                offsets.as_ptr(),
                bitmap,
                count,
                null(),
                tag,
                null(),
                &raw mut accepted,
            )
        }
    } else {
        let narrow: Vec<i32> = offsets.iter().map(|offset| *offset as i32).collect();
        // SAFETY: as above.
        unsafe {
            mb_batcher_push_strings(
                batcher,
                text.as_ptr().cast(),
                narrow.as_ptr(),
                bitmap,
                count,
                null(),
                tag,
                null(),
                &raw mut accepted,
            )
        }
    };
    assert_eq!(status == 0, accepted == count);
    for row in 0..accepted {
        let pushed = if is_valid(&validity, row) {
            let piece = &text[offsets[row] as usize..offsets[row + 1] as usize];
            assert!(std::str::from_utf8(piece).is_ok(), "what is not text was taken");
            Pushed::Text(4, piece.to_vec())
        } else {
            Pushed::Cell(0, 0)
        };
        expected.push((tag + row as u64, pushed));
    }
    Ok(())
}
