//! The library that belongs to this build of the tests.

use microbatch_header::root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The directories this test's own build puts libraries in.
fn directories() -> Vec<PathBuf> {
    // target/debug/deps/symbols-0123456789abcdef
    let program = env::current_exe().unwrap();
    let dependencies = program.parent().unwrap().to_owned();
    vec![dependencies.parent().unwrap().to_owned(), dependencies]
}

/// `libmicrobatch.so` or `libmicrobatch.a`; built here if this test runs alone.
pub(crate) fn library(name: &str) -> PathBuf {
    let newest = || {
        let found = directories().into_iter().map(|directory| directory.join(name));
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

/// An empty directory for one test.
#[allow(dead_code, reason = "not every test crate makes files")]
pub(crate) fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// What `bindings/c/install.sh` makes of this build's static library, with more flags for the linker. Answers the
/// directory of the libraries.
#[allow(dead_code, reason = "not every test crate wants it")]
pub(crate) fn release(directory: &Path, flags: &str) -> PathBuf {
    let output = Command::new(root().join("bindings/c/install.sh"))
        .arg(directory)
        .env("MICROBATCH_STATICLIB", library("libmicrobatch.a"))
        .env("LDFLAGS", flags)
        .env_remove("DESTDIR")
        .env_remove("LIBDIR")
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "install.sh: {messages}");
    assert_eq!(messages, "", "install.sh is not silent");
    directory.join("lib")
}
