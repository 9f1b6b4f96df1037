//! What the caller of an exported function promised, as a token, and all that may be done because of it.
//!
//! The functions of the header ask one thing of C: every pointer is NULL or good for its use during the call (see
//! [`super`]). A [`Caller`] stands for that promise. Only the guard makes one, in the function whose caller gave
//! it, so the reads and writes below need no further proof where they are used.

use super::guard::Borrowed;
use super::handle::{Handle, mb_batch, mb_batcher, mb_results};
use super::lent::{HeldBatch, HeldResults};
use super::sized::Sized;
use super::table::{self, Slot, Type};
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::engine::utf8::{Short, utf8};
use crate::sync::Shared;
use std::ffi::{CStr, c_char};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::slice;

/// The caller keeps the rules.
pub(crate) struct Caller(());

/// Longest text of an option's name or value, or of a type name.
const LONGEST_NAME: usize = 64 * 1024;

impl Caller {
    /// # Safety
    /// The exported function that makes it was called by somebody who keeps the rules of [`super`], and it is not
    /// used after that function has returned.
    pub(crate) const unsafe fn promised() -> Caller {
        Caller(())
    }

    // ---- handles ---------------------------------------------------------------------------------------------

    /// The engine behind a batcher's handle.
    #[inline(always)]
    pub(crate) fn engine(&self, batcher: *mut mb_batcher) -> Result<&Inner, Status> {
        let slot = table::find(batcher.addr() as u64, Type::Batcher).ok_or(Status::INVALID_HANDLE)?;
        // SAFETY: the handle is live, so its slot holds a count of the engine. The caller does not free it before
        // this call is over.
        Ok(unsafe { &*slot.object::<Inner>() })
    }

    /// The same with the count that the handle holds.
    pub(crate) fn shared_engine(&self, batcher: *mut mb_batcher) -> Result<Borrowed, Status> {
        let slot = table::find(batcher.addr() as u64, Type::Batcher).ok_or(Status::INVALID_HANDLE)?;
        let inner = NonNull::new(slot.object::<Inner>()).ok_or(Status::INVALID_HANDLE)?;
        // SAFETY: the slot's pointer came from into_raw; ManuallyDrop leaves its count where it is.
        Ok(ManuallyDrop::new(unsafe { Shared::from_raw(inner) }))
    }

    /// The batch behind a handle that a handler borrows or somebody holds.
    pub(crate) fn batch(&self, batch: *mut mb_batch) -> Result<&HeldBatch, Status> {
        let held: &HeldBatch = self.object(batch)?;
        if held.part().is_foreign() {
            Err(Status::FORKED)
        } else {
            Ok(held)
        }
    }

    /// As [`Caller::batch`], for what changes the batch: one that is completed or freed answers TOO_LATE.
    pub(crate) fn unfinished(&self, batch: *mut mb_batch) -> Result<&HeldBatch, Status> {
        match self.batch(batch) {
            Ok(held) if held.part().is_pinned() => Err(Status::WRONG_MODE),
            Err(_) if table::find_consumed(batch.addr() as u64).is_some() => Err(Status::TOO_LATE),
            answer => answer,
        }
    }

    /// The set of results behind a handle.
    pub(crate) fn results(&self, results: *const mb_results) -> Result<&HeldResults, Status> {
        let held: &HeldResults = self.object(results)?;
        if held.set().is_foreign() {
            Err(Status::FORKED)
        } else {
            Ok(held)
        }
    }

    /// The object behind any other handle.
    #[inline(always)]
    pub(crate) fn object<T: Handle>(&self, handle: *const T) -> Result<&T::Object, Status> {
        let slot = self.slot(handle)?;
        // SAFETY: the handle is live, so its slot holds a pointer to an Object of its type. The caller does not free
        // it before this call is over.
        Ok(unsafe { &*slot.object::<T::Object>() })
    }

    /// The slot of a live handle.
    #[inline(always)]
    pub(crate) fn slot<T: Handle>(&self, handle: *const T) -> Result<&'static Slot, Status> {
        table::find(handle.addr() as u64, T::TYPE).ok_or(Status::INVALID_HANDLE)
    }

    /// Ends a handle whose object is a box of its own, and answers the box.
    pub(crate) fn take<T: Handle>(&self, handle: *const T) -> Option<Box<T::Object>> {
        let word = handle.addr() as u64;
        let slot = table::find(word, T::TYPE)?;
        let object = slot.object::<T::Object>();
        if !slot.retire(word) {
            return None;
        }
        slot.give_back();
        // SAFETY: handles of the types this is used for are published with a leaked box, and only the one caller
        // that retired the handle comes here.
        Some(unsafe { Box::from_raw(object) })
    }

    // ---- memory ----------------------------------------------------------------------------------------------

    /// Reads what a pointer points to.
    pub(crate) fn read<T: Copy>(&self, from: *const T) -> Result<T, Status> {
        if from.is_null() {
            return Err(Status::INVALID_ARGUMENT);
        }
        // SAFETY: not NULL, so readable by the caller's promise; it need not be aligned.
        Ok(unsafe { from.read_unaligned() })
    }

    /// A place for an output that must not be NULL.
    pub(crate) fn output<T>(&self, to: *mut T) -> Result<Output<T>, Status> {
        if to.is_null() {
            Err(Status::INVALID_ARGUMENT)
        } else {
            Ok(Output(to))
        }
    }

    /// A place for an output that may be NULL.
    pub(crate) fn optional_output<T>(&self, to: *mut T) -> Output<T> {
        Output(to)
    }

    /// An array of plain data. NULL is fine for none.
    pub(crate) fn array<T: Copy>(&self, from: *const T, count: usize) -> Result<&[T], Status> {
        if count == 0 {
            return Ok(&[]);
        }
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or(Status::INVALID_ARGUMENT)?;
        if from.is_null() || !from.is_aligned() || bytes > isize::MAX as usize {
            return Err(Status::INVALID_ARGUMENT);
        }
        // SAFETY: neither NULL nor misaligned, and of a possible size, so readable by the caller's promise.
        Ok(unsafe { slice::from_raw_parts(from, count) })
    }

    /// An array that may be left out.
    pub(crate) fn optional_array<T: Copy>(
        &self,
        from: *const T,
        count: usize,
    ) -> Result<Option<&[T]>, Status> {
        if from.is_null() {
            Ok(None)
        } else {
            self.array(from, count).map(Some)
        }
    }

    /// Bytes. Longer ones than memory can hold are too large, whatever the pointer.
    pub(crate) fn bytes<T>(&self, from: *const T, length: usize) -> Result<&[u8], Status> {
        if length > isize::MAX as usize {
            return Err(Status::TOO_LARGE);
        }
        self.array(from.cast::<u8>(), length)
    }

    /// Memory to write text to. NULL is fine for none.
    #[expect(
        clippy::mut_from_ref,
        reason = "what is borrowed is the caller's memory, not the token"
    )]
    pub(crate) fn buffer(&self, to: *mut u8, capacity: usize) -> Result<&mut [u8], Status> {
        if capacity == 0 {
            return Ok(&mut []);
        }
        if to.is_null() || capacity > isize::MAX as usize {
            return Err(Status::INVALID_ARGUMENT);
        }
        // SAFETY: writable by the caller's promise, and used for one output only; a byte may be anything.
        Ok(unsafe { slice::from_raw_parts_mut(to, capacity) })
    }

    /// Text with a length.
    pub(crate) fn text<T>(&self, from: *const T, length: usize) -> Result<&str, Status> {
        utf8(self.bytes(from, length)?).ok_or(Status::INVALID_UTF8)
    }

    /// Short text, if it is ASCII: without a call, for the push that is to be quick.
    #[inline(always)]
    pub(crate) fn short_ascii<T>(&self, from: *const T, length: usize) -> Option<Short> {
        if from.is_null() || length > isize::MAX as usize {
            return None;
        }
        // SAFETY: not NULL and of a possible size, so readable by the caller's promise.
        let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), length) };
        Short::new(bytes).filter(|text| text.is_ascii())
    }

    /// Text up to a NUL.
    pub(crate) fn name(&self, from: *const c_char) -> Result<&str, Status> {
        if from.is_null() {
            return Err(Status::INVALID_ARGUMENT);
        }
        // SAFETY: not NULL, so a string that ends with NUL by the caller's promise.
        let text = unsafe { CStr::from_ptr(from) };
        if text.count_bytes() > LONGEST_NAME {
            return Err(Status::TOO_LARGE);
        }
        text.to_str().map_err(|_| Status::INVALID_UTF8)
    }

    /// The same, where NULL is the empty text.
    pub(crate) fn optional_name(&self, from: *const c_char) -> Result<&str, Status> {
        if from.is_null() { Ok("") } else { self.name(from) }
    }

    // ---- structs that know their size ------------------------------------------------------------------------

    /// Reads a struct of whatever version: a shorter one is filled up with zeros, a longer one must have nothing in
    /// what this version does not know.
    pub(crate) fn read_sized<T: Sized>(&self, from: *const T) -> Result<T, Status> {
        let size = self.size_of_given(from)?;
        if size == size_of::<T>() {
            // The common case: a plain copy of a known size.
            return self.read(from);
        }
        let known = size.min(size_of::<T>());
        let tail = self.array(from.cast::<u8>().wrapping_add(known), size - known)?;
        if tail.iter().any(|byte| *byte != 0) {
            return Err(Status::UNSUPPORTED);
        }
        let mut value = T::zeroed();
        // SAFETY: readable for `known` bytes by the caller's promise, and T, which is as long, may have any bytes.
        unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast::<u8>(), known) };
        Ok(value)
    }

    /// The same, where NULL means all zeros.
    pub(crate) fn optional_sized<T: Sized>(&self, from: *const T) -> Result<T, Status> {
        if from.is_null() {
            Ok(T::zeroed())
        } else {
            self.read_sized(from)
        }
    }

    /// A place for a struct of whatever version, to be filled as far as both sides know it.
    pub(crate) fn sized_output<T: Sized>(&self, to: *mut T) -> Result<SizedOutput<T>, Status> {
        let size = self.size_of_given(to)?;
        Ok(SizedOutput { to, size })
    }

    fn size_of_given<T: Sized>(&self, given: *const T) -> Result<usize, Status> {
        let size = self.read(given.cast::<usize>())?;
        if size < T::FIRST_SIZE || size > T::LARGEST {
            Err(Status::INVALID_ARGUMENT)
        } else {
            Ok(size)
        }
    }
}

/// Where an output goes. It can be used once the call has succeeded.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Writes the output, if it is wanted.
    pub(crate) fn set(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: only a Caller makes an Output: not NULL, so writable by its promise; it need not be aligned.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Whether the output is wanted.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }
}

/// Where a struct that knows its size goes.
pub(crate) struct SizedOutput<T> {
    to: *mut T,
    size: usize,
}

impl<T: Sized> SizedOutput<T> {
    /// Fills all fields but `struct_size`; what the caller has beyond this version becomes zero.
    pub(crate) fn set(&self, value: &T) {
        let first = size_of::<usize>();
        let known = self.size.min(size_of::<T>());
        let from = ptr::from_ref(value).cast::<u8>().wrapping_add(first);
        let to = self.to.cast::<u8>().wrapping_add(first);
        // SAFETY: `known` bytes are inside both, of which `to` is writable by the promise to the Caller.
        unsafe { ptr::copy_nonoverlapping(from, to, known - first) };
        // SAFETY: the rest up to the size that the caller gave is writable by the same promise.
        unsafe {
            self.to
                .cast::<u8>()
                .wrapping_add(known)
                .write_bytes(0, self.size - known)
        };
    }
}
