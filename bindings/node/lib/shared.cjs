'use strict';

const { native, STATUS } = require('./native.cjs');
const { readAddress, readSignal, readTag } = require('./arguments.cjs');
const { MicrobatchError, check, wrong } = require('./error.cjs');
const { CORE, Core } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { Producer } = require('./producer.cjs');
const { Pusher } = require('./pusher.cjs');
const { readStats, readText } = require('./stats.cjs');

/** How often somebody else's batcher is asked how far it is, in ms: its descriptor is for its own loop. */
const ASK_EVERY = 1;

/** A batcher of another environment or another copy of the library, by its mb_shared: its pushes, not its results. */
class SharedBatcher extends Pusher {
  constructor(address) {
    const core = new Core();
    super(core);
    Object.assign(core, { attached: true, objects: undefined });
    const what = 'the address of an mb_shared';
    const made = native.attach(core, readAddress(what, address));
    if (made === STATUS.INVALID_ARGUMENT) {
      throw wrong(what, address, 'what share answered');
    }
    if (typeof made === 'number') {
      throw new MicrobatchError(made);
    }
    core.host = made;
  }

  producer() {
    return new Producer(this[CORE]);
  }

  cancel(tag) {
    check(native.cancel(this[CORE].host, readTag(tag)));
    return out[0];
  }

  seal() {
    check(native.seal(this[CORE].host));
  }

  /** Seals, and resolves when every value accepted before is delivered to its owner. */
  async flush(options) {
    const { host } = this[CORE];
    const signal = readSignal(options);
    signal?.throwIfAborted();
    check(native.flushBegin(host));
    const mark = out[0];
    await this.#ask(signal, () => native.flushReached(host, mark), STATUS.IN_PROGRESS);
  }

  /** Resolves when there is room for a value. */
  async room(options) {
    const { host } = this[CORE];
    const signal = readSignal(options);
    signal?.throwIfAborted();
    await this.#ask(signal, () => native.room(host, 0), STATUS.QUEUE_FULL, STATUS.QUEUE_FULL_BYTES, STATUS.RESULTS_FULL);
  }

  async #ask(signal, question, ...notYet) {
    for (;;) {
      const status = question();
      if (!notYet.includes(status)) {
        check(status);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
      signal?.throwIfAborted();
    }
  }

  /** What is lacking for a value to be taken now, by name; undefined if there is room. Throws CLOSED. */
  lackOfRoom() {
    return lackOfRoom(this[CORE]);
  }

  stats() {
    return readStats(native.stats(this[CORE].host));
  }

  statsText() {
    return readText(native.statsText(this[CORE].host));
  }
}

const LACKS = ['QUEUE_FULL', 'QUEUE_FULL_BYTES', 'RESULTS_FULL'];

function lackOfRoom(core) {
  core.sync();
  const status = native.room(core.host, 0);
  const lack = LACKS.find((name) => status === STATUS[name]);
  if (!lack && status !== 0) {
    throw status === STATUS.INVALID_HANDLE ? core.refusal(status) : new MicrobatchError(status);
  }
  core.wantsRoom = lack !== undefined;
  return lack;
}

module.exports = { SharedBatcher, lackOfRoom };
