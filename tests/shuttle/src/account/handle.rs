//! Handlers and holders: batches are seen, answered, kept and ended.

use super::{Account, Completion, OWNER, RESULT};
use crate::world::{self, Parcels, ensure, ensure_eq};
use crate::{Batch, Failure, Handled, HeldBatch, Kind, Object, Status, Value};
use std::sync::Arc;

impl Account {
    /// What a batch shows is what was pushed: also long after its time-out, whatever became of its memory.
    fn compare<'v>(&self, tags: &[u64], value: impl Fn(usize) -> Value<'v>) {
        for (row, tag) in tags.iter().enumerate() {
            let text = format!("v{tag}");
            let right = match value(row) {
                Value::Int64(value) => value == *tag as i64,
                Value::String(value) => value == text,
                Value::Object(object) => object.word == *tag,
                _ => false,
            };
            ensure(right, format_args!("value {tag} shows as {:?}", value(row)));
        }
    }

    /// Notes that a handler sees a batch.
    pub fn see(&self, number: u64, tags: &[u64]) {
        ensure(!tags.is_empty(), "an empty batch");
        ensure(
            tags.len() as u64 <= self.bounds.size,
            "a batch is larger than max_batch_size",
        );
        world::note(|| format!("batch {number}: {tags:?}"));
        let mut book = self.book();
        book.dispatched.entry(number).or_default().extend(tags);
        drop(book);
        for tag in tags {
            self.entry(*tag, |entry| {
                entry.seen += 1;
                ensure(entry.seen == 1, format_args!("two handlers see value {tag}"));
                // A batch can be cut between its dispatch and the call of its handler.
                let cut = entry.ended.is_none_or(|(_, code, handled)| {
                    matches!(code, Status::HANDLER_TIMEOUT | Status::DISCARDED) && handled == Handled::Maybe
                });
                ensure(
                    cut,
                    format_args!("value {tag} is handled after it ended: {entry:?}"),
                );
            });
        }
    }

    /// A handler that sets its results again and again, most likely until its batch has timed out.
    ///
    /// # Errors
    /// None.
    pub fn overrun(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        for _ in 0..60 {
            world::read_clock();
            for (row, tag) in batch.tags().iter().enumerate() {
                let set = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
                if set == Err(Status::TOO_LATE) {
                    world::reached("set TOO_LATE");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The result of a value, of its own kind.
    fn answer(
        &self,
        kind: u8,
        tag: u64,
        set: impl FnOnce(Value<'_>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let text = format!("r{tag}");
        if kind == Kind::Object as u8 {
            let object = Object {
                owner: OWNER,
                word: tag + RESULT,
                size: 0,
            };
            let status = set(Value::Object(object));
            if matches!(status, Ok(()) | Err(Status::TOO_LATE)) {
                self.entry(tag, |entry| entry.results += 1);
            }
            return status;
        }
        set(if kind == Kind::String as u8 {
            Value::String(&text)
        } else {
            Value::Int64(2 * tag as i64)
        })
    }

    /// A handler that answers every value.
    ///
    /// # Errors
    /// None.
    pub fn handle(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        self.compare(batch.tags(), |row| batch.value(row));
        // Set twice, the last counts; TOO_LATE after a time-out.
        for _ in 0..world::one_of(&[1, 1, 2, 4]) {
            for (row, tag) in batch.tags().iter().enumerate() {
                let _ = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
            }
        }
        Ok(())
    }

    /// A handler that keeps its batch for whoever receives `held`.
    ///
    /// # Errors
    /// None.
    pub fn keep(&self, batch: &mut Batch<'_>, held: &Parcels<HeldBatch>) -> Result<(), Failure> {
        self.ensure_right_thread("a handler");
        self.see(batch.number(), batch.tags());
        let tags = batch.tags().to_vec();
        match batch.keep() {
            Ok(kept) => {
                world::note(|| format!("keep {tags:?}"));
                held.send(kept);
            }
            Err(status) => {
                world::note(|| format!("keep {tags:?}: {status}"));
                world::reached(format_args!("keep {}", status.name()));
                ensure_eq(status, Status::TOO_LATE, "keep");
            }
        }
        Ok(())
    }

    /// A thread that ends held batches until nobody sends more.
    pub fn completer(self: &Arc<Self>, held: &Arc<Parcels<HeldBatch>>) -> world::Task {
        let (account, held) = (self.clone(), held.clone());
        world::spawn("completer", move || {
            while let Some(batch) = held.receive() {
                account.end(batch);
            }
        })
    }

    /// Answers every value of a held batch and ends it, after a while.
    pub fn end(&self, batch: HeldBatch) -> Status {
        let mut completion = world::one_of(&[Completion::Complete, Completion::CompleteOk, Completion::Drop]);
        if self.book().pulled && world::one_of(&[true, false]) {
            completion = Completion::CompleteNext;
        }
        world::dawdle(6);
        // Set twice, the last counts; TOO_LATE after a time-out.
        for _ in 0..world::one_of(&[1, 1, 2, 4]) {
            for (row, tag) in batch.tags().iter().enumerate() {
                let _ = self.answer(batch.kinds()[row], *tag, |value| batch.set(row, value));
            }
        }
        let tags = batch.tags().to_vec();
        self.compare(&tags, |row| batch.value(row));
        let answer = match completion {
            Completion::Complete => batch.complete(),
            Completion::CompleteOk => batch.complete_ok(),
            Completion::CompleteNext => batch.complete_next().map(|results| {
                if let Some(results) = results {
                    world::reached("took results");
                    self.pulled(&results);
                }
            }),
            Completion::Drop => {
                drop(batch);
                Ok(())
            }
        };
        let status = answer.err().unwrap_or(Status::OK);
        world::note(|| format!("{completion:?} of {tags:?}: {status}"));
        world::reached(format_args!("{completion:?} {}", status.name()));
        self.book().completed.push((tags, completion, status));
        status
    }
}
