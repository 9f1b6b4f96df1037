//! The Java binding: `bindings/java/` is built by Maven, with the engine as `cargo test` built it, and its JUnit tests run on
//! JDK 17 and on the newest JDK at hand, with `-Xcheck:jni` silent. They contain the conformance vectors, handlers in C and
//! C++, a C++ program with a virtual machine in it, the hazards of virtual machines by name, and the quickstart.
//!
//! Nothing is written into the source tree: everything is built under `target/tmp`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "this suite uses its own part of the module")]
#[path = "common/native.rs"]
mod native;

use native::{C, CPP, ignored, library, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// The oldest JDK that is supported, which also builds the jar.
const OLDEST: u32 = 17;

/// What the virtual machine prints of JNI calls that are wrong, under `-Xcheck:jni`.
const COMPLAINTS: &[&str] = &[
    "WARNING in native method",
    "FATAL ERROR in native method",
    "WARNING: JNI local refs",
    "Warning: SIGSEGV handler",
];

#[test]
fn the_java_binding() {
    let Some(maven) = maven() else { return };
    if !C.is_installed() || !CPP.is_installed() {
        return;
    }
    let jdks = jdks();
    let Some((&oldest, home)) = jdks.range(OLDEST..).next() else {
        ignored(&format!(
            "there is no JDK {OLDEST} or later: install one (Debian: apt install openjdk-17-jdk-headless) or name it in \
             JAVA_HOME"
        ));
        return;
    };
    let (&newest, newest_home) = jdks.last_key_value().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/java");
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java");
    let command = |goals: &[&str]| {
        let mut command = Command::new(&maven);
        command
            .current_dir(&project)
            .args(["--batch-mode", "--no-transfer-progress"])
            .arg(format!("-Dmicrobatch.build={}", build.display()))
            .env("JAVA_HOME", home)
            .env("MICROBATCH_STATICLIB", library("libmicrobatch.a"))
            .env_remove("LD_LIBRARY_PATH")
            .args(goals);
        command
    };

    // Compiles, tests on the oldest, makes the jar and the documentation.
    let _ = fs::remove_dir_all(&build);
    check(&mut command(&["package", "javadoc:javadoc"]), &build, oldest);
    assert!(build.join("microbatch-0.1.0.jar").exists());
    exports_two_functions(&build);

    // The same classes and library on the newest.
    if newest != oldest {
        let java = newest_home.join("bin/java");
        check(
            command(&["surefire:test"])
                .arg(format!("-Djvm={}", java.display()))
                .arg("-Dmicrobatch.jvmArguments=--enable-native-access=ALL-UNNAMED"),
            &build,
            newest,
        );
    }
    println!("Java tests passed on JDK {oldest} and JDK {newest}");
}

/// Runs Maven; its tests must have run, and the virtual machine must not have complained.
fn check(command: &mut Command, build: &Path, version: u32) {
    let reports = build.join("surefire-reports");
    let _ = fs::remove_dir_all(&reports);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "JDK {version}: {}\n{told}",
        output.status
    );
    let ran = told.lines().filter(|line| line.contains("Tests run:")).count();
    assert!(ran > 0, "JDK {version} ran no test:\n{told}");
    let mut all = told;
    for report in fs::read_dir(&reports).unwrap() {
        let report = report.unwrap().path();
        if report.extension().is_some_and(|extension| extension == "txt") {
            all.push_str(&fs::read_to_string(report).unwrap());
        }
    }
    for complaint in COMPLAINTS {
        let found = all.lines().find(|line| line.contains(complaint));
        assert_eq!(found, None, "JDK {version}, -Xcheck:jni");
    }
    assert!(
        all.contains("scenarios played"),
        "JDK {version}: no conformance vectors"
    );
}

/// The library exports what the virtual machine looks for and nothing else.
fn exports_two_functions(build: &Path) {
    let natives = build.join("classes/META-INF/native");
    let platform = fs::read_dir(&natives).unwrap().next().unwrap().unwrap().path();
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(platform.join("libmicrobatch_jni.so"))
        .output()
        .expect("nm comes with the C compiler");
    let symbols = text(&output.stdout);
    let mut names: Vec<_> = symbols
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["JNI_OnLoad", "JNI_OnUnload"]);
}

fn maven() -> Option<PathBuf> {
    let found = Command::new("mvn").arg("--version").output().is_ok();
    if !found {
        ignored("there is no Maven: install it (Debian: apt install maven)");
    }
    found.then(|| PathBuf::from("mvn"))
}

/// The JDKs at hand by their versions: the one in JAVA_HOME, the one whose `javac` is found, and those beside them.
fn jdks() -> BTreeMap<u32, PathBuf> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    let paths = env::var_os("PATH").unwrap_or_default();
    let javac = env::split_paths(&paths)
        .map(|path| path.join("javac"))
        .find(|file| file.exists());
    if let Some(javac) = javac.and_then(|javac| fs::canonicalize(javac).ok()) {
        homes.extend(javac.ancestors().nth(2).map(Path::to_owned));
    }
    let parents: Vec<PathBuf> = homes
        .iter()
        .filter_map(|home| home.parent().map(Path::to_owned))
        .collect();
    for parent in parents {
        let beside = fs::read_dir(parent).into_iter().flatten().flatten();
        homes.extend(beside.map(|entry| entry.path()));
    }
    let mut found = BTreeMap::new();
    for home in homes {
        let javac = home.join("bin/javac");
        if !javac.exists() || !home.join("include/jni.h").exists() {
            continue;
        }
        if let Some(version) = version(&Command::new(&javac).arg("-version").output().unwrap()) {
            found.entry(version).or_insert(home);
        }
    }
    found
}

/// `javac 17.0.15` is 17.
fn version(output: &Output) -> Option<u32> {
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    told.split(|c: char| !c.is_ascii_digit())
        .find(|part| !part.is_empty())?
        .parse()
        .ok()
}
