//! Limits of a batch (P8).

use super::*;

/// Fails if a limit is off by one (`seals_before`, `seals_after`), or `push_text` weighs without the 8 bytes of the
/// cell.
#[test]
fn p08_no_batch_passes_its_limits() {
    let mut chance = Chance::new(8);
    let filler = "x".repeat(100);
    for round in 0..200 {
        let size = 1 + chance.below(6);
        let bytes = 8 + chance.below(80);
        let options = timeless().max_batch_size(size).max_batch_bytes(bytes);
        let (batcher, journal) = journaled(options.queue_bytes(1 << 20).on_object_release(OWNER, |_| ()));
        let mut weights = Vec::new();
        for tag in 0..60 {
            let length = chance.below(bytes - 7);
            let value = match chance.below(5) {
                0 => Value::String(&filler[..length as usize]),
                1 => Value::Bytes(&filler.as_bytes()[..length as usize]),
                2 => Value::Object(Object {
                    owner: OWNER,
                    word: tag,
                    size: length,
                }),
                3 => Value::Null,
                _ => Value::Int64(5),
            };
            batcher.push(value, tag).unwrap();
            weights.push(value.weight());
            if chance.one_in(20) {
                batcher.seal().unwrap();
            }
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let batches = journal.batches();
        let mut row = 0;
        for batch in &batches {
            let weight: u64 = weights[row..row + batch.len()].iter().sum();
            row += batch.len();
            assert!(
                batch.len() as u64 <= size && weight <= bytes,
                "round {round}: {} {weight}",
                batch.len()
            );
            match batch.trigger {
                Trigger::Size => assert_eq!(batch.len() as u64, size),
                Trigger::Bytes => assert!(weight + weights[row] > bytes, "round {round}: sealed too early"),
                trigger => assert_eq!(trigger, Trigger::Flush),
            }
        }
        assert_eq!(row, 60);
    }
}

/// Fails if short text in the midst of a batch of text passes a limit, seals too early or lands in a wrong place: without
/// `extra` or `set_limit` in `put_text_inside`, where `put_short_text` leaves `offsets_filled` alone, or where `Short`
/// copies its ends the wrong way round.
#[test]
fn p08_short_text_stays_within_the_limits_and_arrives_as_it_was() {
    let mut chance = Chance::new(88);
    let letters: String = ('a'..='z').cycle().take(200).collect();
    for round in 0..120 {
        let size = 1 + chance.below(80);
        let bytes = 60 + chance.below(1500);
        let (batcher, journal) = journaled(
            timeless()
                .max_batch_size(size)
                .max_batch_bytes(bytes)
                .queue_capacity(1 << 20)
                .queue_bytes(1 << 30),
        );
        let mut pushed = Vec::new();
        let mut tag = 0;
        let mut text = true;
        for _ in 0..1500 {
            let longest = if chance.one_in(30) { 52 } else { 36 };
            let from = chance.below(100) as usize;
            let piece = &letters[from..from + chance.below(longest + 1) as usize];
            text = text != chance.one_in(100);
            let value = match chance.below([300, 40, 12][round % 3]) {
                0 => Value::Null,
                1 => Value::Int64(3),
                _ if text => Value::String(piece),
                _ => Value::Bytes(piece.as_bytes()),
            };
            tag += 1 + u64::from(chance.one_in(50));
            batcher.push(value, tag).unwrap();
            pushed.push((tag, Copied::from(value), value.weight()));
        }
        batcher.flush(Timeout::ZERO).unwrap();
        let mut row = 0;
        for batch in &journal.batches() {
            let those = &pushed[row..row + batch.len()];
            row += batch.len();
            let weight: u64 = those.iter().map(|(_, _, weight)| weight).sum();
            assert!(
                batch.len() as u64 <= size && weight <= bytes,
                "round {round}: {weight}"
            );
            match batch.trigger {
                Trigger::Size => assert_eq!(batch.len() as u64, size),
                Trigger::Bytes => assert!(weight + pushed[row].2 > bytes, "round {round}: sealed too early"),
                trigger => assert_eq!(trigger, Trigger::Flush),
            }
            assert!(batch.tags.iter().eq(those.iter().map(|(tag, _, _)| tag)));
            assert!(
                batch.values.iter().eq(those.iter().map(|(_, value, _)| value)),
                "round {round}"
            );
        }
        assert_eq!(row, pushed.len());
    }
}

/// Fails if a value of exactly `max_batch_bytes` is refused, or a larger one is not (`fits_empty`).
#[test]
fn p08_what_fits_no_batch_is_too_large() {
    let options = timeless().max_batch_bytes(20).on_object_release(OWNER, |_| ());
    let (batcher, journal) = journaled(options);
    let sized = |size| Object {
        owner: OWNER,
        word: 1,
        size,
    };
    batcher.push("123456789012", 1).unwrap();
    batcher.push(b"123456789012", 2).unwrap();
    batcher.push(sized(12), 3).unwrap();
    assert_eq!(status(batcher.push("1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(b"1234567890123", 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(13), 4)), Status::TOO_LARGE);
    assert_eq!(status(batcher.push(sized(u64::MAX), 4)), Status::TOO_LARGE);
    assert_eq!(
        batcher.push_owned("1234567890123".into(), 4).unwrap_err().0,
        Status::TOO_LARGE
    );
    let error = batcher.check("1234567890123").unwrap_err();
    assert!(
        error.message().contains("21") && error.message().contains("20"),
        "{error}"
    );
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.sizes(), [1, 1, 1]);
}

/// Fails if `Options::resolve` leaves out one of its contradictions (engine/options.rs).
#[test]
fn p08_limits_that_contradict_each_other_are_refused_at_creation() {
    let refused = |builder: Builder, named: [&str; 2]| {
        let error = builder.handler(echo).build().unwrap_err();
        assert_eq!(error.status(), Status::INVALID_OPTION);
        for name in named {
            assert!(error.message().contains(name), "{name} is not in: {error}");
        }
    };
    let options = || Batcher::builder().mode(Mode::Manual);
    refused(
        options().max_batch_size(11).queue_capacity(10),
        ["max_batch_size", "queue_capacity"],
    );
    refused(
        options().max_batch_bytes(101).queue_bytes(100),
        ["max_batch_bytes", "queue_bytes"],
    );
    refused(
        options().max_batch_bytes(1 << 31),
        ["max_batch_bytes", "2147483647"],
    );
    let largest = options()
        .max_batch_size(10)
        .queue_capacity(10)
        .max_batch_bytes(100)
        .queue_bytes(100);
    largest.handler(echo).build().unwrap();
    options()
        .max_batch_bytes((1 << 31) - 1)
        .handler(echo)
        .build()
        .unwrap();
}
