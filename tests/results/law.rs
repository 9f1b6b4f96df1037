//! The law of balance (P16).

use super::once::storm;
use super::*;

/// Fails if a term is computed from the others, or counted at another moment than when an outcome is fixed: `count`
/// moved from `fix_flight` to delivery.
#[test]
fn p16_every_term_is_counted_where_it_happens() {
    let shelf = Shelf::new();
    let options = timeless()
        .max_batch_size(2)
        .max_in_flight(2)
        .handler_timeout(ns(10));
    let options = options
        .handler_for(Kind::Int64, shelf.keep())
        .handler_for(Kind::String, echo);
    let batcher = options
        .pull_results()
        .queue_capacity(4)
        .on_full(OnFull::DiscardOldest)
        .build()
        .unwrap();
    let check = |what: &str, ended: [u64; 5], outstanding: u64, undelivered: u64| {
        let stats = batcher.stats().unwrap();
        let counted = [
            stats.ok,
            stats.failed,
            stats.expired,
            stats.cancelled,
            stats.discarded,
        ];
        assert_eq!(
            (counted, stats.outstanding, stats.undelivered),
            (ended, outstanding, undelivered),
            "{what}"
        );
        assert_eq!(stats.accepted, ended.iter().sum::<u64>() + outstanding, "{what}");
        assert!(stats.balanced(), "{what}");
    };
    check("nothing", [0; 5], 0, 0);
    push_all(&batcher, 1..=2);
    check("waiting", [0; 5], 2, 0);
    batcher.run().unwrap();
    check("in flight", [0; 5], 2, 0);
    finish(shelf.take());
    check("ok", [2, 0, 0, 0, 0], 0, 2);
    drop(batcher.next_results(Timeout::ZERO).unwrap());
    check("delivered", [2, 0, 0, 0, 0], 0, 0);
    push_all(&batcher, 3..=3);
    batcher.push("a", 4).unwrap();
    batcher.run().unwrap();
    check("one part of two is done", [2, 0, 0, 0, 0], 2, 0);
    drop(shelf.take());
    check("failed, beside the part that is ok", [3, 1, 0, 0, 0], 0, 2);
    batcher.push_with(5, 5, by(3)).unwrap();
    push_all(&batcher, [6]);
    assert_eq!(batcher.cancel(6), Ok(1));
    check("cancelled", [3, 1, 0, 1, 0], 1, 3);
    run_at(&batcher, 3);
    check("expired", [3, 1, 1, 1, 0], 0, 4);
    push_all(&batcher, 7..=11);
    check("discarded for room", [3, 1, 1, 1, 1], 4, 5);
    batcher.run().unwrap();
    run_at(&batcher, 13);
    check("expired in flight", [3, 1, 4, 1, 1], 1, 8);
    push_all(&batcher, [12]);
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    check("in flight at close", [3, 1, 4, 1, 1], 2, 8);
    batcher.close(Timeout::ZERO).unwrap();
    check("discarded at close", [3, 1, 4, 1, 3], 0, 10);
    while batcher.next_results(Timeout::ZERO).is_ok() {}
    check("all delivered", [3, 1, 4, 1, 3], 0, 0);
}

/// Fails if `stats` reads its terms one by one without the gate and the core lock, or misses rows of the open batch.
#[test]
fn p16_the_law_holds_in_every_snapshot_while_threads_push() {
    let _watchdog = watchdog();
    let options = Batcher::builder()
        .threads(3)
        .max_batch_size(32)
        .queue_capacity(512)
        .handler_timeout(Duration::from_millis(1))
        .on_full(OnFull::Reject);
    let storm = storm(16, options, false);
    assert!(storm.snapshots > 0);
    assert_eq!(
        (storm.last.outstanding, storm.last.accepted),
        (0, storm.ledger.accepted())
    );
}
