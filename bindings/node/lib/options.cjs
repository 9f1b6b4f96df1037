'use strict';
// Options, as the library's own table has them: camelCase of their names, numbers in milliseconds where they are durations.

const { native, tables, KIND, STATUS, DEFAULT_HANDLER } = require('./native.cjs');
const { fitsWord, readAddress, readFlag, readFunction } = require('./arguments.cjs');
const { nanoseconds } = require('./duration.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const BY_NAME = new Map(tables.options.map((info) => [camel(info.name), info]));
/** What concerns JavaScript only. */
const OWN = ['handlers', 'pullHandlers', 'onResult', 'onRelease', 'log', 'typedArrays'];

const refuse = (message) => new MicrobatchError(STATUS.INVALID_OPTION, message);

/** A value as the library reads it. What it then accepts is its own to say. */
function textOf(name, { type }, value) {
  if (type === 'duration' && typeof value === 'number') {
    return String(nanoseconds(value, name, STATUS.INVALID_OPTION));
  }
  const isText = typeof value === 'string' && !value.includes('\0');
  if (!isText && typeof value !== 'number' && (typeof value !== 'bigint' || type === 'duration')) {
    throw wrong(name, value, type === 'duration' ? 'a number of milliseconds or a text' : 'a number or a text', STATUS.INVALID_OPTION);
  }
  return String(value);
}

/** The texts of the library's own options by name. */
function readChosen(given) {
  if (!isRecord(given)) {
    throw wrong('options', given, 'an object', STATUS.INVALID_OPTION);
  }
  const chosen = {};
  for (const [name, value] of Object.entries(given)) {
    const info = BY_NAME.get(name);
    if (!info && !OWN.includes(name)) {
      throw refuse(`there is no option ${name}; there are ${[...BY_NAME.keys(), ...OWN].join(', ')}`);
    }
    if (info && value !== undefined) {
      chosen[name] = textOf(name, info, value);
    }
  }
  return chosen;
}

/** Names and values as the glue takes them. */
const textsOf = (chosen) => Object.entries(chosen).flatMap(([name, text]) => [BY_NAME.get(name).name, text]);

/** What the library's table says to set where a caller sets nothing. */
const MANAGED = tables.options
  .filter(({ managedDefault, defaultValue }) => managedDefault !== BigInt(defaultValue))
  .flatMap(({ name, managedDefault }) => [name, String(managedDefault)]);

/** What the library reads in texts, where this side has to know: [manual, pulls, givenClock, threads]. */
function asRead(texts) {
  const read = native.readOptions(texts);
  if (read.length === 2) {
    throw new MicrobatchError(...read);
  }
  return read;
}

/** Names and values as the glue takes them, and what JavaScript keeps for itself. */
function read(handler, given) {
  const chosen = readChosen(given);
  const handlers = readHandlers(handler, given.handlers);
  const texts = [...MANAGED, ...textsOf(chosen)];
  const [manual, pulls, givenClock, threads] = asRead(texts);
  const takesResults = !pulls && given.onResult !== null;
  // Native handlers run on the engine's threads. Others, and whoever pulls, are on the thread of the loop, which calls in:
  // what only the engine's threads could mean is refused in the words of this side.
  const threaded = handlers.native && !manual;
  if (!threaded && threads !== 0) {
    throw refuse(`threads = ${chosen.threads}: handlers run in the event loop, which has one; maxInFlight is for several batches`);
  }
  if (givenClock && !manual) {
    throw refuse('clock = "given": the event loop has the system\'s time; choose mode = "manual" with it');
  }
  const how = threaded ? (takesResults ? { results: 'pull' } : {}) : { mode: 'manual' };
  return {
    ...handlers,
    texts: [...texts, ...textsOf(how)],
    manual,
    threaded,
    pulls,
    takesResults,
    onResult: callable(given.onResult, 'onResult'),
    onRelease: callable(given.onRelease, 'onRelease'),
    log: callable(given.log, 'log'),
    pulled: readKinds(given.pullHandlers),
    typedArrays: readFlag('typedArrays', given.typedArrays, STATUS.INVALID_OPTION),
  };
}

const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A function, or nothing. */
function callable(value, what) {
  return value === undefined || (value === null && what === 'onResult') ? undefined : readFunction(what, value, STATUS.INVALID_OPTION);
}

function placeOf(kind) {
  const places = { ...KIND, default: DEFAULT_HANDLER };
  if (typeof kind !== 'string' || !Object.hasOwn(places, kind)) {
    throw wrong('a kind to handle', kind, Object.keys(places).join(', '), STATUS.INVALID_OPTION);
  }
  return places[kind];
}

function readPointer(what, word) {
  if (!fitsWord(word)) {
    throw wrong(what, word, 'an address, as a bigint, or 0n', STATUS.INVALID_OPTION);
  }
  return word;
}

function readKinds(kinds = []) {
  if (!Array.isArray(kinds)) {
    throw wrong('pullHandlers', kinds, 'an array of kinds', STATUS.INVALID_OPTION);
  }
  return kinds.reduce((mask, kind) => mask | (1 << placeOf(kind)), 0);
}

/** A handler is a function, or {address, data, release} of a native one; or there is one for each kind, by its name. */
function readHandlers(handler, byKind = {}) {
  if (!isRecord(byKind)) {
    throw wrong('handlers', byKind, 'an object of handlers by kind', STATUS.INVALID_OPTION);
  }
  const scripts = new Array(DEFAULT_HANDLER + 1);
  const natives = [];
  let mask = 0;
  const all = { ...byKind };
  if (handler !== undefined && handler !== null) {
    const more = isRecord(handler) && !('address' in handler) ? handler : { default: handler };
    for (const [kind, one] of Object.entries(more)) {
      if (kind in all) {
        throw refuse(`there are two handlers for ${kind}: the first argument and the option handlers each have one`);
      }
      all[kind] = one;
    }
  }
  for (const [kind, one] of Object.entries(all)) {
    const which = placeOf(kind);
    const what = `the handler for ${kind}`;
    if (typeof one === 'function') {
      scripts[which] = one;
      mask |= 1 << which;
    } else if (isRecord(one) && 'address' in one) {
      const { address, data = 0n, release = 0n } = one;
      natives.push(which, readAddress(`the address of ${what}`, address, STATUS.INVALID_OPTION), readPointer(`the data of ${what}`, data));
      natives.push(readPointer(`the release function of ${what}`, release));
    } else {
      throw wrong(what, one, 'a function, or {address, data, release} of a native one,', STATUS.INVALID_OPTION);
    }
  }
  return { scripts, mask, natives, native: mask === 0 && natives.length > 0, handles: mask !== 0 || natives.length > 0 };
}

module.exports = { read };
