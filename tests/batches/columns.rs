//! Columns (P12).

use super::*;

/// Cells that stand nowhere in memory unless a push put them there: `seed` tells tests apart.
fn cell(seed: u64, row: u64) -> i64 {
    (seed << 56 | 0x00a5_c3e1_b700_0000 | row) as i64
}

/// Where in the memory of this process the cells of rows 0 to `rows` stand one after another, as a debugger would
/// look for them: in everything that can be written to, whoever it belongs to.
fn places_in_memory(seed: u64, rows: u64) -> Vec<usize> {
    // One look at a time: another's window would hold copies.
    static LOOKING: Mutex<()> = Mutex::new(());
    let _looking = LOOKING.lock();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut window = vec![0u8; 1 << 20];
    let own = window.as_ptr() as usize..window.as_ptr() as usize + window.len();
    let overlap = 8 * rows as usize;
    let mut places = Vec::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, flags) = (fields.next().unwrap(), fields.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let (mut at, end) = (
            usize::from_str_radix(start, 16).unwrap(),
            usize::from_str_radix(end, 16).unwrap(),
        );
        if !flags.starts_with("rw") {
            continue;
        }
        while at + overlap <= end {
            if own.contains(&at) {
                at = own.end.next_multiple_of(8);
                continue;
            }
            let stop = if at < own.start { end.min(own.start) } else { end };
            let length = window.len().min(stop - at);
            // A thread that ends takes its memory along: what cannot be read holds nothing.
            let Ok(read) = memory.read_at(&mut window[..length], at as u64) else {
                break;
            };
            let word = |row: usize| u64::from_ne_bytes(window[8 * row..8 * row + 8].try_into().unwrap());
            let first = cell(seed, 0) as u64;
            for row in (0..read / 8).filter(|row| word(*row) == first) {
                let rest = 1..rows as usize;
                if 8 * (row + rows as usize) <= read
                    && rest
                        .into_iter()
                        .all(|i| word(row + i) == cell(seed, i as u64) as u64)
                {
                    places.push(at + 8 * row);
                }
            }
            window[..read].fill(0);
            at += if length == window.len() {
                length - overlap
            } else {
                length.max(8)
            };
        }
    }
    places
}

/// Fails if the values are copied anywhere between the push and the handler, as by a `dispatch` that gathers every
/// batch: the copy would stand at a second place, and the handler would read that one.
#[test]
fn p12_the_handler_reads_the_very_address_the_push_wrote() {
    let _watchdog = watchdog();
    const ROWS: u64 = 100;
    for seed in 1..=8 {
        let (floats, threaded, own) = (seed & 1 != 0, seed & 2 != 0, seed & 4 != 0);
        let seen = Notes::new();
        let in_handler = seen.clone();
        let handler = move |batch: &mut Batch<'_>| {
            let address = match floats {
                true => batch.float64s().unwrap().as_ptr() as usize,
                false => batch.int64s().unwrap().as_ptr() as usize,
            };
            in_handler.add((address, places_in_memory(seed, ROWS)));
            Ok(())
        };
        let mode = if threaded { Batcher::builder() } else { given() };
        let options = match (own, floats) {
            (false, _) => mode.handler(handler),
            (true, true) => mode.handler(echo).handler_for(Kind::Float64, handler),
            (true, false) => mode.handler(echo).handler_for(Kind::Int64, handler),
        };
        let batcher = options.max_delay(FOREVER).build().unwrap();
        for row in 0..ROWS {
            match floats {
                true => batcher
                    .push_float64(f64::from_bits(cell(seed, row) as u64), row)
                    .unwrap(),
                false => batcher.push_int64(cell(seed, row), row).unwrap(),
            }
        }
        let written = places_in_memory(seed, ROWS);
        assert_eq!(written.len(), 1, "the push wrote them to one place");
        batcher.flush(FOREVER).unwrap();
        assert_eq!(
            seen.all(),
            [(written[0], written)],
            "and there the handler reads them"
        );
    }
}

/// Fails if `next_batch` or `keep` hands out a copy.
#[test]
fn p12_a_held_batch_is_read_where_the_push_wrote_it() {
    const ROWS: u64 = 100;
    let shelf = Shelf::new();
    for (seed, options) in (11..).zip([timeless(), timeless().handler(shelf.keep())]) {
        let batcher = options.build().unwrap();
        for row in 0..ROWS {
            batcher.push_int64(cell(seed, row), row).unwrap();
        }
        let written = places_in_memory(seed, ROWS);
        batcher.seal().unwrap();
        batcher.run().unwrap();
        let batch = batcher.next_batch(Timeout::ZERO).unwrap_or_else(|_| shelf.take());
        assert_eq!(written, [batch.int64s().unwrap().as_ptr() as usize]);
        assert_eq!(places_in_memory(seed, ROWS), written);
        finish(batch);
    }
}

/// Fails if columns are not laid out for Arrow: `ALIGN` below 64, or rows that are not rounded up to a multiple of 64
/// (engine/column.rs).
#[test]
fn p12_columns_are_aligned_to_64_bytes() {
    for size in [1, 7, 64, 100, 1000] {
        let seen = Notes::new();
        let (in_handler, in_on_result) = (seen.clone(), seen.clone());
        let handler = move |batch: &mut Batch<'_>| {
            let values = match batch.kind() {
                Some(Kind::Int64) => batch.int64s().unwrap().as_ptr() as usize,
                Some(Kind::Float64) => batch.float64s().unwrap().as_ptr() as usize,
                _ => batch.value(0).as_str().unwrap().as_ptr() as usize,
            };
            in_handler.add(values);
            in_handler.add(batch.tags().as_ptr() as usize);
            in_handler.add(batch.kinds().as_ptr() as usize);
            Ok(batch.set_int64s(&vec![1; batch.len()])?)
        };
        let on_result =
            move |results: &Results<'_>| in_on_result.add(results.int64s().unwrap().as_ptr() as usize);
        let options = timeless().max_batch_size(size).handler(handler);
        let batcher = options.on_result(on_result).build().unwrap();
        for value in [Value::Int64(1), Value::Float64(1.0), Value::String("text")] {
            for _ in 0..size {
                batcher.push(value, 0).unwrap();
            }
            batcher.run().unwrap();
        }
        let addresses = seen.all();
        assert_eq!(addresses.len(), 12);
        assert!(
            addresses.iter().all(|address| address % 64 == 0),
            "{addresses:x?} at size {size}"
        );
    }
}

/// Fails if strings are not one buffer in row order (`put_text`).
#[test]
fn p12_strings_are_offsets_into_one_buffer() {
    let seen = Notes::new();
    let notes = seen.clone();
    let handler = move |batch: &mut Batch<'_>| {
        for value in batch.values() {
            let text = value.as_str().unwrap();
            notes.add((text.as_ptr() as usize, text.len()));
        }
        Ok(())
    };
    let batcher = timeless().handler(handler).build().unwrap();
    for row in 0..200usize {
        batcher.push(&"x".repeat(1 + row % 50), row as u64).unwrap();
    }
    batcher.flush(Timeout::ZERO).unwrap();
    let texts = seen.all();
    assert_eq!(texts.len(), 200);
    assert!(texts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
}

/// Fails if a batch of one kind is not a typed array, or one of several is (`classify`).
#[test]
fn p12_a_batch_of_one_kind_is_a_typed_array() {
    let seen = Notes::new();
    let notes = seen.clone();
    let handler = move |batch: &mut Batch<'_>| {
        let floats = batch.float64s().map(<[f64]>::to_vec);
        notes.add((
            batch.kind(),
            batch.int64s().map(<[i64]>::to_vec),
            floats,
            batch.kinds().to_vec(),
        ));
        Ok(())
    };
    let batcher = timeless().handler(handler).build().unwrap();
    for values in [
        vec![Value::Int64(1), Value::Int64(2)],
        vec![Value::Float64(1.5)],
        vec![Value::Int64(1), Value::Float64(1.5)],
        vec![Value::Int64(1), Value::Null],
        vec![Value::Null, Value::Null],
        vec![Value::String("a")],
    ] {
        assert_eq!(
            batcher.push_values(&values, Tags::From(0)),
            (values.len(), Ok(()))
        );
        batcher.flush(Timeout::ZERO).unwrap();
    }
    let expected = [
        (Some(Kind::Int64), Some(vec![1, 2]), None, vec![2, 2]),
        (Some(Kind::Float64), None, Some(vec![1.5]), vec![3]),
        (None, None, None, vec![2, 3]),
        (None, None, None, vec![2, 0]),
        (Some(Kind::Null), None, None, vec![0, 0]),
        (Some(Kind::String), None, None, vec![4]),
    ];
    assert_eq!(seen.all(), expected);
}

/// Fails if `close_up` leaves a column behind: texts without `move_down`, `owned` or `sizes` with their old rows.
#[test]
fn p12_removed_rows_are_closed_up_before_dispatch() {
    let mut chance = Chance::new(12);
    for round in 0..300 {
        let (batcher, journal) = journaled(timeless().on_object_release(OWNER, |_| ()));
        let mut waiting = Vec::new();
        for tag in 0..1 + chance.below(30) {
            let length = chance.below(12) as usize;
            let letters = &"abcdefghijkl"[..length];
            let value = match chance.below(6) {
                0 => Value::Int64(tag as i64),
                1 => Value::Bytes(letters.as_bytes()),
                2 => Value::Object(Object {
                    owner: OWNER,
                    word: tag,
                    size: chance.below(3),
                }),
                3 => Value::Null,
                _ => Value::String(letters),
            };
            let deadline = if chance.one_in(5) { 5 } else { 0 };
            if value.as_str().is_some() && deadline == 0 && chance.one_in(2) {
                batcher.push_owned(letters.to_owned(), tag).unwrap();
            } else {
                batcher
                    .push_with(value, tag, PushOptions::new().deadline(deadline))
                    .unwrap();
            }
            waiting.push((tag, Copied::from(value), value.weight(), deadline));
        }
        if chance.one_in(2) {
            batcher.seal().unwrap();
        }
        waiting.retain(|(tag, ..)| !chance.one_in(3) || batcher.cancel(*tag) != Ok(1));
        batcher.advance(5).unwrap();
        if chance.one_in(2) {
            // Deadlines are swept before the batch goes, here together with it.
            batcher.seal().unwrap();
        }
        waiting.retain(|(_, _, _, deadline)| *deadline == 0);
        batcher.flush(Timeout::ZERO).unwrap();
        let batches = journal.batches();
        if waiting.is_empty() {
            assert_eq!(batches, [], "round {round}");
            continue;
        }
        let (tags, values): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|(tag, value, ..)| (tag, value)).unzip();
        assert_eq!(
            (&batches[0].tags, &batches[0].values),
            (&tags, &values),
            "round {round}"
        );
        for (tag, value) in tags.into_iter().zip(values) {
            // An object's declared size is that of the push; a result has none.
            let answered = match value {
                Copied::Object(object) => Copied::Object(Object { size: 0, ..object }),
                other => other,
            };
            assert_eq!(journal.row(tag).value, answered, "round {round}");
        }
    }
}

/// Fails if one kind is not found again after the others left (`classify` before `close_up` in `dispatch`).
#[test]
fn p12_what_is_left_of_one_kind_is_a_typed_array() {
    let (batcher, journal) = journaled(timeless());
    batcher.push(1, 1).unwrap();
    batcher.push("gone", 2).unwrap();
    batcher.push(3, 3).unwrap();
    assert_eq!(batcher.cancel(2), Ok(1));
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(
        (journal.batches()[0].kind, values_of(&journal.batches())),
        (Some(Kind::Int64), vec![vec![1, 3]])
    );
}

/// Fails if a removed row gives its place in the batch back (rows counted by `live` in `push_locked`), or keeps its
/// place in the queue (`core.left` in `remove_waiting`).
#[test]
fn p12_removed_rows_count_for_size_and_bytes_and_not_for_the_queue() {
    let options = timeless()
        .max_batch_size(3)
        .queue_capacity(3)
        .max_batch_bytes(100)
        .queue_bytes(100);
    let (batcher, journal) = journaled(options.on_full(OnFull::Reject));
    push_all(&batcher, 1..=2);
    assert_eq!(batcher.cancel(1), Ok(1));
    assert_eq!(
        (
            batcher.stats().unwrap().waiting,
            batcher.stats().unwrap().waiting_bytes
        ),
        (1, 8)
    );
    push_all(&batcher, 3..=3);
    batcher.run().unwrap();
    assert_eq!(values_of(&journal.batches()), [[2, 3]], "sealed by its third row");
    assert_eq!(journal.triggers(), [Trigger::Size]);

    batcher.push("x".repeat(70).as_str(), 4).unwrap();
    push_all(&batcher, 5..=5);
    assert_eq!(batcher.cancel(4), Ok(1));
    batcher.push("y".repeat(20).as_str(), 6).unwrap();
    assert_eq!(
        batcher.stats().unwrap().sealed_by(Trigger::Bytes),
        1,
        "78 + 8 + 28 bytes, removed ones included"
    );
    batcher.flush(Timeout::ZERO).unwrap();
    assert_eq!(journal.sizes(), [2, 1, 1]);
}

/// Fails if an emptied open batch lives on (`drop_open`): the next value would inherit its age.
#[test]
fn p12_a_batch_left_empty_ends_its_age() {
    let (batcher, journal) = journaled(given().max_delay(ns(10)));
    push_all(&batcher, 1..=1);
    assert_eq!(batcher.cancel(1), Ok(1));
    assert_eq!(batcher.next_due(), Ok(0), "the cancelled value's result is ready");
    run_at(&batcher, 8);
    assert_eq!(batcher.next_due(), Ok(i64::MAX));
    push_all(&batcher, 2..=2);
    assert_eq!(batcher.next_due(), Ok(18));
    run_at(&batcher, 10);
    assert_eq!(journal.sizes(), []);
    run_at(&batcher, 18);
    assert_eq!(
        (values_of(&journal.batches()), journal.batches()[0].age),
        (vec![vec![2]], 10)
    );
}
