//! Exactly one result for every value (P15).

use super::*;

/// Fails if an ending says `handled` wrongly: NO after a handler saw the value, YES or MAYBE before (the places that
/// build an `Ending` in engine/dispatch.rs and engine/settled.rs).
#[test]
fn p15_every_ending_says_whether_a_handler_saw_the_value() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let keep = shelf.keep();
    let handler = move |batch: &mut Batch<'_>| match batch.tags()[0] {
        1 => echo(batch),
        2 => Ok(batch.fail(0, 5, "no")?),
        3 => Ok(()),
        4 => panic!("at the disco"),
        _ => keep(batch),
    };
    let options = timeless()
        .max_batch_size(1)
        .queue_capacity(2)
        .handler_timeout(ns(10));
    let options = options
        .on_full(OnFull::DiscardOldest)
        .handler(handler)
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    for tag in 1..=4 {
        push_all(&batcher, [tag]);
        batcher.run().unwrap();
    }
    push_all(&batcher, [5]);
    batcher.run().unwrap();
    drop(shelf.take());
    push_all(&batcher, [6]);
    batcher.run().unwrap();
    run_at(&batcher, 10);
    batcher.push_with(7, 7, by(9)).unwrap();
    batcher.run().unwrap();
    push_all(&batcher, [8]);
    assert_eq!(batcher.cancel(8), Ok(1));
    push_all(&batcher, [9, 10, 11]);
    batcher.run().unwrap();
    assert_eq!(shelf.len(), 2, "6 is out late, 10 in time");
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 2);
    let endings: Vec<_> = (1..=11).map(|tag| journal.ended(tag).unwrap()).collect();
    let expected = [
        (Outcome::Ok, Status::OK, Handled::Yes),
        (Outcome::Failed, Status::from_code(5), Handled::Yes),
        (Outcome::Failed, Status::NO_RESULT, Handled::Yes),
        (Outcome::Failed, Status::HANDLER_FAILED, Handled::Yes),
        (Outcome::Failed, Status::NO_RESULT, Handled::Maybe),
        (Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe),
        (Outcome::Expired, Status::DEADLINE, Handled::No),
        (Outcome::Cancelled, Status::CANCELLED, Handled::No),
        (Outcome::Discarded, Status::DISCARDED, Handled::No),
        (Outcome::Discarded, Status::DISCARDED, Handled::Maybe),
        (Outcome::Discarded, Status::DISCARDED, Handled::No),
    ];
    assert_eq!(endings, expected);
}

/// Fails if the values of a part whose turn never came count as handled (`PartState::Waiting` in `cut_flight`).
#[test]
fn p15_a_part_that_was_never_called_was_not_handled() {
    let _watchdog = watchdog();
    let (journal, door) = (Journal::new(), Door::new());
    let stop = door.clone();
    let stuck = move |_: &mut Batch<'_>| -> Answer {
        stop.stop();
        Ok(())
    };
    let options = timeless().handler_timeout(ns(10)).handler_for(Kind::Bool, echo);
    let options = options.handler_for(Kind::Int64, stuck).handler(journal.echo());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    batcher.push("default", 1).unwrap();
    batcher.push(2, 2).unwrap();
    batcher.push(true, 3).unwrap();
    batcher.seal().unwrap();
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        run_at(&batcher, 10);
    });
    assert_eq!(
        journal.ended(1),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::No))
    );
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
    );
    assert_eq!(journal.ended(3), Some((Outcome::Ok, Status::OK, Handled::Yes)));
    assert_eq!(journal.batches(), [], "nor is it called afterwards");
}

/// A handler that does anything handlers can do. What it keeps goes to the shelf.
fn moody(
    chance: Arc<Mutex<Chance>>,
    shelf: Shelf,
) -> impl Fn(&mut Batch<'_>) -> Answer + Send + Sync + 'static {
    let keep = shelf.keep();
    move |batch| {
        let mood = chance.lock().unwrap().below(9);
        match mood {
            0 => Err(Failure::new(1, "in a mood")),
            // A panic that prints nothing: there are thousands.
            1 => std::panic::resume_unwind(Box::new("in a mood")),
            2 => Ok(()),
            3 => Ok(batch
                .set_int64s(&[1])
                .or_else(|_| batch.fail_all(2, "in a mood"))?),
            4 => {
                for row in (0..batch.len()).step_by(2) {
                    batch.fail(row, 3, "in a mood")?;
                    batch.set(row / 2, "set")?;
                }
                Ok(())
            }
            5 | 6 => keep(batch),
            _ => echo(batch),
        }
    }
}

/// Ends a held batch in some way.
fn end_somehow(batch: HeldBatch, way: u64) {
    let _ = match way {
        0 => Status::OK,
        1 => status(batch.fail_all(7, "held").and(batch.complete())),
        2 => status(batch.set(0, 1).and(batch.complete_ok())),
        _ => finish(batch),
    };
}

/// Fails if a value is lost or comes twice on any way: `settle` that fixes twice, `remove_waiting` that forgets the
/// open batch, `cut_flight` that leaves a part, `discard_all` that leaves what is sealed.
#[test]
fn p15_exactly_one_result_each_whatever_happens() {
    for seed in 0..150 {
        let mut chance = Chance::new(seed);
        let (ledger, shelf) = (Ledger::new(), Shelf::new());
        let moods = || moody(Arc::new(Mutex::new(Chance::new(seed + 1000))), shelf.clone());
        let policy = [OnFull::Reject, OnFull::Block, OnFull::DiscardOldest][chance.below(3) as usize];
        let delivery = [Delivery::AsCompleted, Delivery::Ordered][chance.below(2) as usize];
        let size = 1 + chance.below(6);
        let options = given()
            .max_batch_size(size)
            .max_batch_bytes(8 + chance.below(100))
            .queue_capacity(size + chance.below(10))
            .result_capacity(10 + chance.below(40))
            .max_delay(ns(chance.below(9)))
            .handler_timeout(ns(1 + chance.below(20)))
            .max_in_flight(1 + chance.below(3) as u32)
            .on_full(policy)
            .delivery(delivery)
            .on_object_release(OWNER, |_| ())
            .handler(moods())
            .handler_for(Kind::String, moods())
            .handler_for(Kind::Object, moods())
            .on_result(ledger.on_result());
        let batcher = options.build().unwrap();
        let mut now = 0;
        for tag in 0..300 {
            let value = match chance.below(5) {
                0 => Value::String(&"abcdefgh"[..chance.below(9) as usize]),
                1 => Value::Object(Object {
                    owner: OWNER,
                    word: tag,
                    size: 0,
                }),
                2 => Value::Float64(0.5),
                _ => Value::Int64(tag as i64),
            };
            let deadline = if chance.one_in(4) {
                now + chance.below(8) as i64
            } else {
                0
            };
            // Some tags are used twice.
            let tag = tag - chance.below(2).min(tag);
            if batcher.push_with(value, tag, by(deadline)).is_ok() {
                ledger.pushed(tag);
            }
            if chance.one_in(3) {
                now += chance.below(6) as i64;
                run_at(&batcher, now);
            }
            if chance.one_in(6) {
                let _ = batcher.cancel(tag - chance.below(4).min(tag));
            }
            if chance.one_in(20) {
                batcher.seal().unwrap();
            }
            if shelf.len() > 0 && chance.one_in(3) {
                end_somehow(shelf.take(), chance.below(6));
            }
            let stats = batcher.stats().unwrap();
            assert!(
                stats.balanced() && stats.accepted == ledger.accepted(),
                "seed {seed}: {stats:?}"
            );
        }
        let ending = chance.below(3);
        if ending == 0 {
            while batcher.close(FOREVER).is_err() {
                now += 1;
                batcher.advance(now).unwrap();
            }
        } else if ending == 1 {
            let _ = batcher.close(Timeout::ZERO).unwrap();
        }
        let counted = batcher.stats().unwrap();
        drop(batcher);
        ledger.assert_exactly_one_result_each();
        if ending < 2 {
            for outcome in Outcome::ALL {
                assert_eq!(
                    counted.outcome(*outcome),
                    ledger.count(*outcome),
                    "seed {seed}: {outcome}"
                );
            }
        }
    }
}

/// What came out of [`storm`].
pub(super) struct Storm {
    pub(super) ledger: Ledger,
    pub(super) last: Stats,
    pub(super) snapshots: u64,
}

/// Real threads: producers push and keep ledgers of their own, handlers do anything, somebody cancels, somebody
/// completes what was kept, and a watcher holds every snapshot against the ledgers.
pub(super) fn storm(seed: u64, options: Builder, close_midway: bool) -> Storm {
    const PRODUCERS: u64 = 4;
    const VALUES: u64 = 3_000;
    let (ledger, shelf) = (Ledger::new(), Shelf::new());
    let moods = |seed| moody(Arc::new(Mutex::new(Chance::new(seed))), shelf.clone());
    let came = Arc::new(AtomicU64::new(0));
    let (counts, notes) = (came.clone(), ledger.clone());
    let on_result = move |results: &Results<'_>| {
        notes.came(results);
        counts.fetch_add(results.len() as u64, SeqCst);
    };
    let options = options
        .handler(moods(seed))
        .handler_for(Kind::String, moods(seed + 1))
        .on_result(on_result);
    let batcher = options.build().unwrap();
    let begun: [AtomicU64; PRODUCERS as usize] = Default::default();
    let returned: [AtomicU64; PRODUCERS as usize] = Default::default();
    let sum = |counters: &[AtomicU64]| counters.iter().map(|counter| counter.load(SeqCst)).sum::<u64>();
    let (over, snapshots) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (ledger, batcher, begun, returned) = (
                    ledger.clone(),
                    &batcher,
                    &begun[producer as usize],
                    &returned[producer as usize],
                );
                scope.spawn(move || {
                    let mut chance = Chance::new(seed * 100 + producer);
                    for value in 0..VALUES {
                        let tag = producer << 32 | value;
                        begun.fetch_add(1, SeqCst);
                        let pushed = match chance.below(6) {
                            0 => batcher.push_with(1, tag, by(batcher.now().unwrap() + 100_000)),
                            1 => batcher.push_str("text", tag),
                            2 => batcher
                                .push_owned("owned".to_owned(), tag)
                                .map_err(|(refused, _)| refused),
                            _ => batcher.push_int64(2, tag),
                        };
                        match pushed {
                            Ok(()) => {
                                ledger.pushed(tag);
                                returned.fetch_add(1, SeqCst);
                            }
                            Err(Status::CLOSED) => return,
                            // Refused: it was not taken after all.
                            Err(_) => {
                                begun.fetch_sub(1, SeqCst);
                                thread::yield_now();
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut chance = Chance::new(seed + 7);
            while !over.load(SeqCst) {
                let _ = batcher.cancel(chance.below(PRODUCERS) << 32 | chance.below(VALUES));
                if shelf.len() > 0 {
                    end_somehow(shelf.take(), chance.below(6));
                }
                thread::yield_now();
            }
        });
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let (pushed, delivered) = (sum(&returned), came.load(SeqCst));
                let stats = batcher.stats().unwrap();
                let (most, noted) = (sum(&begun), came.load(SeqCst));
                let ended = stats.accepted - stats.outstanding;
                assert!(stats.balanced(), "{stats:?}");
                assert!(
                    stats.accepted >= pushed,
                    "{} accepted, {pushed} pushes returned",
                    stats.accepted
                );
                assert!(
                    stats.accepted <= most,
                    "{} accepted, {most} begun and not refused",
                    stats.accepted
                );
                assert!(ended >= delivered, "{ended} ended, {delivered} delivered");
                assert!(
                    ended - stats.undelivered <= noted,
                    "{ended} - {} > {noted}",
                    stats.undelivered
                );
                snapshots.fetch_add(1, SeqCst);
            }
        });
        if close_midway {
            let all_done = || producers.iter().all(|producer| producer.is_finished());
            wait_until(|| sum(&returned) > VALUES || all_done());
            let _ = batcher.close(Duration::from_millis(seed));
        }
        for producer in producers {
            producer.join().unwrap();
        }
        if !close_midway {
            batcher.close(FOREVER).unwrap();
        }
        over.store(true, SeqCst);
    });
    // What was discarded is delivered, at the latest, before the batcher is gone.
    let last = batcher.stats().unwrap();
    drop(batcher);
    Storm {
        ledger,
        last,
        snapshots: snapshots.load(SeqCst),
    }
}

/// Fails if a race loses or doubles a value: outcomes counted or sets made ready outside the core lock, a kept part
/// that completes after its time-out and is taken, `discard_all` beside a handler that returns.
#[test]
fn p15_exactly_one_result_each_with_threads() {
    let _watchdog = watchdog();
    for seed in 1..=6 {
        let options = Batcher::builder()
            .threads(1 + seed as u32 % 3)
            .max_in_flight(4)
            .max_batch_size(1 << seed)
            .queue_capacity(256)
            .handler_timeout(Duration::from_millis(1 + seed % 2))
            .delivery([Delivery::AsCompleted, Delivery::Ordered][seed as usize % 2])
            .on_full([OnFull::Reject, OnFull::Block, OnFull::DiscardOldest][seed as usize % 3])
            .push_timeout(Duration::from_millis(1));
        let storm = storm(seed, options, seed > 3);
        storm.ledger.assert_exactly_one_result_each();
        assert_eq!(
            (storm.last.accepted, storm.last.outstanding),
            (storm.ledger.accepted(), 0)
        );
        for outcome in Outcome::ALL {
            assert_eq!(
                storm.last.outcome(*outcome),
                storm.ledger.count(*outcome),
                "{outcome}"
            );
        }
    }
}
