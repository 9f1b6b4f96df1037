//! What goes in: pushes and cancels, with what they answered.

use super::{Account, Entry, OWNER};
use crate::world::{self, ensure, ensure_eq};
use crate::{Batcher, Object, Producer, Status, Value};

/// Where a value is pushed.
pub trait Push {
    /// Pushes it.
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status>;
}

impl Push for Batcher {
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status> {
        match value {
            Value::Int64(value) => self.push_int64(value, tag),
            Value::Bytes(bytes) => match String::from_utf8(bytes.to_vec()) {
                Ok(owned) => self.push_owned(owned, tag).map_err(|(status, _)| status),
                Err(_) => Err(Status::INVALID_UTF8),
            },
            other => self.push(other, tag),
        }
    }
}

impl Push for Producer {
    fn push_value(&self, value: Value<'_>, tag: u64) -> Result<(), Status> {
        match value {
            Value::Int64(value) => self.push_int64(value, tag),
            other => self.push(other, tag),
        }
    }
}

impl Account {
    /// Pushes the value of `tag` and notes the answer.
    pub fn push(&self, into: &impl Push, tag: u64) -> Status {
        let text = format!("v{tag}");
        let value = match tag % 4 {
            1 if self.mixed => Value::String(&text),
            2 if self.mixed => Value::Object(Object {
                owner: OWNER,
                word: tag,
                size: 0,
            }),
            3 if self.mixed => Value::Bytes(text.as_bytes()),
            _ => Value::Int64(tag as i64),
        };
        self.try_push(tag, 0, matches!(value, Value::Object(_)), || {
            into.push_value(value, tag)
        })
    }

    /// Pushes a value by `push` and notes the answer.
    pub fn try_push(
        &self,
        tag: u64,
        deadline: i64,
        object: bool,
        push: impl FnOnce() -> Result<(), Status>,
    ) -> Status {
        let entry = Entry {
            deadline,
            object,
            ..Entry::default()
        };
        ensure(
            self.book().values.insert(tag, entry).is_none(),
            "the model pushes a tag twice",
        );
        let status = push().err().unwrap_or(Status::OK);
        world::note(|| format!("push {tag}: {status}"));
        self.entry(tag, |entry| entry.answer = Some(status));
        status
    }

    /// Pushes the values of `tags` by one call that takes a prefix, and notes the answers.
    pub fn try_push_many(&self, tags: &[u64], push: impl FnOnce() -> (usize, Result<(), Status>)) {
        for tag in tags {
            self.book().values.insert(*tag, Entry::default());
        }
        let (taken, answer) = push();
        world::note(|| format!("push {tags:?}: {taken}, {answer:?}"));
        ensure_eq(
            answer.is_ok(),
            taken == tags.len(),
            "a bulk push takes all or says why not",
        );
        for (at, tag) in tags.iter().enumerate() {
            let status = if at < taken {
                Status::OK
            } else {
                answer.err().unwrap_or(Status::OK)
            };
            self.entry(*tag, |entry| entry.answer = Some(status));
        }
    }

    /// Notes what cancelling a tag that only one value has answered.
    pub fn cancelled(&self, tag: u64, answer: Result<u64, Status>) {
        world::note(|| format!("cancel {tag}: {answer:?}"));
        let answers = [Ok(1), Err(Status::TOO_LATE), Err(Status::NOT_FOUND)];
        ensure(answers.contains(&answer), format_args!("cancel: {answer:?}"));
        world::reached(format_args!(
            "cancel {}",
            answer.err().unwrap_or(Status::OK).name()
        ));
        self.book().cancelled.push((tag, answer.is_ok()));
    }

    /// Notes what cancelling a tag answered that may be cancelled again and again.
    pub fn cancelled_any(&self, answer: Result<u64, Status>) {
        let answers = [Ok(1), Err(Status::TOO_LATE), Err(Status::NOT_FOUND)];
        ensure(answers.contains(&answer), format_args!("cancel: {answer:?}"));
    }
}
