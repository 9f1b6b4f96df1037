//! The Python binding: its wheel is built around the library of this build, installed into a virtual environment that the
//! test makes itself, and tested there with pytest; mypy --strict reads it; the examples do what they say.
//!
//! The tests are in `bindings/python/tests/`, conformance runner and hazards among them.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(
    dead_code,
    reason = "this crate compiles little by hand: the wheel's own build does"
)]
#[path = "common/native.rs"]
mod native;

use native::{C, ignored, library, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

/// Says the version and whether the headers are there.
const PROBE: &str = "import sys, sysconfig, os.path, venv, ensurepip
print('old' if sys.version_info < (3, 11) else 'free-threaded' if sysconfig.get_config_var('Py_GIL_DISABLED') else
      'bare' if not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')) else 'fine', sys.version)";

/// What the quickstart reads.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-02.csv");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/python")
}

/// Runs a command to its end and fails the test with what it said if that is not success.
fn succeed(command: &mut Command) -> Output {
    // Cargo names `target/<profile>` there, where a `cargo build` of long ago may have left another library.
    command.env_remove("LD_LIBRARY_PATH");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// The environment's own Python, with the wheel installed; None if there is no Python to make it from, which whoever runs
/// the tests is told; under CI the test fails.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(make_environment).as_deref()
}

fn make_environment() -> Option<PathBuf> {
    let base = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&base).args(["-c", PROBE]).output();
    let found = match &probe {
        Ok(output) if output.status.success() => text(&output.stdout),
        Ok(output) => text(&output.stderr),
        Err(error) => error.to_string(),
    };
    if !found.starts_with("fine") {
        ignored(&format!(
            "`{base}` is no Python from 3.11 on with headers and venv ({}): the Python binding is not tested (Debian: apt \
             install python3-dev python3-venv, or name another one in PYTHON)",
            found.trim()
        ));
        return None;
    }
    if !C.is_installed() {
        return None;
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = place.join("venv/bin/python");
    let requirements = directory().join("tests/requirements.txt");
    let stamp = place.join("stamp");
    let wanted = found + &fs::read_to_string(&requirements).unwrap();
    if !python.exists() || fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        succeed(Command::new(&base).args(["-m", "venv"]).arg(place.join("venv")));
        succeed(
            pip(&python)
                .args(["install", "--require-hashes", "-r"])
                .arg(&requirements),
        );
        fs::write(&stamp, wanted).unwrap();
    }
    let wheels = place.join("wheels");
    let _ = fs::remove_dir_all(&wheels);
    succeed(
        pip(&python)
            .args(["wheel", "--no-deps", "--no-build-isolation", "-w"])
            .arg(&wheels)
            .arg(directory())
            .env("MICROBATCH_STATICLIB", library("libmicrobatch.a")),
    );
    let wheel = fs::read_dir(&wheels).unwrap().next().unwrap().unwrap().path();
    let name = wheel.file_name().unwrap().to_string_lossy();
    assert!(
        name.contains("-cp311-abi3-"),
        "{name} is not one wheel for all versions from 3.11 on"
    );
    succeed(
        pip(&python)
            .args(["install", "--no-deps", "--force-reinstall"])
            .arg(&wheel),
    );
    Some(python)
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    command
}

/// A module of the environment, run where the binding's configuration is. `-P`: the package is the installed one, not the
/// source beside it.
fn module(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-P", "-m", name])
        .current_dir(directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "MICROBATCH_HEADER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/include"),
        )
        .env("MICROBATCH_STATICLIB", library("libmicrobatch.a"));
    command
}

/// Runs some of the tests, and passes on how many there were.
fn pytest(files: &[&str]) {
    let Some(python) = python() else {
        return;
    };
    let output = succeed(module(python, "pytest").args(files));
    let said = text(&output.stdout);
    println!("{}", said.lines().last().unwrap_or_default());
    assert!(!said.contains(" skipped"), "{said}");
}

const CONFORMANCE: &[&str] = &["tests/test_conformance.py"];
const VALUES: &[&str] = &[
    "tests/test_values.py",
    "tests/test_columns.py",
    "tests/test_refused.py",
    "tests/test_wrong_input.py",
];
const BATCHERS: &[&str] = &[
    "tests/test_batcher.py",
    "tests/test_batched.py",
    "tests/test_parts.py",
    "tests/test_reply.py",
    "tests/test_failing.py",
];
const HAZARDS: &[&str] = &[
    "tests/test_hazards.py",
    "tests/test_native.py",
    "tests/test_reentrancy.py",
];

#[test]
fn python_gives_the_expected_traces() {
    pytest(CONFORMANCE);
}

#[test]
fn python_values_and_columns() {
    pytest(VALUES);
}

#[test]
fn python_batchers_and_replies() {
    pytest(BATCHERS);
}

#[test]
fn python_hazards() {
    pytest(HAZARDS);
}

#[test]
fn python_no_file_of_tests_is_left_out() {
    let mut named: Vec<&str> = [CONFORMANCE, VALUES, BATCHERS, HAZARDS].concat();
    let mut there: Vec<String> = fs::read_dir(directory().join("tests"))
        .unwrap()
        .map(|entry| format!("tests/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.starts_with("tests/test_"))
        .collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}

#[test]
fn python_types_are_strict() {
    let Some(python) = python() else {
        return;
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/mypy");
    succeed(module(python, "mypy").arg("--cache-dir").arg(cache));
}

/// An example, run with the installed package; what it printed.
fn example(python: &Path, program: &str, arguments: &[&str]) -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(program);
    let mut command = Command::new(python);
    command.arg("-P").arg(program).args(arguments);
    text(&succeed(&mut command).stdout)
}

#[test]
fn quickstart_in_python_prints_what_is_expected() {
    let Some(python) = python() else {
        return;
    };
    let printed = example(python, "examples/quickstart.py", &[DATA, "0.2"]);
    let expected = include_str!("../examples/quickstart.expected");
    assert_eq!(without_rates(&printed), expected);
}

/// One wheel for all later versions: those that are installed run it from where it is unpacked.
#[test]
fn python_the_same_wheel_serves_later_versions() {
    let Some(python) = python() else {
        return;
    };
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let wheel = fs::read_dir(place.join("wheels"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let unpacked = place.join("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    succeed(
        Command::new(python)
            .args(["-m", "zipfile", "-e"])
            .arg(wheel.path())
            .arg(&unpacked),
    );
    for version in ["python3.12", "python3.13", "python3.14", "python3.15"] {
        let probe = Command::new(version).args(["-c", PROBE]).output();
        if !probe.is_ok_and(|found| text(&found.stdout).starts_with("fine")) {
            println!("{version} is not installed, or free-threaded: the wheel is not tried there");
            continue;
        }
        let output = succeed(
            Command::new(version)
                .arg("-P")
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart.py"))
                .args([DATA, "0.2"])
                .env("PYTHONPATH", &unpacked)
                .env("PYTHONDONTWRITEBYTECODE", "1"),
        );
        assert_eq!(
            without_rates(&text(&output.stdout)),
            include_str!("../examples/quickstart.expected"),
            "{version}"
        );
    }
    // Those without the lock say why they cannot.
    for version in ["python3.13t", "python3.14t", "python3.15t"] {
        let refused = Command::new(version)
            .args(["-P", "-c", "import microbatch"])
            .env("PYTHONPATH", &unpacked)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output();
        match refused {
            Ok(output) => assert!(
                text(&output.stderr).contains("microbatch does not support free-threaded Python"),
                "{version}: {}",
                text(&output.stderr)
            ),
            Err(_) => println!("{version} is not installed: what it is told is not tried there"),
        }
    }
}

/// Measured numbers become `#`.
fn without_rates(printed: &str) -> String {
    let mut shown = String::new();
    for line in printed.lines() {
        let mut number = false;
        for letter in line.chars() {
            let digit = line.starts_with("   rate") && (letter.is_ascii_digit() || letter == '.');
            if !digit {
                shown.push(letter);
            } else if !number {
                shown.push('#');
            }
            number = digit;
        }
        shown.push('\n');
    }
    shown
}

#[test]
fn python_examples_do_what_they_say() {
    let Some(python) = python() else {
        return;
    };
    let column = example(python, "bindings/python/examples/pandas_column.py", &[]);
    assert_eq!(
        column,
        "18745 flights in batches of 4096, 4096, 4096, 4096, 2361\ncode\nha    54.2\nvx    24.4\nas    17.6\n"
    );
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/inference.png");
    let _ = fs::remove_file(&picture);
    let arguments = [picture.to_str().unwrap(), "48", "1", "16"];
    let inference = example(python, "bindings/python/examples/inference.py", &arguments);
    assert!(inference.contains("answers: equal"), "{inference}");
    assert!(inference.contains("16 tasks,    batched"), "{inference}");
    assert!(fs::metadata(&picture).unwrap().len() > 1000);
}

/// Everything else is hidden: two copies of the engine can share the process.
#[test]
fn python_file_exports_its_init_alone() {
    let Some(python) = python() else {
        return;
    };
    let show = "import microbatch._microbatch as m; print(m.__file__)";
    let file = text(&succeed(Command::new(python).args(["-P", "-c", show])).stdout);
    let symbols = text(
        &succeed(
            Command::new("nm")
                .args(["-D", "--defined-only", "--format=just-symbols"])
                .arg(file.trim()),
        )
        .stdout,
    );
    assert_eq!(symbols.trim(), "PyInit__microbatch");
}
