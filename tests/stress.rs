//! Stress: eight producers, random options, random endings, and the two laws that hold through all of it:
//! accepted = ok + failed + expired + cancelled + discarded + outstanding, and one result for every accepted value.
//!
//! A failure prints its seed; `MICROBATCH_SEEDS=17 cargo test --test stress` plays that one again (threads still take
//! turns as they like), `MICROBATCH_SEEDS=1000-2000` plays others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{Chance, FOREVER, wait_until, watchdog};
use microbatch::{
    Batch, Batcher, Builder, Failure, HeldBatch, Kind, Object, OnFull, Outcome, Producer, PushOptions,
    Results, Status, Tags, Timeout, Value,
};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PRODUCERS: u64 = 8;
const TAGS: u64 = 300;

// ---- The producers' own accounts

/// By tag: whether its push was accepted, how often a result came, whether its object was given back.
struct Accounts {
    accepted: Vec<AtomicU8>,
    results: Vec<AtomicU8>,
    handed: Vec<AtomicU8>,
    released: Vec<AtomicU8>,
    outcomes: [AtomicU64; 5],
    /// Pushes that have returned OK, and those that were begun.
    returned: AtomicU64,
    begun: AtomicU64,
}

impl Accounts {
    fn new() -> Arc<Accounts> {
        let zeros = || (0..PRODUCERS * TAGS).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Accounts {
            accepted: zeros(),
            results: zeros(),
            handed: zeros(),
            released: zeros(),
            outcomes: Default::default(),
            returned: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        })
    }

    fn came(&self, results: &Results<'_>) {
        for (row, tag) in results.tags().iter().enumerate() {
            self.results[*tag as usize].fetch_add(1, SeqCst);
            let outcome = results.outcome(row);
            self.outcomes[outcome.code() as usize].fetch_add(1, SeqCst);
            assert_eq!(results.value(row).is_some(), outcome == Outcome::Ok);
            assert_eq!(results.error(row).is_none(), outcome == Outcome::Ok);
        }
    }

    fn accepted(&self) -> u64 {
        self.accepted
            .iter()
            .map(|accepted| u64::from(accepted.load(SeqCst)))
            .sum()
    }

    /// After the end: one result for each, and every object back.
    fn assert_closed(&self, stats: &microbatch::Stats) {
        for tag in 0..(PRODUCERS * TAGS) as usize {
            let (accepted, results) = (self.accepted[tag].load(SeqCst), self.results[tag].load(SeqCst));
            assert_eq!(accepted, results, "tag {tag}: accepted, and results");
            let (handed, released) = (self.handed[tag].load(SeqCst), self.released[tag].load(SeqCst));
            assert_eq!(handed, released, "tag {tag}: object handed over, and released");
        }
        assert!(stats.balanced(), "{stats:?}");
        assert_eq!(
            (stats.outstanding, stats.undelivered, stats.accepted),
            (0, 0, self.accepted()),
            "{stats:?}"
        );
        for outcome in Outcome::ALL {
            assert_eq!(
                stats.outcome(*outcome),
                self.outcomes[outcome.code() as usize].load(SeqCst),
                "{outcome}"
            );
        }
    }
}

// ---- What handlers do

/// Batches that handlers kept, for the completers.
type Keep = Arc<Mutex<Vec<HeldBatch>>>;

/// Decides by the batch and the seed, so that it needs no lock.
fn handle(batch: &mut Batch<'_>, seed: u64, keep: &Keep) -> Result<(), Failure> {
    let mut chance = Chance::new(seed ^ batch.number().wrapping_mul(77) ^ u64::from(batch.kinds()[0]));
    if chance.one_in(6) {
        // A handler that takes its time.
        thread::sleep(Duration::from_micros(chance.below(300)));
    }
    match chance.below(12) {
        0 => return Err(Failure::new(5, "this part fails")),
        1 => {
            batch.set(0, 1)?;
            // A panic, without the message that the test's own hook would print.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        2 | 3 => {
            let held = batch.keep()?;
            keep.lock().unwrap().push(held);
            return Ok(());
        }
        4 => return Ok(()),
        5 => {
            let _ = batch.set_int64s(&[1]);
            return Ok(());
        }
        6 => batch
            .fail_all(6, "all of them")
            .or(Err(Failure::new(7, "late")))?,
        _ => {}
    }
    for (row, value) in batch.values().enumerate() {
        match (chance.below(10), value) {
            (0, _) => batch.fail(row, 8, "this value")?,
            (1, _) => {}
            (_, Value::Object(_)) => batch.set(row, "an object")?,
            (_, value) => batch.set(row, value)?,
        }
    }
    Ok(())
}

/// Ends a batch that somebody holds, in one of the ways there are.
fn end(held: HeldBatch, chance: &mut Chance) {
    for row in 0..held.len() {
        if !chance.one_in(4) {
            // TOO_LATE after a time-out or close.
            let _ = held.set(row, row as i64);
        }
    }
    match chance.below(4) {
        0 => drop(held),
        1 => drop(held.complete_ok()),
        _ => drop(held.complete()),
    }
}

// ---- A round

fn options(chance: &mut Chance) -> Builder {
    let size = 1 + chance.below(40);
    let capacity = size + chance.below(200);
    let mut builder = Batcher::builder()
        .threads(1 + chance.below(3) as u32)
        .max_batch_size(size)
        .queue_capacity(capacity)
        .push_timeout(Duration::from_millis(1 + chance.below(20)))
        .max_delay(Duration::from_micros([0, 100, 2000][chance.below(3) as usize]))
        .on_full([OnFull::Block, OnFull::Reject, OnFull::DiscardOldest][chance.below(3) as usize])
        .option("delivery", ["as_completed", "ordered"][chance.below(2) as usize])
        .unwrap();
    if chance.one_in(3) {
        builder = builder.max_in_flight(1 + chance.below(5) as u32);
    }
    if chance.one_in(3) {
        builder = builder.max_batch_bytes(200).queue_bytes(200 + chance.below(2000));
    }
    if chance.one_in(4) {
        builder = builder.result_capacity(capacity + chance.below(100));
    }
    if chance.one_in(3) {
        builder = builder.handler_timeout(Duration::from_micros(200 + chance.below(3000)));
    }
    builder
}

/// One of eight producers. Every tag is pushed once.
fn produce(batcher: &Batcher, accounts: &Accounts, producer: u64, seed: u64, closed: &AtomicBool) {
    let mut chance = Chance::new(seed.wrapping_mul(31) + producer);
    let handle: Option<Producer> = chance.one_in(3).then(|| batcher.producer().unwrap());
    let mut tag = producer * TAGS;
    let last = tag + TAGS;
    while tag < last {
        let was_closed = closed.load(SeqCst);
        let object = Object {
            owner: 7,
            word: tag,
            size: chance.below(30),
        };
        let deadline = batcher.now().unwrap() + chance.below(2_000_000) as i64;
        let text = "x".repeat(chance.below(40) as usize);
        accounts.begun.fetch_add(1, SeqCst);
        let pushed = match (chance.below(8), &handle) {
            (0, _) => batcher.push(text.as_str(), tag),
            (1, _) => batcher.push_with(1.5, tag, PushOptions::new().deadline(deadline)),
            (2, _) => {
                let pushed = batcher.push(object, tag);
                accounts.handed[tag as usize].store(u8::from(pushed.is_ok()), SeqCst);
                pushed
            }
            (3, _) => batcher.push_owned(text, tag).map_err(|(refused, _)| refused),
            (4, _) => batcher.push_int64s(&[1], Tags::Each(&[tag])).1,
            (5, Some(handle)) => handle.push_float64(2.5, tag),
            (_, Some(handle)) => handle.push_int64(3, tag),
            (_, None) => batcher.push_int64(3, tag),
        };
        match pushed {
            Ok(()) => {
                assert!(!was_closed, "tag {tag}: accepted after CLOSED was answered");
                accounts.accepted[tag as usize].store(1, SeqCst);
                accounts.returned.fetch_add(1, SeqCst);
            }
            Err(Status::CLOSED) => return closed.store(true, SeqCst),
            Err(refused) => {
                let fine = [
                    Status::QUEUE_FULL,
                    Status::QUEUE_FULL_BYTES,
                    Status::RESULTS_FULL,
                    Status::TOO_LARGE,
                ];
                assert!(fine.contains(&refused), "tag {tag}: {refused}");
            }
        }
        tag += 1;
        match chance.below(60) {
            0 => drop(batcher.cancel(producer * TAGS + chance.below(TAGS))),
            1 => drop(batcher.seal()),
            2 => drop(batcher.flush(Duration::from_micros(chance.below(2000)))),
            3 => drop(batcher.room(Duration::from_micros(100))),
            4 => drop(
                batcher
                    .flush_begin()
                    .and_then(|mark| batcher.flush_end(mark, Timeout::ZERO)),
            ),
            _ => {}
        }
    }
}

/// How this round's results and batches are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    OnResult,
    PullResults,
    PullBatches,
}

/// Lets every thread of a round end, also when the round fails.
struct Ends<'a> {
    batcher: &'a Batcher,
    over: &'a AtomicBool,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = self.batcher.close(Timeout::ZERO);
    }
}

fn round(seed: u64) {
    let mut chance = Chance::new(seed);
    let taking = [
        Taking::OnResult,
        Taking::OnResult,
        Taking::PullResults,
        Taking::PullBatches,
    ][chance.below(4) as usize];
    let (accounts, keep) = (Accounts::new(), Keep::default());
    let (came, released) = (accounts.clone(), accounts.clone());
    let mut builder = options(&mut chance).on_object_release(7, move |word| {
        released.released[word as usize].fetch_add(1, SeqCst);
    });
    if taking != Taking::PullBatches {
        let (hold, hold_too, hold_ints) = (keep.clone(), keep.clone(), keep.clone());
        builder = builder.handler(move |batch| handle(batch, seed, &hold));
        if chance.one_in(2) {
            builder = builder.handler_for(Kind::String, move |batch| handle(batch, seed + 1, &hold_too));
        }
        if chance.one_in(3) {
            builder = builder.handler_for(Kind::Int64, move |batch| handle(batch, seed + 2, &hold_ints));
        }
    }
    builder = if taking == Taking::PullResults {
        builder.pull_results()
    } else {
        builder.on_result(move |results| came.came(results))
    };
    let batcher = builder.build().unwrap();
    let (closed, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let stats = thread::scope(|scope| {
        let _ends = Ends {
            batcher: &batcher,
            over: &over,
        };
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (batcher, accounts, closed) = (&batcher, &accounts, &closed);
                scope.spawn(move || produce(batcher, accounts, producer, seed, closed))
            })
            .collect();
        let completers: Vec<_> = (0..2)
            .map(|completer| {
                let (batcher, keep, over) = (&batcher, &keep, &over);
                scope.spawn(move || {
                    let mut chance = Chance::new(seed + 1000 + completer);
                    loop {
                        // Asked first: what is kept after it was said is not missed.
                        let last = over.load(SeqCst);
                        let held = keep.lock().unwrap().pop();
                        let held = held.or_else(|| batcher.next_batch(Duration::from_micros(200)).ok());
                        match held {
                            Some(held) => end(held, &mut chance),
                            None if last => return,
                            None => thread::sleep(Duration::from_micros(100)),
                        }
                    }
                })
            })
            .collect();
        let takers: Vec<_> = (0..2)
            .filter(|_| taking == Taking::PullResults)
            .map(|_| {
                let (batcher, accounts) = (&batcher, &accounts);
                scope.spawn(move || {
                    loop {
                        match batcher.next_results(FOREVER) {
                            Ok(results) => accounts.came(&results),
                            Err(ended) => return assert_eq!(ended, Status::CLOSED),
                        }
                    }
                })
            })
            .collect();
        // The law, in the middle of it, beside the producers' own accounts.
        let early = chance.one_in(3);
        let mut looks = 0;
        while producers.iter().any(|producer| !producer.is_finished()) && !(early && looks > 20) {
            let returned = accounts.returned.load(SeqCst);
            let stats = batcher.stats().unwrap();
            let begun = accounts.begun.load(SeqCst);
            assert!(stats.balanced(), "{stats:?}");
            assert!(
                returned <= stats.accepted && stats.accepted <= begun,
                "{returned}, {begun}: {stats:?}"
            );
            looks += 1;
            thread::sleep(Duration::from_micros(300));
        }
        let timeout = [Timeout::ZERO, Duration::from_millis(2).into(), FOREVER][chance.below(3) as usize];
        let batcher = &batcher;
        let closers: Vec<_> = (0..2)
            .map(|_| scope.spawn(move || batcher.close(timeout).unwrap()))
            .collect();
        let closes: Vec<_> = closers.into_iter().map(|closer| closer.join().unwrap()).collect();
        over.store(true, SeqCst);
        for thread in producers.into_iter().chain(completers).chain(takers) {
            thread.join().unwrap();
        }
        assert_eq!(closes[0], closes[1], "both closers say the same");
        // An on_result that was running at the time-out is not waited for by close.
        wait_until(|| batcher.stats().unwrap().undelivered == 0);
        let stats = batcher.stats().unwrap();
        assert!(closes[0].left <= stats.discarded);
        stats
    });
    drop(batcher);
    keep.lock().unwrap().clear();
    accounts.assert_closed(&stats);
}

/// Fails if any value is lost, comes twice, or is counted where it is not: whatever the options and the endings.
#[test]
fn p16_every_value_has_one_result_and_the_accounts_balance_under_stress() {
    let asked = std::env::var("MICROBATCH_SEEDS").unwrap_or_else(|_| "0-119".to_owned());
    let (first, last) = asked.split_once('-').unwrap_or((&asked, &asked));
    for seed in first.parse::<u64>().unwrap()..=last.parse().unwrap() {
        let _watchdog = watchdog();
        let played = std::panic::catch_unwind(|| round(seed));
        if let Err(panic) = played {
            eprintln!("failed with MICROBATCH_SEEDS={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
