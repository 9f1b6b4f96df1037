//! The README says what the code says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

const BEGIN: &str = "<!-- options:";
const END: &str = "<!-- end of options -->";

/// P36: fails when an option is added or changed in the table and not in the README.
#[test]
fn p36_the_option_table_is_the_one_the_library_hands_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let begin = readme.find(BEGIN).expect("the table's first marker");
    let begin = begin + readme[begin..].find('\n').expect("a line") + 1;
    let end = readme.find(END).expect("the table's last marker");
    let table = microbatch::Options::markdown_table();
    if std::env::var_os("MICROBATCH_BLESS").is_some() {
        let blessed = format!("{}{table}{}", &readme[..begin], &readme[end..]);
        std::fs::write(&path, blessed).unwrap();
        return;
    }
    assert_eq!(&readme[begin..end], table, "run again with MICROBATCH_BLESS=1");
}

/// Fails when the version is repeated wrongly: it has one home, Cargo.toml.
#[test]
fn the_header_has_the_version_of_the_package() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/microbatch.h");
    let header = std::fs::read_to_string(path).unwrap();
    let version: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').collect();
    for (name, number) in ["MAJOR", "MINOR", "PATCH"].iter().zip(version) {
        let line = header
            .lines()
            .find(|line| line.starts_with(&format!("#define MB_VERSION_{name} ")))
            .unwrap_or_else(|| panic!("MB_VERSION_{name} is not in the header"));
        assert_eq!(line.split_whitespace().nth(2), Some(number), "{line}");
    }
}
