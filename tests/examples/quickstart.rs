//! The quickstarts: one program in each language, one expected output, and the SQLite that rusqlite brings along.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::native::{C, CPP, Link, run, scratch, text};
use super::{compile, directory};

/// How long the quickstarts insert one transaction a row, in seconds.
const SECONDS: &str = "0.2";

#[test]
fn quickstart_in_rust_prints_what_is_expected() {
    let program = profile_directory().join("examples/quickstart");
    assert!(
        program.exists(),
        "{} is not built: `cargo test` builds it, and so does `cargo build --example quickstart`",
        program.display()
    );
    check_quickstart(&program, "rust");
}

#[test]
fn quickstart_in_c_linked_static_prints_what_is_expected() {
    let Some(program) = compile_quickstart(Link::Static) else {
        return;
    };
    check_quickstart(&program, "c-static");
}

#[test]
fn quickstart_in_c_linked_shared_prints_what_is_expected() {
    let Some(program) = compile_quickstart(Link::Shared) else {
        return;
    };
    check_quickstart(&program, "c-shared");
}

#[test]
fn quickstart_in_cpp_prints_what_is_expected() {
    let sqlite = Sqlite::find();
    let arguments = [
        OsStr::new("-isystem"),
        sqlite.include.as_os_str(),
        OsStr::new(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/bindings/cpp/include")),
        sqlite.library.as_os_str(),
    ];
    if let Some(program) = compile("quickstart.cpp", CPP, "-std=c++17", Link::Static, &arguments) {
        check_quickstart(&program, "cpp");
    }
}

/// Runs the program and compares what it prints. Its temporary directory must be empty again afterwards.
fn check_quickstart(program: &Path, name: &str) {
    let temporary = scratch("examples", &format!("quickstart-{name}"));
    let output = run(Command::new(program)
        .arg(directory().join("data/flights-2013-02.csv"))
        .arg(SECONDS)
        .env("TMPDIR", &temporary));
    let stdout = text(&output.stdout);
    let stderr = text(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {}\n{stdout}{stderr}",
        program.display(),
        output.status
    );

    let expected = fs::read_to_string(directory().join("quickstart.expected")).unwrap();
    let printed = normalised(&stdout);
    for (number, (printed, expected)) in printed.lines().zip(expected.lines()).enumerate() {
        assert_eq!(
            printed,
            expected,
            "{name} differs from quickstart.expected in line {}",
            number + 1
        );
    }
    assert_eq!(
        printed, expected,
        "{name} prints more or fewer lines than quickstart.expected"
    );

    // Standard error is no terminal here, so progress comes as plain lines.
    assert!(
        stderr.contains("a transaction a batch: 100 %\n"),
        "no progress in {stderr:?}"
    );
    assert!(
        !stderr.contains(['\r', '\u{1b}']),
        "a progress bar where there is no terminal: {stderr:?}"
    );
    assert_eq!(
        fs::read_dir(&temporary).unwrap().count(),
        0,
        "files are left in {}",
        temporary.display()
    );
}

/// The output as `quickstart.expected` holds it: in lines that begin with `rate`, every number is a `#`.
fn normalised(output: &str) -> String {
    let mut normalised = String::new();
    for line in output.lines() {
        if line.trim_start().starts_with("rate") {
            let mut in_number = false;
            for c in line.chars() {
                let number = c.is_ascii_digit() || (in_number && c == '.');
                if !number {
                    normalised.push(c);
                } else if !in_number {
                    normalised.push('#');
                }
                in_number = number;
            }
        } else {
            normalised.push_str(line);
        }
        normalised.push('\n');
    }
    normalised
}

/// The compiled program, or None when there is no C compiler.
fn compile_quickstart(link: Link) -> Option<PathBuf> {
    let sqlite = Sqlite::find();
    let arguments = [
        OsStr::new("-isystem"),
        sqlite.include.as_os_str(),
        sqlite.library.as_os_str(),
    ];
    compile("quickstart.c", C, "-std=c99", link, &arguments)
}

/// Where the SQLite is that libsqlite3-sys built.
struct Sqlite {
    include: PathBuf,
    library: PathBuf,
}

impl Sqlite {
    /// Its build script told cargo, which keeps what it told.
    fn find() -> Sqlite {
        let builds = fs::read_dir(profile_directory().join("build")).unwrap();
        let mut found: Vec<_> = builds
            .filter_map(|entry| {
                let output = entry.ok()?.path().join("output");
                let told = fs::read_to_string(&output).ok()?;
                let value = |key: &str| {
                    let line = told
                        .lines()
                        .find_map(|line| line.trim_start_matches("cargo:").strip_prefix(key));
                    line.map(PathBuf::from)
                };
                let sqlite = Sqlite {
                    include: value("include=")?,
                    library: value("lib_dir=")?.join("libsqlite3.a"),
                };
                let usable = sqlite.include.join("sqlite3.h").exists() && sqlite.library.exists();
                let built = fs::metadata(&output).and_then(|data| data.modified()).ok()?;
                usable.then_some((built, sqlite))
            })
            .collect();
        found.sort_by_key(|(built, _)| *built);
        let (_, newest) = found
            .pop()
            .expect("libsqlite3-sys has left its library and header for us");
        newest
    }
}

/// `target/debug` or `target/release`: the directory above that of this test's executable.
fn profile_directory() -> PathBuf {
    let executable = env::current_exe().unwrap();
    executable.ancestors().nth(2).unwrap().to_owned()
}
