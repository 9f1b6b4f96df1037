'use strict';
// Promises of submitted values, and the values of one turn on their way to the engine.

const { native, KIND } = require('./native.cjs');
const { out } = require('./memory.cjs');

/** The upper half of the tags of submitted values; the lower half is a place of a promise. */
const SUBMITTED = 0xffffffff;
const SUBMITTED_BASE = BigInt(SUBMITTED) << 32n;

const CHUNK_BITS = 9;
const CHUNK = 1 << CHUNK_BITS;
/** A chunk at its birth: a copy never grows. */
const UNUSED = Array.from({ length: CHUNK }, () => undefined);

/**
 * Promises by their places. Places are used in order and come in chunks, each young as long as its promises are: what the
 * garbage collector finds together goes together.
 */
class Promises {
  /** The place of the promise made last. */
  place = 0;
  #chunks = [];
  #left = [];
  #free = [];
  #chunk = 0;
  #resolves;
  #next = CHUNK;
  // a function for reject too would cost as much again as the promise: see reject
  #executor = (resolve) => {
    this.#resolves[this.#next] = resolve;
  };

  make() {
    if (this.#next === CHUNK) {
      this.#open();
    }
    const promise = new Promise(this.#executor);
    this.place = this.#chunk * CHUNK + this.#next++;
    return promise;
  }

  #open() {
    this.#chunk = this.#free.length > 0 ? this.#free.pop() : this.#chunks.length;
    this.#resolves = UNUSED.slice();
    this.#chunks[this.#chunk] = this.#resolves;
    this.#left[this.#chunk] = CHUNK;
    this.#next = 0;
  }

  /** What resolves the promise of this place, once; undefined if nobody waits there. */
  take(place) {
    const chunk = place >>> CHUNK_BITS;
    const resolves = this.#chunks[chunk];
    const resolve = resolves?.[place & (CHUNK - 1)];
    if (resolve === undefined) {
      return undefined;
    }
    resolves[place & (CHUNK - 1)] = undefined;
    this.#settled(chunk, 1);
    return resolve;
  }

  #settled(chunk, count) {
    this.#left[chunk] -= count;
    if (this.#left[chunk] === 0) {
      this.#chunks[chunk] = undefined;
      this.#free.push(chunk);
    }
  }

  /**
   * Resolves with numbers, from `first` on, which have no `then` to call: nothing else runs here. A place is the lower half of
   * its tag; if they count up only the first is told.
   */
  settle(numbers, first, tagHalves, countUp, count) {
    let chunk = -1;
    let resolves;
    let settled = 0;
    const begin = tagHalves[0];
    for (let row = 0; row < count; row++) {
      const place = countUp ? begin + row : tagHalves[2 * row];
      if (place >>> CHUNK_BITS !== chunk) {
        if (settled > 0) {
          this.#settled(chunk, settled);
        }
        settled = 0;
        chunk = place >>> CHUNK_BITS;
        resolves = this.#chunks[chunk];
      }
      const resolve = resolves?.[place & (CHUNK - 1)];
      if (resolve !== undefined) {
        resolves[place & (CHUNK - 1)] = undefined;
        settled++;
        resolve(numbers[first + row]);
      }
    }
    if (settled > 0) {
      this.#settled(chunk, settled);
    }
  }

  reject(place, error) {
    this.take(place)?.(Promise.reject(error));
  }
}

const tagOf = (place) => SUBMITTED_BASE + BigInt(place);

/** The most values that cross together. */
const STAGE = 512;

/** Values submitted in one turn of the loop: they go to the engine in one call, before anything else of the batcher does. */
class Stage {
  #core;
  #promises;
  #count = 0;
  #limit = STAGE;
  /** Whether the first value of a turn crosses alone, so that the delay of its batch counts from it. */
  #firstAlone = false;
  #first = true;
  #mixed = false;
  #float64s;
  #int64s;
  #cellHalves;
  #kinds;
  #tags;
  #tagHalves;
  #texts = [];
  #turnEnds = () => {
    this.cross();
    this.#first = true;
  };

  constructor(core, promises, { waits, maxBatchSize }) {
    this.#core = core;
    this.#promises = promises;
    if (waits) {
      this.#firstAlone = true;
      this.#limit = Math.max(1, Math.min(STAGE, maxBatchSize - 1));
    }
  }

  get empty() {
    return this.#count === 0;
  }

  #begin() {
    if (!this.#float64s) {
      const cells = new ArrayBuffer(8 * STAGE);
      this.#float64s = new Float64Array(cells);
      this.#int64s = new BigInt64Array(cells);
      this.#cellHalves = new Uint32Array(cells);
      this.#kinds = new Uint8Array(STAGE).fill(KIND.float64);
      this.#tags = new BigUint64Array(STAGE);
      this.#tagHalves = new Uint32Array(this.#tags.buffer).fill(SUBMITTED);
    }
    this.#core.touch();
    queueMicrotask(this.#turnEnds);
  }

  number(value) {
    const at = this.#count;
    if (at === 0) {
      this.#begin();
    }
    const promise = this.#promises.make();
    this.#float64s[at] = value;
    this.#tagHalves[2 * at] = this.#promises.place;
    this.#count = at + 1;
    if (this.#count === this.#limit || (at === 0 && this.#firstAlone && this.#first)) {
      this.#full();
    }
    return promise;
  }

  /** A value of any kind but bytes, whose owner may change them after this. */
  value(kind, value) {
    const at = this.#count;
    if (at === 0) {
      this.#begin();
    }
    const promise = this.#promises.make();
    this.#mixed = true;
    this.#kinds[at] = kind;
    switch (kind) {
      case KIND.float64:
        this.#float64s[at] = value;
        break;
      case KIND.int64:
        this.#int64s[at] = value;
        break;
      case KIND.string:
        this.#setHalves(at, this.#texts.push(value) - 1, 0);
        break;
      case KIND.object: {
        const word = this.#core.objects.hold(value);
        this.#setHalves(at, word % 2 ** 32, Math.floor(word / 2 ** 32));
        break;
      }
      default:
        this.#setHalves(at, value ? 1 : 0, 0);
    }
    this.#tagHalves[2 * at] = this.#promises.place;
    this.#count = at + 1;
    if (this.#count === this.#limit || (at === 0 && this.#firstAlone && this.#first)) {
      this.#full();
    }
    return promise;
  }

  #setHalves(at, low, high) {
    this.#cellHalves[2 * at] = low;
    this.#cellHalves[2 * at + 1] = high;
  }

  /** The first of a turn, or as many as may be together: the next after as many is a first again. */
  #full() {
    this.#first = this.#count === this.#limit;
    this.cross();
  }

  /** Hands over what is staged, in its order. What is refused rejects its promise. */
  cross() {
    const count = this.#count;
    if (count === 0) {
      return;
    }
    const core = this.#core;
    this.#count = 0;
    const kinds = this.#mixed ? this.#kinds : undefined;
    for (let from = 0; from < count; ) {
      core.touch();
      const status = native.pushStaged(core.host, this.#float64s, kinds, this.#tags, from, count - from, this.#texts);
      from += out[0];
      if (status !== 0) {
        this.#refuse(from++, status);
      }
    }
    if (this.#mixed) {
      this.#mixed = false;
      this.#kinds.fill(KIND.float64, 0, count);
      this.#texts = [];
    }
  }

  #refuse(at, status) {
    const core = this.#core;
    if (this.#kinds[at] === KIND.object) {
      core.objects.release(this.#cellHalves[2 * at + 1] * 2 ** 32 + this.#cellHalves[2 * at]);
    }
    this.#promises.reject(this.#tagHalves[2 * at], core.refusal(status));
  }
}

module.exports = { Promises, Stage, SUBMITTED, SUBMITTED_BASE, tagOf };
