//! Delay (P9).

use super::*;

/// Fails if a later push restarts the delay (set `opened_at` in `append`, not in `open`, in engine/open.rs).
#[test]
fn p09_delay_is_never_restarted() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    push_all(&batcher, 1..=1);
    for (value, now) in [(2, 4), (3, 9)] {
        run_at(&batcher, now);
        push_all(&batcher, value..=value);
        batcher.push("of another kind", 0).unwrap();
        batcher
            .push_with("with a deadline", 0, PushOptions::new().deadline(100))
            .unwrap();
        assert_eq!(batcher.next_due(), Ok(10));
    }
    run_at(&batcher, 9);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 10);
    assert_eq!((journal.sizes(), journal.batches()[0].age), (vec![7], 10));
}

/// Fails if the batch's age is reckoned anew when a value leaves (`opened_at` set in `remove_waiting`).
#[test]
fn p09_delay_counts_from_the_first_value_also_if_that_one_left() {
    for deadline in [0, 7] {
        let (batcher, journal) = journaled(given().max_delay(ns(10)));
        batcher
            .push_with(1, 1, PushOptions::new().deadline(deadline))
            .unwrap();
        run_at(&batcher, 6);
        push_all(&batcher, 2..=2);
        run_at(&batcher, 7);
        if deadline == 0 {
            assert_eq!(batcher.cancel(1), Ok(1));
        }
        assert_eq!(batcher.stats().unwrap().waiting, 1, "the first value left");
        run_at(&batcher, 9);
        assert_eq!(journal.sizes(), []);
        run_at(&batcher, 10);
        assert_eq!(
            (values_of(&journal.batches()), journal.batches()[0].age),
            (vec![vec![2]], 10)
        );
    }
}

/// Fails if what is spun out is taken off the delay (a batch due at `wake_at`), or slept out as without the option.
#[test]
fn p09_a_delay_that_is_spun_out_is_not_shorter() {
    let _alive = watchdog();
    let delay = Duration::from_millis(20);
    // Nanoseconds of the processor that the calling thread has had.
    fn spent() -> u64 {
        let stats = fs::read_to_string("/proc/thread-self/schedstat").expect("what the thread has had");
        stats
            .split(' ')
            .next()
            .and_then(|first| first.parse().ok())
            .expect("a number")
    }
    for (spin, least) in [(delay / 2, 0), (delay * 3, 10_000_000)] {
        let (handled, batches) = mpsc::channel();
        let batcher = Batcher::builder()
            .max_delay(delay)
            .delay_spin(spin)
            .handler(move |batch| {
                let _ = handled.send((batch.trigger(), batch.age(), Instant::now(), spent()));
                echo(batch)
            })
            .build()
            .expect("a batcher");
        let mut had = Vec::new();
        for _ in 0..50 {
            let before = Instant::now();
            push_all(&batcher, [1]);
            let (trigger, age, at, spent) = batches.recv().expect("the batch");
            had.push(spent);
            assert_eq!(trigger, Trigger::Delay);
            assert!(
                age >= delay && at.duration_since(before) >= delay,
                "sealed too early"
            );
        }
        // Slept out, fifty delays take two or three milliseconds of the processor; spun out, what the thread can get of a second.
        assert!(had[49] - had[0] >= least, "nothing was spun out");
    }
}

/// Fails if a thread that spins out a delay hears of nothing else (`hint` not looked at), keeps the watch (`watch_due` left
/// as it is), or does not see the end.
#[test]
fn p07_whoever_spins_out_a_delay_takes_what_comes_meanwhile() {
    let _alive = watchdog();
    let hour = Duration::from_secs(3600);
    for threads in [1, 3] {
        let journal = Journal::new();
        let batcher = Batcher::builder()
            .threads(threads)
            .max_batch_size(2)
            .max_delay(hour)
            .delay_spin(hour)
            .handler(journal.echo())
            .build()
            .expect("a batcher");
        for round in 0..20 {
            push_all(&batcher, [1]);
            if round % 4 == 1 {
                thread::yield_now();
            }
            // The value that fills the batch, a flush, and a deadline that leaves nothing to watch.
            match round % 3 {
                0 => push_all(&batcher, [2]),
                1 => batcher.seal().expect("a seal"),
                _ => assert_eq!(batcher.cancel(1), Ok(1)),
            }
            batcher.flush(Timeout::FOREVER).expect("a flush");
        }
        push_all(&batcher, [1]);
        batcher.close(Timeout::FOREVER).expect("a close");
        assert_eq!(journal.sizes().iter().sum::<usize>(), 7 * 2 + 7 + 1);
    }
}

/// Fails if a busy input starves the delay: a due batch that only a quiet moment seals (`open_due` asked when the
/// last push is old).
/// The batch behind a full one is opened together with the seal: its age still counts from its first value.
#[test]
fn p09_delay_counts_from_the_first_value_behind_a_full_batch() {
    let _alive = watchdog();
    let delay = Duration::from_millis(60);
    let (handled, batches) = mpsc::channel();
    let batcher = Batcher::builder()
        .max_batch_size(2)
        .max_delay(delay)
        .handler(move |batch| {
            let age = batch.age();
            let _ = handled.send((batch.len(), age, Instant::now()));
            echo(batch)
        })
        .build()
        .expect("a batcher");
    for round in 0..5 {
        push_all(&batcher, [1, 2]);
        let (len, ..) = batches.recv().expect("the full batch");
        assert_eq!(len, 2);
        thread::sleep(delay * round / 3);
        let before = Instant::now();
        push_all(&batcher, [3]);
        let (len, age, at) = batches.recv().expect("the batch behind it");
        assert_eq!(len, 1);
        assert!(
            at.duration_since(before) >= delay,
            "round {round}: sealed too early"
        );
        assert!(age >= delay, "round {round}: {age:?} old");
    }
}

#[test]
fn p09_a_busy_input_never_starves_the_delay() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    for now in 0..110 {
        batcher.advance(now).unwrap();
        push_all(&batcher, now..=now);
        batcher.run().unwrap();
    }
    let batches = journal.batches();
    assert_eq!(batches.len(), 10);
    for batch in &batches {
        assert_eq!((batch.trigger, batch.age, batch.len()), (Trigger::Delay, 10, 11));
    }
}
