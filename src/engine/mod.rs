//! What the product is: values become batches, batches get handled, every value gets one result.
//!
//! The modules stand in the order a value travels.

pub(crate) mod options;
pub(crate) mod value;
pub(crate) mod utf8;
pub(crate) mod column;
pub(crate) mod shelf;
pub(crate) mod rows;
pub(crate) mod writer;
pub(crate) mod release;
pub(crate) mod batch;
pub(crate) mod forming;
pub(crate) mod push;
pub(crate) mod front;
pub(crate) mod queue;
pub(crate) mod open;
pub(crate) mod room;
pub(crate) mod removal;
pub(crate) mod list;
pub(crate) mod callers;
pub(crate) mod core;
pub(crate) mod ledger;
pub(crate) mod dispatch;
pub(crate) mod flight;
pub(crate) mod part;
pub(crate) mod results;
pub(crate) mod settled;
pub(crate) mod batcher;
pub(crate) mod step;
pub(crate) mod driver;
pub(crate) mod ready;
pub(crate) mod delivery;
pub(crate) mod wake;
pub(crate) mod host;
pub(crate) mod close;
pub(crate) mod exit;
pub(crate) mod producer;
pub(crate) mod map;
pub(crate) mod stats;
pub(crate) mod histogram;
pub(crate) mod accounts;
pub(crate) mod snapshot;
pub(crate) mod prometheus;
pub(crate) mod error;
