// A batcher that others push into: workers, producers, and C; and what happens when it goes while they do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Batcher, Producer, SharedBatcher, nativeSymbol } from 'microbatch';
import { library } from './build_handlers.mjs';
import { WATCHDOG } from './program.mjs';

const MODULE = JSON.stringify(import.meta.resolve('microbatch'));

/** A worker that runs `body` with `shared`, the batcher of this address; its first message. */
function worker(address, body) {
  const source = `import { parentPort } from 'node:worker_threads'; import { SharedBatcher, ForeignObject } from ${MODULE};
    const shared = new SharedBatcher(${address}n); const tell = (what) => parentPort.postMessage(what);
    ${body}`;
  const made = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  return new Promise((resolve, reject) => {
    made.once('message', (message) => resolve([message, made]));
    made.once('error', reject);
  });
}

test('a worker pushes one by one, in bulk and through a producer, and flushes', { timeout: WATCHDOG }, async () => {
  const seen = new Map();
  const threads = new Set();
  const batcher = new Batcher((values) => {
    threads.add('loop');
    return values;
  }, { maxDelay: Infinity, maxBatchSize: 7, onResult: (results) => results.tags.forEach((tag, row) => seen.set(tag, results.value(row))) });
  const [said, one] = await worker(batcher.share(), `
    shared.push(1n, 1);
    shared.push('two', 2n);
    let refused = [];
    const attempt = (call) => { try { call(); } catch (error) { refused.push(error.name); } };
    attempt(() => shared.push({}, 3));
    attempt(() => shared.push(new ForeignObject(9, 1), 3));
    attempt(() => shared.push('\\ud800', 3));
    attempt(() => shared.pushMany([4n, {}, 5n], 3));
    const many = [shared.pushMany(Float64Array.of(1, 2, 3), 10), shared.pushMany(BigInt64Array.of(1n, 2n), 20), shared.pushMany([true, null, 'x'], [30n, 40n, 50n])];
    const way = shared.producer();
    way.push(1.5, 60); way.push('p', 61); way.push(Uint8Array.of(1, 2), 62);
    many.push(way.pushMany(Float64Array.of(7, 8), 70), way.pushMany([1n, 2n], 80), way.pushMany(['a', false], [90, 91]));
    way.free();
    shared.check(5);
    const lack = shared.lackOfRoom();
    await shared.flush();
    tell({ refused, many, lack, stats: shared.stats().ok, text: shared.statsText().includes('accepted') });`);
  assert.deepEqual(said, {
    refused: ['WRONG_OWNER', 'WRONG_OWNER', 'INVALID_UTF8', 'WRONG_OWNER'], many: [3, 2, 3, 2, 2, 2], lack: undefined, stats: 20, text: true,
  });
  assert.deepEqual([...seen.entries()].sort(([a], [b]) => Number(a - b)), [
    [1n, 1n], [2n, 'two'], [3n, 4n], [10n, 1], [11n, 2], [12n, 3], [20n, 1n], [21n, 2n], [30n, true], [40n, null], [50n, 'x'],
    [60n, 1.5], [61n, 'p'], [62n, Uint8Array.of(1, 2)], [70n, 7], [71n, 8], [80n, 1n], [81n, 2n], [90n, 'a'], [91n, false],
  ]);
  await one.terminate();
  assert.equal(await batcher.close(), 0);
});

test('p11 what was submitted before another environment pushed comes before it', { timeout: WATCHDOG }, async () => {
  const order = [];
  const batcher = new Batcher((values) => (order.push(...values), values), { maxDelay: Infinity });
  await batcher.flush();
  batcher.submit(0);
  const gate = new SharedArrayBuffer(4);
  const address = batcher.share();
  batcher.submit(1);
  const source = `import { workerData } from 'node:worker_threads'; import { SharedBatcher } from ${MODULE};
    const gate = new Int32Array(workerData); Atomics.wait(gate, 0, 0);
    new SharedBatcher(${address}n).push(3); Atomics.store(gate, 0, 2); Atomics.notify(gate, 0);`;
  const other = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: gate });
  await new Promise((resolve) => other.once('online', resolve));
  batcher.submit(2);
  const signal = new Int32Array(gate);
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
  Atomics.wait(signal, 0, 1);
  batcher.submit(4);
  await batcher.flush();
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  await batcher.close();
});

test('room for a worker: refused, and told when there is room again', { timeout: WATCHDOG }, async () => {
  const batcher = new Batcher(async (values) => (await new Promise(setImmediate), values), { queueCapacity: 4, maxBatchSize: 4, onResult: () => {} });
  const [said, one] = await worker(batcher.share(), `
    let refusals = 0;
    for (let at = 0; at < 200; at++) {
      for (;;) { try { shared.push(at, at); break; } catch (full) { if (full.name !== 'QUEUE_FULL') throw full; refusals++; await shared.room(); } }
    }
    await shared.flush();
    tell(refusals);`);
  assert.ok(said > 0);
  assert.equal(batcher.stats().ok, 200);
  await one.terminate();
  await batcher.close();
});

test('p30 free while workers push: they are refused, and nothing else', { timeout: WATCHDOG }, async () => {
  for (let round = 0; round < 5; round++) {
    const batcher = new Batcher((values) => values, { maxBatchSize: 16 });
    const address = batcher.share();
    const workers = await Promise.all([0, 1, 2].map(() => worker(address, `
      tell('in');
      const end = new Promise((resolve) => {
        function work() {
          for (let at = 0; at < 200; at++) {
            try { shared.push(at, at); shared.stats(); } catch (error) {
              if (error.name === 'QUEUE_FULL') break;
              if (error.name !== 'CLOSED' && error.name !== 'INVALID_HANDLE') throw error;
              if (error.name === 'INVALID_HANDLE') return resolve();
            }
          }
          setImmediate(work);
        }
        work();
      });
      await end;
      tell('out');`)));
    const out = workers.map(([, one]) => new Promise((resolve, reject) => (one.once('message', resolve), one.once('error', reject))));
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (round % 2) batcher.free();
    else await batcher.close();
    assert.deepEqual(await Promise.all(out), ['out', 'out', 'out']);
    await Promise.all(workers.map(([, one]) => one.terminate()));
  }
});

test('what others pushed into a batcher is handled or reported at the end of the process', { timeout: WATCHDOG }, async () => {
  const { spawnSync } = await import('node:child_process');
  const source = `import { Batcher, SharedBatcher } from ${MODULE};
    const own = new Batcher((values) => (console.log(values.length), values), { maxDelay: Infinity });
    new SharedBatcher(own.share()).push(1n);
    const stuck = new Batcher(() => new Promise(() => {}));
    new SharedBatcher(stuck.share()).push(1n);
    process.exit();`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
  assert.equal(ended.stdout, '1\n');
  assert.match(ended.stderr, /1 value was discarded/);
  assert.equal(ended.status, 0);
});

test('producers: order within one; an object is released once; freed twice is an error', async () => {
  const released = [];
  const order = [];
  const batcher = new Batcher((values) => (order.push(...values), values), { maxDelay: Infinity, onRelease: (object) => released.push(object) });
  const way = batcher.producer();
  assert.ok(way instanceof Producer);
  const thing = {};
  way.push(1);
  way.push(thing, 1);
  way.push('x', 2n ** 64n - 1n);
  assert.equal(way.pushMany([2, thing, 'y']), 3);
  assert.throws(() => way.push(undefined), { name: 'INVALID_ARGUMENT' });
  assert.throws(() => way.push('\ud800'), { name: 'INVALID_UTF8' });
  way.push(3, 3, { deadline: Infinity });
  await batcher.flush();
  assert.deepEqual(order, [1, thing, 'x', 2, thing, 'y', 3]);
  assert.equal(batcher.heldObjects, 0);
  assert.equal(released.length, 4);
  way.free();
  assert.throws(() => way.free(), { name: 'INVALID_HANDLE' });
  assert.throws(() => way.push(1), { name: 'INVALID_HANDLE' });
  const disposed = batcher.producer();
  disposed[Symbol.dispose]();
  disposed[Symbol.dispose]();
  assert.throws(() => disposed.push(1), { name: 'INVALID_HANDLE' });
  const other = batcher.producer();
  await batcher.close();
  assert.throws(() => other.push(1), { name: 'CLOSED' });
});

test('an address that is none', () => {
  for (const address of [0n, 4n, 8n, 4096n, 2n ** 64n - 8n]) {
    assert.throws(() => new SharedBatcher(address), { name: 'INVALID_ARGUMENT' });
  }
});

test('p37 a copy of the library that is too old for this one is refused', () => {
  assert.throws(() => new SharedBatcher(nativeSymbol(library, 'of_another_age')), { name: 'UNSUPPORTED' });
});
