//! Round trips (P3).

use super::*;

/// Pushes the values, lets every one be answered with itself, and gives the results in push order.
fn round_trip(builder: Builder, values: &[Value<'_>]) -> Vec<Copied> {
    let batcher = builder
        .on_object_release(OWNER, |_| ())
        .pull_results()
        .build()
        .unwrap();
    let (taken, pushed) = batcher.push_values(values, Tags::From(0));
    assert_eq!((taken, pushed), (values.len(), Ok(())));
    batcher.seal().unwrap();
    batcher.run().unwrap();
    while let Ok(batch) = batcher.next_batch(Timeout::ZERO) {
        for (row, value) in batch.values().enumerate() {
            batch.set(row, value).unwrap();
        }
        batch.complete().unwrap();
    }
    let mut results = vec![None; values.len()];
    while let Ok(set) = batcher.next_results(Timeout::ZERO) {
        for row in set.iter() {
            let place = &mut results[row.tag as usize];
            assert_eq!(*place, None, "tag {} came twice", row.tag);
            *place = Some(Copied::from(row.result.unwrap()));
        }
    }
    results.into_iter().map(Option::unwrap).collect()
}

/// The ways a value can take: one handler, one for each kind (mixed batches are gathered and merged), and pulled.
fn ways() -> Vec<Builder> {
    let per_kind = Kind::ALL
        .iter()
        .fold(timeless(), |builder, kind| builder.handler_for(*kind, echo));
    let small = Kind::ALL
        .iter()
        .fold(timeless(), |builder, kind| builder.handler_for(*kind, echo));
    vec![
        timeless().handler(echo),
        timeless().handler(echo).max_batch_size(1),
        per_kind,
        small.max_batch_size(3),
        timeless()
            .handler_for(Kind::String, echo)
            .handler(echo)
            .max_batch_size(5),
        timeless(),
    ]
}

fn awkward_floats() -> Vec<f64> {
    let bits = [
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x000f_ffff_ffff_ffff,
        0x0000_0000_0000_0001,
        0x8000_0000_0000_0001,
        0x3ff0_0000_0000_0001,
    ];
    let mut floats: Vec<_> = bits.into_iter().map(f64::from_bits).collect();
    floats.extend([
        0.0,
        -0.0,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        0.1,
        9_007_199_254_740_993.0,
    ]);
    floats
}

/// Fails if a float passes through arithmetic (`value + 0.0` in `push_float64` or `Value::Float64` in `push_value`:
/// -0.0 is lost), or a cell is cut to 32 bits.
#[test]
fn p03_numbers_come_back_with_every_bit() {
    let mut values: Vec<_> = awkward_floats().into_iter().map(Value::Float64).collect();
    for integer in [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
    ] {
        values.push(Value::Int64(integer));
    }
    values.extend([
        Value::Bool(false),
        Value::Bool(true),
        Value::Null,
        Value::Object(object(u64::MAX)),
    ]);
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}");
    }

    let floats = awkward_floats();
    let batcher = timeless().handler(|batch| Ok(batch.set_float64s(batch.float64s().unwrap())?));
    let batcher = batcher.pull_results().build().unwrap();
    for (tag, float) in floats.iter().enumerate() {
        batcher.push_float64(*float, tag as u64).unwrap();
    }
    assert_eq!(status(batcher.flush(Timeout::ZERO)), Status::IN_PROGRESS);
    let results = batcher.next_results(Timeout::ZERO).unwrap();
    let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(results.float64s().unwrap()), bits(&floats), "as one array");
}

/// Fails if text is looked for by its first NUL, empty text is taken for null (`text` in engine/batch.rs), or the
/// offsets of gathered parts are off by one.
#[test]
fn p03_text_comes_back_byte_for_byte() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = "\u{1f600}x".repeat(3000);
    let mut values = vec![
        Value::String(""),
        Value::String("\0"),
        Value::String("a\0b\0"),
        Value::String("\u{1f600}\u{10ffff}\u{ffff}\u{7f}\u{80}\u{7ff}\u{800}"),
        Value::String("e\u{301} is not \u{e9}"),
        Value::String(&long),
        Value::Bytes(b""),
        Value::Bytes(b"\0"),
        Value::Bytes(&every_byte),
        // Not UTF-8, and nothing tries to make it so.
        Value::Bytes(b"\xed\xa0\x80\xff\xc0\x80"),
        Value::String(""),
        Value::Null,
    ];
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}");
    }
    values.retain(|value| value.kind() == Kind::String);
    let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
    for (way, builder) in ways().into_iter().enumerate() {
        assert_eq!(round_trip(builder, &values), expected, "way {way}, strings alone");
    }
}

/// Fails if any way mixes up rows or bytes of a mixed batch: `gather` without `put_text`, `settle_from` without
/// `positions`, `close_up` without `move_down`.
#[test]
fn p03_random_mixtures_come_back_exactly() {
    let mut chance = Chance::new(3);
    for round in 0..40 {
        let texts: Vec<Vec<u8>> = (0..100)
            .map(|_| {
                (0..chance.below(20))
                    .map(|_| b'a' + chance.below(26) as u8)
                    .collect()
            })
            .collect();
        let values: Vec<_> = texts
            .iter()
            .map(|bytes| match chance.below(7) {
                0 => Value::Null,
                1 => Value::Bool(chance.one_in(2)),
                2 => Value::Int64(chance.below(1 << 31) as i64 - (1 << 30)),
                3 => Value::Float64(f64::from_bits(chance.below(1 << 31) << 33)),
                4 => Value::String(std::str::from_utf8(bytes).unwrap()),
                5 => Value::Bytes(bytes),
                _ => Value::Object(object(chance.below(1000))),
            })
            .collect();
        let expected: Vec<_> = values.iter().copied().map(Copied::from).collect();
        for (way, builder) in ways().into_iter().enumerate() {
            assert_eq!(round_trip(builder, &values), expected, "round {round}, way {way}");
        }
        let results = map(&values, Split::Size(7), |batch| {
            for (row, value) in batch
                .values()
                .enumerate()
                .filter(|(_, value)| value.as_object().is_none())
            {
                batch.set(row, value)?;
            }
            Ok(())
        });
        let results = results.unwrap();
        for (row, value) in values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.as_object().is_none())
        {
            assert_eq!(
                results.value(row).map(Copied::from),
                Some(Copied::from(*value)),
                "map, round {round}"
            );
        }
    }
}
