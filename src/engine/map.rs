//! A known data set, processed in one call: no batcher, no thread, the caller's arrays in place.

use super::batch::Batch;
use super::column::Column;
use super::delivery::ResultSet;
use super::error::{Error, Status};
use super::forming;
use super::part::Part;
use super::results::Reason;
use super::settled::Ending;
use super::value::{Handled, Kind, Trigger, Value};
use crate::sync::Shared;
use std::ptr::NonNull;

/// The values to map.
#[derive(Clone, Copy)]
pub(crate) enum MapInput<'a> {
    /// Cells of one kind, with an Arrow validity bitmap: a 0 bit is null.
    Cells {
        kind: Kind,
        cells: &'a [u64],
        validity: Option<&'a [u8]>,
    },
    /// Values of any kinds, given by index.
    Values {
        count: usize,
        at: &'a dyn Fn(usize) -> Value<'a>,
    },
}

impl MapInput<'_> {
    fn count(&self) -> usize {
        match self {
            MapInput::Cells { cells, .. } => cells.len(),
            MapInput::Values { count, .. } => *count,
        }
    }
}

/// How to split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    /// Values a batch, or 0.
    pub(crate) max_batch_size: u64,
    /// Number of batches, or 0.
    pub(crate) batches: u64,
}

fn no_memory() -> Error {
    Error::bare(Status::NO_MEMORY)
}

/// Runs `handle` on each part, in order, on the calling thread; answers one set with a result for every value.
pub(crate) fn map(
    input: MapInput<'_>,
    split: Split,
    owner: u32,
    handle: &dyn Fn(&Part) -> Status,
) -> Result<ResultSet, Error> {
    if split.max_batch_size > 0 && split.batches > 0 {
        return Err(Error::new(
            Status::INVALID_OPTION,
            "batches",
            format_args!(
                "max_batch_size = {} and batches = {}: give one of the two, the other 0",
                split.max_batch_size, split.batches
            ),
        ));
    }
    let max_batch_size = match split {
        Split {
            max_batch_size: 0,
            batches: 0,
        } => super::options::DEFAULT_MAX_BATCH_SIZE,
        _ => split.max_batch_size,
    };
    let count = input.count();
    if count >= u32::MAX as usize {
        return Err(Error::new(
            Status::TOO_LARGE,
            "count",
            format_args!("{count} values: one call maps up to {}", u32::MAX - 1),
        ));
    }
    let mut whole = Batch::new(count).ok_or_else(no_memory)?;
    for row in 0..count {
        whole.rows.put(row, 0, row as u64, Kind::Null as u8);
    }
    whole.len = count;
    whole.rows.clear_results(count);
    let mut parts = Vec::new();
    for (number, (start, len)) in forming::split(count as u64, max_batch_size, split.batches).enumerate() {
        let part = fill(input, start as usize, len as usize, number as u64 + 1).ok_or_else(no_memory)?;
        let part = Shared::try_new(part).ok_or_else(no_memory)?;
        let view = Part::detached(part.clone(), owner);
        let status = handle(&view);
        drop(view);
        let code = if status.is_ok() || status.is_user() || status.is_known() {
            status
        } else {
            Status::HANDLER_FAILED
        };
        part.settle(match code {
            Status::OK => Ending::Done,
            code => Ending::Failed(Reason::bare(code), Handled::Yes),
        });
        parts.try_reserve(1).map_err(|_| no_memory())?;
        parts.push(part);
    }
    whole.settle_from(parts.iter().map(|part| &**part));
    Ok(ResultSet::detached(
        Shared::try_new(whole).ok_or_else(no_memory)?,
        owner,
    ))
}

/// One part: its cells are the caller's own where they are one array.
fn fill(input: MapInput<'_>, start: usize, len: usize, number: u64) -> Option<Batch> {
    let mut part = Batch::new(len)?;
    let mut positions = Column::new(len)?;
    for row in 0..len {
        positions[row] = (start + row) as u32;
        let tag = (start + row) as u64;
        match input {
            MapInput::Cells { kind, validity, .. } => {
                let at = start + row;
                let valid = validity.is_none_or(|bits| bits[at / 8] & (1 << (at % 8)) != 0);
                let kind = if valid { kind } else { Kind::Null };
                part.rows.put(row, 0, tag, kind as u8);
            }
            MapInput::Values { at, .. } => {
                let value = at(start + row);
                let cell = match value {
                    Value::Null => 0,
                    Value::Bool(value) => u64::from(value),
                    Value::Int64(value) => value as u64,
                    Value::Float64(value) => value.to_bits(),
                    Value::String(text) => keep_text(&mut part, row, text.as_bytes())?,
                    Value::Bytes(bytes) => keep_text(&mut part, row, bytes)?,
                    Value::Object(object) => object.word,
                };
                part.rows.put(row, cell, tag, value.kind() as u8);
            }
        }
    }
    if let MapInput::Cells { cells, .. } = input {
        let first = NonNull::from(&cells[start..start + len]).cast::<u64>();
        // SAFETY: the part has `len` rows, the slice as many cells, and it is borrowed until `map` returns; the
        // part is not read after that, as `map` gives out only the merged batch.
        unsafe { part.rows.borrow_values(first) };
    }
    part.len = len;
    part.number = number;
    part.trigger = Trigger::Size;
    part.positions = Some(positions);
    part.is_part = true;
    part.classify();
    part.rows.clear_results(len);
    Some(part)
}

/// Text stays where the caller has it.
fn keep_text(part: &mut Batch, row: usize, text: &[u8]) -> Option<u64> {
    if !part.reserve_owned() {
        return None;
    }
    part.put_owned(row, text.as_ptr(), text.len(), None);
    Some(0)
}
