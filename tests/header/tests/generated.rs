//! The committed header is what src/ffi says, and its numbers are the engine's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use microbatch::{Handled, Kind, Options, Outcome, Status, Trigger};
use microbatch_header::book::of_function;
use microbatch_header::declarations::Code;
use microbatch_header::exports::{exports_path, version_script};
use microbatch_header::{generate, header_path, root, sections};
use std::collections::HashMap;
use std::fs;

/// Change src/ffi, never the header; then bless it: MICROBATCH_BLESS=1 cargo test -p microbatch-header
#[test]
fn p34_the_header_is_what_the_sources_say() {
    let made = generate(&root()).unwrap();
    if std::env::var_os("MICROBATCH_BLESS").is_some() {
        fs::write(header_path(), &made).unwrap();
        return;
    }
    let committed = fs::read_to_string(header_path()).unwrap();
    for (number, (made, committed)) in made.lines().zip(committed.lines()).enumerate() {
        assert_eq!(
            made,
            committed,
            "include/microbatch.h, line {}: left is what src/ffi says. To write the header anew: MICROBATCH_BLESS=1 \
             cargo test -p microbatch-header",
            number + 1
        );
    }
    assert_eq!(
        made.len(),
        committed.len(),
        "include/microbatch.h is longer or shorter than what src/ffi says"
    );
}

/// What a release exports is what the header declares, each function under the version that brought it.
#[test]
fn p37_the_version_script_is_what_the_sources_say() {
    let made = version_script(&sections(&root()).unwrap()).unwrap();
    if std::env::var_os("MICROBATCH_BLESS").is_some() {
        fs::write(exports_path(), &made).unwrap();
        return;
    }
    assert_eq!(
        fs::read_to_string(exports_path()).unwrap(),
        made,
        "to write bindings/c/exports.map anew: MICROBATCH_BLESS=1 cargo test -p microbatch-header"
    );
}

#[test]
fn p34_lines_are_short_and_comments_are_plain() {
    let made = generate(&root()).unwrap();
    for line in made.lines() {
        assert!(line.len() <= 113, "{} columns: {line}", line.len());
        assert!(
            !line.contains('`') && !line.contains("# Safety") && !line.contains("//"),
            "{line}"
        );
        assert!(line.is_ascii(), "{line}");
    }
}

/// Every function says since when it is there, after what it does.
#[test]
fn p34_every_function_is_documented_in_one_order() {
    let order = ["Returns: ", "Ownership: ", "Threads: ", "Blocks: ", "Since: "];
    for section in sections(&root()).unwrap() {
        for item in &section.items {
            let Some(function) = of_function(item) else {
                assert!(!item.docs.is_empty(), "{} has no words", item.code.name());
                continue;
            };
            let text = item.docs.join(" ");
            assert!(
                text.contains("Since: 0."),
                "{} does not say since when",
                function.name
            );
            let places: Vec<_> = order.iter().filter_map(|label| text.find(label)).collect();
            assert!(places.is_sorted(), "{}: {text}", function.name);
            assert_ne!(
                places.first(),
                Some(&0),
                "{} does not say what it does",
                function.name
            );
        }
    }
}

#[test]
fn p29_the_table_has_every_function() {
    let sections = sections(&root()).unwrap();
    let items = sections.iter().flat_map(|section| &section.items);
    let mut declared: Vec<_> = items
        .filter_map(of_function)
        .map(|function| function.name.as_str())
        .collect();
    let mut listed = microbatch::ffi::api::FUNCTIONS.to_vec();
    if env!("CARGO_PKG_VERSION") == "0.1.0" {
        assert_eq!(
            listed, declared,
            "in the first version the table has the order of the header"
        );
    }
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, declared);
}

/// The constants of the header, by name.
fn constants() -> HashMap<String, String> {
    let sections = sections(&root()).unwrap();
    let items = sections.into_iter().flat_map(|section| section.items);
    let constants = items.filter_map(|item| match item.code {
        Code::Constant { name, value } => Some((name, value)),
        _ => None,
    });
    constants.collect()
}

#[test]
fn p35_every_status_has_its_constant_and_text() {
    let sections = sections(&root()).unwrap();
    let status = sections
        .iter()
        .find(|section| section.module == "status")
        .unwrap();
    let mut rows = Status::table().iter();
    for item in &status.items {
        let Code::Constant { name, value } = &item.code else {
            continue;
        };
        let row = rows.next().unwrap();
        let expected = if row.code == 0 {
            "MB_OK".to_owned()
        } else {
            format!("MB_ERR_{}", row.name)
        };
        let number = if row.code < 0 {
            format!("({})", row.code)
        } else {
            row.code.to_string()
        };
        assert_eq!((name, value), (&expected, &number));
        assert!(
            item.docs.join(" ").starts_with(row.text),
            "{name}: {:?}",
            item.docs
        );
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn p34_the_numbers_are_the_engines() {
    let constants = constants();
    let is = |prefix: &str, name: &str, code: u32| {
        let name = format!("MB_{prefix}_{}", name.to_uppercase());
        assert_eq!(constants.get(&name), Some(&code.to_string()), "{name}");
    };
    Kind::ALL
        .iter()
        .for_each(|kind| is("KIND", kind.name(), kind.code().into()));
    Trigger::ALL
        .iter()
        .for_each(|trigger| is("TRIGGER", trigger.name(), trigger.code().into()));
    Outcome::ALL
        .iter()
        .for_each(|outcome| is("OUTCOME", outcome.name(), outcome.code().into()));
    Handled::ALL
        .iter()
        .for_each(|handled| is("HANDLED", handled.name(), handled.code().into()));
    for info in Options::table() {
        let prefix = info.name.trim_start_matches("on_").to_uppercase();
        info.choices
            .iter()
            .for_each(|choice| is(&prefix, choice.name, choice.code));
    }
}
