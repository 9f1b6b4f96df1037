'use strict';

const { tables, STATUS } = require('./native.cjs');

const INFO = new Map(tables.statuses.map((info) => [info.code, info]));

/** Why a call was refused, or why a value has no result. */
class MicrobatchError extends Error {
  /** Use the name of a status, or a positive number of your own. */
  constructor(code, message, details = {}) {
    const number = typeof code === 'string' ? STATUS[code] : code;
    const info = INFO.get(number);
    super(message || (info ? info.text : `the handler failed the value with code ${number}`));
    this.code = number;
    this.name = info ? info.name : 'USER_CODE';
    this.retriable = info ? info.retriable : false;
    Object.assign(this, details);
  }
}

/** Throw or return one in a handler to choose code and type name of a failure. */
class Failure extends Error {
  constructor(code, message = '', typeName = '') {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.typeName = typeName;
  }
}

/** Throws what a status other than OK stands for. */
function check(status, message, details) {
  if (status !== 0) {
    throw new MicrobatchError(status, message, details);
  }
}

/** Code, type name and message of whatever a handler threw. */
function failureOf(thrown) {
  if (thrown instanceof Failure) {
    return [thrown.code, thrown.typeName, thrown.message];
  }
  if (!(thrown instanceof Error)) {
    return [STATUS.HANDLER_FAILED, '', String(thrown)];
  }
  const own = Number.isInteger(thrown.code) && thrown.code > 0 && thrown.code <= 0x7fffffff;
  const known = thrown instanceof MicrobatchError;
  return [own || known ? thrown.code : STATUS.HANDLER_FAILED, thrown.name, thrown.message];
}

module.exports = { MicrobatchError, Failure, check, failureOf };
