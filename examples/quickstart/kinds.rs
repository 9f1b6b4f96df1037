//! Part one: values of every kind, a handler for each kind, results back in push order.

use std::error::Error;
use std::sync::mpsc;

use microbatch::{Batch, Batcher, Failure, Kind, Mode, Split, Timeout, Value};

use crate::cell;

/// Flights by their place after the header: the first three, and the first that was cancelled.
const CHOSEN: [usize; 4] = [0, 1, 2, 375];

pub(crate) fn run(flights: &[&str]) -> Result<(), Box<dyn Error>> {
    println!("1. Values of every kind");
    println!(
        "   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so."
    );

    let chosen = CHOSEN.iter().filter_map(|&place| flights.get(place));
    let cells: Vec<Value<'_>> = chosen
        .flat_map(|flight| flight.split(','))
        .map(cell::parse)
        .collect();
    let columns = flights.first().map_or(1, |flight| flight.split(',').count());
    println!();
    println!(
        "   The {} cells of four flights (the last was cancelled), in batches of up to 32:",
        cells.len()
    );
    println!();
    let results = through_handlers(&cells, 32)?;
    println!();
    println!("   pushed, and the results in push order, a flight a line:");
    for (pushed, results) in cells.chunks(columns).zip(results.chunks(columns)) {
        println!("     {}", show(pushed));
        println!("  -> {}", results.join(" "));
    }

    #[rustfmt::skip]
    let list = [
        Value::from(1), 2.0.into(), "hello".into(), "world".into(), 3.into(), 4.0.into(), 5.into(), "Python".into(),
        6.into(), 7.0.into(), 8.into(), "deep".into(), "learning".into(), 9.into(), 10.0.into(),
    ];
    println!();
    println!("   A list of {}, in 2 batches:", list.len());
    println!();
    let results = through_handlers(&list, 8)?;
    println!();
    println!("     {}", show(&list));
    println!("  -> {}", results.join(" "));

    println!();
    println!("   The same list through map, which needs no batcher, in 2 batches:");
    println!();
    let results = through_map(&list, 2)?;
    println!();
    println!("  -> {}", results.join(" "));
    Ok(())
}

/// Pushes the values one by one and returns what came back, in the order it came.
fn through_handlers(values: &[Value<'_>], max_batch_size: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let (sender, results) = mpsc::channel();
    let batcher = Batcher::builder()
        .mode(Mode::Manual) // no threads: handlers and on_result run inside flush
        .max_batch_size(max_batch_size)
        .handler_for(Kind::Int64, double)
        .handler_for(Kind::Float64, halve)
        .handler_for(Kind::String, reverse)
        .handler(missing)
        .on_result(move |results| {
            println!("     batch {}: {} results", results.batch(), results.len());
            for row in results.iter() {
                // The channel is gone only when nobody wants the results.
                let _ = sender.send(row.result.map_or_else(|error| error.to_string(), cell::show));
            }
        })
        .build()?;
    for (tag, &value) in values.iter().enumerate() {
        batcher.push(value, tag as u64)?;
    }
    batcher.flush(Timeout::FOREVER)?;
    batcher.close(Timeout::FOREVER)?;
    Ok(results.try_iter().collect())
}

/// A batch of one kind is a plain slice, and so are its results.
fn double(batch: &mut Batch<'_>) -> Result<(), Failure> {
    report("int64", batch);
    let doubled: Vec<i64> = batch
        .int64s()
        .unwrap_or_default()
        .iter()
        .map(|number| number * 2)
        .collect();
    Ok(batch.set_int64s(&doubled)?)
}

fn halve(batch: &mut Batch<'_>) -> Result<(), Failure> {
    report("float64", batch);
    let halved: Vec<f64> = batch
        .float64s()
        .unwrap_or_default()
        .iter()
        .map(|number| number / 2.0)
        .collect();
    Ok(batch.set_float64s(&halved)?)
}

/// Any batch can be read and answered row by row.
fn reverse(batch: &mut Batch<'_>) -> Result<(), Failure> {
    report("string", batch);
    for row in 0..batch.len() {
        if let Value::String(text) = batch.value(row) {
            let reversed: String = text.chars().rev().collect();
            batch.set(row, reversed.as_str())?;
        }
    }
    Ok(())
}

/// A result need not be of its value's kind.
fn missing(batch: &mut Batch<'_>) -> Result<(), Failure> {
    report("default", batch);
    for row in 0..batch.len() {
        batch.set(row, "missing")?;
    }
    Ok(())
}

fn report(handler: &str, batch: &Batch<'_>) {
    let trigger = batch.trigger().name().to_uppercase();
    let (number, size, rows) = (batch.number(), batch.len(), show_rows(batch));
    println!("     batch {number}, {trigger:<5} {handler:<7} got {size:2}: {rows}");
}

fn show_rows(batch: &Batch<'_>) -> String {
    let shown: Vec<String> = batch.values().map(cell::show).collect();
    shown.join(" ")
}

fn show(values: &[Value<'_>]) -> String {
    let shown: Vec<String> = values.iter().map(|&value| cell::show(value)).collect();
    shown.join(" ")
}

/// One handler for all kinds, called on this thread for each batch in turn.
fn through_map(values: &[Value<'_>], batches: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let results = microbatch::map(values, Split::Batches(batches), |batch| {
        println!(
            "     batch {}, map got {}: {}",
            batch.number(),
            batch.len(),
            show_rows(batch)
        );
        for row in 0..batch.len() {
            match batch.value(row) {
                Value::Int64(number) => batch.set(row, number * 2)?,
                Value::Float64(number) => batch.set(row, number / 2.0)?,
                Value::String(text) => {
                    let reversed: String = text.chars().rev().collect();
                    batch.set(row, reversed.as_str())?;
                }
                _ => batch.set(row, "missing")?,
            }
        }
        Ok(())
    })?;
    Ok(results
        .iter()
        .map(|row| row.result.map_or_else(|error| error.to_string(), cell::show))
        .collect())
}
