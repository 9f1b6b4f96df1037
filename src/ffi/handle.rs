//! Handles
//!
//! A handle is a word typed as a pointer; it never points anywhere. Every function checks its handles: NULL, a freed
//! handle, any other word and a handle of another type answer `MB_ERR_INVALID_HANDLE`.

use super::error::Explained;
use super::lent::{HeldBatch, HeldResults};
use super::producer::Producing;
use super::table::Type;
use crate::engine::batcher::Inner;

/// Takes values, forms batches, has them handled and delivers the results.
pub struct mb_batcher(());
/// A way into a batcher for one thread.
pub struct mb_producer(());
/// A batch, or a handler's part of one.
pub struct mb_batch(());
/// A set of results.
pub struct mb_results(());
/// Why a call failed, in words.
pub struct mb_error(());

/// A handle type and what lives behind it.
pub(crate) trait Handle {
    type Object;
    const TYPE: Type;

    /// The word as C sees it.
    fn from_word(word: u64) -> *mut Self
    where
        Self: Sized,
    {
        std::ptr::without_provenance_mut(word as usize)
    }
}

impl Handle for mb_batcher {
    type Object = Inner;
    const TYPE: Type = Type::Batcher;
}

impl Handle for mb_producer {
    type Object = Producing;
    const TYPE: Type = Type::Producer;
}

impl Handle for mb_batch {
    type Object = HeldBatch;
    const TYPE: Type = Type::Batch;
}

impl Handle for mb_results {
    type Object = HeldResults;
    const TYPE: Type = Type::Results;
}

impl Handle for mb_error {
    type Object = Explained;
    const TYPE: Type = Type::Error;
}
