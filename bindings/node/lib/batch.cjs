'use strict';

const { native, tables, KIND, STATUS } = require('./native.cjs');
const { readCode, readCore, readCount, readFunction, readOptions, readRow, readText } = require('./arguments.cjs');
const { check, wrong } = require('./error.cjs');
const { failureOf } = require('./failure.cjs');
const { OUT, handleHalves, out } = require('./memory.cjs');
const { Results } = require('./results.cjs');
const { ForeignObject, kindOf, many, plain, restoreObjects } = require('./values.cjs');

const TAGS = 0;
const KINDS = 1;
const DEADLINES = 2;
const POSITIONS = 3;
const KEEP = 0;
const COMPLETE = 1;
const COMPLETE_OK = 2;
const FREE = 3;
const EVERY_ROW = -1;

/** Something that results can be in. */
function readResults(results) {
  if (!Array.isArray(results) && (!ArrayBuffer.isView(results) || results instanceof DataView)) {
    throw wrong('results', results, 'an array or a typed array');
  }
  return results;
}

/** A batch, or a handler's part of one. It is good until its handler ends, or, kept or pulled, until it is completed. */
class Batch {
  #core;
  #low;
  #high;
  #values;
  #gone = false;
  #ended = false;
  #kept = false;
  /** Kept in the engine for an async handler, which has not said so. */
  #lent = false;
  /** Kept or pulled: somebody completes it. */
  held;

  /** What it is stands in `out`. */
  constructor(core, held) {
    readCore(core, 'a batch');
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

  /** Its handler will answer later. */
  lend() {
    check(native.batchEnd(this.#core.host, this.#word, KEEP));
    this.#lent = true;
  }

  /** Completed or given up, by a user or at the end of the batcher. */
  get gone() {
    return this.#gone;
  }

  /** Kept by a user. */
  get kept() {
    return this.#kept;
  }

  /** Completed or given up by a user. */
  get ended() {
    return this.#ended;
  }

  /** Whether the outcomes of a kept batch stand, by a time-out or a close. */
  get over() {
    return native.batchEnd(this.#core.host, this.#word, KEEP) === STATUS.TOO_LATE;
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
    return this.columns[readRow(row, this.count)];
  }

  /** Gives a row its result; an Error fails it. The last call counts. */
  set(row, value, options) {
    readRow(row, this.count);
    let size = readCount('size', readOptions(options, 'size').size);
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
    readResults(results);
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
    check(native.batchFail(this.#core.host, this.#word, row, code, typeName, message));
    this.#core.noteThrown(this.number, this.tags[row], thrown);
  }

  /** Fails one row with a positive code of yours. */
  fail(row, code, message = '', typeName = '') {
    this.#fail(readRow(row, this.count), code, message, typeName);
  }

  #fail(row, code, message, typeName) {
    const [type, text] = [readText('the type name', typeName), readText('the message', message)];
    check(native.batchFail(this.#core.host, this.#word, row, readCode(code), type, text));
  }

  /** Fails every row, whatever else is set. */
  failAll(code, message = '', typeName = '') {
    this.#fail(EVERY_ROW, code, message, typeName);
  }

  /** Fails every row with what a handler threw. */
  failWith(thrown) {
    const [code, typeName, message] = failureOf(thrown);
    const status = native.batchFail(this.#core.host, this.#word, EVERY_ROW, code, typeName, message);
    if (status === 0) {
      for (const tag of this.tags) {
        this.#core.noteThrown(this.number, tag, thrown);
      }
    }
    return status;
  }

  /** Keeps the batch past its handler: complete it later, once. A pulled part: its handler has returned, the next may come. */
  keep() {
    if (!this.#lent) {
      check(native.batchEnd(this.#core.host, this.#word, KEEP));
    }
    this.#lent = false;
    this.#kept = this.held = true;
    this.#core.batchEnded();
    return this;
  }

  #end(how) {
    this.#gone = this.#ended = true;
    const status = native.batchEnd(this.#core.host, this.#word, how);
    this.held = false;
    this.#core.batchEnded();
    check(status);
  }

  /** Completes the batch: what was set counts, other rows fail with NO_RESULT. */
  complete() {
    this.#end(COMPLETE);
  }

  /** Completes the batch and answers what `use` makes of the next set of results, with results = pull; undefined if none is ready. */
  completeNext(use = (results) => results) {
    const core = this.#core;
    readFunction('use', use);
    this.#gone = this.#ended = true;
    const word = native.batchCompleteNext(core.host, this.#word);
    this.held = false;
    try {
      if (typeof word === 'bigint') {
        return Results.lend(core, word, use);
      }
      check(word);
      return undefined;
    } finally {
      core.batchEnded();
    }
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

module.exports = { Batch };
