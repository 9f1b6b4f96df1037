//! Memory: when there is none left, and when none should be asked for (P33, and the memory of P26).
//!
//! The allocator of this binary counts, and refuses the allocations it is told to refuse. Every test runs in a process
//! of its own, so that counts are its own and an abort names its test; what it printed last says where it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{FOREVER, echo, ns, status, timeless, wait_until, watchdog};
use microbatch::{
    Batch, Batcher, Builder, Failure, Kind, Mode, Object, OnFull, Outcome, PushOptions, Results, Split,
    Status, Tags, Timeout, Value, map,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

// ---- The allocator

/// The system's allocator, watched.
struct Watched;

/// Allocations of the engine's threads count.
static ENGINE: AtomicBool = AtomicBool::new(false);
/// How many allocations were asked for while they counted.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Those from `FIRST` on and before `LAST` are refused.
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);
static LAST: AtomicU64 = AtomicU64::new(u64::MAX);
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Bytes allocated and not given back, by anybody.
static LIVE: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Allocations of this thread count.
    static MINE: Cell<bool> = const { Cell::new(false) };
}

fn is_engine_thread() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: writes 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr(), 0_usize, 0_usize, 0_usize) };
    name.starts_with(b"mb-")
}

fn is_granted() -> bool {
    let counts = MINE.try_with(Cell::get).unwrap_or(false) || (ENGINE.load(SeqCst) && is_engine_thread());
    if !counts {
        return true;
    }
    let number = ASKED.fetch_add(1, SeqCst);
    let refused = (FIRST.load(SeqCst)..LAST.load(SeqCst)).contains(&number);
    REFUSED.fetch_add(u64::from(refused), SeqCst);
    !refused
}

// SAFETY: every call goes to the system's allocator as it is, or answers null, which an allocator may.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_granted() {
            return std::ptr::null_mut();
        }
        LIVE.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_granted() {
            return std::ptr::null_mut();
        }
        LIVE.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_granted() {
            return std::ptr::null_mut();
        }
        LIVE.fetch_add(size as i64 - layout.size() as i64, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Allocations that `call` makes on this thread count, and may be refused. What the test itself needs stays outside.
fn counted<R>(call: impl FnOnce() -> R) -> R {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            MINE.set(false);
        }
    }
    let ends = Ends;
    MINE.set(true);
    let answer = call();
    drop(ends);
    answer
}

/// How many allocations `call` asks for on this thread.
fn allocations(call: impl FnOnce()) -> u64 {
    let before = ASKED.load(SeqCst);
    counted(call);
    ASKED.load(SeqCst) - before
}

/// Plays the scenario again and again: without its k-th allocation, and without all from the k-th on, for every k there
/// is. What it prints is seen if it aborts.
fn without_every_allocation(scenario: impl Fn()) {
    for for_good in [false, true] {
        for k in 0.. {
            println!(
                "without allocation {k}{}",
                if for_good { " and all later ones" } else { "" }
            );
            ASKED.store(0, SeqCst);
            REFUSED.store(0, SeqCst);
            LAST.store(if for_good { u64::MAX } else { k + 1 }, SeqCst);
            FIRST.store(k, SeqCst);
            scenario();
            FIRST.store(u64::MAX, SeqCst);
            if REFUSED.load(SeqCst) == 0 {
                assert!(k > 0, "the scenario asks for memory");
                println!("{k} allocations");
                break;
            }
        }
    }
}

/// Runs `test` in a process of its own: this very test of this binary, alone.
fn alone(name: &str, test: fn()) {
    if std::env::var("MICROBATCH_ALONE").is_ok_and(|alone| alone == name) {
        return test();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env("MICROBATCH_ALONE", name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{name}, alone ({}):\n{last}",
        child.status
    );
}

// ---- What happened, written down without memory

const TAGS: usize = 256;

/// By tag or word: what was accepted, what came back.
struct Books {
    accepted: [AtomicU32; TAGS],
    results: [AtomicU32; TAGS],
    /// References to objects handed over, and given back.
    handed: [AtomicU32; TAGS],
    released: [AtomicU32; TAGS],
    /// Closures that are gone.
    closures: AtomicU32,
}

impl Books {
    fn new() -> Arc<Books> {
        let zeros = || std::array::from_fn(|_| AtomicU32::new(0));
        let closures = AtomicU32::new(0);
        Arc::new(Books {
            accepted: zeros(),
            results: zeros(),
            handed: zeros(),
            released: zeros(),
            closures,
        })
    }

    /// A push was answered so.
    fn pushed(&self, tag: u64, answer: Status) {
        assert!(
            matches!(answer, Status::OK | Status::NO_MEMORY),
            "tag {tag}: {answer:?}"
        );
        self.accepted[tag as usize].fetch_add(u32::from(answer.is_ok()), SeqCst);
    }

    /// An object was offered and taken or not.
    fn offered(&self, word: u64, answer: Status) {
        self.handed[word as usize].fetch_add(u32::from(answer.is_ok()), SeqCst);
    }

    fn came(&self, results: &Results<'_>) {
        for tag in results.tags() {
            self.results[*tag as usize].fetch_add(1, SeqCst);
        }
    }

    /// Every accepted value has one result, every reference was given back once, every closure is gone.
    fn assert_closed(&self, closures: u32) {
        for tag in 0..TAGS {
            let (accepted, results) = (self.accepted[tag].load(SeqCst), self.results[tag].load(SeqCst));
            assert_eq!(accepted, results, "tag {tag}: accepted, and results");
            let (handed, released) = (self.handed[tag].load(SeqCst), self.released[tag].load(SeqCst));
            assert_eq!(handed, released, "object {tag}: handed over, and released");
        }
        assert_eq!(self.closures.load(SeqCst), closures, "closures that are gone");
    }
}

/// What a closure writes into; counts the closure's end.
struct Pen(Arc<Books>);

impl Drop for Pen {
    fn drop(&mut self) {
        self.0.closures.fetch_add(1, SeqCst);
    }
}

/// Words of result objects start here.
const RESULT_WORDS: u64 = 128;

fn object(word: u64) -> Object {
    Object {
        owner: 7,
        word,
        size: 5,
    }
}

/// Answers with whatever needs memory; what finds none stays unset. Failures have no memory of their own.
fn answer_dearly(batch: &Batch<'_>, books: &Books) {
    for (row, tag) in batch.tags().iter().enumerate() {
        let _ = match (batch.value(row), tag % 5) {
            (_, 0) => batch.fail(row, 3, "a message that needs memory of its own"),
            (Value::Object(object), _) => {
                let result = Object {
                    word: RESULT_WORDS + object.word,
                    ..object
                };
                books.offered(result.word, status(batch.set(row, result)));
                // Set again: the first one is replaced.
                let answer = batch.set(row, result);
                books.offered(result.word, status(answer));
                answer
            }
            (value, _) => batch.set(row, value),
        };
    }
}

/// A builder whose closures are all there, before anything counts.
fn builder(books: &Arc<Books>, options: Builder) -> Builder {
    let pen = || Pen(books.clone());
    let (handler, strings, objects, on_result, release) = (pen(), pen(), pen(), pen(), pen());
    options
        .handler(move |batch| {
            answer_dearly(batch, &handler.0);
            Ok(())
        })
        .handler_for(Kind::String, move |batch| {
            answer_dearly(batch, &strings.0);
            Ok(())
        })
        .handler_for(Kind::Object, move |batch| {
            answer_dearly(batch, &objects.0);
            if batch.tags()[0] % 2 == 0 {
                let _ = batch.fail_all(4, "and yet the whole part fails");
            }
            Ok(())
        })
        .on_result(move |results| on_result.0.came(results))
        .on_object_release(7, move |word| {
            release.0.released[word as usize].fetch_add(1, SeqCst);
        })
}

const CLOSURES: u32 = 5;

// ---- P33: no memory

/// Fails if creation aborts, hangs, keeps anything, or says anything but NO_MEMORY.
#[test]
fn p33_creation_without_memory_answers_no_memory() {
    alone("p33_creation_without_memory_answers_no_memory", || {
        let _watchdog = watchdog();
        for manual in [true, false] {
            without_every_allocation(|| {
                let books = Books::new();
                let builder = builder(
                    &books,
                    Batcher::builder().mode(if manual { Mode::Manual } else { Mode::Threaded }),
                );
                match counted(|| builder.build()) {
                    Ok(batcher) => drop(batcher),
                    Err(error) => assert_eq!(error.status(), Status::NO_MEMORY, "{error}"),
                }
                books.assert_closed(CLOSURES);
            });
        }
        // The text of an error is cut off where memory ends; the error itself is not.
        without_every_allocation(|| {
            let error = counted(|| Batcher::builder().option("max_dely", "5ms")).unwrap_err();
            assert_eq!(error.status(), Status::INVALID_OPTION);
            let error =
                counted(|| Batcher::builder().max_batch_size(5).queue_capacity(2).build()).unwrap_err();
            assert!(
                matches!(error.status(), Status::INVALID_OPTION | Status::NO_MEMORY),
                "{error}"
            );
        });
    });
}

/// Pushes values of every kind in every way, with every extra.
fn push_everything(batcher: &Batcher, books: &Books, first: u64, producers: bool) {
    let long = "x".repeat(3000);
    let mut tag = first;
    let mut next = |push: &dyn Fn(u64) -> Status| {
        tag += 1;
        let answer = counted(|| push(tag));
        books.pushed(tag, answer);
        answer
    };
    next(&|tag| status(batcher.push_int64(1, tag)));
    next(&|tag| status(batcher.push_float64(1.5, tag)));
    next(&|tag| status(batcher.push((), tag)));
    next(&|tag| status(batcher.push_str("short", tag)));
    next(&|tag| status(batcher.push_bytes(b"bytes", tag)));
    next(&|tag| status(batcher.push_str(&long, tag)));
    next(&|tag| status(batcher.push_with(true, tag, PushOptions::new().deadline(50))));
    next(&|tag| status(batcher.push_with("text", tag, PushOptions::new().deadline(60))));
    for _ in 0..4 {
        next(&|tag| {
            let answer = status(batcher.push(object(tag), tag));
            books.offered(tag, answer);
            answer
        });
    }
    if producers {
        match counted(|| batcher.producer()) {
            Ok(producer) => {
                for _ in 0..3 {
                    next(&|tag| status(producer.push_int64(1, tag)));
                }
                next(&|tag| status(producer.push("text", tag)));
                counted(|| drop(producer));
            }
            Err(refused) => assert_eq!(refused, Status::NO_MEMORY),
        }
    }
    let (taken, answer) = counted(|| batcher.push_int64s(&[1; 5], Tags::From(tag + 1)));
    let bulk = |index: u64| {
        if index < taken as u64 {
            Status::OK
        } else {
            status(answer)
        }
    };
    (0..5)
        .take(taken + 1)
        .for_each(|index| books.pushed(tag + 1 + index, bulk(index)));
    tag += 5;
    let values = [Value::Bytes(b"b"), Value::String(&long), Value::Float64(2.5)];
    let (taken, answer) = counted(|| batcher.push_values(&values, Tags::From(tag + 1)));
    let bulk = |index: u64| {
        if index < taken as u64 {
            Status::OK
        } else {
            status(answer)
        }
    };
    (0..3)
        .take(taken + 1)
        .for_each(|index| books.pushed(tag + 1 + index, bulk(index)));
}

/// A life of a batcher in virtual time, with all that can need memory in it.
fn life(options: fn(Builder) -> Builder) {
    let books = Books::new();
    let builder = builder(&books, options(timeless().max_batch_size(10).queue_capacity(60)));
    let Ok(batcher) = counted(|| builder.build()) else {
        return books.assert_closed(CLOSURES);
    };
    // There may be no memory to do it, and never anything wrong.
    let fine = |answer: Status| {
        let fine = [
            Status::OK,
            Status::NO_MEMORY,
            Status::NOT_FOUND,
            Status::TOO_LATE,
            Status::IN_PROGRESS,
        ];
        assert!(fine.contains(&answer), "{answer:?}");
    };
    for round in 0..2_u64 {
        push_everything(&batcher, &books, 1 + 50 * round, true);
        fine(status(counted(|| batcher.cancel(3 + 50 * round))));
        fine(status(counted(|| batcher.cancel(9 + 50 * round))));
        fine(status(counted(|| batcher.seal())));
        fine(status(counted(|| batcher.advance(55 + 100 * round as i64))));
        fine(counted(|| {
            batcher.fd().map_or_else(|e| e.status(), |_| Status::OK)
        }));
        fine(status(counted(|| batcher.run())));
        fine(status(counted(|| batcher.flush_begin())));
        let stats = counted(|| batcher.stats()).unwrap();
        assert!(stats.balanced(), "{stats:?}");
        let accepted: u32 = books.accepted.iter().map(|accepted| accepted.load(SeqCst)).sum();
        assert_eq!(stats.accepted, u64::from(accepted));
    }
    push_everything(&batcher, &books, 101, false);
    fine(status(counted(|| batcher.close(Timeout::ZERO))));
    assert!(batcher.stats().unwrap().balanced());
    counted(|| drop(batcher));
    books.assert_closed(CLOSURES);
}

/// Fails if a lack of memory aborts, loses a value or an object, or upsets the accounts: at every single allocation.
#[test]
fn p33_a_life_without_memory_loses_nothing() {
    alone("p33_a_life_without_memory_loses_nothing", || {
        let _watchdog = watchdog();
        without_every_allocation(|| life(|builder| builder));
    });
}

/// Fails if discarding, ordered delivery or small batches need memory that was not reserved.
#[test]
fn p33_other_options_lose_nothing_either() {
    alone("p33_other_options_lose_nothing_either", || {
        let _watchdog = watchdog();
        without_every_allocation(|| life(|b| b.option("delivery", "ordered").unwrap().max_delay(ns(0))));
        without_every_allocation(|| {
            life(|b| {
                b.on_full(OnFull::DiscardOldest)
                    .queue_capacity(12)
                    .max_batch_size(4)
            });
        });
    });
}

/// Fails if an accepted value lacks memory later: everything after acceptance must have been reserved.
#[test]
fn p33_what_was_accepted_needs_no_memory_until_its_result_is_delivered() {
    alone(
        "p33_what_was_accepted_needs_no_memory_until_its_result_is_delivered",
        || {
            let _watchdog = watchdog();
            for ordered in [false, true] {
                let books = Books::new();
                let came = Pen(books.clone());
                let builder = timeless()
                    .option("delivery", if ordered { "ordered" } else { "as_completed" })
                    .unwrap();
                let builder = builder.max_batch_size(8).queue_capacity(200).handler(|batch| {
                    for row in 0..batch.len() {
                        // A cell: results of 8 bytes have their places.
                        batch.set(row, 7)?;
                    }
                    Ok(())
                });
                let batcher = builder
                    .on_result(move |results| came.0.came(results))
                    .build()
                    .unwrap();
                for tag in 0..100 {
                    books.pushed(tag, status(batcher.push_int64(1, tag)));
                }
                for tag in 100..200 {
                    books.pushed(tag, status(batcher.push("text", tag)));
                }
                // From here on there is no memory at all.
                ASKED.store(0, SeqCst);
                FIRST.store(0, SeqCst);
                let ended = counted(|| {
                    let flushed = status(batcher.flush(Timeout::ZERO));
                    let closed = batcher.close(FOREVER);
                    drop(batcher);
                    (flushed, closed.map(|closed| closed.left))
                });
                FIRST.store(u64::MAX, SeqCst);
                assert_eq!(ended, (Status::OK, Ok(0)), "ordered {ordered}");
                books.assert_closed(1);
            }
        },
    );
}

/// Fails if a refused owned push loses the string, or aborts.
#[test]
fn p33_an_owned_push_without_memory_gives_the_string_back() {
    alone("p33_an_owned_push_without_memory_gives_the_string_back", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let batcher = timeless().handler(echo).build().unwrap();
            let text = "y".repeat(100);
            match counted(|| batcher.push_owned(text, 1)) {
                Ok(()) => assert_eq!(batcher.stats().unwrap().waiting_bytes, 108),
                Err((refused, text)) => {
                    assert_eq!((refused, text), (Status::NO_MEMORY, "y".repeat(100)));
                    assert_eq!(batcher.stats().unwrap().accepted, 0);
                }
            }
        });
    });
}

/// Fails if `?` on a refused `set` aborts inside the handler instead of failing the part.
#[test]
fn p33_a_failure_without_memory_is_still_a_failure() {
    alone("p33_a_failure_without_memory_is_still_a_failure", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let books = Books::new();
            let came = Pen(books.clone());
            let builder = timeless().handler(|batch| {
                batch.set(0, "a result that needs memory")?;
                Err(Failure::from(Status::TIMEOUT))
            });
            let batcher = builder.on_result(move |results| {
                if results.outcome(0) == Outcome::Failed {
                    came.0.came(results);
                }
            });
            let batcher = batcher.build().unwrap();
            books.pushed(1, status(batcher.push(1, 1)));
            counted(|| batcher.flush(Timeout::ZERO)).unwrap();
            drop(batcher);
            books.assert_closed(1);
        });
    });
}

/// Fails if map aborts, or answers anything but all its results or NO_MEMORY.
#[test]
fn p33_map_without_memory_answers_no_memory() {
    alone("p33_map_without_memory_answers_no_memory", || {
        let _watchdog = watchdog();
        let values = [
            Value::Int64(1),
            Value::String("two"),
            Value::Float64(3.0),
            Value::Bytes(b"four"),
            Value::Null,
        ];
        without_every_allocation(|| {
            for split in [Split::Size(2), Split::Batches(2)] {
                let mapped = counted(|| {
                    map(&values, split, |batch| {
                        for (row, value) in batch.values().enumerate() {
                            let _ = batch.set(row, value);
                        }
                        Ok(())
                    })
                });
                match mapped {
                    Ok(results) => assert_eq!(results.tags(), [0, 1, 2, 3, 4]),
                    Err(error) => assert_eq!(error.status(), Status::NO_MEMORY),
                }
            }
        });
    });
}

/// Fails if an engine thread that finds no memory is missed by the batcher: values would wait for ever.
#[test]
fn p33_threads_without_memory_lose_nothing() {
    alone("p33_threads_without_memory_lose_nothing", || {
        let _watchdog = watchdog();
        without_every_allocation(|| {
            let books = Books::new();
            let builder = builder(
                &books,
                Batcher::builder().threads(1).max_batch_size(4).queue_capacity(40),
            );
            // Allocations of all threads count; nothing in here allocates for the test itself.
            ENGINE.store(true, SeqCst);
            MINE.set(true);
            let built = builder.build();
            let mut answers = [Status::OK; 24];
            let mut ended = (Status::OK, Ok(0));
            if let Ok(batcher) = built {
                for (tag, answer) in answers.iter_mut().enumerate() {
                    let tag = tag as u64;
                    *answer = match tag % 4 {
                        0 => status(batcher.push("a text", tag)),
                        1 => status(batcher.push(1.5, tag)),
                        _ => status(batcher.push_int64(1, tag)),
                    };
                }
                let flushed = status(batcher.flush(Duration::from_secs(5)));
                ended = (
                    flushed,
                    batcher.close(Duration::from_secs(5)).map(|closed| closed.left),
                );
                drop(batcher);
            } else {
                answers = [Status::NO_MEMORY; 24];
            }
            MINE.set(false);
            ENGINE.store(false, SeqCst);
            assert_eq!(ended, (Status::OK, Ok(0)));
            answers
                .iter()
                .enumerate()
                .for_each(|(tag, answer)| books.pushed(tag as u64, *answer));
            books.assert_closed(CLOSURES);
        });
    });
}

// ---- P33: no allocation

/// Handlers that answer without memory of their own.
fn in_place(batch: &mut Batch<'_>) -> Result<(), Failure> {
    for (row, value) in batch.values().enumerate() {
        batch.set(row, value)?;
    }
    Ok(())
}

/// One batch of 64 values.
type Traffic = (&'static str, fn(&Batcher, &mut u64));

const TRAFFIC: &[Traffic] = &[
    ("int64", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_int64(1, *tag).unwrap();
        }
    }),
    ("int64s", |batcher, tag| {
        *tag += 64;
        batcher.push_int64s(&[5; 64], Tags::From(*tag)).1.unwrap();
    }),
    ("strings", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_str("twenty-four bytes of text", *tag).unwrap();
        }
    }),
    ("deadlines", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher
                .push_with(1.5, *tag, PushOptions::new().deadline(i64::MAX - 1))
                .unwrap();
        }
    }),
    ("objects", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push(object(*tag), *tag).unwrap();
        }
    }),
    ("cancelled", |batcher, tag| {
        for _ in 0..64 {
            *tag += 1;
            batcher.push_int64(1, *tag).unwrap();
            if *tag % 10 == 0 {
                assert_eq!(batcher.cancel(*tag), Ok(1));
            }
        }
    }),
    ("mixed", |batcher, tag| {
        for _ in 0..32 {
            *tag += 2;
            batcher.push_int64(1, *tag).unwrap();
            batcher.push_str("a text among numbers", *tag).unwrap();
        }
    }),
];

/// Fails if traffic at a level already reached asks for memory: per value, per batch, per result set.
#[test]
fn p33_traffic_at_a_level_already_reached_allocates_nothing() {
    alone("p33_traffic_at_a_level_already_reached_allocates_nothing", || {
        let _watchdog = watchdog();
        let mut failed = Vec::new();
        for pulled in [false, true] {
            for (name, traffic) in TRAFFIC {
                let builder = timeless()
                    .max_batch_size(64)
                    .handler(in_place)
                    .handler_for(Kind::String, in_place);
                let builder = builder.on_object_release(7, |_| {});
                let builder = if pulled {
                    builder.pull_results()
                } else {
                    builder.on_result(|_| {})
                };
                let batcher = builder.build().unwrap();
                let mut tag = 0;
                let mut round = || {
                    traffic(&batcher, &mut tag);
                    batcher.run().unwrap();
                    while pulled && batcher.next_results(Timeout::ZERO).is_ok() {}
                };
                (0..10).for_each(|_| round());
                // 100,000 values and more; a machine that stops for a second would give idle pools back: once.
                let asked: Vec<_> = (0..4)
                    .map(|_| allocations(|| (0..400).for_each(|_| round())))
                    .collect();
                if !asked.contains(&0) {
                    failed.push(format!(
                        "{name}, pulled {pulled}: {asked:?} allocations in 4 x 25,600 values"
                    ));
                }
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

/// Fails if batches whose values all left while they waited, sealed, are lost from the account of batches: everything that
/// has a place for each of them then grows for ever.
#[test]
fn p33_batches_that_empty_while_they_wait_leave_nothing_behind() {
    alone(
        "p33_batches_that_empty_while_they_wait_leave_nothing_behind",
        || {
            let _watchdog = watchdog();
            let batcher = timeless()
                .max_batch_size(4)
                .queue_capacity(16)
                .on_full(OnFull::DiscardOldest)
                .on_result(|_| {})
                .build()
                .unwrap();
            let mut tag = 0;
            let mut round = || {
                // Sealed batches empty one value after another, by discarding and by cancelling.
                for _ in 0..32 {
                    tag += 1;
                    batcher.push_int64(1, tag).unwrap();
                }
                for waiting in tag - 15..=tag {
                    batcher.cancel(waiting).unwrap();
                }
                batcher.run().unwrap();
            };
            (0..10).for_each(|_| round());
            let asked: Vec<_> = (0..4)
                .map(|_| allocations(|| (0..400).for_each(|_| round())))
                .collect();
            // A machine that stops for a second would give idle pools back: once.
            assert!(asked.contains(&0), "{asked:?} allocations in 4 x 12,800 values");
        },
    );
}

/// Fails if engine threads ask for memory while the level they reached at first is not passed.
#[test]
fn p33_threads_at_a_level_already_reached_allocate_nothing() {
    alone("p33_threads_at_a_level_already_reached_allocate_nothing", || {
        let _watchdog = watchdog();
        let gate = Arc::new(AtomicBool::new(false));
        let passes = gate.clone();
        // Full batches only, and places for 32 of them: no later moment can need more than the first.
        let batcher = Batcher::builder()
            .threads(2)
            .max_batch_size(64)
            .queue_capacity(1024)
            .result_capacity(2048);
        let batcher = batcher
            .max_delay(FOREVER)
            .push_timeout(Duration::from_millis(50))
            .handler(|batch| batch.set_int64s(&[3; 64]).map_err(Failure::from));
        let batcher = batcher.on_result(move |_| {
            while !passes.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let batcher = batcher.build().unwrap();
        let mut tag = 0;
        while batcher.push_int64(1, tag) != Err(Status::RESULTS_FULL) {
            tag += 1;
        }
        assert_eq!(tag, 2048);
        gate.store(true, SeqCst);
        let rounds = (0..5).map(|_| {
            ASKED.store(0, SeqCst);
            ENGINE.store(true, SeqCst);
            counted(|| {
                for value in 0..64 * 400 {
                    while batcher.push_int64(value, 1).is_err() {}
                }
            });
            ENGINE.store(false, SeqCst);
            ASKED.load(SeqCst)
        });
        let asked: Vec<_> = rounds.collect();
        assert!(asked.contains(&0), "{asked:?} allocations in 5 x 25,600 values");
        batcher.flush(FOREVER).unwrap();
        assert_eq!(batcher.stats().unwrap().ok, 2048 + 5 * 25_600);
    });
}

/// Fails if stats, their text, or asking for anything needs memory: they are wanted when it is short.
#[test]
fn p33_looking_needs_no_memory() {
    alone("p33_looking_needs_no_memory", || {
        struct Nowhere(usize);
        impl std::fmt::Write for Nowhere {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0 += text.len();
                Ok(())
            }
        }
        let batcher = timeless().handler(echo).build().unwrap();
        batcher.push(1, 1).unwrap();
        let mut page = Nowhere(0);
        let asked = allocations(|| {
            batcher
                .stats()
                .unwrap()
                .prometheus(Some("a \"name\""), &mut page)
                .unwrap();
            assert!(batcher.check(1).is_ok() && batcher.room(Timeout::ZERO).is_ok());
            assert_eq!((batcher.now(), batcher.next_due()), (Ok(0), Ok(i64::MAX)));
            assert_eq!(batcher.cancel(99), Err(Status::NOT_FOUND));
        });
        assert_eq!(asked, 0);
        assert!(page.0 > 1000);
    });
}

/// Fails if a pool that nobody needs any more is kept.
#[test]
fn p33_idle_pools_are_given_back() {
    alone("p33_idle_pools_are_given_back", || {
        let _watchdog = watchdog();
        for manual in [true, false] {
            let builder = if manual {
                Batcher::builder().mode(Mode::Manual)
            } else {
                Batcher::builder()
            };
            let batcher = builder.max_delay(FOREVER).handler(echo).build().unwrap();
            for tag in 0..200 {
                batcher.push(&*"x".repeat(5000), tag).unwrap();
            }
            let full = batcher.stats().unwrap().bytes_in_use;
            assert!(full > 1_000_000);
            let _ = batcher.flush(FOREVER);
            // After a second of idleness; a host without threads has to look in.
            wait_until(|| {
                if manual {
                    batcher.run().unwrap();
                }
                batcher.stats().unwrap().bytes_in_use < full / 10
            });
            let live = LIVE.load(SeqCst);
            batcher.push(1, 1).unwrap();
            assert!(LIVE.load(SeqCst) > live, "there was no pool left");
        }
    });
}

// ---- P26: memory is back at its baseline

/// Fails if a batcher leaves memory behind, in any mode, however it ends and whatever is left in it.
#[test]
fn p26_free_gives_back_all_memory() {
    alone("p26_free_gives_back_all_memory", || {
        let _watchdog = watchdog();
        let modes: [fn() -> Builder; 4] = [
            || timeless().handler(in_place).on_result(|_| {}),
            || {
                timeless()
                    .handler(in_place)
                    .handler_for(Kind::String, in_place)
                    .pull_results()
            },
            || Batcher::builder().handler(in_place).on_result(|_| {}),
            || Batcher::builder().close_timeout(Duration::from_millis(1)),
        ];
        for (mode, make) in modes.into_iter().enumerate() {
            for ending in 0..3 {
                let cycle = || {
                    let batcher = make()
                        .max_batch_size(8)
                        .on_object_release(7, |_| {})
                        .build()
                        .unwrap();
                    batcher.fd().unwrap();
                    let producer = batcher.producer().unwrap();
                    for tag in 0..50 {
                        batcher.push_int64(1, tag).unwrap();
                        batcher.push("a text", tag).unwrap();
                        batcher.push_owned("mine".to_owned(), tag).unwrap();
                        batcher.push(object(1), tag).unwrap();
                        producer.push_int64(1, tag).unwrap();
                    }
                    let _ = batcher.cancel(7);
                    let _ = batcher.run();
                    let held = batcher.next_batch(Timeout::ZERO);
                    let results = batcher.next_results(Timeout::ZERO);
                    match ending {
                        0 => drop(batcher),
                        1 => batcher.abandon(),
                        _ => {
                            let _ = batcher.close(Duration::from_millis(1));
                            drop(batcher);
                        }
                    }
                    drop((held, results, producer));
                };
                // The first time makes what the process keeps: keys, lists that grow.
                (0..2).for_each(|_| cycle());
                let tasks = || std::fs::read_dir("/proc/self/task").unwrap().count();
                let settled = tasks();
                let baseline = LIVE.load(SeqCst);
                (0..10).for_each(|_| cycle());
                // Threads that were let go end by themselves.
                wait_until(|| tasks() <= settled && LIVE.load(SeqCst) <= baseline);
                println!("mode {mode}, ending {ending}: back at {baseline} bytes");
            }
        }
    });
}
