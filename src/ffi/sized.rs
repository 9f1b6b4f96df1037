//! Structs that begin with their own size, so that callers and library of different versions understand each other.

use super::api::mb_shared;
use super::batch::{mb_batch_view, mb_column};
use super::map::mb_map_options;
use super::options::mb_options;
use super::push::mb_push_options;
use super::results::{mb_results_view, mb_row_error};
use super::stats::mb_stats;
use std::mem::offset_of;

/// A struct of the header that begins with `size_t struct_size`.
///
/// # Safety
/// The type is `repr(C)`, its first field is the `usize` `struct_size`, and it may have any bytes.
pub(crate) unsafe trait Sized: Copy {
    /// The size in version 0.1: no caller has a smaller one.
    const FIRST_SIZE: usize;
    /// Far more than any version will need: a size beyond it was never set.
    const LARGEST: usize = size_of::<Self>() + 4096;

    /// All fields zero, which is the default of every option.
    fn zeroed() -> Self {
        // SAFETY: the type may have any bytes.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! sized {
    ($($type:ident = $first:literal;)+) => {$(
        // SAFETY: repr(C) structs of numbers, pointers and optional functions, which may be anything; the first field
        // is asserted below.
        unsafe impl Sized for $type {
            const FIRST_SIZE: usize = $first;
        }
        const _: () = assert!(offset_of!($type, struct_size) == 0);
        const _: () = assert!(size_of::<$type>() >= $first && $first > size_of::<usize>());
    )+};
}

// Sizes of version 0.1. A struct grows at its end; these numbers stay.
sized! {
    mb_options = 400;
    mb_push_options = 40;
    mb_batch_view = 96;
    mb_column = 48;
    mb_results_view = 80;
    mb_row_error = 40;
    mb_map_options = 32;
    mb_stats = 2544;
    mb_shared = 24;
}

// Nothing has been appended yet; remove the line of a struct when it grows.
const _: () = assert!(size_of::<mb_options>() == mb_options::FIRST_SIZE);
const _: () = assert!(size_of::<mb_push_options>() == mb_push_options::FIRST_SIZE);
const _: () = assert!(size_of::<mb_batch_view>() == mb_batch_view::FIRST_SIZE);
const _: () = assert!(size_of::<mb_column>() == mb_column::FIRST_SIZE);
const _: () = assert!(size_of::<mb_results_view>() == mb_results_view::FIRST_SIZE);
const _: () = assert!(size_of::<mb_row_error>() == mb_row_error::FIRST_SIZE);
const _: () = assert!(size_of::<mb_map_options>() == mb_map_options::FIRST_SIZE);
const _: () = assert!(size_of::<mb_stats>() == mb_stats::FIRST_SIZE);
const _: () = assert!(size_of::<mb_shared>() == mb_shared::FIRST_SIZE);
