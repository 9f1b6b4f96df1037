//! F13: what a batcher costs that has nothing to do, and what it costs to make one.

use crate::report::{Line, Row, Spread};
use crate::sample::Sample;
use crate::side::{self, Config, Name, now};
use microbatch::{Batcher, Mode};
use std::time::Duration;

/// Threads of this process other than the caller's: how often they were switched, and their processor time in ns.
fn others() -> (f64, f64) {
    // SAFETY: gettid takes nothing and answers a number.
    let me = unsafe { libc::gettid() }.to_string();
    let (mut switches, mut time) = (0.0, 0.0);
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        if task.file_name().to_string_lossy() == me {
            continue;
        }
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        switches += counts
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
            .sum::<f64>();
        let schedstat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        time += schedstat
            .split_whitespace()
            .next()
            .and_then(|ns| ns.parse::<f64>().ok())
            .unwrap_or(f64::NAN);
    }
    (switches, time)
}

/// Wakes and processor time in a second without values, after some were handled.
pub fn quiet() -> Line {
    let mut line = Line::new(
        "F13",
        "F13/idle",
        "an idle threaded batcher that was used, for a second",
        "",
    );
    for (name, delay) in [
        (Name::Batcher, 0),
        (Name::Batcher, 1_000_000),
        (Name::Mutex, 1_000_000),
    ] {
        let side = side::new(
            name,
            Config {
                max_delay_ns: delay,
                ..Config::default()
            },
        );
        side.push(0, 0, 10_000);
        side::check(&*side, 10_000);
        // Past the moment where it gives its pools back.
        std::thread::sleep(Duration::from_millis(1500));
        let before = others();
        std::thread::sleep(Duration::from_secs(1));
        let after = others();
        let label = format!("{}, max_delay {} ms", name.label(), delay / 1_000_000);
        for (what, value) in [
            ("context switches", after.0 - before.0),
            ("processor ns", after.1 - before.1),
        ] {
            let mut row = Row::exactly(&format!("{label}: {what}"), Spread::exactly(value), 1);
            if name.is_ours() {
                row.within(0.0);
            }
            line.rows.push(row);
        }
    }
    line
}

fn made(mode: Mode) -> Option<Batcher> {
    Batcher::builder()
        .mode(mode)
        .handler(|_| Ok(()))
        .on_result(|_| {})
        .build()
        .ok()
}

/// Making and freeing.
pub fn create(rounds: usize) -> Line {
    let mut line = Line::new("F13", "F13/create", "create and free", "us");
    let timed = |what: &dyn Fn()| {
        let mut sample = Sample::default();
        for round in 0..10 * rounds + 5 {
            let started = now();
            what();
            if round >= 5 {
                sample.add((now() - started) as f64 / 1000.0);
            }
        }
        sample
    };
    for (label, mode) in [
        ("microbatch, threaded", Mode::Threaded),
        ("microbatch, manual", Mode::Manual),
    ] {
        let sample = timed(&|| assert!(made(mode).is_some(), "no batcher"));
        let mut row = Row::of(label, &sample);
        row.within(100.0);
        line.rows.push(row);
    }
    let sample = timed(&|| drop(side::new(Name::Mutex, Config::default())));
    line.rows.push(Row::of(Name::Mutex.label(), &sample));
    line
}
