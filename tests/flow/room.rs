//! Waiting for room (P22).

use super::*;

/// A threaded batcher of one slot: one value is with the handler, behind the door, and one waits; there is no room.
fn crowded(door: &Door, build: impl FnOnce(Builder) -> Builder) -> Batcher {
    let inside = Arc::new(AtomicBool::new(false));
    let (behind, entered) = (door.clone(), inside.clone());
    let builder = Batcher::builder()
        .queue_capacity(1)
        .max_batch_size(1)
        .handler(move |batch| {
            entered.store(true, SeqCst);
            behind.pass();
            echo(batch)
        });
    let batcher = build(builder).build().unwrap();
    batcher.push(1, 1).unwrap();
    wait_until(|| inside.load(SeqCst));
    batcher.push(2, 2).unwrap();
    batcher
}

/// Fails if BLOCK refuses at once, or if dispatch does not wake whoever waits for room.
#[test]
fn p22_block_waits_until_room_comes() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder.push_timeout(FOREVER));
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let pushers: Vec<_> = (3..6)
            .map(|tag| {
                scope.spawn({
                    let batcher = &batcher;
                    move || status(batcher.push(3, tag))
                })
            })
            .collect();
        // They wait or come late: either way nothing was refused and the bound holds.
        thread::sleep(ms(5));
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.waiting, stats.accepted, stats.refusals), (1, 2, [0; 24]));
        door.open();
        for pusher in pushers {
            assert_eq!(pusher.join().unwrap(), Status::OK);
        }
    });
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    assert_eq!(batcher.stats().unwrap().ok, 5);
}

/// Fails if a push that waits for result places is not woken when results are taken.
#[test]
fn p22_block_waits_until_results_are_taken() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .pull_results()
        .result_capacity(2)
        .push_timeout(FOREVER)
        .handler(echo);
    let batcher = batcher.build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push(2, 2).unwrap();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| status(batcher.push(3, 3)));
        thread::sleep(ms(5));
        assert_eq!(batcher.stats().unwrap().accepted, 2);
        drop(batcher.next_results(FOREVER).unwrap());
        assert_eq!(pusher.join().unwrap(), Status::OK);
    });
}

/// Fails if close leaves a blocked push waiting for its time-out, or lets it in.
#[test]
fn p22_block_is_woken_by_close_with_closed() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder.push_timeout(FOREVER));
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let pushers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| status(batcher.push(3, 3))))
            .collect();
        thread::sleep(ms(5));
        let closer = scope.spawn(|| batcher.close(FOREVER).unwrap());
        // The handler is still inside: no room came.
        for pusher in pushers {
            assert_eq!(pusher.join().unwrap(), Status::CLOSED);
        }
        door.open();
        assert_eq!(closer.join().unwrap().left, 0);
    });
    assert_eq!(batcher.stats().unwrap().accepted, 2);
}

/// Fails if push_timeout is cut short, or if a push answers TIMEOUT instead of what lacked.
#[test]
fn p22_block_answers_as_reject_at_the_time_out() {
    let _watchdog = watchdog();
    let (door, wait) = (Door::default(), ms(30));
    let timed = |batcher: &Batcher, value: &str| {
        let start = Instant::now();
        let status = status(batcher.push(value, 3));
        assert!(start.elapsed() >= wait, "{status} after {:?}", start.elapsed());
        status
    };
    let count = crowded(&door, |builder| builder.push_timeout(wait));
    let bytes = crowded(&door, |b| {
        b.push_timeout(wait)
            .queue_capacity(9)
            .queue_bytes(16)
            .max_batch_bytes(16)
    });
    let places = crowded(&door, |builder| {
        builder.push_timeout(wait).queue_capacity(9).result_capacity(2)
    });
    let _opens = door.opens_at_end();
    assert_eq!(timed(&count, ""), Status::QUEUE_FULL);
    assert_eq!(timed(&bytes, "x"), Status::QUEUE_FULL_BYTES);
    assert_eq!(timed(&places, ""), Status::RESULTS_FULL);
    assert_eq!(
        count.stats().unwrap().refused_with(Status::QUEUE_FULL),
        1,
        "one push, one refusal"
    );
}

/// Fails if a push in a callback of the same batcher waits: with one thread nobody else could make room.
#[test]
fn p22_block_answers_at_once_in_callbacks_of_the_same_batcher() {
    let _watchdog = watchdog();
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let answers: Arc<Mutex<Vec<Status>>> = Arc::default();
    let (own, seen) = (cell.clone(), answers.clone());
    let fill = move || {
        let Some(batcher) = own.lock().unwrap().upgrade() else {
            return;
        };
        let mut refused = Status::OK;
        while refused.is_ok() {
            refused = status(batcher.push(1, 1));
        }
        seen.lock().unwrap().push(refused);
    };
    let fill_too = fill.clone();
    let batcher = Batcher::builder()
        .queue_capacity(1)
        .push_timeout(FOREVER)
        .handler(move |batch| {
            fill();
            echo(batch)
        });
    let batcher = Arc::new(batcher.on_result(move |_| fill_too()).build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    batcher.push(1, 1).unwrap();
    wait_until(|| answers.lock().unwrap().len() >= 4);
    assert!(batcher.close(ms(20)).is_ok());
    drop(batcher);
    let answers = answers.lock().unwrap();
    assert!(
        answers
            .iter()
            .all(|status| [Status::QUEUE_FULL, Status::CLOSED].contains(status)),
        "{answers:?}"
    );
}

/// Fails if room() pushes, answers OK without room, is cut short, or is not woken when room comes.
#[test]
fn p22_room_waits_without_pushing() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder);
    let _opens = door.opens_at_end();
    let start = Instant::now();
    assert_eq!(status(batcher.room(ms(30))), Status::QUEUE_FULL);
    assert!(start.elapsed() >= ms(30));
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::QUEUE_FULL);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| status(batcher.room(FOREVER)));
        thread::sleep(ms(5));
        door.open();
        assert_eq!(waiter.join().unwrap(), Status::OK);
    });
    assert_eq!(batcher.stats().unwrap().accepted, 2);
    assert_eq!(batcher.stats().unwrap().refusals, [0; 24]);
}

/// Fails if close leaves someone waiting in room(): there will never be any.
#[test]
fn p22_room_is_woken_by_close() {
    let _watchdog = watchdog();
    let door = Door::default();
    let batcher = crowded(&door, |builder| builder);
    let _opens = door.opens_at_end();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| status(batcher.room(FOREVER)));
        thread::sleep(ms(5));
        let closer = scope.spawn(|| batcher.close(FOREVER));
        assert_eq!(waiter.join().unwrap(), Status::CLOSED);
        door.open();
        closer.join().unwrap().unwrap();
    });
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::CLOSED);
}

/// Fails if a refusal does not arm the descriptor, or if it fires before there is room for that very value.
#[test]
fn p22_the_descriptor_fires_when_there_is_room_after_a_refusal() {
    let batcher = refusing()
        .queue_capacity(3)
        .queue_bytes(100)
        .max_in_flight(8)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    for tag in 0..3 {
        batcher.push("12345678901234567890", tag).unwrap(); // 28 bytes each: 84 of 100
        batcher.seal().unwrap();
    }
    // Batches are taken out of sight of the descriptor by handing them to nobody: look at it when none is due.
    let first = batcher.next_batch(Timeout::ZERO).unwrap();
    let second = batcher.next_batch(Timeout::ZERO).unwrap();
    let third = batcher.next_batch(Timeout::ZERO).unwrap();
    assert!(!readable(fd, 0), "nothing waits, nothing was refused");
    drop((first, second, third));
    assert!(!readable(fd, 0));

    // No slot is free from here on: what is refused can be asked for by time only.
    let held: Vec<_> = (0..8)
        .map(|tag| {
            batcher.push(1, tag).unwrap();
            batcher.seal().unwrap();
            batcher.next_batch(Timeout::ZERO).unwrap()
        })
        .collect();
    for tag in 0..3 {
        batcher.push("12345678901234567890", tag).unwrap();
    }
    assert!(!readable(fd, 0));
    assert_eq!(
        status(batcher.push("12345678901234567890", 3)),
        Status::QUEUE_FULL
    );
    assert!(!readable(fd, 0), "refused, and still no room");
    assert_eq!(batcher.cancel(0), Ok(1));
    assert!(fires(fd), "there is room for it");
    batcher.push("12345678901234567890", 3).unwrap();
    assert_eq!(status(batcher.push((), 4)), Status::QUEUE_FULL);
    assert!(!readable(fd, 0), "refused again");
    drop(held);
}

/// Fails if the descriptor goes on firing for room that was found: a host that polls would spin.
#[test]
fn p22_the_descriptor_is_quiet_once_the_push_found_room() {
    let batcher = refusing()
        .queue_bytes(24)
        .pull_results()
        .handler(echo)
        .build()
        .unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push("12345678", 1).unwrap();
    assert_eq!(status(batcher.push("123", 2)), Status::QUEUE_FULL_BYTES);
    batcher.run().unwrap(); // the refusal had made the open batch due
    drop(batcher.next_results(Timeout::ZERO).unwrap());
    assert!(fires(fd), "there is room");
    batcher.push("123", 2).unwrap();
    assert_eq!(batcher.next_due(), Ok(i64::MAX), "nothing is to be done");
    assert!(
        !readable(fd, 0),
        "the value that was refused is in, and nothing is due"
    );
}

/// Fails if room() leaves the descriptor firing for a refusal that it answered, or does not arm it.
#[test]
fn p22_room_arms_and_answers_the_descriptor() {
    let batcher = refusing().queue_capacity(1).max_in_flight(1).build().unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    let held = batcher.next_batch(Timeout::ZERO).unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::QUEUE_FULL);
    assert!(!readable(fd, 0));
    assert_eq!(batcher.cancel(2), Ok(1));
    assert!(fires(fd), "there is room for what room() asked for");
    assert_eq!(status(batcher.room(Timeout::ZERO)), Status::OK);
    assert!(!readable(fd, 0), "it was answered");
    drop(held);
}

/// Fails if any bound can be passed while many threads push at once.
#[test]
fn p22_bounds_hold_under_load() {
    let _watchdog = watchdog();
    for policy in [OnFull::Block, OnFull::Reject, OnFull::DiscardOldest] {
        let (ledger, over) = (Ledger::new(), AtomicBool::new(false));
        let batcher = Batcher::builder()
            .on_full(policy)
            .queue_capacity(20)
            .queue_bytes(300)
            .max_batch_bytes(100);
        let batcher = batcher
            .max_batch_size(8)
            .result_capacity(25)
            .threads(2)
            .push_timeout(FOREVER);
        let came = ledger.on_result();
        let batcher = batcher.handler(echo).on_result(move |results| {
            came(results);
            // Slow enough for result places to run out.
            thread::sleep(Duration::from_micros(10));
        });
        let batcher = batcher.build().unwrap();
        thread::scope(|scope| {
            let producers: Vec<_> = (0..4)
                .map(|producer| {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        let mut chance = Chance::new(producer);
                        for tag in producer * 10_000..producer * 10_000 + 1500 {
                            let text = "x".repeat(chance.below(40) as usize);
                            if batcher.push(text.as_str(), tag).is_ok() {
                                ledger.pushed(tag);
                            }
                        }
                    })
                })
                .collect();
            while producers.iter().any(|producer| !producer.is_finished()) {
                let stats = batcher.stats().unwrap();
                let held = stats.outstanding + stats.undelivered;
                if stats.waiting > 20 || stats.waiting_bytes > 300 || held > 25 {
                    over.store(true, SeqCst);
                    panic!(
                        "{policy}: {} values, {} bytes, {held} held",
                        stats.waiting, stats.waiting_bytes
                    );
                }
            }
        });
        batcher.close(FOREVER).unwrap();
        ledger.assert_exactly_one_result_each();
        assert_eq!(ledger.accepted(), batcher.stats().unwrap().accepted);
        if policy == OnFull::Block {
            assert_eq!(ledger.accepted(), 6000, "blocking loses nothing");
        }
    }
}

/// Fails if what producers hold staged is lost, comes twice or out of order, passes a bound, or has a push refused that it
/// leaves room for.
#[test]
fn p11_p22_producers_and_pushes_share_the_bounds() {
    for seed in 1..=60 {
        let mut chance = Chance::new(seed);
        let size = 1 + chance.below(200);
        let capacity = size + chance.below(3 * size);
        let journal = Journal::new();
        let batcher = timeless()
            .max_batch_size(size)
            .queue_capacity(capacity)
            .on_full(OnFull::Reject)
            .handler(journal.echo())
            .build()
            .unwrap();
        let producers = [batcher.producer().unwrap(), batcher.producer().unwrap()];
        let (mut pushed, mut accepted) = ([0_u64; 3], 0);
        for _ in 0..2000 {
            let who = match chance.below(200) {
                0 => {
                    batcher.seal().unwrap();
                    continue;
                }
                1 => {
                    batcher.run().unwrap();
                    continue;
                }
                2 => {
                    let stats = batcher.stats().unwrap();
                    assert_eq!(
                        (stats.accepted, stats.accepted),
                        (accepted, stats.ok + stats.outstanding)
                    );
                    assert!(
                        stats.waiting <= capacity,
                        "seed {seed}: {} of {capacity} wait",
                        stats.waiting
                    );
                    continue;
                }
                3..80 => 0,
                80..140 => 1,
                _ => 2,
            };
            let tag = (who as u64) << 32 | pushed[who];
            let status = status(match who {
                0 if chance.one_in(30) => producers[0].push("text", tag),
                2 => batcher.push_int64(1, tag),
                _ => producers[who].push_int64(1, tag),
            });
            if status.is_ok() {
                pushed[who] += 1;
                accepted += 1;
                continue;
            }
            assert_eq!(status, Status::QUEUE_FULL);
            // Before it the places of a producer's group may be held: a quarter of a batch at most.
            let held = if who == 2 { 0 } else { size / 4 };
            let waiting = batcher.stats().unwrap().waiting;
            assert!(
                waiting + held >= capacity,
                "seed {seed}: refused with {waiting} of {capacity}"
            );
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let batches = journal.batches();
        assert!(batches.iter().all(|batch| batch.tags.len() as u64 <= size));
        let tags = batches.iter().flat_map(|batch| &batch.tags);
        let of = |who: u64| {
            tags.clone()
                .filter(move |tag| **tag >> 32 == who)
                .map(|tag| tag & 0xffff_ffff)
        };
        for who in 0..3 {
            assert!(of(who).eq(0..pushed[who as usize]), "seed {seed}: those of {who}");
        }
        assert_eq!(batcher.stats().unwrap().ok, accepted);
    }
}
