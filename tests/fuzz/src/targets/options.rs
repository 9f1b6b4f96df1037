//! Options by name and by field: refused with words, or a batcher that can be freed.

use std::ffi::{CStr, CString};
use std::ptr::null_mut;

use arbitrary::Unstructured;
use microbatch::ffi::batcher::{mb_batcher_free, mb_batcher_new};
use microbatch::ffi::error::{mb_error_code, mb_error_free, mb_error_message, mb_error_subject};
use microbatch::ffi::handle::{mb_batcher, mb_error};
use microbatch::ffi::options::{
    mb_option_info, mb_option_table, mb_options, mb_options_init, mb_options_set,
};

/// Numbers that parsers and limits trip over.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "0.5",
    "1e9",
    "007",
];
const UNITS: [&str; 10] = ["", "ns", "us", "ms", "s", "B", "KiB", "MiB", " ms", "forever"];

fn table() -> &'static [mb_option_info] {
    let (mut rows, mut count) = (std::ptr::null(), 0);
    // SAFETY: two places to write to.
    assert_eq!(unsafe { mb_option_table(&raw mut rows, &raw mut count) }, 0);
    // SAFETY: the table is static and has so many rows.
    unsafe { std::slice::from_raw_parts(rows, count) }
}

/// An error has the status, words, and something it is about.
fn check_error(error: *mut mb_error, status: i32) {
    assert!(!error.is_null(), "status {status} comes with an error");
    // SAFETY: an error of this library, not freed yet.
    let (code, message, subject) = unsafe {
        (
            mb_error_code(error),
            mb_error_message(error),
            mb_error_subject(error),
        )
    };
    assert_eq!(code, status);
    for text in [message, subject] {
        // SAFETY: texts of an error end with NUL and live as long as it.
        unsafe { CStr::from_ptr(text) }
            .to_str()
            .expect("an error is UTF-8");
    }
    // SAFETY: as above.
    assert!(!unsafe { CStr::from_ptr(message) }.is_empty());
    // SAFETY: it is not used any more.
    unsafe { mb_error_free(error) };
}

pub fn run(data: &[u8]) {
    let _ = go(&mut Unstructured::new(data));
}

fn go(bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    // SAFETY: plain data, for which zeros are fine.
    let mut options: mb_options = unsafe { std::mem::zeroed() };
    // SAFETY: a struct of this size.
    unsafe { mb_options_init(&raw mut options, size_of::<mb_options>()) };
    let table = table();
    while !bytes.is_empty() {
        let row = &table[bytes.choose_index(table.len())?];
        // SAFETY: names of the table are static and end with NUL.
        let known = unsafe { CStr::from_ptr(row.name) };
        match bytes.int_in_range(0..=3)? {
            0 => {
                // A field of its own, whatever the number.
                let number: u64 = bytes.arbitrary()?;
                // SAFETY: the table says where the field is, and how wide.
                let field = unsafe { (&raw mut options).cast::<u8>().add(row.offset) };
                match row.width {
                    // SAFETY: as above.
                    4 => unsafe { field.cast::<u32>().write(number as u32) },
                    // SAFETY: as above.
                    _ => unsafe { field.cast::<u64>().write(number) },
                }
                continue;
            }
            1 => {
                let text = format!("{}{}", bytes.choose(&NUMBERS)?, bytes.choose(&UNITS)?);
                set(&mut options, known, &CString::new(text).expect("no NUL"));
            }
            2 => {
                let text: &[u8] = bytes.arbitrary()?;
                let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
                set(&mut options, known, &CString::new(text).expect("no NUL"));
            }
            _ => {
                let name: &[u8] = bytes.arbitrary()?;
                let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != 0).collect();
                set(&mut options, &CString::new(name).expect("no NUL"), c"1");
            }
        }
    }
    // No thousand threads in each of thousands of runs.
    if options.mode != 2 {
        options.threads = options.threads.min(2);
    }
    options.drain_at_exit = 0;
    let (mut batcher, mut error): (*mut mb_batcher, *mut mb_error) = (null_mut(), null_mut());
    // SAFETY: options of this size, and places to write to.
    let status = unsafe { mb_batcher_new(&raw const options, &raw mut batcher, &raw mut error) };
    if status == 0 {
        assert!(error.is_null());
        // SAFETY: the batcher just made.
        assert_eq!(unsafe { mb_batcher_free(batcher) }, 0);
    } else {
        assert!(batcher.is_null());
        check_error(error, status);
    }
    Ok(())
}

fn set(options: &mut mb_options, name: &CStr, text: &CStr) {
    let mut error = null_mut();
    // SAFETY: options, two texts that end with NUL, and a place to write to.
    let status = unsafe { mb_options_set(options, name.as_ptr(), text.as_ptr(), &raw mut error) };
    if status == 0 {
        assert!(error.is_null());
    } else {
        check_error(error, status);
    }
}
