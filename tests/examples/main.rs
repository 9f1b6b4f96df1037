//! The examples do what they say: all quickstarts print `examples/quickstart.expected`, and `legacy.c` batches what
//! comes through a pipe by count and by age, in one thread.
//!
//! The C programs are compiled here, against the library as `cargo test` built it, static and shared, and against the
//! SQLite that rusqlite brings along: no system package is needed beyond a C compiler.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod legacy;
#[allow(dead_code, reason = "this suite uses its own part of the module")]
#[path = "../common/native.rs"]
mod native;
mod quickstart;

use native::{Build, Language, Link};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The compiled program, or None when there is no compiler.
fn compile(
    source: &str,
    language: Language,
    standard: &str,
    link: Link,
    arguments: &[&OsStr],
) -> Option<PathBuf> {
    if !language.is_installed() {
        return None;
    }
    let (path, name) = (directory().join(source), source.replace('.', "_"));
    let mut build = Build::new(language, standard, &path, &name);
    build.link = Some(link);
    build.arguments = arguments.to_vec();
    Some(build.compile())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}
