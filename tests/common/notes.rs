//! What callbacks write down, and the batches they keep.

use super::*;

/// What callbacks write down for the test to look at afterwards: an assertion that fails inside a callback is one
/// more failure of a handler to the engine. Clones write on the same page.
pub(crate) struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Notes<T> {
        Notes(Arc::default())
    }

    pub(crate) fn add(&self, note: T) {
        self.0.lock().unwrap().push(note);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Everything so far, and begins a new page.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Notes<T> {
        Notes(self.0.clone())
    }
}

/// A place for the batch that a handler kept.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<HeldBatch>>>);

impl Shelf {
    pub(crate) fn new() -> Shelf {
        Shelf::default()
    }

    /// A handler that keeps every batch.
    pub(crate) fn keep(
        &self,
    ) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static + use<> {
        let shelf = self.clone();
        move |batch| {
            shelf.put(batch.keep()?);
            Ok(())
        }
    }

    pub(crate) fn put(&self, batch: HeldBatch) {
        self.0.lock().unwrap().push(batch);
    }

    /// Takes the batch that was kept first.
    pub(crate) fn take(&self) -> HeldBatch {
        self.0.lock().unwrap().remove(0)
    }

    /// Takes the kept batch, or part, in which this tag is.
    pub(crate) fn take_tag(&self, tag: u64) -> HeldBatch {
        let mut batches = self.0.lock().unwrap();
        let at = batches
            .iter()
            .position(|batch| batch.tags().contains(&tag))
            .unwrap();
        batches.remove(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Answers every value of a held batch with itself and completes it.
pub(crate) fn finish(batch: HeldBatch) -> Status {
    for (row, value) in batch.values().enumerate() {
        if let Err(status) = batch.set(row, value) {
            drop(batch);
            return status;
        }
    }
    status(batch.complete())
}

/// A handler that keeps every batch for the test.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<HeldBatch>>>);

impl Kept {
    pub(crate) fn handler(&self) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static {
        let kept = self.clone();
        move |batch| {
            let held = batch.keep()?;
            kept.0.lock().unwrap().push(held);
            Ok(())
        }
    }

    pub(crate) fn take(&self) -> HeldBatch {
        self.0.lock().unwrap().remove(0)
    }

    pub(crate) fn take_last(&self) -> HeldBatch {
        self.0.lock().unwrap().pop().unwrap()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Answers every row with itself.
pub(crate) fn answer(held: HeldBatch) -> microbatch::Result {
    for (row, value) in held.values().enumerate() {
        held.set(row, value)?;
    }
    held.complete()
}
