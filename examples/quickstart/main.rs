//! Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights
//! into an SQLite database, once with one transaction a row and once in batches.
//!
//! ```text
//! cargo run --release --example quickstart [flights.csv [seconds]]
//! ```
//!
//! `seconds` bounds the one-transaction-a-row run (default 3). Lines that begin with `rate` are measured and differ
//! from run to run; every other line is always the same. `examples/quickstart.c` is the same program in C.

mod cell;
mod database;
mod kinds;
mod progress;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013-02.csv");
    let path = arguments.next().unwrap_or_else(|| bundled.to_owned());
    let seconds = arguments.next().map_or(Ok(3.0), |text| text.parse())?;

    let csv = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let flights: Vec<&str> = csv.lines().skip(1).collect();

    kinds::run(&flights)?;
    database::run(&flights, Duration::try_from_secs_f64(seconds)?)
}
