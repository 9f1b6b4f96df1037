//! Suites of the project under tools that watch them: Miri, sanitizers, valgrind, fuzzing, coverage, mutation.
//!
//! `cargo test -p microbatch-checks` runs what is run at every change, each check with a control that it must report;
//! `cargo run -p microbatch-checks -- CHECK` runs one of them for longer. `tests/README.md` has the table.

pub mod memory;
pub mod mutants;
pub mod nightly;
pub mod search;
pub mod tool;
