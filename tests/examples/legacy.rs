//! `legacy.c`: batches by count and by age what comes through a pipe, in one thread.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::compile;
use super::native::{C, Link, run, text, watchdog};

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
        let output = run(Command::new(&program).arg(argument));
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
            .recv_timeout(watchdog())
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
            assert!(begun.elapsed() < watchdog(), "legacy does not end");
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

/// The compiled program, or None when there is no C compiler.
fn compile_legacy(link: Link) -> Option<PathBuf> {
    static PROGRAMS: [OnceLock<Option<PathBuf>>; 2] = [const { OnceLock::new() }; 2];
    PROGRAMS[link as usize]
        .get_or_init(|| compile("legacy.c", C, "-std=c89", link, &[]))
        .clone()
}
