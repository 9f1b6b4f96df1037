'use strict';

const { native, tables, KIND, STATUS } = require('./native.cjs');
const { check, failureOf, MicrobatchError } = require('./error.cjs');
const { OUT, ROWS, calls, float64s, handleHalves, out, seeNumbers, seen, takeNumbers } = require('./memory.cjs');
const { ForeignObject, kindOf, many, plain, restoreObjects } = require('./values.cjs');

const TAGS = 0;
const KINDS = 1;
const DEADLINES = 2;
const POSITIONS = 3;
const KEEP = 0;
const COMPLETE = 1;
const COMPLETE_OK = 2;
const FREE = 3;

/** A batch, or a handler's part of one. It is good until its handler ends, or, kept or pulled, until it is completed. */
class Batch {
  #core;
  #low;
  #high;
  #values;
  #gone = false;
  /** Kept or pulled: somebody completes it. */
  held;

  /** What it is stands in `out`. */
  constructor(core, held) {
    this.count = out[OUT.COUNT];
    this.kind = tables.kinds[out[OUT.KIND]] ?? 'mixed';
    this.trigger = tables.triggers[out[OUT.TRIGGER]];
    this.number = out[OUT.NUMBER];
    this.#core = core;
    this.#low = handleHalves[0];
    this.#high = handleHalves[1];
    this.held = held;
  }

  get #word() {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** The batcher went, and nobody will complete the batch: its outcomes stand, and what it holds is given back. */
  giveUp() {
    this.#gone = true;
    native.batchEnd(this.#core.host, this.#word, FREE);
  }

  /** How old its first value was at its dispatch, in ns. */
  get age() {
    const age = native.batchAge(this.#core.host, this.#word);
    if (typeof age === 'number') {
      check(age);
    }
    return age;
  }

  #read(which) {
    const column = native.batchColumn(this.#core.host, this.#word, which);
    if (typeof column === 'number') {
      check(column);
    }
    return column;
  }

  get tags() {
    return this.#read(TAGS);
  }

  get kinds() {
    return Array.from(this.#read(KINDS), (kind) => tables.kinds[kind]);
  }

  /** When each value expires, in ns on the batcher's clock, 0n for never; undefined if none does. */
  get deadlines() {
    return this.#read(DEADLINES);
  }

  /** The row of the whole batch that each row of this part is; undefined if this is the whole batch. */
  get positions() {
    return this.#read(POSITIONS);
  }

  /** The values: a Float64Array or BigInt64Array if all are numbers of one kind, else a plain array. */
  get columns() {
    if (!this.#values) {
      const values = native.batchValues(this.#core.host, this.#word);
      if (typeof values === 'number') {
        check(values);
      }
      if (this.kind === 'object' || this.kind === 'mixed') {
        restoreObjects(values, this.#read(KINDS), this.#core.objects);
      }
      this.#values = values;
    }
    return this.#values;
  }

  /** The values as a plain array. */
  get values() {
    return plain(this.columns);
  }

  value(row) {
    return this.columns[row];
  }

  /** Gives a row its result; an Error fails it. The last call counts. */
  set(row, value, { size = 0 } = {}) {
    if (value instanceof Error) {
      this.#failWith(row, value);
      return;
    }
    let kind = kindOf(value);
    let payload = value;
    let owner;
    if (typeof kind !== 'number') {
      throw kind;
    }
    const foreign = value instanceof ForeignObject;
    if (foreign) {
      ({ word: payload, owner, size } = value);
    } else if (kind === KIND.object) {
      payload = this.#core.objects.hold(value);
    }
    const status = native.batchSet(this.#core.host, this.#word, row, kind, payload, size, owner);
    if (kind === KIND.object && !foreign && this.#stayed(status)) {
      this.#core.objects.release(payload);
    }
    check(status);
  }

  /** Whether references of results stayed here: one that came too late is given back as any other, unless its batch is gone. */
  #stayed(status) {
    return status !== 0 && (status !== STATUS.TOO_LATE || this.#gone);
  }

  /** Gives every row its result: an array or typed array as long as the batch. Errors in it fail their rows. */
  setAll(results) {
    const { host, objects } = this.#core;
    let failed;
    let all = results;
    if (Array.isArray(results)) {
      for (let row = 0; row < results.length; row++) {
        if (results[row] instanceof Error || results[row] === undefined) {
          all = failed ? all : results.slice();
          (failed ??= []).push(row);
          all[row] = null;
        }
      }
    }
    const { float64s, int64s, values, kinds, words, error } = many(all, objects);
    if (error) {
      words?.forEach((word) => objects.release(word));
      throw error;
    }
    const status = float64s
      ? native.batchSetFloat64s(host, this.#word, float64s)
      : int64s
        ? native.batchSetInt64s(host, this.#word, int64s)
        : native.batchSetValues(host, this.#word, values, kinds);
    if (this.#stayed(status)) {
      words?.forEach((word) => objects.release(word));
    }
    if (status !== STATUS.RESULT_COUNT) {
      check(status);
    } else {
      // the part fails with both lengths in its message; no row can be set any more
      check(status, `the handler gave ${all.length} results for ${this.count} values`);
    }
    for (const row of failed ?? []) {
      if (results[row] === undefined) {
        this.fail(row, STATUS.NO_RESULT, 'the handler returned undefined for this value');
      } else {
        this.#failWith(row, results[row]);
      }
    }
  }

  #failWith(row, thrown) {
    const [code, typeName, message] = failureOf(thrown);
    this.fail(row, code, message, typeName);
    this.#core.noteThrown(this.number, this.tags[row], thrown);
  }

  /** Fails one row with a positive code of yours. */
  fail(row, code, message = '', typeName = '') {
    check(native.batchFail(this.#core.host, this.#word, row, code, typeName, message));
  }

  /** Fails every row, whatever else is set. */
  failAll(code, message = '', typeName = '') {
    check(native.batchFail(this.#core.host, this.#word, -1, code, typeName, message));
  }

  /** Fails every row with what a handler threw. */
  failWith(thrown) {
    const [code, typeName, message] = failureOf(thrown);
    const status = native.batchFail(this.#core.host, this.#word, -1, code, typeName, message);
    if (status === 0) {
      for (const tag of this.tags) {
        this.#core.noteThrown(this.number, tag, thrown);
      }
    }
    return status;
  }

  /** Keeps the batch past its handler: complete it later, once. */
  keep() {
    check(native.batchEnd(this.#core.host, this.#word, KEEP));
    this.held = true;
    return this;
  }

  #end(how) {
    this.#gone = true;
    const status = native.batchEnd(this.#core.host, this.#word, how);
    this.held = false;
    this.#core.batchEnded();
    check(status);
  }

  /** Completes the batch: what was set counts, other rows fail with NO_RESULT. */
  complete() {
    this.#end(COMPLETE);
  }

  /** Completes the batch: rows without a result are OK, with null. */
  completeOk() {
    this.#end(COMPLETE_OK);
  }

  /** Gives a kept or pulled batch up: its values fail with NO_RESULT. */
  free() {
    this.#end(FREE);
  }
}

/** Something that results can be in. */
function checked(returned) {
  if (!Array.isArray(returned) && !ArrayBuffer.isView(returned)) {
    throw new MicrobatchError(
      STATUS.HANDLER_FAILED,
      `a handler returns an array of results, a promise of one, or nothing after batch.set; it returned ${typeof returned}`,
    );
  }
  return returned;
}

/**
 * What a handler returned becomes the results of its batch: by a number or a typed array that the glue takes, or here.
 */
function answer(batch, returned) {
  if (returned === undefined || batch.held) {
    return 0;
  }
  if (returned instanceof Float64Array || returned instanceof BigInt64Array) {
    return returned;
  }
  const count = checked(returned).length;
  if (count <= ROWS) {
    let row = 0;
    for (let value; row < count && typeof (value = returned[row]) === 'number'; row++) {
      float64s[row] = value;
    }
    if (row === count && row > 0) {
      return count;
    }
  }
  batch.setAll(returned);
  return 0;
}

/** A copy of its beginning is an array that holds doubles without an object for each, and never grows. */
const DOUBLES = Array.from({ length: ROWS }, (_, row) => row + 0.5);

/** The values of a batch as its handler gets them. */
function valuesOf(core, batch) {
  const { count } = batch;
  const kind = out[OUT.KIND];
  if (core.typedArrays) {
    return takeNumbers(kind, count) ?? batch.columns;
  }
  if (!seeNumbers(kind)) {
    return batch.values;
  }
  const { array, first } = seen;
  const values = kind === KIND.float64 ? DOUBLES.slice(0, count) : new Array(count);
  for (let row = 0; row < count; row++) {
    values[row] = array[first + row];
  }
  return values;
}

const isThenable = (value) => value !== null && typeof value === 'object' && typeof value.then === 'function';

/** Called by the glue inside run, flush, close, free and map: answers as `answer`, or a status. Never throws. */
function onBatch(core) {
  let batch;
  try {
    batch = new Batch(core, false);
    const returned = core.handlers[out[OUT.HANDLER]](valuesOf(core, batch), batch);
    if (!isThenable(returned)) {
      return answer(batch, returned);
    }
    if (batch.held) {
      returned.then(undefined, core.report);
    } else {
      returned.then(undefined, () => {});
      batch.keep();
      core.flying.add(batch);
      settle(core, batch, returned);
    }
    return 0;
  } catch (thrown) {
    return failed(core, batch, thrown);
  }
}

function failed(core, batch, thrown) {
  if (!batch || (thrown instanceof MicrobatchError && thrown.code === STATUS.RESULT_COUNT)) {
    return 0;
  }
  try {
    if (batch.held) {
      // it is its holder's now
      core.report(thrown);
    } else {
      batch.failWith(thrown);
    }
    return 0;
  } catch {
    return STATUS.HANDLER_FAILED;
  }
}

async function settle(core, batch, promise) {
  // kept, but not by somebody who completes it
  batch.held = false;
  try {
    const returned = await promise;
    if (returned !== undefined) {
      batch.setAll(checked(returned));
    }
  } catch (thrown) {
    failed(core, batch, thrown);
  }
  core.flying.delete(batch);
  try {
    batch.complete();
  } catch (late) {
    if (late.code !== STATUS.TOO_LATE && late.code !== STATUS.INVALID_HANDLE) {
      core.report(late);
    }
  }
}

calls.onBatch = onBatch;

module.exports = { Batch };
