//! The C runner: `c_runner/runner.c`, compiled and linked with the shared library of this build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `runner.c` against the committed header and the shared library of this build, in a place of its own. None:
/// there is no C compiler, and CI is not set.
pub(crate) fn program(place: &str) -> Option<PathBuf> {
    program_with(place, &[])
}

/// The same with more of the compiler's command line.
pub(crate) fn program_with(place: &str, arguments: &[String]) -> Option<PathBuf> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no C compiler {compiler:?}: apt-get install gcc"
        );
        println!("IGNORED: no C compiler {compiler:?}: apt-get install gcc");
        return None;
    }
    // the test runs as target/<profile>/deps/conformance-*; cargo leaves the library of a test build beside it, and
    // links it into target/<profile> only for `cargo build`
    let test = std::env::current_exe().expect("the path of this test");
    let places = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|place| place.join("libmicrobatch.so"));
    let library = places
        .into_iter()
        .find(|library| library.exists())
        .unwrap_or_else(|| {
            panic!(
                "no libmicrobatch.so beside {}: the C runner links against it",
                test.display()
            );
        });
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(place);
    fs::create_dir_all(&place).expect("the target directory is writable");
    // The runner finds the library beside itself, whatever else is in the target directory.
    let soname = place.join("libmicrobatch.so");
    let _ = fs::remove_file(&soname);
    std::os::unix::fs::symlink(&library, &soname).expect("a link in the target directory");
    let program = place.join("runner");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&compiler)
        .args([
            "-std=c99",
            "-pedantic-errors",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-g",
            "-O1",
        ])
        .arg("-I")
        .arg(manifest.join("include"))
        .arg(manifest.join("tests/conformance/c_runner/runner.c"))
        .args(arguments)
        .arg(&soname)
        .arg(format!("-Wl,-rpath,{}", place.display()))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("the C compiler {compiler:?} does not start: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "runner.c does not compile:\n{messages}");
    Some(program)
}

/// The trace of a scenario, and how the program ended if it did not end well.
pub(crate) fn play(program: &Path, scenario: &Path) -> String {
    let run = Command::new(program)
        .arg(scenario)
        // cargo's own comes before the program's: it may hold the library of an earlier build.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .expect("the C runner starts");
    let mut trace = String::from_utf8_lossy(&run.stdout).into_owned();
    if !run.status.success() {
        let told = String::from_utf8_lossy(&run.stderr);
        trace.push_str(&format!("({}) {told}", run.status));
    }
    trace
}
