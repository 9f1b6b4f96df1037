//! A known data set in one call.

use super::batch::{Batch, Failure};
use super::builder::call_handler;
use super::results::Results;
use crate::engine::error::Error;
use crate::engine::map as engine;
use crate::engine::value::Value;

/// How [`map`] splits its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Batches of this many values, the last one of what is left; 0 is the default of `max_batch_size`.
    Size(u64),
    /// This many batches: the first `n mod batches` have one value more, empty ones are skipped.
    Batches(u64),
}

/// Runs `handler` over `values` in batches, on the calling thread, and answers the results in input order. Tags
/// count up from 0. A part that fails fails its values; the others go on.
///
/// # Errors
/// [`crate::Status::INVALID_OPTION`] for `Split::Batches(0)`; [`crate::Status::NO_MEMORY`].
pub fn map<F>(values: &[Value<'_>], split: Split, handler: F) -> Result<Results<'static>, Error>
where
    F: Fn(&mut Batch<'_>) -> Result<(), Failure>,
{
    let at = |row: usize| values[row];
    let input = engine::MapInput::Values {
        count: values.len(),
        at: &at,
    };
    let split = match split {
        Split::Size(max_batch_size) => engine::Split {
            max_batch_size,
            batches: 0,
        },
        Split::Batches(0) => {
            return Err(Error::new(
                crate::Status::INVALID_OPTION,
                "batches",
                format_args!("batches = 0: must be 1 or more"),
            ));
        }
        Split::Batches(batches) => engine::Split {
            max_batch_size: 0,
            batches,
        },
    };
    let set = engine::map(input, split, 0, &|part| call_handler(&handler, part))?;
    Ok(Results::own(set))
}

/// A number for the owner of objects that no other owner in this process has, from this copy of the library.
///
/// # Errors
/// [`crate::Status::NO_MEMORY`] once 2^32 - 1 numbers were given out.
pub fn new_owner() -> crate::Result<u32> {
    crate::engine::value::new_owner()
}
