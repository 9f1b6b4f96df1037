//! Producer handles.

use super::batch::Release;
use super::batcher::Inner;
use super::error::Status;
use super::value::{Kind, Value};
use crate::sync::Shared;

/// A producer of one thread.
pub(crate) struct Producer {
    engine: Shared<Inner>,
}

impl Producer {
    pub(crate) fn new(engine: &Shared<Inner>) -> Result<Producer, Status> {
        if engine.is_foreign() {
            return Err(Status::FORKED);
        }
        Ok(Producer { engine: engine.clone() })
    }

    #[inline(always)]
    pub(crate) fn push_cell(&self, kind: Kind, cell: u64, tag: u64) -> Status {
        self.engine.push_cell(kind, cell, tag)
    }

    #[inline]
    pub(crate) fn push_text(&self, kind: Kind, text: &[u8], tag: u64) -> Status {
        self.engine.push_text(kind, text, tag)
    }

    pub(crate) fn push_value(&self, value: Value<'_>, tag: u64, deadline: i64, owned: Option<Release>) -> Status {
        self.engine.push_value(value, tag, deadline, owned)
    }
}
