'use strict';

const { native, tables, KIND, STATUS } = require('./native.cjs');
const { isWhole, readFunction, readList, readSignal, readTag } = require('./arguments.cjs');
const { FOREVER, exact, nanoseconds } = require('./duration.cjs');
const { MicrobatchError, check, wrong } = require('./error.cjs');
const { ForeignObject, kindOf } = require('./values.cjs');
const { CORE, Core, kept } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { close, end, tryClose } = require('./closing.cjs');
const { read } = require('./options.cjs');
const { Producer } = require('./producer.cjs');
const { batches, nextBatch, nextResults, take } = require('./pulling.cjs');
const { Pusher } = require('./pusher.cjs');
const { lackOfRoom } = require('./shared.cjs');
const { readStats, readText } = require('./stats.cjs');
const { Stage, SUBMITTED_BASE, tagOf } = require('./submitted.cjs');
const { waiting } = require('./waiting.cjs');
const exit = require('./exit.cjs');
require('./handling.cjs');

const defaultOf = (option) => tables.options.find(({ name }) => name === option).defaultValue;

/** Takes values, forms batches, has them handled and brings one result back for each. */
class Batcher extends Pusher {
  #core;

  constructor(handler, options = {}) {
    const core = new Core();
    super(core);
    this.#core = core;
    const { scripts, texts, mask, natives, pulled, ...settings } = read(handler, options);
    Object.assign(core, settings);
    core.handlers = scripts;
    const delivers = core.takesResults && !core.threaded;
    const made = native.newBatcher(core, texts, mask, natives, pulled, delivers, core.log !== undefined);
    if (Array.isArray(made)) {
      throw new MicrobatchError(made[0], made[1]);
    }
    core.closeTimeout = out[0] || defaultOf('close_timeout');
    core.drainAtExit = out[1];
    core.waits = out[2] > 0 && out[2] < Number(FOREVER);
    core.maxBatchSize = out[3] || defaultOf('max_batch_size');
    // the default is as many as there are handler threads; the loop counts as the default of those
    core.maxInFlight = out[4] || defaultOf('threads');
    core.host = made;
    exit.hook();
    if (core.handles && !core.manual) {
      check(native.watch(made, true));
    }
  }

  // ---- promises ----

  /** Pushes a value and promises its result. */
  submit(value, options) {
    const { stage } = this.#core;
    if (stage !== undefined && options === undefined) {
      if (typeof value === 'number') {
        return stage.number(value);
      }
      const kind = kindOf(value);
      if (typeof kind !== 'number') {
        return Promise.reject(kind);
      }
      if (kind !== KIND.bytes && !(value instanceof ForeignObject)) {
        return stage.value(kind, value);
      }
    }
    return this.#submit(value, options);
  }

  /** From the first submit on, what a turn submits is staged: unless others push too, who could come in between. */
  #submits() {
    const core = this.#core;
    if (!core.takesResults || core.pushesTop) {
      throw new MicrobatchError(
        STATUS.WRONG_MODE,
        core.pushesTop
          ? `a value was pushed with a tag of ${SUBMITTED_BASE} or above, which submit needs for itself`
          : 'submit needs results: onResult is null or results is pull',
      );
    }
    core.submits = true;
    if (core.stage === undefined && !core.shared) {
      core.stage = new Stage(core, core.promises, core);
    }
  }

  async #submit(value, options) {
    const core = this.#core;
    const signal = readSignal(options, 'deadline', 'size');
    this.#submits();
    signal?.throwIfAborted();
    const promise = core.promises.make();
    const { place } = core.promises;
    try {
      this.pushOne(value, tagOf(place), options);
    } catch (refused) {
      core.promises.reject(place, refused);
      return promise;
    }
    if (!signal) {
      return promise;
    }
    return new Promise((resolve, reject) => {
      // what is in flight already is left to its handler; its result finds nobody
      core.watch(signal, tagOf(place), reject);
      promise.then(resolve, reject);
    });
  }

  /** Submits many values: a promise for each, in their order. */
  submitMany(values, options) {
    readSignal(options, 'deadline', 'size');
    return Array.from(readList('values', values), (value) => this.submit(value, options));
  }

  /** A way into the batcher of its own. */
  producer() {
    this.#core.sync();
    return new Producer(this.#core);
  }

  /**
   * The address of an mb_shared, for other copies of the library in this process; good until the batcher is freed. From here
   * on each submitted value crosses at once, so that what was submitted before another's push comes before it.
   */
  share() {
    const core = this.#core;
    core.sync();
    const address = native.share(core.host);
    if (typeof address === 'number') {
      throw core.refusal(address);
    }
    core.pushes = true;
    core.shared = true;
    core.stage = undefined;
    kept.add(core);
    return address;
  }

  /** Cancels every waiting value with this tag and answers how many. */
  cancel(tag) {
    readTag(tag);
    this.#core.sync();
    check(native.cancel(this.#core.host, tag));
    return out[0];
  }

  /** What is lacking for a value to be taken now, by name; undefined if there is room. Throws CLOSED. */
  lackOfRoom() {
    return lackOfRoom(this.#core);
  }

  /** Resolves when there is room for a value. */
  async room(options) {
    const signal = readSignal(options);
    return waiting(signal, (resolve, reject) => {
      if (!this.lackOfRoom()) {
        resolve();
      } else {
        this.#core.roomWaiters.push((status) => (status === 0 ? resolve() : reject(new MicrobatchError(status))));
      }
    });
  }

  // ---- seal, flush, close ----

  /** Closes the open batch and does not wait. */
  seal() {
    this.#core.sync();
    check(native.seal(this.#core.host));
  }

  /** Seals, and resolves when every value accepted before is delivered. */
  async flush(options) {
    const core = this.#core;
    const signal = readSignal(options);
    return waiting(signal, (resolve, reject) => {
      core.touch();
      core.marks.push({
        mark: this.flushBegin(),
        settle: (status) => (status === 0 ? resolve() : reject(new MicrobatchError(status))),
      });
      if (core.manual) {
        native.run(core.host);
      }
      core.look();
    });
  }

  /** Does what run does, and answers whether everything accepted before is delivered. For manual mode. */
  tryFlush() {
    this.#core.sync();
    const status = native.flush(this.#core.host, 0);
    this.#core.letGo();
    return this.#done(status);
  }

  /** The first half of a flush: seals and answers a mark. */
  flushBegin() {
    this.#core.sync();
    check(native.flushBegin(this.#core.host));
    return out[0];
  }

  /** The second half: whether everything before the mark is delivered. */
  flushEnd(mark) {
    const status = isWhole(mark) ? native.flushEnd(this.#core.host, mark) : STATUS.INVALID_ARGUMENT;
    if (status === STATUS.INVALID_ARGUMENT) {
      throw wrong('the mark', mark, 'what flushBegin answered');
    }
    return this.#done(status);
  }

  #done(status) {
    if (status === STATUS.IN_PROGRESS) {
      return false;
    }
    check(status);
    return true;
  }

  /** Takes no more values, drains, and resolves with how many were discarded at the time-out. */
  async close(timeout) {
    const core = this.#core;
    const bound = timeout === undefined ? exact(core.closeTimeout) : nanoseconds(timeout, 'timeout');
    core.sync();
    return close(core, bound);
  }

  /** One step of a close in manual mode: {done, left}. */
  tryClose(timeout) {
    const bound = nanoseconds(timeout, 'timeout');
    this.#core.sync();
    return tryClose(this.#core, bound);
  }

  /** Closes at once, discards what is outstanding and gives everything back. */
  free() {
    check(end(this.#core, false));
  }

  /** Free without waiting, also in a callback. */
  abandon() {
    check(end(this.#core, true));
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }

  // ---- a host that drives ----

  /** Manual mode: does everything that is due now. */
  run() {
    this.#core.sync();
    check(native.run(this.#core.host));
    this.#core.look();
  }

  /** A given clock: sets the time, in ns. */
  advance(now) {
    if (typeof now !== 'bigint' || BigInt.asIntN(64, now) !== now) {
      throw wrong('the time', now, 'a bigint of nanoseconds below 2^63');
    }
    check(native.advance(this.#core.host, now));
  }

  /** The time on the batcher's clock, in ns. */
  now() {
    return this.#time(native.now(this.#core.host));
  }

  /** When run will have something to do, in ns on the batcher's clock; undefined if nothing is in sight. */
  nextDue() {
    this.#core.sync();
    const due = this.#time(native.nextDue(this.#core.host));
    return due === FOREVER ? undefined : due;
  }

  #time(time) {
    if (typeof time === 'number') {
      check(time);
    }
    return time;
  }

  // ---- pulling ----

  /** A batcher without handlers: takes a whole batch, or undefined if none is due. Complete or free it. */
  nextBatch() {
    return nextBatch(this.#core);
  }

  /** With results = pull: what `use` makes of the next set of results, or undefined if none is ready. */
  nextResults(use = (results) => results) {
    return nextResults(this.#core, readFunction('use', use));
  }

  /** Batches as they come, until the batcher is closed. Each is completed when the loop's body is done with it. */
  batches(options) {
    return batches(this.#core, readSignal(options));
  }

  /** Sets of results as they come, with results = pull, until the batcher is closed and all were taken. */
  results(options) {
    return take(this.#core, () => this.nextResults(), readSignal(options));
  }

  // ---- seeing ----

  /** One consistent snapshot. */
  stats() {
    const core = this.#core;
    if (core.last) {
      return core.last.stats;
    }
    core.sync();
    return readStats(native.stats(core.host));
  }

  /** A snapshot as text for Prometheus. */
  statsText() {
    const core = this.#core;
    if (core.last) {
      return core.last.text;
    }
    core.sync();
    return readText(native.statsText(core.host));
  }

  /** Objects the batcher holds a reference to. */
  get heldObjects() {
    this.#core.sync();
    return this.#core.objects.size;
  }
}

module.exports = { Batcher };
