'use strict';
// The memory that the glue and JavaScript both read and write, one for each environment: whoever wrote last owns it until
// the next call into the glue. And what goes wrong where nobody can catch it.

const { markAsUntransferable } = require('node:worker_threads');
const { native, KIND } = require('./native.cjs');

/** What the glue calls, set once all of it is loaded. */
const calls = {};

const [out, float64s, int64s, tags, tagHalves, , handle, handleHalves] = native.setup(
  (core) => core.ready(),
  (core) => calls.onBatch(core),
  (core) => core.delivered(),
  (core, word) => core.released(word),
  (core, status, left) => core.closeEnded(status, left),
  (core, level, text) => core.logged(level, text),
);

/** Rows of the columns. */
const ROWS = float64s.length;
/** Where calls leave numbers, by what they are; CUT is the glue's to read. */
const OUT = Object.freeze({ COUNT: 0, KIND: 1, NUMBER: 2, TRIGGER: 3, COUNTS_UP: 4, HANDLER: 5, PLACE: 6, CUT: 7 });
/** Where numbers stand. */
const COLUMNS = 1;
const SLAB = 2;

/**
 * Memory for arrays that users get, many to a slab: an ArrayBuffer for each would cost more than what it holds. The glue puts
 * numbers where the next array will be, for which there is always room, if it is not too long.
 */
const SLAB_ROWS = 8192;
const MOST = 1024;
let slab;
let slabFloat64s;
let slabInt64s;

function newSlab() {
  // as Node does for its own pool: what is read was written before
  slab = Buffer.allocUnsafeSlow(8 * SLAB_ROWS).buffer;
  // who transfers one array must not take the others away
  markAsUntransferable(slab);
  slabFloat64s = new Float64Array(slab);
  slabInt64s = new BigInt64Array(slab);
  out[OUT.CUT] = 0;
  native.useSlab(slab);
}
newSlab();

/** The next `count` rows of the slab as an array of their own. */
function cut(Column, count) {
  const array = new Column(slab, 8 * out[OUT.CUT], count);
  out[OUT.CUT] += count;
  if (out[OUT.CUT] > SLAB_ROWS - MOST) {
    newSlab();
  }
  return array;
}

/** The first rows of a column as an array of its own. */
function copyOf(column, count) {
  if (count > MOST) {
    return column.slice(0, count);
  }
  if (slab.byteLength === 0) {
    // some newer ways to take an array's memory away do not ask
    newSlab();
  }
  const copy = cut(column.constructor, count);
  copy.set(column.subarray(0, count));
  return copy;
}

/** The numbers that the glue tells of, as an array of their own; undefined if it tells of none. */
function takeNumbers(kind, count) {
  switch (out[OUT.PLACE]) {
    case SLAB:
      return cut(kind === KIND.float64 ? Float64Array : BigInt64Array, count);
    case COLUMNS:
      return copyOf(kind === KIND.float64 ? float64s : int64s, count);
    default:
      return undefined;
  }
}

/** The same where they stand: `array` from `first` on, until the next call. */
const seen = { array: undefined, first: 0 };
function seeNumbers(kind) {
  const inSlab = out[OUT.PLACE] === SLAB;
  seen.first = inSlab ? out[OUT.CUT] : 0;
  if (kind === KIND.float64) {
    seen.array = inSlab ? slabFloat64s : float64s;
  } else {
    seen.array = inSlab ? slabInt64s : int64s;
  }
  return out[OUT.PLACE] !== 0;
}

function report(thrown) {
  process.nextTick(() => {
    throw thrown;
  });
}

module.exports = {
  OUT, ROWS, calls, copyOf, float64s, handle, handleHalves, out, report, seeNumbers, seen, tagHalves, tags, takeNumbers,
};
