'use strict';
// What a batcher is behind its face: the glue's host, tables of objects and promises, and who waits for what.

const { native, KIND, STATUS } = require('./native.cjs');
const { INSIDE } = require('./arguments.cjs');
const { Aborts } = require('./aborts.cjs');
const { MicrobatchError } = require('./error.cjs');
const { OUT, handle, out, report, seeNumbers, seen, tagHalves } = require('./memory.cjs');
const { Objects } = require('./values.cjs');
const { Results } = require('./results.cjs');
const { Promises, SUBMITTED } = require('./submitted.cjs');

/** Where a batcher, or whatever pushes, keeps its core. */
const CORE = Symbol('core');

/** Batchers that must not be lost: with values outstanding, or shared. Those with values keep the process alive, but for manual ones. */
const kept = new Set();

/** Sets of results taken in one turn of the loop, so that others have theirs. */
const SETS_A_TURN = 64;
/** How long the loop looks away from results that nobody takes, in ms. */
const LOOK_AWAY = 1;

const NO_NOTES = Object.freeze({});
const EVERY_ROW = Object.freeze({ has: () => true });

class Core {
  [INSIDE] = true;
  host;
  handlers;
  objects = new Objects();
  promises = new Promises();
  /** Values submitted in this turn; undefined before the first submit. */
  stage = undefined;
  report = report;
  /** Whether the engine's own threads run the handlers. */
  threaded = false;
  manual = false;
  /** Somebody else's: it is theirs to keep. */
  attached = false;
  busy = false;
  maps = false;
  shared = false;
  submits = false;
  /** Whether a result may be for somebody else than a promise. */
  pushes = false;
  /** Whether a push was refused for want of room: then the descriptor fires until somebody looks. */
  wantsRoom = false;
  /** Callers of flush, room, close, next batch and next results. */
  marks = [];
  roomWaiters = [];
  takers = [];
  producers = new Set();
  /** Values with signals; undefined before the first. */
  aborts = undefined;
  /** Batches that promises of handlers will complete, or never will. */
  flying = new Set();
  /** Batches whose async handlers run, and those whose handlers wait for their turn. */
  running = [];
  queued = [];
  maxInFlight = 1;
  closing = undefined;
  closed = false;
  /** How many values were discarded at the end of close. */
  left = 0;
  /** The last stats of a batcher that was given back. */
  last = undefined;

  /** What is to be said of batches besides what the engine knows, until their results come: by number. */
  #thrown = new Map();
  #waiting = new Map();
  /** Whether the loop does not look at the descriptor for a while. */
  #away = false;

  // ---- pushing ----

  /** Hands over what is staged: before anything else that the engine is told or asked. */
  sync() {
    this.stage?.cross();
  }

  /** An abort of the signal cancels the value while it waits, and tells `gaveUp` its reason, until the result comes. */
  watch(signal, tag, gaveUp) {
    this.aborts ??= new Aborts((each) => native.cancel(this.host, each));
    this.aborts.watch(signal, BigInt.asUintN(64, BigInt(tag)), gaveUp);
  }

  refusal(status, message) {
    this.wantsRoom ||= status === STATUS.QUEUE_FULL || status === STATUS.QUEUE_FULL_BYTES || status === STATUS.RESULTS_FULL;
    const code = status === STATUS.INVALID_HANDLE && this.closed ? STATUS.CLOSED : status;
    // nothing may come of what was refused
    this.letGo();
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

  /** A part waits for its turn here, which the engine takes as handled. */
  noteWaiting(batch) {
    if (this.takesResults || this.pulls) {
      const parts = this.#waiting.get(batch.number) ?? new Map();
      this.#waiting.set(batch.number, parts.set(batch, batch.positions));
    }
  }

  noteBegun(batch) {
    this.#waiting.get(batch.number)?.delete(batch);
  }

  /** {thrown: what handlers threw, by tag; waiting: the rows with which no handler has begun} */
  takeNotes(number) {
    if (this.#thrown.size === 0 && this.#waiting.size === 0) {
      return NO_NOTES;
    }
    const thrown = this.#thrown.get(number);
    const parts = [...(this.#waiting.get(number)?.values() ?? [])];
    this.#thrown.delete(number);
    this.#waiting.delete(number);
    return { thrown, waiting: parts.includes(undefined) ? EVERY_ROW : new Set(parts.flatMap((rows) => [...rows])) };
  }

  /** The glue has a set of results: what it is stands in `out`. */
  delivered() {
    try {
      if (out[OUT.KIND] === KIND.float64 && !this.pushes && (this.aborts?.isEmpty ?? true) && seeNumbers(KIND.float64)) {
        this.takeNotes(out[OUT.NUMBER]);
        this.promises.settle(seen.array, seen.first, tagHalves, out[OUT.COUNTS_UP] === 1, out[OUT.COUNT]);
      } else {
        this.#settle(new Results(this, handle[0]));
      }
    } catch (thrown) {
      report(thrown);
    }
  }

  #settle(results) {
    const { promises } = this;
    const { allOk, values, count } = results;
    let pushed = !this.submits;
    if (this.submits) {
      const halves = new Uint32Array(results.tags.buffer, results.tags.byteOffset, 2 * count);
      for (let row = 0; row < count; row++) {
        const resolve = halves[2 * row + 1] === SUBMITTED ? promises.take(halves[2 * row]) : undefined;
        if (!resolve) {
          pushed = true;
          continue;
        }
        const error = allOk ? undefined : results.error(row);
        resolve(error ? Promise.reject(error) : values[row]);
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

  /** Takes the sets of results of a threaded batcher that are ready. */
  pull(limit = Infinity) {
    for (let sets = 0; sets < limit && this.takesResults && !this.last; sets++) {
      const word = native.nextResults(this.host);
      if (typeof word !== 'bigint') {
        return;
      }
      this.delivered();
      native.resultsFree(this.host, word);
    }
  }

  released(word) {
    for (const object of this.objects.release(word)) {
      try {
        this.onRelease?.(object);
      } catch (thrown) {
        report(thrown);
      }
    }
  }

  logged(level, text) {
    try {
      this.log(level, text);
    } catch (thrown) {
      report(thrown);
    }
  }

  // ---- the loop ----

  /** A value may be outstanding from here on. */
  touch() {
    if (!this.busy && !this.attached && !this.last && this.host !== undefined) {
      this.busy = true;
      kept.add(this);
      if (this.manual) {
        return;
      }
      native.reference(this.host, true);
      if (!this.handles || this.#away) {
        this.#away = false;
        native.watch(this.host, true);
      }
    }
  }

  /** The descriptor fired, or there is mail. */
  ready() {
    if (this.threaded) {
      native.readMail(this.host);
      if (this.last) {
        return;
      }
      this.pull(SETS_A_TURN);
    } else if (native.run(this.host) === STATUS.INVALID_HANDLE) {
      return;
    }
    this.look();
    if (this.last || this.takers.length > 0) {
      return;
    }
    if (!this.handles && native.nextDue(this.host) <= native.now(this.host)) {
      // a batch waits for somebody to take it: the loop looks again when somebody comes
      native.watch(this.host, false);
    } else if (this.pulls && this.handles) {
      this.#lookAway();
    }
  }

  /** Results that nobody takes would fire the descriptor for ever, and what else is due would not be seen. */
  #lookAway() {
    native.outstanding(this.host);
    if (out[0] > 0) {
      this.#away = true;
      native.watch(this.host, false);
      const timer = setTimeout(() => {
        this.#away = false;
        if (!this.last) {
          native.watch(this.host, true);
        }
      }, LOOK_AWAY);
      if (!this.busy) {
        timer.unref();
      }
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
    if (this.wantsRoom || this.shared) {
      this.#lookForRoom();
    }
    this.askClosed();
    this.letGo();
    if (!this.last && !this.busy && this.shared && native.outstanding(this.host) > 0) {
      this.touch();
    }
  }

  /** Nobody need keep a batcher of which nothing is outstanding. */
  letGo() {
    if (!this.last && this.busy && !this.#isAwaited()) {
      const outstanding = native.outstanding(this.host);
      if (outstanding === 0 && (out[0] === 0 || this.pulls) && (this.stage?.empty ?? true)) {
        this.idle();
      }
    }
  }

  /** Whether something will come that somebody waits for, even if nothing is outstanding by now: threads went on meanwhile. */
  #isAwaited() {
    return this.closing !== undefined || this.marks.length > 0 || (this.roomWaiters.length > 0 && !this.pulls);
  }

  #lookForRoom() {
    const room = native.room(this.host, 0);
    if (room === 0 || room === STATUS.CLOSED) {
      this.wantsRoom = false;
      const waiters = this.roomWaiters.splice(0);
      waiters.forEach((settle) => settle(room));
    }
  }

  idle() {
    if (this.busy) {
      this.busy = false;
      if (!this.shared) {
        kept.delete(this);
      }
      native.reference(this.host, false);
    }
  }

  // ---- the end ----

  /** Begins a close, or asks how far it is. */
  askClosed() {
    const { closing } = this;
    if (!closing || closing.asking || this.threaded) {
      return;
    }
    closing.asking = true;
    const status = native.close(this.host, closing.again);
    const left = out[0];
    closing.asking = false;
    if (status !== STATUS.IN_PROGRESS) {
      closing.done(left);
    }
  }

  /** A threaded batcher is closed: every outcome stands. */
  closeEnded(status, left) {
    this.pull();
    this.closing?.done(left);
  }

  /** A held batch was completed: its results may be ready, and a pulled one gave its slot back. */
  batchEnded() {
    if (this.manual) {
      this.letGo();
    } else if (!this.handles && !this.last) {
      native.watch(this.host, true);
    }
  }
}

module.exports = { CORE, Core, kept };
