'use strict';

const { native, DEFAULT_HANDLER } = require('./native.cjs');
const { readCount, readFlag, readFunction, readList, readOptions } = require('./arguments.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');
const { many } = require('./values.cjs');
const { Core } = require('./core.cjs');
const { Results } = require('./results.cjs');

/** One for all maps: their words go nowhere else. */
let owner;

/** Some values of a map failed: `results` has all of them, in order. */
class MapError extends MicrobatchError {
  constructor(results, first) {
    const failure = results instanceof Results ? results.failure(first) : undefined;
    if (!failure) {
      throw wrong('the first failure', first, 'a row that failed, of Results');
    }
    super(failure.code, `value ${first}: ${failure.message}`, { cause: results.error(first), handled: failure.handled });
    this.results = results;
  }
}

/**
 * Handles known values in one call, without a batcher: batches of maxBatchSize, or so many batches. The handler is as a
 * batcher's, but must not be async. Answers a plain array; throws a MapError with all results if a value failed.
 */
function map(values, handler, options) {
  const all = results(values, handler, options);
  if (!all.allOk) {
    throw new MapError(all, all.firstFailed);
  }
  return all.toArray();
}

/** The same, but answers Results, whatever their outcomes. */
function results(values, handler, options) {
  const given = readOptions(options, 'maxBatchSize', 'batches', 'typedArrays');
  const maxBatchSize = readCount('maxBatchSize', given.maxBatchSize);
  const batches = readCount('batches', given.batches);
  const typedArrays = readFlag('typedArrays', given.typedArrays);
  readFunction('the handler', handler);
  const core = new Core();
  const handlers = new Array(DEFAULT_HANDLER + 1);
  handlers[DEFAULT_HANDLER] = handler;
  Object.assign(core, { handlers, typedArrays, maps: true, manual: true, takesResults: true });
  core.host = native.newMap(core, (owner ??= native.newOwner()));
  const { float64s, int64s, values: all, kinds, error } = many(readList('values', values), core.objects);
  if (error) {
    throw error;
  }
  // the engine reads the array in place, so it is one that the handler cannot transfer away
  const mapped = kinds
    ? native.map(core.host, all, kinds, maxBatchSize, batches, false)
    : native.map(core.host, (float64s ?? int64s).slice(), undefined, maxBatchSize, batches, !float64s);
  if (Array.isArray(mapped)) {
    throw new MicrobatchError(mapped[0], mapped[1]);
  }
  return Results.lend(core, mapped, (all) => all);
}

map.results = results;

module.exports = { map, MapError };
