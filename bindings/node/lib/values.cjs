'use strict';
// What each JavaScript value is to the engine. A kind never depends on the number's value.

const { KIND, STATUS } = require('./native.cjs');
const { readCount, readWord } = require('./arguments.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');

/** An object whose owner is somebody else: any batcher but that owner's refuses it with WRONG_OWNER. */
class ForeignObject {
  constructor(owner, word, size = 0) {
    if (!Number.isInteger(owner) || owner >>> 0 !== owner) {
      throw wrong('the owner', owner, 'a whole number from 0 to 2^32 - 1');
    }
    this.owner = owner;
    this.word = readWord('the word', word);
    this.size = readCount('size', size);
  }
}

/** The kind of a value, or a MicrobatchError that names what is wrong with it. */
function kindOf(value) {
  switch (typeof value) {
    case 'number':
      return KIND.float64;
    case 'string':
      return value.isWellFormed()
        ? KIND.string
        : new MicrobatchError(
            STATUS.INVALID_UTF8,
            `the string has a lone surrogate at index ${loneSurrogate(value)}: it has no UTF-8; ` +
              'push its bytes, or toWellFormed() of it',
          );
    case 'bigint':
      return BigInt.asIntN(64, value) === value
        ? KIND.int64
        : new MicrobatchError(STATUS.OUT_OF_RANGE, `${value}n does not fit int64: -2^63 to 2^63 - 1 is accepted`);
    case 'boolean':
      return KIND.bool;
    case 'undefined':
      return new MicrobatchError(STATUS.INVALID_ARGUMENT, 'undefined is no value; null is one');
    default:
      if (value === null) {
        return KIND.null;
      }
      return value instanceof Uint8Array ? KIND.bytes : KIND.object;
  }
}

function loneSurrogate(text) {
  let at = 0;
  for (const character of text) {
    if (!character.isWellFormed()) {
      return at;
    }
    at += character.length;
  }
  return -1;
}

/** How far the generation stands to the left of the place in an object's word; both together stay below 2^53. */
const GENERATION = 2 ** 32;
const GENERATIONS = 2 ** 21;

/**
 * Objects under way: the engine holds a word for each, its place here and how often the place was used. A word that comes
 * back twice, as from a native handler that answers with the object it borrowed, does nothing the second time.
 */
class Objects {
  #held = [];
  #generations = [];
  #free = [];

  get size() {
    return this.#held.length - this.#free.length;
  }

  hold(object) {
    let place;
    if (this.#free.length > 0) {
      place = this.#free.pop();
    } else {
      place = this.#held.length;
      this.#generations[place] = 0;
    }
    this.#held[place] = object;
    return this.#generations[place] * GENERATION + place;
  }

  #place(word) {
    const place = word % GENERATION;
    return this.#generations[place] === (word - place) / GENERATION ? place : -1;
  }

  get(word) {
    return this.#held[this.#place(word)];
  }

  /** Ends a reference: [the object], or nothing if it had ended before. */
  release(word) {
    const place = this.#place(word);
    if (place < 0) {
      return [];
    }
    const object = this.#held[place];
    this.#held[place] = undefined;
    this.#generations[place] = (this.#generations[place] + 1) % GENERATIONS;
    this.#free.push(place);
    return [object];
  }
}

/** Puts objects where their words stand. */
function restoreObjects(values, kinds, objects) {
  for (let row = 0; row < kinds.length; row++) {
    if (kinds[row] === KIND.object) {
      values[row] = objects.get(values[row]);
    }
  }
  return values;
}

/** A plain array of a typed one. */
function plain(values) {
  if (Array.isArray(values)) {
    return values;
  }
  const all = new Array(values.length);
  for (let row = 0; row < all.length; row++) {
    all[row] = values[row];
  }
  return all;
}

/**
 * Many values as the glue takes them: {float64s}, {int64s}, or {values, kinds} up to the first that has no form, which
 * `error` tells of; `foreign` is a foreign object that ended them, and `rest` what follows it. Objects are held from here on;
 * `words` are theirs by row. Without `objects` none is taken.
 */
function many(values, objects) {
  if (values instanceof Float64Array) {
    return { count: values.length, float64s: values };
  }
  if (values instanceof BigInt64Array) {
    return { count: values.length, int64s: values };
  }
  if (ArrayBuffer.isView(values) && !(values instanceof BigUint64Array)) {
    return { count: values.length, float64s: new Float64Array(values) };
  }
  const all = Array.isArray(values) ? values : Array.from(values);
  const first = typeof all[0];
  const alike = (first === 'number' || first === 'bigint') && all.every((value) => typeof value === first);
  if (alike && first === 'number') {
    return { count: all.length, float64s: new Float64Array(all) };
  }
  if (alike && all.every((value) => BigInt.asIntN(64, value) === value)) {
    return { count: all.length, int64s: new BigInt64Array(all) };
  }
  return mixed(all, objects);
}

function mixed(all, objects) {
  const kinds = new Uint8Array(all.length);
  const form = { values: all };
  let row = 0;
  for (; row < all.length; row++) {
    const kind = kindOf(all[row]);
    if (typeof kind !== 'number') {
      form.error = kind;
      break;
    }
    if (all[row] instanceof ForeignObject) {
      form.foreign = all[row];
      form.error = new MicrobatchError(STATUS.WRONG_OWNER);
      form.rest = () => all.slice(row + 1);
      break;
    }
    kinds[row] = kind;
    if (kind === KIND.object) {
      if (!objects) {
        form.error = new MicrobatchError(STATUS.WRONG_OWNER, 'an object of this environment means nothing to another owner');
        break;
      }
      if (!form.words) {
        form.words = new Map();
        form.values = all.slice();
      }
      form.values[row] = objects.hold(all[row]);
      form.words.set(row, form.values[row]);
    }
  }
  form.count = row;
  form.kinds = kinds.subarray(0, row);
  return form;
}

module.exports = { ForeignObject, Objects, kindOf, many, plain, restoreObjects };
