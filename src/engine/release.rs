//! What a value carried is given back: once, and by whoever owns it.

use super::batch::Batch;
use super::value::Kind;
use crate::sync::Shared;
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::ffi::c_void;

/// What an owned push asks to be called once its value is delivered.
pub(crate) enum Release {
    /// For one value.
    One { call: ReleaseFn, data: *mut c_void },
    /// One row's share of the release of a bulk push: runs with the last share.
    Many(Shared<ReleaseMany>),
}

/// A foreign release function.
pub(crate) type ReleaseFn = unsafe extern "C-unwind" fn(*mut c_void);

// SAFETY: whoever pushes an owned value promises that its release may run on an engine thread.
unsafe impl Send for Release {}

// SAFETY: nothing can be done with a shared Release.
unsafe impl Sync for Release {}

impl Release {
    /// Runs the callback, or gives up one share of it. A release that is dropped instead was never taken over.
    pub(crate) fn run(self) {
        let (call, data) = match self {
            Release::One { call, data } => (call, data),
            Release::Many(many) if many.give_up(1) => (many.call, many.data),
            Release::Many(_) => return,
        };
        // SAFETY: the pusher promised that `call` may be called once with `data`, from any thread.
        unsafe { call(data) };
    }
}

/// The release of a bulk push.
pub(crate) struct ReleaseMany {
    call: ReleaseFn,
    data: *mut c_void,
    shares: AtomicUsize,
}

// SAFETY: as for Release.
unsafe impl Send for ReleaseMany {}

// SAFETY: as for Release; the count is atomic.
unsafe impl Sync for ReleaseMany {}

impl ReleaseMany {
    /// A release with a share for each of `rows` rows.
    pub(crate) fn new(call: ReleaseFn, data: *mut c_void, rows: usize) -> ReleaseMany {
        ReleaseMany {
            call,
            data,
            shares: AtomicUsize::new(rows),
        }
    }

    /// Gives up shares; true if they were the last, so that the caller must see to the release.
    pub(crate) fn give_up(&self, shares: usize) -> bool {
        // SYNC: AcqRel among themselves - whoever runs the release comes after all that used the bytes.
        self.shares.fetch_sub(shares, AcqRel) == shares
    }

    /// The release alone, for whoever gave up the last shares.
    pub(crate) fn alone(&self) -> Release {
        Release::One {
            call: self.call,
            data: self.data,
        }
    }
}

/// A string or byte string that stays where the pusher has it.
pub(crate) struct Owned {
    pub(crate) row: u32,
    pub(super) ptr: *const u8,
    pub(super) len: usize,
    pub(super) release: Option<Release>,
}

// SAFETY: the pusher promised that the bytes stay readable from any thread until the release runs.
unsafe impl Send for Owned {}

// SAFETY: as above; only reads.
unsafe impl Sync for Owned {}

/// One release callback to run.
pub(crate) enum ToRelease {
    Owned(Release),
    Object(u64),
}

impl Batch {
    /// Takes the next thing this batch must release: owned pushes and input objects in row order. `at` is the
    /// caller's cursor over rows.
    pub(crate) fn next_release(&mut self, at: &mut usize) -> Option<ToRelease> {
        while *at < self.len {
            let row = *at;
            *at += 1;
            if let Ok(found) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row)
                && let Some(release) = self.owned[found].release.take()
            {
                return Some(ToRelease::Owned(release));
            }
            if self.rows.kinds(self.len)[row] == Kind::Object as u8 {
                return Some(ToRelease::Object(self.rows.values(self.len)[row]));
            }
        }
        None
    }

    /// Whether giving this batch back calls anything back.
    pub(crate) fn carries_releases(&mut self) -> bool {
        !self.owned.is_empty()
            || self.mask & (1 << Kind::Object as u8) != 0
            || self.carries_result_objects()
            || self.side.get_mut().has_dropped()
    }

    pub(crate) fn carries_result_objects(&self) -> bool {
        self.settled.get().is_some_and(|settled| settled.objects)
    }

    /// Object results to release after delivery, in row order. `at` is the caller's cursor over rows.
    pub(crate) fn next_result_release(&self, at: &mut usize) -> Option<u64> {
        if !self.carries_result_objects() {
            return None;
        }
        while *at < self.len {
            let row = *at;
            *at += 1;
            if self.rows.out_kinds()[row].load(Relaxed) == Kind::Object as u8 {
                return Some(self.rows.out()[row].load(Relaxed));
            }
        }
        None
    }

    /// Object results that were not delivered, in the order that became known.
    pub(crate) fn next_dropped_release(&self, at: &mut usize) -> Option<u64> {
        let word = self.side.lock().replaced.get(*at).copied();
        *at += 1;
        word
    }
}
