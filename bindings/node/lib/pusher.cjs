'use strict';
// Pushing with tags: what a batcher, a shared batcher and a producer have in common.

const { native, KIND, STATUS } = require('./native.cjs');
const { readCount, readList, readOptions, readSignal, readTag } = require('./arguments.cjs');
const { deadlineOf } = require('./duration.cjs');
const { MicrobatchError, check, wrong } = require('./error.cjs');
const { CORE } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { SUBMITTED_BASE } = require('./submitted.cjs');
const { ForeignObject, kindOf, many } = require('./values.cjs');

/** Ways into the engine: values as the glue takes them, to a status. */
const DIRECT = {
  one: (core, kind, payload, tag, deadline, size) => native.push(core.host, kind, payload, tag, deadline, size),
  foreign: (core, { owner, word, size }, tag, deadline) => native.pushForeign(core.host, owner, word, size, tag, deadline),
  float64s: (core, values, tags, first, deadline) => native.pushFloat64s(core.host, values, tags, first, deadline),
  int64s: (core, values, tags, first, deadline) => native.pushInt64s(core.host, values, tags, first, deadline),
  values: (core, values, kinds, tags, first, deadline) => native.pushValues(core.host, values, kinds, tags, first, deadline),
};

class Pusher {
  [CORE];
  #way;

  constructor(core, way = DIRECT) {
    this[CORE] = core;
    this.#way = way;
  }

  /**
   * Pushes a value with a tag of yours, which comes back with its result. Aborting the signal refuses it, or, once it is taken,
   * cancels what waits with this tag, until its result comes.
   */
  push(value, tag, options) {
    const signal = options === undefined ? undefined : this.#signalOf(options, tag, 'size');
    const claimed = this.claim(readTag(tag === undefined ? 0 : tag));
    signal?.throwIfAborted();
    this.pushOne(value, claimed, options);
    if (signal) {
      this[CORE].watch(signal, claimed);
    }
  }

  #signalOf(options, tag, ...names) {
    const core = this[CORE];
    const signal = readSignal(options, 'deadline', ...names);
    if (signal && tag === undefined) {
      throw wrong('the tag of a value with a signal', tag, 'one that no other value has while it waits');
    }
    if (signal && !core.takesResults && !core.pulls) {
      throw new MicrobatchError(
        STATUS.WRONG_MODE,
        core.attached ? 'a signal needs results, which go to the owner of the batcher' : 'a signal needs results: onResult is null',
      );
    }
    return signal;
  }

  /** A tag of the caller's: the highest 2^32 are for promises, as long as no caller has used one. */
  claim(last) {
    const core = this[CORE];
    core.pushes = true;
    if (typeof last === 'bigint' && last >= SUBMITTED_BASE && !core.pushesTop) {
      if (core.submits) {
        throw new MicrobatchError(STATUS.INVALID_ARGUMENT, `tags from ${SUBMITTED_BASE} on are taken by submit`);
      }
      core.pushesTop = true;
    }
    return last;
  }

  #deadline(deadline) {
    return deadline === undefined ? undefined : deadlineOf(deadline, () => native.now(this[CORE].host));
  }

  /** Everything is looked at before anything is held. */
  pushOne(value, tag, options) {
    const core = this[CORE];
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    const size = readCount('size', options?.size);
    const deadline = this.#deadline(options?.deadline);
    core.sync();
    core.touch();
    let status;
    if (kind !== KIND.object) {
      status = this.#way.one(core, kind, value, tag, deadline, 0);
    } else if (value instanceof ForeignObject) {
      status = this.#way.foreign(core, value, tag, deadline);
    } else if (!core.objects) {
      throw new MicrobatchError(STATUS.WRONG_OWNER, 'an object of this environment means nothing to another owner');
    } else {
      const word = core.objects.hold(value);
      status = this.#way.one(core, kind, word, tag, deadline, size);
      if (status !== 0) {
        core.objects.release(word);
      }
    }
    if (status !== 0) {
      throw this.#refused(status, kind, value, size);
    }
  }

  #refused(status, kind, value, size) {
    const core = this[CORE];
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
  pushMany(values, tags, options) {
    let told;
    try {
      told = this.#readMany(values, tags, options);
    } catch (refused) {
      throw refused instanceof MicrobatchError ? Object.assign(refused, { accepted: 0 }) : refused;
    }
    const { form, each, first, deadline, signal } = told;
    const accepted = this.#pushForm(form, each, first, deadline, signal);
    if (form.foreign) {
      const rest = form.rest();
      const further = each?.slice(accepted) ?? BigInt(first) + BigInt(accepted);
      return accepted + this.#pushForeign(form.foreign, rest, further, accepted, { deadline, signal });
    }
    if (form.error) {
      throw Object.assign(form.error, { accepted });
    }
    return accepted;
  }

  #readMany(values, tags, options) {
    const signal = this.#signalOf(options, tags);
    const deadline = this.#deadline(options?.deadline);
    const each =
      typeof tags === 'object' ? BigUint64Array.from(readList('the tag', tags), (tag) => BigInt(readTag(tag))) : undefined;
    const first = each ? 0 : readTag(tags === undefined ? 0 : tags);
    signal?.throwIfAborted();
    const form = many(readList('values', values), this[CORE].objects);
    const { count, words } = form;
    try {
      // an iterable may have done anything
      signal?.throwIfAborted();
      if (each && each.length < count) {
        throw wrong('tags', tags, `one for each of the ${count} values`);
      }
      if (each) {
        each.forEach((tag) => this.claim(tag));
      } else if (typeof first === 'bigint') {
        this.claim(BigInt.asUintN(64, first + BigInt(Math.max(count - 1, 0))));
      } else {
        this.claim(first);
      }
    } catch (refused) {
      words?.forEach((word) => this[CORE].objects.release(word));
      throw refused;
    }
    return { form, each, first, deadline, signal };
  }

  /** Pushes what has a form; answers how many, or throws with how many were taken before. */
  #pushForm({ float64s, int64s, values, kinds, words }, each, first, deadline, signal) {
    const core = this[CORE];
    core.sync();
    core.touch();
    const status = float64s
      ? this.#way.float64s(core, float64s, each, first, deadline)
      : int64s
        ? this.#way.int64s(core, int64s, each, first, deadline)
        : this.#way.values(core, values, kinds, each, first, deadline);
    const accepted = out[0];
    words?.forEach((word, row) => {
      if (row >= accepted) {
        core.objects.release(word);
      }
    });
    for (let row = 0; signal && row < accepted; row++) {
      core.watch(signal, each ? each[row] : BigInt(first) + BigInt(row));
    }
    if (status !== 0) {
      throw Object.assign(core.refusal(status), { accepted });
    }
    return accepted;
  }

  /** A foreign object among many goes by itself: if it is refused at all is the engine's to say. */
  #pushForeign(foreign, rest, tags, before, options) {
    const each = typeof tags === 'object';
    try {
      this.push(foreign, each ? tags[0] : tags, options);
      return 1 + this.pushMany(rest, each ? tags.slice(1) : tags + 1n, options);
    } catch (refused) {
      refused.accepted = before + (refused.accepted === undefined ? 0 : 1 + refused.accepted);
      throw refused;
    }
  }

  /** Throws what a push of this value would be refused with now. */
  check(value, options) {
    const core = this[CORE];
    const size = readCount('size', readOptions(options, 'size').size);
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    core.sync();
    const foreign = value instanceof ForeignObject;
    const payload = kind === KIND.object ? (foreign ? value.word : 0) : value;
    const told = native.check(core.host, kind, payload, foreign ? value.size : size, foreign ? value.owner : undefined);
    if (Array.isArray(told)) {
      throw new MicrobatchError(told[0], told[1]);
    }
    check(told);
  }
}

module.exports = { Pusher };
