// Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights into an SQLite
// database, once with one transaction a row and once in batches.
//
//     bindings/node/build.sh && npm ci --prefix examples
//     node examples/quickstart.mjs [flights.csv [seconds]]
//
// `seconds` bounds the one-transaction-a-row run (default 3). Lines that begin with `rate` are measured and differ from run to
// run; every other line is always the same. examples/quickstart is the same program in Rust.
//
// SQLite comes from libsql: its interface is that of better-sqlite3, its binary is inside its packages and needs no build.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import Database from 'libsql';
import { Batcher, Failure, SharedBatcher, map } from 'microbatch';

/** Flights by their place after the header: the first three, and the first that was cancelled. */
const CHOSEN = [0, 1, 2, 375];

const SCHEMA = `
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
  ) STRICT`;

const INSERT = `
  INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
                       carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** A flight of no distance, which the table does not take. */
const EXTRA = '2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z';

const PRODUCERS = 4;

// ---- A cell of the CSV file as the value it is ----

/** An integer, nothing (`NA` in this file), or text. */
function parse(cell) {
  if (/^-?\d+$/.test(cell)) return BigInt(cell);
  return cell === '' || cell === 'NA' ? null : cell;
}

/** A value as people read it. */
function show(value) {
  if (typeof value === 'string') return `"${value}"`;
  return typeof value === 'number' && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

const showAll = (values) => values.map(show).join(' ');

// ---- Part one: values of every kind ----

function kinds(flights) {
  console.log('1. Values of every kind');
  console.log('   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so.');
  const rows = CHOSEN.map((place) => flights[place].split(',').map(parse));
  console.log(`\n   The ${rows.flat().length} cells of four flights (the last was cancelled), in batches of up to 32:\n`);
  const results = throughHandlers(rows.flat(), 32);
  console.log('\n   pushed, and the results in push order, a flight a line:');
  for (const row of rows) {
    console.log(`     ${showAll(row)}`);
    console.log(`  -> ${results.splice(0, row.length).join(' ')}`);
  }

  const values = [1n, 2.0, 'hello', 'world', 3n, 4.0, 5n, 'Python', 6n, 7.0, 8n, 'deep', 'learning', 9n, 10.0];
  console.log(`\n   A list of ${values.length}, in 2 batches:\n`);
  const back = throughHandlers(values, 8);
  console.log(`\n     ${showAll(values)}`);
  console.log(`  -> ${back.join(' ')}`);

  console.log('\n   The same list through map, which needs no batcher, in 2 batches:\n');
  const mapped = map(values, (batch, { number }) => {
    console.log(`     batch ${number}, map got ${batch.length}: ${showAll(batch)}`);
    return batch.map(other);
  }, { batches: 2 });
  console.log(`\n  -> ${showAll(mapped)}`);
}

function other(value) {
  switch (typeof value) {
    case 'bigint':
      return 2n * value;
    case 'number':
      return value / 2;
    case 'string':
      return [...value].reverse().join('');
    default:
      return 'missing';
  }
}

/** A handler that says what it got. */
function reporting(name) {
  return (values, batch) => {
    const trigger = batch.trigger.toUpperCase().padEnd(5);
    console.log(`     batch ${batch.number}, ${trigger} ${name.padEnd(7)} got ${String(values.length).padStart(2)}: ${showAll(values)}`);
    return values.map(other);
  };
}

/** Pushes the values one by one and returns what came back, in the order it came. */
function throughHandlers(values, maxBatchSize) {
  const came = [];
  const handlers = Object.fromEntries(['int64', 'float64', 'string', 'default'].map((name) => [name, reporting(name)]));
  // no loop: handlers and onResult run inside tryFlush
  const batcher = new Batcher(handlers, {
    mode: 'manual',
    maxBatchSize,
    onResult(results) {
      console.log(`     batch ${results.batch}: ${results.count} results`);
      came.push(...results.toArray().map(show));
    },
  });
  values.forEach((value, tag) => batcher.push(value, tag));
  batcher.tryFlush();
  batcher.free();
  return came;
}

// ---- Part two: a real database ----

async function database(flights, seconds, directory) {
  console.log('\n2. A real database\n');
  let begun = performance.now();
  const count = oneByOne(path.join(directory, 'one-by-one.db'), flights, seconds);
  const slow = rate(count, begun);

  // the extra line travels in the middle of the others
  const half = flights.length / 2;
  const lines = [...flights.slice(0, half), EXTRA, ...flights.slice(half)];
  begun = performance.now();
  const answers = await inBatches(path.join(directory, 'in-batches.db'), lines);
  const fast = rate(flights.length, begun);

  verify(path.join(directory, 'in-batches.db'), lines, answers);
  console.log(`\n   rate  one transaction a row: ${slow.text}`);
  console.log(`   rate  a transaction a batch: ${fast.text}`);
  console.log(`   rate  ratio: ${(fast.rate / slow.rate).toFixed(1)}`);
}

function rate(rows, begun) {
  const seconds = (performance.now() - begun) / 1000;
  return { rate: rows / seconds, text: `${rows} rows in ${seconds.toFixed(2)} s, ${(rows / seconds).toFixed(0)} rows/s` };
}

/** A database with the table, and what inserts a line and answers its row id. */
function connect(file) {
  const db = new Database(file);
  db.exec(SCHEMA);
  const statement = db.prepare(INSERT);
  return { db, insert: (line) => BigInt(statement.run(...line.split(',').map(parse)).lastInsertRowid) };
}

/** Every INSERT is its own transaction. Stops at the time limit and answers how many rows it inserted. */
function oneByOne(file, flights, seconds) {
  const { db, insert } = connect(file);
  const progress = new Progress('one transaction a row', seconds);
  const begun = performance.now();
  let count = 0;
  let passed = 0;
  while (count < flights.length && passed < seconds) {
    insert(flights[count++]);
    passed = (performance.now() - begun) / 1000;
    progress.set(passed);
  }
  progress.set(seconds);
  db.close();
  return count;
}

/** Pushes every line from four threads; the handler inserts a batch in one transaction. Answers the answers by tag. */
async function inBatches(file, lines) {
  const { db, insert } = connect(file);
  const progress = new Progress('a transaction a batch', lines.length);
  const answers = new Array(lines.length);
  let came = 0;

  /** A batch is one transaction. What is thrown fails the whole batch. */
  function insertBatch(batch) {
    db.exec('BEGIN');
    try {
      const rows = batch.map((line) => {
        try {
          return insert(line);
        } catch (error) {
          return new Failure(error.rawCode, error.message);
        }
      });
      db.exec('COMMIT');
      return rows;
    } catch (thrown) {
      db.exec('ROLLBACK');
      throw thrown;
    }
  }

  const batcher = new Batcher(insertBatch, {
    maxBatchSize: 512,
    maxDelay: 2,
    onResult(results) {
      results.tags.forEach((tag, row) => {
        if (answers[tag] !== undefined) throw new Error(`line ${tag} has two results`);
        answers[tag] = results.failure(row) ?? results.value(row);
      });
      came += results.count;
      progress.set(came);
    },
  });
  const address = batcher.share();
  const share = Math.ceil(lines.length / PRODUCERS);
  const firsts = Array.from({ length: PRODUCERS }, (_, at) => at * share);
  await Promise.all(firsts.map((first) => inThread({ address, first, lines: lines.slice(first, first + share) })));
  await batcher.flush();
  const stats = batcher.stats();
  await batcher.close();
  db.close();
  console.log(`   ${stats.accepted} lines pushed one by one from ${PRODUCERS} threads`);
  console.log(`   ${stats.ok} rows inserted, each answered with its row id`);
  console.log(`   ${stats.failed} row failed, alone`);
  if (answers.includes(undefined)) throw new Error('a line has no result');
  return answers;
}

/** Runs this file again, in a thread of its own. */
function inThread(data) {
  return new Promise((resolve, reject) => {
    new Worker(new URL(import.meta.url), { workerData: data }).once('exit', resolve).once('error', reject);
  });
}

/** What the threads do: push each line, and wait for room where there is none. */
async function pushLines({ address, first, lines }) {
  const batcher = new SharedBatcher(address);
  for (let at = 0; at < lines.length; ) {
    try {
      batcher.push(lines[at], first + at);
      at++;
    } catch (full) {
      if (!full.retriable) throw full;
      await batcher.room();
    }
  }
}

/** Reads the table back: under each row id stands the line that was answered with it, and nothing else is there. */
function verify(file, lines, answers) {
  const lineOf = new Map();
  answers.forEach((answer, at) => {
    if (answer instanceof Error) {
      console.log(`   its outcome: ${answer.outcome.toUpperCase()}, code ${answer.code}, "${answer.message}"`);
    } else if (lineOf.has(answer)) {
      throw new Error(`row id ${answer} came twice`);
    } else {
      lineOf.set(answer, lines[at]);
    }
  });
  const db = new Database(file);
  let count = 0;
  for (const [row, ...cells] of db.prepare('SELECT * FROM flights').raw().all()) {
    const line = cells.map((cell) => cell ?? 'NA').join(',');
    if (lineOf.get(BigInt(row)) !== line) throw new Error(`row ${row} is not the line that was answered with it`);
    lineOf.delete(BigInt(row));
    count++;
  }
  db.close();
  if (lineOf.size > 0) throw new Error(`${lineOf.size} rows are missing`);
  console.log(`   ${count} rows read back, each line there exactly once`);
}

/** Quarters of a long piece of work, on standard error. */
class Progress {
  #quarter = 0;
  constructor(label, total) {
    Object.assign(this, { label, total });
  }
  set(done) {
    const quarter = Math.floor((4 * Math.min(done, this.total)) / this.total);
    if (quarter > this.#quarter) {
      this.#quarter = quarter;
      console.error(`   ${this.label}: ${25 * quarter} %`);
    }
  }
}

async function main() {
  const [file = path.join(import.meta.dirname, 'data/flights-2013-02.csv'), seconds = '3'] = process.argv.slice(2);
  const flights = readFileSync(file, 'utf8').trimEnd().split('\n').slice(1);
  kinds(flights);
  const directory = mkdtempSync(path.join(tmpdir(), 'microbatch-quickstart-'));
  try {
    await database(flights, Number(seconds), directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

await (isMainThread ? main() : pushLines(workerData));
