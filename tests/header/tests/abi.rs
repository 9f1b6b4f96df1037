//! P37: the interface of today beside each recorded one of `tests/abi/`: what programs compiled against an older header
//! rely on is as it was, and such a program runs with the library of today.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod built;
mod prototypes;
mod tools;

use built::{release, scratch};
use microbatch_header::exports::version_script;
use microbatch_header::{generate, root, sections};
use prototypes::{prototypes, without_comments};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tools::{have, run};

/// The recorded versions, oldest first.
fn records() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/abi")).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The record of this version, once it is one.
fn this_version() -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    root().join("tests/abi").join(version.rsplit_once('.').unwrap().0)
}

/// While this version is not released, its record follows the header; by a word of yours.
fn record_anew() {
    if std::env::var_os("MICROBATCH_BLESS").is_some() {
        fs::create_dir_all(this_version()).unwrap();
        fs::write(this_version().join("microbatch.h"), generate(&root()).unwrap()).unwrap();
        let script = version_script(&sections(&root()).unwrap()).unwrap();
        fs::write(this_version().join("exports.map"), script).unwrap();
    }
}

/// A library that has the interface of a header and does nothing. For tools that read types, and for the linker.
fn stub(directory: &Path, name: &str, header: &str, script: &str) -> PathBuf {
    let at = directory.join(name);
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("microbatch.h"), header).unwrap();
    fs::write(at.join("exports.map"), script).unwrap();
    let mut code = String::from("#include \"microbatch.h\"\n");
    for prototype in prototypes(header) {
        code.push_str(&prototype.code);
        code.push_str(" { __builtin_trap(); }\n");
    }
    fs::write(at.join("stub.c"), code).unwrap();
    let library = at.join("libmicrobatch.so");
    let script = format!("-Wl,--version-script={}", at.join("exports.map").display());
    run(Command::new("cc")
        .args(["-g", "-shared", "-fPIC", "-fno-eliminate-unused-debug-types"])
        .arg(script)
        .args(["-Wl,--no-undefined-version", "-Wl,-soname,libmicrobatch.so.0"])
        .arg(at.join("stub.c"))
        .arg("-o")
        .arg(&library));
    library
}

/// What a new library takes from programs of an old one, in abidiff's words; None if nothing.
fn taken(old: &Path, new: &Path) -> Option<String> {
    let output = Command::new("abidiff")
        .args(["--no-added-syms", "--no-show-locs"])
        .args([old, new])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = output.status.code().unwrap();
    assert_eq!(
        code & 3,
        0,
        "abidiff itself fails: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (code != 0).then_some(text)
}

/// Structs that know their size, or are as long as they say, and so may grow at their ends.
const SIZED: &[&str] = &[
    "mb_options",
    "mb_push_options",
    "mb_map_options",
    "mb_batch_view",
    "mb_results_view",
    "mb_column",
    "mb_row_error",
    "mb_stats",
    "mb_shared",
    "mb_api",
];

/// Where the fields of a struct are in a header without comments.
fn fields(header: &str, name: &str) -> std::ops::Range<usize> {
    let head = format!("struct {name} {{");
    let start = header.find(&head).unwrap_or_else(|| panic!("no {head}")) + head.len();
    start..start + header[start..].find('}').unwrap()
}

/// A header as programs of an older one see it: without what sized structs have more at their ends. (libabigail can be
/// told to let such fields pass, but then overlooks other changes of the same struct.)
fn as_seen_by(old: &str, new: &str) -> String {
    let (old, mut seen) = (without_comments(old), without_comments(new));
    for name in SIZED {
        let known = old[fields(&old, name)].matches(';').count();
        let place = fields(&seen, name);
        let end = seen[place.clone()]
            .match_indices(';')
            .nth(known - 1)
            .map(|(at, _)| place.start + at + 1);
        if let Some(end) = end {
            seen.replace_range(end..place.end, "\n");
        }
    }
    seen
}

/// The constants of a header that programs have compiled in.
fn constants(header: &str) -> Vec<(String, String)> {
    let lines = header.lines().filter_map(|line| line.strip_prefix("#define MB_"));
    let pairs = lines.map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        let value = rest.split("/*").next().unwrap();
        (name.to_owned(), value.trim().to_owned())
    });
    pairs
        .filter(|(name, _)| !name.starts_with("VERSION_") && name != "ABI_VERSION")
        .collect()
}

/// Constants that are gone or have another value, except numbers of how many there are.
fn changed(old: &str, new: &str) -> Vec<String> {
    let new = constants(new);
    let same = |constant: &(String, String)| new.contains(constant) || constant.0 == "KINDS";
    constants(old)
        .into_iter()
        .filter(|constant| !same(constant))
        .map(|(name, value)| format!("MB_{name} is not {value} any more"))
        .collect()
}

const CURE: &str =
    "if this version is not released: MICROBATCH_BLESS=1 cargo test -p microbatch-header --test abi";

fn can_compare() -> bool {
    have("cc", "gcc", "interfaces are not compared")
        && have("abidiff", "abigail-tools", "interfaces are not compared")
}

#[test]
fn p37_nothing_is_taken_from_programs_of_an_older_version() {
    record_anew();
    if !can_compare() {
        return;
    }
    let directory = scratch("abi");
    let today = generate(&root()).unwrap();
    let script = version_script(&sections(&root()).unwrap()).unwrap();
    for record in records() {
        let header = fs::read_to_string(record.join("microbatch.h")).unwrap();
        let old = fs::read_to_string(record.join("exports.map")).unwrap();
        let old = stub(&directory, "recorded", &header, &old);
        let new = stub(&directory, "today", &as_seen_by(&header, &today), &script);
        if let Some(words) = taken(&old, &new) {
            panic!("{}: {words}\n{CURE}", record.display());
        }
        assert_eq!(
            changed(&header, &today),
            Vec::<String>::new(),
            "{}; {CURE}",
            record.display()
        );
    }
}

/// The record of a version is the version: also what was added is in it.
#[test]
fn p37_this_version_is_recorded() {
    record_anew();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let recorded = read(this_version().join("microbatch.h"));
    let (now, then) = (generate(&root()).unwrap(), recorded);
    let of = |header: &str| -> Vec<String> {
        let code = prototypes(header).into_iter().map(|prototype| prototype.code);
        let constants = constants(header)
            .into_iter()
            .map(|(name, value)| format!("{name} {value}"));
        code.chain(constants).collect()
    };
    assert_eq!(of(&then), of(&now), "{CURE}");
    let script = version_script(&sections(&root()).unwrap()).unwrap();
    assert_eq!(read(this_version().join("exports.map")), script, "{CURE}");
}

/// The comparison bites: each of these breaks programs, and each is found; what is allowed is let through.
#[test]
fn p37_the_comparison_is_awake() {
    if !can_compare() {
        return;
    }
    let directory = scratch("abi-awake");
    let header = generate(&root()).unwrap();
    let script = version_script(&sections(&root()).unwrap()).unwrap();
    let old = stub(&directory, "old", &header, &script);
    let without_push = script.replace("        mb_batcher_push_int64;\n", "");
    let breaking: &[(&str, &str, &str)] = &[
        (
            "a field of another type",
            "    int64_t max_delay; ",
            "    int32_t max_delay; ",
        ),
        (
            "a field in the middle",
            "    uint32_t threads; ",
            "    uint32_t middle; uint32_t more; uint32_t threads; ",
        ),
        ("a field that is gone", "    uint64_t late; ", "    "),
        (
            "a field at the end of a struct without a size",
            "    uint64_t buckets[64]; ",
            "    uint64_t buckets[64]; uint64_t more; ",
        ),
        (
            "an argument of another type",
            "\nmb_status mb_batcher_flush(mb_batcher *batcher, int64_t timeout);",
            "\nmb_status mb_batcher_flush(mb_batcher *batcher, int32_t timeout);",
        ),
        (
            "another answer",
            "\nuint32_t mb_version_number(void);",
            "\nuint64_t mb_version_number(void);",
        ),
        (
            "a function in the middle of the table",
            "    mb_status (*mb_batcher_seal)",
            "    void (*mb_new)(void);\n    mb_status (*mb_batcher_seal)",
        ),
        (
            "a callback of another shape",
            "typedef void (*mb_release_fn)(void *user_data);",
            "typedef void (*mb_release_fn)(void *user_data, uint64_t size);",
        ),
    ];
    for (what, from, to) in breaking {
        assert!(header.contains(from), "{what}: the header has no {from:?}");
        let new = header.replacen(from, to, 1);
        let new = stub(&directory, "new", &as_seen_by(&header, &new), &script);
        assert!(taken(&old, &new).is_some(), "{what} is not found");
    }
    let new = stub(&directory, "new", &header, &without_push);
    assert!(
        taken(&old, &new).is_some(),
        "a function that is gone is not found"
    );
    let new = stub(
        &directory,
        "new",
        &header,
        &script.replace("MICROBATCH_0.1", "MICROBATCH_0.9"),
    );
    assert!(taken(&old, &new).is_some(), "another version is not found");
    let renumbered = header.replacen("MB_KIND_STRING    4", "MB_KIND_STRING    9", 1);
    assert_eq!(
        changed(&header, &renumbered),
        ["MB_KIND_STRING is not 4 any more"],
        "another number"
    );

    let end = header.replacen(
        "    mb_release_fn log_release; ",
        "    mb_release_fn log_release; int64_t more; ",
        1,
    );
    let end = end.replacen(
        "\nmb_status mb_batcher_share(",
        "\nmb_status mb_batcher_more(mb_batcher *batcher);\nmb_status mb_batcher_share(",
        1,
    );
    let end = end.replacen(
        "mb_shared *shared);\n};",
        "mb_shared *shared);\n    mb_status (*mb_batcher_more)(mb_batcher *batcher);\n};",
        1,
    );
    assert_eq!(end.matches("mb_batcher_more").count(), 2);
    let more = format!("{script}\nMICROBATCH_0.2 {{ global: mb_batcher_more; }} MICROBATCH_0.1;\n");
    let new = stub(&directory, "new", &as_seen_by(&header, &end), &more);
    assert_eq!(taken(&old, &new), None, "what is added is let through");
    let new = stub(&directory, "new", &end, &more);
    let old = stub(&directory, "old", &as_seen_by(&end, &header), &script);
    assert!(taken(&new, &old).is_some(), "and not the other way");
}

/// A program of each recorded version, linked with what the library was then, runs with the library of today.
#[test]
fn p37_programs_of_older_versions_run_with_the_library_of_today() {
    record_anew();
    if !have("cc", "gcc", "no program of an older version runs") {
        return;
    }
    let directory = scratch("abi-programs");
    let today = release(&directory.join("today"), "");
    for record in records() {
        let header = fs::read_to_string(record.join("microbatch.h")).unwrap();
        let script = fs::read_to_string(record.join("exports.map")).unwrap();
        let source = fs::read_to_string(record.join("program.c")).unwrap();
        let recorded = stub(&directory, "recorded", &header, &script);
        let program = directory.join("program");
        run(Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(recorded.parent().unwrap())
            .arg(record.join("program.c"))
            .arg("-o")
            .arg(&program)
            .arg(&recorded));
        let old_functions = prototypes(&header);
        for function in &old_functions {
            let call = format!("{}(", function.name);
            assert!(
                source.contains(&call),
                "{}/program.c does not call {}",
                record.display(),
                function.name
            );
        }
        let expected = fs::read_to_string(record.join("program.expected")).unwrap();
        let run_with = |libraries: &Path| {
            Command::new(&program)
                .env("LD_LIBRARY_PATH", libraries)
                .output()
                .unwrap()
        };
        let output = run_with(&today);
        assert_eq!(
            (
                String::from_utf8_lossy(&output.stdout).as_ref(),
                String::from_utf8_lossy(&output.stderr).as_ref()
            ),
            (expected.as_str(), ""),
            "{}",
            record.display()
        );
        // It does run with what it is told to: a library that has not its versions, or not what it calls, fails it.
        let of_another = stub(
            &directory,
            "another",
            &header,
            &script.replace("MICROBATCH_0.1", "MICROBATCH_0.9"),
        );
        for wrong in [&of_another, &recorded] {
            let at = wrong.parent().unwrap();
            fs::copy(wrong, at.join("libmicrobatch.so.0")).unwrap();
            assert!(!run_with(at).status.success());
        }
    }
}
