//! The two modes (P27).

use super::*;

/// Fails if anything in manual mode starts a thread: creation, a descriptor, time, flush, close.
#[test]
fn p27_manual_mode_starts_no_thread() {
    alone("p27_manual_mode_starts_no_thread", || {
        let _watchdog = watchdog();
        let baseline = tasks();
        let same = |what: &str| assert_eq!(tasks(), baseline, "threads after {what}");
        for builder in [manual(), given(), manual().pull_results()] {
            let batcher = builder
                .max_delay(ms(1))
                .handler_timeout(ms(50))
                .handler(echo)
                .build()
                .unwrap();
            same("build");
            batcher.fd().unwrap();
            same("fd");
            for tag in 0..1000 {
                batcher.push(1, tag).unwrap();
            }
            batcher
                .push_with(1, 1000, PushOptions::new().deadline(1))
                .unwrap();
            batcher.producer().unwrap().push(1, 1001).unwrap();
            same("push");
            batcher.run().unwrap();
            same("run");
            let _ = batcher.flush(ms(5));
            same("flush");
            let _ = batcher.close(ms(5));
            same("close");
            drop(batcher);
            same("free");
        }
        // Pulled, and on the system's clock.
        let batcher = manual().build().unwrap();
        batcher.push(1, 1).unwrap();
        answer(batcher.next_batch(Timeout::ZERO).unwrap()).unwrap();
        same("next_batch");
        batcher.abandon();
        same("abandon");
    });
}

/// Fails if a thread more or less is started than the options say, or if a pulled batcher has handler threads.
#[test]
fn p27_threaded_mode_starts_its_handler_threads_and_one_for_time() {
    alone(
        "p27_threaded_mode_starts_its_handler_threads_and_one_for_time",
        || {
            let _watchdog = watchdog();
            let baseline = tasks();
            for threads in [1, 2, 7] {
                let batcher = Batcher::builder().threads(threads).handler(echo).build().unwrap();
                assert_eq!(tasks(), baseline + threads as usize + 1);
                // A thread gives itself its name.
                wait_until(|| engine_threads().len() == threads as usize + 1);
                let mut names: Vec<_> = engine_threads().into_iter().map(|thread| thread.1).collect();
                names.sort();
                assert_eq!(names.pop().as_deref(), Some("mb-time"));
                assert_eq!(names, vec!["mb-handler"; threads as usize]);
                for tag in 0..1000 {
                    batcher.push(1, tag).unwrap();
                }
                batcher.flush(FOREVER).unwrap();
                assert_eq!(tasks(), baseline + threads as usize + 1, "work starts no more");
                drop(batcher);
                wait_until(|| tasks() == baseline);
            }
            let pulled = Batcher::builder().threads(3).build().unwrap();
            assert_eq!(tasks(), baseline + 1);
            drop(pulled);
            wait_until(|| tasks() == baseline);
        },
    );
}

/// Fails if anything waits in manual mode, however long its time-out.
#[test]
fn p27_nothing_waits_in_manual_mode() {
    let _watchdog = watchdog();
    let kept = Kept::default();
    let batcher = manual()
        .max_delay(FOREVER)
        .queue_capacity(1)
        .pull_results()
        .handler(kept.handler());
    let batcher = batcher.push_timeout(FOREVER).build().unwrap();
    batcher.push(1, 1).unwrap();
    batcher.run().unwrap();
    batcher.push(2, 2).unwrap();
    assert_eq!(status(batcher.push(3, 3)), Status::QUEUE_FULL);
    assert_eq!(status(batcher.room(FOREVER)), Status::QUEUE_FULL);
    assert_eq!(status(batcher.flush(FOREVER)), Status::IN_PROGRESS);
    assert_eq!(status(batcher.next_results(FOREVER)), Status::TIMEOUT);
    assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
    let pulled = manual().build().unwrap();
    assert_eq!(status(pulled.next_batch(FOREVER)), Status::TIMEOUT);
}

/// Fails if a mode handles, fails, expires or cancels otherwise than the other.
#[test]
fn p27_both_modes_give_the_same_results() {
    let _watchdog = watchdog();
    let results = [manual(), Batcher::builder().threads(2)].map(|builder| {
        let journal = Journal::new();
        let batcher = builder.max_batch_size(3).max_delay(FOREVER).handler(|batch| {
            for (row, tag) in batch.tags().iter().enumerate() {
                match tag % 4 {
                    0 => batch.set(row, batch.value(row))?,
                    1 => batch.fail(row, 5, "five")?,
                    _ => {}
                }
            }
            if batch.tags().contains(&6) {
                Err(Failure::new(9, "all of them"))
            } else {
                Ok(())
            }
        });
        let batcher = batcher.on_result(journal.on_result()).build().unwrap();
        batcher.push(1, 100).unwrap();
        assert_eq!(batcher.cancel(100), Ok(1));
        batcher.push_with(1, 101, PushOptions::new().deadline(1)).unwrap();
        let manual = batcher.run().is_ok();
        wait_until(|| journal.rows().len() == 2);
        for tag in 0..11 {
            batcher.push(tag as i64, tag).unwrap();
        }
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.run().is_ok(), manual);
        let mut rows = journal.rows();
        rows.sort_by_key(|row| row.tag);
        rows
    });
    assert_eq!(results[0].len(), 13);
    assert_eq!(results[0], results[1]);
}

/// Fails if an engine thread with nothing to do looks for work again and again, instead of sleeping.
#[test]
fn p27_threads_that_have_nothing_to_do_sleep() {
    alone("p27_threads_that_have_nothing_to_do_sleep", || {
        let _watchdog = watchdog();
        let batcher = Batcher::builder()
            .threads(2)
            .max_delay(FOREVER)
            .handler(echo)
            .build()
            .unwrap();
        // What the threads had of the processor, in nanoseconds.
        let worked = || -> u64 {
            let of =
                |id: &String| std::fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).unwrap();
            let threads = engine_threads();
            assert_eq!(threads.len(), 3);
            threads
                .iter()
                .map(|(id, _)| of(id).split(' ').next().unwrap().parse::<u64>().unwrap())
                .sum()
        };
        // A thread gives itself its name.
        wait_until(|| engine_threads().len() == 3);
        for waiting in 0..2 {
            for tag in 0..10 {
                batcher.push(1, tag).unwrap();
            }
            batcher.flush(FOREVER).unwrap();
            for tag in 0..waiting {
                batcher.push(1, tag).unwrap();
            }
            thread::sleep(ms(50));
            let before = worked();
            thread::sleep(ms(400));
            let took = worked() - before;
            assert!(took < 20_000_000, "{took} ns of 400 ms with {waiting} waiting");
        }
    });
}
