//! Deadlines and cancel (P20).

use super::*;

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

/// Waits until the one handler thread sleeps.
fn wait_for_sleep() {
    let sleeps = |task: std::fs::DirEntry| {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        read("comm").starts_with("mb-handler") && read("stat").contains(") S ")
    };
    wait_until(|| {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .any(sleeps)
    });
}

/// Fails if the time is nobody's while the thread for it is in `on_result`: a deadline would be passed over that comes
/// sooner than what a sleeping handler thread waits for.
#[test]
fn p20_a_handler_thread_keeps_a_sooner_deadline_while_the_time_thread_is_in_on_result() {
    let _watchdog = watchdog();
    let (handler, delivery, shelf) = (Door::new(), Door::new(), Shelf::new());
    let (in_handler, in_delivery, kept) = (handler.clone(), delivery.clone(), shelf.clone());
    let batcher = Batcher::builder()
        .threads(1)
        .max_batch_size(1)
        .queue_capacity(1)
        .result_capacity(100)
        .handler(move |batch| {
            in_handler.stop();
            kept.put(batch.keep()?);
            Ok(())
        })
        .on_result(move |_| in_delivery.stop())
        .build()
        .unwrap();
    let _opens = (handler.opens_at_the_end(), delivery.opens_at_the_end());
    let after = |nanos| by(batcher.now().unwrap() + nanos);
    batcher.push(1, 1).unwrap();
    handler.wait_for(1);
    // Nobody else is there to deliver it than the thread for time.
    batcher.push_with(2, 2, after(1_000_000)).unwrap();
    delivery.wait_for(1);
    // The handler keeps the only slot, and its thread sleeps.
    handler.open();
    wait_until(|| shelf.len() == 1);
    wait_for_sleep();
    batcher.push_with(3, 3, after(1_000_000)).unwrap();
    // There is room for it as soon as the other has expired.
    batcher.push(4, 4).unwrap();
    delivery.open();
    shelf.take().complete_ok().unwrap();
    wait_until(|| shelf.len() == 1);
    shelf.take().complete_ok().unwrap();
    batcher.close(FOREVER).unwrap();
    let stats = batcher.stats().unwrap();
    assert_eq!((stats.ok, stats.expired), (2, 2));
}
