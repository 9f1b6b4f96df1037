//! microbatch beside the batcher that a good C++ engineer writes by hand: `cargo bench -p microbatch-bench`.
//!
//! # What is compared
//! The peer (`peer/mutex_batcher.h`) is a mutex, a vector that the worker swaps out and condition variables. Both sides
//! are driven from C by single calls of an `extern "C"` push; handler (doubles an int64) and result callback (adds up
//! values and tags) are the same code. Batches of 256, a delay of 1 ms, at most 9,984 values outstanding. After each
//! group every result is checked.
//!
//! # How to read it
//! Rounds of the two sides alternate. Criterion's lines say what a round of one side took (`elem/s`: values); those
//! are for comparing with your own last run. The table at the end is for comparing the sides:
//!
//! - *ours*, *peer*: nanoseconds a value, the median of all rounds, and in brackets the quartiles.
//! - *faster*: the median of the ratios of neighbouring rounds. *bar*: what the project asks of it.
//! - *probe*: a cache line's way to another core and back, measured beside each round. Where its range is
//!   wide the machine changed its mind meanwhile: believe the ratio, not the nanoseconds.
//! - *push, no consumer* fills a queue of 9,984 values while nothing is taken out; *consumer keeps up* does the same
//!   while the worker takes, and waits after every burst until it has caught up. *Whole job* is timed from the first
//!   push to the last result; producers wait when the window is full.
//! - *a bare lock and unlock* shows that the peer's push is a fair one: it should cost at most 2.5 of them.
//!
//! Nothing here fails by time. The load average is printed because figures of a busy machine mean little.
//! `-- FILTER` runs a part: `push`, `push/1`, `job`, `lone`, `memory`.

use criterion::{Criterion, SamplingMode, Throughput};
use microbatch_bench::probe::Probe;
use microbatch_bench::rounds::{Cost, MEASUREMENTS, Measurement, Runner};
use microbatch_bench::sample::Sample;
use microbatch_bench::side::{Config, Name, Side, bare_lock};
use std::process::Command;
use std::time::{Duration, Instant};

/// Rounds of criterion's warm-up do not count.
const WARM_UP: Duration = Duration::from_millis(300);
/// Samples of each side that criterion takes; each has a round of both sides at least.
const SAMPLES: usize = 15;
/// Values that wait in the measurement of memory.
const MANY: u64 = 1_000_000;
/// Lone values of each side.
const LONE: usize = 1000;
/// Set for the child process that measures memory.
const CHILD: &str = "MICROBATCH_BENCH_MEMORY";

fn main() {
    if let Ok(what) = std::env::var(CHILD) {
        return measure_memory(&what);
    }
    let args: Vec<_> = std::env::args().skip(1).collect();
    let filter = filter_of(&args);
    let wants = |id: &str| id.contains(filter);
    let probe = Probe::new();
    print_load("before");
    let mut criterion = Criterion::default().configure_from_args();
    let duels: Vec<_> = MEASUREMENTS
        .iter()
        .filter(|measurement| wants(measurement.id))
        .map(|measurement| Duel::new(measurement, probe.as_ref()).run(&mut criterion))
        .collect();
    criterion.final_summary();
    if !args.iter().any(|arg| arg == "--bench") {
        // Started by `cargo test`: criterion only tried its parts.
        return;
    }
    let lone = wants("lone").then(|| [("max_delay 1 ms", 1_000_000), ("max_delay 0", 0)].map(lone_values));
    let memory = wants("memory").then(|| ["ours 4096", "ours 256", "peer 256"].map(in_child));
    report_duels(&duels);
    report_lone(lone.iter().flatten());
    report_memory(memory.iter().flatten());
    print_load("after");
}

/// The argument that is neither an option nor, by its place, an option's value.
fn filter_of(args: &[String]) -> &str {
    let mut before = "--bench";
    for arg in args {
        if !arg.starts_with('-') && (before == "--bench" || !before.starts_with('-')) {
            return arg;
        }
        before = arg;
    }
    ""
}

/// The two sides in one measurement, round by round.
struct Duel<'a> {
    measurement: &'static Measurement,
    probe: Option<&'a Probe>,
    ours: Recorder,
    peer: Recorder,
    probes: Sample,
    bare: Sample,
    begun: Instant,
}

struct Recorder {
    runner: Runner,
    ns: Sample,
    cpu: Sample,
    switches: Sample,
}

impl Recorder {
    fn new(runner: Runner) -> Recorder {
        Recorder {
            runner,
            ns: Sample::default(),
            cpu: Sample::default(),
            switches: Sample::default(),
        }
    }

    fn add(&mut self, cost: Cost, values: f64) {
        self.ns.add(cost.ns / values);
        self.cpu.add(cost.cpu_ns / values);
        self.switches.add(cost.switches / values * 1000.0);
    }
}

impl<'a> Duel<'a> {
    fn new(measurement: &'static Measurement, probe: Option<&'a Probe>) -> Duel<'a> {
        Duel {
            measurement,
            probe,
            ours: Recorder::new(measurement.side(Name::Ours)),
            peer: Recorder::new(measurement.side(Name::Peer)),
            probes: Sample::default(),
            bare: Sample::default(),
            begun: Instant::now(),
        }
    }

    /// Lets criterion measure each side; while it measures one, rounds of the other go between.
    fn run(mut self, criterion: &mut Criterion) -> Duel<'a> {
        let mut group = criterion.benchmark_group(self.measurement.id);
        group
            .throughput(Throughput::Elements(self.measurement.total()))
            .sampling_mode(SamplingMode::Flat)
            .sample_size(SAMPLES)
            .warm_up_time(WARM_UP)
            .measurement_time(Duration::from_secs(2));
        for side in [Name::Ours, Name::Peer] {
            self.begun = Instant::now();
            let name = if side == Name::Ours { "ours" } else { "peer" };
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| self.rounds(rounds, side))
            });
        }
        group.finish();
        self.ours.runner.check();
        self.peer.runner.check();
        self
    }

    /// So many rounds of both; answers the time of one side.
    fn rounds(&mut self, rounds: u64, timed: Name) -> Duration {
        let mut total = 0.0;
        for _ in 0..rounds {
            let ours = self.ours.runner.round();
            let probe = self.probe.map_or(f64::NAN, Probe::measure);
            let peer = self.peer.runner.round();
            total += if timed == Name::Ours { ours.ns } else { peer.ns };
            if self.begun.elapsed() < WARM_UP {
                continue;
            }
            let values = self.measurement.total() as f64;
            self.ours.add(ours, values);
            self.peer.add(peer, values);
            self.probes.add(probe);
            if self.measurement.id == "push/1/alone" {
                let locks = self.measurement.total();
                let started = Instant::now();
                bare_lock(locks);
                self.bare.add(started.elapsed().as_nanos() as f64 / locks as f64);
            }
        }
        Duration::from_nanos(total as u64)
    }
}

fn print_load(when: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {when}: {}", load.trim());
}

fn verdict(bar: f64, reached: bool, sign: &str) -> String {
    let word = if reached { "reached" } else { "NOT reached" };
    if bar == 0.0 {
        String::new()
    } else {
        format!("{sign} {bar}: {word}")
    }
}

fn report_duels(duels: &[Duel<'_>]) {
    if duels.is_empty() {
        return;
    }
    println!(
        "\n{:<36} {:<22} {:<22} {:<19} {:<19} probe ns: p50, p5-p95",
        "ns a value", "ours", "peer", "faster", "bar"
    );
    for duel in duels {
        let faster = duel.peer.ns.over(&duel.ours.ns);
        println!(
            "{:<36} {:<22} {:<22} {:<19} {:<19} {:.0}, {:.0}-{:.0} ({} rounds)",
            duel.measurement.title,
            duel.ours.ns.text(2),
            duel.peer.ns.text(2),
            faster.text(1),
            verdict(
                duel.measurement.bar,
                faster.median() >= duel.measurement.bar,
                ">="
            ),
            duel.probes.median(),
            duel.probes.quantile(0.05),
            duel.probes.quantile(0.95),
            duel.ours.ns.count(),
        );
        if duel.bare.count() > 0 {
            let ratio = duel.peer.ns.over(&duel.bare);
            println!(
                "{:<36} {:<22} the peer's push costs {} of them: {}",
                "  a bare lock and unlock",
                duel.bare.text(2),
                ratio.text(2),
                verdict(2.5, ratio.median() <= 2.5, "<="),
            );
        }
    }
    println!(
        "\n{:<36} {:<22} {:<22} switches per 1000 values, ours and peer",
        "processor ns a value", "ours", "peer"
    );
    for duel in duels.iter().filter(|duel| duel.measurement.burst == 0) {
        println!(
            "{:<36} {:<22} {:<22} {}, {}",
            duel.measurement.title,
            duel.ours.cpu.text(2),
            duel.peer.cpu.text(2),
            duel.ours.switches.text(2),
            duel.peer.switches.text(2),
        );
    }
}

// ---- lone values ---------------------------------------------------------------------------------------------

struct Lone {
    title: &'static str,
    ours: Sample,
    peer: Sample,
}

/// One value at a time into an idle batcher, in turns. Criterion knows no percentiles, hence a loop of our own.
fn lone_values((title, max_delay_ns): (&'static str, i64)) -> Lone {
    let mut sides =
        [Name::Ours, Name::Peer].map(|name| (Runner::for_lone(name, max_delay_ns), Sample::default()));
    for round in 0..LONE + 20 {
        for (runner, sample) in &mut sides {
            // Long enough for every thread of the side to have gone to sleep.
            std::thread::sleep(Duration::from_micros(300));
            let latency = runner.lone() - max_delay_ns as f64;
            if round >= 20 {
                sample.add(latency / 1000.0);
            }
        }
    }
    let [(ours, ours_sample), (peer, peer_sample)] = sides;
    ours.check();
    peer.check();
    Lone {
        title,
        ours: ours_sample,
        peer: peer_sample,
    }
}

fn report_lone<'a>(all: impl Iterator<Item = &'a Lone>) {
    for (index, lone) in all.enumerate() {
        if index == 0 {
            println!(
                "\n{:<36} {:<22} {:<22} of {LONE} values each",
                "lone value, us past its delay", "ours p50 / p99", "peer p50 / p99"
            );
        }
        let text = |sample: &Sample| format!("{:.1} / {:.1}", sample.median(), sample.quantile(0.99));
        println!(
            "{:<36} {:<22} {:<22}",
            lone.title,
            text(&lone.ours),
            text(&lone.peer)
        );
    }
}

// ---- memory --------------------------------------------------------------------------------------------------

struct Memory {
    what: &'static str,
    resident: f64,
    said: f64,
}

/// A process of its own, so that nothing freed before is used again.
fn in_child(what: &'static str) -> Memory {
    let output = std::env::current_exe().and_then(|this| Command::new(this).env(CHILD, what).output());
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(f64::NAN));
    Memory {
        what,
        resident: numbers.next().unwrap_or(f64::NAN),
        said: numbers.next().unwrap_or(f64::NAN),
    }
}

/// In the child: lets many values wait and prints bytes a value, as the kernel and as the side count them.
fn measure_memory(what: &str) {
    let (name, rows) = what.split_once(' ').unwrap_or_default();
    let name = if name == "ours" { Name::Ours } else { Name::Peer };
    let config = Config {
        max_batch_size: rows.parse().unwrap_or(256),
        outstanding: 2 * MANY,
        max_delay_ns: 1_000_000,
        consumer: 0,
    };
    let side = Side::new(name, config);
    let before = resident();
    side.push(0, MANY);
    let grown = resident() - before;
    println!(
        "{} {}",
        grown / MANY as f64,
        side.bytes_in_use() as f64 / MANY as f64
    );
    side.check(MANY);
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

fn report_memory<'a>(all: impl Iterator<Item = &'a Memory>) {
    for (index, memory) in all.enumerate() {
        if index == 0 {
            println!(
                "\n{:<36} {:<22} {:<22} {MANY} int64 wait",
                "bytes a value", "resident", "bytes_in_use"
            );
        }
        let ours = memory.what.starts_with("ours");
        let bar = if ours {
            verdict(32.0, memory.resident <= 32.0, "<=")
        } else {
            String::new()
        };
        let said = if ours {
            format!("{:.1}", memory.said)
        } else {
            String::new()
        };
        println!(
            "{:<36} {:<22.1} {:<22} {bar}",
            format!("{} a batch", memory.what),
            memory.resident,
            said
        );
    }
}
