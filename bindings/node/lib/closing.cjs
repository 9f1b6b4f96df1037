'use strict';
// The end of a batcher: it drains and is given back, or is given back at once.

const { native, STATUS } = require('./native.cjs');
const { MicrobatchError, check } = require('./error.cjs');
const { kept } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { FOREVER } = require('./duration.cjs');
const { readStats, readText } = require('./stats.cjs');

/** Takes no more values, drains, and resolves with how many were discarded at the time-out, in ns. */
async function close(core, timeout) {
  if (core.closed) {
    return core.left;
  }
  core.touch();
  const closing = (core.closing ??= begin(core));
  if (core.threaded) {
    check(native.closeLater(core.host, timeout));
    return closing.promise;
  }
  closing.again = timeout;
  core.askClosed();
  closing.again = FOREVER;
  return closing.promise;
}

function begin(core) {
  const closing = { again: FOREVER, asking: false };
  closing.promise = new Promise((resolve) => {
    closing.done = (left) => {
      core.closing = undefined;
      core.closed = true;
      core.left = left;
      finish(core, left);
      resolve(left);
    };
  });
  return closing;
}

/** A drained batcher is given back as soon as nobody can want more of it than its stats. */
function finish(core, left) {
  if (core.manual || core.pulls) {
    core.look();
    return;
  }
  // not inside its own callback, where free would be abandon; and no native handler that is late is waited for
  setImmediate(() => end(core, core.threaded && left > 0));
}

/** One step of a close in manual mode. */
function tryClose(core, timeout) {
  if (core.threaded) {
    throw new MicrobatchError(STATUS.WRONG_MODE, 'tryClose is for mode = "manual": await close()');
  }
  const status = native.close(core.host, timeout);
  const left = out[0];
  if (status === STATUS.IN_PROGRESS) {
    return { done: false, left };
  }
  check(status === STATUS.TIMEOUT ? 0 : status);
  core.closed = true;
  core.left = left;
  core.letGo();
  return { done: true, left };
}

/** Closes at once, discards what is outstanding and gives everything back: without waiting, if `abandon`. Answers a status. */
function end(core, abandon) {
  if (core.last) {
    return STATUS.INVALID_HANDLE;
  }
  core.sync();
  core.look();
  if (core.last) {
    return 0;
  }
  core.producers.forEach((word) => native.producerFree(core.host, word));
  core.producers.clear();
  // what is outstanding has its outcome before the batcher goes, and it is told
  native.close(core.host, 0n);
  if (core.threaded) {
    core.pull();
  }
  if (core.last) {
    return 0;
  }
  const last = { stats: readStats(native.stats(core.host)), text: readText(native.statsText(core.host)) };
  core.idle();
  kept.delete(core);
  const status = native.free(core.host, abandon);
  // what a handler never answers to would be held for ever: its outcomes stand
  core.flying.forEach((batch) => batch.giveUp());
  core.flying.clear();
  core.queued = [];
  core.last = last;
  core.closed = true;
  core.stage = undefined;
  core.aborts?.end();
  core.roomWaiters.splice(0).forEach((settle) => settle(STATUS.CLOSED));
  core.marks.splice(0).forEach(({ settle }) => settle(0));
  core.takers.splice(0).forEach((wake) => wake());
  core.closing?.done(0);
  return status;
}

module.exports = { close, end, tryClose };
