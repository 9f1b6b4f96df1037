//! P37: the library that `bindings/c/install.sh` makes: which symbols it has, how it is linked, and what others need to
//! link with it. Each check is also run on a library that is wrong, where it must say so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod built;
mod prototypes;
mod tools;

use built::{library, release, scratch};
use microbatch_header::exports::versions;
use microbatch_header::{header_path, root, sections};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tools::{have, run};

fn can_link() -> bool {
    have("cc", "gcc", "no release is made") && have("readelf", "binutils", "no release is looked at")
}

fn readelf(arguments: &[&str], library: &Path) -> String {
    run(Command::new("readelf").arg("-W").args(arguments).arg(library))
}

/// `name@version` of everything that a library defines for others.
fn exported(library: &Path) -> BTreeSet<String> {
    let table = readelf(&["--dyn-syms"], library);
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Number, value, size, type, binding, visibility, section, name. The versions themselves are absolute symbols.
    let defined =
        rows.filter(|row| row.len() == 8 && row[4] != "LOCAL" && !["UND", "ABS", "Ndx"].contains(&row[6]));
    defined.map(|row| row[7].replace("@@", "@")).collect()
}

/// What the sources say it is to define.
fn declared() -> BTreeSet<String> {
    let versions = versions(&sections(&root()).unwrap()).unwrap();
    let named = versions.into_iter().flat_map(|((major, minor), functions)| {
        functions
            .into_iter()
            .map(move |function| format!("{function}@MICROBATCH_{major}.{minor}"))
    });
    named.collect()
}

/// What is wrong with the symbols of a library.
fn wrong_symbols(library: &Path, declared: &BTreeSet<String>) -> Vec<String> {
    let exported = exported(library);
    let missing = declared
        .difference(&exported)
        .map(|name| format!("{name} is not exported"));
    let more = exported
        .difference(declared)
        .map(|name| format!("{name} is not declared"));
    missing.chain(more).collect()
}

/// What is wrong with how a library is linked.
fn wrong_linking(library: &Path) -> Vec<String> {
    let dynamic = readelf(&["--dynamic"], library);
    let segments = readelf(&["--segments"], library);
    let major = env!("CARGO_PKG_VERSION").split('.').next().unwrap();
    let has = |tag: &str, value: &str| {
        dynamic
            .lines()
            .any(|line| line.contains(&format!("({tag})")) && line.contains(value))
    };
    let segment = |name: &str| segments.lines().find(|line| line.trim_start().starts_with(name));
    let mut wrong = Vec::new();
    let mut expect = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    expect(
        has("SONAME", &format!("[libmicrobatch.so.{major}]")),
        "the soname has not the major version",
    );
    expect(has("FLAGS_1", "NODELETE"), "it can be unloaded");
    expect(
        has("FLAGS", "BIND_NOW") || has("FLAGS_1", " NOW"),
        "it is not bound at load time",
    );
    expect(
        has("FLAGS", "SYMBOLIC"),
        "another copy's functions may take the place of its own",
    );
    expect(segment("GNU_RELRO").is_some(), "what is relocated stays writable");
    expect(
        segment("GNU_STACK").is_some_and(|line| !line.contains(" RWE ")),
        "the stack is executable",
    );
    expect(
        !segments.contains(" RWE "),
        "a segment is writable and executable",
    );
    expect(!dynamic.contains("(TEXTREL)"), "code is relocated");
    expect(
        !dynamic.contains("(RPATH)") && !dynamic.contains("(RUNPATH)"),
        "it looks for libraries in a place of its own",
    );
    let known = [
        "libc.so.6",
        "libgcc_s.so.1",
        "ld-linux",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
    ];
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        expect(
            known.iter().any(|name| line.contains(name)),
            &format!("needs {}", line.trim()),
        );
    }
    wrong
}

#[test]
fn p37_a_release_exports_the_declared_functions_with_their_versions() {
    if !can_link() {
        return;
    }
    let libraries = release(&scratch("release-symbols"), "");
    let declared = declared();
    assert!(declared.len() > 80 && declared.contains("mb_batcher_push_int64@MICROBATCH_0.1"));
    assert_eq!(
        wrong_symbols(&libraries.join("libmicrobatch.so"), &declared),
        Vec::<String>::new()
    );
    // The check bites: one declared and not there, one there and not declared, and a library without versions.
    let mut other = declared.clone();
    other.remove("mb_batcher_push_int64@MICROBATCH_0.1");
    other.insert("mb_batcher_push_int65@MICROBATCH_0.1".to_owned());
    assert_eq!(
        wrong_symbols(&libraries.join("libmicrobatch.so"), &other).len(),
        2
    );
    assert_eq!(
        wrong_symbols(&library("libmicrobatch.so"), &declared).len(),
        2 * declared.len()
    );
}

#[test]
fn p37_a_release_is_linked_safely() {
    if !can_link() {
        return;
    }
    let none = Vec::<String>::new();
    let right = release(&scratch("release-linking"), "");
    assert_eq!(wrong_linking(&right.join("libmicrobatch.so")), none);
    // The check bites, on each of these.
    let wrong = [
        ("-Wl,-z,execstack", "the stack is executable"),
        ("-Wl,-z,lazy", "it is not bound at load time"),
        ("-Wl,-z,norelro", "what is relocated stays writable"),
        (
            "-Wl,-soname,libmicrobatch.so",
            "the soname has not the major version",
        ),
        (
            "-Wl,-rpath,/nowhere",
            "it looks for libraries in a place of its own",
        ),
        ("-Wl,--no-as-needed -lresolv", "needs "),
    ];
    for (flags, what) in wrong {
        let libraries = release(&scratch("release-wrong"), flags);
        let found = wrong_linking(&libraries.join("libmicrobatch.so"));
        assert!(
            found.iter().any(|found| found.starts_with(what)),
            "{flags}: {found:?}"
        );
    }
    // What has no flag that turns it off again: a library linked with nothing of it.
    let directory = scratch("release-plain");
    let (source, plain) = (directory.join("plain.c"), directory.join("plain.so"));
    fs::write(&source, "int plain(void);\nint plain(void) { return 0; }\n").unwrap();
    run(Command::new("cc")
        .args(["-shared", "-fPIC"])
        .arg(&source)
        .arg("-o")
        .arg(&plain));
    let found = wrong_linking(&plain);
    for what in [
        "it can be unloaded",
        "another copy's functions may take the place of its own",
    ] {
        assert!(found.iter().any(|found| found == what), "{found:?}");
    }
}

const PROGRAM: &str = r#"
#include <stdio.h>
#include "microbatch.h"

int main(void)
{
    mb_options options;
    mb_batcher *batcher;
    mb_stats stats;
    uint64_t left;
    mb_options_init(&options, sizeof options);
    options.results = MB_RESULTS_PULL;
    if (mb_abi_check(MB_ABI_VERSION) != MB_OK || mb_batcher_new(&options, &batcher, NULL) != MB_OK)
        return 1;
    mb_batcher_push_int64(batcher, 42, 0);
    mb_batcher_close(batcher, 0, &left);
    stats.struct_size = sizeof stats;
    mb_batcher_stats(batcher, &stats);
    printf("%d discarded\n", (int)stats.discarded);
    return mb_batcher_free(batcher);
}
"#;

/// A program finds all it needs by pkg-config, shared and static, also where the whole was moved to.
#[test]
fn p37_programs_link_with_a_release_by_pkg_config() {
    if !can_link() || !have("pkg-config", "pkg-config", "nobody looks for the release with it") {
        return;
    }
    let directory = scratch("release-used");
    release(&directory.join("made"), "");
    fs::rename(directory.join("made"), directory.join("moved")).unwrap();
    let libraries = directory.join("moved/lib");
    let source = directory.join("program.c");
    fs::write(&source, PROGRAM).unwrap();
    for shared in [true, false] {
        let mut ask = Command::new("pkg-config");
        ask.args(["--cflags", "--libs"])
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"));
        if !shared {
            ask.arg("--static");
            fs::remove_file(libraries.join("libmicrobatch.so")).unwrap();
        }
        let flags = run(ask.arg("microbatch"));
        let program = directory.join(if shared { "shared" } else { "static" });
        run(Command::new("cc")
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .args(flags.split_whitespace()));
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", &libraries);
        assert_eq!(run(&mut command), "1 discarded\n");
        // The program asks for the library of its major version, or needs none.
        let needed = readelf(&["--dynamic"], &program);
        let major = env!("CARGO_PKG_VERSION").split('.').next().unwrap();
        assert_eq!(
            needed.contains(&format!("[libmicrobatch.so.{major}]")),
            shared,
            "{needed}"
        );
    }
    let version = run(Command::new("pkg-config")
        .args(["--modversion", "microbatch"])
        .env("PKG_CONFIG_PATH", libraries.join("pkgconfig")));
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        fs::read(header_path()).unwrap(),
        fs::read(directory.join("moved/include/microbatch.h")).unwrap()
    );
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(
            directory
                .join("moved/share/doc/microbatch")
                .join(licence)
                .exists()
        );
    }
}
