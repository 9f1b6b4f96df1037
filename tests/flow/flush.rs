//! Seal and flush (P23).

use super::*;

/// Fails if seal waits, seals an empty batch, or leaves the open batch open.
#[test]
fn p23_seal_closes_the_open_batch_and_does_not_wait() {
    let journal = Journal::new();
    let batcher = timeless().handler(journal.echo()).build().unwrap();
    batcher.seal().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.seal().unwrap();
    batcher.push(2, 2).unwrap();
    assert!(journal.batches().is_empty(), "seal runs nothing");
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), [1]);
    assert_eq!(journal.triggers(), [Trigger::Flush]);
    assert_eq!(batcher.stats().unwrap().waiting, 1);
}

/// Fails if a mark is reached before everything accepted before it is delivered, or waits for what came after.
#[test]
fn p23_each_mark_waits_for_what_was_accepted_before_it() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(4)
        .handler(kept.handler())
        .build()
        .unwrap();
    let marks: Vec<_> = (0..3)
        .map(|tag| {
            batcher.push(1, tag).unwrap();
            batcher.flush_begin().unwrap()
        })
        .collect();
    let none = batcher.flush_begin().unwrap();
    let ended = |mark| status(batcher.flush_end(mark, Timeout::FOREVER)); // manual: never waits
    assert_eq!(ended(marks[0]), Status::IN_PROGRESS);
    assert_eq!(kept.len(), 3, "flush_end does what run does");
    let third = kept.take_last();
    answer(third).unwrap();
    assert_eq!(
        marks.iter().map(|mark| ended(*mark)).collect::<Vec<_>>(),
        [Status::IN_PROGRESS; 3]
    );
    answer(kept.take()).unwrap();
    assert_eq!(ended(marks[0]), Status::OK);
    assert_eq!(
        (ended(marks[1]), ended(marks[2]), ended(none)),
        (Status::IN_PROGRESS, Status::IN_PROGRESS, Status::IN_PROGRESS)
    );
    batcher.push(9, 9).unwrap();
    answer(kept.take()).unwrap();
    assert_eq!(
        (ended(marks[1]), ended(marks[2]), ended(none)),
        (Status::OK, Status::OK, Status::OK)
    );
    assert_eq!(
        batcher.stats().unwrap().waiting,
        1,
        "the value after the marks waits for its own time"
    );
    assert_eq!(ended(marks[0]), Status::OK, "asking again is fine");
}

/// Fails if flush makes later values due, or changes when their batch is.
#[test]
fn p23_later_values_follow_their_own_delay() {
    let journal = Journal::new();
    let batcher = given()
        .max_delay(common::ns(100))
        .handler(journal.echo())
        .build()
        .unwrap();
    run_at(&batcher, 50);
    batcher.push(1, 1).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    batcher.advance(80).unwrap();
    batcher.push(2, 2).unwrap();
    run_at(&batcher, 179);
    assert_eq!(journal.sizes(), [1]);
    run_at(&batcher, 180);
    assert_eq!(journal.triggers(), [Trigger::Flush, Trigger::Delay]);
}

/// Fails if flush counts a value as delivered before next_results handed it out.
#[test]
fn p23_pulled_results_count_when_they_are_handed_out() {
    let batcher = timeless().pull_results().handler(echo).build().unwrap();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    assert_eq!(
        status(batcher.flush_end(mark, Timeout::ZERO)),
        Status::IN_PROGRESS
    );
    let results = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!(status(batcher.flush_end(mark, Timeout::ZERO)), Status::OK);
    assert_eq!(results.tags(), [1]);
}

/// Fails if flush returns when the handler is done and on_result is still running.
#[test]
fn p23_flush_returns_when_on_result_returned() {
    let _watchdog = watchdog();
    let (door, delivered) = (Door::default(), Arc::new(AtomicUsize::new(0)));
    let (behind, count) = (door.clone(), delivered.clone());
    let batcher = Batcher::builder()
        .threads(2)
        .max_batch_size(2)
        .max_delay(FOREVER)
        .handler(echo)
        .on_result(move |results| {
            behind.pass();
            count.fetch_add(results.len(), SeqCst);
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    for tag in 0..5 {
        batcher.push(1, tag).unwrap();
    }
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    wait_until(|| batcher.stats().unwrap().ok == 5);
    let start = Instant::now();
    assert_eq!(status(batcher.flush(ms(30))), Status::TIMEOUT);
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
    thread::scope(|scope| {
        let flushers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    batcher.flush(FOREVER).unwrap();
                    assert_eq!(delivered.load(SeqCst), 5);
                })
            })
            .collect();
        thread::sleep(ms(5));
        assert_eq!(delivered.load(SeqCst), 0);
        door.open();
        flushers.into_iter().for_each(|flusher| flusher.join().unwrap());
    });
}

/// Fails if a flusher returns before its own values are delivered, or never does while others push on.
#[test]
fn p23_several_flushers_each_find_their_own_values_delivered() {
    let _watchdog = watchdog();
    let delivered: Arc<Vec<AtomicBool>> = Arc::new((0..4 * 400).map(|_| AtomicBool::new(false)).collect());
    let seen = delivered.clone();
    let batcher = Batcher::builder()
        .threads(2)
        .max_delay(FOREVER)
        .max_batch_size(7)
        .handler(echo);
    let batcher = batcher.on_result(move |results| {
        for tag in results.tags() {
            seen[*tag as usize].store(true, SeqCst);
        }
    });
    let batcher = batcher.build().unwrap();
    thread::scope(|scope| {
        for flusher in 0..4_u64 {
            let (batcher, delivered) = (&batcher, &delivered);
            scope.spawn(move || {
                for tag in flusher * 400..(flusher + 1) * 400 {
                    batcher.push(1, tag).unwrap();
                    if tag % 10 == 9 {
                        batcher.flush(FOREVER).unwrap();
                        let own = &delivered[(flusher * 400) as usize..=tag as usize];
                        assert!(
                            own.iter().all(|delivered| delivered.load(SeqCst)),
                            "flusher {flusher} at {tag}"
                        );
                    }
                }
            });
        }
    });
}

/// Fails if a flush waits for values that were accepted after its mark.
#[test]
fn p23_a_flush_does_not_wait_for_later_values() {
    let _watchdog = watchdog();
    let door = Door::default();
    let behind = door.clone();
    let batcher = Batcher::builder()
        .threads(2)
        .max_batch_size(1)
        .handler(move |batch| {
            if batch.tags() == [2] {
                behind.pass();
            }
            echo(batch)
        });
    let batcher = batcher.build().unwrap();
    let _opens = door.opens_at_end();
    batcher.push(1, 1).unwrap();
    let mark = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    batcher.flush_end(mark, FOREVER).unwrap();
    assert_eq!(batcher.stats().unwrap().outstanding, 1);
}

/// Fails if the descriptor does not fire at the end of a flush, in manual mode or with threads, or goes on firing after
/// it was asked.
#[test]
fn p23_the_descriptor_fires_when_a_flush_is_done() {
    let _watchdog = watchdog();
    for builder in [given(), Batcher::builder()] {
        let kept = Kept::default();
        let batcher = builder
            .max_delay(FOREVER)
            .handler(kept.handler())
            .build()
            .unwrap();
        let manual = batcher.run().is_ok();
        let fd = batcher.fd().unwrap();
        batcher.push(1, 1).unwrap();
        let mark = batcher.flush_begin().unwrap();
        if manual {
            assert!(fires(fd), "a sealed batch is work");
            batcher.run().unwrap();
        }
        wait_until(|| kept.len() == 1);
        assert_eq!(
            status(batcher.flush_end(mark, Timeout::ZERO)),
            Status::IN_PROGRESS
        );
        assert!(!readable(fd, 0), "manual {manual}: the batch is still in flight");
        answer(kept.take()).unwrap();
        assert!(
            fires(fd),
            "manual {manual}: everything before the mark is delivered"
        );
        batcher.flush_end(mark, Timeout::ZERO).unwrap();
        assert!(!readable(fd, 0), "manual {manual}: it was asked");
    }
}

/// Fails if only the latest of several marks is watched: whoever flushed before waits for everybody else.
#[test]
fn p23_the_descriptor_fires_for_every_mark() {
    let kept = Kept::default();
    let batcher = timeless()
        .max_in_flight(2)
        .handler(kept.handler())
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    let first = batcher.flush_begin().unwrap();
    batcher.push(2, 2).unwrap();
    let second = batcher.flush_begin().unwrap();
    batcher.run().unwrap();
    assert_eq!(kept.len(), 2);
    assert!(!readable(fd, 0));
    answer(kept.take()).unwrap();
    assert!(readable(fd, 1000), "the first mark is reached");
    batcher.flush_end(first, Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0), "it was asked, and the second is not reached");
    answer(kept.take()).unwrap();
    assert!(fires(fd), "the second mark is reached");
    batcher.flush_end(second, Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0));
}
