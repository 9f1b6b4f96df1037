//! F11, F13: memory, each measurement in a process of its own, so that nothing freed before is used again.

use crate::report::{Line, Row, Spread};
use crate::side::{self, Config, Name, Payload, now};
use microbatch::{Batcher, Mode};
use std::process::Command;
use std::time::Duration;

/// Set for the child process.
pub const CHILD: &str = "MICROBATCH_BENCH_CHILD";

/// Values that wait.
const MANY: u64 = 1_000_000;

/// Idle batchers.
const BATCHERS: usize = 10_000;

/// Runs this program again with one measurement to make; the numbers it prints.
fn child(what: &str) -> Vec<f64> {
    let output = std::env::current_exe().and_then(|this| Command::new(this).env(CHILD, what).output());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let numbers = text.unwrap_or_default();
    let mut numbers: Vec<f64> = numbers
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(f64::NAN))
        .collect();
    numbers.resize(4, f64::NAN);
    numbers
}

/// In the child: prints what was measured.
pub fn in_child(what: &str) {
    let words: Vec<&str> = what.split(' ').collect();
    let size = words.get(2).and_then(|size| size.parse().ok()).unwrap_or(256);
    match words.as_slice() {
        ["outstanding", kind, _, who] => outstanding(kind, size, who),
        ["idle"] => idle(),
        ["batchers", count] => batchers(count.parse().unwrap_or(1)),
        _ => {}
    }
}

fn outstanding(kind: &str, size: u64, who: &str) {
    let name = match who {
        "mutex" => Name::Mutex,
        "moodycamel" => Name::Moodycamel,
        _ => Name::Batcher,
    };
    let payload = if kind == "int64" {
        Payload::Int64
    } else {
        Payload::Text(16)
    };
    let config = Config {
        max_batch_size: size,
        outstanding: MANY,
        consumer: 0,
        ..Config::default()
    };
    let before = resident();
    let side = side::new(name, config.of(payload));
    side.push(0, 0, MANY);
    let grown = resident() - before;
    let said = side.bytes_in_use() as f64;
    side::check(&*side, MANY);
    let drained = resident() - before;
    // An engine gives pools back when it was idle for a second and is looked at.
    std::thread::sleep(Duration::from_millis(1100));
    side.drain();
    std::thread::sleep(Duration::from_millis(1100));
    side.drain();
    let left = given_back() - before;
    let each = |bytes: f64| bytes / MANY as f64;
    println!("{} {} {} {}", each(grown), each(said), each(drained), each(left));
}

/// F11: bytes a value that waits, and what is left after a burst of a million.
pub fn per_value() -> Vec<Line> {
    let mut lines = Vec::new();
    for (kind, title, most) in [("int64", "int64", 24.0), ("text", "16-byte string", 48.0)] {
        let title = format!("memory of an outstanding {title}, {MANY} wait");
        let mut line = Line::new("F11", &format!("F11/memory/{kind}"), &title, "bytes resident");
        let title = format!("resident after that burst of {MANY}, delivered and idle for two seconds");
        let mut after = Line::new(
            "F11",
            &format!("F11/burst/{kind}"),
            &title,
            "bytes for each value of the burst",
        );
        for (label, who, size) in [
            ("microbatch, batches of 256", "ours", 256),
            ("microbatch, batches of 4,096", "ours", 4096),
            (Name::Mutex.label(), "mutex", 256),
            (Name::Moodycamel.label(), "moodycamel", 256),
        ] {
            if who == "moodycamel"
                && let Some(how) = Name::Moodycamel.missing()
            {
                line.skip(label, how);
                continue;
            }
            let numbers = child(&format!("outstanding {kind} {size} {who}"));
            let mut row = Row::exactly(label, Spread::exactly(numbers[0]), 1);
            if who == "ours" {
                row.within(most);
            }
            line.rows.push(row);
            after
                .rows
                .push(Row::exactly(label, Spread::exactly(numbers[3]), 1));
        }
        lines.extend([line, after]);
    }
    lines
}

fn manual() -> Option<Batcher> {
    Batcher::builder()
        .mode(Mode::Manual)
        .max_delay(Duration::from_secs(3600))
        .handler(|batch| {
            for (row, value) in batch.values().enumerate() {
                batch.set(row, value.as_int64().unwrap_or(0) * 2)?;
            }
            Ok(())
        })
        .on_result(|_| {})
        .build()
        .ok()
}

fn drive(batchers: &[Batcher], values: i64) {
    for batcher in batchers {
        for value in 0..values {
            assert!(
                batcher.push_int64(value, value as u64).is_ok(),
                "a push was refused"
            );
        }
        assert!(
            batcher.seal().is_ok() && batcher.run().is_ok(),
            "a batcher did not run"
        );
    }
}

fn idle() {
    let before = resident();
    let all: Vec<_> = (0..BATCHERS).filter_map(|_| manual()).collect();
    let fresh = resident() - before;
    drive(&all, 4);
    let used = resident() - before;
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1100));
        for batcher in &all {
            assert!(batcher.run().is_ok(), "a batcher did not run");
        }
    }
    let rested = given_back() - before;
    let each = |bytes: f64| bytes / all.len() as f64;
    println!("{} {} {} {}", each(fresh), each(used), each(rested), all.len());
}

/// F13: 10,000 idle manual batchers.
pub fn idle_batchers() -> Line {
    let title = format!("memory of each of {BATCHERS} idle manual batchers");
    let mut line = Line::new("F13", "F13/batchers", &title, "bytes resident");
    let numbers = child("idle");
    for (index, (label, most)) in [
        ("microbatch, never used", Some(1024.0)),
        ("microbatch, just used for 4 values", None),
        ("microbatch, idle again for two seconds", Some(1024.0)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut row = Row::exactly(label, Spread::exactly(numbers[index]), 1);
        if let Some(most) = most {
            row.within(most);
        }
        line.rows.push(row);
    }
    line
}

fn batchers(count: usize) {
    let before = resident();
    let all: Vec<_> = (0..count).filter_map(|_| manual()).collect();
    drive(&all, 4);
    let passes = (400_000 / (4 * count)).clamp(2, 10_000);
    let started = now();
    for _ in 0..passes {
        drive(&all, 4);
    }
    let ns = (now() - started) as f64 / (4 * passes * count) as f64;
    println!("{ns} {}", (resident() - before) / count as f64);
}

/// How cost and memory grow with the number of batchers.
pub fn many_batchers() -> Vec<Line> {
    let mut lines = Vec::new();
    for count in [1, 10, 100, 1000, 10_000] {
        let title = format!("{count} manual batchers in turns, 4 values a batch");
        let mut cost = Line::new("growth", &format!("growth/batchers/{count}"), &title, "ns/value");
        let title = format!("memory of each of {count} manual batchers in use");
        let mut bytes = Line::new(
            "growth",
            &format!("growth/batcher-bytes/{count}"),
            &title,
            "bytes",
        );
        let numbers = child(&format!("batchers {count}"));
        cost.rows
            .push(Row::exactly("microbatch", Spread::exactly(numbers[0]), 1));
        bytes
            .rows
            .push(Row::exactly("microbatch", Spread::exactly(numbers[1]), 1));
        lines.extend([cost, bytes]);
    }
    lines
}

/// Resident, without what the C library keeps of what was freed.
fn given_back() -> f64 {
    // SAFETY: it takes a number, and looks at the heap under the heap's own locks.
    unsafe { libc::malloc_trim(0) };
    resident()
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(f64::NAN);
    // SAFETY: sysconf takes a number and answers one.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64
}
