'use strict';
// What happens to values that are outstanding when the process, or a worker, exits: handlers that need not wait get them,
// and the rest is reported.

const { native, STATUS } = require('./native.cjs');
const { kept } = require('./core.cjs');
const { out } = require('./memory.cjs');
const { FOREVER, exact } = require('./duration.cjs');

const NS_PER_MS = 1e6;
let hooked = false;

/** The engine's own threads go on: they are waited for. */
function drainThreads(core) {
  native.close(core.host, exact(core.drainAtExit));
  const left = out[0];
  core.pull();
  return left;
}

function drain(core) {
  core.sync();
  if (core.threaded) {
    return drainThreads(core);
  }
  const until = performance.now() + core.drainAtExit / NS_PER_MS;
  let left = native.outstanding(core.host);
  if (core.drainAtExit > 0 && core.handles && native.close(core.host, FOREVER) === STATUS.IN_PROGRESS) {
    // what is left waits for promises, which nothing settles any more; but each run may make room for the next
    for (let before = Infinity; left < before && performance.now() < until; left = native.outstanding(core.host)) {
      before = left;
      native.run(core.host);
    }
  }
  left = native.outstanding(core.host);
  native.close(core.host, 0);
  return Math.max(left, out[0]);
}

function onExit() {
  let left = 0;
  for (const core of [...kept]) {
    left += core.last ? 0 : drain(core);
  }
  if (left > 0) {
    console.error(`microbatch: ${left} ${left === 1 ? 'value was' : 'values were'} discarded: the process ended before they were handled`);
  }
}

/** Hooks the end of this environment, once. */
function hook() {
  if (!hooked) {
    hooked = true;
    process.on('exit', onExit);
  }
}

module.exports = { hook };
