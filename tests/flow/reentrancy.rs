//! Every call inside every callback (P25).

use super::*;

/// Every call of the API that can be made on a borrowed batcher, with its answer.
fn call_everything(batcher: &Batcher) -> Vec<(&'static str, Status)> {
    let mark = batcher.flush_begin();
    let explained =
        |result: Result<(), microbatch::Error>| result.map_or_else(|e| e.status(), |()| Status::OK);
    vec![
        ("push", status(batcher.push(1, 100))),
        ("push_int64", status(batcher.push_int64(1, 100))),
        ("push_float64", status(batcher.push_float64(1.0, 100))),
        ("push_str", status(batcher.push_str("text", 100))),
        ("push_bytes", status(batcher.push_bytes(b"bytes", 100))),
        (
            "push_with",
            status(batcher.push_with(1, 100, PushOptions::new().deadline(i64::MAX - 1))),
        ),
        (
            "push_owned",
            batcher
                .push_owned("mine".to_owned(), 100)
                .map_or_else(|e| e.0, |()| Status::OK),
        ),
        (
            "push_int64s",
            status(batcher.push_int64s(&[1, 2], Tags::From(100)).1),
        ),
        (
            "push_values",
            status(
                batcher
                    .push_values(&[Value::Null, Value::Bool(true)], Tags::From(100))
                    .1,
            ),
        ),
        (
            "producer",
            status(batcher.producer().and_then(|producer| producer.push(1, 100))),
        ),
        ("check", explained(batcher.check(1))),
        ("room", status(batcher.room(FOREVER))),
        ("cancel", status(batcher.cancel(100))),
        ("cancel nothing", status(batcher.cancel(999))),
        ("seal", status(batcher.seal())),
        ("stats", status(batcher.stats())),
        ("next_due", status(batcher.next_due())),
        ("now", status(batcher.now())),
        ("fd", explained(batcher.fd().map(drop))),
        ("flush_begin", status(mark)),
        ("flush", status(batcher.flush(FOREVER))),
        (
            "flush_end",
            mark.map_or_else(
                |_| Status::REENTRANT,
                |mark| status(batcher.flush_end(mark, FOREVER)),
            ),
        ),
        ("run", status(batcher.run())),
        ("advance", status(batcher.advance(1_000_000))),
        ("next_batch", status(batcher.next_batch(FOREVER))),
        ("next_results", status(batcher.next_results(FOREVER))),
    ]
}

/// What each of them must answer there.
fn must_answer(call: &str, manual: bool, pulled: bool, pulls_results: bool, closed: bool) -> Status {
    match call {
        "cancel" if closed => Status::NOT_FOUND,
        "cancel nothing" => Status::NOT_FOUND,
        "flush" | "flush_end" => Status::REENTRANT,
        "run" | "advance" => {
            if manual {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "next_batch" => {
            if pulled {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "next_results" => {
            if pulls_results {
                Status::REENTRANT
            } else {
                Status::WRONG_MODE
            }
        }
        "cancel" | "stats" | "next_due" | "now" | "fd" => Status::OK,
        _ if closed => Status::CLOSED,
        _ => Status::OK,
    }
}

/// Who is called where, and what came of it.
struct Scene {
    place: Place,
    called: AtomicBool,
    answers: Mutex<Option<Vec<(&'static str, Status)>>>,
    after_close: Mutex<Option<Vec<(&'static str, Status)>>>,
    closed: AtomicI32,
}

impl Scene {
    fn new(place: Place) -> Arc<Scene> {
        let closed = AtomicI32::new(0);
        Arc::new(Scene {
            place,
            called: AtomicBool::default(),
            answers: Mutex::default(),
            after_close: Mutex::default(),
            closed,
        })
    }

    /// Makes the calls if this is the place, once.
    fn at(&self, place: Place, batcher: &Weak<Batcher>) {
        let Some(batcher) = batcher.upgrade() else { return };
        if place != self.place || self.called.swap(true, SeqCst) {
            return;
        }
        let answers = call_everything(&batcher);
        self.closed.store(status(batcher.close(FOREVER)).code(), SeqCst);
        *self.after_close.lock().unwrap() = Some(call_everything(&batcher));
        assert_eq!(status(batcher.close(FOREVER)), Status::IN_PROGRESS);
        // Last: whoever waits for the answers may go on.
        *self.answers.lock().unwrap() = Some(answers);
    }
}

/// A batcher all of whose callbacks come by the scene. Everything is called: on_result fails on purpose, for the log.
fn staged(scene: &Arc<Scene>, builder: Builder, pulled: bool, pulls_results: bool) -> Arc<Batcher> {
    Arc::new_cyclic(|weak: &Weak<Batcher>| {
        let at = |place| {
            let (scene, weak) = (scene.clone(), weak.clone());
            move || scene.at(place, &weak)
        };
        let (handler, on_result, release, log) = (
            at(Place::Handler),
            at(Place::OnResult),
            at(Place::Release),
            at(Place::Log),
        );
        let mut builder = builder
            .on_object_release(7, move |_| release())
            .log(move |_, _| log());
        if !pulled {
            builder = builder.handler(move |batch| {
                handler();
                echo(batch)
            });
        }
        if pulls_results {
            builder = builder.pull_results();
        } else {
            builder = builder.on_result(move |_| {
                on_result();
                // As a panic, without the message that the test's own hook would print.
                std::panic::resume_unwind(Box::new("for the log"));
            });
        }
        builder.build().unwrap()
    })
}

/// Drives a staged batcher until its scene has played.
fn play(scene: &Scene, batcher: &Batcher, manual: bool, pulled: bool, pulls_results: bool) {
    batcher
        .push(
            Object {
                owner: 7,
                word: 5,
                size: 0,
            },
            1,
        )
        .unwrap();
    batcher.seal().unwrap();
    if pulled {
        answer(batcher.next_batch(FOREVER).unwrap()).unwrap();
    }
    if manual {
        batcher.run().unwrap();
    }
    if pulls_results {
        drop(batcher.next_results(FOREVER).unwrap());
        if manual {
            batcher.run().unwrap();
        }
    }
    wait_until(|| scene.answers.lock().unwrap().is_some());
}

/// Fails if any call inside any callback deadlocks, waits, or answers otherwise than the table says.
#[test]
fn p25_every_call_inside_every_callback_is_defined() {
    let _watchdog = watchdog();
    for place in PLACES {
        for (manual, pulled, pulls_results) in [
            (true, false, false),
            (true, false, true),
            (true, true, false),
            (false, false, false),
            (false, false, true),
            (false, true, false),
        ] {
            let called = match place {
                Place::Handler => !pulled,
                Place::OnResult | Place::Log => !pulls_results,
                Place::Release => true,
            };
            if !called {
                continue;
            }
            let scene = Scene::new(place);
            // Nobody pulls what the scene pushed: the end does not drain.
            let builder = if manual {
                timeless()
            } else {
                Batcher::builder().max_delay(FOREVER).close_timeout(ms(1))
            };
            let batcher = staged(&scene, builder, pulled, pulls_results);
            play(&scene, &batcher, manual, pulled, pulls_results);
            let here = format!("{place:?}, manual {manual}, pulled {pulled}, results pulled {pulls_results}");
            for (call, answer) in scene.answers.lock().unwrap().as_ref().unwrap() {
                let expected = must_answer(call, manual, pulled, pulls_results, false);
                assert_eq!(*answer, expected, "{call} in {here}");
            }
            assert_eq!(
                scene.closed.load(SeqCst),
                Status::IN_PROGRESS.code(),
                "close in {here}"
            );
            for (call, answer) in scene.after_close.lock().unwrap().as_ref().unwrap() {
                let expected = must_answer(call, manual, pulled, pulls_results, true);
                let fine = *answer == expected || (*call == "cancel" && *answer == Status::OK);
                assert!(fine, "{call} after close in {here}: {answer:?}");
            }
            if !pulls_results && !pulled {
                // What the callback began goes on when it returns.
                let closed = batcher.close(FOREVER);
                assert_eq!(closed.unwrap().left, 0, "{here}");
            }
            assert!(batcher.stats().unwrap().balanced(), "{here}");
        }
    }
}

/// Fails if a refused re-entrant call seals, moves the clock, or takes anything.
#[test]
fn p25_reentrant_calls_consume_nothing() {
    let cell: Arc<Mutex<Weak<Batcher>>> = Arc::default();
    let own = cell.clone();
    let journal = Journal::new();
    let saw = journal.clone();
    let batcher = timeless().max_in_flight(4).handler(move |batch| {
        let batcher = own.lock().unwrap().upgrade().unwrap();
        saw.saw(batch);
        if batch.tags() == [1] {
            batcher.push(2, 2)?;
            let before = batcher.stats().unwrap();
            assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::REENTRANT);
            assert_eq!(status(batcher.advance(77)), Status::REENTRANT);
            assert_eq!(status(batcher.run()), Status::REENTRANT);
            assert_eq!(batcher.now(), Ok(0));
            let after = batcher.stats().unwrap();
            assert_eq!(
                (after.waiting, after.triggers, after.in_flight),
                (before.waiting, before.triggers, 1)
            );
        }
        echo(batch)
    });
    let batcher = Arc::new(batcher.build().unwrap());
    *cell.lock().unwrap() = Arc::downgrade(&batcher);
    batcher.push(1, 1).unwrap();
    batcher.seal().unwrap();
    batcher.run().unwrap();
    assert_eq!(
        journal.sizes(),
        [1],
        "the value pushed inside is still in the open batch"
    );
    batcher.run().unwrap();
    assert_eq!(journal.sizes(), [1]);
    assert_eq!(batcher.stats().unwrap().ok, 1);
}
