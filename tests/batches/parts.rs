//! Handlers per kind (P13).

use super::*;

/// One handler for each of these kinds, and a default; each answers with its name and what it got.
fn named_handlers(builder: Builder, kinds: &[Kind], notes: &Notes<(&'static str, Seen)>) -> Builder {
    let named = |name: &'static str| {
        let notes = notes.clone();
        move |batch: &mut Batch<'_>| {
            notes.add((name, Seen::from(&*batch)));
            for row in 0..batch.len() {
                batch.set(row, format!("{name} {:?}", batch.value(row)).as_str())?;
            }
            Ok(())
        }
    };
    let builder = kinds.iter().fold(builder, |builder, kind| {
        builder.handler_for(*kind, named(kind.name()))
    });
    builder.handler(named("default"))
}

/// Fails if parts run in another order than that of kind codes with the default last (`kinds.chain(default)` in
/// `Inner::split`), or the default runs once for each kind.
#[test]
fn p13_handlers_run_in_order_of_kind_code_and_the_default_once() {
    let (notes, journal) = (Notes::new(), Journal::new());
    let options = timeless()
        .on_object_release(OWNER, |_| ())
        .on_result(journal.on_result());
    let options = named_handlers(options, &[Kind::String, Kind::Int64, Kind::Float64], &notes);
    let batcher = options.build().unwrap();
    let values = [
        Value::String("a"),
        Value::Null,
        Value::Float64(1.5),
        Value::Int64(1),
        Value::Bool(true),
        Value::Int64(2),
        Value::Bytes(b"b"),
        Value::String("c"),
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (8, Ok(())));
    batcher.flush(Timeout::ZERO).unwrap();
    let parts: Vec<_> = notes
        .all()
        .into_iter()
        .map(|(name, part)| (name, part.tags))
        .collect();
    let expected = [
        ("int64", vec![3, 5]),
        ("float64", vec![2]),
        ("string", vec![0, 7]),
        ("default", vec![1, 4, 6]),
    ];
    assert_eq!(parts, expected);
    for (name, part) in notes.all() {
        assert_eq!(
            (part.number, part.trigger),
            (1, Trigger::Flush),
            "parts are of one batch"
        );
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        assert_eq!(part.kind, kind.copied());
        for (tag, value) in part.tags.iter().zip(&part.values) {
            assert_eq!(*value, Copied::from(values[*tag as usize]));
        }
    }
    // P13 also: the results are merged back in the order of the pushes.
    let sets = journal.sets();
    assert_eq!((sets.len(), sets[0].tags()), (1, (0..8).collect()));
    for (row, value) in sets[0].rows.iter().zip(values) {
        let name = match value.kind() {
            kind @ (Kind::String | Kind::Int64 | Kind::Float64) => kind.name(),
            _ => "default",
        };
        assert_eq!(row.value, text(&format!("{name} {value:?}")));
    }
}

/// Fails if a batch of one kind goes to the default although its kind has a handler (`split`).
#[test]
fn p13_a_batch_of_one_kind_goes_whole_to_its_handler() {
    let notes = Notes::new();
    let batcher = named_handlers(timeless(), &[Kind::Int64], &notes)
        .build()
        .unwrap();
    for value in [Value::Int64(1), Value::Float64(1.0)] {
        batcher.push(value, 1).unwrap();
        batcher.push(value, 2).unwrap();
        batcher.flush(Timeout::ZERO).unwrap();
    }
    batcher.push("a", 1).unwrap();
    batcher.push(1.0, 2).unwrap();
    batcher.flush(Timeout::ZERO).unwrap();
    let names: Vec<_> = notes
        .all()
        .into_iter()
        .map(|(name, part)| (name, part.kind))
        .collect();
    let expected = [
        ("int64", Some(Kind::Int64)),
        ("default", Some(Kind::Float64)),
        ("default", None),
    ];
    assert_eq!(names, expected);
}

/// Fails if a part's failure fails its batch (`settle_from` that takes one part's outcome for all).
#[test]
fn p13_a_failing_part_fails_only_its_own_values() {
    let journal = Journal::new();
    let panics = |_: &mut Batch<'_>| -> Result<(), Failure> { panic!("int64s are out of luck") };
    let fails = |batch: &mut Batch<'_>| {
        batch.set(0, "set before it failed")?;
        Err(Failure::new(41, "no strings today"))
    };
    let batcher = timeless()
        .handler_for(Kind::Int64, panics)
        .handler_for(Kind::String, fails)
        .handler(journal.echo())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    let values = [
        Value::String("a"),
        Value::Float64(2.5),
        Value::Int64(1),
        Value::String("b"),
        Value::Null,
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (5, Ok(())));
    batcher.flush(Timeout::ZERO).unwrap();
    let rows: Vec<_> = journal
        .rows()
        .into_iter()
        .map(|row| (row.code, row.message))
        .collect();
    let ok = || (Status::OK, String::new());
    let string = || (Status::from_code(41), "no strings today".to_owned());
    let expected = [
        string(),
        ok(),
        (Status::HANDLER_FAILED, "int64s are out of luck".to_owned()),
        string(),
        ok(),
    ];
    assert_eq!(rows, expected);
    assert_eq!(journal.row(1).value, Copied::from(Value::Float64(2.5)));
    assert!(journal.rows().iter().all(|row| row.handled == Handled::Yes));
}

/// Fails if a mixed batch takes a slot for each part, or gives it back before its last part is done.
#[test]
fn p13_a_mixed_batch_takes_one_slot_until_its_last_part_is_done() {
    let (journal, shelf) = (Journal::new(), Shelf::new());
    let batcher = given()
        .max_in_flight(2)
        .handler_for(Kind::Int64, shelf.keep())
        .handler_for(Kind::String, journal.echo())
        .handler_for(Kind::Float64, shelf.keep())
        .on_result(journal.on_result())
        .build()
        .unwrap();
    for (tag, value) in [Value::Float64(1.0), Value::String("a"), Value::Int64(2)]
        .iter()
        .enumerate()
    {
        batcher.push(*value, tag as u64).unwrap();
    }
    batcher.run().unwrap();
    assert_eq!(
        journal.batches()[0].tags,
        [1],
        "a kept part does not keep the next from running"
    );
    assert_eq!((shelf.len(), batcher.stats().unwrap().in_flight), (2, 1));
    assert_eq!(finish(shelf.take_tag(0)), Status::OK);
    batcher.run().unwrap();
    assert_eq!(
        (journal.rows().len(), batcher.stats().unwrap().in_flight),
        (0, 1),
        "one part is out still"
    );
    assert_eq!(
        batcher.stats().unwrap().outstanding,
        3,
        "an outcome counts when its batch's set is fixed"
    );
    assert_eq!(finish(shelf.take_tag(2)), Status::OK);
    batcher.run().unwrap();
    assert_eq!(journal.sets()[0].tags(), [0, 1, 2]);
    assert_eq!((journal.sets().len(), batcher.stats().unwrap().in_flight), (1, 0));
}

/// Fails if a kind without a handler is taken (`accepts`).
#[test]
fn p13_a_kind_without_a_handler_is_refused() {
    let batcher = timeless()
        .handler_for(Kind::Int64, echo)
        .handler_for(Kind::Bytes, echo)
        .build()
        .unwrap();
    let object = Object {
        owner: OWNER,
        word: 1,
        size: 0,
    };
    for value in [
        Value::Null,
        Value::Bool(true),
        Value::Float64(1.0),
        Value::String("1"),
    ] {
        assert_eq!(status(batcher.push(value, 1)), Status::NO_HANDLER);
        assert_eq!(
            status(batcher.push_with(value, 1, PushOptions::new().deadline(5))),
            Status::NO_HANDLER
        );
        let error = batcher.check(value).unwrap_err();
        assert!(error.message().contains(value.kind().name()), "{error}");
    }
    assert_eq!(status(batcher.push_float64(1.0, 1)), Status::NO_HANDLER);
    assert_eq!(status(batcher.push_str("1", 1)), Status::NO_HANDLER);
    assert_eq!(
        batcher.push_float64s(&[1.0], Tags::From(0)),
        (0, Err(Status::NO_HANDLER))
    );
    assert_eq!(
        status(batcher.push(object, 1)),
        Status::WRONG_OWNER,
        "asked first"
    );
    batcher.push(1, 1).unwrap();
    batcher.push(b"1", 1).unwrap();
    assert_eq!(batcher.stats().unwrap().accepted, 2);
}

/// Fails if a batcher without handlers refuses a kind, or splits what is pulled.
#[test]
fn p13_a_batcher_without_handlers_is_pulled_and_takes_every_kind() {
    let batcher = timeless().on_object_release(OWNER, |_| ()).build().unwrap();
    let object = Object {
        owner: OWNER,
        word: 1,
        size: 0,
    };
    let values = [
        Value::Object(object),
        Value::Bytes(b"1"),
        Value::String("1"),
        Value::Float64(1.0),
        Value::Int64(1),
        Value::Bool(true),
        Value::Null,
    ];
    assert_eq!(batcher.push_values(&values, Tags::From(0)), (7, Ok(())));
    batcher.seal().unwrap();
    assert_eq!(
        batcher
            .next_batch(Timeout::ZERO)
            .unwrap()
            .values()
            .collect::<Vec<_>>(),
        values
    );
    let with_handler = timeless().handler(echo).build().unwrap();
    assert_eq!(status(with_handler.next_batch(Timeout::ZERO)), Status::WRONG_MODE);
}

/// Fails if a pulled batcher starts handler threads (`Inner::start`).
#[test]
fn p13_a_batcher_without_handlers_starts_no_handler_threads() {
    let _watchdog = watchdog();
    alone("p13_a_batcher_without_handlers_starts_no_handler_threads", || {
        let handler_threads = || {
            let tasks = fs::read_dir("/proc/self/task").unwrap();
            let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
            names.filter(|name| name.trim() == "mb-handler").count()
        };
        let pulled = Batcher::builder().threads(3).build();
        if let Ok(_batcher) = &pulled {
            assert_eq!(handler_threads(), 0);
        }
        let _pulled = Batcher::builder().build().unwrap();
        assert_eq!(handler_threads(), 0);
        let _handled = Batcher::builder().threads(3).handler(echo).build().unwrap();
        common::wait_until(|| handler_threads() == 3);
    });
}
