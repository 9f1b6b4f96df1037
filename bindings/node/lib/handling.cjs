'use strict';
// Batches and their handlers: what a handler gets, what becomes of its answer, and which handler must wait for its turn.

const { KIND, STATUS } = require('./native.cjs');
const { Batch } = require('./batch.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');
const { OUT, ROWS, calls, float64s, out, seeNumbers, seen, takeNumbers } = require('./memory.cjs');

/** What a handler may return. */
function checked(returned) {
  if (!Array.isArray(returned) && (!ArrayBuffer.isView(returned) || returned instanceof DataView)) {
    throw wrong('what the handler returned', returned, 'an array of results, a promise of one, or nothing after batch.set,', STATUS.HANDLER_FAILED);
  }
  return returned;
}

/**
 * What a handler returned becomes the results of its batch: by a number or a typed array that the glue takes, or here.
 */
function answer(batch, returned) {
  if (returned === undefined || batch.held || batch.gone) {
    return 0;
  }
  if (returned instanceof Float64Array || returned instanceof BigInt64Array) {
    return returned;
  }
  const count = checked(returned).length;
  if (count <= ROWS) {
    let row = 0;
    for (let value; row < count && typeof (value = returned[row]) === 'number'; row++) {
      float64s[row] = value;
    }
    if (row === count && row > 0) {
      return count;
    }
  }
  batch.setAll(returned);
  return 0;
}

/** A copy of its beginning is an array that holds doubles without an object for each, and never grows. */
const DOUBLES = Array.from({ length: ROWS }, (_, row) => row + 0.5);

/** The values of a batch as its handler gets them. */
function valuesOf(core, batch) {
  const { count } = batch;
  const kind = out[OUT.KIND];
  if (core.typedArrays) {
    return takeNumbers(kind, count) ?? batch.columns;
  }
  if (!seeNumbers(kind)) {
    return batch.values;
  }
  const { array, first } = seen;
  const values = kind === KIND.float64 ? DOUBLES.slice(0, count) : new Array(count);
  for (let row = 0; row < count; row++) {
    values[row] = array[first + row];
  }
  return values;
}

const isThenable = (value) => value !== null && typeof value === 'object' && typeof value.then === 'function';

/**
 * A handler never runs beside itself unless asked, and those of one batch run one after another, also if a batch was completed
 * before its handler was done. One that a time-out ended keeps nobody waiting.
 */
function mustWait({ running, maxInFlight }, { number }) {
  if (running.length < maxInFlight && !running.some((batch) => batch.number === number)) {
    return false;
  }
  const blocking = running.filter((batch) => batch.ended || !batch.over);
  return blocking.length >= maxInFlight || blocking.some((batch) => batch.number === number);
}

/** Called by the glue inside run, flush, close, free and map: answers as `answer`, or a status. Never throws. */
function onBatch(core) {
  let batch;
  try {
    batch = new Batch(core, false);
    const handler = core.handlers[out[OUT.HANDLER]];
    if (core.running.length > 0 && mustWait(core, batch)) {
      batch.lend();
      core.flying.add(batch);
      dropQueued(core);
      core.queued.push({ batch, handler });
      core.noteWaiting(batch);
      return 0;
    }
    const returned = handler(valuesOf(core, batch), batch);
    if (!isThenable(returned)) {
      return answer(batch, returned);
    }
    returned.then(undefined, () => {});
    if (!batch.held && !batch.gone) {
      batch.lend();
      core.flying.add(batch);
    }
    settle(core, batch, returned);
    return 0;
  } catch (thrown) {
    return failed(core, batch, thrown);
  }
}

function failed(core, batch, thrown) {
  if (!batch || (thrown instanceof MicrobatchError && thrown.code === STATUS.RESULT_COUNT)) {
    return 0;
  }
  try {
    if (batch.held || batch.ended) {
      // it is its holder's, or was
      core.report(thrown);
    } else {
      batch.failWith(thrown);
    }
    return 0;
  } catch {
    return STATUS.HANDLER_FAILED;
  }
}

/** An async handler runs: once it is done, its batch is completed, unless it was before or is kept. */
async function settle(core, batch, promise) {
  core.running.push(batch);
  try {
    const returned = await promise;
    if (returned !== undefined && !batch.held && !batch.gone) {
      batch.setAll(checked(returned));
    }
  } catch (thrown) {
    failed(core, batch, thrown);
  }
  core.running.splice(core.running.indexOf(batch), 1);
  core.flying.delete(batch);
  if (!batch.held && !batch.gone) {
    try {
      batch.complete();
    } catch (late) {
      if (late.code !== STATUS.TOO_LATE && late.code !== STATUS.INVALID_HANDLE) {
        core.report(late);
      }
    }
  }
  startQueued(core);
}

/** What a time-out or a close ended before its turn came is not handled. */
function dropQueued(core) {
  core.queued = core.queued.filter(({ batch }) => {
    if (!batch.over) {
      return true;
    }
    core.flying.delete(batch);
    batch.giveUp();
    return false;
  });
}

function startQueued(core) {
  dropQueued(core);
  for (let at = 0; at < core.queued.length; ) {
    const { batch, handler } = core.queued[at];
    if (mustWait(core, batch)) {
      at++;
      continue;
    }
    core.queued.splice(at, 1);
    core.noteBegun(batch);
    settle(core, batch, (async () => handler(core.typedArrays ? batch.columns : batch.values, batch))());
  }
}

calls.onBatch = onBatch;
