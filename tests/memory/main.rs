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

#[path = "../common/mod.rs"]
mod common;

mod refused;
mod steady;

use common::{FOREVER, Shelf, alone, echo, ns, run_at, status, timeless, wait_until, watchdog};
use microbatch::{
    Batch, Batcher, Builder, Failure, Kind, Mode, Object, OnFull, Outcome, PushOptions, Results, Split,
    Status, Tags, Timeout, Trigger, Value, map,
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
