'use strict';

const { native, tables, STATUS } = require('./native.cjs');
const { MicrobatchError, Failure } = require('./error.cjs');
const { ForeignObject } = require('./values.cjs');
const { Batcher } = require('./batcher.cjs');
const { Producer } = require('./producer.cjs');
const { SharedBatcher } = require('./shared.cjs');
const { Batch } = require('./batch.cjs');
const { Results } = require('./results.cjs');
const { map, MapError } = require('./map.cjs');

/** The address of a function in a shared library, which stays loaded: for handlers {address, data}. */
function nativeSymbol(path, name) {
  const found = native.symbol(path, name);
  if (typeof found === 'string') {
    throw new MicrobatchError(STATUS.NOT_FOUND, found);
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
