//! Tags and ages (P5).

use super::*;

/// Fails if tags are cut to 32 bits (`Writer::put`), or a part is shown those of other rows (`gather`).
#[test]
fn p05_the_tag_comes_back_whatever_it_is() {
    let journal = Journal::new();
    let mut fails = timeless()
        .max_batch_size(4)
        .handler_for(Kind::String, |_| Err(Failure::new(1, "no")));
    fails = fails.handler(journal.echo()).on_result(journal.on_result());
    let batcher = fails.build().unwrap();
    let tags = [0, u64::MAX, 1 << 32, 5, 5, 1 << 63, 0, 5];
    for (row, tag) in tags.iter().enumerate() {
        match row {
            1 | 6 => batcher.push("fails", *tag).unwrap(),
            _ => batcher.push(row as i64, *tag).unwrap(),
        }
    }
    batcher.flush(Timeout::ZERO).unwrap();
    let results: Vec<_> = journal
        .rows()
        .into_iter()
        .map(|row| (row.tag, row.outcome, row.value))
        .collect();
    let expected: Vec<_> = (0..8)
        .map(|row| match row {
            1 | 6 => (tags[row], Outcome::Failed, Copied::Null),
            _ => (tags[row], Outcome::Ok, int(row as i64)),
        })
        .collect();
    assert_eq!(results, expected);
    assert_eq!(journal.batches()[0].tags, [0, 1 << 32, 5], "handlers read them");
}

/// Fails if the age runs from dispatch or from the last value (`opened_at` in engine/open.rs).
#[test]
fn p05_handlers_read_the_age_of_the_oldest_value() {
    let journal = Journal::new();
    let batcher = given()
        .max_delay(ns(100))
        .handler(journal.echo())
        .build()
        .unwrap();
    batcher.advance(7).unwrap();
    batcher.push(1, 1).unwrap();
    batcher.advance(40).unwrap();
    batcher.push(2, 2).unwrap();
    batcher
        .push_with(2, 2, PushOptions::new().deadline(1000))
        .unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    batcher.push(3, 3).unwrap();
    run_at(&batcher, 200);
    let ages: Vec<_> = journal.batches().iter().map(|batch| batch.age).collect();
    assert_eq!(ages, [33, 160]);
}
