//! C and C++ programs in tests: finding the compiler and the library of this build, compiling, running.
//!
//! For any test crate that needs it: `#[path = "common/native.rs"] mod native;`.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, fs, thread};

/// How long a program may hang before it is killed: `MICROBATCH_WATCHDOG` seconds, or 180. Nothing asserts that anything is
/// faster than this.
pub(crate) fn watchdog() -> Duration {
    let asked = env::var("MICROBATCH_WATCHDOG").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(180))
}

/// How a program gets at the library.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Linked with `libmicrobatch.a`.
    Static,
    /// Linked with `libmicrobatch.so`, found by its soname.
    Shared,
    /// As `Static`, and the program is compiled with the address and undefined-behaviour sanitizers, which also look
    /// for leaks when it ends.
    Sanitized,
}

/// A compiler and the environment variable that names another one.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Language {
    variable: &'static str,
    default: &'static str,
    package: &'static str,
}

/// C.
pub(crate) const C: Language = Language {
    variable: "CC",
    default: "cc",
    package: "gcc libc6-dev",
};

/// C++.
pub(crate) const CPP: Language = Language {
    variable: "CXX",
    default: "c++",
    package: "g++",
};

impl Language {
    fn compiler(self) -> String {
        env::var(self.variable).unwrap_or_else(|_| self.default.to_owned())
    }

    fn is_found(self) -> bool {
        Command::new(self.compiler()).arg("--version").output().is_ok()
    }

    /// Whether the compiler is there. If not, whoever runs the tests is told; under CI the test fails.
    pub(crate) fn is_installed(self) -> bool {
        let found = self.is_found();
        if !found {
            let (compiler, variable, package) = (self.compiler(), self.variable, self.package);
            ignored(&format!(
                "there is no compiler `{compiler}`: install one (Debian: apt install {package}) or name it in {variable}"
            ));
        }
        found
    }
}

/// Whether programs can be sanitized here: the runtimes are installed and can look for leaks. If not, whoever runs the
/// tests is told; under CI the test fails.
pub(crate) fn can_sanitize() -> bool {
    static LACK: OnceLock<Option<String>> = OnceLock::new();
    let lack = LACK.get_or_init(|| {
        if !C.is_found() {
            return Some("without a C compiler nothing is known of the sanitizers".to_owned());
        }
        let directory = scratch("native", "sanitizers");
        let source = directory.join("fine.c");
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let mut build = Build::new(C, "-std=c99", &source, "fine");
        build.link = Some(Link::Sanitized);
        build.directory = Some(directory);
        match build.try_compile() {
            Err(messages) => Some(format!(
                "programs cannot be linked with the sanitizers (Debian: apt install libasan8 libubsan1, which come with \
                 gcc): {}",
                messages.lines().next().unwrap_or_default()
            )),
            Ok(program) => {
                let output = run(&mut sanitized(Command::new(program)));
                let messages = text(&output.stderr);
                (!output.status.success()).then(|| {
                    format!("the leak sanitizer cannot work here (it needs ptrace: a container may forbid it): {messages}")
                })
            }
        }
    });
    if let Some(lack) = lack {
        ignored(lack);
    }
    lack.is_none()
}

/// The environment that sanitized programs run in: leaks are failures, and nothing is swept under the carpet.
pub(crate) fn sanitized(mut command: Command) -> Command {
    command.env(
        "ASAN_OPTIONS",
        // clang's gives an alternate stack back on the stack of a thread that is unwound already.
        "detect_leaks=1:exitcode=99:handle_abort=1:strict_string_checks=1:use_sigaltstack=0",
    );
    command.env("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1");
    command.env("LSAN_OPTIONS", "exitcode=98");
    command
}

/// Tells, past the capture of the test runner, what is not tested and how it could be; a failure where CI is set.
pub(crate) fn ignored(message: &str) {
    assert!(env::var_os("CI").is_none(), "{message}");
    let _ = writeln!(std::io::stderr(), "ignored: {message}");
}

/// One program to compile.
pub(crate) struct Build<'a> {
    language: Language,
    standard: &'a str,
    source: &'a Path,
    name: &'a str,
    /// None: not linked with the library at all.
    pub(crate) link: Option<Link>,
    /// More of the command line, after the source.
    pub(crate) arguments: Vec<&'a OsStr>,
    /// Where it goes; a fresh directory if not said.
    pub(crate) directory: Option<PathBuf>,
}

impl<'a> Build<'a> {
    pub(crate) fn new(language: Language, standard: &'a str, source: &'a Path, name: &'a str) -> Build<'a> {
        Build {
            language,
            standard,
            source,
            name,
            link: None,
            arguments: Vec::new(),
            directory: None,
        }
    }

    /// Compiles it, or fails the test with what the compiler says.
    pub(crate) fn compile(&self) -> PathBuf {
        self.try_compile()
            .unwrap_or_else(|messages| panic!("{} does not compile:\n{messages}", self.source.display()))
    }

    fn try_compile(&self) -> Result<PathBuf, String> {
        let link = self
            .link
            .map_or("loose".to_owned(), |link| format!("{link:?}").to_lowercase());
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => scratch("native", &format!("{}-{link}", self.name)),
        };
        let program = directory.join(self.name);
        let mut command = Command::new(self.language.compiler());
        command.args([
            self.standard,
            "-O1",
            "-g",
            "-pedantic-errors",
            "-Wall",
            "-Wextra",
            "-Werror",
        ]);
        if self.link == Some(Link::Sanitized) {
            command.args([
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=all",
                "-fno-omit-frame-pointer",
            ]);
        }
        command
            .arg(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include"))
            .arg(self.source)
            .arg("-o")
            .arg(&program)
            .args(&self.arguments);
        match self.link {
            Some(Link::Static | Link::Sanitized) => {
                command.arg(library("libmicrobatch.a"));
            }
            Some(Link::Shared) => {
                // The program asks for the library by its soname, which cargo does not make.
                for name in ["libmicrobatch.so", "libmicrobatch.so.0"] {
                    let _ = fs::remove_file(directory.join(name));
                    std::os::unix::fs::symlink(library("libmicrobatch.so"), directory.join(name)).unwrap();
                }
                command.arg("-L").arg(&directory).arg("-lmicrobatch");
                command.arg(format!("-Wl,-rpath,{}", directory.display()));
            }
            None => {}
        }
        if !self.arguments.iter().any(|argument| *argument == "-nostdlib") {
            command.args(["-lpthread", "-lm", "-ldl"]);
        }
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        if output.status.success() {
            Ok(program)
        } else {
            Err(text(&output.stderr))
        }
    }
}

/// Runs the program to its end, and kills it when that does not come.
pub(crate) fn run(command: &mut Command) -> Output {
    // Cargo names `target/<profile>` there, where a `cargo build` of long ago may have left another library.
    command.env_remove("LD_LIBRARY_PATH");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = read_beside(child.stdout.take().unwrap());
    let stderr = read_beside(child.stderr.take().unwrap());
    let stdout = stdout.recv_timeout(watchdog()).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("{command:?} does not end")
    });
    Output {
        stdout,
        stderr: stderr.recv().unwrap(),
        status: child.wait().unwrap(),
    }
}

/// Reads all of a pipe in a thread of its own.
fn read_beside(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A library as `cargo test` built it: beside the test's executable, or a directory above for `cargo build`.
pub(crate) fn library(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let mut places = test.ancestors().skip(1).take(2).map(|place| place.join(name));
    places
        .find(|library| library.exists())
        .unwrap_or_else(|| panic!("no {name} beside {}", test.display()))
}

/// A fresh directory under `target/tmp`.
pub(crate) fn scratch(area: &str, name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(area).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
