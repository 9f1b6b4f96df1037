//! The built library exports what the header declares, and nothing else that has a name.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod built;
mod prototypes;

use built::library;
use microbatch_header::header_path;
use object::{Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget, SymbolFlags, elf};
use prototypes::names;
use std::collections::BTreeSet;
use std::fs;

/// The names that the library exports.
fn exported() -> BTreeSet<String> {
    let bytes = fs::read(library("libmicrobatch.so")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let visible = symbols.filter(|symbol| match symbol.flags() {
        SymbolFlags::Elf { st_other, .. } => matches!(st_other & 3, elf::STV_DEFAULT | elf::STV_PROTECTED),
        _ => true,
    });
    visible.map(|symbol| symbol.name().unwrap().to_owned()).collect()
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    names(&fs::read_to_string(header_path()).unwrap())
}

#[test]
fn p37_exports_are_the_declared_functions() {
    let (exported, declared) = (exported(), declared());
    assert!(
        declared.len() > 80 && declared.contains("mb_batcher_push_int64"),
        "{declared:?}"
    );
    let missing: Vec<_> = declared.difference(&exported).collect();
    assert!(
        missing.is_empty(),
        "declared in the header and not exported: {missing:?}"
    );
    let more: Vec<_> = exported.difference(&declared).collect();
    assert!(
        more.is_empty(),
        "exported and not declared in the header: {more:?}"
    );
}

/// The function table holds this copy's functions, also where another copy was loaded first and its symbols of the same
/// names would win.
#[test]
fn p29_no_other_copy_takes_the_place_of_a_function() {
    let bytes = fs::read(library("libmicrobatch.so")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file.dynamic_symbol_table().unwrap();
    let mut by_name = BTreeSet::new();
    for (_, relocation) in file.dynamic_relocations().unwrap() {
        if let RelocationTarget::Symbol(index) = relocation.target() {
            let name = symbols.symbol_by_index(index).unwrap().name().unwrap();
            if name.starts_with("mb_") {
                by_name.insert(name.to_owned());
            }
        }
    }
    let cure =
        "link with -Wl,-Bsymbolic: println!(\"cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic\") in build.rs";
    assert!(
        by_name.is_empty(),
        "{cure}; found by name at load time: {by_name:?}"
    );
}
