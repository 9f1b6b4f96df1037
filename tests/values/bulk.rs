//! Typed, general and bulk pushes are one (P6).

use super::*;

/// Fails if a typed push differs from the general one, as `push_float64` that keeps the number and not its bits.
#[test]
fn p06_typed_pushes_are_the_general_push() {
    let play = |push: &dyn Fn(&Batcher)| {
        let (batcher, journal) = journaled(timeless());
        push(&batcher);
        batcher.flush(Timeout::ZERO).unwrap();
        // A producer's batcher has a batch in reserve.
        let stats = Stats {
            bytes_in_use: 0,
            ..batcher.stats().unwrap()
        };
        (journal.batches(), journal.sets(), stats)
    };
    let general = play(&|batcher| {
        batcher.push(Value::Int64(-3), 1).unwrap();
        batcher.push(Value::Float64(-0.0), 2).unwrap();
        batcher.push(Value::String("a\0"), 3).unwrap();
        batcher.push(Value::Bytes(b"\xff"), 4).unwrap();
    });
    let typed = play(&|batcher| {
        batcher.push_int64(-3, 1).unwrap();
        batcher.push_float64(-0.0, 2).unwrap();
        batcher.push_str("a\0", 3).unwrap();
        batcher.push_bytes(b"\xff", 4).unwrap();
    });
    let bulk = play(&|batcher| {
        assert_eq!(batcher.push_int64s(&[-3], Tags::From(1)), (1, Ok(())));
        assert_eq!(batcher.push_float64s(&[-0.0], Tags::From(2)), (1, Ok(())));
        let rest = [Value::String("a\0"), Value::Bytes(b"\xff")];
        assert_eq!(batcher.push_values(&rest, Tags::Each(&[3, 4])), (2, Ok(())));
    });
    let producer = play(&|batcher| {
        let producer = batcher.producer().unwrap();
        producer.push_int64(-3, 1).unwrap();
        producer.push_float64(-0.0, 2).unwrap();
        producer.push("a\0", 3).unwrap();
        producer.push(Value::Bytes(b"\xff"), 4).unwrap();
    });
    assert_eq!(typed, general);
    assert_eq!(bulk, general);
    assert_eq!(producer, general);
}

/// Fails if a bulk push goes on after a refusal or counts the refused value (`push_each` in api/batcher.rs), or seals
/// elsewhere than single pushes do.
#[test]
fn p06_a_bulk_push_is_its_values_one_by_one() {
    let mut chance = Chance::new(6);
    for round in 0..300 {
        let size = 1 + chance.below(5);
        let bytes = 8 + chance.below(60);
        let capacity = size + chance.below(12);
        let queue_bytes = bytes + chance.below(100);
        let places = 1 + chance.below(20);
        let policy = [OnFull::Reject, OnFull::Block, OnFull::DiscardOldest][chance.below(3) as usize];
        let values: Vec<_> = (0..chance.below(8))
            .flat_map(|_| {
                let value = match chance.below(7) {
                    0 => {
                        Value::String(&"a long text that may be cut off, or not"[..chance.below(40) as usize])
                    }
                    1 | 2 => Value::Float64(1.5),
                    3 if chance.one_in(6) => Value::Null,
                    _ => Value::Int64(chance.below(100) as i64),
                };
                vec![value; chance.below(7) as usize]
            })
            .collect();
        let play = |push: &dyn Fn(&Batcher) -> (usize, microbatch::Result)| {
            let journal = Journal::new();
            let options = timeless()
                .max_batch_size(size)
                .max_batch_bytes(bytes)
                .queue_capacity(capacity);
            let options = options
                .queue_bytes(queue_bytes)
                .result_capacity(places)
                .on_full(policy);
            let numbers = options.handler_for(Kind::Int64, journal.echo());
            let texts = numbers
                .handler_for(Kind::Float64, journal.echo())
                .handler_for(Kind::String, echo);
            let batcher = texts.on_result(journal.on_result()).build().unwrap();
            let taken = push(&batcher);
            let stats = batcher.stats().unwrap();
            batcher.flush(Timeout::ZERO).unwrap();
            (taken, stats, journal.batches(), journal.sets())
        };
        let singly = play(&|batcher| {
            for (row, value) in values.iter().enumerate() {
                if let Err(refused) = batcher.push(*value, 1000 + row as u64) {
                    return (row, Err(refused));
                }
            }
            (values.len(), Ok(()))
        });
        let in_one = play(&|batcher| batcher.push_values(&values, Tags::From(1000)));
        assert_eq!(in_one, singly, "round {round}: {values:?}");
        let by_kind = play(&|batcher| {
            let mut taken = 0;
            for run in values.chunk_by(|a, b| a.kind() == b.kind()) {
                let tags = Tags::From(1000 + taken as u64);
                let ints: Vec<_> = run.iter().filter_map(Value::as_int64).collect();
                let floats: Vec<_> = run.iter().filter_map(Value::as_float64).collect();
                let (more, refused) = match run[0].kind() {
                    Kind::Int64 => batcher.push_int64s(&ints, tags),
                    Kind::Float64 => batcher.push_float64s(&floats, tags),
                    _ => batcher.push_values(run, tags),
                };
                taken += more;
                if refused.is_err() {
                    return (taken, refused);
                }
            }
            (taken, Ok(()))
        });
        assert_eq!(by_kind, singly, "round {round}: {values:?}");
    }
}

/// Fails if `accepted` is not the index of the refused value, or what came before it is taken back.
#[test]
fn p06_a_bulk_push_takes_a_prefix() {
    let journal = Journal::new();
    let options = timeless()
        .max_batch_size(3)
        .queue_capacity(5)
        .on_full(OnFull::Reject);
    let batcher = options.handler(journal.echo()).build().unwrap();
    assert_eq!(batcher.push_int64s(&[], Tags::From(0)), (0, Ok(())));
    assert_eq!(batcher.push_int64s(&[10, 11], Tags::From(0)), (2, Ok(())));
    assert_eq!(
        batcher.push_float64s(&[0.5; 9], Tags::From(2)),
        (3, Err(Status::QUEUE_FULL))
    );
    assert_eq!(
        batcher.push_int64s(&[12], Tags::From(0)),
        (0, Err(Status::QUEUE_FULL))
    );
    assert_eq!(
        batcher.stats().unwrap().refused_with(Status::QUEUE_FULL),
        2,
        "one refusal a call"
    );
    batcher.run().unwrap();
    let stranger = Value::Object(object(1));
    let mixed = [Value::Int64(1), stranger, Value::Int64(2)];
    assert_eq!(
        batcher.push_values(&mixed, Tags::From(7)),
        (1, Err(Status::WRONG_OWNER))
    );
    batcher.flush(Timeout::ZERO).unwrap();
    let tags: Vec<_> = journal.batches().iter().map(|batch| batch.tags.clone()).collect();
    assert_eq!(tags, [vec![0, 1, 2], vec![3, 4], vec![7]]);
    batcher.close(Timeout::ZERO).unwrap();
    assert_eq!(
        batcher.push_int64s(&[1, 2], Tags::From(0)),
        (0, Err(Status::CLOSED))
    );
}

/// Fails if the first tag does not count up for each value, or tags beyond the last are made up.
#[test]
fn p06_tags_come_as_an_array_or_count_up() {
    let journal = Journal::new();
    let batcher = timeless().handler(journal.echo()).build().unwrap();
    assert_eq!(
        batcher.push_int64s(&[1, 2, 3], Tags::From(u64::MAX - 1)),
        (3, Ok(()))
    );
    assert_eq!(
        batcher.push_float64s(&[1.0, 2.0], Tags::Each(&[9, 4])),
        (2, Ok(()))
    );
    assert_eq!(
        batcher.push_int64s(&[1, 2, 3], Tags::Each(&[8, 8])),
        (2, Err(Status::INVALID_ARGUMENT))
    );
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.batches()[0].tags, [u64::MAX - 1, u64::MAX, 0, 9, 4, 8, 8]);
}

/// Fails if `push_with` leaves the deadline out (api/batcher.rs).
#[test]
fn p06_a_deadline_travels_in_the_options() {
    let (batcher, journal) = journaled(timeless());
    for (tag, value) in [
        Value::Null,
        Value::Int64(1),
        Value::Float64(1.0),
        Value::String("x"),
    ]
    .iter()
    .enumerate()
    {
        batcher
            .push_with(*value, tag as u64, PushOptions::new().deadline(10))
            .unwrap();
        batcher
            .push_with(*value, 10 + tag as u64, PushOptions::default())
            .unwrap();
    }
    run_at(&batcher, 10);
    batcher.flush(Timeout::ZERO).unwrap();
    for tag in 0..4 {
        assert_eq!(
            journal.ended(tag),
            Some((Outcome::Expired, Status::DEADLINE, Handled::No))
        );
        assert_eq!(
            journal.ended(10 + tag),
            Some((Outcome::Ok, Status::OK, Handled::Yes))
        );
    }
}
