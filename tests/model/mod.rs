//! The reference model: what a batcher does in virtual time, written to be read.
//!
//! It is plain, single-threaded and slow, and shares no code with the engine. It plays the scenarios of
//! `tests/conformance/` and so writes the traces that every runner must print byte for byte.
//!
//! - `text`: the tokens of a scenario (values, escaped strings).
//! - `options`: the options by name, their defaults and contradictions.
//! - `state`: the state and its gauges.
//! - `queue`: push, cancel and seal.
//! - `run`: what is overdue, what is due, dispatch.
//! - `payload`: what a result carries.
//! - `parts`: the life of a batch in flight: parts, what is set in them, completion.
//! - `delivery`: results and releases, called back or pulled.
//! - `ending`: flush, close, free; when something is due next.
//! - `player`: reads a scenario, acts as its handlers, writes the trace.

pub(crate) mod text;
mod options;
mod state;
mod queue;
mod run;
mod payload;
mod parts;
mod delivery;
mod ending;
mod player;

use std::path::{Path, PathBuf};

#[allow(unused_imports, reason = "for whoever plays line by line")]
pub(crate) use player::Session;
pub(crate) use player::play;

/// Every scenario of a directory, sorted by name.
pub(crate) fn scenarios(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the scenario directory is readable");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "mbt"));
    found.sort();
    found
}

/// The first line in which two traces differ, shown with its number; `None` when they are equal.
pub(crate) fn first_difference(expected: &str, got: &str) -> Option<String> {
    if expected == got {
        return None;
    }
    let (mut left, mut right) = (expected.lines(), got.lines());
    for line in 1.. {
        let (want, have) = (left.next(), right.next());
        if want != have {
            let show = |side: Option<&str>| side.unwrap_or("(the trace ends here)").to_owned();
            return Some(format!(
                "line {line}\n    expected: {}\n    got:      {}",
                show(want),
                show(have)
            ));
        }
        if want.is_none() {
            break;
        }
    }
    Some("the last line end".to_owned())
}

/// Writes the trace of every scenario and removes traces without one.
pub(crate) fn bless(directory: &Path) {
    let scenarios = scenarios(directory);
    for scenario in &scenarios {
        let text = std::fs::read_to_string(scenario).expect("a scenario is UTF-8");
        std::fs::write(scenario.with_extension("trace"), play(&text)).expect("the trace is writable");
    }
    for entry in std::fs::read_dir(directory).expect("the scenario directory is readable") {
        let path = entry.expect("a directory entry").path();
        let orphan = path.extension().is_some_and(|extension| extension == "trace")
            && !scenarios.contains(&path.with_extension("mbt"));
        if orphan {
            std::fs::remove_file(path).expect("an orphan trace is removable");
        }
    }
}

/// Names every scenario whose committed trace is not what the model writes now.
pub(crate) fn drift(directory: &Path) -> Vec<String> {
    let mut drifted = Vec::new();
    for scenario in scenarios(directory) {
        let text = std::fs::read_to_string(&scenario).expect("a scenario is UTF-8");
        let committed = std::fs::read_to_string(scenario.with_extension("trace")).unwrap_or_default();
        if let Some(difference) = first_difference(&committed, &play(&text)) {
            drifted.push(format!(
                "{}: {difference}",
                scenario.with_extension("trace").display()
            ));
        }
    }
    drifted
}
