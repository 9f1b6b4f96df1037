//! The tables of the programs have everything that is in the header: its functions, callbacks, lengths and structs.

use super::sources;
use std::fs;
use std::path::Path;

fn header() -> String {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/microbatch.h");
    fs::read_to_string(header).unwrap()
}

fn source(name: &str) -> String {
    fs::read_to_string(sources().join(name)).unwrap()
}

/// Functions that take no pointer.
const WITHOUT_POINTER: &[&str] = &[
    "mb_status_name",
    "mb_status_text",
    "mb_version_number",
    "mb_version_string",
    "mb_abi_version",
    "mb_abi_check",
    "mb_kind_name",
    "mb_trigger_name",
    "mb_outcome_name",
    "mb_handled_name",
    "mb_api_table",
];

/// What is in a C table as `{ "name", `.
fn is_listed(table: &str, name: &str) -> bool {
    table.contains(&format!("{{ \"{name}\", "))
}

/// No function of the header is left out where all are called, with whatever is wrong or from wherever: `calls.h` has
/// them all. Of those without a handle, `null.c` has each with NULL.
#[test]
fn p30_every_function_is_misused() {
    let (calls, null) = (source("calls.h"), source("null.c"));
    let (with_handle, plain) = calls.split_once("static const plain_call PLAIN_CALLS[]").unwrap();
    let functions = declarations();
    assert!(functions.len() > 90, "{functions:?}");
    for (function, _) in &functions {
        let takes_a_handle = is_listed(with_handle, function);
        assert!(
            takes_a_handle != is_listed(plain, function),
            "{function} is to be in one table of tests/c/calls.h: CALLS if it takes a handle, else PLAIN_CALLS"
        );
        assert!(
            takes_a_handle
                || null.contains(&format!("{function}("))
                || WITHOUT_POINTER.contains(&function.as_str()),
            "{function} is missing in tests/c/null.c"
        );
    }
}

/// Every place of the header where a callback goes: a field of a struct, or a parameter.
fn callbacks() -> Vec<String> {
    let header = header();
    let mut found = Vec::new();
    for body in header.split("typedef struct ").skip(1) {
        let Some((name, rest)) = body.split_once(" {") else {
            continue;
        };
        let fields = rest.split_once("\n}").map_or("", |(fields, _)| fields);
        let lines = fields.lines().map(str::split_whitespace);
        for (of_type, field) in lines.filter_map(|mut words| Some((words.next()?, words.next()?))) {
            if of_type.starts_with("mb_") && of_type.ends_with("_fn") {
                found.push(format!("{name}.{}", field.trim_end_matches(';')));
            }
        }
    }
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let (of_type, name) = parameter.rsplit_once(' ').unwrap_or(("", ""));
            if of_type.ends_with("_fn") {
                found.push(format!("{function}.{name}"));
            }
        }
    }
    found
}

/// No callback of the header is left out where all functions are called from within each.
#[test]
fn p25_every_callback_is_a_place() {
    let table = source("reentrant_everywhere.c");
    let callbacks = callbacks();
    assert!(callbacks.len() >= 15, "{callbacks:?}");
    for callback in callbacks {
        assert!(
            is_listed(&table, &callback),
            "tests/c/reentrant_everywhere.c does not call from {callback}"
        );
    }
}

/// The functions of the header with what stands between their parentheses.
fn declarations() -> Vec<(String, String)> {
    let header = header();
    let table = header.split_once("struct mb_api {").unwrap().1;
    let entries = table
        .split("(*mb_")
        .skip(1)
        .filter_map(|rest| rest.split_once(")("));
    entries
        .map(|(name, rest)| {
            let parameters = rest.split(");").next().unwrap();
            let parameters: Vec<_> = parameters.split_whitespace().collect();
            (format!("mb_{name}"), parameters.join(" "))
        })
        .collect()
}

/// No parameter of the header that says how much there is, or which, is left out of `lengths.c`.
#[test]
fn p30_every_length_is_absurd_once() {
    let table = source("lengths.c");
    let mut found = 0;
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let (of_type, name) = parameter.rsplit_once(' ').unwrap_or(("", ""));
            let says_how_much = of_type == "size_t" && !name.starts_with('*')
                || (of_type, name) == ("uint64_t", "size")
                || of_type == "const mb_value";
            if says_how_much {
                found += 1;
                let row = format!("{{ \"{function}\", \"{}\", ", name.trim_start_matches('*'));
                assert!(table.contains(&row), "tests/c/lengths.c has no {row}");
            }
        }
    }
    assert!(found > 40, "{found}");
}

/// No function of the header that fills or reads a struct that knows its size is left out of `old_struct_size.c`, and no
/// such struct.
#[test]
fn p34_every_sized_struct_has_every_size() {
    let table = source("old_struct_size.c");
    let header = header();
    let structs = header.split("typedef struct ").skip(1);
    let mut sized: Vec<_> = structs
        .filter_map(|body| body.split_once(" {\n    size_t struct_size;"))
        .map(|(name, _)| name)
        .filter(|name| !name.contains('\n'))
        .collect();
    assert!(sized.len() >= 9, "{sized:?}");
    for (function, parameters) in declarations() {
        for parameter in parameters.split(", ") {
            let of_type = parameter.trim_start_matches("const ").split(' ').next().unwrap();
            let Some(at) = sized.iter().position(|name| *name == of_type) else {
                continue;
            };
            let row = format!("{{ \"{function}\", \"{}\", ", sized[at]);
            let is_there =
                table.contains(&row) || ["mb_options_init", "mb_options_set"].contains(&function.as_str());
            assert!(is_there, "tests/c/old_struct_size.c has no {row}");
        }
    }
    sized.retain(|name| !table.contains(&format!(", \"{name}\", ")));
    assert!(sized.is_empty(), "nothing fills or reads {sized:?}");
}
