//! What the benches are made of, in the order in which a measurement travels: the sides, a case that runs rounds on them,
//! the probe beside each round, the medians, the report.

pub mod side;
pub mod native;
pub mod channel;
pub mod tasks;

pub mod case;
pub mod cases;
pub mod latency;
pub mod memory;
pub mod idle;

pub mod probe;
pub mod sample;
pub mod usage;

pub mod report;
pub mod plot;
