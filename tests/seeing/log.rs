//! The log (P39).

use super::*;

type Lines = Arc<Mutex<Vec<(i32, String)>>>;

fn logging(builder: Builder) -> (Builder, Lines) {
    let lines = Lines::default();
    let page = lines.clone();
    (
        builder.log(move |level, text| page.lock().unwrap().push((level, text.to_owned()))),
        lines,
    )
}

/// Fails if what is an answer (a refusal, a failure, a time-out) is logged as well.
#[test]
fn p39_the_log_is_silent_while_everything_has_an_answer() {
    let _watchdog = watchdog();
    for manual in [true, false] {
        let kept = Kept::default();
        let keep = kept.handler();
        let builder = if manual {
            timeless()
        } else {
            Batcher::builder().max_delay(FOREVER)
        };
        let (builder, lines) = logging(builder.queue_capacity(2).on_full(OnFull::Reject));
        let builder = builder
            .handler_for(Kind::String, |_| Err(Failure::new(3, "on purpose")))
            .handler(keep);
        let batcher = builder.on_result(|_| {}).build().unwrap();
        batcher.push(1, 0).unwrap();
        batcher.seal().unwrap();
        assert_eq!(batcher.run().is_ok(), manual);
        wait_until(|| kept.len() == 1);
        // The only slot is taken: what comes now waits.
        batcher.push("fails", 1).unwrap();
        batcher.push(1, 2).unwrap();
        assert_eq!(status(batcher.push(1, 3)), Status::QUEUE_FULL);
        drop(kept.take());
        assert_eq!(batcher.run().is_ok(), manual);
        wait_until(|| kept.len() == 1);
        drop(kept.take());
        batcher.push(1, 4).unwrap();
        assert_eq!(batcher.cancel(4), Ok(1));
        let _ = batcher.close(Timeout::ZERO);
        assert_eq!(status(batcher.push(1, 5)), Status::CLOSED);
        drop(batcher);
        assert_eq!(*lines.lock().unwrap(), []);
    }
}

/// Fails if a panic that has nobody to answer to goes unlogged, is logged twice, or as anything but an error.
#[test]
fn p39_what_has_nobody_to_answer_to_is_logged_once() {
    let journal = Journal::new();
    let seen = journal.on_result();
    let (builder, lines) = logging(timeless());
    let builder = builder.on_result(move |results| {
        seen(results);
        // As a panic, without the message that the test's own hook would print.
        std::panic::resume_unwind(Box::new("on_result broke"));
    });
    let builder = builder.on_object_release(7, |_| {
        std::panic::resume_unwind(Box::new("release broke".to_owned()))
    });
    let batcher = builder.handler(echo).build().unwrap();
    let (other, quiet) = logging(timeless());
    let other = other.handler(echo).build().unwrap();
    for batcher in [&batcher, &other] {
        batcher.push(1, 1).unwrap();
        batcher.flush(Timeout::ZERO).unwrap();
    }
    assert_eq!(*lines.lock().unwrap(), [(3, "on_result broke".to_owned())]);
    lines.lock().unwrap().clear();
    batcher
        .push(
            Object {
                owner: 7,
                word: 1,
                size: 0,
            },
            2,
        )
        .unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let logged: Vec<_> = lines.lock().unwrap().iter().map(|line| line.1.clone()).collect();
    assert_eq!(logged[..2], ["on_result broke", "release broke"]);
    assert_eq!(journal.rows().len(), 2, "the batcher goes on");
    assert_eq!(*quiet.lock().unwrap(), [], "a line goes to its own batcher");
}

/// Fails if a log callback that panics takes a thread of the engine, or the caller, with it.
#[test]
fn p39_a_log_that_panics_changes_nothing() {
    let _watchdog = watchdog();
    for manual in [true, false] {
        let builder = if manual {
            timeless()
        } else {
            Batcher::builder().max_delay(FOREVER)
        };
        let builder = builder.log(|_, _| std::panic::resume_unwind(Box::new("the log broke")));
        let builder = builder.on_result(|_| std::panic::resume_unwind(Box::new("on_result broke")));
        let batcher = builder.handler(echo).build().unwrap();
        for tag in 0..3 {
            batcher.push(1, tag).unwrap();
            batcher.flush(FOREVER).unwrap();
        }
        assert_eq!(batcher.stats().unwrap().ok, 3);
        assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
    }
}
