'use strict';
// Batches and results that a host takes itself.

const { native, STATUS } = require('./native.cjs');
const { Batch } = require('./batch.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { Results } = require('./results.cjs');
const { waiting } = require('./waiting.cjs');

function nextBatch(core) {
  core.sync();
  const word = native.nextBatch(core.host);
  if (typeof word === 'bigint') {
    return new Batch(core, true);
  }
  check(word === STATUS.TIMEOUT ? 0 : word);
  return undefined;
}

function nextResults(core, use) {
  core.sync();
  if (core.takesResults) {
    // the loop of a threaded batcher pulls for onResult and promises
    throw new MicrobatchError(STATUS.WRONG_MODE, 'nextResults needs results = "pull"');
  }
  const word = native.nextResults(core.host);
  if (typeof word !== 'bigint') {
    check(word === STATUS.TIMEOUT ? 0 : word);
    return undefined;
  }
  try {
    return Results.lend(core, word, use);
  } finally {
    core.letGo();
  }
}

async function* batches(core, signal) {
  for await (const batch of take(core, () => nextBatch(core), signal)) {
    try {
      yield batch;
    } finally {
      if (batch.held && !batch.kept) {
        batch.complete();
      }
    }
  }
}

/** What `next` answers, as it comes, until the batcher is closed and there is no more. */
async function* take(core, next, signal) {
  for (;;) {
    signal?.throwIfAborted();
    let one;
    try {
      one = next();
    } catch (ended) {
      if (ended.code === STATUS.CLOSED || core.last) {
        return;
      }
      throw ended;
    }
    if (one !== undefined) {
      yield one;
    } else {
      await waiting(signal, (resolve) => {
        core.takers.push(resolve);
        if (!core.manual) {
          native.watch(core.host, true);
        }
      });
    }
  }
}

module.exports = { batches, nextBatch, nextResults, take };
