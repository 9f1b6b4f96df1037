//! A push takes or refuses (P4).

use super::*;

/// A snapshot without what a refusal is allowed to change.
fn without_refusals(batcher: &Batcher) -> Stats {
    Stats {
        refusals: [0; 24],
        ..batcher.stats().unwrap()
    }
}

/// Asserts that the batcher refuses the value with this status, counts that, and is otherwise unchanged.
fn assert_refused(batcher: &Batcher, value: Value<'_>, expected: Status) {
    let (before, counted) = (
        without_refusals(batcher),
        batcher.stats().unwrap().refused_with(expected),
    );
    let due = batcher.next_due().unwrap();
    assert_eq!(batcher.check(value).unwrap_err().status(), expected);
    assert_eq!(
        batcher.stats().unwrap().refused_with(expected),
        counted,
        "check pushes nothing"
    );
    assert_eq!(status(batcher.push(value, 77)), expected);
    assert_eq!(
        without_refusals(batcher),
        before,
        "{expected:?} consumed something"
    );
    assert_eq!(batcher.stats().unwrap().refused_with(expected), counted + 1);
    assert_eq!(status(batcher.cancel(77)), Status::NOT_FOUND);
    if expected != Status::QUEUE_FULL
        && expected != Status::QUEUE_FULL_BYTES
        && expected != Status::RESULTS_FULL
    {
        assert_eq!(batcher.next_due().unwrap(), due);
    }
}

/// Fails if a push counts, copies or discards before all its questions are answered: `fits_empty` asked after the
/// room is made, or the value appended before `lack` is asked (`push_locked` in engine/queue.rs).
#[test]
fn p04_a_refusal_consumes_nothing() {
    let journal = Journal::new();
    let numbers = |builder: Builder| {
        let journal = journal.clone();
        builder
            .handler_for(Kind::Int64, journal.echo())
            .handler_for(Kind::String, journal.echo())
    };
    let small = || {
        let options = timeless()
            .max_batch_size(2)
            .max_batch_bytes(64)
            .queue_capacity(4)
            .queue_bytes(128);
        numbers(options.result_capacity(6)).on_result(journal.on_result())
    };
    let too_large = "x".repeat(57);
    for policy in [OnFull::Reject, OnFull::Block, OnFull::DiscardOldest] {
        let batcher = small().on_full(policy).build().unwrap();
        batcher.push(1, 1).unwrap();
        assert_refused(&batcher, Value::Float64(1.0), Status::NO_HANDLER);
        assert_refused(&batcher, Value::Null, Status::NO_HANDLER);
        assert_refused(&batcher, Value::String(&too_large), Status::TOO_LARGE);
        assert_refused(&batcher, Value::Object(object(1)), Status::WRONG_OWNER);
        assert_eq!(batcher.push_int64s(&[2, 3, 4], Tags::From(2)), (3, Ok(())));
        // Full by count now: what can never fit is told as that, and nothing makes room for it.
        assert_refused(&batcher, Value::String(&too_large), Status::TOO_LARGE);
        if policy != OnFull::DiscardOldest {
            assert_refused(&batcher, Value::Int64(5), Status::QUEUE_FULL);
        }
        batcher.close(Timeout::ZERO).unwrap();
        assert_refused(&batcher, Value::Int64(6), Status::CLOSED);
        assert_refused(&batcher, Value::String(&too_large), Status::CLOSED);
    }
    let batcher = small().on_full(OnFull::Reject).build().unwrap();
    for tag in 1..=3 {
        batcher.push("x".repeat(34).as_str(), tag).unwrap();
    }
    assert_refused(&batcher, Value::Int64(4), Status::QUEUE_FULL_BYTES);

    for policy in [OnFull::Reject, OnFull::DiscardOldest] {
        let batcher = numbers(
            timeless()
                .max_batch_size(2)
                .queue_capacity(4)
                .result_capacity(3)
                .pull_results(),
        );
        let batcher = batcher.on_full(policy).build().unwrap();
        assert_eq!(batcher.push_int64s(&[1, 2, 3], Tags::From(1)), (3, Ok(())));
        assert_refused(&batcher, Value::Int64(4), Status::RESULTS_FULL);
        batcher.run().unwrap();
        assert_refused(&batcher, Value::Int64(4), Status::RESULTS_FULL);
    }
}

/// Fails if `push_text` keeps the pointer (`put_owned` in place of `put_text`), or several texts share one buffer
/// that is overwritten.
#[test]
fn p04_pushed_bytes_are_copied_before_the_push_returns() {
    let (batcher, journal) = journaled(timeless());
    let mut buffer = [0u8; 4];
    for round in 0..50u8 {
        buffer.fill(b'a' + round % 26);
        match round % 3 {
            0 => batcher.push_bytes(&buffer, u64::from(round)).unwrap(),
            1 => batcher.push(Value::Bytes(&buffer), u64::from(round)).unwrap(),
            _ => batcher
                .push_with(
                    Value::Bytes(&buffer),
                    u64::from(round),
                    PushOptions::new().deadline(1000),
                )
                .unwrap(),
        }
    }
    buffer.fill(0);
    batcher.flush(Timeout::ZERO).unwrap();
    for round in 0..50u8 {
        let expected = Copied::Bytes(vec![b'a' + round % 26; 4]);
        assert_eq!(journal.batches()[0].values[usize::from(round)], expected);
        assert_eq!(journal.row(u64::from(round)).value, expected);
    }
}

/// The system's allocator; it knows when one watched address is given back.
struct Watching;

static WATCHED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if WATCHED.compare_exchange(ptr as usize, 0, SeqCst, SeqCst).is_ok() {
            FREED.fetch_add(1, SeqCst);
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Fails if `push_owned` copies (push the text, drop the string), releases inside push, or the releases run before
/// `on_result` returned.
#[test]
fn p04_an_owned_push_keeps_the_pointer_until_after_delivery() {
    let held = "held by the pusher ".repeat(10);
    let (copy, address) = (held.clone(), held.as_ptr() as usize);
    WATCHED.store(address, SeqCst);

    let narrow = timeless().max_batch_bytes(100).handler(echo).build().unwrap();
    let (refused, held) = narrow.push_owned(held, 0).unwrap_err();
    assert_eq!(
        (refused, held.as_ptr() as usize),
        (Status::TOO_LARGE, address),
        "a refused string comes back"
    );
    drop(narrow);
    assert_eq!(FREED.load(SeqCst), 0, "a refused push releases nothing");

    let seen = Notes::new();
    let (in_handler, in_on_result) = (seen.clone(), seen.clone());
    let batcher = timeless()
        .handler(move |batch| {
            let text = batch.value(1).as_str().unwrap();
            in_handler.add((text.as_ptr() as usize, FREED.load(SeqCst)));
            assert_eq!(text, copy);
            echo(batch)
        })
        .on_result(move |_| in_on_result.add((0, FREED.load(SeqCst))))
        .build()
        .unwrap();
    batcher.push("copied", 1).unwrap();
    batcher.push_owned(held, 2).unwrap();
    assert_eq!(FREED.load(SeqCst), 0, "nothing is released in push");
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        seen.all(),
        [(address, 0), (0, 0)],
        "read where it is, and not released before delivery"
    );
    assert_eq!(batcher.stats().unwrap().ok, 2, "the handler saw the text");
    assert_eq!(FREED.load(SeqCst), 1, "released after delivery");
}

/// Fails if owned texts stay at their old rows when rows are closed up (`close_up` in engine/removal.rs), or weigh nothing.
#[test]
fn p04_an_owned_value_is_weighed_and_ends_like_any_other() {
    let (batcher, journal) = journaled(timeless());
    for tag in 0..6u64 {
        let text = format!("text number {tag}");
        match tag % 2 {
            0 => batcher.push_owned(text, tag).unwrap(),
            _ => batcher.push(&text, tag).unwrap(),
        }
    }
    assert_eq!(batcher.stats().unwrap().waiting_bytes, 6 * (8 + 13));
    assert_eq!((batcher.cancel(2), batcher.cancel(3)), (Ok(1), Ok(1)));
    assert_eq!(batcher.stats().unwrap().waiting_bytes, 4 * (8 + 13));
    batcher.flush(Timeout::ZERO).unwrap();
    for tag in [0, 1, 4, 5] {
        assert_eq!(journal.row(tag).value, text(&format!("text number {tag}")));
    }
    assert_eq!(journal.batches()[0].tags, [0, 1, 4, 5]);
}
