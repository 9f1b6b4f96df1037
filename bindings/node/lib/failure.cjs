'use strict';

const { readCode, readText } = require('./arguments.cjs');
const { MicrobatchError } = require('./error.cjs');
const { STATUS } = require('./native.cjs');

/** Throw or return one in a handler to choose code and type name of a failure. */
class Failure extends Error {
  constructor(code, message = '', typeName = '') {
    super(readText('the message', message));
    this.name = 'Failure';
    this.code = readCode(code);
    this.typeName = readText('the type name', typeName);
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

module.exports = { Failure, failureOf };
