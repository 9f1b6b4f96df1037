//! Fuzz targets. Each is a function of bytes in `targets/`; `cargo test --test corpus` gives it the committed corpus on
//! any compiler, `cargo fuzz` whatever libFuzzer thinks of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a target fails by panicking"
)]

#[path = "../../histories/history.rs"]
mod history;
#[path = "../../model/mod.rs"]
#[allow(dead_code, reason = "the vectors are played elsewhere")]
mod model;
#[path = "../../conformance/runner/mod.rs"]
#[allow(dead_code, reason = "histories have nothing that Rust lacks")]
mod runner;
pub mod targets;
