//! P15, P16, P26, P33 for long: values through five loads at once, every value followed from its push to its one result,
//! the law checked every 10^6 values, memory, descriptors and threads flat.
//!
//!     cargo test --release --test soak                                          # seconds
//!     MICROBATCH_SOAK=10m cargo test --release --test soak -- --nocapture       # at a release
//!     MICROBATCH_SOAK=12h cargo test --release --test soak -- --nocapture       # on demand
//!     MICROBATCH_SOAK=1000000000 cargo test --release --test soak -- --nocapture  # so many values
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "soak/flat.rs"]
mod flat;
#[path = "soak/lane.rs"]
mod lane;
#[path = "soak/loads.rs"]
mod loads;

use common::alone;
use flat::{grown, sample};
use lane::LOST_AFTER;
use loads::{bulk, churn, mixed, pulled, singles};
use microbatch::Timeout;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Values between two looks at the law.
const LAW_EVERY: u64 = 1_000_000;

/// How long.
#[derive(Clone, Copy)]
enum Size {
    Values(u64),
    For(Duration),
}

impl Size {
    /// "10m", "90s", "12h", or a number of values.
    fn read(text: &str) -> Size {
        let number = |text: &str| {
            text.parse::<u64>()
                .expect("MICROBATCH_SOAK is 90s, 10m, 12h or a number of values")
        };
        let seconds = |count: u64| Size::For(Duration::from_secs(count));
        match text.split_at(text.len() - 1) {
            (count, "s") => seconds(number(count)),
            (count, "m") => seconds(number(count) * 60),
            (count, "h") => seconds(number(count) * 3600),
            _ => Size::Values(number(text)),
        }
    }
}

/// What is planted to see whether it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    /// A result is dropped on its way.
    Lost,
    /// A result comes twice.
    Twice,
    /// A result is another value's.
    Mixed,
    /// A snapshot counts one outcome too many.
    Law,
    /// Each batch leaves memory behind.
    Memory,
    /// A batcher is never freed, now and then.
    Threads,
    /// Descriptors stay open.
    Descriptors,
}

/// What all loads share.
struct Soak {
    bug: Bug,
    pushed: AtomicU64,
    over: AtomicBool,
    fault: Mutex<Option<String>>,
}

impl Soak {
    fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    fn fail(&self, what: String) {
        self.fault.lock().unwrap().get_or_insert(what);
        self.over.store(true, SeqCst);
    }
}

fn soak(size: Size, bug: Bug) -> Result<String, String> {
    let before = sample();
    let began = Instant::now();
    let soak = Arc::new(Soak {
        bug,
        pushed: AtomicU64::new(0),
        over: AtomicBool::new(false),
        fault: Mutex::new(None),
    });
    let loads = [singles(&soak), mixed(&soak), bulk(&soak), pulled(&soak)];
    let churn = churn(&soak);
    let (mut samples, mut laws, mut next_law, mut told) = (Vec::new(), 0_u64, 0, Instant::now());
    // So many samples that each part of a run has some, and no more than a long one can keep.
    let mut pause = Duration::from_millis(10);
    while !soak.is_over() {
        thread::sleep(pause);
        let pushed = soak.pushed.load(SeqCst);
        let enough = match size {
            Size::Values(values) => pushed >= values,
            Size::For(duration) => began.elapsed() >= duration,
        };
        if pushed >= next_law || enough {
            next_law = pushed + LAW_EVERY;
            laws += 1;
            for load in &loads {
                let mut stats = load.batcher.stats().unwrap();
                stats.ok += u64::from(bug == Bug::Law);
                // What was pushed before the snapshot is in it.
                if !stats.balanced() {
                    soak.fail(format!("the law does not hold: {stats:?}"));
                }
            }
        }
        samples.push(sample());
        if samples.len() > 20_000 {
            let mut odd = false;
            samples.retain(|_| {
                odd = !odd;
                odd
            });
            pause *= 2;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let held: Vec<_> = loads
                .iter()
                .map(|load| load.batcher.stats().unwrap().bytes_in_use / 1024)
                .collect();
            println!(
                "{pushed} values, {laws} looks at the law, {:?}, KiB held by batchers: {held:?}",
                samples.last()
            );
        }
        if enough {
            soak.over.store(true, SeqCst);
        }
    }
    churn.join().map_err(|_| "a thread panicked")?;
    for load in loads {
        let mut threads = load.threads.into_iter();
        let panicked = |_| "a thread panicked";
        threads.next().unwrap().join().map_err(panicked)?;
        load.batcher
            .close(Timeout::from(LOST_AFTER))
            .map_err(|status| format!("close answers {status}"))?;
        match Arc::try_unwrap(load.batcher) {
            // A puller ends when the batcher is closed.
            Err(batcher) => {
                threads.try_for_each(|thread| thread.join()).map_err(panicked)?;
                load.lane.settle(&batcher);
            }
            Ok(batcher) => {
                load.lane.settle(&batcher);
                drop(batcher);
                threads.try_for_each(|thread| thread.join()).map_err(panicked)?;
            }
        }
    }
    if let Some(fault) = soak.fault.lock().unwrap().take() {
        return Err(fault);
    }
    if let Some(growth) = grown(&samples) {
        return Err(growth);
    }
    let after = sample();
    if after.threads != before.threads || after.descriptors != before.descriptors {
        return Err(format!("{before:?} became {after:?} when all was freed"));
    }
    let pushed = soak.pushed.load(SeqCst);
    let fifth = samples.len() / 5;
    Ok(format!(
        "{pushed} values in {:?}, {laws} looks at the law; {:?} became {:?}",
        began.elapsed(),
        samples[fifth],
        samples[samples.len() - 1]
    ))
}

/// P15, P16, P26, P33.
#[test]
fn p16_soak() {
    // Threads and descriptors are counted: no other test may run beside it.
    alone("p16_soak", || {
        let size =
            env::var("MICROBATCH_SOAK").map_or(Size::For(Duration::from_secs(4)), |text| Size::read(&text));
        match soak(size, Bug::None) {
            Ok(summary) => println!("{summary}"),
            Err(fault) => panic!("{fault}"),
        }
    });
}

/// Each planted bug is found.
#[test]
fn p16_the_soak_is_awake() {
    alone("p16_the_soak_is_awake", || {
        let bugs = [
            (Bug::Lost, "has no result"),
            (Bug::Twice, "has another result"),
            (Bug::Mixed, "has the result of"),
            (Bug::Law, "the law does not hold"),
            (Bug::Memory, "KiB of memory became"),
            // Whichever is seen first: a batcher has a descriptor too.
            (Bug::Threads, "became"),
            (Bug::Descriptors, "descriptors became"),
        ];
        for (bug, told) in bugs {
            // Where little time is to be had little leaks in it.
            let found = [1, 2, 4, 8, 16, 32]
                .into_iter()
                .find_map(|times| soak(Size::For(times * Duration::from_millis(1500)), bug).err())
                .expect("a bug is planted");
            let lost_at_the_end = bug == Bug::Lost && found.contains("without one at the end");
            assert!(found.contains(told) || lost_at_the_end, "{bug:?}: {found}");
        }
    });
}
