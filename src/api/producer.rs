//! A producer of one thread.

use super::batcher::Batcher;
use crate::engine::error::Result;
use crate::engine::producer::Producer as Stage;
use crate::engine::push::IfFull;
use crate::engine::value::{Kind, Value};

/// Pushes for one thread at a time: order among its own values is kept, order across producers is given up for
/// speed. Values join the open batch in groups; they do at the latest when the oldest is `max_delay` old, at
/// flush, seal and close, and when the producer is dropped.
pub struct Producer {
    stage: Stage,
}

impl Producer {
    pub(crate) fn new(batcher: &Batcher) -> Result<Producer> {
        Ok(Producer {
            stage: Stage::new(batcher.engine())?,
        })
    }

    /// Pushes a value.
    ///
    /// # Errors
    /// As [`Batcher::push`]; a full queue may be answered early, by the places other producers hold.
    pub fn push<'v>(&self, value: impl Into<Value<'v>>, tag: u64) -> Result {
        self.stage
            .push_value(value.into(), tag, 0, None, IfFull::Wait)
            .into_result()
    }

    /// Pushes an int64.
    ///
    /// # Errors
    /// As [`Producer::push`].
    #[inline]
    pub fn push_int64(&self, value: i64, tag: u64) -> Result {
        self.stage
            .push_cell(Kind::Int64, value as u64, tag, IfFull::Wait)
            .into_result()
    }

    /// Pushes a float64.
    ///
    /// # Errors
    /// As [`Producer::push`].
    #[inline]
    pub fn push_float64(&self, value: f64, tag: u64) -> Result {
        self.stage
            .push_cell(Kind::Float64, value.to_bits(), tag, IfFull::Wait)
            .into_result()
    }
}
