//! A known data set in one call.

use super::batch::{Batch, Failure};
use super::builder::call_handler;
use super::results::Results;
use crate::engine::error::Error;
use crate::engine::map::{MapInput, Split};
use crate::engine::value::Value;

/// How [`map`] splits its values. Give one of the two; with neither, the default `max_batch_size` applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapOptions {
    /// Values a batch at most; 0 if `batches` is given.
    pub max_batch_size: u64,
    /// Into how many batches: the first `n mod batches` have one value more, empty ones are skipped; 0 if
    /// `max_batch_size` is given.
    pub batches: u64,
}

/// Runs `handler` over `values` in batches, on the calling thread, and answers the results in input order. Tags
/// count up from 0. A part that fails fails its values; the others go on.
///
/// # Errors
/// [`crate::Status::INVALID_OPTION`] if both ways of splitting are given; [`crate::Status::NO_MEMORY`].
pub fn map<F>(values: &[Value<'_>], options: MapOptions, handler: F) -> Result<Results<'static>, Error>
where
    F: Fn(&mut Batch<'_>) -> Result<(), Failure>,
{
    let at = |row: usize| values[row];
    let input = MapInput::Values { count: values.len(), at: &at };
    let split = Split { max_batch_size: options.max_batch_size, batches: options.batches };
    let set = crate::engine::map::map(input, split, 0, &|part| call_handler(&handler, part))?;
    Ok(Results::own(set))
}
