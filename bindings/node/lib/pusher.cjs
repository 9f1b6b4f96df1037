'use strict';
// Pushing with tags: what a batcher, a shared batcher and a producer have in common.

const { native, KIND, STATUS } = require('./native.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { CORE } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { nanoseconds } = require('./options.cjs');
const { SUBMITTED_BASE } = require('./submitted.cjs');
const { ForeignObject, kindOf, many } = require('./values.cjs');

function readTag(tag) {
  const fits = typeof tag === 'bigint' ? BigInt.asUintN(64, tag) === tag : Number.isSafeInteger(tag) && tag >= 0;
  if (!fits) {
    throw new MicrobatchError(
      STATUS.INVALID_ARGUMENT,
      `the tag is ${String(tag)}: a whole number from 0 to 2^53 - 1, or a bigint below 2^64, is accepted`,
    );
  }
  return tag;
}

/** Ways into the engine: values as the glue takes them, to a status. */
const DIRECT = {
  one: (core, kind, payload, tag, deadline, size) => native.push(core.host, kind, payload, tag, deadline, size),
  foreign: (core, { owner, word, size }, tag) => native.pushForeign(core.host, owner, word, size, tag),
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

  /** Pushes a value with a tag of yours, which comes back with its result. */
  push(value, tag = 0, { deadline, size } = {}) {
    this.pushOne(value, this.claim(readTag(tag)), deadline, size);
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

  /** A bigint is a time on the batcher's clock in ns; a number of ms, or a text, is from now on. */
  #deadline(deadline) {
    if (deadline === undefined || typeof deadline === 'bigint') {
      return deadline;
    }
    const length = nanoseconds(deadline, 'deadline');
    const now = native.now(this[CORE].host);
    return typeof now === 'bigint' ? soonest(now + length) : undefined;
  }

  pushOne(value, tag, deadline, size = 0) {
    const core = this[CORE];
    const kind = kindOf(value);
    if (typeof kind !== 'number') {
      throw kind;
    }
    core.sync();
    core.touch();
    let status;
    if (kind !== KIND.object) {
      status = this.#way.one(core, kind, value, tag, this.#deadline(deadline), 0);
    } else if (value instanceof ForeignObject) {
      status = this.#way.foreign(core, value, tag);
    } else if (!core.objects) {
      throw new MicrobatchError(STATUS.WRONG_OWNER, 'an object of this environment means nothing to another owner');
    } else {
      const word = core.objects.hold(value);
      status = this.#way.one(core, kind, word, tag, this.#deadline(deadline), size);
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
  pushMany(values, tags = 0, { deadline } = {}) {
    const core = this[CORE];
    const each = typeof tags === 'object' ? BigUint64Array.from(tags, (tag) => BigInt(readTag(tag))) : undefined;
    const first = each ? 0 : readTag(tags);
    const form = many(values, core.objects);
    const { count, words } = form;
    try {
      if (each && each.length < count) {
        throw new MicrobatchError(STATUS.INVALID_ARGUMENT, `${each.length} tags for ${count} values`);
      }
      if (each) {
        each.forEach((tag) => this.claim(tag));
      } else if (typeof first === 'bigint') {
        this.claim(BigInt.asUintN(64, first + BigInt(Math.max(count - 1, 0))));
      } else {
        this.claim(first);
      }
    } catch (refused) {
      words?.forEach((word) => core.objects.release(word));
      throw Object.assign(refused, { accepted: 0 });
    }
    const accepted = this.#pushForm(form, each, first, this.#deadline(deadline));
    if (form.foreign) {
      const rest = form.rest();
      const further = each?.slice(accepted) ?? BigInt(first) + BigInt(accepted);
      return accepted + this.#pushForeign(form.foreign, rest, further, accepted);
    }
    if (form.error) {
      throw Object.assign(form.error, { accepted });
    }
    return accepted;
  }

  /** Pushes what has a form; answers how many, or throws with how many were taken before. */
  #pushForm({ float64s, int64s, values, kinds, words }, each, first, deadline) {
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
    if (status !== 0) {
      throw Object.assign(core.refusal(status), { accepted });
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
    const core = this[CORE];
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

const FOREVER = 2n ** 63n - 1n;
const soonest = (time) => (time > FOREVER ? FOREVER : time);

module.exports = { Pusher, readTag };
