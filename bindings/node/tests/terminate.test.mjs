// Workers that are terminated while they work, and inside a handler. tests/node.rs runs this file five times.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Batcher } from 'microbatch';
import { WATCHDOG } from './program.mjs';

const ROUNDS = 10;

const BUSY = `
import { parentPort } from 'node:worker_threads';
import { Batcher } from 'microbatch';
const sync = new Batcher((values) => values.map((v) => v), { maxBatchSize: 8, maxDelay: '1ms', onRelease: () => {} });
const late = new Batcher(async (values) => { await new Promise((r) => setTimeout(r, 1)); return values; }, { maxInFlight: 8 });
const never = new Batcher(() => new Promise(() => {}));
never.submit({}).catch(() => {});
let seen = 0;
function work() {
  for (let i = 0; i < 50; i++) {
    for (const value of [i, String(i), { i }]) {
      sync.submit(value).then(() => seen++, () => {});
      late.submit(value).catch(() => {});
    }
  }
  if (seen > 0) parentPort.postMessage('busy');
  setImmediate(work);
}
work();`;

test('terminate of 20 busy workers, again and again: nothing crashes, and this thread goes on', { timeout: WATCHDOG }, async () => {
  const own = new Batcher((values) => values);
  for (let round = 0; round < ROUNDS; round++) {
    const workers = Array.from({ length: 20 }, () => {
      const url = new URL(`data:text/javascript,${encodeURIComponent(BUSY.replaceAll("'microbatch'", JSON.stringify(import.meta.resolve('microbatch'))))}`);
      return new Worker(url);
    });
    await Promise.all(workers.map((worker) => new Promise((resolve, reject) => (worker.once('message', resolve), worker.once('error', reject)))));
    await Promise.all(workers.map((worker) => worker.terminate()));
    assert.equal(await own.submit(round), round);
  }
  assert.equal(await own.close(), 0);
});

test('terminate of a worker inside a handler that never returns', { timeout: WATCHDOG }, async () => {
  const body = `import { parentPort } from 'node:worker_threads'; import { Batcher } from ${JSON.stringify(import.meta.resolve('microbatch'))};
    new Batcher(() => { parentPort.postMessage('in'); for (;;); }).submit(1).catch(() => {});`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(body)}`));
  await new Promise((resolve) => worker.once('message', resolve));
  await worker.terminate();
});
