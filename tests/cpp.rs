//! The C++ binding: built with CMake against the library of this build, tested with GoogleTest, played through the
//! conformance vectors, installed as a package, and compiled in every standard and mode that it promises.
//!
//! The programs are in `bindings/cpp/tests/`; each prints what failed and ends with another code than 0.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "this crate compiles little by hand: CMake does")]
#[path = "common/native.rs"]
mod native;

use native::{CPP, Link, can_sanitize, ignored, library, run, sanitized, scratch, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::{env, fs};

/// Where the tools come from.
const PACKAGES: &str = "g++ cmake make libgtest-dev";

/// Whether compiler, CMake and GoogleTest are there. If not, whoever runs the tests is told; under CI the test fails.
fn can_build() -> bool {
    static LACK: OnceLock<Option<String>> = OnceLock::new();
    let lack = LACK.get_or_init(|| {
        let answers = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        if !answers(Command::new("cmake").arg("--version")) {
            return Some("there is no cmake".to_owned());
        }
        if !answers(Command::new(compiler()).arg("--version")) {
            return Some(format!("there is no compiler `{}`", compiler()));
        }
        let google_test = ["-x", "c++", "-E", "-include", "gtest/gtest.h", "/dev/null"];
        if !answers(Command::new(compiler()).args(google_test)) {
            return Some("there is no GoogleTest".to_owned());
        }
        None
    });
    if let Some(lack) = lack {
        ignored(&format!(
            "{lack}: the C++ binding is not tested (Debian: apt install {PACKAGES})"
        ));
    }
    lack.is_none()
}

fn compiler() -> String {
    env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of a build with everything in `bindings/cpp/tests/`, or only one of its targets.
fn build(link: Link, target: Option<&str>) -> PathBuf {
    // One at a time: each uses all cores.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("cpp")
        .join(format!("{link:?}").to_lowercase());
    let engine = library(if link == Link::Shared {
        "libmicrobatch.so"
    } else {
        "libmicrobatch.a"
    });
    let mut configure = cmake();
    configure
        .arg("-S")
        .arg(root().join("bindings/cpp"))
        .arg("-B")
        .arg(&directory)
        .args(["-DMICROBATCH_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug"])
        .arg(format!("-DMICROBATCH_LIBRARY={}", engine.display()));
    // What is tested is the header: its warnings and checks, not how fast it is.
    configure.arg(match link {
        Link::Sanitized => {
            "-DCMAKE_CXX_FLAGS=-O0 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
        }
        _ => "-DCMAKE_CXX_FLAGS=-O1",
    });
    succeed(&mut configure);
    let mut make = cmake();
    make.arg("--build").arg(&directory).args(["--parallel", "2"]);
    if let Some(target) = target {
        make.args(["--target", target]);
    }
    succeed(&mut make);
    directory
}

fn cmake() -> Command {
    let mut command = Command::new("cmake");
    // Cargo's own would be found before the library that the programs name.
    command.env_remove("LD_LIBRARY_PATH").env("CXX", compiler());
    command
}

/// Runs a tool that must succeed, whatever time it takes.
fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = text(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}\n{stdout}{}",
        text(&output.stderr)
    );
    stdout
}

/// Runs a program of the tests and shows what it printed if it fails.
fn pass(command: &mut Command) {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

// ---- Conformance

/// Plays every scenario and names those whose traces differ.
fn play_all(program: &Path) {
    let mut differing = Vec::new();
    let mut played = 0;
    for entry in fs::read_dir(root().join("tests/conformance")).unwrap() {
        let scenario = entry.unwrap().path();
        if scenario.extension().is_none_or(|extension| extension != "mbt") {
            continue;
        }
        let output = run(Command::new(program).arg(&scenario));
        let trace = text(&output.stdout);
        let expected = fs::read_to_string(scenario.with_extension("trace")).unwrap();
        played += 1;
        if trace != expected || !output.status.success() {
            let at = trace
                .lines()
                .zip(expected.lines())
                .position(|(is, ought)| is != ought);
            let at = at.unwrap_or_else(|| trace.lines().count().min(expected.lines().count()));
            differing.push(format!(
                "{}: line {}: {:?}, not {:?} ({}) {}",
                scenario.display(),
                at + 1,
                trace.lines().nth(at),
                expected.lines().nth(at),
                output.status,
                text(&output.stderr)
            ));
        }
    }
    assert!(played >= 130, "only {played} scenarios are there");
    assert!(
        differing.is_empty(),
        "{} of {played} scenarios differ in C++:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn conformance_linked_static() {
    if can_build() {
        play_all(&build(Link::Static, None).join("tests/conformance"));
    }
}

#[test]
fn conformance_linked_shared() {
    if can_build() {
        play_all(&build(Link::Shared, Some("conformance")).join("tests/conformance"));
    }
}

// ---- GoogleTest

const PROGRAMS: &[&str] = &["tests/cpp_tests", "tests/cpp20_tests"];

#[test]
fn the_tests_pass() {
    if can_build() {
        pass(&mut Command::new(
            build(Link::Static, None).join("tests/cpp_tests"),
        ));
    }
}

/// Every call of a batcher is in the table of calls inside callbacks.
#[test]
fn p25_the_table_of_calls_is_whole() {
    let cpp = root().join("bindings/cpp");
    let table = fs::read_to_string(cpp.join("tests/reentrancy.cpp")).unwrap();
    let mut missing = Vec::new();
    let mut seen = 0;
    for (header, class) in [
        ("control", "class control"),
        ("push", "class pushing"),
        ("batcher", "class batcher :"),
    ] {
        let text = fs::read_to_string(cpp.join(format!("include/microbatch/{header}.hpp"))).unwrap();
        let body = &text[text.find(class).unwrap()..];
        let public = &body[body.find("public:").unwrap()..];
        let end = ["\nprivate:", "\nprotected:"]
            .iter()
            .filter_map(|word| public.find(word))
            .min()
            .unwrap();
        for line in public[..end].lines() {
            // A member function begins a line of the class: four spaces, its type, its name.
            let Some((before, _)) = line.split_once('(') else {
                continue;
            };
            let is_member = line.starts_with("    ") && !line[4..].starts_with([' ', '/', '#', ':']);
            let Some((_, name)) = before.rsplit_once(' ').filter(|_| is_member) else {
                continue;
            };
            // Not calls on a batcher: making and moving, and what hands out the C API.
            if ["create", "operator=", "~batcher", "handle", "api"].contains(&name)
                || line.contains(" batcher(")
            {
                continue;
            }
            seen += 1;
            if !table.contains(&format!("\"{name}\"")) && !table.contains(&format!("self->{name}(")) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(seen >= 40, "only {seen} calls were found in the headers");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_tests_pass_sanitized() {
    if can_build() && can_sanitize() {
        let directory = build(Link::Sanitized, None);
        for program in PROGRAMS {
            pass(&mut sanitized(Command::new(directory.join(program))));
        }
    }
}

/// Futures change hands without a lock: the thread sanitizer looks at where they live, with a stand-in for the engine,
/// which it cannot look into.
#[test]
fn the_slots_of_futures_have_no_race() {
    if !CPP.is_installed() {
        return;
    }
    let directory = scratch("cpp", "races");
    let compile = |source: &Path, program: &Path| {
        let mut command = Command::new(compiler());
        headers(&mut command).args(["-std=c++17", "-O1", "-g", "-fsanitize=thread"]);
        command.arg(source).arg(library("libmicrobatch.a"));
        command.args(["-lpthread", "-lm", "-ldl", "-o"]).arg(program);
        command
    };
    // A program that is fine, and one that is not: whether the sanitizer is there, and awake.
    let program = |name: &str, body: &str| {
        let source = directory.join(name).with_extension("cpp");
        let main = format!("#include <thread>\nint main() {{ int shared = 0; {body} return 0; }}\n");
        fs::write(&source, main).unwrap();
        compile(&source, &directory.join(name))
    };
    let fine = program("fine", "std::thread([&] { ++shared; }).join(); ++shared;")
        .output()
        .is_ok_and(|output| output.status.success())
        && run(&mut Command::new(directory.join("fine"))).status.success();
    if !fine {
        ignored(
            "programs cannot run with the thread sanitizer here (Debian: apt install libtsan2, which comes with gcc)",
        );
        return;
    }
    succeed(&mut program(
        "racing",
        "std::thread other([&] { ++shared; }); ++shared; other.join();",
    ));
    let racing = run(&mut Command::new(directory.join("racing")));
    assert!(text(&racing.stderr).contains("data race"), "the sanitizer sleeps");

    let slots = directory.join("slots");
    succeed(&mut compile(&root().join("bindings/cpp/tests/pool.cpp"), &slots));
    pass(&mut Command::new(slots));
}

// ---- The header in every mode

/// Every standard, with and without exceptions and RTTI, in two units of one program.
#[test]
fn the_header_is_clean_in_every_standard_and_mode() {
    if !CPP.is_installed() {
        return;
    }
    let mut compilers = vec![compiler()];
    // Another opinion, where there is one.
    if Command::new("clang++").arg("--version").output().is_ok() {
        compilers.push("clang++".to_owned());
    }
    const BARE: &[&str] = &["-fno-exceptions", "-fno-rtti"];
    // 2b: compilers that know C++23 by its working title alone are in use, and the others still know that.
    let modes: &[[(&str, &[&str]); 2]] = &[
        [("17", &[]), ("17", &[])],
        [("17", &["-fno-exceptions"]), ("17", &["-fno-exceptions"])],
        [("17", &["-fno-rtti"]), ("17", &["-fno-rtti"])],
        [("17", BARE), ("17", BARE)],
        [("20", &[]), ("20", &[])],
        [("20", BARE), ("20", BARE)],
        [("2b", &[]), ("2b", &[])],
        [("2b", BARE), ("2b", BARE)],
        // Units of different modes in one program.
        [("17", &[]), ("2b", BARE)],
    ];
    for compiler in &compilers {
        for units in modes {
            let directory = scratch("cpp", "modes");
            let mut link = Command::new(compiler);
            for (unit, (standard, mode)) in ["one", "two"].iter().zip(units) {
                let object = directory.join(unit).with_extension("o");
                let source = root().join("bindings/cpp/tests/modes").join(unit);
                succeed(
                    headers(&mut Command::new(compiler))
                        .arg(format!("-std=c++{standard}"))
                        .args(*mode)
                        .arg("-c")
                        .arg(source.with_extension("cpp"))
                        .arg("-o")
                        .arg(&object),
                );
                link.arg(object);
            }
            let program = directory.join("program");
            link.arg(library("libmicrobatch.a"))
                .args(["-lpthread", "-lm", "-ldl", "-o"]);
            succeed(link.arg(&program));
            pass(&mut Command::new(program));
        }
    }
}

/// Warnings, and where the headers are.
fn headers(command: &mut Command) -> &mut Command {
    command
        .args([
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Wshadow",
            "-Wpedantic",
            "-Werror",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("bindings/cpp/include"))
}

// ---- The package, and the README

/// Somebody else's project builds the README's program: from the installed package, and with the source directory added.
#[test]
fn the_package_and_the_readme_serve_another_project() {
    if !can_build() {
        return;
    }
    let readme = fs::read_to_string(root().join("bindings/cpp/README.md")).unwrap();
    let program = readme
        .split("```cpp\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let directory = scratch("cpp", "consumer");
    let source = directory.join("main.cpp");
    fs::write(&source, program.expect("the README has a program")).unwrap();

    let prefix = directory.join("prefix");
    // Both as cargo makes them, and as a release has it.
    let release = directory.join("release");
    succeed(
        Command::new(root().join("bindings/c/install.sh"))
            .arg(&release)
            .env("MICROBATCH_STATICLIB", library("libmicrobatch.a")),
    );
    let engines = [
        ("static", library("libmicrobatch.a")),
        ("shared", library("libmicrobatch.so")),
        ("release", release.join("lib/libmicrobatch.so")),
    ];
    for (name, engine) in engines {
        let package = directory.join(format!("package-{name}"));
        succeed(
            cmake()
                .arg("-S")
                .arg(root().join("bindings/cpp"))
                .arg("-B")
                .arg(&package)
                .arg(format!("-DMICROBATCH_LIBRARY={}", engine.display())),
        );
        succeed(
            cmake()
                .arg("--install")
                .arg(&package)
                .arg("--prefix")
                .arg(prefix.join(name)),
        );
        // Where it was installed it stays good when it is moved.
        let moved = directory.join(format!("moved-{name}"));
        fs::rename(prefix.join(name), &moved).unwrap();
        fs::remove_dir_all(&package).unwrap();
        check_consumer(
            &source,
            &directory.join(format!("found-{name}")),
            &[format!("-DCMAKE_PREFIX_PATH={}", moved.display())],
        );
    }
    check_consumer(
        &source,
        &directory.join("added"),
        &[
            format!("-DMICROBATCH_DIRECTORY={}", root().join("bindings/cpp").display()),
            format!("-DMICROBATCH_LIBRARY={}", library("libmicrobatch.a").display()),
        ],
    );
}

fn check_consumer(source: &Path, build: &Path, definitions: &[String]) {
    succeed(
        cmake()
            .arg("-S")
            .arg(root().join("bindings/cpp/tests/consumer"))
            .arg("-B")
            .arg(build)
            .arg(format!("-DCONSUMER_SOURCE={}", source.display()))
            .args(definitions),
    );
    succeed(cmake().arg("--build").arg(build));
    let output = run(&mut Command::new(build.join("consumer")));
    assert!(
        output.status.success(),
        "{}\n{}",
        output.status,
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "6\n0 left\n");
}
