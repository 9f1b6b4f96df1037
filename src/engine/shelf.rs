//! Shelves: the places where the results of several batches will be.
//!
//! Results come late: until then a waiting batch needs its values and tags alone. The places of small batches lie side by
//! side in one allocation, so that whole pages of them stay the system's as long as nobody answers.

use super::column::{give_back_lazy, zeroed_lazily};
use crate::sync::Shared;
use std::ptr::NonNull;

/// Bytes of a row's result: its cell, and three one-byte columns.
pub(super) const RESULT_BYTES: usize = 8 + 3;

/// Rows that the places of one shelf have in all, where a batch has fewer: enough for memory straight from the system, which
/// an allocator need not clear.
const SHELF_ROWS: usize = 16_384;

struct Shelf {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: owns its memory alone, and is itself only kept and dropped.
unsafe impl Send for Shelf {}
// SAFETY: nothing can be done with a shared Shelf.
unsafe impl Sync for Shelf {}

impl Drop for Shelf {
    fn drop(&mut self) {
        give_back_lazy(self.base, self.bytes);
    }
}

/// The zeroed memory of one batch's results: nobody else's as long as it lives.
pub(super) struct Place {
    pub(super) base: NonNull<u8>,
    /// For so many rows.
    pub(super) rows: usize,
    /// Keeps that memory.
    _shelf: Shared<Shelf>,
}

impl Place {
    /// A place for `rows` rows alone.
    pub(super) fn alone(rows: usize) -> Option<Place> {
        Shelves::default().place(rows, 1)
    }
}

/// The shelf that has free places, if one has.
#[derive(Default)]
pub(crate) struct Shelves {
    shelf: Option<Shared<Shelf>>,
    /// Bytes of the shelf that were handed out.
    used: usize,
}

impl Shelves {
    /// The next place for `rows` rows, a multiple of 64; where there is none left, on a shelf that has as many as `batches`
    /// batches take.
    pub(super) fn place(&mut self, rows: usize, batches: u64) -> Option<Place> {
        let bytes = rows.checked_mul(RESULT_BYTES)?;
        let shelf = match self.shelf.take() {
            Some(shelf) if shelf.bytes - self.used >= bytes => shelf,
            _ => {
                let places = (SHELF_ROWS / rows).min(batches as usize).max(1);
                let all = bytes.checked_mul(places)?;
                let base = zeroed_lazily(all)?;
                self.used = 0;
                Shared::try_new(Shelf { base, bytes: all })?
            }
        };
        // SAFETY: at least `bytes` of the shelf lie behind what was handed out.
        let base = unsafe { shelf.base.add(self.used) };
        self.used += bytes;
        if self.used < shelf.bytes {
            self.shelf = Some(shelf.clone());
        }
        Some(Place {
            base,
            rows,
            _shelf: shelf,
        })
    }

    /// Hands out nothing more of what was begun.
    pub(super) fn end(&mut self) {
        self.shelf = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_overlap_and_outlive_their_shelves() {
        let mut shelves = Shelves::default();
        let mut places = Vec::new();
        // Of one size, of another, and beyond what a shelf has.
        for (rows, batches) in [(64, 3), (64, 9), (64, 0), (128, 5), (64, 2), (8192, 7), (64, 1)] {
            for _ in 0..5 {
                places.push((rows * RESULT_BYTES, shelves.place(rows, batches).unwrap()));
            }
        }
        shelves.end();
        drop(shelves);
        for (index, (bytes, place)) in places.iter().enumerate() {
            assert_eq!(place.base.addr().get() % 64, 0);
            // SAFETY: the place spans so many zeroed bytes, which are its own.
            let memory = unsafe { std::slice::from_raw_parts_mut(place.base.as_ptr(), *bytes) };
            assert!(memory.iter().all(|byte| *byte == 0), "{index}");
            memory.fill(index as u8 + 1);
        }
        for (index, (bytes, place)) in places.iter().enumerate() {
            // SAFETY: as above.
            let memory = unsafe { std::slice::from_raw_parts(place.base.as_ptr(), *bytes) };
            assert!(memory.iter().all(|byte| *byte == index as u8 + 1), "{index}");
        }
        assert!(shelves_of_nothing().is_none());
    }

    fn shelves_of_nothing() -> Option<Place> {
        Shelves::default().place(usize::MAX / 8, 1)
    }
}
