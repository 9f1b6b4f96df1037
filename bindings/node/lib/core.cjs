'use strict';
// What a batcher is behind its face: the glue's host, tables of objects and promises, and who waits for what.

const { native, STATUS } = require('./native.cjs');
const { MicrobatchError } = require('./error.cjs');
const { Objects } = require('./values.cjs');
const { Results } = require('./results.cjs');
const { onBatch } = require('./batch.cjs');

/** The upper half of the tags of submitted values; the lower half is a place in a table. */
const SUBMITTED = 0xffffffff;
const SUBMITTED_BASE = BigInt(SUBMITTED) << 32n;
const STAGE = 1024;

/** Batchers with values outstanding: they live, and keep the process alive. */
const busy = new Set();

/** What went wrong where nobody can catch it. */
function report(thrown) {
  process.nextTick(() => {
    throw thrown;
  });
}

class Core {
  host;
  handlers;
  objects = new Objects();
  report = report;
  busy = false;
  maps = false;
  /** Callers of flush, room, close, next batch and next results. */
  marks = [];
  roomWaiters = [];
  takers = [];
  closing = undefined;
  closed = false;
  /** The last stats of a batcher that was given back. */
  last = undefined;

  #thrown = new Map();
  #resolve = [];
  #reject = [];
  #free = [];
  #stage = 0;
  #stageValues;
  #stageTags;
  #stageSlots;
  #flushing = () => this.sync();

  // ---- promises ----

  /** A place for a promise that its value's tag names. */
  slot(resolve, reject) {
    const slot = this.#free.length > 0 ? this.#free.pop() : this.#resolve.length;
    this.#resolve[slot] = resolve;
    this.#reject[slot] = reject;
    return slot;
  }

  tagOf(slot) {
    return SUBMITTED_BASE + BigInt(slot);
  }

  /** Wraps both ends of a promise. */
  replace(slot, wrap) {
    this.#resolve[slot] = wrap(this.#resolve[slot]);
    this.#reject[slot] = wrap(this.#reject[slot]);
  }

  /** Takes a promise out: its value has a result, or was refused. */
  unslot(slot) {
    this.#resolve[slot] = undefined;
    this.#reject[slot] = undefined;
    this.#free.push(slot);
  }

  /** Numbers submitted in one turn go to the engine in one call, before anything else does. */
  stage(value, resolve, reject) {
    if (!this.#stageValues) {
      this.#stageValues = new Float64Array(STAGE);
      this.#stageTags = new BigUint64Array(STAGE);
      this.#stageSlots = new Uint32Array(this.#stageTags.buffer).fill(SUBMITTED);
    }
    if (this.#stage === 0) {
      this.touch();
      queueMicrotask(this.#flushing);
    }
    this.#stageValues[this.#stage] = value;
    this.#stageSlots[2 * this.#stage] = this.slot(resolve, reject);
    if (++this.#stage === STAGE) {
      this.sync();
    }
  }

  /** Hands over what is staged. */
  sync() {
    const count = this.#stage;
    if (count === 0) {
      return;
    }
    this.#stage = 0;
    this.touch();
    for (let from = 0; from < count; ) {
      const status = native.pushFloat64s(
        this.host, this.#stageValues, from, count - from, this.#stageTags, 0, undefined,
      );
      from += out[0];
      if (status !== 0) {
        this.refuse(this.#stageSlots[2 * from], status);
        from++;
      }
    }
  }

  refuse(slot, status) {
    const reject = this.#reject[slot];
    this.unslot(slot);
    reject(this.refusal(status));
  }

  refusal(status, message) {
    const code = status === STATUS.INVALID_HANDLE && this.closed ? STATUS.CLOSED : status;
    return new MicrobatchError(code, message, { handled: 'no' });
  }

  // ---- results ----

  noteThrown(batch, tag, thrown) {
    if (!this.takesResults) {
      return;
    }
    // all batches of a map come back in one set
    const number = this.maps ? 0 : batch;
    let rows = this.#thrown.get(number);
    if (!rows) {
      this.#thrown.set(number, (rows = new Map()));
    }
    rows.set(tag, thrown);
  }

  takeThrown(batch) {
    const rows = this.#thrown.get(batch);
    if (rows) {
      this.#thrown.delete(batch);
    }
    return rows;
  }

  deliver(word) {
    const results = new Results(this, word);
    const halves = new Uint32Array(results.tags.buffer);
    const { allOk, values, count } = results;
    let pushed = !this.submits;
    if (this.submits) {
      for (let row = 0; row < count; row++) {
        const slot = halves[2 * row];
        const resolve = this.#resolve[slot];
        if (halves[2 * row + 1] !== SUBMITTED || !resolve) {
          pushed = true;
          continue;
        }
        const error = allOk ? undefined : results.error(row);
        const reject = this.#reject[slot];
        this.unslot(slot);
        if (error) {
          reject(error);
        } else {
          resolve(values[row]);
        }
      }
    }
    if (pushed && this.onResult) {
      try {
        this.onResult(results);
      } catch (thrown) {
        report(thrown);
      }
    }
  }

  // ---- the loop ----

  /** A value may be outstanding from here on. */
  touch() {
    if (!this.busy && !this.manual && this.host !== undefined) {
      this.busy = true;
      busy.add(this);
      native.reference(this.host, true);
      if (!this.handles) {
        native.watch(this.host, true);
      }
    }
  }

  /** The descriptor fired. */
  ready() {
    if (native.run(this.host) === STATUS.INVALID_HANDLE) {
      return;
    }
    this.look();
    if (!this.handles && this.takers.length === 0 && !this.last && native.nextDue(this.host) <= native.now(this.host)) {
      // a batch waits for somebody to take it: the loop looks again when somebody comes
      native.watch(this.host, false);
    }
  }

  /** Whoever waits is told, and the loop let go if nothing is outstanding. */
  look() {
    if (this.last) {
      return;
    }
    if (this.takers.length > 0) {
      const takers = this.takers.splice(0);
      takers.forEach((wake) => wake());
    }
    if (this.marks.length > 0) {
      this.marks = this.marks.filter(({ mark, settle }) => {
        const status = native.flushEnd(this.host, mark);
        if (status === STATUS.IN_PROGRESS || status === STATUS.REENTRANT) {
          return true;
        }
        settle(status);
        return false;
      });
    }
    const room = native.room(this.host, 0);
    if (this.roomWaiters.length > 0 && (room === 0 || room === STATUS.CLOSED)) {
      const waiters = this.roomWaiters.splice(0);
      waiters.forEach((settle) => settle(room));
    }
    this.askClosed();
    if (!this.last && this.busy) {
      const outstanding = native.outstanding(this.host);
      if (outstanding === 0 && (out[0] === 0 || this.pulls) && this.#stage === 0) {
        this.idle();
      }
    }
  }

  idle() {
    if (this.busy) {
      this.busy = false;
      busy.delete(this);
      native.reference(this.host, false);
    }
  }

  askClosed() {
    if (!this.closing || this.closing.asking) {
      return;
    }
    this.closing.asking = true;
    const status = native.close(this.host, this.closing.again);
    const left = out[0];
    this.closing.asking = false;
    if (status !== STATUS.IN_PROGRESS) {
      this.closing.done(left);
    }
  }

  /** A held batch was completed: its results may be ready, and a pulled one gave its slot back. */
  batchEnded() {
    if (!this.manual && !this.handles && !this.last) {
      native.watch(this.host, true);
    }
  }
}

const out = native.setup(
  (core) => core.ready(),
  onBatch,
  (core, word) => {
    try {
      core.deliver(word);
    } catch (thrown) {
      report(thrown);
    }
  },
  (core, word) => {
    for (const object of core.objects.release(word)) {
      try {
        core.onRelease?.(object);
      } catch (thrown) {
        report(thrown);
      }
    }
  },
);

module.exports = { Core, busy, out, report, SUBMITTED_BASE };
