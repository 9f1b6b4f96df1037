//! Order (P11).

use super::*;

/// Fails if sealed batches are taken from the wrong end, or a text push goes another way than an int64 push.
#[test]
fn p11_values_of_one_thread_keep_their_order() {
    let mut chance = Chance::new(11);
    for _ in 0..50 {
        let options = given()
            .max_batch_size(1 + chance.below(9))
            .max_batch_bytes(64)
            .queue_bytes(1 << 20)
            .max_delay(ns(chance.below(5)));
        let (batcher, journal) = journaled(options);
        for tag in 0..200 {
            match chance.below(5) {
                0 => batcher.push_str("a text", tag).unwrap(),
                1 => batcher
                    .push_with("later", tag, PushOptions::new().deadline(1000))
                    .unwrap(),
                2 => batcher.push_owned("owned".to_owned(), tag).unwrap(),
                3 => assert_eq!(batcher.push_float64s(&[1.0], Tags::From(tag)), (1, Ok(()))),
                _ => batcher.push_int64(1, tag).unwrap(),
            }
            if chance.one_in(9) {
                run_at(&batcher, tag as i64);
            }
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let tags: Vec<_> = journal
            .batches()
            .into_iter()
            .flat_map(|batch| batch.tags)
            .collect();
        assert_eq!(tags, (0..200).collect::<Vec<_>>());
        let tags: Vec<_> = journal.rows().into_iter().map(|row| row.tag).collect();
        assert_eq!(tags, (0..200).collect::<Vec<_>>());
    }
}

/// Fails if pushes of different threads wait in places of their own and are put together later (a push that returned
/// before another began could then come after it).
#[test]
fn p11_a_push_that_returned_comes_before_one_that_begins() {
    let _watchdog = watchdog();
    const THREADS: u64 = 4;
    const VALUES: u64 = 8_000;
    let journal = Journal::new();
    let options = Batcher::builder()
        .threads(3)
        .max_batch_size(64)
        .queue_capacity(100_000);
    let batcher = options
        .max_delay(Duration::from_millis(5))
        .handler(journal.echo())
        .build()
        .unwrap();
    // The threads take turns, a few values each: every push returns before the next begins.
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for mine in 0..THREADS {
            let (next, batcher) = (&next, &batcher);
            scope.spawn(move || {
                loop {
                    match next.load(SeqCst) {
                        VALUES => return,
                        value if value / 3 % THREADS == mine => {
                            batcher.push_int64(value as i64, value).unwrap();
                            next.store(value + 1, SeqCst);
                        }
                        _ => thread::yield_now(),
                    }
                }
            });
        }
    });
    batcher.flush(FOREVER).unwrap();
    let mut batches = journal.batches();
    batches.sort_by_key(|batch| batch.number);
    let tags: Vec<_> = batches.into_iter().flat_map(|batch| batch.tags).collect();
    assert_eq!(tags, (0..VALUES).collect::<Vec<_>>(), "in order of dispatch");
}

/// Fails if a producer handle swaps its groups, or its values overtake each other between the handle and the batch.
#[test]
fn p11_a_producer_handle_keeps_the_order_of_its_thread() {
    let _watchdog = watchdog();
    const PRODUCERS: u64 = 4;
    const VALUES: u64 = 5_000;
    let journal = Journal::new();
    let options = Batcher::builder().max_batch_size(256).queue_capacity(100_000);
    let batcher = options.handler(journal.echo()).build().unwrap();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let handle = batcher.producer().unwrap();
            scope.spawn(move || {
                for value in 0..VALUES {
                    // Text does not wait in the handle, and numbers may, many at a time.
                    match value % 100 {
                        0 => handle.push("text", producer << 32 | value).unwrap(),
                        1..50 => handle.push_float64(0.5, producer << 32 | value).unwrap(),
                        _ => handle.push_int64(1, producer << 32 | value).unwrap(),
                    }
                }
            });
        }
    });
    batcher.flush(FOREVER).unwrap();
    let mut batches = journal.batches();
    batches.sort_by_key(|batch| batch.number);
    for producer in 0..PRODUCERS {
        let tags = batches
            .iter()
            .flat_map(|batch| &batch.tags)
            .filter(|tag| *tag >> 32 == producer);
        let values: Vec<_> = tags.map(|tag| tag & 0xffff_ffff).collect();
        assert_eq!(values, (0..VALUES).collect::<Vec<_>>());
    }
}
