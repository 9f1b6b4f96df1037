//! Results: one for every value, counted where it is fixed, delivered a batch at a time; what handlers answer, keep
//! and overrun; deadlines and cancel (promises P15 to P21).
//!
//! Time is given wherever the rule allows. What runs in real time asserts lower bounds only and has a watchdog.
//! Each test names a mutation of the engine that makes it fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{
    Chance, Copied, Door, FOREVER, Journal, Ledger, Notes, Row, Set, Shelf, echo, finish, given, int,
    journaled, ns, run_at, status, text, timeless, wait_until, watchdog,
};
use microbatch::{
    Batch, Batcher, Builder, Delivery, Failure, Handled, HeldBatch, Kind, Object, OnFull, Outcome,
    PushOptions, Results, Stats, Status, Timeout, Trigger, Value,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const OWNER: u32 = 7;

type Answer = Result<(), Failure>;

fn push_all(batcher: &Batcher, tags: impl IntoIterator<Item = u64>) {
    for tag in tags {
        batcher.push(tag as i64, tag).unwrap();
    }
}

fn by(deadline: i64) -> PushOptions {
    PushOptions::new().deadline(deadline)
}

// ---- P15: exactly one result

/// Fails if an ending says `handled` wrongly: NO after a handler saw the value, YES or MAYBE before (the places that
/// build an `Ending` in engine/dispatch.rs and engine/results.rs).
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
struct Storm {
    ledger: Ledger,
    last: Stats,
    snapshots: u64,
}

/// Real threads: producers push and keep ledgers of their own, handlers do anything, somebody cancels, somebody
/// completes what was kept, and a watcher holds every snapshot against the ledgers.
fn storm(seed: u64, options: Builder, close_midway: bool) -> Storm {
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

// ---- P16: the law

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

// ---- P17: what a handler answers

/// Pushes two values with tags 1 and 2, and gives their results after this handler had them.
fn answer(handler: impl Fn(&mut Batch<'_>) -> Answer + Send + Sync + 'static) -> Vec<Row> {
    let journal = Journal::new();
    let handler = move |batch: &mut Batch<'_>| {
        if batch.number() == 1 {
            handler(batch)
        } else {
            echo(batch)
        }
    };
    let batcher = timeless()
        .handler(handler)
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.flush(Timeout::ZERO).unwrap();
    push_all(&batcher, 3..=3);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.row(3).value, int(3), "the batcher goes on");
    journal.rows()[..2].to_vec()
}

/// Codes, messages and type names of rows that failed.
fn failures(rows: &[Row]) -> Vec<(Status, &str, &str)> {
    for row in rows {
        assert_eq!((row.outcome, row.handled), (Outcome::Failed, Handled::Yes));
    }
    rows.iter()
        .map(|row| (row.code, row.message.as_str(), row.type_name.as_str()))
        .collect()
}

/// Fails if a panic passes through the engine (`catch_unwind` in `call_handler`), or loses its message.
#[test]
fn p17_a_panic_fails_the_batch_with_its_message() {
    let rows = answer(|batch| {
        batch.set(0, 1)?;
        panic!("a literal");
    });
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "a literal", "panic"); 2]
    );
    let rows = answer(|batch| panic!("{} values are too many", batch.len()));
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "2 values are too many", "panic"); 2]
    );
    let rows = answer(|_| std::panic::panic_any(5));
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "the handler panicked", "panic"); 2]
    );
}

#[derive(Debug, thiserror::Error)]
#[error("row {0} violates a constraint")]
struct Constraint(u64);

/// Fails if values that were set before keep their results when the handler fails (`settle` that looks at rows before
/// `Ending::Failed`), or `?` loses what the error was.
#[test]
fn p17_an_error_fails_every_value_also_those_already_set() {
    let rows = answer(|batch| {
        batch.set_int64s(&[1, 2])?;
        Err(Constraint(7))?
    });
    let error = (
        Status::HANDLER_FAILED,
        "row 7 violates a constraint",
        std::any::type_name::<Constraint>(),
    );
    assert_eq!(failures(&rows), [error; 2]);
    let rows = answer(|batch| {
        batch.set(0, "set")?;
        batch.fail(1, 8, "failed on its own")?;
        Err(Failure::new(42, "could not commit"))
    });
    assert_eq!(
        failures(&rows),
        [(Status::from_code(42), "could not commit", ""); 2]
    );
    let rows = answer(|batch| {
        batch.fail_all(43, "said beforehand")?;
        Ok(batch.set_int64s(&[1, 2])?)
    });
    assert_eq!(
        failures(&rows),
        [(Status::from_code(43), "said beforehand", ""); 2]
    );
}

/// Fails if a value without a result gets OK, or takes its neighbours down (`UNSET` in `settle`).
#[test]
fn p17_a_value_left_unset_fails_with_no_result() {
    let rows = answer(|batch| Ok(batch.set(1, 20)?));
    assert_eq!(
        (rows[0].code, rows[0].message.as_str()),
        (Status::NO_RESULT, Status::NO_RESULT.text())
    );
    assert_eq!((rows[1].code, rows[1].value.clone()), (Status::OK, int(20)));
    let rows = answer(|_| Ok(()));
    assert!(
        rows.iter()
            .all(|row| row.code == Status::NO_RESULT && row.outcome == Outcome::Failed)
    );
}

/// Fails if `complete_ok` means NO_RESULT, or overwrites what was set or failed (`DoneOk` in `settle`).
#[test]
fn p17_complete_ok_gives_null_to_what_was_left_unset() {
    let batcher = timeless().pull_results().build().unwrap();
    push_all(&batcher, 1..=3);
    batcher.seal().unwrap();
    let batch = batcher.next_batch(Timeout::ZERO).unwrap();
    batch.set(0, 10).unwrap();
    batch.fail(2, 6, "failed").unwrap();
    batch.complete_ok().unwrap();
    let rows = Set::of(&batcher.next_results(Timeout::ZERO).unwrap()).rows;
    let answers: Vec<_> = rows.iter().map(|row| (row.code, row.value.clone())).collect();
    assert_eq!(
        answers,
        [
            (Status::OK, int(10)),
            (Status::OK, Copied::Null),
            (Status::from_code(6), Copied::Null)
        ]
    );
}

/// Fails if a column of the wrong length is cut, padded or only refused (`fail_count`).
#[test]
fn p17_the_wrong_number_of_results_fails_the_batch_with_both_numbers() {
    for count in [0, 1, 3] {
        let rows = answer(move |batch| {
            batch.set_float64s(&[0.1, 0.2])?;
            assert_eq!(status(batch.set_int64s(&vec![5; count])), Status::RESULT_COUNT);
            Ok(())
        });
        for (code, message, _) in failures(&rows) {
            assert_eq!(code, Status::RESULT_COUNT);
            assert!(
                message.contains(&format!(" {count} ")) && message.contains("2 values"),
                "{message}"
            );
        }
    }
}

/// Fails if the first of two results stays, in any of the ways a row can be set (`forget`, `set_cell`, `fail`).
#[test]
fn p17_set_twice_the_last_counts() {
    const OBJECT: Object = Object {
        owner: OWNER,
        word: 9,
        size: 0,
    };
    type Setting = fn(&HeldBatch) -> microbatch::Result;
    let settings: [(Setting, Result<Copied, i32>); 6] = [
        (|batch| batch.set(0, 5), Ok(int(5))),
        (|batch| batch.set(0, ()), Ok(Copied::Null)),
        (|batch| batch.set(0, "text"), Ok(text("text"))),
        (|batch| batch.set(0, OBJECT), Ok(Copied::Object(OBJECT))),
        (|batch| batch.fail(0, 3, "failed"), Err(3)),
        (
            |batch| batch.set_float64s(&[0.5]),
            Ok(Copied::Float64(0.5f64.to_bits())),
        ),
    ];
    let batcher = timeless()
        .on_object_release(OWNER, |_| ())
        .pull_results()
        .build()
        .unwrap();
    for (first, _) in &settings {
        for (second, _) in &settings {
            for (third, expected) in &settings {
                batcher.push(1, 1).unwrap();
                batcher.seal().unwrap();
                let batch = batcher.next_batch(Timeout::ZERO).unwrap();
                for set in [first, second, third] {
                    set(&batch).unwrap();
                }
                batch.complete().unwrap();
                let row = Set::of(&batcher.next_results(Timeout::ZERO).unwrap())
                    .rows
                    .remove(0);
                match expected {
                    Ok(value) => assert_eq!((row.code, &row.value), (Status::OK, value)),
                    Err(code) => assert_eq!((row.code.code(), row.message.as_str()), (*code, "failed")),
                }
            }
        }
    }
}

/// Fails if a row that is not there is set (`set`, `fail` without their bound), or one failed row fails others.
#[test]
fn p17_rows_fail_one_by_one_with_codes_of_their_own() {
    let rows = answer(|batch| {
        assert_eq!(status(batch.set(2, 1)), Status::INVALID_ARGUMENT);
        assert_eq!(status(batch.fail(2, 1, "no such row")), Status::INVALID_ARGUMENT);
        assert_eq!(batch.value(2), Value::Null);
        batch.fail(0, 4, "said first")?;
        batch.fail(0, i32::MAX, "")?;
        Ok(batch.set(1, true)?)
    });
    assert_eq!(failures(&rows[..1]), [(Status::from_code(i32::MAX), "", "")]);
    assert_eq!(
        (rows[1].outcome, rows[1].value.clone()),
        (Outcome::Ok, Copied::Bool(true))
    );
    // What is neither a user's code nor a known one of the library is no code.
    for code in [0, -29, i32::MIN] {
        let rows = answer(move |batch| {
            batch.set(1, 1)?;
            Ok(batch.fail(0, code, "why")?)
        });
        assert_eq!(failures(&rows[..1]), [(Status::HANDLER_FAILED, "why", "")]);
    }
}

// ---- P18: batches that are kept

/// Fails if a kept batch completes when its handler returns (`PartState::Kept` in `end_handler`), or only on the
/// thread that kept it.
#[test]
fn p18_a_kept_batch_is_completed_later_from_any_thread() {
    let _watchdog = watchdog();
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let batcher = given()
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.run().unwrap();
    run_at(&batcher, 1000);
    assert_eq!(
        (journal.rows().len(), batcher.stats().unwrap().outstanding),
        (0, 2)
    );
    let batch = shelf.take();
    assert_eq!(
        (batch.number(), batch.trigger(), batch.tags()),
        (1, Trigger::Idle, &[1, 2][..])
    );
    assert_eq!(thread::spawn(move || finish(batch)).join().unwrap(), Status::OK);
    assert_eq!(journal.rows().len(), 0, "complete delivers nothing itself");
    assert_eq!(batcher.next_due(), Ok(1000));
    batcher.run().unwrap();
    assert_eq!((journal.row(1).value, journal.row(2).value), (int(1), int(2)));

    // With threads, and completed by threads that the engine has never seen.
    let (sender, kept) = mpsc::channel::<HeldBatch>();
    let (sender, ledger) = (Mutex::new(sender), Ledger::new());
    let options = Batcher::builder()
        .max_in_flight(8)
        .max_batch_size(16)
        .on_result(ledger.on_result());
    let handler = move |batch: &mut Batch<'_>| {
        let held = batch.keep()?;
        sender.lock().unwrap().send(held).unwrap();
        Ok(())
    };
    let batcher = options.handler(handler).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for tag in 0..2000 {
                batcher.push_int64(1, tag).unwrap();
                ledger.pushed(tag);
            }
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        });
        let mut taken = 0;
        while taken < 2000 {
            let batch = kept.recv().unwrap();
            taken += batch.len();
            scope.spawn(move || assert_eq!(finish(batch), Status::OK));
        }
    });
    assert_eq!(ledger.count(Outcome::Ok), 2000);
    ledger.assert_exactly_one_result_each();
}

/// Fails if a batch that is dropped leaves its values without an outcome (`Drop for Part`).
#[test]
fn p18_freed_without_completing_its_values_fail() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    for options in [timeless().handler(shelf.keep()), timeless()] {
        let batcher = options.on_result(journal.on_result()).build().unwrap();
        push_all(&batcher, 1..=2);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        let batch = batcher.next_batch(Timeout::ZERO).unwrap_or_else(|_| shelf.take());
        batch.set(0, 10).unwrap();
        drop(batch);
        batcher.run().unwrap();
        let expected = Some((Outcome::Failed, Status::NO_RESULT, Handled::Maybe));
        assert_eq!(
            (journal.ended(1), journal.ended(2)),
            (expected, expected),
            "also what was set"
        );
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.failed, stats.in_flight, stats.late), (2, 0, 0));
        drop(batcher);
        journal.clear();
    }
}

/// Fails if a late completion changes outcomes or is not counted (`end_part`), or answers OK.
#[test]
fn p18_a_late_completion_is_too_late_and_counted() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler(shelf.keep())
        .max_in_flight(3);
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    for tag in 1..=3 {
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    let (first, second, third) = (shelf.take(), shelf.take(), shelf.take());
    first.set(0, 10).unwrap();
    run_at(&batcher, 10);
    assert_eq!(status(first.set(0, 11)), Status::TOO_LATE);
    assert_eq!(status(first.set(0, "text")), Status::TOO_LATE);
    assert_eq!(status(first.set_int64s(&[12])), Status::TOO_LATE);
    assert_eq!(status(first.fail(0, 1, "late")), Status::TOO_LATE);
    assert_eq!(status(first.fail_all(1, "late")), Status::TOO_LATE);
    assert_eq!(first.value(0), Value::Int64(1), "it can still be read");
    assert_eq!(batcher.stats().unwrap().late, 0);
    assert_eq!(status(first.complete()), Status::TOO_LATE);
    assert_eq!(status(second.complete_ok()), Status::TOO_LATE);
    assert_eq!(batcher.stats().unwrap().late, 2);
    drop(third);
    batcher.run().unwrap();
    assert_eq!(
        batcher.stats().unwrap().late,
        2,
        "giving a batch up is no completion"
    );
    for tag in 1..=3 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
}

/// Fails if what a handler returns or throws after `keep` ends the batch (`call_handler` that does not look at
/// `kept`), or a part can be kept twice.
#[test]
fn p18_what_a_handler_answers_after_keeping_counts_no_more() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let keeper = shelf.clone();
    let handler = move |batch: &mut Batch<'_>| {
        let held = batch.keep()?;
        assert_eq!(status(batch.keep()), Status::INVALID_ARGUMENT);
        assert_eq!(batch.len(), 1, "its own view stays readable");
        match batch.number() {
            1 => keeper.put(held),
            2 => {
                keeper.put(held);
                panic!("after keeping");
            }
            3 => {
                keeper.put(held);
                return Err(Failure::new(1, "after keeping"));
            }
            _ => assert_eq!(finish(held), Status::OK, "completed before the handler returns"),
        }
        Ok(())
    };
    let options = timeless()
        .max_in_flight(4)
        .handler(handler)
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    for tag in 1..=4 {
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    assert_eq!(journal.rows().len(), 1);
    assert_eq!(
        (journal.row(4).value, batcher.stats().unwrap().in_flight),
        (int(4), 3)
    );
    for _ in 0..3 {
        assert_eq!(finish(shelf.take()), Status::OK);
    }
    batcher.run().unwrap();
    assert_eq!(
        (batcher.stats().unwrap().ok, batcher.stats().unwrap().in_flight),
        (4, 0)
    );
}

/// Fails if a kept batch waits for its handler to return before it ends, ends twice when it does (`end_part` that
/// does not look at `fixed`), or frees its slot under the handler.
#[test]
fn p18_a_kept_batch_may_end_while_its_handler_is_inside() {
    let _watchdog = watchdog();
    for in_time in [true, false] {
        let (journal, shelf, door) = (Journal::new(), Shelf::new(), Door::new());
        let (keep, stop) = (shelf.keep(), door.clone());
        let handler = move |batch: &mut Batch<'_>| {
            keep(batch)?;
            stop.stop();
            Ok(())
        };
        let options = given()
            .handler_timeout(ns(10))
            .handler(handler)
            .on_result(journal.on_result());
        let batcher = options.build().unwrap();
        push_all(&batcher, 1..=2);
        thread::scope(|scope| {
            let _opener = door.opens_at_the_end();
            let inside = scope.spawn(|| batcher.run().unwrap());
            door.wait_for(1);
            if in_time {
                assert_eq!(finish(shelf.take()), Status::OK);
                run_at(&batcher, 10);
            } else {
                run_at(&batcher, 10);
                assert_eq!(status(shelf.take().complete()), Status::TOO_LATE);
            }
            let outcome = if in_time { Outcome::Ok } else { Outcome::Expired };
            assert_eq!(
                (journal.row(1).outcome, journal.row(2).outcome),
                (outcome, outcome)
            );
            assert_eq!(
                batcher.stats().unwrap().in_flight,
                1,
                "the handler keeps the slot until it returns"
            );
            door.open();
            inside.join().unwrap();
        });
        batcher.run().unwrap();
        let stats = batcher.stats().unwrap();
        assert_eq!((journal.rows().len(), stats.in_flight, stats.stuck), (2, 0, 0));
        assert_eq!((stats.ok + stats.expired, stats.balanced()), (2, true));
    }
}

/// Fails if the view a handler borrows still sets results once the batch is kept: its holder may have completed it on
/// another thread, and what was delivered would change under its reader.
#[test]
fn p18_once_kept_only_the_holder_sets_results() {
    let (journal, refused) = (Journal::new(), Notes::new());
    let notes = refused.clone();
    let handler = move |batch: &mut Batch<'_>| {
        batch.set(0, "before")?;
        let held = batch.keep()?;
        held.set(1, "held")?;
        notes.add(status(batch.set(0, "after")));
        notes.add(status(batch.set(0, 5)));
        notes.add(status(batch.set_int64s(&[5, 5])));
        notes.add(status(batch.set_int64s(&[5])));
        notes.add(status(batch.fail(0, 5, "after")));
        notes.add(status(batch.fail_all(5, "after")));
        Ok(held.complete()?)
    };
    let batcher = timeless()
        .handler(handler)
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        (journal.row(1).value, journal.row(2).value),
        (text("before"), text("held"))
    );
    assert_eq!(refused.len(), 6);
    assert!(
        refused.all().iter().all(|status| *status != Status::OK),
        "{:?}",
        refused.all()
    );
}

/// Fails if a batch's memory goes with its batcher (`free` that frees what is held), or what it carried is released
/// before it, or never.
#[test]
fn p18_a_held_batch_outlives_its_batcher() {
    let _watchdog = watchdog();
    for pulled in [true, false] {
        for mode in [given(), Batcher::builder()] {
            let (shelf, released, ledger) = (Shelf::new(), Notes::new(), Ledger::new());
            let release = released.clone();
            let options = mode
                .max_delay(FOREVER)
                .on_object_release(OWNER, move |word| release.add(word));
            let options = options
                .on_result(ledger.on_result())
                .close_timeout(Duration::from_millis(1));
            let batcher = match pulled {
                true => options.build().unwrap(),
                false => options.handler(shelf.keep()).build().unwrap(),
            };
            let long = "a text that is longer than a cell ".repeat(20);
            batcher
                .push(
                    Object {
                        owner: OWNER,
                        word: 5,
                        size: 0,
                    },
                    1,
                )
                .unwrap();
            batcher.push(&long, 2).unwrap();
            batcher.push_owned(long.clone(), 3).unwrap();
            (1..=3).for_each(|tag| ledger.pushed(tag));
            batcher.seal().unwrap();
            let _ = batcher.run();
            if pulled {
                shelf.put(batcher.next_batch(FOREVER).unwrap());
            }
            wait_until(|| shelf.len() == 1);
            drop(batcher);
            assert_eq!(
                ledger.count(Outcome::Discarded),
                3,
                "free delivers what it discards"
            );
            ledger.assert_exactly_one_result_each();
            let batch = shelf.take();
            assert_eq!(released.all(), [], "the batch still shows it");
            let values: Vec<_> = batch.values().map(Copied::from).collect();
            let object = Copied::Object(Object {
                owner: OWNER,
                word: 5,
                size: 0,
            });
            assert_eq!(
                (values, batch.tags()),
                (vec![object, text(&long), text(&long)], &[1, 2, 3][..])
            );
            assert_eq!(status(batch.set(1, 1)), Status::TOO_LATE);
            assert_eq!(status(batch.complete()), Status::TOO_LATE);
            assert_eq!(released.all(), [5]);
        }
    }
}

/// Fails if the parts of a batch share one fate (`end_part` that ends the flight and not the part).
#[test]
fn p18_each_part_is_kept_and_completed_for_itself() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler_for(Kind::Int64, shelf.keep());
    let options = options
        .handler_for(Kind::String, shelf.keep())
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.push("a", 2).unwrap();
    batcher.push(true, 3).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    let (int64, string, default) = (shelf.take_tag(1), shelf.take_tag(2), shelf.take_tag(3));
    assert_eq!(finish(int64), Status::OK);
    drop(string);
    run_at(&batcher, 10);
    assert_eq!(finish(default), Status::TOO_LATE);
    assert_eq!(journal.ended(1), Some((Outcome::Ok, Status::OK, Handled::Yes)));
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Failed, Status::NO_RESULT, Handled::Maybe))
    );
    assert_eq!(
        journal.ended(3),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
    );
    assert_eq!(journal.sets().len(), 1);
}

// ---- P19: delivery

/// Fails if results are not one set a batch (`make_ready` a part at a time), or the set does not say what it is.
#[test]
fn p19_results_come_a_batch_at_a_time_as_columns() {
    let seen = Notes::new();
    let notes = seen.clone();
    let on_result = move |results: &Results<'_>| {
        let ints = results.int64s().map(<[i64]>::to_vec);
        let floats = results.float64s().map(<[f64]>::to_vec);
        notes.add((
            results.tags().to_vec(),
            results.all_ok(),
            results.kind(),
            ints,
            floats,
        ));
    };
    let handler = |batch: &mut Batch<'_>| {
        match batch.number() {
            1 => batch.set_int64s(&[10, 20])?,
            2 => batch.set_float64s(&[0.5, 1.5])?,
            3 => batch.set(0, 1).and(batch.set(1, 1.0))?,
            4 => batch.set(0, 1).and(batch.fail(1, 5, "no"))?,
            _ => batch.set(0, "a").and(batch.set(1, "b"))?,
        }
        Ok(())
    };
    let batcher = timeless()
        .max_batch_size(2)
        .handler(handler)
        .on_result(on_result)
        .build()
        .unwrap();
    push_all(&batcher, 1..=10);
    batcher.run().unwrap();
    let expected = [
        (vec![1, 2], true, Some(Kind::Int64), Some(vec![10, 20]), None),
        (vec![3, 4], true, Some(Kind::Float64), None, Some(vec![0.5, 1.5])),
        (vec![5, 6], true, None, None, None),
        (vec![7, 8], false, None, None, None),
        (vec![9, 10], true, Some(Kind::String), None, None),
    ];
    assert_eq!(seen.all(), expected);
}

/// The numbers of the batches whose results came, in order.
fn order(journal: &Journal) -> Vec<u64> {
    journal.sets().iter().map(|set| set.batch).collect()
}

/// A batcher with a slot for each batch, whose handler keeps them all: batches of one value, dispatched in order.
fn keeping(options: Builder, batches: u64) -> (Batcher, Journal, Shelf) {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = options
        .max_batch_size(1)
        .max_in_flight(batches as u32)
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, 1..=batches);
    batcher.run().unwrap();
    assert_eq!(shelf.len() as u64, batches);
    (batcher, journal, shelf)
}

/// Fails if as completed is in order of dispatch, or ordered is as completed (`fix_flight`'s match on `delivery`).
#[test]
fn p19_results_come_as_completed_or_in_order_of_dispatch() {
    for (delivery, expected) in [
        (
            Delivery::AsCompleted,
            [vec![3], vec![3, 1], vec![3, 1, 4], vec![3, 1, 4, 2]],
        ),
        (Delivery::Ordered, [vec![], vec![1], vec![1], vec![1, 2, 3, 4]]),
    ] {
        let (batcher, journal, shelf) = keeping(timeless().delivery(delivery), 4);
        for (tag, expected) in [3, 1, 4, 2].into_iter().zip(expected) {
            assert_eq!(finish(shelf.take_tag(tag)), Status::OK);
            batcher.run().unwrap();
            assert_eq!(order(&journal), expected, "{delivery} after {tag}");
        }
    }
    // The default.
    let (batcher, journal, shelf) = keeping(timeless(), 2);
    finish(shelf.take_tag(2));
    batcher.run().unwrap();
    assert_eq!(order(&journal), [2]);
}

/// Fails if a batch that expired or was discarded in flight is delivered at once, or never and holds up the others
/// (`turns` in `fix_flight`).
#[test]
fn p19_ordered_gives_what_ended_in_flight_in_its_turn() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .delivery(Delivery::Ordered)
        .handler_timeout(ns(10))
        .max_in_flight(3);
    let batcher = options
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, now) in [(1, 0), (2, 0), (3, 5)] {
        batcher.advance(now).unwrap();
        push_all(&batcher, [tag]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
    }
    finish(shelf.take_tag(2));
    batcher.run().unwrap();
    assert_eq!(order(&journal), []);
    run_at(&batcher, 10);
    assert_eq!(order(&journal), [1, 2], "1 expired, and 2 waited for it");
    assert_eq!(
        (journal.row(1).outcome, journal.row(2).outcome),
        (Outcome::Expired, Outcome::Ok)
    );
    push_all(&batcher, [4]);
    batcher.seal().unwrap();
    batcher.run().unwrap();
    finish(shelf.take_tag(4));
    push_all(&batcher, [5]);
    assert_eq!(batcher.close(Timeout::ZERO).unwrap().left, 2);
    let ends: Vec<_> = journal.rows()[2..]
        .iter()
        .map(|row| (row.tag, row.outcome))
        .collect();
    assert_eq!(
        ends,
        [(3, Outcome::Discarded), (4, Outcome::Ok), (5, Outcome::Discarded)]
    );
}

/// Fails if values that never flew wait for batches that do (sets of `remove_waiting` in `turns`).
#[test]
fn p19_results_of_values_never_dispatched_come_at_once() {
    for delivery in [Delivery::Ordered, Delivery::AsCompleted] {
        let (journal, shelf) = (Journal::new(), Shelf::new());
        let options = timeless()
            .max_batch_size(2)
            .queue_capacity(2)
            .on_full(OnFull::DiscardOldest);
        let options = options
            .delivery(delivery)
            .handler(shelf.keep())
            .on_result(journal.on_result());
        let batcher = options.build().unwrap();
        push_all(&batcher, 1..=2);
        batcher.run().unwrap();
        push_all(&batcher, [3]);
        batcher.push_with(4, 4, by(5)).unwrap();
        push_all(&batcher, [5]);
        assert_eq!(batcher.cancel(5), Ok(1));
        batcher.run().unwrap();
        assert_eq!(
            (journal.row(3).outcome, journal.row(5).outcome),
            (Outcome::Discarded, Outcome::Cancelled)
        );
        run_at(&batcher, 5);
        assert_eq!(journal.row(4).outcome, Outcome::Expired);
        assert_eq!(
            order(&journal),
            [0, 0, 0],
            "batch 1 flies on, and these are of none"
        );
    }
}

/// Fails if several handler threads deliver out of turn, or an earlier batch keeps later ones back although results
/// come as completed.
#[test]
fn p19_delivery_with_several_handler_threads() {
    let _watchdog = watchdog();
    for delivery in [Delivery::AsCompleted, Delivery::Ordered] {
        let (journal, door) = (Journal::new(), Door::new());
        let stop = door.clone();
        let handler = move |batch: &mut Batch<'_>| {
            if batch.number() == 1 {
                stop.stop();
            }
            echo(batch)
        };
        let options = Batcher::builder().threads(3).max_batch_size(1).delivery(delivery);
        let batcher = options
            .handler(handler)
            .on_result(journal.on_result())
            .build()
            .unwrap();
        let _opener = door.opens_at_the_end();
        push_all(&batcher, [1]);
        door.wait_for(1);
        push_all(&batcher, 2..=50);
        match delivery {
            Delivery::AsCompleted => wait_until(|| journal.rows().len() == 49),
            Delivery::Ordered => wait_until(|| batcher.stats().unwrap().ok == 49),
        }
        let undelivered = if delivery == Delivery::Ordered { 49 } else { 0 };
        // The last on_result may be on its way out still.
        wait_until(|| batcher.stats().unwrap().undelivered == undelivered);
        let stats = batcher.stats().unwrap();
        assert_eq!((stats.outstanding, stats.ok), (1, 49));
        door.open();
        batcher.flush(FOREVER).unwrap();
        let mut came = order(&journal);
        if delivery == Delivery::AsCompleted {
            assert_eq!(came.last(), Some(&1));
            came.sort_unstable();
        }
        assert_eq!(came, (1..=50).collect::<Vec<_>>());
    }
}

/// Fails if two threads deliver at once (`delivering` in `take_ready`).
#[test]
fn p19_on_result_never_runs_beside_itself() {
    let _watchdog = watchdog();
    let inside = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let ledger = Ledger::new();
    let (now_inside, at_most, notes) = (inside.clone(), most.clone(), ledger.clone());
    let on_result = move |results: &Results<'_>| {
        at_most.fetch_max(now_inside.fetch_add(1, SeqCst) + 1, SeqCst);
        notes.came(results);
        thread::yield_now();
        now_inside.fetch_sub(1, SeqCst);
    };
    let options = Batcher::builder()
        .threads(4)
        .max_batch_size(2)
        .handler(echo)
        .on_result(on_result);
    let batcher = options.build().unwrap();
    thread::scope(|scope| {
        for producer in 0..2 {
            let (batcher, ledger) = (&batcher, ledger.clone());
            scope.spawn(move || {
                for value in 0..3000 {
                    let tag = producer << 32 | value;
                    batcher
                        .push_with(1, tag, by(if value % 3 == 0 { 1 } else { 0 }))
                        .unwrap();
                    ledger.pushed(tag);
                    let _ = batcher.cancel(tag - value % 2);
                }
            });
        }
    });
    batcher.close(FOREVER).unwrap();
    assert_eq!(most.load(SeqCst), 1);
    ledger.assert_exactly_one_result_each();
}

/// Fails if pulled results go anywhere but to `next_results`, or go with the batcher (`next_results`, `free`).
#[test]
fn p19_results_can_be_pulled() {
    let batcher = timeless()
        .max_batch_size(2)
        .handler(echo)
        .pull_results()
        .build()
        .unwrap();
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::TIMEOUT);
    push_all(&batcher, 1..=4);
    batcher.run().unwrap();
    assert_eq!(batcher.cancel(1), Err(Status::NOT_FOUND));
    assert_eq!(
        (batcher.stats().unwrap().undelivered, batcher.next_due()),
        (4, Ok(0))
    );
    let first = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!((first.tags(), first.int64s()), (&[1, 2][..], Some(&[1, 2][..])));
    assert_eq!(batcher.stats().unwrap().undelivered, 2, "handed out is delivered");
    push_all(&batcher, [5]);
    assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    let second = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!((second.tags(), second.batch()), (&[3, 4][..], 2));
    let third = batcher.next_results(Timeout::ZERO).unwrap();
    assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::CLOSED);
    drop(batcher);
    assert_eq!(
        (first.int64s(), third.tags()),
        (Some(&[1, 2][..]), &[5][..]),
        "they outlive the batcher"
    );

    let both = timeless()
        .handler(echo)
        .on_result(|_| ())
        .pull_results()
        .build()
        .unwrap_err();
    assert_eq!(both.status(), Status::INVALID_OPTION);
    let (lent, _) = journaled(timeless());
    assert_eq!(status(lent.next_results(Timeout::ZERO)), Status::WRONG_MODE);
}

/// Fails if a thread in `next_results` is not woken by results, or not by the end (`result_waiters`).
#[test]
fn p19_pulled_results_wake_the_thread_that_waits_for_them() {
    let _watchdog = watchdog();
    let batcher = Batcher::builder()
        .max_batch_size(7)
        .handler(echo)
        .pull_results()
        .build()
        .unwrap();
    let (sender, pulled) = mpsc::channel();
    thread::scope(|scope| {
        let puller = scope.spawn(|| {
            loop {
                match batcher.next_results(FOREVER) {
                    Ok(results) => sender.send(results.tags().to_vec()).unwrap(),
                    Err(ended) => return ended,
                }
            }
        });
        // One at a time, so that the puller waits for nearly every one of them.
        for tag in 0..100 {
            push_all(&batcher, [tag]);
            assert_eq!(pulled.recv().unwrap(), [tag]);
        }
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(puller.join().unwrap(), Status::CLOSED);
    });
}

/// Fails if results nobody asked for hold their places (`make_ready` without on_result).
#[test]
fn p19_without_on_result_results_are_only_counted() {
    let options = timeless()
        .max_batch_size(2)
        .queue_capacity(4)
        .result_capacity(4)
        .on_full(OnFull::Reject);
    let batcher = options.handler(echo).build().unwrap();
    for round in 0..10 {
        push_all(&batcher, round * 4..round * 4 + 4);
        assert_eq!(status(batcher.push(0, 0)), Status::QUEUE_FULL);
        batcher.run().unwrap();
    }
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.ok, stats.undelivered, stats.outstanding), (40, 0, 0));
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
}

/// Fails if a callback runs inside push, cancel, seal, stats or complete: on_result called by `make_ready`, a release
/// by `remove_waiting`, a handler by the push that fills a batch.
#[test]
fn p19_no_callback_runs_inside_push_cancel_seal_stats_or_complete() {
    let calling = Arc::new(AtomicBool::new(false));
    let seen = Notes::new();
    let look = |what: &'static str| {
        let (calling, seen) = (calling.clone(), seen.clone());
        move || seen.add((what, calling.load(SeqCst)))
    };
    let (in_handler, in_on_result, in_release) = (look("handler"), look("on_result"), look("release"));
    let shelf = Shelf::new();
    let keep = shelf.keep();
    let handler = move |batch: &mut Batch<'_>| {
        in_handler();
        if batch.number() == 2 {
            keep(batch)
        } else {
            echo(batch)
        }
    };
    let batcher = given()
        .max_batch_size(2)
        .queue_capacity(2)
        .max_in_flight(2)
        .on_full(OnFull::DiscardOldest)
        .on_object_release(OWNER, move |_| in_release())
        .handler(handler)
        .on_result(move |_| in_on_result())
        .build()
        .unwrap();
    let quietly = |call: &dyn Fn()| {
        calling.store(true, SeqCst);
        call();
        calling.store(false, SeqCst);
    };
    let object = |word| Object {
        owner: OWNER,
        word,
        size: 0,
    };
    for round in 0..3 {
        quietly(&|| {
            for tag in 0..5 {
                batcher.push(object(tag), tag).unwrap();
            }
            assert_eq!(batcher.cancel(3), Ok(1));
            batcher.push_with(object(5), 5, by(1)).unwrap();
            batcher.seal().unwrap();
            assert!(batcher.stats().unwrap().undelivered > 0);
            batcher.advance(round).unwrap();
            batcher.flush_begin().unwrap();
        });
        batcher.run().unwrap();
        if shelf.len() > 0 {
            let batch = shelf.take();
            quietly(&|| assert_eq!(status(batch.set(0, object(9))), Status::OK));
            calling.store(true, SeqCst);
            assert_eq!(finish(batch), Status::OK);
            calling.store(false, SeqCst);
        }
        batcher.run().unwrap();
    }
    drop(batcher);
    for what in ["handler", "on_result", "release"] {
        let times = seen.all().iter().filter(|(name, _)| *name == what).count();
        assert!(times >= 3, "{what} ran {times} times");
    }
    assert!(seen.all().iter().all(|(_, calling)| !calling), "{:?}", seen.all());
}

/// Fails if a library lock is held around a callback: another thread's call would wait for ever.
#[test]
fn p19_no_lock_is_held_in_callbacks() {
    let _watchdog = watchdog();
    for options in [Batcher::builder(), given()] {
        let slot: Arc<Mutex<Option<Arc<Batcher>>>> = Arc::default();
        let seen = Notes::new();
        let elsewhere = |what: &'static str| {
            let (slot, seen) = (slot.clone(), seen.clone());
            move || {
                let Some(batcher) = slot.lock().unwrap().clone() else {
                    return;
                };
                // Another thread does anything, and the callback waits for it.
                thread::spawn(move || {
                    batcher.stats().unwrap();
                    batcher.push(1, 100).unwrap();
                    assert_eq!(batcher.cancel(100), Ok(1));
                    batcher.seal().unwrap();
                    batcher.check(1).unwrap();
                    batcher.next_due().unwrap();
                    batcher.flush_begin().unwrap();
                })
                .join()
                .unwrap();
                seen.add(what);
            }
        };
        let (in_handler, in_on_result, in_release) =
            (elsewhere("handler"), elsewhere("on_result"), elsewhere("release"));
        let handler = move |batch: &mut Batch<'_>| {
            in_handler();
            Ok(batch.set(0, 1)?)
        };
        let done = Arc::new(AtomicBool::new(false));
        let over = done.clone();
        let on_result = move |results: &Results<'_>| {
            // Not for the results of what the other thread cancels: that would go on for ever.
            if results.batch() > 0 {
                in_on_result();
                over.store(true, SeqCst);
            }
        };
        let options = options.max_delay(FOREVER).handler(handler).on_result(on_result);
        let batcher = Arc::new(
            options
                .on_object_release(OWNER, move |_| in_release())
                .build()
                .unwrap(),
        );
        *slot.lock().unwrap() = Some(batcher.clone());
        batcher
            .push(
                Object {
                    owner: OWNER,
                    word: 1,
                    size: 0,
                },
                1,
            )
            .unwrap();
        batcher.seal().unwrap();
        let _ = batcher.run();
        wait_until(|| seen.len() >= 3);
        assert_eq!(seen.all(), ["handler", "on_result", "release"]);
        assert!(done.load(SeqCst));
        *slot.lock().unwrap() = None;
        batcher.close(Timeout::ZERO).unwrap();
    }
}

// ---- P20: deadlines and cancel

/// Fails if a deadline is a nanosecond off (`deadline <= now` in `expire_waiting`), 0 is one, or it makes its batch
/// due.
#[test]
fn p20_a_value_expires_at_its_deadline_if_it_still_waits() {
    let (batcher, journal) = journaled(timeless());
    batcher.advance(100).unwrap();
    for (tag, deadline) in [(1, 109), (2, 110), (3, 111), (4, 0), (5, i64::MAX)] {
        batcher.push_with(tag as i64, tag, by(deadline)).unwrap();
    }
    assert_eq!(batcher.next_due(), Ok(109));
    run_at(&batcher, 110);
    assert_eq!(journal.sets().len(), 1, "both in one set");
    assert_eq!(journal.sets()[0].tags(), [1, 2]);
    assert!(
        journal
            .rows()
            .iter()
            .all(|row| row.code == Status::DEADLINE && row.handled == Handled::No)
    );
    assert_eq!(batcher.next_due(), Ok(111));
    assert_eq!(journal.batches(), [], "a deadline never makes a batch due");
    assert_eq!(batcher.flush(Timeout::ZERO), Ok(()));
    run_at(&batcher, 111);
    assert_eq!(journal.batches()[0].tags, [3, 4, 5]);
    assert_eq!(journal.row(3).outcome, Outcome::Ok, "dispatched in time");
}

/// Fails if a deadline in the past is refused or ignored.
#[test]
fn p20_a_deadline_already_past_is_accepted_and_expires() {
    let (batcher, journal) = journaled(given());
    batcher.advance(100).unwrap();
    for (tag, deadline) in [(1, 99), (2, 100), (3, -5), (4, i64::MIN), (5, 101)] {
        batcher.push_with(tag as i64, tag, by(deadline)).unwrap();
    }
    assert_eq!(batcher.stats().unwrap().accepted, 5);
    batcher.run().unwrap();
    let outcomes: Vec<_> = (1..=5).map(|tag| journal.row(tag).outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Expired,
            Outcome::Expired,
            Outcome::Expired,
            Outcome::Expired,
            Outcome::Ok
        ]
    );
}

/// Fails if cancel takes one of several, one that flies, or what has another tag (`remove_waiting`, `in_flight_has`).
#[test]
fn p20_cancel_takes_every_waiting_value_with_the_tag() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .max_batch_size(2)
        .handler(shelf.keep())
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    push_all(&batcher, [7, 8]);
    batcher.run().unwrap();
    // Sealed: 7 1, 7 7. Open: 2 7.
    push_all(&batcher, [7, 1, 7, 7, 2]);
    batcher.push("of another kind", 7).unwrap();
    let before = batcher.stats().unwrap();
    assert_eq!(batcher.cancel(7), Ok(4));
    let after = batcher.stats().unwrap();
    assert_eq!((before.waiting, after.waiting, after.cancelled), (6, 2, 4));
    assert_eq!(batcher.cancel(7), Err(Status::TOO_LATE), "one is in flight");
    assert_eq!(batcher.cancel(9), Err(Status::NOT_FOUND));
    batcher.run().unwrap();
    let set = &journal.sets()[0];
    assert_eq!((set.tags(), set.batch), (vec![7; 4], 0));
    assert!(
        set.rows
            .iter()
            .all(|row| row.code == Status::CANCELLED && row.handled == Handled::No)
    );
    finish(shelf.take());
    assert_eq!(batcher.cancel(7), Err(Status::NOT_FOUND), "its outcome stands");
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    assert_eq!(batcher.cancel(2), Ok(1), "also after close");
    batcher.run().unwrap();
    assert_eq!(shelf.take().tags(), [1]);
}

/// Fails if deadlines and cancel wait for a slot (`next_step` that sweeps only before a dispatch).
#[test]
fn p20_expiry_and_cancel_take_effect_while_every_slot_is_busy() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = given()
        .max_batch_size(2)
        .handler(shelf.keep())
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    push_all(&batcher, [1]);
    batcher.run().unwrap();
    batcher.push_with(2, 2, by(10)).unwrap();
    push_all(&batcher, [3]);
    batcher.push_with(4, 4, by(20)).unwrap();
    run_at(&batcher, 10);
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Expired, Status::DEADLINE, Handled::No)),
        "from a sealed batch"
    );
    assert_eq!(batcher.cancel(3), Ok(1));
    batcher.run().unwrap();
    assert_eq!(
        journal.ended(3),
        Some((Outcome::Cancelled, Status::CANCELLED, Handled::No))
    );
    run_at(&batcher, 20);
    assert_eq!(
        journal.ended(4),
        Some((Outcome::Expired, Status::DEADLINE, Handled::No)),
        "from the open batch"
    );
    assert_eq!((shelf.len(), batcher.stats().unwrap().outstanding), (1, 1));
}

/// Fails if only handler threads look at deadlines and deliver (the time thread's `next_time_event`, `touch`), or a
/// value expires before its time.
#[test]
fn p20_expiry_and_cancel_are_prompt_while_a_handler_never_returns() {
    let _watchdog = watchdog();
    let door = Door::new();
    let (stop, (sender, results)) = (door.clone(), mpsc::channel());
    let sender = Mutex::new(sender);
    let handler = move |batch: &mut Batch<'_>| {
        stop.stop();
        echo(batch)
    };
    let on_result = move |results: &Results<'_>| sender.lock().unwrap().send(Set::of(results)).unwrap();
    let batcher = Batcher::builder()
        .handler(handler)
        .on_result(on_result)
        .build()
        .unwrap();
    let _opener = door.opens_at_the_end();
    push_all(&batcher, [1]);
    door.wait_for(1);
    let deadline = batcher.now().unwrap() + 20_000_000;
    batcher.push_with(2, 2, by(deadline)).unwrap();
    push_all(&batcher, [3]);
    let expired = results.recv().unwrap();
    assert!(batcher.now().unwrap() >= deadline, "not before its deadline");
    assert_eq!((expired.rows[0].tag, expired.rows[0].code), (2, Status::DEADLINE));
    assert_eq!(batcher.cancel(3), Ok(1));
    let cancelled = results.recv().unwrap();
    assert_eq!(
        (cancelled.rows[0].tag, cancelled.rows[0].code),
        (3, Status::CANCELLED)
    );
    let passed = batcher.now().unwrap() - 1;
    batcher.push_with(4, 4, by(passed)).unwrap();
    let already = results.recv().unwrap();
    assert_eq!((already.rows[0].tag, already.rows[0].code), (4, Status::DEADLINE));
    assert_eq!(
        batcher.stats().unwrap().in_flight,
        1,
        "all the while nobody was free"
    );
    door.open();
    assert_eq!(results.recv().unwrap().rows[0].value, int(1));
}

/// Fails if every batch has a deadline column (`reserve_deadlines` in `Batch::new`).
#[test]
fn p20_batches_without_deadlines_carry_no_deadline_column() {
    const ROWS: u64 = 4096;
    let bytes = |deadline: i64| {
        let batcher = timeless().max_batch_size(ROWS).handler(echo).build().unwrap();
        batcher.push_with(1, 1, by(deadline)).unwrap();
        batcher.stats().unwrap().bytes_in_use
    };
    assert_eq!(bytes(50) - bytes(0), 8 * ROWS);
}

// ---- P21: handler_timeout

/// Fails if the time-out runs from acceptance or from the seal (`expires_at` in `dispatch`), or is a nanosecond off.
#[test]
fn p21_handler_timeout_bounds_a_batch_from_dispatch() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless()
        .handler_timeout(ns(10))
        .handler(shelf.keep())
        .on_result(journal.on_result());
    let batcher = options.build().unwrap();
    push_all(&batcher, 1..=2);
    batcher.advance(50).unwrap();
    batcher.seal().unwrap();
    run_at(&batcher, 100);
    assert_eq!((shelf.len(), batcher.next_due()), (1, Ok(110)));
    run_at(&batcher, 109);
    assert_eq!(journal.rows().len(), 0);
    run_at(&batcher, 110);
    for tag in 1..=2 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
    assert_eq!(batcher.stats().unwrap().expired, 2);
    push_all(&batcher, [3]);
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(shelf.take().tags(), [1, 2]);
    assert_eq!(batcher.next_due(), Ok(120));
    run_at(&batcher, 119);
    assert_eq!(finish(shelf.take()), Status::OK, "in time");
    run_at(&batcher, 500);
    assert_eq!(journal.row(3).value, int(3));
}

/// Fails if every part has a time of its own (`expires_at` set in `begin_part`).
#[test]
fn p21_the_parts_of_a_batch_share_its_time() {
    let _watchdog = watchdog();
    let (journal, shelf, door) = (Journal::new(), Shelf::new(), Door::new());
    let stop = door.clone();
    let slow = move |batch: &mut Batch<'_>| {
        stop.stop();
        echo(batch)
    };
    let options = timeless()
        .handler_timeout(ns(10))
        .handler_for(Kind::Int64, slow)
        .handler(shelf.keep());
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, [1]);
    batcher.push("kept", 2).unwrap();
    batcher.seal().unwrap();
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        batcher.advance(6).unwrap();
    });
    assert_eq!(
        (shelf.len(), batcher.next_due()),
        (1, Ok(10)),
        "the second part began at 6"
    );
    run_at(&batcher, 10);
    assert_eq!(journal.ended(1), Some((Outcome::Ok, Status::OK, Handled::Yes)));
    assert_eq!(
        journal.ended(2),
        Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
    );
}

/// Fails if a time-out takes finished parts along (`cut_flight` that does not skip what is done).
#[test]
fn p21_finished_parts_keep_their_results() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let options = timeless().handler_timeout(ns(10)).handler_for(Kind::Int64, echo);
    let options = options.handler_for(Kind::String, |_| Err(Failure::new(5, "no")));
    let batcher = options
        .handler(shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    batcher.push(true, 1).unwrap();
    batcher.push(2, 2).unwrap();
    batcher.push("c", 3).unwrap();
    batcher.push(4.0, 4).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    run_at(&batcher, 10);
    assert_eq!(journal.sets()[0].tags(), [1, 2, 3, 4]);
    assert_eq!(
        (journal.row(2).value, journal.row(3).message),
        (int(2), "no".to_owned())
    );
    for tag in [1, 4] {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
    }
}

/// Fails if a stuck handler's thread is not counted (`is_stuck`), its late answer changes results, or is not counted
/// as late (`PartState::Cut` in `end_handler`).
#[test]
fn p21_a_handler_that_does_not_return_in_time_is_stuck_and_then_late() {
    let _watchdog = watchdog();
    let (journal, door, answers) = (Journal::new(), Door::new(), Notes::new());
    let (stop, notes) = (door.clone(), answers.clone());
    let handler = move |batch: &mut Batch<'_>| {
        if batch.number() == 1 {
            batch.set(0, 10)?;
            stop.stop();
            notes.add([
                status(batch.set(0, 11)),
                status(batch.fail(0, 1, "")),
                status(batch.keep()),
            ]);
        }
        echo(batch)
    };
    let options = timeless()
        .handler_timeout(ns(10))
        .max_in_flight(2)
        .handler(handler);
    let batcher = options.on_result(journal.on_result()).build().unwrap();
    push_all(&batcher, [1]);
    batcher.seal().unwrap();
    let gauges = || {
        let stats = batcher.stats().unwrap();
        (
            stats.stuck,
            stats.late,
            stats.in_flight,
            stats.oldest_in_flight_age,
        )
    };
    thread::scope(|scope| {
        let _opener = door.opens_at_the_end();
        let inside = scope.spawn(|| batcher.run().unwrap());
        door.wait_for(1);
        run_at(&batcher, 9);
        assert_eq!((gauges(), journal.rows().len()), ((0, 0, 1, 9), 0));
        run_at(&batcher, 10);
        assert_eq!(
            journal.ended(1),
            Some((Outcome::Expired, Status::HANDLER_TIMEOUT, Handled::Maybe))
        );
        assert_eq!(
            (gauges().0, gauges().1, gauges().2),
            (1, 0, 1),
            "the thread is stuck"
        );
        assert_eq!(batcher.cancel(1), Err(Status::NOT_FOUND), "its outcome stands");
        push_all(&batcher, [2]);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        assert_eq!(journal.row(2).value, int(2), "the other slot works on");
        assert_eq!(gauges().0, 1);
        door.open();
        inside.join().unwrap();
    });
    assert_eq!((gauges(), batcher.stats().unwrap().expired), ((0, 1, 0, 0), 1));
    assert_eq!(
        answers.all(),
        [[Status::TOO_LATE; 3]],
        "what the handler set, failed and kept after its time"
    );
    batcher.run().unwrap();
    assert_eq!(journal.rows().len(), 2, "and no result comes twice");
}

/// Fails if the return of a handler that was too late touches outcomes that stand (`settle` without its look at
/// `fixed`): the host may be reading them.
#[test]
fn p21_what_was_delivered_stays_when_the_handler_returns_at_last() {
    let _watchdog = watchdog();
    let door = Door::new();
    let stop = door.clone();
    let handler = move |_: &mut Batch<'_>| -> Answer {
        stop.stop();
        Err(Failure::new(5, "too late to say so"))
    };
    for own in [true, false] {
        let options = given().handler_timeout(ns(10));
        let options = match own {
            true => options.handler_for(Kind::Int64, handler.clone()).handler(echo),
            false => options.handler(handler.clone()),
        };
        let batcher = options.pull_results().build().unwrap();
        batcher
            .push("of a part that is never called, if the other is one", 1)
            .unwrap();
        push_all(&batcher, 2..=3);
        thread::scope(|scope| {
            let _opener = door.opens_at_the_end();
            let inside = scope.spawn(|| batcher.run().unwrap());
            door.wait_for(1);
            batcher.advance(10).unwrap();
            let results = batcher.next_results(Timeout::ZERO).unwrap();
            let before = Set::of(&results);
            assert!(
                before.rows.iter().all(|row| row.code == Status::HANDLER_TIMEOUT),
                "{before:?}"
            );
            door.open();
            inside.join().unwrap();
            assert_eq!(Set::of(&results), before);
        });
        assert_eq!(status(batcher.next_results(Timeout::ZERO)), Status::TIMEOUT);
        assert_eq!(
            (batcher.stats().unwrap().expired, batcher.stats().unwrap().late),
            (3, 1)
        );
        door.close();
    }
}

/// Fails if nobody but the stuck handler's thread looks at the time (the time thread), or a batch expires before its
/// time.
#[test]
fn p21_a_stuck_thread_neither_delays_results_nor_stops_the_others() {
    let _watchdog = watchdog();
    let door = Door::new();
    let (stop, (sender, results)) = (door.clone(), mpsc::channel());
    let sender = Mutex::new(sender);
    let handler = move |batch: &mut Batch<'_>| {
        if batch.tags()[0] == 1 {
            stop.stop();
        }
        echo(batch)
    };
    const TIMEOUT: Duration = Duration::from_millis(20);
    let on_result = move |results: &Results<'_>| sender.lock().unwrap().send(Set::of(results)).unwrap();
    let options = Batcher::builder()
        .threads(2)
        .handler_timeout(TIMEOUT)
        .handler(handler);
    let batcher = options.on_result(on_result).build().unwrap();
    let _opener = door.opens_at_the_end();
    push_all(&batcher, [1]);
    door.wait_for(1);
    let expired = results.recv().unwrap();
    // The clock of the time-out began before the handler did, by less than a few milliseconds in any sane run.
    assert_eq!(
        (expired.rows[0].tag, expired.rows[0].code),
        (1, Status::HANDLER_TIMEOUT)
    );
    assert_eq!(
        (batcher.stats().unwrap().stuck, batcher.stats().unwrap().in_flight),
        (1, 1)
    );
    push_all(&batcher, [2]);
    let answered = results.recv().unwrap();
    assert_eq!(
        (answered.rows[0].tag, answered.rows[0].code),
        (2, Status::OK),
        "by the other thread"
    );
    door.open();
    wait_until(|| batcher.stats().unwrap().stuck == 0);
    assert_eq!(batcher.stats().unwrap().late, 1);
    batcher.flush(FOREVER).unwrap();
    assert!(results.try_recv().is_err(), "the late answer is nobody's result");
}
