//! Part two: 20,000 flights into an SQLite database on disk, one transaction a row and then a transaction a batch.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use microbatch::{Batch, Batcher, Failure, Status, Timeout, Value};
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, params_from_iter};

use crate::cell;
use crate::progress::Progress;

const SCHEMA: &str = "
    CREATE TABLE flights (
        id             INTEGER PRIMARY KEY,
        year           INTEGER NOT NULL,
        month          INTEGER NOT NULL,
        day            INTEGER NOT NULL,
        dep_time       INTEGER,
        sched_dep_time INTEGER NOT NULL,
        dep_delay      INTEGER,
        arr_time       INTEGER,
        sched_arr_time INTEGER NOT NULL,
        arr_delay      INTEGER,
        carrier        TEXT NOT NULL,
        flight         INTEGER NOT NULL,
        tailnum        TEXT,
        origin         TEXT NOT NULL,
        dest           TEXT NOT NULL,
        air_time       INTEGER,
        distance       INTEGER NOT NULL CONSTRAINT distance_is_positive CHECK (distance > 0),
        hour           INTEGER NOT NULL,
        minute         INTEGER NOT NULL,
        time_hour      TEXT NOT NULL,
        UNIQUE (year, month, day, carrier, flight)
    ) STRICT";

const INSERT: &str = "
    INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
                         carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// A flight of no distance, which the table does not take.
const EXTRA: &str =
    "2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z";

const PRODUCERS: usize = 4;

/// What became of one value: its row id, or the code and message of its failure.
type Answer = Result<i64, (i32, String)>;

pub(crate) fn run(flights: &[&str], time_limit: Duration) -> Result<(), Box<dyn Error>> {
    println!();
    println!("2. A real database");
    println!();
    let directory = TemporaryDirectory::new()?;

    let begun = Instant::now();
    let count = one_by_one(&directory.0.join("one-by-one.db"), flights, time_limit)?;
    let slow = Rate {
        rows: count,
        time: begun.elapsed(),
    };

    // The extra line travels in the middle of the others.
    let mut lines = flights.to_vec();
    lines.insert(lines.len() / 2, EXTRA);
    let begun = Instant::now();
    let answers = in_batches(&directory.0.join("in-batches.db"), &lines)?;
    let fast = Rate {
        rows: flights.len(),
        time: begun.elapsed(),
    };

    verify(&directory.0.join("in-batches.db"), &lines, &answers)?;
    println!();
    println!("   rate  one transaction a row: {slow}");
    println!("   rate  a transaction a batch: {fast}");
    println!("   rate  ratio: {:.1}", fast.per_second() / slow.per_second());
    Ok(())
}

/// Inserts one flight and returns its row id. What SQLite refuses is an error, and the transaction goes on.
fn insert_flight(insert: &mut Statement<'_>, line: &str) -> rusqlite::Result<i64> {
    insert.insert(params_from_iter(line.split(',').map(|text| {
        match cell::parse(text) {
            Value::Int64(number) => ToSqlOutput::from(number),
            Value::String(text) => ToSqlOutput::from(text),
            _ => ToSqlOutput::from(Null),
        }
    })))
}

/// Every INSERT is its own transaction. Stops at the time limit and returns how many rows it inserted.
fn one_by_one(path: &Path, flights: &[&str], time_limit: Duration) -> Result<usize, Box<dyn Error>> {
    let database = Connection::open(path)?;
    database.execute_batch(SCHEMA)?;
    let mut insert = database.prepare(INSERT)?;

    let progress = Progress::new("one transaction a row", time_limit.as_millis() as u64);
    let begun = Instant::now();
    let mut count = 0;
    for flight in flights {
        insert_flight(&mut insert, flight)?;
        count += 1;
        progress.set(begun.elapsed().as_millis() as u64);
        if begun.elapsed() >= time_limit {
            break;
        }
    }
    progress.finish();
    Ok(count)
}

/// Pushes every line from four threads; the handler inserts a batch in one transaction. Returns the answers by tag.
fn in_batches(path: &Path, lines: &[&str]) -> Result<Vec<Answer>, Box<dyn Error>> {
    let database = Connection::open(path)?;
    database.execute_batch(SCHEMA)?;
    let database = Mutex::new(database);
    let progress = Arc::new(Progress::new("a transaction a batch", lines.len() as u64));
    let (sender, received) = mpsc::channel();
    let batcher = Batcher::builder()
        .max_batch_size(512)
        .max_delay(Duration::from_millis(2))
        .handler(move |batch| insert_batch(&database, batch))
        .on_result({
            let progress = Arc::clone(&progress);
            move |results| {
                for row in results.iter() {
                    let answer = match row.result {
                        Ok(id) => id.as_int64().ok_or((0, "no row id".to_owned())),
                        Err(error) => Err((error.code.code(), error.message.to_owned())),
                    };
                    let _ = sender.send((row.tag, answer));
                }
                progress.add(results.len() as u64);
            }
        })
        .build()?;

    let share = lines.len().div_ceil(PRODUCERS);
    thread::scope(|scope| {
        let batcher = &batcher;
        let start = |(producer, lines)| scope.spawn(move || push_lines(batcher, lines, producer * share));
        let producers: Vec<_> = lines.chunks(share).enumerate().map(start).collect();
        producers
            .into_iter()
            .try_for_each(|producer| producer.join().unwrap_or(Err(Status::INTERNAL)))
    })?;
    batcher.flush(Timeout::FOREVER)?;
    progress.finish();

    let stats = batcher.stats()?;
    println!(
        "   {} lines pushed one by one from {PRODUCERS} threads",
        stats.accepted
    );
    println!("   {} rows inserted, each answered with its row id", stats.ok);
    println!("   {} row failed, alone", stats.failed);
    batcher.close(Timeout::FOREVER)?;

    let mut answers: Vec<Option<Answer>> = vec![None; lines.len()];
    for (tag, answer) in received.try_iter() {
        let place = answers
            .get_mut(tag as usize)
            .ok_or("a result with an unknown tag")?;
        if place.replace(answer).is_some() {
            return Err(format!("line {tag} has two results").into());
        }
    }
    answers
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| "a line has no result".into())
}

/// One producer. The tag of a value is the place of its line.
fn push_lines(batcher: &Batcher, lines: &[&str], first_tag: usize) -> microbatch::Result {
    for (place, &line) in lines.iter().enumerate() {
        batcher.push(line, (first_tag + place) as u64)?;
    }
    Ok(())
}

/// The handler: a batch is one transaction. An error that leaves through `?` fails the whole batch.
fn insert_batch(database: &Mutex<Connection>, batch: &mut Batch<'_>) -> Result<(), Failure> {
    let mut database = database.lock()?;
    let transaction = database.transaction()?;
    let mut insert = transaction.prepare_cached(INSERT)?;
    for row in 0..batch.len() {
        let Value::String(line) = batch.value(row) else {
            continue;
        };
        match insert_flight(&mut insert, line) {
            Ok(id) => batch.set(row, id)?,
            Err(error) => {
                let code = error.sqlite_error().map_or(1, |error| error.extended_code);
                batch.fail(row, code, &error.to_string())?;
            }
        }
    }
    drop(insert);
    transaction.commit()?;
    Ok(())
}

/// Reads the table back: under each row id stands the line that was answered with it, and nothing else is there.
fn verify(path: &Path, lines: &[&str], answers: &[Answer]) -> Result<(), Box<dyn Error>> {
    let mut line_of = HashMap::new();
    for (answer, line) in answers.iter().zip(lines) {
        match answer {
            Ok(id) if line_of.insert(*id, *line).is_some() => {
                return Err(format!("row id {id} came twice").into());
            }
            Ok(_) => {}
            Err((code, message)) => println!("   its outcome: FAILED, code {code}, \"{message}\""),
        }
    }

    let database = Connection::open(path)?;
    let mut select = database.prepare("SELECT * FROM flights")?;
    let mut rows = select.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let mut cells = Vec::new();
        for column in 1..=19 {
            cells.push(match row.get_ref(column)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                _ => "NA".to_owned(),
            });
        }
        let id: i64 = row.get(0)?;
        match line_of.remove(&id) {
            Some(line) if line == cells.join(",") => count += 1,
            _ => return Err(format!("row {id} is not the line that was answered with it").into()),
        }
    }
    if !line_of.is_empty() {
        return Err(format!("{} rows are missing", line_of.len()).into());
    }
    println!("   {count} rows read back, each line there exactly once");
    Ok(())
}

struct Rate {
    rows: usize,
    time: Duration,
}

impl Rate {
    fn per_second(&self) -> f64 {
        self.rows as f64 / self.time.as_secs_f64()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows in {:.2} s, {:.0} rows/s",
            self.rows,
            self.time.as_secs_f64(),
            self.per_second()
        )
    }
}

/// A directory that goes when its owner goes.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> std::io::Result<Self> {
        let path = env::temp_dir().join(format!("microbatch-quickstart-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
