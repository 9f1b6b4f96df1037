'use strict';

const { native, tables, STATUS } = require('./native.cjs');
const { readText } = require('./arguments.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');
const { Failure } = require('./failure.cjs');
const { ForeignObject } = require('./values.cjs');
const { Batcher } = require('./batcher.cjs');
const { Producer } = require('./producer.cjs');
const { SharedBatcher } = require('./shared.cjs');
const { Batch } = require('./batch.cjs');
const { Results } = require('./results.cjs');
const { map, MapError } = require('./map.cjs');

/** The address of a function in a shared library, which stays loaded: for handlers {address, data}. */
function nativeSymbol(path, name) {
  for (const [what, text] of [['the path', path], ['the name', name]]) {
    if (readText(what, text).includes('\0')) {
      throw wrong(what, text, 'a string without NUL');
    }
  }
  const found = native.symbol(path, name);
  if (typeof found === 'string') {
    throw new MicrobatchError(STATUS.NOT_FOUND, `there is no '${name}' in '${path}': ${found}`);
  }
  return found;
}

/** Statuses of the library by name. */
exports.status = STATUS;
exports.version = tables.version;
exports.Batcher = Batcher;
exports.SharedBatcher = SharedBatcher;
exports.Producer = Producer;
exports.Batch = Batch;
exports.Results = Results;
exports.MicrobatchError = MicrobatchError;
exports.Failure = Failure;
exports.MapError = MapError;
exports.ForeignObject = ForeignObject;
exports.map = map;
exports.nativeSymbol = nativeSymbol;
