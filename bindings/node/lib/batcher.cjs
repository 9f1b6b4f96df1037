'use strict';

const { native, tables, KIND, STATUS } = require('./native.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { ForeignObject, kindOf, many } = require('./values.cjs');
const { Core, out, SUBMITTED_BASE } = require('./core.cjs');
const { Batch } = require('./batch.cjs');
const { Results } = require('./results.cjs');
const { FOREVER, nanoseconds, read } = require('./options.cjs');
const exit = require('./exit.cjs');

let owner;
const ownerOfEnvironment = () => (owner ??= native.newOwner());

/** Takes values, forms batches, has them handled and brings one result back for each. */
class Batcher {
  #core = new Core();

  constructor(handler, options = {}) {
    const core = this.#core;
    const { scripts, texts, mask, natives, ...settings } = read(handler, options, ownerOfEnvironment);
    Object.assign(core, settings);
    core.handlers = scripts;
    core.submits = false;
    core.pushesTop = false;
    const made = native.newBatcher(core, texts, mask, natives, core.takesResults, core.owner);
    if (Array.isArray(made)) {
      throw new MicrobatchError(made[0], made[1]);
    }
    core.closeTimeout = out[0];
    core.drainAtExit = core.drains ? out[1] : 0;
    core.host = made;
    if (!core.manual) {
      exit.hook();
      if (core.handles) {
        check(native.watch(made, true));
      }
    }
  }

  // ---- pushing ----

  /** Pushes a value and promises its result. */
  submit(value, options) {
    const core = this.#core;
    core.submits = true;
    if (typeof value === 'number' && options === undefined && core.takesResults && !core.pushesTop) {
      return new Promise((resolve, reject) => core.stage(value, resolve, reject));
    }
    return this.#submit(value, options ?? {});
  }

  #submit(value, { signal, deadline, size }) {
    const core = this.#core;
    return new Promise((resolve, reject) => {
      if (!core.takesResults || core.pushesTop) {
        throw new MicrobatchError(
          STATUS.WRONG_MODE,
          core.pushesTop
            ? `a value was pushed with a tag of ${SUBMITTED_BASE} or above, which submit needs for itself`
            : 'submit needs results: onResult is null or results is pull',
        );
      }
      signal?.throwIfAborted();
      const slot = core.slot(resolve, reject);
      try {
        this.#pushOne(value, core.tagOf(slot), deadline, size);
      } catch (refused) {
        core.unslot(slot);
        throw refused;
      }
      if (signal) {
        this.#cancelOnAbort(signal, slot, resolve, reject);
      }
    });
  }

  #cancelOnAbort(signal, slot, resolve, reject) {
    const core = this.#core;
    const abort = () => {
      if (!core.last) {
        core.sync();
        native.cancel(core.host, core.tagOf(slot));
      }
      // what is in flight already is left to its handler; its result finds nobody
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    core.replace(slot, (settle) => (result) => {
      signal.removeEventListener('abort', abort);
      settle(result);
    });
  }

  /** Pushes a value with a tag of yours, which comes back with its result in onResult. */
  push(value, tag = 0, { deadline, size } = {}) {
    if (typeof tag === 'bigint' && tag >= SUBMITTED_BASE) {
      this.#claimTop();
    }
    this.#pushOne(value, this.#tag(tag), deadline, size);
  }

  #claimTop() {
    if (this.#core.submits) {
      throw new MicrobatchError(STATUS.INVALID_ARGUMENT, `tags from ${SUBMITTED_BASE} on are taken by submit`);
    }
    this.#core.pushesTop = true;
  }

  #tag(tag) {
    const fits =
      typeof tag === 'bigint' ? BigInt.asUintN(64, tag) === tag : Number.isSafeInteger(tag) && tag >= 0;
    if (!fits) {
      throw new MicrobatchError(
        STATUS.INVALID_ARGUMENT,
        `the tag is ${String(tag)}: a whole number from 0 to 2^53 - 1, or a bigint below 2^64, is accepted`,
      );
    }
    return tag;
  }

  /** A bigint is a time on the batcher's clock in ns; a number of ms, or a text, is from now on. */
  #deadline(deadline) {
    if (deadline === undefined || typeof deadline === 'bigint') {
      return deadline;
    }
    return native.now(this.#core.host) + nanoseconds(deadline, 'deadline');
  }

  #pushOne(value, tag, deadline, size = 0) {
    const core = this.#core;
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    core.sync();
    core.touch();
    let status;
    if (kind !== KIND.object) {
      status = native.push(core.host, kind, value, tag, this.#deadline(deadline), 0);
    } else if (value instanceof ForeignObject) {
      status = native.pushForeign(core.host, value.owner, value.word, value.size, tag);
    } else {
      const word = core.objects.hold(value);
      status = native.push(core.host, kind, word, tag, this.#deadline(deadline), size);
      if (status !== 0) {
        core.objects.release(word);
      }
    }
    if (status !== 0) {
      throw this.#refused(status, kind, value, size);
    }
  }

  #refused(status, kind, value, size) {
    const core = this.#core;
    let message;
    if (!core.last && !(value instanceof ForeignObject)) {
      const told = native.check(core.host, kind, kind === KIND.object ? 0 : value, size, undefined);
      message = Array.isArray(told) && told[0] === status ? told[1] : undefined;
    }
    return core.refusal(status, message);
  }

  /**
   * Pushes many values: an array, a typed array, or any iterable. tags: one that counts up, or an array of them. Answers
   * how many; if one is refused, those before it are taken and the error's `accepted` says how many.
   */
  pushMany(values, tags = 0, { deadline } = {}) {
    const core = this.#core;
    const each = typeof tags === 'object' ? BigUint64Array.from(tags, (tag) => BigInt(this.#tag(tag))) : undefined;
    const first = each ? 0 : this.#tag(tags);
    const { float64s, int64s, values: all, kinds, words, error, foreign } = many(values, core.objects);
    const count = (float64s ?? int64s ?? kinds).length;
    if (each && each.length < count) {
      words?.forEach((word) => core.objects.release(word));
      throw new MicrobatchError(STATUS.INVALID_ARGUMENT, `${each.length} tags for ${count} values`, { accepted: 0 });
    }
    if (each ? each.some((tag) => tag >= SUBMITTED_BASE) : BigInt(first) + BigInt(count) > SUBMITTED_BASE) {
      this.#claimTop();
    }
    core.sync();
    core.touch();
    const until = this.#deadline(deadline);
    const status = float64s
      ? native.pushFloat64s(core.host, float64s, 0, count, each, first, until)
      : int64s
        ? native.pushInt64s(core.host, int64s, each, first, until)
        : native.pushValues(core.host, all, kinds, each, first, until);
    const accepted = out[0];
    words?.forEach((word, row) => {
      if (row >= accepted) {
        core.objects.release(word);
      }
    });
    if (status !== 0) {
      throw Object.assign(core.refusal(status), { accepted });
    }
    if (foreign) {
      return accepted + this.#pushForeign(foreign, all.slice(accepted + 1), each?.slice(accepted) ?? BigInt(first) + BigInt(accepted), accepted);
    }
    if (error) {
      throw Object.assign(error, { accepted });
    }
    return accepted;
  }

  /** A foreign object among many goes by itself: if it is refused at all is the engine's to say. */
  #pushForeign(foreign, rest, tags, before) {
    const each = typeof tags === 'object';
    try {
      this.push(foreign, each ? tags[0] : tags);
      return 1 + this.pushMany(rest, each ? tags.slice(1) : tags + 1n);
    } catch (refused) {
      refused.accepted = before + (refused.accepted === undefined ? 0 : 1 + refused.accepted);
      throw refused;
    }
  }

  /** Throws what a push of this value would be refused with now. */
  check(value, { size = 0 } = {}) {
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    const foreign = value instanceof ForeignObject;
    const payload = kind === KIND.object ? (foreign ? value.word : 0) : value;
    const told = native.check(this.#core.host, kind, payload, foreign ? value.size : size, foreign ? value.owner : undefined);
    if (Array.isArray(told)) {
      throw new MicrobatchError(told[0], told[1]);
    }
    check(told);
  }

  /** Cancels every waiting value with this tag and answers how many. */
  cancel(tag) {
    this.#core.sync();
    check(native.cancel(this.#core.host, this.#tag(tag)));
    return out[0];
  }

  /** What is lacking for a value to be taken now, by name; undefined if there is room. Throws CLOSED. */
  lackOfRoom() {
    this.#core.sync();
    const status = native.room(this.#core.host, 0);
    for (const lack of ['QUEUE_FULL', 'QUEUE_FULL_BYTES', 'RESULTS_FULL']) {
      if (status === STATUS[lack]) {
        return lack;
      }
    }
    check(status);
    return undefined;
  }

  /** Resolves when there is room for a value. */
  room({ signal } = {}) {
    return this.#wait(signal, (resolve, reject) => {
      if (!this.lackOfRoom()) {
        resolve();
      } else {
        this.#core.roomWaiters.push((status) => (status === 0 ? resolve() : reject(new MicrobatchError(status))));
      }
    });
  }

  #wait(signal, begin) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (!signal) {
        begin(resolve, reject);
        return;
      }
      const abort = () => reject(signal.reason);
      const done = (settle) => (result) => {
        signal.removeEventListener('abort', abort);
        settle(result);
      };
      signal.addEventListener('abort', abort, { once: true });
      begin(done(resolve), done(reject));
    });
  }

  // ---- seal, flush, close ----

  /** Closes the open batch and does not wait. */
  seal() {
    this.#core.sync();
    check(native.seal(this.#core.host));
  }

  /** Seals, and resolves when every value accepted before is delivered. */
  flush({ signal } = {}) {
    const core = this.#core;
    return this.#wait(signal, (resolve, reject) => {
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
    return this.#done(native.flush(this.#core.host, 0));
  }

  /** The first half of a flush: seals and answers a mark. */
  flushBegin() {
    this.#core.sync();
    check(native.flushBegin(this.#core.host));
    return out[0];
  }

  /** The second half: whether everything before the mark is delivered. */
  flushEnd(mark) {
    return this.#done(native.flushEnd(this.#core.host, mark));
  }

  #done(status) {
    if (status === STATUS.IN_PROGRESS) {
      return false;
    }
    check(status);
    return true;
  }

  /** Takes no more values, drains, and resolves with how many were discarded at the time-out. */
  close(timeout) {
    const core = this.#core;
    core.sync();
    const bound = timeout === undefined ? BigInt(core.closeTimeout) : nanoseconds(timeout, 'timeout');
    if (core.last) {
      return Promise.resolve(core.left);
    }
    core.touch();
    if (core.closing) {
      core.closing.again = bound;
      core.askClosed();
      if (core.closing) {
        core.closing.again = FOREVER;
      }
      return core.closing ? core.closing.promise : Promise.resolve(core.left);
    }
    const closing = { again: bound, asking: false };
    closing.promise = new Promise((resolve) => {
      closing.done = (left) => {
        core.closing = undefined;
        core.closed = true;
        core.left = left;
        this.#finish();
        resolve(left);
      };
    });
    core.closing = closing;
    core.askClosed();
    closing.again = FOREVER;
    return closing.promise;
  }

  /** One step of a close in manual mode: {done, left}. */
  tryClose(timeout) {
    this.#core.sync();
    const status = native.close(this.#core.host, nanoseconds(timeout, 'timeout'));
    const left = out[0];
    if (status === STATUS.IN_PROGRESS) {
      return { done: false, left };
    }
    check(status === STATUS.TIMEOUT ? 0 : status);
    this.#core.closed = true;
    return { done: true, left };
  }

  /** A drained batcher is given back as soon as nobody can want more of it than its stats. */
  #finish() {
    const core = this.#core;
    if (core.manual || core.pulls) {
      core.look();
      return;
    }
    // not inside its own callback, where free would be abandon
    setImmediate(() => this.#last(() => native.free(core.host, false)));
  }

  #last(end) {
    const core = this.#core;
    if (core.last) {
      return STATUS.INVALID_HANDLE;
    }
    core.sync();
    core.look();
    const last = { stats: this.stats(), text: this.statsText() };
    core.idle();
    const status = end();
    core.last = last;
    core.closed = true;
    core.roomWaiters.splice(0).forEach((settle) => settle(STATUS.CLOSED));
    core.marks.splice(0).forEach(({ settle }) => settle(0));
    core.takers.splice(0).forEach((wake) => wake());
    core.closing?.done(0);
    return status;
  }

  /** Closes at once, discards what is outstanding and gives everything back. */
  free() {
    check(this.#last(() => native.free(this.#core.host, false)));
  }

  /** Free without waiting, also in a callback. */
  abandon() {
    check(this.#last(() => native.free(this.#core.host, true)));
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
    this.#core.sync();
    const word = native.nextBatch(this.#core.host);
    if (typeof word === 'bigint') {
      return new Batch(this.#core, word, true);
    }
    check(word === STATUS.TIMEOUT ? 0 : word);
    return undefined;
  }

  /** With results = pull: what `use` makes of the next set of results, or undefined if none is ready. */
  nextResults(use = (results) => results) {
    const core = this.#core;
    core.sync();
    const word = native.nextResults(core.host);
    if (typeof word !== 'bigint') {
      check(word === STATUS.TIMEOUT ? 0 : word);
      return undefined;
    }
    try {
      return use(new Results(core, word));
    } finally {
      native.resultsFree(core.host, word);
    }
  }

  /** Batches as they come, until the batcher is closed. Each is completed when the loop's body is done with it. */
  async *batches({ signal } = {}) {
    for await (const batch of this.#take(() => this.nextBatch(), signal)) {
      try {
        yield batch;
      } finally {
        if (batch.held) {
          batch.complete();
        }
      }
    }
  }

  /** Sets of results as they come, with results = pull, until the batcher is closed and all were taken. */
  results({ signal } = {}) {
    return this.#take(() => this.nextResults(), signal);
  }

  async *#take(next, signal) {
    const core = this.#core;
    for (;;) {
      signal?.throwIfAborted();
      let one;
      try {
        one = next();
      } catch (ended) {
        if (ended.code === STATUS.CLOSED || core.last) {
          return;
        }
        throw ended;
      }
      if (one !== undefined) {
        yield one;
      } else {
        await this.#wait(signal, (resolve) => {
          core.takers.push(resolve);
          if (!core.manual) {
            native.watch(core.host, true);
          }
        });
      }
    }
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
    const text = native.statsText(core.host);
    if (typeof text === 'number') {
      check(text);
    }
    return text;
  }

  /** Objects the batcher holds a reference to. */
  get heldObjects() {
    return this.#core.objects.size;
  }

  /** The address of an mb_shared, for other copies of the library in this process; good until the batcher is freed. */
  share() {
    const address = native.share(this.#core.host);
    if (typeof address === 'number') {
      check(address);
    }
    return address;
  }
}

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

function readStats(told) {
  if (typeof told === 'number') {
    check(told);
  }
  const stats = {};
  for (const [name, value] of Object.entries(told)) {
    stats[camel(name)] = value;
  }
  stats.triggers = Object.fromEntries(tables.triggers.map((name, at) => [name, told.triggers[at]]).filter(Boolean));
  stats.refusals = Object.fromEntries(
    tables.statuses.filter(({ code }) => code < 0 && told.refusals[-code] > 0).map(({ code, name }) => [name, told.refusals[-code]]),
  );
  return stats;
}

/** A batcher of another environment or another copy of the library, by its mb_shared: its pushes, not its results. */
class SharedBatcher {
  #core = new Core();

  constructor(address) {
    const core = this.#core;
    core.manual = true;
    const made = native.attach(core, address);
    if (typeof made === 'number') {
      check(made, `${String(address)} is not the address of an mb_shared`);
    }
    core.host = made;
  }

  push(value, tag = 0) {
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    const foreign = value instanceof ForeignObject;
    if (kind === KIND.object && !foreign) {
      throw new MicrobatchError(STATUS.WRONG_OWNER, 'an object of this environment means nothing to another owner');
    }
    check(
      foreign
        ? native.pushForeign(this.#core.host, value.owner, value.word, value.size, tag)
        : native.push(this.#core.host, kind, value, tag, undefined, 0),
    );
  }

  seal() {
    check(native.seal(this.#core.host));
  }

  cancel(tag) {
    check(native.cancel(this.#core.host, tag));
    return out[0];
  }

  stats() {
    return readStats(native.stats(this.#core.host));
  }

  statsText() {
    return native.statsText(this.#core.host);
  }
}

module.exports = { Batcher, SharedBatcher, ownerOfEnvironment };
