//! Version
//!
//! The constants say what a program was compiled against, the functions what it runs with. Within one major ABI version
//! nothing is removed and nothing changes its meaning: structs grow at their ends, and new functions come last in the
//! function table.

use super::guard;
use super::status::mb_status;
use crate::engine::error::Status;
use std::ffi::c_char;

/// Version of this header: MAJOR.MINOR.PATCH.
pub const MB_VERSION_MAJOR: u32 = 0;
/// See `MB_VERSION_MAJOR`.
pub const MB_VERSION_MINOR: u32 = 1;
/// See `MB_VERSION_MAJOR`.
pub const MB_VERSION_PATCH: u32 = 0;
/// Version of this header as one number: 1,000,000 x MAJOR + 1,000 x MINOR + PATCH.
pub const MB_VERSION_NUMBER: u32 = 1000;
/// Version of the binary interface. It grows when something is added.
pub const MB_ABI_VERSION: u32 = 1;

/// The oldest binary interface this library can serve.
const OLDEST_ABI_VERSION: u32 = 1;

const fn number(text: &str) -> u32 {
    let text = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < text.len() {
        value = value * 10 + (text[at] - b'0') as u32;
        at += 1;
    }
    value
}

const _: () = assert!(number(env!("CARGO_PKG_VERSION_MAJOR")) == MB_VERSION_MAJOR);
const _: () = assert!(number(env!("CARGO_PKG_VERSION_MINOR")) == MB_VERSION_MINOR);
const _: () = assert!(number(env!("CARGO_PKG_VERSION_PATCH")) == MB_VERSION_PATCH);
const _: () =
    assert!(MB_VERSION_NUMBER == 1_000_000 * MB_VERSION_MAJOR + 1_000 * MB_VERSION_MINOR + MB_VERSION_PATCH);

/// The version of the library as a number, to be compared with `MB_VERSION_NUMBER`.
///
/// Threads: any, also in callbacks and in a forked child. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_version_number() -> u32 {
    MB_VERSION_NUMBER
}

/// The version of the library as text, for example "0.1.0".
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the library's binary interface, to be compared with `MB_ABI_VERSION`.
///
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_abi_version() -> u32 {
    MB_ABI_VERSION
}

/// Whether the library serves a program compiled against another header. A program that loads the library itself asks
/// first: `mb_abi_check(MB_ABI_VERSION)`.
///
/// Returns: `MB_OK`; `MB_ERR_UNSUPPORTED` if the header is newer than the library, or too old for it.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_abi_check(header_abi_version: u32) -> mb_status {
    let served = (OLDEST_ABI_VERSION..=MB_ABI_VERSION).contains(&header_abi_version);
    // SAFETY: no pointer is used.
    unsafe { guard::run(|_| if served { Ok(()) } else { Err(Status::UNSUPPORTED) }) }
}
