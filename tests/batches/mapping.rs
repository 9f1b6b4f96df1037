//! `map` (P14).

use super::*;

/// What numpy's array_split does, in its own words: sizes of `batches` parts of `count` values.
fn array_split(count: usize, batches: usize) -> Vec<usize> {
    let extras = count % batches;
    let sizes = vec![count / batches + 1; extras]
        .into_iter()
        .chain(vec![count / batches; batches - extras]);
    sizes.filter(|size| *size > 0).collect()
}

/// Fails if the parts with one value more come last, or empty parts are handled (`forming::split`).
#[test]
fn p14_map_splits_as_array_split_does() {
    assert_eq!(array_split(15, 2), [8, 7]);
    let sizes = |count: usize, split: Split| {
        let values = vec![Value::Int64(1); count];
        let notes = Notes::new();
        let results = map(&values, split, |batch| {
            notes.add(batch.len());
            echo(batch)
        });
        assert_eq!(results.unwrap().len(), count);
        notes.all()
    };
    for count in 0..30 {
        for batches in 1..12 {
            assert_eq!(
                sizes(count, Split::Batches(batches as u64)),
                array_split(count, batches)
            );
        }
        for size in 1..12 {
            let full = vec![size; count / size].into_iter();
            let expected: Vec<_> = full.chain((count % size > 0).then_some(count % size)).collect();
            assert_eq!(sizes(count, Split::Size(size as u64)), expected);
        }
    }
    assert_eq!(
        sizes(600, Split::Size(0)),
        [256, 256, 88],
        "the default of max_batch_size"
    );
    let refused = map(&[Value::Int64(1)], Split::Batches(0), echo).unwrap_err();
    assert_eq!(refused.status(), Status::INVALID_OPTION);
    assert!(refused.message().contains("batches"), "{refused}");
}

/// Fails if results come in the order of the batches' kinds or tags do not count up (`positions` in engine/map.rs).
#[test]
fn p14_map_gives_results_in_input_order() {
    // The list of the main job, of four kinds, in two batches.
    let words = ["hello", "world", "Python", "deep", "learning"];
    let values = [
        Value::Int64(1),
        Value::Float64(2.0),
        Value::String(words[0]),
        Value::String(words[1]),
        Value::Int64(3),
        Value::Float64(4.0),
        Value::Int64(5),
        Value::String(words[2]),
        Value::Int64(6),
        Value::Float64(7.0),
        Value::Int64(8),
        Value::String(words[3]),
        Value::String(words[4]),
        Value::Int64(9),
        Value::Float64(10.0),
    ];
    let notes = Notes::new();
    let results = map(&values, Split::Batches(2), |batch| {
        notes.add(Seen::from(&*batch));
        for row in (0..batch.len()).rev() {
            batch.set(row, batch.value(row))?;
        }
        Ok(())
    });
    let results = results.unwrap();
    assert_eq!(results.tags(), (0..15).collect::<Vec<_>>());
    let answered: Vec<_> = results.iter().map(|row| row.result.unwrap()).collect();
    assert_eq!(answered, values);
    let batches = notes.all();
    assert_eq!(
        (batches[0].tags.clone(), batches[1].tags.clone()),
        ((0..8).collect(), (8..15).collect())
    );
    assert_eq!((batches[0].number, batches[1].number), (1, 2));
}

/// Fails if `map` goes through a batcher or copies text: another thread, other addresses.
#[test]
fn p14_map_runs_on_the_calling_thread_in_place() {
    let texts: Vec<String> = (0..10).map(|row| format!("text number {row}")).collect();
    let values: Vec<_> = texts.iter().map(Value::from).collect();
    let notes = Notes::new();
    map(&values, Split::Size(3), |batch| {
        for value in batch.values() {
            notes.add((value.as_str().unwrap().as_ptr() as usize, thread::current().id()));
        }
        echo(batch)
    })
    .unwrap();
    let here = thread::current().id();
    let expected: Vec<_> = texts.iter().map(|text| (text.as_ptr() as usize, here)).collect();
    assert_eq!(notes.all(), expected);
}

/// Fails if a failing part ends the call or takes others with it.
#[test]
fn p14_a_failed_part_fails_its_own_values() {
    let values: Vec<_> = (0..10).map(Value::Int64).collect();
    let results = map(&values, Split::Size(2), |batch| match batch.number() {
        1 => panic!("the first two"),
        2 => Err(Failure::new(9, "the next two")),
        3 => Ok(batch.set_int64s(&[1]).or_else(|status| match status {
            Status::RESULT_COUNT => Ok(()),
            other => Err(other),
        })?),
        4 => Ok(batch.set(1, 70)?),
        _ => echo(batch),
    });
    let results = results.unwrap();
    let codes: Vec<_> = (0..10)
        .map(|row| results.error(row).map_or(0, |error| error.code.code()))
        .collect();
    let (panicked, count, unset) = (
        Status::HANDLER_FAILED.code(),
        Status::RESULT_COUNT.code(),
        Status::NO_RESULT.code(),
    );
    assert_eq!(codes, [panicked, panicked, 9, 9, count, count, unset, 0, 0, 0]);
    assert_eq!(results.value(7), Some(Value::Int64(70)));
    assert_eq!(results.error(2).unwrap().message, "the next two");
    assert!(!results.all_ok());
}
