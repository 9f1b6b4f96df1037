//! What the library is made of besides its own sources: how much, under which licences, from where.
//!
//! Known flaws are another matter, as they change without us and need a network: `cargo deny check advisories`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

/// The version that `.ci/run` installs.
const CARGO_DENY: &str = "0.19.0";

/// Crates that the library is built from or by, at most.
const MOST_DEPENDENCIES: usize = 10;

fn cargo(arguments: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo sets what this test was built with; for others it is noise.
    cargo.env_remove("LD_LIBRARY_PATH");
    cargo.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names and versions in a `cargo tree`, without the package itself.
fn tree(edges: &str) -> BTreeSet<String> {
    let output = cargo(&[
        "tree",
        "--locked",
        "--prefix",
        "none",
        "--package",
        "microbatch",
        "--edges",
        edges,
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let crates = lines
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    crates.filter(|name| !name.starts_with("microbatch ")).collect()
}

#[test]
fn the_core_has_few_dependencies() {
    let core = tree("normal,build");
    assert!(
        core.iter().any(|name| name.starts_with("libc ")),
        "the core has libc: {core:?}"
    );
    assert!(core.len() <= MOST_DEPENDENCIES, "{} crates: {core:?}", core.len());
    // The count counts: with what only tests need there are more.
    assert!(tree("normal,build,dev").len() > MOST_DEPENDENCIES);
}

#[test]
fn licences_and_sources_are_what_deny_toml_allows() {
    let version = cargo(&["deny", "--version"]);
    if !version.status.success() {
        let cure =
            format!("there is no cargo-deny: cargo install cargo-deny --locked --version {CARGO_DENY}");
        assert!(env::var_os("CI").is_none(), "{cure}");
        eprintln!("ignored: {cure}");
        return;
    }
    let check = |config: &Path| {
        let config = config.to_str().unwrap();
        cargo(&[
            "deny", "--locked", "check", "--config", config, "licenses", "bans", "sources",
        ])
    };
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let output = check(&config);
    assert!(output.status.success(), "{}", text(&output.stderr));

    // The check bites: a licence less, and a crate that must not be there.
    let allowed = fs::read_to_string(config).unwrap();
    let wrong = [
        (allowed.replace("\"Unicode-3.0\"", ""), "licenses"),
        (allowed.replace("[bans]\n", "[bans]\ndeny = [\"libc\"]\n"), "bans"),
    ];
    for (name, (text_of_it, what)) in wrong.into_iter().enumerate() {
        assert_ne!(text_of_it, allowed);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("deny-{name}.toml"));
        fs::write(&file, text_of_it).unwrap();
        let output = check(&file);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(
            !output.status.success() && told.contains(&format!("{what} FAILED")),
            "{what}: {told}"
        );
    }
}

#[test]
fn the_licence_files_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, words) in [
        ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
        ("LICENSE-APACHE", "Apache License"),
    ] {
        assert!(
            fs::read_to_string(root.join(file)).unwrap().contains(words),
            "{file}"
        );
    }
    assert_eq!(env!("CARGO_PKG_LICENSE"), "MIT OR Apache-2.0");
}
