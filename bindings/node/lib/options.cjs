'use strict';
// Options, as the library's own table has them: camelCase of their names, numbers in milliseconds where they are durations.

const { native, tables, KIND, STATUS, DEFAULT_HANDLER } = require('./native.cjs');
const { MicrobatchError } = require('./error.cjs');

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const BY_NAME = new Map(tables.options.map((info) => [camel(info.name), info]));
/** What concerns JavaScript only. */
const OWN = ['handlers', 'pullHandlers', 'onResult', 'onRelease', 'log', 'typedArrays'];

const NS_PER_MS = 1e6;
const refuse = (message) => new MicrobatchError(STATUS.INVALID_OPTION, message);

/** Milliseconds, or a text such as "2ms", as a text of nanoseconds for the library. */
function durationText(value) {
  if (typeof value === 'number') {
    return value === Infinity ? 'forever' : String(Math.round(value * NS_PER_MS));
  }
  return String(value);
}

/** The same as nanoseconds, for time-outs that are arguments. */
function nanoseconds(value, what) {
  if (value === Infinity) {
    return FOREVER;
  }
  if (typeof value === 'number' && value >= 0) {
    return BigInt(Math.round(value * NS_PER_MS));
  }
  if (typeof value !== 'string') {
    throw new MicrobatchError(
      STATUS.INVALID_ARGUMENT,
      `${what} is ${String(value)}: milliseconds from 0 on, Infinity, or a text such as "2ms" is accepted`,
    );
  }
  const read = native.durationParse(value);
  if (Array.isArray(read)) {
    throw new MicrobatchError(read[0], `${what} is ${read[1]}`);
  }
  return read;
}

const FOREVER = 2n ** 63n - 1n;

function textOf(info, value) {
  if (info.type === 'duration') {
    return durationText(value);
  }
  return String(value);
}

/** Names and values as the glue takes them, and what JavaScript keeps for itself. */
function read(handler, given, owner) {
  const texts = [];
  for (const name of ['closeTimeout', 'drainAtExit']) {
    const info = BY_NAME.get(name);
    texts.push(info.name, String(info.managedDefault));
  }
  let manual = false;
  for (const [name, value] of Object.entries(given)) {
    const info = BY_NAME.get(name);
    if (OWN.includes(name) || value === undefined) {
      continue;
    }
    if (!info) {
      throw refuse(`there is no option ${name}; there are ${[...BY_NAME.keys(), ...OWN].join(', ')}`);
    }
    texts.push(info.name, textOf(info, value));
    if (name === 'mode') {
      manual = value === 'manual';
    }
  }
  const handlers = readHandlers(handler, given.handlers ?? {});
  const pulls = given.results === 'pull';
  const takesResults = !pulls && given.onResult !== null;
  // Native handlers run on the engine's threads. Others, and whoever pulls, are on the thread of the loop, which calls in:
  // what only the engine's threads could mean is refused in the words of this side.
  const threaded = handlers.native && !manual;
  if (!threaded && given.threads) {
    throw refuse(`threads = ${given.threads}: handlers run in the event loop, which has one; maxInFlight is for several batches`);
  }
  if (given.clock === 'given' && !manual) {
    throw refuse('clock = "given": the event loop has the system\'s time; choose mode = "manual" with it');
  }
  if (threaded) {
    // a push must not hold up the loop
    if (given.onFull === undefined || given.onFull === 'block') {
      texts.push('on_full', 'reject');
    }
    if (takesResults) {
      texts.push('results', 'pull');
    }
  } else {
    texts.push('mode', 'manual');
  }
  return {
    ...handlers,
    texts,
    manual,
    threaded,
    pulls,
    owner: given.owner ?? owner(),
    drains: given.drainAtExit !== 0,
    takesResults,
    onResult: callable(given.onResult, 'onResult'),
    onRelease: callable(given.onRelease, 'onRelease'),
    log: callable(given.log, 'log'),
    pulled: readKinds(given.pullHandlers ?? []),
    typedArrays: given.typedArrays === true,
  };
}

function callable(value, what) {
  if (value !== undefined && value !== null && typeof value !== 'function') {
    throw refuse(`${what} is ${typeof value}: a function is accepted`);
  }
  return value ?? undefined;
}

function placeOf(kind) {
  const place = kind === 'default' ? DEFAULT_HANDLER : KIND[kind];
  if (place === undefined) {
    throw refuse(`there is no kind ${String(kind)} to handle; there are ${Object.keys(KIND).join(', ')} and default`);
  }
  return place;
}

function readKinds(kinds) {
  if (!Array.isArray(kinds)) {
    throw refuse(`pullHandlers is ${String(kinds)}: an array of kinds is accepted`);
  }
  return kinds.reduce((mask, kind) => mask | (1 << placeOf(kind)), 0);
}

/** A handler is a function, or {address, data, release} of a native one. */
function readHandlers(handler, byKind) {
  const scripts = new Array(DEFAULT_HANDLER + 1);
  const natives = [];
  let mask = 0;
  const all = { ...byKind };
  if (handler !== undefined && handler !== null) {
    if (typeof handler === 'object' && !('address' in handler)) {
      Object.assign(all, handler);
    } else {
      all.default = handler;
    }
  }
  for (const [kind, one] of Object.entries(all)) {
    const which = placeOf(kind);
    if (typeof one === 'function') {
      scripts[which] = one;
      mask |= 1 << which;
    } else if (typeof one?.address === 'bigint' && one.address !== 0n) {
      natives.push(which, one.address, one.data ?? 0n, one.release ?? 0n);
    } else {
      throw refuse(`the handler for ${kind} is ${String(one)}: a function, or {address, data, release} of a native one, is accepted`);
    }
  }
  return { scripts, mask, natives, native: mask === 0 && natives.length > 0, handles: mask !== 0 || natives.length > 0 };
}

module.exports = { FOREVER, nanoseconds, read };
