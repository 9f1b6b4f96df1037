//! The README says what the code says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashSet;
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

/// How many tests and vectors have the number of a promise, as the table says it.
fn size_of_promise(promise: u32, sources: &str, vectors: &[String]) -> String {
    let number = format!("p{promise:02}_");
    // A test of two promises has both numbers: `p20_p21_...`.
    let has_number = |name: &str| {
        name.split_inclusive('_')
            .take_while(|word| word.len() == 4 && word.starts_with('p'))
            .any(|word| word == number)
    };
    let name_of = |line: &str| -> Option<String> {
        let function = line
            .trim_start()
            .strip_prefix("fn ")
            .and_then(|rest| rest.split_once('('));
        let of_c = line.strip_prefix("    ").and_then(|rest| rest.split_once(": \""));
        function.or(of_c).map(|(name, _)| name.to_owned())
    };
    let tests: HashSet<_> = sources
        .lines()
        .filter_map(name_of)
        .filter(|name| has_number(name))
        .collect();
    let vectors = vectors
        .iter()
        .filter(|vector| vector.starts_with(&number) && vector.ends_with(".mbt"))
        .count();
    match vectors {
        0 => format!("{} tests", tests.len()),
        _ => format!("{} tests, {vectors} vectors in 5 languages", tests.len()),
    }
}

/// Fails if the table of promises leaves one out, names a file or a test that is not there, or counts wrongly.
#[test]
fn the_table_of_promises_is_whole_and_true() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let readme = std::fs::read_to_string(tests.join("README.md")).unwrap();
    let mut sources = String::new();
    for directory in [
        "",
        "batches",
        "c",
        "flow",
        "hosts",
        "memory",
        "regressions",
        "results",
        "seeing",
        "values",
        "header/tests",
    ] {
        for entry in std::fs::read_dir(tests.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let vectors: Vec<_> = std::fs::read_dir(tests.join("conformance"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // Those in backticks: a path, a file of tests/c/, a test, or a pattern of vectors.
    let missing = |name: &str| -> bool {
        if let Some(prefix) = name.strip_suffix('*') {
            return !vectors.iter().any(|vector| vector.starts_with(prefix));
        }
        if name.starts_with('p') && name.contains('_') && !name.contains('.') {
            let (function, of_c) = (format!("fn {name}("), format!("    {name}: "));
            return !sources.contains(&function) && !sources.contains(&of_c);
        }
        !tests.join("..").join(name).exists() && !tests.join("c").join(name).exists()
    };
    for promise in 1..=39 {
        let start = format!("| P{promise} |");
        let row = readme
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("no row {start}"));
        let names: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(
            names
                .iter()
                .any(|name| name.starts_with(&format!("p{promise:02}_")) && !name.ends_with('*')),
            "{row}: no test of this promise"
        );
        for name in names {
            assert!(!missing(name), "{row}: there is no {name}");
        }
        let size = size_of_promise(promise, &sources, &vectors);
        assert_eq!(row.split(" | ").nth(4), Some(&*size), "{row}");
    }
    assert!(missing("p01_no_such_test") && missing("no_such_file.c") && missing("p99_*"));
}
