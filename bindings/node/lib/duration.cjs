'use strict';
// Lengths of time: milliseconds, Infinity, or texts with a unit. The library counts nanoseconds.

const { native, tables } = require('./native.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');

const NS_PER_MS = 1e6;
const FOREVER = tables.forever;
const ACCEPTED = 'a number of milliseconds from 0 on, Infinity, or a text such as "2ms"';

/** Nanoseconds of a number of milliseconds. */
function fromNumber(value, what, status) {
  if (value === Infinity) {
    return FOREVER;
  }
  const ns = typeof value === 'number' && value >= 0 ? Math.round(value * NS_PER_MS) : NaN;
  if (!(ns < Number(FOREVER))) {
    throw wrong(what, value, ACCEPTED, status);
  }
  return BigInt(ns);
}

/** A length of time in nanoseconds. */
function nanoseconds(value, what, status) {
  if (typeof value !== 'string') {
    return fromNumber(value, what, status);
  }
  if (value.includes('\0')) {
    throw wrong(what, value, ACCEPTED, status);
  }
  const read = native.durationParse(value);
  if (Array.isArray(read)) {
    throw new MicrobatchError(read[0], `${what} is ${read[1]}`);
  }
  return read;
}

/** A deadline: a bigint is a time on the batcher's clock, anything else a length of time from now, which `now` answers. */
function deadlineOf(deadline, now) {
  if (typeof deadline === 'bigint') {
    if (BigInt.asIntN(64, deadline) !== deadline) {
      throw wrong('deadline', deadline, 'a bigint of nanoseconds below 2^63');
    }
    return deadline;
  }
  const length = nanoseconds(deadline, 'deadline');
  const time = now();
  // no time: the batcher is gone, and its push says so
  return typeof time === 'bigint' ? soonest(time + length) : undefined;
}

/** Nanoseconds that the glue left as a double. */
const exact = (ns) => (ns < Number(FOREVER) ? BigInt(ns) : FOREVER);

const soonest = (time) => (time > FOREVER ? FOREVER : time);

module.exports = { FOREVER, deadlineOf, exact, nanoseconds };
