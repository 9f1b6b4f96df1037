//! Copies `src/engine` and `src/api` for the models, with bugs planted in them.
//!
//! Every planted bug sleeps behind a switch that only its positive control turns on: a model that does not catch its
//! bug proves nothing. Where the text to replace is gone the bug is left out, and its control fails and says so;
//! the models still run.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SOURCE: &str = "../../src";

/// Name, what to replace, by what. `BUG` stands for the switch. Each text to replace stands in all of the engine
/// exactly once, and no replacement has more lines: line numbers stay those of the engine.
const BUGS: [(&str, &str, &str); 25] = [
    // A snapshot counts a value twice.
    (
        "miscounts",
        "accepted: front.accepted() + staged",
        "accepted: front.accepted() + staged + u64::from(BUG)",
    ),
    // A flush is done one batch too early.
    (
        "flushes_early",
        "self.base >= mark",
        "self.base + u64::from(BUG) >= mark",
    ),
    // Pushes that wait are told of room and shown that nothing changed.
    ("room_untold", "*changes += 1;", "*changes += u64::from(!BUG);"),
    // A push that was woken for room leaves none to the next.
    (
        "room_kept",
        "let Some(lack) = forming::lack(&self.limits, front.load(core), 8) else {",
        "let Some(lack) = forming::lack(&self.limits, front.load(core), 8).or(BUG.then_some(super::forming::Lack::Count)) else {",
    ),
    // Room that is left to those that are awake is never passed on.
    (
        "turn_endless",
        "turn.over.min(forming::after(now, LEFT_NS))",
        "turn.over.min(if BUG { FOREVER } else { forming::after(now, LEFT_NS) })",
    ),
    // Whoever owes a wake does not pay it.
    (
        "unpaid",
        "self.wakes.load(Ordering::Relaxed) != 0 {",
        "self.wakes.load(Ordering::Relaxed) != 0 && !BUG {",
    ),
    // The queue takes one value too many.
    (
        "queue_passed",
        "load.waiting >= limits.queue_capacity",
        "load.waiting >= limits.queue_capacity + u64::from(BUG)",
    ),
    // Flush and close leave staged values behind.
    (
        "stages_forgotten",
        "if !front.stages_are_watched {\n            return;",
        "if BUG || !front.stages_are_watched {\n            return;",
    ),
    // A batch that was opened ahead is sealed although no value came.
    (
        "sealed_empty",
        "if front.prepared {\n            return self.drop_open(front, core);",
        "if front.prepared && !BUG {\n            return self.drop_open(front, core);",
    ),
    // A batch can end twice.
    (
        "ended_twice",
        "if fixed || part.state == PartState::Done {",
        "if !BUG && (fixed || part.state == PartState::Done) {",
    ),
    // Whoever completes a batch of a freed batcher takes what others would deliver.
    (
        "results_stolen",
        "if core.stop && core.drivers == 0 && !core.in_callback() {",
        "if core.stop && (BUG || core.drivers == 0) && !core.in_callback() {",
    ),
    // Threads of a freed batcher go on.
    ("never_stops", "core.stop = true;", "core.stop = !BUG;"),
    // Deadlines come too early.
    (
        "expires_early",
        "deadline != 0 && deadline <= now",
        "deadline != 0 && deadline <= now + 20_000 * i64::from(BUG)",
    ),
    // A part's handler is called again instead of the next part's.
    (
        "part_again",
        "flight.next += 1;",
        "flight.next += u8::from(!BUG);",
    ),
    // What a handler stores after its time-out shows in the merged batch.
    (
        "late_cells",
        "let (mut kind, mut cell) = if outcome == Outcome::Ok as u8 {",
        "let (mut kind, mut cell) = if BUG || outcome == Outcome::Ok as u8 {",
    ),
    // Who waits for batches is not told of the next part of one.
    (
        "parts_untold",
        "let due = if core.parts_due > 0 {",
        "let due = if core.parts_due > 0 && !BUG {",
    ),
    // Who waits for results is not told of the sets that a completer leaves.
    (
        "sets_untold",
        "if takes && core.result_waiters > 0 && core.has_set() {",
        "if !BUG && takes && core.result_waiters > 0 && core.has_set() {",
    ),
    // Who waits for batches or results is not told that none will come.
    (
        "pullers_untold",
        "if core.sleepers > 0 && self.routes.is_pulled() && core.is_used_up() {",
        "if !BUG && core.sleepers > 0 && self.routes.is_pulled() && core.is_used_up() {",
    ),
    // The descriptor is not set again.
    (
        "descriptor_stale",
        "if core.fd_due == Some(due) {",
        "if core.fd_due == Some(due) || BUG {",
    ),
    // Results come as they are completed.
    (
        "unordered",
        "match &mut core.turns {",
        "match core.turns.as_mut().filter(|_| !BUG) {",
    ),
    // No thread takes the place of one that ended.
    ("unreplaced", "if needed {", "if needed && !BUG {"),
    // Two threads deliver at once.
    (
        "beside_itself",
        "if core.delivering {\n            return None;",
        "if core.delivering && !BUG {\n            return None;",
    ),
    // A sleeper that watches the open batch is not told of an earlier one.
    (
        "sleeps_on",
        "if watches {\n            core.watch_due = FOREVER;",
        "if watches && !BUG {\n            core.watch_due = FOREVER;",
    ),
    // Who asks for room is not told of it.
    (
        "asked_in_vain",
        "front.want_room(&mut core, true, weight);",
        "front.want_room(&mut core, !BUG, weight);",
    ),
    // A callback may wait for itself.
    (
        "reentered",
        "self.first == me || self.more.contains(&me)",
        "!BUG && (self.first == me || self.more.contains(&me))",
    ),
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = Vec::new();
    for folder in ["engine", "api"] {
        // What an earlier engine had goes.
        let _ = fs::remove_dir_all(out.join(folder));
        read(&Path::new(SOURCE).join(folder), &out.join(folder), &mut files)?;
    }
    let mut planted = Vec::new();
    for (bug, good, bad) in BUGS {
        let holds = |text: &str| text.matches(good).count();
        if files.iter().map(|(_, text)| holds(text)).sum::<usize>() == 1 {
            let bad = bad.replace("BUG", &format!("crate::sync::bug({bug:?})"));
            for (_, text) in &mut files {
                *text = text.replace(good, &bad);
            }
            planted.push(bug);
        }
    }
    for (path, text) in &files {
        fs::write(path, text)?;
    }
    let mut modules = String::new();
    for folder in ["engine", "api"] {
        let path = out.join(folder).join("mod.rs");
        modules += "#[allow(dead_code, reason = \"the C boundary uses the rest\")]\n";
        modules += &format!("#[path = {path:?}]\nmod {folder};\n");
    }
    modules += &format!("/// Bugs that can be switched on.\npub const PLANTED: &[&str] = &{planted:?};\n");
    fs::write(out.join("modules.rs"), modules)
}

/// The files of `folder` and of the folders in it, each with the place of its copy, whose folder is made.
fn read(folder: &Path, to: &Path, files: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        println!("cargo:rerun-if-changed={}", path.display());
        let Some(name) = path.file_name() else {
            continue;
        };
        if path.is_dir() {
            read(&path, &to.join(name), files)?;
        } else {
            let text = fs::read_to_string(&path)?;
            files.push((to.join(name), without_tests(&text).to_owned()));
        }
    }
    Ok(())
}

/// The file without the unit tests at its end: they need the real `sync`.
fn without_tests(text: &str) -> &str {
    let Some((code, tests)) = text.split_once("\n#[cfg(test)]\n") else {
        return text;
    };
    // One module, up to the end of the file.
    let end = tests.find("\n}").map_or("", |end| tests[end..].trim());
    if end == "}" { code } else { text }
}
