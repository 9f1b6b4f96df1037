//! What the product is: values become batches, batches get handled, every value gets one result.
//!
//! The modules stand in the order a value travels.

pub(crate) mod options;
pub(crate) mod value;
pub(crate) mod utf8;
pub(crate) mod column;
pub(crate) mod writer;
pub(crate) mod batch;
pub(crate) mod forming;
pub(crate) mod push;
pub(crate) mod queue;
pub(crate) mod core;
pub(crate) mod dispatch;
pub(crate) mod results;
pub(crate) mod batcher;
pub(crate) mod step;
pub(crate) mod delivery;
pub(crate) mod wake;
pub(crate) mod host;
pub(crate) mod close;
pub(crate) mod exit;
pub(crate) mod producer;
pub(crate) mod map;
pub(crate) mod stats;
pub(crate) mod snapshot;
pub(crate) mod error;
