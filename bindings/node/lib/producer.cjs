'use strict';

const { native, KIND, STATUS } = require('./native.cjs');
const { readCore } = require('./arguments.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { CORE } = require('./core.cjs');
const { Pusher } = require('./pusher.cjs');

const lost = new FinalizationRegistry(({ core, word }) => end(core, word));

function end(core, word) {
  core.producers.delete(word);
  return core.host === undefined ? 0 : native.producerFree(core.host, word);
}

/** A way into a batcher of its own: its values keep their order; that among several ways is given up for speed. */
class Producer extends Pusher {
  #word;

  constructor(core) {
    readCore(core, 'a producer');
    const word = native.producerNew(core.host);
    if (typeof word === 'number') {
      throw core.refusal(word);
    }
    super(core, {
      one: ({ host }, kind, payload, tag, deadline, size) =>
        native.producerPush(host, word, kind, payload, tag, deadline, size, undefined),
      foreign: ({ host }, foreign, tag, deadline) =>
        native.producerPush(host, word, KIND.object, foreign.word, tag, deadline, foreign.size, foreign.owner),
      float64s: ({ host }, values, tags, first, deadline) =>
        native.producerPushMany(host, word, values, undefined, tags, first, deadline),
      int64s: ({ host }, values, tags, first, deadline) =>
        native.producerPushMany(host, word, values, undefined, tags, first, deadline),
      values: ({ host }, values, kinds, tags, first, deadline) =>
        native.producerPushMany(host, word, values, kinds, tags, first, deadline),
    });
    this.#word = word;
    core.producers.add(word);
    lost.register(this, { core, word }, this);
  }

  /** Gives the way back; what went through it goes on. */
  free() {
    lost.unregister(this);
    const status = end(this[CORE], this.#word);
    if (status === STATUS.INVALID_HANDLE) {
      throw new MicrobatchError(status, 'the producer was freed before, or its batcher was');
    }
    check(status);
  }

  [Symbol.dispose]() {
    lost.unregister(this);
    end(this[CORE], this.#word);
  }
}

module.exports = { Producer };
