//! Seeing what happens: stats, their Prometheus text, and the log (P38, P39).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{Chance, FOREVER, Journal, echo, given, ns, run_at, status, timeless, wait_until, watchdog};
use microbatch::{
    Batch, Batcher, Builder, Failure, HeldBatch, Histogram, Kind, Object, OnFull, Outcome, PushOptions,
    Stats, Status, Timeout, Trigger,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

// ---- What the tests of this file share

/// A handler that keeps every batch for the test.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<HeldBatch>>>);

impl Kept {
    fn handler(&self) -> impl Fn(&mut Batch<'_>) -> Result<(), Failure> + Send + Sync + 'static {
        let kept = self.clone();
        move |batch| {
            let held = batch.keep()?;
            kept.0.lock().unwrap().push(held);
            Ok(())
        }
    }

    fn take(&self) -> HeldBatch {
        self.0.lock().unwrap().remove(0)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn recorded(histogram: &Histogram) -> (u64, u64, u64) {
    assert_eq!(histogram.count, histogram.buckets.iter().sum::<u64>());
    (histogram.count, histogram.sum, histogram.max)
}

// ---- P38: the snapshot

/// Everything that must hold between the fields of one snapshot.
fn assert_consistent(stats: &Stats, max_in_flight: u64) {
    assert!(stats.balanced(), "{stats:?}");
    let ended = stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded;
    assert!(stats.waiting <= stats.outstanding, "{stats:?}");
    assert!(stats.undelivered <= ended, "{stats:?}");
    assert!(stats.delivering <= stats.undelivered, "{stats:?}");
    assert!(stats.waiting_bytes >= 8 * stats.waiting, "{stats:?}");
    assert!(
        stats.in_flight <= max_in_flight && stats.stuck <= stats.in_flight,
        "{stats:?}"
    );
    assert!(
        stats.outstanding == stats.waiting || stats.in_flight > 0,
        "{stats:?}"
    );
    assert!(
        stats.triggers.iter().sum::<u64>() >= stats.batches && stats.triggers[0] == 0,
        "{stats:?}"
    );
    assert_eq!(stats.batch_size.count, stats.batches, "{stats:?}");
    assert_eq!(stats.queue_time.count, stats.batches, "{stats:?}");
    assert!(stats.handler_time.count <= stats.batches, "{stats:?}");
    // What was dispatched waits no more: it flies or has ended.
    assert!(
        stats.batch_size.sum <= stats.accepted - stats.waiting,
        "{stats:?}"
    );
    assert!(stats.ok + stats.failed <= stats.batch_size.sum, "{stats:?}");
    for histogram in [
        &stats.batch_size,
        &stats.queue_time,
        &stats.handler_time,
        &stats.delivery_time,
    ] {
        recorded(histogram);
        assert!(histogram.max <= histogram.sum);
    }
}

/// Fails if any field is read outside the one moment of the snapshot, computed from others, or goes back.
#[test]
fn p38_a_snapshot_is_consistent_under_load() {
    let _watchdog = watchdog();
    let (begun, returned, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let batcher = Batcher::builder()
        .threads(3)
        .max_batch_size(9)
        .queue_capacity(64)
        .on_full(OnFull::Reject);
    let batcher = batcher.handler(|batch| {
        match batch.number() % 7 {
            0 => return Err(Failure::new(1, "this batch")),
            1 => batch.fail(0, 2, "this value")?,
            2 => return echo(batch),
            _ => {}
        }
        batch.set_int64s(&vec![1; batch.len()]).map_err(Failure::from)
    });
    let batcher = batcher
        .handler_for(Kind::String, echo)
        .on_result(|_| {})
        .build()
        .unwrap();
    thread::scope(|scope| {
        let producers: Vec<_> = (0..4_u64)
            .map(|producer| {
                let (batcher, begun, returned, refused) = (&batcher, &begun, &returned, &refused);
                scope.spawn(move || {
                    let mut chance = Chance::new(producer);
                    for tag in producer * 10_000..producer * 10_000 + 3000 {
                        begun.fetch_add(1, SeqCst);
                        let deadline = if chance.one_in(10) {
                            batcher.now().unwrap() + 20_000
                        } else {
                            0
                        };
                        let pushed = match chance.below(3) {
                            0 => batcher.push_with("text", tag, PushOptions::new().deadline(deadline)),
                            1 => batcher.push_with(1.5, tag, PushOptions::new().deadline(deadline)),
                            _ => batcher.push_int64(7, tag),
                        };
                        match pushed {
                            Ok(()) => returned.fetch_add(1, SeqCst),
                            Err(_) => {
                                let _ = batcher.room(Duration::from_millis(5));
                                refused.fetch_add(1, SeqCst)
                            }
                        };
                        if chance.one_in(20) {
                            let _ = batcher.cancel(tag);
                        }
                    }
                })
            })
            .collect();
        let mut last = batcher.stats().unwrap();
        while producers.iter().any(|producer| !producer.is_finished()) {
            let (accepted, turned_away) = (returned.load(SeqCst), refused.load(SeqCst));
            let stats = batcher.stats().unwrap();
            assert_consistent(&stats, 3);
            assert!(
                stats.accepted >= accepted,
                "pushes that returned before are included"
            );
            assert!(stats.refusals.iter().sum::<u64>() >= turned_away);
            assert!(stats.accepted <= begun.load(SeqCst));
            for outcome in Outcome::ALL {
                assert!(
                    stats.outcome(*outcome) >= last.outcome(*outcome),
                    "{outcome} went back"
                );
            }
            assert!(stats.accepted >= last.accepted && stats.batches >= last.batches);
            last = stats;
        }
    });
    batcher.flush(FOREVER).unwrap();
    let stats = batcher.stats().unwrap();
    assert_consistent(&stats, 3);
    assert_eq!((stats.outstanding, stats.undelivered, stats.in_flight), (0, 0, 0));
    assert_eq!(stats.accepted, returned.load(SeqCst));
    assert_eq!(stats.refusals.iter().sum::<u64>(), refused.load(SeqCst));
    let full = stats.refused_with(Status::QUEUE_FULL) + stats.refused_with(Status::RESULTS_FULL);
    assert_eq!(full, refused.load(SeqCst));
    assert_eq!(
        (stats.handler_time.count, stats.batch_size.sum),
        (stats.batches, stats.ok + stats.failed)
    );
}

/// Fails if an outcome is counted when it is delivered instead of when it is fixed, or a gauge lags behind.
#[test]
fn p38_counters_and_gauges_follow_a_value() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(2)
        .pull_results()
        .handler(kept.handler())
        .build()
        .unwrap();
    let seen = || {
        let stats = batcher.stats().unwrap();
        assert_consistent(&stats, 2);
        (
            stats.accepted,
            stats.outstanding,
            stats.ok,
            stats.undelivered,
            stats.waiting,
            stats.waiting_bytes,
        )
    };
    assert_eq!(seen(), (0, 0, 0, 0, 0, 0));
    batcher.push("four", 1).unwrap();
    assert_eq!(seen(), (1, 1, 0, 0, 1, 12));
    batcher.push(5, 2).unwrap();
    batcher.seal().unwrap();
    assert_eq!(seen(), (2, 2, 0, 0, 2, 20));
    assert!(batcher.stats().unwrap().bytes_in_use > 0);
    run_at(&batcher, 100);
    assert_eq!(seen(), (2, 2, 0, 0, 0, 0));
    batcher.advance(170).unwrap();
    let stats = batcher.stats().unwrap();
    assert_eq!(
        (stats.batches, stats.in_flight, stats.oldest_in_flight_age),
        (1, 1, 70)
    );
    kept.take().complete_ok().unwrap();
    assert_eq!(seen(), (2, 0, 2, 2, 0, 0));
    assert_eq!(batcher.stats().unwrap().oldest_in_flight_age, 0);
    let results = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!(seen(), (2, 0, 2, 0, 0, 0));
    drop(results);
    assert_eq!(seen(), (2, 0, 2, 0, 0, 0));
}

/// Fails if a trigger is counted at dispatch instead of at sealing, or under another code.
#[test]
fn p38_every_trigger_is_counted_when_it_seals() {
    let batcher = given()
        .max_batch_size(2)
        .queue_capacity(3)
        .max_batch_bytes(40)
        .on_full(OnFull::Reject);
    let batcher = batcher.max_delay(ns(10)).handler(echo).build().unwrap();
    let mut expected = HashMap::new();
    let mut sealed = |trigger: Trigger| {
        *expected.entry(trigger).or_insert(0) += 1;
        let stats = batcher.stats().unwrap();
        for trigger in Trigger::ALL {
            let expected = expected.get(trigger).copied().unwrap_or(0);
            assert_eq!(stats.sealed_by(*trigger), expected, "{trigger}");
        }
    };
    batcher.push(1, 1).unwrap();
    batcher.push(1, 2).unwrap();
    sealed(Trigger::Size);
    batcher.run().unwrap();
    batcher.push("twenty bytes of text", 3).unwrap();
    batcher.push("twenty bytes of text", 4).unwrap();
    sealed(Trigger::Bytes);
    batcher.seal().unwrap();
    sealed(Trigger::Flush);
    batcher.run().unwrap();
    batcher.push(1, 5).unwrap();
    run_at(&batcher, 10);
    sealed(Trigger::Delay);
    batcher.push(1, 6).unwrap();
    batcher.push(1, 7).unwrap();
    sealed(Trigger::Size);
    batcher.push(1, 8).unwrap();
    assert_eq!(status(batcher.push(1, 9)), Status::QUEUE_FULL);
    batcher.run().unwrap();
    sealed(Trigger::Full);
    batcher.push(1, 10).unwrap();
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    sealed(Trigger::Close);

    let idle = given().handler(echo).build().unwrap();
    idle.push(1, 1).unwrap();
    assert_eq!(idle.stats().unwrap().triggers, [0; 8]);
    idle.run().unwrap();
    assert_eq!(idle.stats().unwrap().sealed_by(Trigger::Idle), 1);
}

/// Fails if the sizes or ages of batches are recorded for what was pushed instead of what was dispatched.
#[test]
fn p38_batch_size_and_queue_time_are_those_of_each_dispatched_batch() {
    let batcher = timeless().max_batch_size(4).handler(echo).build().unwrap();
    for tag in 0..4 {
        batcher.push(1, tag).unwrap();
    }
    assert_eq!(batcher.cancel(2), Ok(1));
    batcher.advance(50).unwrap();
    batcher.push(1, 4).unwrap();
    batcher.advance(80).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let stats = batcher.stats().unwrap();
    assert_eq!(recorded(&stats.batch_size), (2, 3 + 1, 3));
    assert_eq!(recorded(&stats.queue_time), (2, 80 + 30, 80));
    assert_eq!(stats.batch_size.buckets[1], 1, "3 lies in 2 to 3");
    assert_eq!(stats.batch_size.buckets[0], 1, "1 lies in 0 to 1");
}

/// Fails if handler time ends before the last part is finished, or if a mixed batch counts more than once.
#[test]
fn p38_handler_time_runs_from_dispatch_to_the_last_part() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(4)
        .handler_for(Kind::String, kept.handler())
        .handler(kept.handler());
    let batcher = batcher.handler_timeout(ns(1000)).build().unwrap();
    run_at(&batcher, 100);
    batcher.push(1, 1).unwrap();
    batcher.push("text", 2).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(
        (kept.len(), recorded(&batcher.stats().unwrap().handler_time)),
        (2, (0, 0, 0))
    );
    batcher.advance(130).unwrap();
    kept.take().complete_ok().unwrap();
    assert_eq!(
        recorded(&batcher.stats().unwrap().handler_time),
        (0, 0, 0),
        "one part is not finished"
    );
    batcher.advance(350).unwrap();
    kept.take().complete_ok().unwrap();
    assert_eq!(recorded(&batcher.stats().unwrap().handler_time), (1, 250, 250));
    // A time-out ends a batch as well.
    batcher.push(1, 3).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    run_at(&batcher, 1350);
    assert_eq!(recorded(&batcher.stats().unwrap().handler_time), (2, 1250, 1000));

    let pulled = timeless().build().unwrap();
    pulled.push(1, 1).unwrap();
    pulled.seal().unwrap();
    let held = pulled.next_batch(Timeout::ZERO).unwrap();
    pulled.advance(40).unwrap();
    held.complete_ok().unwrap();
    assert_eq!(recorded(&pulled.stats().unwrap().handler_time), (1, 40, 40));
}

/// Fails if delivery time is measured from anything but the moment the set was ready, or some sets are left out.
#[test]
fn p38_delivery_time_runs_from_ready_to_delivered() {
    let kept = Kept::default();
    for pulled in [false, true] {
        let builder = timeless().handler(kept.handler());
        let builder = if pulled {
            builder.pull_results()
        } else {
            builder.on_result(|_| {})
        };
        let batcher = builder.build().unwrap();
        let deliver = |now| {
            batcher.advance(now).unwrap();
            if pulled {
                drop(batcher.next_results(Timeout::ZERO).unwrap());
            } else {
                batcher.run().unwrap();
            }
        };
        batcher.push(1, 1).unwrap();
        batcher.seal().unwrap();
        run_at(&batcher, 100);
        batcher.advance(140).unwrap();
        kept.take().complete_ok().unwrap();
        assert_eq!(recorded(&batcher.stats().unwrap().delivery_time), (0, 0, 0));
        deliver(147);
        assert_eq!(
            recorded(&batcher.stats().unwrap().delivery_time),
            (1, 7, 7),
            "pulled {pulled}"
        );
        // A set of values that were never dispatched is a set too.
        batcher.push(1, 2).unwrap();
        assert_eq!(batcher.cancel(2), Ok(1));
        deliver(150);
        assert_eq!(
            recorded(&batcher.stats().unwrap().delivery_time),
            (2, 10, 7),
            "pulled {pulled}"
        );
    }
}

/// Fails if a refusal is not counted, is counted twice, or under another code; or if asking is taken for pushing.
#[test]
fn p38_refusals_are_counted_by_code() {
    let batcher = timeless()
        .on_full(OnFull::Reject)
        .queue_capacity(2)
        .queue_bytes(40)
        .max_batch_bytes(32);
    let batcher = batcher
        .handler_for(Kind::Int64, echo)
        .handler_for(Kind::String, echo)
        .build()
        .unwrap();
    let mut expected = [0_u64; 24];
    let mut refused = |status: Status, times: u64| {
        expected[status.code().unsigned_abs() as usize] += times;
        assert_eq!(batcher.stats().unwrap().refusals, expected, "{status:?}");
        assert_eq!(
            batcher.stats().unwrap().refused_with(status),
            expected[status.code().unsigned_abs() as usize]
        );
    };
    assert_eq!(status(batcher.push(1.5, 1)), Status::NO_HANDLER);
    refused(Status::NO_HANDLER, 1);
    assert_eq!(status(batcher.push(&*"x".repeat(25), 1)), Status::TOO_LARGE);
    refused(Status::TOO_LARGE, 1);
    assert_eq!(
        status(batcher.push(
            Object {
                owner: 1,
                word: 1,
                size: 0
            },
            1
        )),
        Status::WRONG_OWNER
    );
    refused(Status::WRONG_OWNER, 1);
    batcher.push(&*"x".repeat(20), 1).unwrap();
    assert_eq!(
        status(batcher.push(&*"x".repeat(10), 1)),
        Status::QUEUE_FULL_BYTES
    );
    refused(Status::QUEUE_FULL_BYTES, 1);
    batcher.push(1, 2).unwrap();
    let (taken, rest) = batcher.push_int64s(&[1, 2, 3], microbatch::Tags::From(5));
    assert_eq!((taken, status(rest)), (0, Status::QUEUE_FULL));
    refused(Status::QUEUE_FULL, 1);
    assert!(batcher.check(1).is_err() && batcher.room(Timeout::ZERO).is_err());
    refused(Status::QUEUE_FULL, 0);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(status(batcher.push(1, 1)), Status::CLOSED);
    assert_eq!(status(batcher.seal()), Status::CLOSED);
    refused(Status::CLOSED, 1);
    assert_eq!(batcher.stats().unwrap().refused_with(Status::OK), 0);
    assert_eq!(batcher.stats().unwrap().refused_with(Status::from_code(-999)), 0);
}

/// Fails if a thread inside a timed-out handler is not counted as stuck, or a late completion not as late.
#[test]
fn p38_late_and_stuck_are_counted() {
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let (own, kept) = (cell.clone(), Kept::default());
    let keep = kept.handler();
    let seen: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let note = seen.clone();
    let batcher = timeless().handler(move |batch| {
        if batch.tags() == [1] {
            return keep(batch);
        }
        let batcher = own.lock().unwrap().upgrade().unwrap();
        assert_eq!(status(batcher.close(Timeout::ZERO)), Status::IN_PROGRESS);
        let stats = batcher.stats().unwrap();
        note.lock().unwrap().push((stats.stuck, stats.in_flight));
        echo(batch).or(Ok(()))
    });
    let batcher = Arc::new(batcher.handler_timeout(ns(10)).build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    run_at(&batcher, 10);
    assert_eq!(batcher.stats().unwrap().late, 0);
    assert_eq!(status(kept.take().complete_ok()), Status::TOO_LATE);
    assert_eq!(batcher.stats().unwrap().late, 1);
    batcher.push(1, 2).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [(1, 1)],
        "its outcomes stand and its handler is inside"
    );
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.stuck, stats.in_flight), (0, 0));
    assert_eq!(stats.late, 2, "what the handler answered came too late as well");
}

/// Fails if `delivering` does not say how many values on_result has at this moment.
#[test]
fn p38_delivering_counts_the_values_in_on_result() {
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let own = cell.clone();
    let seen: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let note = seen.clone();
    let batcher = timeless().handler(echo).on_result(move |_| {
        let stats = own.lock().unwrap().upgrade().unwrap().stats().unwrap();
        note.lock().unwrap().push((stats.delivering, stats.undelivered));
    });
    let batcher = Arc::new(batcher.build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    for tag in 0..5 {
        batcher.push(1, tag).unwrap();
    }
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(5, 5)]);
    assert_eq!(batcher.stats().unwrap().delivering, 0);
}

/// Fails if memory is counted that is not there, or if the open batch or idle pools are left out.
#[test]
fn p38_bytes_in_use_follow_the_batches() {
    let batcher = timeless().max_batch_size(1000).max_in_flight(50).build().unwrap();
    let empty = batcher.stats().unwrap().bytes_in_use;
    batcher.push(1, 1).unwrap();
    let open = batcher.stats().unwrap().bytes_in_use;
    assert!(open > empty, "the open batch has memory");
    batcher.push(&*"x".repeat(1 << 20), 2).unwrap();
    let grown = batcher.stats().unwrap().bytes_in_use;
    assert!(
        grown >= open + (1 << 20),
        "its text does too: {open}, then {grown}"
    );
    batcher.seal().unwrap();
    let held = batcher.next_batch(Timeout::ZERO).unwrap();
    assert!(batcher.stats().unwrap().bytes_in_use >= 1 << 20, "in flight");
    held.complete_ok().unwrap();
    let pooled = batcher.stats().unwrap().bytes_in_use;
    batcher.push(1, 3).unwrap();
    assert!(
        batcher.stats().unwrap().bytes_in_use <= pooled,
        "the pool serves the next batch"
    );
}

/// Fails if the bounds of buckets, ranks or means are off by one.
#[test]
fn p38_histograms_count_magnitudes() {
    let mut histogram = Histogram::new();
    assert_eq!((histogram.p(0.5), histogram.mean()), (0, 0.0));
    for value in [0, 1, 2, 3, 4, 1023, 1024, u64::MAX] {
        histogram.record(value);
    }
    assert_eq!(recorded(&histogram), (8, u64::MAX, u64::MAX));
    let counts = |bucket: usize| histogram.buckets[bucket];
    assert_eq!(
        (counts(0), counts(1), counts(2), counts(9), counts(10), counts(63)),
        (2, 2, 1, 1, 1, 1)
    );
    for bucket in 0..64 {
        let upper = Histogram::upper_bound(bucket);
        assert_eq!(Histogram::bucket_of(upper), bucket);
        assert!(bucket == 63 || Histogram::bucket_of(upper + 1) == bucket + 1);
    }
    assert_eq!(
        (
            histogram.p(0.0),
            histogram.p(0.25),
            histogram.p(0.5),
            histogram.p(1.0)
        ),
        (1, 1, 3, u64::MAX)
    );
    let mut both = histogram;
    both.merge(&histogram);
    assert_eq!((both.count, both.buckets[1]), (16, 4));
}

// ---- P38: Prometheus

/// One sample of a page: its name, its labels in order, and its value as text.
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// Reads a page of Prometheus' text format 0.0.4, more strictly than Prometheus does: each family is one block of HELP,
/// TYPE and its samples, in this order; every series is there once; histograms are whole.
fn parse(page: &str) -> Vec<Sample> {
    let name_ok = |name: &str| {
        let first = name.chars().next().unwrap_or('0');
        !first.is_ascii_digit()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    assert!(page.ends_with('\n'), "the last line ends");
    let (mut samples, mut families, mut series) = (Vec::new(), HashSet::new(), HashSet::new());
    let (mut helped, mut family) = (None, None);
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(name_ok(name) && !text.trim().is_empty(), "{line}");
            assert!(
                helped.replace(name.to_owned()).is_none(),
                "HELP without TYPE before {line}"
            );
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(helped.take().as_deref(), Some(name), "{line} follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} is one block");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        assert!(
            !line.starts_with('#') && !line.is_empty() && helped.is_none(),
            "{line:?}"
        );
        let (family, kind) = family.as_ref().expect("a sample belongs to a family");
        let (start, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match start.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}').expect(line))),
            None => (start, Vec::new()),
        };
        let suffix = name
            .strip_prefix(family.as_str())
            .unwrap_or_else(|| panic!("{line} in the block of {family}"));
        let suffixes: &[&str] = if kind == "histogram" {
            &["_bucket", "_sum", "_count"]
        } else {
            &[""]
        };
        assert!(name_ok(name) && suffixes.contains(&suffix), "{line}");
        assert!(
            value
                .parse::<f64>()
                .is_ok_and(|value| value.is_finite() && value >= 0.0),
            "{line}"
        );
        assert!(
            labels.iter().all(|(key, _)| name_ok(key) && !key.contains(':')),
            "{line}"
        );
        let keys: HashSet<_> = labels.iter().map(|label| &label.0).collect();
        assert_eq!(keys.len(), labels.len(), "{line}: a label twice");
        assert!(series.insert((name.to_owned(), labels.clone())), "{line}: twice");
        samples.push(Sample {
            name: name.to_owned(),
            labels,
            value: value.to_owned(),
        });
    }
    assert!(helped.is_none());
    samples
}

/// `key="text",key="text"` with the three escapes of the format.
fn parse_labels(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        let (key, after) = rest.split_once("=\"").expect(text);
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next().expect(text) {
                '"' => break,
                '\\' => value.push(match chars.next().expect(text) {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} in {text}"),
                }),
                plain => {
                    assert_ne!(plain, '\n');
                    value.push(plain);
                }
            }
        }
        labels.push((key.to_owned(), value));
        match chars.as_str() {
            "" => return labels,
            more => rest = more.strip_prefix(',').expect(text),
        }
    }
}

/// A batcher that has seen something of everything, at a time of 5 seconds.
fn eventful() -> Batcher {
    let batcher = timeless()
        .max_batch_size(3)
        .queue_capacity(4)
        .on_full(OnFull::Reject);
    let batcher = batcher.handler(|batch| {
        batch.fail(0, 1, "one")?;
        batch.set(1, 1)?;
        batch.set(2, 1)?;
        Ok(())
    });
    let batcher = batcher.build().unwrap();
    for tag in 0..4 {
        batcher.push(1, tag).unwrap();
    }
    assert_eq!(status(batcher.push(1, 4)), Status::QUEUE_FULL);
    run_at(&batcher, 5_000_000_001);
    batcher
}

/// Fails if the page breaks the format, leaves out a field, or shows another number than the snapshot has.
#[test]
fn p38_the_prometheus_page_is_valid_and_says_what_the_snapshot_says() {
    let batcher = eventful();
    let stats = batcher.stats().unwrap();
    for name in [
        None,
        Some("plain"),
        Some("a \"quoted\\\" name\nin two lines, {äöü} \\n"),
        Some(""),
    ] {
        let mut page = String::new();
        stats.prometheus(name, &mut page).unwrap();
        let samples = parse(&page);
        for sample in &samples {
            let named = sample
                .labels
                .iter()
                .find(|label| label.0 == "batcher")
                .map(|label| label.1.as_str());
            assert_eq!(named, name, "{}", sample.name);
            assert!(sample.name.starts_with("microbatch_"), "{}", sample.name);
        }
        let value = |metric: &str, label: Option<(&str, &str)>| -> String {
            let mut found = samples.iter().filter(|sample| {
                let mut labels = sample.labels.iter().filter(|label| label.0 != "batcher");
                let wanted = label.map(|(key, text)| (key.to_owned(), text.to_owned()));
                sample.name == format!("microbatch_{metric}") && labels.next().cloned() == wanted
            });
            let sample = found
                .next()
                .unwrap_or_else(|| panic!("no {metric} {label:?} in\n{page}"));
            sample.value.clone()
        };
        assert_eq!(value("accepted_total", None), "4");
        for outcome in Outcome::ALL {
            let shown = value("outcomes_total", Some(("outcome", outcome.name())));
            assert_eq!(shown, stats.outcome(*outcome).to_string(), "{outcome}");
        }
        for trigger in Trigger::ALL {
            let shown = value("sealed_total", Some(("trigger", trigger.name())));
            assert_eq!(shown, stats.sealed_by(*trigger).to_string(), "{trigger}");
        }
        for (index, count) in stats.refusals.iter().enumerate().skip(1) {
            let status = Status::from_code(-(index as i32));
            assert_eq!(
                value("refusals_total", Some(("status", status.name()))),
                count.to_string()
            );
        }
        for (metric, number) in [
            ("outstanding", stats.outstanding),
            ("undelivered", stats.undelivered),
            ("batches_total", stats.batches),
            ("late_total", stats.late),
            ("stuck", stats.stuck),
            ("waiting", stats.waiting),
            ("waiting_bytes", stats.waiting_bytes),
            ("in_flight", stats.in_flight),
            ("delivering", stats.delivering),
            ("used_bytes", stats.bytes_in_use),
        ] {
            assert_eq!(value(metric, None), number.to_string(), "{metric}");
        }
        assert_eq!(value("oldest_in_flight_age_seconds", None), "0.000000000");
        assert_eq!(
            value("queue_time_seconds_sum", None),
            "10.000000002",
            "two batches of 5.000000001 s"
        );
        for (metric, histogram) in [
            ("batch_size", &stats.batch_size),
            ("queue_time_seconds", &stats.queue_time),
            ("handler_time_seconds", &stats.handler_time),
            ("delivery_time_seconds", &stats.delivery_time),
        ] {
            let bucket = format!("microbatch_{metric}_bucket");
            let buckets: Vec<(f64, u64)> = samples
                .iter()
                .filter(|sample| sample.name == bucket)
                .map(|sample| {
                    let bound = &sample.labels.iter().find(|label| label.0 == "le").unwrap().1;
                    let bound = if bound == "+Inf" {
                        f64::INFINITY
                    } else {
                        bound.parse().unwrap()
                    };
                    (bound, sample.value.parse().unwrap())
                })
                .collect();
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{metric}: {buckets:?}"
            );
            assert_eq!(
                buckets.last(),
                Some(&(f64::INFINITY, histogram.count)),
                "{metric}"
            );
            assert_eq!(
                value(&format!("{metric}_count"), None),
                histogram.count.to_string()
            );
        }
    }
}

/// Fails if a page of a batcher that has done nothing, or of the largest numbers there are, is not valid.
#[test]
fn p38_the_prometheus_page_is_valid_at_the_extremes() {
    let mut page = String::new();
    Stats::default().prometheus(None, &mut page).unwrap();
    assert!(parse(&page).len() > 40);
    let mut full = Stats {
        accepted: u64::MAX,
        oldest_in_flight_age: i64::MAX,
        ..Stats::default()
    };
    full.refusals = [u64::MAX; 24];
    for value in [0, 1, u64::MAX, u64::MAX] {
        full.batch_size.record(value);
        full.queue_time.record(value);
    }
    page.clear();
    full.prometheus(Some("b"), &mut page).unwrap();
    parse(&page);
    assert!(page.contains("microbatch_accepted_total{batcher=\"b\"} 18446744073709551615\n"));
}

/// Fails if an error of the writer is swallowed.
#[test]
fn p38_a_full_writer_is_told() {
    struct Full(usize);
    impl std::fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    let stats = Stats::default();
    let mut page = String::new();
    stats.prometheus(None, &mut page).unwrap();
    assert!(stats.prometheus(None, &mut Full(page.len())).is_ok());
    for room in [0, 1, page.len() / 2, page.len() - 1] {
        assert!(stats.prometheus(None, &mut Full(room)).is_err());
    }
}

// ---- P39: the log

type Lines = Arc<Mutex<Vec<(i32, String)>>>;

fn logging(builder: Builder) -> (Builder, Lines) {
    let lines = Lines::default();
    let page = lines.clone();
    (
        builder.log(move |level, text| page.lock().unwrap().push((level, text.to_owned()))),
        lines,
    )
}

/// Fails if what is an answer (a refusal, a failure, a time-out) is logged as well.
#[test]
fn p39_the_log_is_silent_while_everything_has_an_answer() {
    let _watchdog = watchdog();
    for manual in [true, false] {
        let kept = Kept::default();
        let keep = kept.handler();
        let builder = if manual {
            timeless()
        } else {
            Batcher::builder().max_delay(FOREVER)
        };
        let (builder, lines) = logging(builder.queue_capacity(2).on_full(OnFull::Reject));
        let builder = builder
            .handler_for(Kind::String, |_| Err(Failure::new(3, "on purpose")))
            .handler(keep);
        let batcher = builder.on_result(|_| {}).build().unwrap();
        batcher.push(1, 0).unwrap();
        batcher.seal().unwrap();
        assert_eq!(batcher.run().is_ok(), manual);
        wait_until(|| kept.len() == 1);
        // The only slot is taken: what comes now waits.
        batcher.push("fails", 1).unwrap();
        batcher.push(1, 2).unwrap();
        assert_eq!(status(batcher.push(1, 3)), Status::QUEUE_FULL);
        drop(kept.take());
        assert_eq!(batcher.run().is_ok(), manual);
        wait_until(|| kept.len() == 1);
        drop(kept.take());
        batcher.push(1, 4).unwrap();
        assert_eq!(batcher.cancel(4), Ok(1));
        let _ = batcher.close(Timeout::ZERO);
        assert_eq!(status(batcher.push(1, 5)), Status::CLOSED);
        drop(batcher);
        assert_eq!(*lines.lock().unwrap(), []);
    }
}

/// Fails if a panic that has nobody to answer to goes unlogged, is logged twice, or as anything but an error.
#[test]
fn p39_what_has_nobody_to_answer_to_is_logged_once() {
    let journal = Journal::new();
    let seen = journal.on_result();
    let (builder, lines) = logging(timeless());
    let builder = builder.on_result(move |results| {
        seen(results);
        // As a panic, without the message that the test's own hook would print.
        std::panic::resume_unwind(Box::new("on_result broke"));
    });
    let builder = builder.on_object_release(7, |_| {
        std::panic::resume_unwind(Box::new("release broke".to_owned()))
    });
    let batcher = builder.handler(echo).build().unwrap();
    let (other, quiet) = logging(timeless());
    let other = other.handler(echo).build().unwrap();
    for batcher in [&batcher, &other] {
        batcher.push(1, 1).unwrap();
        batcher.flush(Timeout::ZERO).unwrap();
    }
    assert_eq!(*lines.lock().unwrap(), [(3, "on_result broke".to_owned())]);
    lines.lock().unwrap().clear();
    batcher
        .push(
            Object {
                owner: 7,
                word: 1,
                size: 0,
            },
            2,
        )
        .unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let logged: Vec<_> = lines.lock().unwrap().iter().map(|line| line.1.clone()).collect();
    assert_eq!(logged[..2], ["on_result broke", "release broke"]);
    assert_eq!(journal.rows().len(), 2, "the batcher goes on");
    assert_eq!(*quiet.lock().unwrap(), [], "a line goes to its own batcher");
}

/// Fails if a log callback that panics takes a thread of the engine, or the caller, with it.
#[test]
fn p39_a_log_that_panics_changes_nothing() {
    let _watchdog = watchdog();
    for manual in [true, false] {
        let builder = if manual {
            timeless()
        } else {
            Batcher::builder().max_delay(FOREVER)
        };
        let builder = builder.log(|_, _| std::panic::resume_unwind(Box::new("the log broke")));
        let builder = builder.on_result(|_| std::panic::resume_unwind(Box::new("on_result broke")));
        let batcher = builder.handler(echo).build().unwrap();
        for tag in 0..3 {
            batcher.push(1, tag).unwrap();
            batcher.flush(FOREVER).unwrap();
        }
        assert_eq!(batcher.stats().unwrap().ok, 3);
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    }
}
