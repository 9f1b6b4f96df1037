//! Writes mutants of gate.rs: copies with one bug each. A model that does not catch them proves nothing.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const GATE: &str = "../../src/sync/gate.rs";

/// File name, what to replace, by what. Each text to replace stands in gate.rs exactly once.
const MUTANTS: [(&str, &str, &str); 6] = [
    // The owner's second look may pass before its busy flag is seen.
    ("no_light_fence.rs", "        light_fence();\n", ""),
    // The revoker may look at busy before its 0 is seen.
    (
        "no_heavy_fence.rs",
        "let fenced = heavy_fence();",
        "let fenced = true;",
    ),
    // The owner goes in without a second look.
    (
        "no_second_look.rs",
        "if line.bias.load(Ordering::Acquire) == word {",
        "if line.bias.load(Ordering::Acquire) != 1 {",
    ),
    // The revoker sees that the owner left, but not what it wrote.
    (
        "relaxed_revoke.rs",
        "while busy.load(Ordering::Acquire) != 0 {",
        "while busy.load(Ordering::Relaxed) != 0 {",
    ),
    // The owner sees its bias again, but not what the visitor wrote.
    (
        "relaxed_return.rs",
        "self.line.bias.store(self.word, Ordering::Release);",
        "self.line.bias.store(self.word, Ordering::Relaxed);",
    ),
    // A slot goes to another thread although its last owner was not seen since.
    (
        "slot_unseen.rs",
        ".position(|&owner| owner == 0)",
        ".position(|_| true)",
    ),
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed={GATE}");
    println!("cargo:rerun-if-changed=build.rs");
    let gate = fs::read_to_string(GATE)?;
    // `include!` takes no inner comments, and the unit tests of the crate have no place here.
    let end = gate.find("#[cfg(test)]").unwrap_or(gate.len());
    let body: String = gate[..end]
        .lines()
        .filter(|line| !line.starts_with("//!"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    for (name, from, to) in MUTANTS {
        write_mutant(&out.join(name), &body, from, to)?;
    }
    Ok(())
}

fn write_mutant(path: &Path, body: &str, from: &str, to: &str) -> io::Result<()> {
    if body.matches(from).count() != 1 {
        return Err(io::Error::other(format!(
            "{GATE} does not hold this text once: {from}"
        )));
    }
    fs::write(path, body.replace(from, to))
}
