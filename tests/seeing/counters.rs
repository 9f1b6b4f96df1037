//! What is counted when (P38).

use super::*;

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
    assert!(
        open >= empty + 1000 * (8 + 8 + 1),
        "the open batch has a cell, a tag and a kind for each row: {open}"
    );
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
