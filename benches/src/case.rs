//! A case: several sides do the same work in turns, round by round, with the probe beside each round.

use crate::native::bare_lock;
use crate::probe::Probe;
use crate::report::{Line, Row};
use crate::sample::Sample;
use crate::side::{self, Config, Name, Side, now};
use crate::usage::{Machine, Usage};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What of a round is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timed {
    /// Only the pushes: bursts of so many values a producer, with everything delivered in between.
    Pushes(u64),
    /// From the first push to the last result.
    Job,
}

/// What the best of our sides in a case is asked to reach.
#[derive(Clone, Debug)]
pub enum Bar {
    /// So many times faster than each of these peers.
    Faster(f64, Vec<Name>),
    /// At most so many nanoseconds a value.
    Within(f64),
}

/// A measurement of several sides.
#[derive(Clone, Debug)]
pub struct Case {
    /// The figure of the project's list that it is for.
    pub figure: &'static str,
    /// What the filter of the command line calls it.
    pub id: String,
    /// What the table calls it.
    pub title: String,
    /// What is timed.
    pub timed: Timed,
    /// The batcher.
    pub config: Config,
    /// Values a round, of all producers together; slow sides have a share of it.
    pub values: u64,
    /// Who takes part.
    pub sides: Vec<Name>,
    /// What is asked.
    pub bars: Vec<Bar>,
    /// Compare the hand-written peer with a bare lock and unlock.
    pub bare: bool,
}

impl Case {
    /// So many values a round of this side and producer: whole batches.
    fn per_producer(&self, name: Name) -> u64 {
        let (producers, size) = (self.config.producers, self.config.max_batch_size);
        match self.timed {
            Timed::Pushes(burst) => (self.values / producers / burst).max(1) * burst,
            Timed::Job => (self.values / name.share() / producers / size).max(1) * size,
        }
    }
}

/// How many rounds, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds at least.
    pub rounds: usize,
    /// Rounds go on until a case took this long.
    pub time: Duration,
}

struct Runner {
    name: Name,
    side: Box<dyn Side>,
    pushed: u64,
    ns: Sample,
    /// Processor time of all threads, and switches of them for 1,000 values.
    cpu: Sample,
    switches: Sample,
}

/// Runs a case; None if a filter or a missing library left nobody to compare.
pub fn run(case: &Case, probe: Option<&Probe>, effort: Effort) -> Line {
    let mut line = Line::new(case.figure, &case.id, &case.title, "ns/value");
    let mut runners: Vec<_> = Vec::new();
    for &name in &case.sides {
        match name.missing() {
            Some(how) => line.skip(name.label(), how),
            None => runners.push(Runner {
                name,
                side: side::new(name, case.config),
                pushed: 0,
                ns: Sample::default(),
                cpu: Sample::default(),
                switches: Sample::default(),
            }),
        }
    }
    let mut bare = Sample::default();
    let machine = Machine::now();
    let begun = Instant::now();
    let mut round = 0;
    // The first round warms up.
    while round <= effort.rounds || begun.elapsed() < effort.time {
        for runner in &mut runners {
            let each = case.per_producer(runner.name);
            let values = (each * case.config.producers) as f64;
            let before = Usage::now();
            let ns = runner.round(case, each) / values;
            let after = Usage::now();
            let distance = probe.map_or(f64::NAN, Probe::measure);
            if round > 0 {
                runner.ns.add(ns);
                runner.cpu.add((after.cpu_ns - before.cpu_ns) / values);
                runner
                    .switches
                    .add((after.switches - before.switches) / values * 1000.0);
                line.probes.add(distance);
            }
        }
        if case.bare && round > 0 {
            let started = Instant::now();
            bare_lock(case.values);
            bare.add(started.elapsed().as_nanos() as f64 / case.values as f64);
        }
        round += 1;
    }
    for runner in &runners {
        side::check(&*runner.side, runner.pushed);
    }
    line.others = machine.others();
    report(case, &mut line, &runners, &bare);
    line
}

fn report(case: &Case, line: &mut Line, runners: &[Runner], bare: &Sample) {
    let ours: Vec<_> = runners.iter().filter(|runner| runner.name.is_ours()).collect();
    let best = ours.iter().min_by(|a, b| a.ns.median().total_cmp(&b.ns.median()));
    for runner in runners {
        let mut row = Row::of(runner.name.label(), &runner.ns);
        if case.timed == Timed::Job {
            row.usage = Some((runner.cpu.median(), runner.switches.median()));
        }
        if let Some(best) = best
            && !runner.name.is_ours()
        {
            row.ratio(&runner.ns.over(&best.ns));
            for bar in &case.bars {
                if let Bar::Faster(times, than) = bar
                    && than.contains(&runner.name)
                {
                    row.faster(*times);
                }
            }
        }
        for bar in &case.bars {
            if let Bar::Within(ns) = bar
                && runner.name.is_ours()
            {
                row.within(*ns);
            }
        }
        line.rows.push(row);
    }
    let peer = runners.iter().find(|runner| runner.name == Name::Mutex);
    if let Some(peer) = peer
        && bare.count() > 0
    {
        let mut row = Row::of("a bare lock and unlock", bare);
        row.fair(peer.ns.over(bare).median());
        line.rows.push(row);
    }
}

impl Runner {
    /// Runs a round; answers nanoseconds.
    fn round(&mut self, case: &Case, each: u64) -> f64 {
        let first = self.pushed;
        self.pushed += case.config.producers * each;
        match case.timed {
            Timed::Pushes(burst) => bursts(&*self.side, case.config.producers, first, each, burst),
            Timed::Job => job(&*self.side, case.config.producers, first, each),
        }
    }
}

/// From the first push to the last result.
pub fn job(side: &dyn Side, producers: u64, first: u64, each: u64) -> f64 {
    if let Some(ns) = side.job(first, producers, each) {
        return ns;
    }
    let gate = Turnstile::new(producers);
    let started = std::thread::scope(|scope| {
        for producer in 1..producers {
            let gate = &gate;
            scope.spawn(move || {
                gate.pass(1);
                side.push(producer, first + producer * each, each);
            });
        }
        gate.pass(1);
        let started = now();
        side.push(0, first, each);
        started
    });
    side.drain();
    (now() - started) as f64
}

/// Pushes in bursts; only the pushes are timed, from the first producer's start to the last one's end.
fn bursts(side: &dyn Side, producers: u64, first: u64, each: u64, burst: u64) -> f64 {
    let gate = Turnstile::new(producers);
    let rounds = each / burst;
    let starts: Vec<_> = (0..rounds).map(|_| AtomicI64::new(i64::MAX)).collect();
    let ends: Vec<_> = (0..rounds).map(|_| AtomicI64::new(0)).collect();
    let push = |producer: u64| {
        for round in 0..rounds {
            gate.pass(2 * round + 1);
            let start = now();
            side.push(producer, first + (round * producers + producer) * burst, burst);
            let end = now();
            starts[round as usize].fetch_min(start, Ordering::Relaxed);
            ends[round as usize].fetch_max(end, Ordering::Relaxed);
            gate.pass(2 * round + 2);
            if producer == 0 {
                side.drain();
            }
        }
    };
    std::thread::scope(|scope| {
        for producer in 1..producers {
            let push = &push;
            scope.spawn(move || push(producer));
        }
        push(0);
    });
    starts
        .iter()
        .zip(&ends)
        .map(|(start, end)| end.load(Ordering::Relaxed) - start.load(Ordering::Relaxed))
        .sum::<i64>() as f64
}

/// Lets threads on when all have come; they spin, so that they start together.
struct Turnstile {
    come: AtomicU64,
    threads: u64,
}

impl Turnstile {
    fn new(threads: u64) -> Turnstile {
        Turnstile {
            come: AtomicU64::new(0),
            threads,
        }
    }

    /// Waits until all threads have come for the `times`th time.
    fn pass(&self, times: u64) {
        self.come.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0u32;
        while self.come.load(Ordering::Acquire) < times * self.threads {
            looks += 1;
            if looks.is_multiple_of(1024) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}
