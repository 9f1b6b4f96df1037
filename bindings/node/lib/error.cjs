'use strict';

const { inspect } = require('node:util');
const { tables, STATUS } = require('./native.cjs');

const INFO = new Map(tables.statuses.map((info) => [info.code, info]));

/** Why a call was refused, or why a value has no result. */
class MicrobatchError extends Error {
  /** Use the name of a status, or a positive number of your own. */
  constructor(code, message, details = {}) {
    const number = typeof code === 'string' ? STATUS[code] : code;
    if (!Number.isInteger(number)) {
      throw wrong('the code', code, 'the name or the number of a status, or a positive number of yours,');
    }
    const info = INFO.get(number);
    super(message || (info ? info.text : `the handler failed the value with code ${number}`));
    this.code = number;
    this.name = info ? info.name : 'USER_CODE';
    this.retriable = info ? info.retriable : false;
    Object.assign(this, details);
  }
}

/** How a value stands in a message: short, and no code of its own runs. */
const SHOWN = Object.freeze({
  depth: 0, customInspect: false, maxArrayLength: 3, maxStringLength: 64, breakLength: Infinity, compact: true,
});

/** A wrong argument: what it is, its value, and what would be accepted. */
function wrong(what, value, accepted, status = STATUS.INVALID_ARGUMENT) {
  return new MicrobatchError(status, `${what} is ${inspect(value, SHOWN)}: ${accepted} is accepted`);
}

/** Throws what a status other than OK stands for. */
function check(status, message, details) {
  if (status !== 0) {
    throw new MicrobatchError(status, message, details);
  }
}

module.exports = { MicrobatchError, check, wrong };
