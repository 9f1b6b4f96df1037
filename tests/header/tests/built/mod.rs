//! The library that belongs to this build of the tests.

use microbatch_header::root;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The directories this test's own build puts libraries in.
fn directories() -> Vec<PathBuf> {
    // target/debug/deps/symbols-0123456789abcdef
    let program = env::current_exe().unwrap();
    let dependencies = program.parent().unwrap().to_owned();
    vec![dependencies.parent().unwrap().to_owned(), dependencies]
}

/// The shared library; built here if this test runs alone.
pub(crate) fn library() -> PathBuf {
    let newest = || {
        let found = directories()
            .into_iter()
            .map(|directory| directory.join("libmicrobatch.so"));
        found
            .filter(|path| path.exists())
            .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
    };
    if let Some(found) = newest() {
        return found;
    }
    let mut cargo = Command::new(env!("CARGO"));
    let profile = directories().remove(0);
    cargo
        .args(["build", "--lib"])
        .current_dir(root())
        .arg("--target-dir")
        .arg(profile.parent().unwrap());
    assert!(cargo.status().unwrap().success());
    newest().unwrap()
}
