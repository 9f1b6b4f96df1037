'use strict';

const { native, tables, KIND } = require('./native.cjs');
const { readCore, readRow } = require('./arguments.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { OUT, copyOf, out, tags: tagColumn, takeNumbers } = require('./memory.cjs');
const { plain, restoreObjects } = require('./values.cjs');

/** A set of results: all rows of one batch, or of values that were never dispatched. Read whole, so it never dangles. */
class Results {
  #kinds;
  #values;
  #outcomes;
  #handled;
  #errors;
  #thrown;
  #waiting;
  #tags;
  #firstTag;

  constructor(core, word) {
    readCore(core, 'results');
    const kind = out[OUT.KIND];
    this.#values = kind === KIND.float64 || kind === KIND.int64 ? takeNumbers(kind, out[OUT.COUNT]) : undefined;
    if (this.#values) {
      this.#fromColumns(kind);
    } else {
      this.#readAll(core, word);
    }
    ({ thrown: this.#thrown, waiting: this.#waiting } = core.takeNotes(this.batch));
    core.aborts?.settle(this);
  }

  /** What `use` makes of a set, which is given back then. */
  static lend(core, word, use) {
    try {
      return use(new Results(core, word));
    } finally {
      native.resultsFree(core.host, word);
    }
  }

  /** Numbers that are all OK: what else there is to say stands in the columns until something else is called. */
  #fromColumns(kind) {
    this.count = out[OUT.COUNT];
    this.kindCode = kind;
    this.batch = out[OUT.NUMBER];
    if (out[OUT.COUNTS_UP] === 1) {
      this.#firstTag = tagColumn[0];
    } else {
      this.#tags = copyOf(tagColumn, this.count);
    }
  }

  #readAll(core, word) {
    const told = native.resultsRead(core.host, word);
    if (typeof told === 'number') {
      check(told);
    }
    let errors;
    [this.count, this.kindCode, this.batch, this.#tags, this.#values, this.#kinds, this.#outcomes, this.#handled, errors] =
      told;
    if (this.#kinds) {
      restoreObjects(this.#values, this.#kinds, core.objects);
    }
    if (errors) {
      this.#errors = new Map();
      for (let at = 0; at < errors.length; at += 4) {
        this.#errors.set(errors[at], errors.slice(at + 1, at + 4));
      }
    }
  }

  /** The tag of each row. */
  get tags() {
    if (!this.#tags) {
      this.#tags = new BigUint64Array(this.count);
      for (let row = 0; row < this.count; row++) {
        this.#tags[row] = this.#firstTag + BigInt(row);
      }
    }
    return this.#tags;
  }

  get allOk() {
    return !this.#errors;
  }

  /** The first row that is not OK. */
  get firstFailed() {
    return this.#errors?.keys().next().value;
  }

  /** The one kind of a set that is OK throughout, else 'mixed'. */
  get kind() {
    return tables.kinds[this.kindCode] ?? 'mixed';
  }

  /** The values as they came: a Float64Array or BigInt64Array if all are OK and numbers of one kind. */
  get values() {
    return this.#values;
  }

  outcome(row) {
    readRow(row, this.count);
    return tables.outcomes[this.#outcomes ? this.#outcomes[row] : 0];
  }

  handled(row) {
    readRow(row, this.count);
    if (this.#waiting?.has(row)) {
      return tables.handled[0];
    }
    return tables.handled[this.#handled ? this.#handled[row] : tables.handled.length - 1];
  }

  /** The value of a row that is OK, else undefined. */
  value(row) {
    return this.#values[readRow(row, this.count)];
  }

  /** [code, type name, message] of a row that is not OK. */
  #toldOf(row) {
    readRow(row, this.count);
    return this.#errors?.get(row);
  }

  /** Why a row is not OK, else undefined: what the handler of this environment threw, or a MicrobatchError. */
  error(row) {
    const told = this.#toldOf(row);
    if (!told) {
      return undefined;
    }
    const thrown = this.#thrown?.get(this.tags[row]);
    if (thrown && this.outcome(row) === 'failed') {
      return thrown;
    }
    return this.failure(row);
  }

  /** As error, but always a MicrobatchError, with the handler's code, type name and message. */
  failure(row) {
    const told = this.#toldOf(row);
    if (!told) {
      return undefined;
    }
    const [code, typeName, message] = told;
    return new MicrobatchError(code, message, {
      handled: this.handled(row),
      outcome: this.outcome(row),
      typeName,
      handlerMessage: message,
    });
  }

  *[Symbol.iterator]() {
    for (let row = 0; row < this.count; row++) {
      const error = this.error(row);
      const one = { tag: this.tags[row], outcome: this.outcome(row), handled: this.handled(row) };
      yield error ? { ...one, error } : { ...one, value: this.#values[row] };
    }
  }

  /** A plain array: values, and errors in the rows that are not OK. */
  toArray() {
    const all = plain(this.#values);
    this.#errors?.forEach((_, row) => (all[row] = this.error(row)));
    return all;
  }
}

module.exports = { Results };
