//! The snapshot (P38).

use super::*;

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
