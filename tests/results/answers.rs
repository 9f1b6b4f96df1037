//! What a handler answers (P17).

use super::*;

/// Pushes two values with tags 1 and 2, and gives their results after this handler had them.
fn answer(handler: impl Fn(&mut Batch<'_>) -> Answer + Send + Sync + 'static) -> Vec<Row> {
    let journal = Journal::new();
    let handler = move |batch: &mut Batch<'_>| {
        if batch.number() == 1 {
            handler(batch)
        } else {
            echo(batch)
        }
    };
    let batcher = timeless()
        .handler(handler)
        .on_result(journal.on_result())
        .build()
        .unwrap();
    push_all(&batcher, 1..=2);
    batcher.flush(Timeout::ZERO).unwrap();
    push_all(&batcher, 3..=3);
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.row(3).value, int(3), "the batcher goes on");
    journal.rows()[..2].to_vec()
}

/// Codes, messages and type names of rows that failed.
fn failures(rows: &[Row]) -> Vec<(Status, &str, &str)> {
    for row in rows {
        assert_eq!((row.outcome, row.handled), (Outcome::Failed, Handled::Yes));
    }
    rows.iter()
        .map(|row| (row.code, row.message.as_str(), row.type_name.as_str()))
        .collect()
}

/// Fails if a panic passes through the engine (`catch_unwind` in `call_handler`), or loses its message.
#[test]
fn p17_a_panic_fails_the_batch_with_its_message() {
    let rows = answer(|batch| {
        batch.set(0, 1)?;
        panic!("a literal");
    });
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "a literal", "panic"); 2]
    );
    let rows = answer(|batch| panic!("{} values are too many", batch.len()));
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "2 values are too many", "panic"); 2]
    );
    let rows = answer(|_| std::panic::panic_any(5));
    assert_eq!(
        failures(&rows),
        [(Status::HANDLER_FAILED, "the handler panicked", "panic"); 2]
    );
}

#[derive(Debug, thiserror::Error)]
#[error("row {0} violates a constraint")]
struct Constraint(u64);

/// Fails if values that were set before keep their results when the handler fails (`settle` that looks at rows before
/// `Ending::Failed`), or `?` loses what the error was.
#[test]
fn p17_an_error_fails_every_value_also_those_already_set() {
    let rows = answer(|batch| {
        batch.set_int64s(&[1, 2])?;
        Err(Constraint(7))?
    });
    let error = (
        Status::HANDLER_FAILED,
        "row 7 violates a constraint",
        std::any::type_name::<Constraint>(),
    );
    assert_eq!(failures(&rows), [error; 2]);
    let rows = answer(|batch| {
        batch.set(0, "set")?;
        batch.fail(1, 8, "failed on its own")?;
        Err(Failure::new(42, "could not commit"))
    });
    assert_eq!(
        failures(&rows),
        [(Status::from_code(42), "could not commit", ""); 2]
    );
    let rows = answer(|batch| {
        batch.fail_all(43, "said beforehand")?;
        Ok(batch.set_int64s(&[1, 2])?)
    });
    assert_eq!(
        failures(&rows),
        [(Status::from_code(43), "said beforehand", ""); 2]
    );
}

/// Fails if a value without a result gets OK, or takes its neighbours down (`UNSET` in `settle`).
#[test]
fn p17_a_value_left_unset_fails_with_no_result() {
    let rows = answer(|batch| Ok(batch.set(1, 20)?));
    assert_eq!(
        (rows[0].code, rows[0].message.as_str()),
        (Status::NO_RESULT, Status::NO_RESULT.text())
    );
    assert_eq!((rows[1].code, rows[1].value.clone()), (Status::OK, int(20)));
    let rows = answer(|_| Ok(()));
    assert!(
        rows.iter()
            .all(|row| row.code == Status::NO_RESULT && row.outcome == Outcome::Failed)
    );
}

/// Fails if `complete_ok` means NO_RESULT, or overwrites what was set or failed (`DoneOk` in `settle`).
#[test]
fn p17_complete_ok_gives_null_to_what_was_left_unset() {
    let batcher = timeless().pull_results().build().unwrap();
    push_all(&batcher, 1..=3);
    batcher.seal().unwrap();
    let batch = batcher.next_batch(Timeout::ZERO).unwrap();
    batch.set(0, 10).unwrap();
    batch.fail(2, 6, "failed").unwrap();
    batch.complete_ok().unwrap();
    let rows = Set::of(&batcher.next_results(Timeout::ZERO).unwrap()).rows;
    let answers: Vec<_> = rows.iter().map(|row| (row.code, row.value.clone())).collect();
    assert_eq!(
        answers,
        [
            (Status::OK, int(10)),
            (Status::OK, Copied::Null),
            (Status::from_code(6), Copied::Null)
        ]
    );
}

/// Fails if a column of the wrong length is cut, padded or only refused (`fail_count`).
#[test]
fn p17_the_wrong_number_of_results_fails_the_batch_with_both_numbers() {
    for count in [0, 1, 3] {
        let rows = answer(move |batch| {
            batch.set_float64s(&[0.1, 0.2])?;
            assert_eq!(status(batch.set_int64s(&vec![5; count])), Status::RESULT_COUNT);
            Ok(())
        });
        for (code, message, _) in failures(&rows) {
            assert_eq!(code, Status::RESULT_COUNT);
            assert!(
                message.contains(&format!(" {count} ")) && message.contains("2 values"),
                "{message}"
            );
        }
    }
}

/// Fails if the first of two results stays, in any of the ways a row can be set (`forget`, `set_cell`, `fail`).
#[test]
fn p17_set_twice_the_last_counts() {
    const OBJECT: Object = Object {
        owner: OWNER,
        word: 9,
        size: 0,
    };
    type Setting = fn(&HeldBatch) -> microbatch::Result;
    let settings: [(Setting, Result<Copied, i32>); 6] = [
        (|batch| batch.set(0, 5), Ok(int(5))),
        (|batch| batch.set(0, ()), Ok(Copied::Null)),
        (|batch| batch.set(0, "text"), Ok(text("text"))),
        (|batch| batch.set(0, OBJECT), Ok(Copied::Object(OBJECT))),
        (|batch| batch.fail(0, 3, "failed"), Err(3)),
        (
            |batch| batch.set_float64s(&[0.5]),
            Ok(Copied::Float64(0.5f64.to_bits())),
        ),
    ];
    let batcher = timeless()
        .on_object_release(OWNER, |_| ())
        .pull_results()
        .build()
        .unwrap();
    for (first, _) in &settings {
        for (second, _) in &settings {
            for (third, expected) in &settings {
                batcher.push(1, 1).unwrap();
                batcher.seal().unwrap();
                let batch = batcher.next_batch(Timeout::ZERO).unwrap();
                for set in [first, second, third] {
                    set(&batch).unwrap();
                }
                batch.complete().unwrap();
                let row = Set::of(&batcher.next_results(Timeout::ZERO).unwrap())
                    .rows
                    .remove(0);
                match expected {
                    Ok(value) => assert_eq!((row.code, &row.value), (Status::OK, value)),
                    Err(code) => assert_eq!((row.code.code(), row.message.as_str()), (*code, "failed")),
                }
            }
        }
    }
}

/// Fails if a row that is not there is set (`set`, `fail` without their bound), or one failed row fails others.
#[test]
fn p17_rows_fail_one_by_one_with_codes_of_their_own() {
    let rows = answer(|batch| {
        assert_eq!(status(batch.set(2, 1)), Status::INVALID_ARGUMENT);
        assert_eq!(status(batch.fail(2, 1, "no such row")), Status::INVALID_ARGUMENT);
        assert_eq!(batch.value(2), Value::Null);
        batch.fail(0, 4, "said first")?;
        batch.fail(0, i32::MAX, "")?;
        Ok(batch.set(1, true)?)
    });
    assert_eq!(failures(&rows[..1]), [(Status::from_code(i32::MAX), "", "")]);
    assert_eq!(
        (rows[1].outcome, rows[1].value.clone()),
        (Outcome::Ok, Copied::Bool(true))
    );
    // What is neither a user's code nor a known one of the library is no code.
    for code in [0, -29, i32::MIN] {
        let rows = answer(move |batch| {
            batch.set(1, 1)?;
            Ok(batch.fail(0, code, "why")?)
        });
        assert_eq!(failures(&rows[..1]), [(Status::HANDLER_FAILED, "why", "")]);
    }
}
