//! F10: how long values take: alone in an idle batcher, and under load.

use crate::case::{Effort, job};
use crate::probe::Probe;
use crate::report::{Line, Row, SPUN_OUT, Spread};
use crate::sample::Sample;
use crate::side::{self, Config, Logged, Name, Side, WINDOW, now};
use std::time::Duration;

/// Who sleeps when idle, as a batcher has to.
const SLEEPERS: [Name; 5] = [
    Name::Batcher,
    Name::Mutex,
    Name::MoodycamelBlocking,
    Name::Rdkafka,
    Name::Tokio,
];

/// The delays.
pub const DELAYS: [(i64, &str); 4] = [
    (0, "0"),
    (100_000, "100 us"),
    (1_000_000, "1 ms"),
    (10_000_000, "10 ms"),
];

/// What is spun out of a delay where it is asked for.
const SPUN: i64 = 150_000;

/// Percentiles instead of quartiles.
fn percentiles(sample: &Sample) -> Spread {
    Spread {
        middle: sample.median(),
        low: sample.quantile(0.9),
        high: sample.quantile(0.99),
    }
}

/// One value at a time into an idle batcher, in turns.
pub fn lone(delay: i64, name: &str, values: usize, probe: Option<&Probe>) -> Line {
    let title = format!("a lone value, past max_delay {name}");
    let mut line = Line::new("F10", &format!("F10/lone/{name}"), &title, "us: p50 (p90-p99)");
    let config = Config {
        max_delay_ns: delay,
        ..Config::default()
    };
    let mut sides = Vec::new();
    for name in SLEEPERS {
        match name.missing() {
            Some(how) => line.skip(name.label(), how),
            None => sides.push((name, name.label(), side::new(name, config), Sample::default())),
        }
    }
    if delay > 0 {
        let spun = Config {
            delay_spin_ns: SPUN,
            ..config
        };
        let label = "microbatch, the last 150 us spun out";
        debug_assert!(label.ends_with(SPUN_OUT), "else it counts as our best");
        sides.push((
            Name::Batcher,
            label,
            side::new(Name::Batcher, spun),
            Sample::default(),
        ));
    }
    for round in 0..values + 10 {
        for (_, _, side, sample) in &mut sides {
            // Long enough for every thread of the side to have gone to sleep.
            std::thread::sleep(Duration::from_micros(300));
            let past = one(&**side, round as u64) - delay as f64;
            if round >= 10 {
                sample.add(past / 1000.0);
            }
        }
        if round % 10 == 0 {
            line.probes.add(probe.map_or(f64::NAN, Probe::measure));
        }
    }
    let ours = sides
        .iter()
        .find(|(name, ..)| name.is_ours())
        .map(|(.., sample)| sample.clone());
    let (p50, p99) = ours.map_or((f64::NAN, f64::NAN), |ours| (ours.median(), ours.quantile(0.99)));
    for (name, label, side, sample) in &sides {
        side::check(&**side, values as u64 + 10);
        let mut row = Row::exactly(label, percentiles(sample), sample.count());
        if name.is_ours() {
            if delay == 1_000_000 && *label == name.label() {
                row.bar = Some(("p50 <= 45, p99 <= 130".to_owned(), p50 <= 45.0 && p99 <= 130.0));
            }
        } else {
            row.ratio = Some(Spread::exactly(sample.median() / p50));
            if delay >= 1_000_000 || (delay == 0 && *name == Name::Mutex) {
                let tail = sample.quantile(0.99) / p99;
                row.bar = Some((
                    format!("no worse; its p99 is {tail:.2} x"),
                    sample.median() >= p50 && tail >= 1.0,
                ));
            }
        }
        line.rows.push(row);
    }
    line
}

/// Pushes one value and waits for its result: nanoseconds from before the push to inside the result callback.
fn one(side: &dyn Side, tag: u64) -> f64 {
    if let Some(ns) = side.job(tag, 1, 1) {
        return ns;
    }
    let started = now();
    side.push(0, tag, 1);
    while side.delivered() <= tag {
        std::thread::yield_now();
    }
    (side.last_at() - started) as f64
}

/// How long the handler takes for a batch in the measurement under load: a call over a local network.
const HANDLER_NS: i64 = 50_000;

/// How long a round lasts.
const ROUND_NS: f64 = 40e6;

/// Values at a steady rate, at max_delay 0: batches grow with the load, and the latency with them.
pub fn under_load(effort: Effort, probe: Option<&Probe>) -> Vec<Line> {
    let config = Config {
        max_delay_ns: 0,
        handler_ns: HANDLER_NS,
        outstanding: 4 * WINDOW,
        ..Config::default()
    };
    let sides = [Name::Batcher, Name::Mutex, Name::MoodycamelBlocking];
    let capacity = {
        let ours = side::new(Name::Batcher, config);
        let values = 512 * 256;
        job(&*ours, 1, 0, values);
        values as f64 / job(&*ours, 1, values, values)
    };
    let mut lines = Vec::new();
    for percent in [50, 80, 95] {
        let rate = capacity * f64::from(percent) / 100.0;
        let title = format!(
            "latency at {percent} % of {:.1} million values a second, handler {} us a batch",
            capacity * 1e3,
            HANDLER_NS / 1000
        );
        let mut line = Line::new("F10", &format!("F10/load/{percent}"), &title, "us: p50 (p90-p99)");
        let mut size = Line::new(
            "F10",
            &format!("F10/batch/{percent}"),
            &format!("values a batch at {percent} % of capacity"),
            "values",
        );
        for name in sides {
            if let Some(how) = name.missing() {
                line.skip(name.label(), how);
                continue;
            }
            let (mut latency, mut sizes) = (Sample::default(), Sample::default());
            for _ in 0..effort.rounds {
                paced(name, config, rate, &mut latency, &mut sizes);
                line.probes.add(probe.map_or(f64::NAN, Probe::measure));
            }
            line.rows
                .push(Row::exactly(name.label(), percentiles(&latency), latency.count()));
            size.rows.push(Row::of(name.label(), &sizes));
        }
        lines.extend([line, size]);
    }
    lines
}

/// A round of values at `rate` a nanosecond.
fn paced(name: Name, config: Config, rate: f64, latency: &mut Sample, sizes: &mut Sample) {
    let values = (rate * ROUND_NS) as u64;
    let mut log = vec![Logged::default(); values as usize];
    let side = side::new(name, config.logging(&mut log));
    let started = now();
    let mut pushed = 0;
    while pushed < values {
        let due = (((now() - started) as f64 * rate) as u64).min(values);
        if due > pushed {
            side.push(0, pushed, due - pushed);
            pushed = due;
        }
        std::hint::spin_loop();
    }
    side::check(&*side, values);
    let batches = side.batches() as usize;
    drop(side);
    // One producer: results come in the order of the pushes, and value i was due at i / rate. The first tenth warms up.
    let mut tag = 0;
    for batch in &log[..batches] {
        if tag >= values / 10 {
            sizes.add(batch.count as f64);
            for each in (tag..tag + batch.count).step_by(16) {
                latency.add(((batch.at - started) as f64 - each as f64 / rate) / 1000.0);
            }
        }
        tag += batch.count;
    }
}
