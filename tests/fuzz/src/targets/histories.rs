//! Histories whose choices are the input: what `tests/histories.rs` draws by chance, libFuzzer leads to new code.
//!
//! The first four bytes choose options, handlers and callbacks, two bytes each a step: so a step can be changed, moved or
//! taken away, and the others stay.

use crate::history::{Can, canonical, drawn, write};
use crate::{model, runner};

/// The most steps of one history.
const MOST_STEPS: usize = 80;

pub fn run(data: &[u8]) {
    let (head, steps) = data.split_at(data.len().min(4));
    let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let history = drawn(number(head), steps.chunks(2).take(MOST_STEPS).map(number));
    let can = Can {
        own: false,
        name_types: false,
        free_in_callbacks: false,
        use_stale_handles: false,
    };
    let written = write(&history, can);
    let got = runner::play(&written.scenario);
    if let Some(difference) = model::first_difference(&canonical(&written.trace), &canonical(&got)) {
        panic!(
            "the engine differs from the model, {difference}\n{}",
            written.scenario
        );
    }
}
