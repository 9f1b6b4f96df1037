//! Copies gate.rs, lock.rs and shared.rs without their tests, and writes mutants of them: copies with one bug each. A model
//! that does not catch them proves nothing.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SOURCE: &str = "../../src/sync";

/// File name, what to replace, by what.
type Mutant = (&'static str, &'static str, &'static str);

/// The files, and the mutants of each: name, what to replace, by what. Each text to replace stands in its file once.
const FILES: [(&str, &[Mutant]); 3] = [("gate.rs", &GATE), ("lock.rs", &LOCK), ("shared.rs", &SHARED)];

const GATE: [Mutant; 7] = [
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
    // Whoever takes its turn does not wait for the owner to leave.
    (
        "turn_at_once.rs",
        "let fenced = word == 0 || self.line.revoke(word);",
        "let fenced = true;",
    ),
    // A slot goes to another thread although its last owner was not seen since.
    (
        "slot_unseen.rs",
        ".position(|&owner| owner == 0)",
        ".position(|_| true)",
    ),
];

const LOCK: [Mutant; 2] = [
    // Whoever takes the lock does not see what the last holder wrote.
    (
        "relaxed_take.rs",
        "compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)",
        "compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed)",
    ),
    // Whoever leaves it does not publish what it wrote.
    (
        "relaxed_leave.rs",
        "self.lock.holder.store(0, Ordering::Release);",
        "self.lock.holder.store(0, Ordering::Relaxed);",
    ),
];

const SHARED: [Mutant; 3] = [
    // What a reference did is not published when it goes.
    (
        "relaxed_drop.rs",
        "count.fetch_sub(1, Ordering::Release) != 1",
        "count.fetch_sub(1, Ordering::Relaxed) != 1",
    ),
    // The last one drops the value without having seen what the others did.
    (
        "no_drop_load.rs",
        "        self.inner().count.load(Ordering::Acquire);\n",
        "",
    ),
    // The only reference does not see what those did that went.
    (
        "relaxed_get_mut.rs",
        "if self.inner().count.load(Ordering::Acquire) != 1 {",
        "if self.inner().count.load(Ordering::Relaxed) != 1 {",
    ),
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    for (file, mutants) in FILES {
        let path = Path::new(SOURCE).join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        let text = fs::read_to_string(path)?;
        // `include!` takes no inner comments, and the unit tests of the crate have no place here.
        let end = text.find("\n#[cfg(test)]\n").unwrap_or(text.len());
        let body: String = text[..end]
            .lines()
            .filter(|line| !line.starts_with("//!"))
            .flat_map(|line| [line, "\n"])
            .collect();
        fs::write(out.join(file), &body)?;
        for (name, from, to) in mutants {
            write_mutant(&out.join(name), file, &body, from, to)?;
        }
    }
    Ok(())
}

fn write_mutant(path: &Path, file: &str, body: &str, from: &str, to: &str) -> io::Result<()> {
    if body.matches(from).count() != 1 {
        return Err(io::Error::other(format!(
            "{file} does not hold this text once: {from}"
        )));
    }
    fs::write(path, body.replace(from, to))
}
