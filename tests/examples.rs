//! The examples do what they say: both quickstarts print `examples/quickstart.expected`, and `legacy.c` batches what
//! comes through a pipe by count and by age, in one thread.
//!
//! The C programs are compiled here, against the library as `cargo test` built it, static and shared, and against the
//! SQLite that rusqlite brings along: no system package is needed beyond a C compiler.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long anything may hang before the test gives up. No test asserts that something is faster than this.
const WATCHDOG: Duration = Duration::from_secs(120);

/// How long the quickstarts insert one transaction a row, in seconds.
const SECONDS: &str = "0.2";

// ---- The quickstarts

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
    if let Some(program) = compile_as("quickstart.cpp", CPP, Link::Static, &arguments) {
        check_quickstart(&program, "cpp");
    }
}

/// Runs the program and compares what it prints. Its temporary directory must be empty again afterwards.
fn check_quickstart(program: &Path, name: &str) {
    let temporary = scratch(format!("quickstart-{name}"));
    let output = finish(
        // cargo's own library path comes before the program's: it may hold the library of an earlier build.
        Command::new(program)
            .env_remove("LD_LIBRARY_PATH")
            .arg(examples().join("data/flights-2013-02.csv"))
            .arg(SECONDS)
            .env("TMPDIR", &temporary),
    );
    let stdout = text(&output.stdout);
    let stderr = text(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {}\n{stdout}{stderr}",
        program.display(),
        output.status
    );

    let expected = fs::read_to_string(examples().join("quickstart.expected")).unwrap();
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

// ---- The select loop

#[test]
fn legacy_batches_by_count_and_by_age() {
    for link in [Link::Static, Link::Shared] {
        let Some(program) = compile_legacy(link) else {
            return;
        };
        let mut legacy = Legacy::start(&program, &["max_batch_size=4", "max_delay=150ms"]);

        // What arrives in one read is pushed before time is looked at: a burst of the limit seals by SIZE, always.
        legacy.write("one\n\nthree\nfour\n");
        legacy.expect(
            "batch 1: 4 lines, SIZE",
            &[(1, "one"), (2, ""), (3, "three"), (4, "four")],
        );
        assert_eq!(legacy.threads(), 1);
        legacy.write("5\n6\n7\n8\n9\n10\n11\n12\n");
        legacy.expect(
            "batch 2: 4 lines, SIZE",
            &[(5, "5"), (6, "6"), (7, "7"), (8, "8")],
        );
        legacy.expect(
            "batch 3: 4 lines, SIZE",
            &[(9, "9"), (10, "10"), (11, "11"), (12, "12")],
        );

        // Fewer lines wait for the delay, which is counted from the first of them.
        let begun = Instant::now();
        legacy.write("young\nyounger\n");
        legacy.expect("batch 4: 2 lines, DELAY", &[(13, "young"), (14, "younger")]);
        assert!(
            begun.elapsed() >= Duration::from_millis(150),
            "sealed after {:?}",
            begun.elapsed()
        );
        assert_eq!(legacy.threads(), 1);

        // A line may come in pieces, and be longer than any of the program's buffers.
        let long = "long ".repeat(40_000);
        legacy.write(&long);
        legacy.write("line\n");
        legacy.expect("batch 5: 1 lines, DELAY", &[(15, &(long + "line"))]);
        assert_eq!(legacy.threads(), 1);

        legacy.close_input();
        legacy.expect_line("total: 15 lines accepted, 15 printed, 0 failed; 5 batches: SIZE 3 DELAY 2");
        legacy.expect_end();
    }
}

#[test]
fn legacy_prints_the_rest_when_the_input_ends_in_the_middle_of_a_line() {
    for link in [Link::Static, Link::Shared] {
        let Some(program) = compile_legacy(link) else {
            return;
        };
        let mut legacy = Legacy::start(&program, &["max_batch_size=100", "max_delay=forever"]);
        legacy.write("one\ntwo\nthe last li");
        legacy.close_input();
        legacy.expect(
            "batch 1: 3 lines, CLOSE",
            &[(1, "one"), (2, "two"), (3, "the last li")],
        );
        legacy.expect_line("total: 3 lines accepted, 3 printed, 0 failed; 1 batches: CLOSE 1");
        legacy.expect_end();

        let mut legacy = Legacy::start(&program, &[]);
        legacy.close_input();
        legacy.expect_line("total: 0 lines accepted, 0 printed, 0 failed; 0 batches:");
        legacy.expect_end();
    }
}

#[test]
fn legacy_empties_a_full_queue_and_tells_what_it_cannot_take() {
    let Some(program) = compile_legacy(Link::Static) else {
        return;
    };
    let options = [
        "max_batch_size=2",
        "queue_capacity=2",
        "max_batch_bytes=64",
        "max_delay=forever",
    ];
    let mut legacy = Legacy::start(&program, &options);
    legacy.write("1\n2\n3\n4\n5\n6\n");
    legacy.expect("batch 1: 2 lines, SIZE", &[(1, "1"), (2, "2")]);
    legacy.expect("batch 2: 2 lines, SIZE", &[(3, "3"), (4, "4")]);
    legacy.expect("batch 3: 2 lines, SIZE", &[(5, "5"), (6, "6")]);

    legacy.write_bytes(b"not UTF-8: \xff\n");
    legacy.expect_line("line 7 refused: INVALID_UTF8");
    legacy.write(&format!("{}\n", "too long ".repeat(7)));
    legacy.expect_line("line 8 refused: TOO_LARGE");
    legacy.write("9\n");
    legacy.close_input();
    legacy.expect("batch 4: 1 lines, CLOSE", &[(9, "9")]);
    legacy.expect_line("total: 7 lines accepted, 7 printed, 0 failed; 4 batches: SIZE 3 CLOSE 1");
    legacy.expect_end();
}

#[test]
fn legacy_names_the_option_it_does_not_understand() {
    let Some(program) = compile_legacy(Link::Static) else {
        return;
    };
    for (argument, named) in [
        ("max_delay=soon", "max_delay"),
        ("linger=5ms", "linger"),
        ("fast", "option=value"),
    ] {
        let output = finish(
            Command::new(&program)
                .env_remove("LD_LIBRARY_PATH")
                .arg(argument)
                .stdin(Stdio::null()),
        );
        assert_eq!(output.status.code(), Some(1), "{argument}");
        assert_eq!(text(&output.stdout), "", "{argument}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with("legacy: ") && stderr.contains(named),
            "{argument}: {stderr:?}"
        );
    }
}

/// A running `legacy`, with a pipe to its input and one from its output.
struct Legacy {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Legacy {
    fn start(program: &Path, options: &[&str]) -> Legacy {
        let mut child = Command::new(program)
            .env_remove("LD_LIBRARY_PATH")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("legacy starts");
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let _ = sender.send(line.expect("legacy prints UTF-8"));
            }
        });
        let stdin = child.stdin.take();
        Legacy { child, stdin, lines }
    }

    /// Writes the text in one call: what fits into a pipe arrives as one burst.
    fn write(&mut self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(bytes)
            .expect("legacy reads its input");
    }

    fn close_input(&mut self) {
        self.stdin = None;
    }

    fn expect_line(&mut self, expected: &str) {
        let line = self
            .lines
            .recv_timeout(WATCHDOG)
            .unwrap_or_else(|error| panic!("no {expected:?}: {error}"));
        assert_eq!(line, expected);
    }

    /// The head of a batch, then its lines by number.
    fn expect(&mut self, head: &str, lines: &[(usize, &str)]) {
        self.expect_line(head);
        for (number, line) in lines {
            self.expect_line(&format!("{number:5}: {line}"));
        }
    }

    fn expect_end(&mut self) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < WATCHDOG, "legacy does not end");
            thread::yield_now();
        };
        assert!(status.success(), "{status}");
        assert!(self.lines.recv().is_err(), "legacy printed more than expected");
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- Building and running C programs

#[derive(Copy, Clone)]
enum Link {
    Static,
    Shared,
}

/// The compiled program, or None when there is no C compiler.
fn compile_quickstart(link: Link) -> Option<PathBuf> {
    static PROGRAMS: [OnceLock<Option<PathBuf>>; 2] = [const { OnceLock::new() }; 2];
    let build = || {
        let sqlite = Sqlite::find();
        let arguments = [
            "-isystem".as_ref(),
            sqlite.include.as_os_str(),
            sqlite.library.as_os_str(),
        ];
        compile("quickstart", "-std=c99", link, &arguments)
    };
    PROGRAMS[link as usize].get_or_init(build).clone()
}

/// The compiled program, or None when there is no C compiler.
fn compile_legacy(link: Link) -> Option<PathBuf> {
    static PROGRAMS: [OnceLock<Option<PathBuf>>; 2] = [const { OnceLock::new() }; 2];
    PROGRAMS[link as usize]
        .get_or_init(|| compile("legacy", "-std=c89", link, &[]))
        .clone()
}

/// A compiler: the variable that names another one, its own name, the package that has it, and the standard.
struct Language(&'static str, &'static str, &'static str, &'static str);

const CPP: Language = Language("CXX", "c++", "g++", "-std=c++17");

fn compile(name: &str, standard: &'static str, link: Link, arguments: &[&OsStr]) -> Option<PathBuf> {
    let c = Language("CC", "cc", "gcc libc6-dev", standard);
    compile_as(&format!("{name}.c"), c, link, arguments)
}

fn compile_as(source: &str, language: Language, link: Link, arguments: &[&OsStr]) -> Option<PathBuf> {
    let Language(variable, compiler, package, standard) = language;
    let compiler = env::var(variable).unwrap_or_else(|_| compiler.to_owned());
    let name = source.replace('.', "_");
    if Command::new(&compiler).arg("--version").output().is_err() {
        let message = format!(
            "there is no compiler `{compiler}`: {source} is not tested. \
             Install one (Debian: apt install {package}) or name it in {variable}"
        );
        assert!(env::var_os("CI").is_none(), "{message}");
        // Past the capture of the test runner: whoever runs the tests should see it.
        let _ = writeln!(std::io::stderr(), "IGNORED: {message}");
        return None;
    }

    let directory = scratch(match link {
        Link::Static => format!("{name}-static"),
        Link::Shared => format!("{name}-shared"),
    });
    let program = directory.join(&name);
    let mut command = Command::new(&compiler);
    command
        .args([
            standard,
            "-O1",
            "-g",
            "-pedantic-errors",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .arg(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include"))
        .arg(examples().join(source))
        .arg("-o")
        .arg(&program)
        .args(arguments);
    // `cargo test` leaves the library beside the test executables.
    let built = profile_directory().join("deps");
    match link {
        Link::Static => {
            command.arg(built.join("libmicrobatch.a"));
        }
        Link::Shared => {
            std::os::unix::fs::symlink(built.join("libmicrobatch.so"), directory.join("libmicrobatch.so"))
                .unwrap();
            command.arg("-L").arg(&directory).arg("-lmicrobatch");
            command.arg(format!("-Wl,-rpath,{}", directory.display()));
        }
    }
    let output = command
        .args(["-lpthread", "-lm", "-ldl"])
        .output()
        .expect("the compiler runs");
    assert!(output.status.success(), "{command:?}\n{}", text(&output.stderr));
    Some(program)
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

/// Runs the program to its end, and kills it when that does not come.
fn finish(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = read_beside(child.stdout.take().unwrap());
    let stderr = read_beside(child.stderr.take().unwrap());
    let stdout = stdout.recv_timeout(WATCHDOG).unwrap_or_else(|_| {
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

// ---- Places

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// `target/debug` or `target/release`: the directory above that of this test's executable.
fn profile_directory() -> PathBuf {
    let executable = env::current_exe().unwrap();
    executable.ancestors().nth(2).unwrap().to_owned()
}

/// A fresh directory under `target/tmp`.
fn scratch(name: impl AsRef<Path>) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
