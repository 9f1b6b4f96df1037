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

#[cfg(test)]
mod tests {
    use super::Sized;
    use crate::engine::error::Status;
    use crate::ffi::caller::Caller;

    /// A struct that has grown since its first version, which had `old` only.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Grown {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    // SAFETY: repr(C), numbers only, and the first field is its size.
    unsafe impl Sized for Grown {
        const FIRST_SIZE: usize = 16;
    }

    /// What a program has in memory: the struct, and what a later version has more.
    #[repr(C)]
    struct Place {
        grown: Grown,
        later: [u64; 2],
    }

    fn place(struct_size: usize, later: u64) -> Place {
        Place {
            grown: Grown {
                struct_size,
                old: 5,
                new: 6,
            },
            later: [later, 7],
        }
    }

    fn caller() -> Caller {
        // SAFETY: every pointer below is to memory that is as long as its struct_size says, or is refused for it.
        unsafe { Caller::promised() }
    }

    #[test]
    fn p34_a_struct_of_an_older_version_counts_as_filled_up_with_zeros() {
        for (struct_size, new) in [(16, 0), (24, 6), (32, 6)] {
            let given = place(struct_size, 0);
            let read = caller().read_sized((&raw const given).cast::<Grown>());
            let read = read.unwrap_or_else(|status| unreachable!("{status:?}"));
            assert_eq!((read.old, read.new), (5, new), "{struct_size}");
        }
        let later = place(32, 1);
        assert_eq!(
            caller().read_sized((&raw const later).cast::<Grown>()),
            Err(Status::UNSUPPORTED)
        );
    }

    #[test]
    fn p34_a_struct_is_filled_as_far_as_it_goes() {
        for (struct_size, expected) in [(16, (50, 6, 1)), (24, (50, 60, 1)), (32, (50, 60, 0))] {
            let mut given = place(struct_size, 1);
            let fresh = Grown {
                struct_size: 0,
                old: 50,
                new: 60,
            };
            let output = caller().sized_output((&raw mut given).cast::<Grown>());
            output
                .unwrap_or_else(|status| unreachable!("{status:?}"))
                .set(&fresh);
            let is = (given.grown.old, given.grown.new, given.later[0]);
            assert_eq!(is, expected, "{struct_size}");
            assert_eq!((given.grown.struct_size, given.later[1]), (struct_size, 7));
        }
    }

    #[test]
    fn p34_a_size_that_no_version_had_is_refused() {
        for struct_size in [0, 1, 8, 15, 24 + 4097, usize::MAX / 2, usize::MAX] {
            let mut given = place(struct_size, 0);
            assert_eq!(
                caller().read_sized((&raw const given).cast::<Grown>()),
                Err(Status::INVALID_ARGUMENT)
            );
            let output = caller()
                .sized_output((&raw mut given).cast::<Grown>())
                .map(|_| ());
            assert_eq!(output, Err(Status::INVALID_ARGUMENT), "{struct_size}");
        }
    }
}
