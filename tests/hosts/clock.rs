//! The clock (P28).

use super::*;

/// Fails if a given clock starts elsewhere, moves by itself, or goes back.
#[test]
fn p28_a_given_clock_moves_by_advance_alone() {
    let journal = Journal::new();
    let batcher = given().max_delay(ns(10)).handler(journal.echo()).build().unwrap();
    assert_eq!((batcher.now(), batcher.next_due()), (Ok(0), Ok(i64::MAX)));
    batcher.push(1, 1).unwrap();
    assert_eq!(batcher.next_due(), Ok(10));
    thread::sleep(ms(1));
    batcher.run().unwrap();
    assert_eq!(batcher.now(), Ok(0));
    batcher.advance(9).unwrap();
    batcher.advance(3).unwrap();
    batcher.advance(-5).unwrap();
    batcher.advance(i64::MIN).unwrap();
    assert_eq!(batcher.now(), Ok(9), "backwards is ignored");
    batcher.run().unwrap();
    assert!(journal.batches().is_empty());
    batcher.advance(10).unwrap();
    assert!(journal.batches().is_empty(), "advance runs nothing");
    assert_eq!(batcher.next_due(), Ok(10));
    batcher.run().unwrap();
    assert_eq!(
        (journal.triggers(), journal.batches()[0].age),
        (vec![Trigger::Delay], 10)
    );
}

/// Fails if what is never due counts as due at the end of time: run would not end.
#[test]
fn p28_run_ends_at_the_end_of_time() {
    alone("p28_run_ends_at_the_end_of_time", || {
        // A loop without end is ended, in this process of its own: SIGALRM kills.
        // SAFETY: takes an integer.
        unsafe { libc::alarm(20) };
        let journal = Journal::new();
        let batcher = given()
            .max_delay(ns(10))
            .handler_timeout(ns(10))
            .handler(journal.echo())
            .build()
            .unwrap();
        batcher.push(1, 1).unwrap();
        batcher
            .push_with(2, 2, PushOptions::new().deadline(i64::MAX - 1))
            .unwrap();
        run_at(&batcher, i64::MAX);
        // The last moment there is may be the one before "never".
        assert!(batcher.now().unwrap() >= i64::MAX - 1);
        assert_eq!(batcher.next_due(), Ok(i64::MAX));
        assert_eq!(journal.sizes(), [1]);
        assert_eq!(batcher.stats().unwrap().expired, 1);
        batcher.push(3, 3).unwrap();
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
        assert_eq!(journal.sizes(), [1, 1]);
    });
}

/// Fails if the descriptor of a given clock fires because real time passes, or not when its own time comes.
#[test]
fn p28_the_descriptor_of_a_given_clock_fires_at_the_given_time() {
    let batcher = given().max_delay(ns(1000)).handler(echo).build().unwrap();
    let fd = batcher.fd().unwrap();
    batcher.push(1, 1).unwrap();
    assert!(!readable(fd, 20), "real time is far past 1000 ns");
    batcher.advance(999).unwrap();
    assert!(!readable(fd, 5));
    batcher.advance(1000).unwrap();
    assert!(fires(fd));
    batcher.run().unwrap();
    assert!(!readable(fd, 0));
    batcher
        .push_with(1, 2, PushOptions::new().deadline(1500))
        .unwrap();
    batcher.advance(1500).unwrap();
    assert!(fires(fd), "a deadline has come");
}

/// Fails if a given clock is let into threaded mode, or time can be given to the system's clock.
#[test]
fn p28_a_given_clock_is_for_manual_mode_only() {
    let error = Batcher::builder()
        .clock(Clock::Given)
        .handler(echo)
        .build()
        .unwrap_err();
    assert_eq!(
        (error.status(), error.subject()),
        (Status::INVALID_OPTION, "clock")
    );
    assert!(error.message().contains("manual"), "{error}");
    assert_eq!(
        status(manual().handler(echo).build().unwrap().advance(5)),
        Status::WRONG_MODE
    );
    assert_eq!(
        status(Batcher::builder().handler(echo).build().unwrap().advance(5)),
        Status::WRONG_MODE
    );
}

/// Fails if the batcher's clock is another than CLOCK_MONOTONIC, which deadlines are given on.
#[test]
fn p28_the_clock_is_the_systems_monotonic_clock() {
    let monotonic = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes one timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    for builder in [manual(), Batcher::builder()] {
        let batcher = builder.handler(echo).build().unwrap();
        let before = monotonic();
        let now = batcher.now().unwrap();
        assert!(before <= now && now <= monotonic());
    }
    let batcher = manual()
        .max_delay(Duration::from_secs(1000))
        .handler(echo)
        .build()
        .unwrap();
    let before = batcher.now().unwrap();
    batcher.push(1, 1).unwrap();
    let due = batcher.next_due().unwrap() - 1_000_000_000_000;
    assert!(before <= due && due <= batcher.now().unwrap());
}
