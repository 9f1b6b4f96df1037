'use strict';
// The memory that the glue and JavaScript both read and write, one for each environment: whoever wrote last owns it until
// the next call into the glue. And what goes wrong where nobody can catch it.

const { markAsUntransferable } = require('node:worker_threads');
const { native } = require('./native.cjs');

/** What the glue calls, set once all of it is loaded. */
const calls = {};

const [out, float64s, int64s, tags, tagHalves] = native.setup(
  (core) => core.ready(),
  (core, which, batch) => calls.onBatch(core, which, batch),
  (core, results) => core.delivered(results),
  (core, word) => core.released(word),
  (core, status, left) => core.closeEnded(status, left),
);

/** Memory for arrays that users get, many to a slab: an ArrayBuffer for each would cost more than what it holds. */
const SLAB = 64 * 1024;
const MOST = SLAB / 8;
let slab;
let used = SLAB;
/** The rows of each column that were copied last: batches are often of one size. */
const lastRows = new Map();

function rowsOf(column, count) {
  let rows = lastRows.get(column);
  if (rows === undefined || rows.length !== count) {
    rows = column.subarray(0, count);
    lastRows.set(column, rows);
  }
  return rows;
}

/** The first rows of a column as an array of its own. */
function copyOf(column, count) {
  const bytes = count * 8;
  if (bytes > MOST) {
    return column.slice(0, count);
  }
  if (used + bytes > SLAB) {
    // as Node does for its own pool: what is read was written before
    slab = Buffer.allocUnsafeSlow(SLAB).buffer;
    // who transfers one array must not take the others away
    markAsUntransferable(slab);
    used = 0;
  }
  const copy = new column.constructor(slab, used, count);
  copy.set(rowsOf(column, count));
  used += bytes;
  return copy;
}

/** Rows of the columns. */
const ROWS = float64s.length;
/** Where calls leave numbers, by what they are. */
const OUT = Object.freeze({ COUNT: 0, KIND: 1, NUMBER: 2, TRIGGER: 3, COUNTS_UP: 4 });

function report(thrown) {
  process.nextTick(() => {
    throw thrown;
  });
}

module.exports = { OUT, ROWS, calls, copyOf, float64s, int64s, out, report, tagHalves, tags };
