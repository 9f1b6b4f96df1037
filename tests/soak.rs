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

use common::{Chance, FOREVER, alone};
use microbatch::{
    Batch, Batcher, Delivery, Failure, HeldBatch, OnFull, Outcome, PushOptions, Results, Status, Tags,
    Timeout, Value,
};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Values between two looks at the law.
const LAW_EVERY: u64 = 1_000_000;
/// A value without a result for so long is lost. Nothing waits for longer than milliseconds on purpose.
const LOST_AFTER: Duration = Duration::from_secs(300);
/// How much more memory is flat: what an allocator's own pools come and go by.
const FLAT_KIB: u64 = 4096;

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

// ---- One value, one result

/// Values on their way, by the end of their tags.
struct Lane {
    soak: Arc<Soak>,
    pending: Vec<AtomicU8>,
    accepted: AtomicU64,
    came: AtomicU64,
}

const PLACES: u64 = 1 << 17;

impl Lane {
    fn new(soak: &Arc<Soak>) -> Arc<Lane> {
        Arc::new(Lane {
            soak: soak.clone(),
            pending: (0..PLACES).map(|_| AtomicU8::new(0)).collect(),
            accepted: AtomicU64::new(0),
            came: AtomicU64::new(0),
        })
    }

    fn place(&self, tag: u64) -> &AtomicU8 {
        &self.pending[(tag % PLACES) as usize]
    }

    /// A value with this tag is about to be pushed; false if the soak is over.
    fn begin(&self, tag: u64) -> bool {
        let since = Instant::now();
        while self.place(tag).swap(1, SeqCst) != 0 {
            if self.soak.is_over() {
                return false;
            }
            if since.elapsed() > LOST_AFTER {
                self.soak.fail(format!("value {} has no result", tag - PLACES));
                return false;
            }
            thread::sleep(Duration::from_micros(100));
        }
        if self.soak.is_over() {
            self.place(tag).store(0, SeqCst);
            return false;
        }
        true
    }

    /// It was pushed, or not.
    fn end(&self, tag: u64, accepted: bool) {
        if accepted {
            self.accepted.fetch_add(1, SeqCst);
            self.soak.pushed.fetch_add(1, SeqCst);
        } else if self.place(tag).swap(0, SeqCst) != 1 {
            self.soak
                .fail(format!("value {tag} was refused and has a result"));
        }
    }

    fn result(&self, tag: u64) {
        if self.place(tag).swap(0, SeqCst) != 1 {
            self.soak
                .fail(format!("value {tag} has another result, or was never pushed"));
        }
        self.came.fetch_add(1, SeqCst);
    }

    /// A set of results; the answer to an integer is its tag.
    fn results(&self, results: &Results<'_>) {
        let bug = self.soak.bug;
        for (row, tag) in results.tags().iter().enumerate() {
            let bites = tag % 100_000 == 99_999;
            if bug == Bug::Lost && bites {
                continue;
            }
            self.result(*tag);
            if bug == Bug::Twice && bites {
                self.result(*tag);
            }
            match (results.outcome(row), results.value(row)) {
                (Outcome::Ok, Some(Value::Int64(answer))) => {
                    let expected = *tag as i64 + i64::from(bug == Bug::Mixed && bites);
                    if answer != expected {
                        self.soak.fail(format!("value {tag} has the result of {answer}"));
                    }
                }
                (Outcome::Ok, Some(_)) => {}
                (Outcome::Ok, None) => self.soak.fail(format!("value {tag} is OK without a value")),
                (_, Some(_)) => self.soak.fail(format!("value {tag} is not OK and has a value")),
                (_, None) => {}
            }
        }
    }

    /// After the end nothing is on its way.
    fn settle(&self, batcher: &Batcher) {
        let stats = batcher.stats().unwrap();
        let (accepted, came) = (self.accepted.load(SeqCst), self.came.load(SeqCst));
        let open = self
            .pending
            .iter()
            .filter(|place| place.load(SeqCst) != 0)
            .count();
        if stats.accepted != accepted || came != accepted || open != 0 || stats.outstanding != 0 {
            self.soak.fail(format!(
                "{accepted} accepted, {came} results, {open} without one at the end: {stats:?}"
            ));
        }
    }
}

/// Pushes one value after another until the soak is over: the push answers by its status.
fn push_all(lane: &Lane, mut push: impl FnMut(u64) -> Result<(), Status>) {
    let mut tag = 0;
    while lane.begin(tag) {
        let pushed = push(tag);
        lane.end(tag, pushed.is_ok());
        match pushed {
            Ok(()) => tag += 1,
            Err(Status::QUEUE_FULL | Status::RESULTS_FULL) => thread::yield_now(),
            Err(status) => lane.soak.fail(format!("a push answers {status}")),
        }
    }
}

fn tags_as_answers(batch: &mut Batch<'_>) -> Result<(), Failure> {
    let answers: Vec<i64> = batch.tags().iter().map(|tag| *tag as i64).collect();
    batch.set_int64s(&answers)?;
    Ok(())
}

// ---- The loads

/// A batcher that the law is checked on, and the threads that keep it busy.
struct Load {
    lane: Arc<Lane>,
    batcher: Arc<Batcher>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// One value at a time from two threads, some of them cancelled.
fn singles(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let (noted, bug) = (lane.clone(), soak.bug);
    let batcher = Batcher::builder()
        .max_delay(Duration::from_micros(200))
        .handler(move |batch| {
            if bug == Bug::Memory {
                std::mem::forget(vec![1_u8; 32 << 10]);
            }
            tags_as_answers(batch)
        })
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        push_all(&pushed, |tag| {
            pushes.push_int64(7, tag)?;
            if tag % 1000 == 0 {
                let _ = pushes.cancel(tag);
            }
            Ok(())
        });
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher],
    }
}

/// Every kind, through a producer; deadlines, handlers that fail, panic and keep, time-outs, results in order.
fn mixed(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let noted = lane.clone();
    let (keep, kept): (Sender<HeldBatch>, Receiver<HeldBatch>) = mpsc::channel();
    let keep = Mutex::new(keep);
    let batcher = Batcher::builder()
        .threads(2)
        .max_in_flight(6)
        .max_batch_size(64)
        // A pool has what was ever in use at once, so that is to be reached early: results are few.
        .queue_capacity(512)
        .result_capacity(1024)
        .on_full(OnFull::Reject)
        .delivery(Delivery::Ordered)
        .handler_timeout(Duration::from_millis(20))
        .handler(move |batch| {
            let mut chance = Chance::new(batch.number());
            match chance.below(40) {
                0 => return Err(Failure::new(5, "this part fails")),
                // A panic, without the message that the test's own hook would print.
                1 => std::panic::resume_unwind(Box::new("on purpose")),
                2..8 => {
                    let held = batch.keep()?;
                    let _ = keep.lock().unwrap().send(held);
                    return Ok(());
                }
                _ => {}
            }
            for (row, tag) in batch.tags().to_vec().into_iter().enumerate() {
                match chance.below(8) {
                    0 => batch.fail(row, 6, "this value fails")?,
                    1 => batch.set(row, "a text for an answer")?,
                    _ => batch.set(row, tag as i64)?,
                }
            }
            Ok(())
        })
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        let producer = pushes.producer().unwrap();
        let mut chance = Chance::new(1);
        push_all(&pushed, |tag| match chance.below(8) {
            0 => producer.push(Value::Null, tag),
            1 => producer.push(true, tag),
            2 => producer.push("a string", tag),
            3 => producer.push(&[1_u8, 2, 3][..], tag),
            4 => producer.push(0.5, tag),
            5 => {
                let soon = pushes.now().unwrap() + chance.below(200_000) as i64;
                pushes.push_with(1, tag, PushOptions::new().deadline(soon))
            }
            _ => producer.push_int64(1, tag),
        });
    });
    // Ends when the handlers' end of the channel does, with the batcher.
    let completer = thread::spawn(move || {
        let mut chance = Chance::new(2);
        for held in kept {
            if chance.one_in(500) {
                // Past its time-out.
                thread::sleep(Duration::from_millis(25));
            }
            match chance.below(4) {
                0 => drop(held),
                1 => drop(held.complete()),
                _ => drop(held.complete_ok()),
            }
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, completer],
    }
}

/// Arrays of integers, and results that are pulled.
fn bulk(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let batcher = Batcher::builder()
        .max_batch_size(64)
        .queue_capacity(1024)
        .result_capacity(2048)
        .pull_results()
        .handler(tags_as_answers)
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || {
        let values = [1_i64; 512];
        let mut first = 0;
        loop {
            let begun = (first..first + 512).take_while(|tag| pushed.begin(*tag)).count() as u64;
            let accepted = if begun == 512 {
                let (accepted, status) = pushes.push_int64s(&values, Tags::From(first));
                if let Err(status) = status {
                    pushed.soak.fail(format!("a bulk push answers {status}"));
                }
                accepted as u64
            } else {
                0
            };
            (first..first + begun).for_each(|tag| pushed.end(tag, tag < first + accepted));
            if begun < 512 {
                return;
            }
            first += 512;
        }
    });
    let (pulls, pulled) = (batcher.clone(), lane.clone());
    let puller = thread::spawn(move || {
        while let Ok(results) = pulls.next_results(FOREVER) {
            pulled.results(&results);
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, puller],
    }
}

/// A host that takes whole batches, too slowly: the oldest values are discarded for room.
fn pulled(soak: &Arc<Soak>) -> Load {
    let lane = Lane::new(soak);
    let noted = lane.clone();
    let batcher = Batcher::builder()
        .max_batch_size(32)
        .max_in_flight(2)
        .queue_capacity(128)
        .on_full(OnFull::DiscardOldest)
        .on_result(move |results| noted.results(results))
        .build();
    let batcher = Arc::new(batcher.unwrap());
    let (pushes, pushed) = (batcher.clone(), lane.clone());
    let pusher = thread::spawn(move || push_all(&pushed, |tag| pushes.push("some text to copy", tag)));
    let pulls = batcher.clone();
    let puller = thread::spawn(move || {
        while let Ok(held) = pulls.next_batch(FOREVER) {
            for (row, tag) in held.tags().to_vec().into_iter().enumerate() {
                let _ = held.set(row, tag as i64);
            }
            let _ = held.complete();
        }
    });
    Load {
        lane,
        batcher,
        threads: vec![pusher, puller],
    }
}

/// Batchers that live for a moment.
fn churn(soak: &Arc<Soak>) -> thread::JoinHandle<()> {
    let soak = soak.clone();
    thread::spawn(move || {
        let mut chance = Chance::new(3);
        while !soak.is_over() {
            let came = Arc::new(AtomicU64::new(0));
            let counted = came.clone();
            let batcher = Batcher::builder()
                .handler(tags_as_answers)
                .on_result(move |results| {
                    counted.fetch_add(results.len() as u64, SeqCst);
                })
                .build();
            let batcher = batcher.unwrap();
            let _ = batcher.fd();
            let pushed = 1 + chance.below(400);
            (0..pushed).for_each(|tag| batcher.push_int64(1, tag).unwrap());
            soak.pushed.fetch_add(pushed, SeqCst);
            match chance.below(3) {
                0 => drop(batcher.close(FOREVER)),
                1 => drop(batcher.close(Timeout::ZERO)),
                _ => {}
            }
            if soak.bug == Bug::Threads && chance.one_in(20) {
                std::mem::forget(batcher);
                continue;
            }
            if soak.bug == Bug::Descriptors && chance.one_in(20) {
                std::mem::forget(fs::File::open("/dev/null").unwrap());
            }
            drop(batcher);
            if came.load(SeqCst) != pushed {
                soak.fail(format!("{pushed} pushed, {} results", came.load(SeqCst)));
            }
        }
    })
}

// ---- What is flat

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// What was asked for and not given back.
    allocated_kib: u64,
    /// What the allocator has from the system: with pieces that it can't use, and it has one heap for each few threads.
    resident_kib: u64,
    descriptors: usize,
    threads: usize,
}

fn sample() -> Sample {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let count = |directory| fs::read_dir(directory).unwrap().count();
    // SAFETY: reads counters of the allocator.
    let heap = unsafe { libc::mallinfo2() };
    Sample {
        allocated_kib: (heap.uordblks + heap.hblkhd) as u64 / 1024,
        resident_kib: pages * 4,
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
    }
}

/// What is measured, how, and how much more of it is flat still.
type Measure = (&'static str, fn(&Sample) -> u64, u64);

/// What grew between an early and the last part of a run; its first part is for warming up.
fn grown(samples: &[Sample]) -> Option<String> {
    let fifth = samples.len() / 5;
    if fifth < 2 {
        return Some(format!("only {} samples", samples.len()));
    }
    let (early, late) = (&samples[fifth..2 * fifth], &samples[samples.len() - fifth..]);
    let middle = |samples: &[Sample], of: fn(&Sample) -> u64| {
        let mut all: Vec<_> = samples.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let measures: [Measure; 4] = [
        ("KiB of memory", |sample| sample.allocated_kib, FLAT_KIB),
        // Room for what the allocator keeps for each thread that came and went.
        (
            "KiB of the system's memory",
            |sample| sample.resident_kib,
            16 * FLAT_KIB,
        ),
        // The batchers that live for a moment come and go.
        ("descriptors", |sample| sample.descriptors as u64, 3),
        ("threads", |sample| sample.threads as u64, 4),
    ];
    measures.iter().find_map(|(what, of, flat)| {
        let (before, after) = (middle(early, *of), middle(late, *of));
        (after > before + flat).then(|| format!("{before} {what} became {after}"))
    })
}

// ---- A run

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
    if !alone("p16_soak") {
        return;
    }
    let size =
        env::var("MICROBATCH_SOAK").map_or(Size::For(Duration::from_secs(4)), |text| Size::read(&text));
    match soak(size, Bug::None) {
        Ok(summary) => println!("{summary}"),
        Err(fault) => panic!("{fault}"),
    }
}

/// Each planted bug is found.
#[test]
fn p16_the_soak_is_awake() {
    if !alone("p16_the_soak_is_awake") {
        return;
    }
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
        let found = soak(Size::For(Duration::from_millis(1500)), bug).expect_err("a bug is planted");
        let lost_at_the_end = bug == Bug::Lost && found.contains("without one at the end");
        assert!(found.contains(told) || lost_at_the_end, "{bug:?}: {found}");
    }
}
