//! What the benches share: the two sides, the rounds that are run on them, and the core-to-core probe.

pub mod probe;
pub mod rounds;
pub mod sample;
pub mod side;
