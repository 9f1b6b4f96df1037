//! One file a bug: what showed it, made short. A bug of the engine that a random history found is played as a scenario of
//! `tests/conformance/`; its trace is the reference model's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../model/mod.rs"]
#[allow(dead_code, reason = "the vectors are played elsewhere")]
mod model;
#[path = "../conformance/runner/mod.rs"]
#[allow(dead_code, reason = "no scenario here needs what Rust lacks")]
mod runner;

#[path = "0001_releases_of_free_are_callbacks.rs"]
mod n0001_releases_of_free_are_callbacks;
#[path = "0002_complete_in_a_release_calls_back.rs"]
mod n0002_complete_in_a_release_calls_back;
#[path = "0003_object_of_no_owner_as_result.rs"]
mod n0003_object_of_no_owner_as_result;
#[path = "0004_a_release_in_a_release_waits.rs"]
mod n0004_a_release_in_a_release_waits;
#[path = "0005_a_producer_fills_a_batch.rs"]
mod n0005_a_producer_fills_a_batch;
#[path = "0006_the_age_of_a_staged_value.rs"]
mod n0006_the_age_of_a_staged_value;
#[path = "0007_staged_values_that_have_joined.rs"]
mod n0007_staged_values_that_have_joined;

/// Plays a scenario in Rust and compares its trace with the model's.
fn same_as_the_model(scenario: &str) {
    let (expected, got) = (model::play(scenario), runner::play(scenario));
    if let Some(difference) = model::first_difference(&expected, &got) {
        panic!("the trace differs from the model's, {difference}\n{got}");
    }
}
