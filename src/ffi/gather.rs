//! The rows of one kind of a mixed batch as contiguous columns, made when a handler asks for them.

use crate::engine::batch::Batch;
use crate::engine::column::{Bytes, Column};
use crate::engine::value::Kind;

/// Contiguous columns of the rows of one kind.
pub(crate) struct Gathered {
    pub(crate) count: usize,
    pub(crate) cells: Column<u64>,
    /// The row in the batch of each row here.
    pub(crate) positions: Column<u32>,
    /// Offsets, one more than rows, and bytes.
    pub(crate) text: Option<(Column<i32>, Bytes)>,
}

impl Gathered {
    /// None if memory ran out.
    pub(crate) fn new(batch: &Batch, kind: Kind) -> Option<Gathered> {
        let rows = || {
            batch
                .kinds()
                .iter()
                .enumerate()
                .filter(|(_, code)| **code == kind as u8)
                .map(|(row, _)| row)
        };
        let count = rows().count();
        let mut cells = Column::new(count)?;
        let mut positions = Column::new(count)?;
        for (at, row) in rows().enumerate() {
            cells[at] = batch.cells()[row];
            positions[at] = u32::try_from(row).ok()?;
        }
        let text = match kind {
            Kind::String | Kind::Bytes => Some(gather_text(batch, rows(), count)?),
            _ => None,
        };
        Some(Gathered {
            count,
            cells,
            positions,
            text,
        })
    }
}

fn gather_text(
    batch: &Batch,
    rows: impl Iterator<Item = usize>,
    count: usize,
) -> Option<(Column<i32>, Bytes)> {
    let mut offsets = Column::new(count + 1)?;
    let mut bytes = Bytes::new();
    for (at, row) in rows.enumerate() {
        let piece = batch.text(row);
        if !bytes.reserve(piece.len()) {
            return None;
        }
        bytes.append(piece);
        // No batch has more than max_batch_bytes, at most 2^31 - 1.
        offsets[at + 1] = i32::try_from(bytes.len()).ok()?;
    }
    Some((offsets, bytes))
}
