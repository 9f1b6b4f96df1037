// Batchers whose handlers are all native: they run on the engine's threads, and the loop only takes results.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Batcher, nativeSymbol, status } from 'microbatch';
import { library } from './build_handlers.mjs';
import { WATCHDOG } from './program.mjs';

const MODULE = JSON.stringify(import.meta.resolve('microbatch'));
const native = (name, gate) => ({ address: nativeSymbol(library, name), data: gate ? nativeSymbol(library, gate) : 0n });
const refusedAs = (name) => (error) => error.name === name && error.code === status[name];
const turn = () => new Promise(setImmediate);

/** Opens or shuts a gate, by a handler that does. */
async function gate(does, which) {
  const keeper = new Batcher(native(does, which));
  await keeper.submit(null);
  await keeper.close();
}

test('a handler that waits does not hold up the loop', { timeout: WATCHDOG }, async () => {
  await gate('shut_gate', 'gate_one');
  const batcher = new Batcher(native('wait_for', 'gate_one'));
  const answer = batcher.submit('late');
  for (let round = 0; round < 10; round++) await turn();
  assert.equal(batcher.stats().ok, 0);
  await gate('open_gate', 'gate_one');
  assert.equal(await answer, 'late');
  assert.equal(await batcher.close(), 0);
});

test('threads, and as many batches in flight', { timeout: WATCHDOG }, async () => {
  await gate('shut_gate', 'gate_one');
  const batcher = new Batcher(native('wait_for', 'gate_one'), { threads: 3, maxBatchSize: 1 });
  const answers = [1, 2, 3, 4].map((value) => batcher.submit(value));
  while (batcher.stats().inFlight < 3) await turn();
  assert.equal(batcher.stats().waiting, 1);
  await gate('open_gate', 'gate_one');
  assert.deepEqual(await Promise.all(answers), [1, 2, 3, 4]);
  await batcher.close();
});

test('results by tag, in bulk, pulled, and only counted', { timeout: WATCHDOG }, async () => {
  const seen = [];
  const tagged = new Batcher(native('echo'), { maxBatchSize: 100, onResult: (results) => seen.push(...[...results].map(({ tag, value }) => [tag, value])) });
  tagged.push('a', 5);
  tagged.pushMany(BigInt64Array.of(1n, 2n), 10);
  tagged.pushMany([null, true, 1.5], [7, 8, 9]);
  await tagged.flush();
  assert.deepEqual(seen, [[5n, 'a'], [10n, 1n], [11n, 2n], [7n, null], [8n, true], [9n, 1.5]]);
  await tagged.close();

  const pulled = new Batcher(native('echo'), { results: 'pull', maxBatchSize: 2 });
  pulled.pushMany(Float64Array.of(1, 2, 3, 4), 1);
  const values = [];
  for await (const results of pulled.results()) {
    values.push(...results.values);
    if (values.length === 4) await pulled.close();
  }
  assert.deepEqual(values, [1, 2, 3, 4]);
  pulled.free();

  const counted = new Batcher(native('echo'), { onResult: null });
  counted.push(1);
  await counted.flush();
  assert.equal(counted.stats().ok, 1);
  await assert.rejects(counted.submit(1), refusedAs('WRONG_MODE'));
  await counted.close();
});

test('full, cancelled, expired, failed, signalled', { timeout: WATCHDOG }, async () => {
  await gate('shut_gate', 'gate_one');
  const batcher = new Batcher(native('wait_for', 'gate_one'), { maxBatchSize: 1, queueCapacity: 3 });
  const first = batcher.submit(1);
  while (batcher.stats().inFlight === 0) await turn();
  const controller = new AbortController();
  const expired = assert.rejects(batcher.submit(2, { deadline: 1 }), refusedAs('DEADLINE'));
  const signalled = assert.rejects(batcher.submit(3, { signal: controller.signal }), /enough/);
  batcher.push(4, 44);
  await expired;
  controller.abort(new Error('enough'));
  await signalled;
  assert.equal(batcher.cancel(44), 1);
  const waiting = [5, 6, 7].map((value) => batcher.submit(value));
  assert.equal(batcher.lackOfRoom(), 'QUEUE_FULL');
  assert.throws(() => batcher.push(8), refusedAs('QUEUE_FULL'));
  await assert.rejects(batcher.submit(8), refusedAs('QUEUE_FULL'));
  const room = batcher.room();
  await gate('open_gate', 'gate_one');
  await room;
  assert.deepEqual(await Promise.all([first, ...waiting]), [1, 5, 6, 7]);
  const { ok, cancelled, expired: late } = batcher.stats();
  assert.deepEqual([ok, cancelled, late], [4, 2, 1]);
  await batcher.close();

  const refuses = new Batcher(native('refuse'));
  await assert.rejects(refuses.submit(1), { code: 77, handled: 'yes' });
  await refuses.close();
});

test('p22 a push never holds up the loop, whatever onFull says', { timeout: WATCHDOG }, async () => {
  for (const onFull of ['block', 'Block', 'default', 'reject', undefined]) {
    await gate('shut_gate', 'gate_one');
    const batcher = new Batcher(native('wait_for', 'gate_one'), { maxBatchSize: 1, queueCapacity: 1, onFull, pushTimeout: '1h' });
    batcher.push(1);
    while (batcher.stats().inFlight === 0) await turn();
    batcher.push(2);
    assert.throws(() => batcher.push(3), refusedAs('QUEUE_FULL'));
    await gate('open_gate', 'gate_one');
    await batcher.close();
  }
});

test('what only the loop could do is refused in words', async () => {
  const batcher = new Batcher(native('echo'));
  assert.throws(() => batcher.run(), refusedAs('WRONG_MODE'));
  assert.throws(() => batcher.tryClose(1), refusedAs('WRONG_MODE'));
  assert.throws(() => batcher.nextBatch(), refusedAs('WRONG_MODE'));
  assert.throws(() => batcher.nextResults(), refusedAs('WRONG_MODE'));
  assert.equal(batcher.tryFlush(), true);
  batcher.free();
  assert.throws(() => batcher.push(1), refusedAs('CLOSED'));
  const mixed = new Batcher({ string: native('echo'), default: (values) => values }, { mode: 'manual', onResult: () => {} });
  mixed.push('a');
  mixed.push(1);
  mixed.run();
  assert.equal(mixed.stats().ok, 2);
  mixed.free();
});

test('close: what is stuck is discarded at the time-out, and its objects come back when its handler returns', { timeout: WATCHDOG }, async () => {
  await gate('shut_gate', 'gate_one');
  const released = [];
  const things = [{ at: 0 }, { at: 1 }];
  const batcher = new Batcher(native('wait_for', 'gate_one'), { maxBatchSize: 1, onRelease: (object) => released.push(object) });
  const lost = things.map((thing) => assert.rejects(batcher.submit(thing), refusedAs('DISCARDED')));
  while (batcher.stats().inFlight === 0) await turn();
  const long = batcher.close(60_000);
  assert.throws(() => batcher.push(1), refusedAs('CLOSED'));
  assert.equal(await batcher.close(1), 2);
  assert.equal(await long, 2);
  await Promise.all(lost);
  assert.equal(await batcher.close(), 2);
  await gate('open_gate', 'gate_one');
  while (released.length < 2) await turn();
  for (let round = 0; round < 20; round++) await turn();
  assert.deepEqual(released.sort((a, b) => a.at - b.at), things);
  assert.equal(batcher.heldObjects, 0);
});

test('objects: once on every path, from other threads too', { timeout: WATCHDOG }, async () => {
  const counts = new Map();
  const onRelease = (object) => counts.set(object, (counts.get(object) ?? 0) + 1);
  const batcher = new Batcher(native('echo'), { onRelease, maxBatchSize: 16, maxDelay: 1 });
  const things = Array.from({ length: 500 }, (_, at) => ({ at }));
  const back = await Promise.all(things.map((thing) => batcher.submit(thing)));
  assert.ok(back.every((thing, at) => thing === things[at]));
  assert.equal(batcher.pushMany(things, 0), 500);
  await batcher.close();
  while (batcher.heldObjects > 0) await turn();
  assert.ok(things.every((thing) => counts.get(thing) === 2));

  const failing = new Batcher(native('refuse'), { onRelease, maxBatchSize: 3 });
  const failed = await Promise.allSettled(things.slice(0, 10).map((thing) => failing.submit(thing)));
  assert.ok(failed.every(({ reason }) => reason.code === 77));
  failing.free();
  while (failing.heldObjects > 0) await turn();
  assert.ok(things.slice(0, 10).every((thing) => counts.get(thing) === 3));
});

test('p16 a stress with accounting, all kinds and several threads', { timeout: WATCHDOG }, async () => {
  const batcher = new Batcher({ default: native('echo'), string: native('refuse') }, { threads: 2, maxBatchSize: 32, queueCapacity: 512, maxDelay: 1 });
  let [ok, failed, refused, wrong] = [0, 0, 0, 0];
  const all = [];
  for (let at = 0; at < 20_000; at++) {
    const value = [at, BigInt(at), `v${at}`, { at }, at % 2 === 0][at % 5];
    all.push(batcher.submit(value).then(
      (got) => (got === value ? ok++ : wrong++),
      (error) => (error.name.includes('FULL') ? refused++ : error.code === 77 ? failed++ : wrong++),
    ));
    if (at % 97 === 0) await batcher.room();
  }
  await Promise.all(all);
  assert.equal(await batcher.close(), 0);
  const stats = batcher.stats();
  assert.deepEqual([wrong, ok + failed + refused, stats.accepted, stats.ok, stats.failed], [0, 20_000, ok + failed, ok, failed]);
  assert.ok(ok > 0 && failed > 0);
});

// ---- the end of a process, and of a worker ----

function program(source) {
  return new Promise((resolve) => {
    const before = `import { Batcher, nativeSymbol } from ${MODULE};
      const native = (name, gate) => ({ address: nativeSymbol(${JSON.stringify(library)}, name), data: gate ? nativeSymbol(${JSON.stringify(library)}, gate) : 0n });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', before + source], { timeout: WATCHDOG, killSignal: 'SIGKILL' });
    let [out, err] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (err += data));
    child.on('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}

const ENDS = {
  'idle: the process ends': ["const b = new Batcher(native('echo')); console.log(await b.submit(1));", '1\n'],
  'outstanding: the process waits': ["new Batcher(native('echo'), { maxDelay: 20, onResult: (r) => console.log(r.count) }).push(1n);", '1\n'],
  'exit with values waiting: handled': ["new Batcher(native('echo'), { maxDelay: Infinity, onResult: (r) => console.log(r.count) }).push(1n); process.exit(7);", '1\n', undefined, 7],
  'exit with a stuck handler: reported': ["const b = new Batcher(native('wait_for', 'gate_one'), { drainAtExit: 30 }); b.push(1n); setTimeout(() => process.exit(7), 5);", '', /1 value was discarded/, 7],
  'exit while it closes': ["const b = new Batcher(native('wait_for', 'gate_one'), { drainAtExit: 30 }); b.push(1n); b.close(); process.exit(7);", '', /1 value was discarded/, 7],
  'exit after close': ["const b = new Batcher(native('echo')); b.push(1n); await b.close(); process.exit(7);", '', undefined, 7],
  'exit after free': ["const b = new Batcher(native('echo')); b.push(1n); b.free(); process.exit(7);", '', undefined, 7],
  'exit inside onResult': ["new Batcher(native('echo'), { onResult: () => process.exit(7) }).push(1n);", '', undefined, 7],
};
for (const [name, [source, out, err = /^$/, code = 0]] of Object.entries(ENDS)) {
  test(`p32 ${name}`, { timeout: WATCHDOG }, async () => {
    const ended = await program(source);
    assert.deepEqual([ended.code, ended.signal, ended.out], [code, null, out], ended.err);
    assert.match(ended.err, err);
  });
}

test('workers that are terminated in the middle, also with a handler that does not return', { timeout: WATCHDOG }, async () => {
  await gate('shut_gate', 'gate_two');
  for (let round = 0; round < 5; round++) {
    const workers = Array.from({ length: 4 }, () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(`
      import { parentPort } from 'node:worker_threads'; import { Batcher } from ${MODULE};
      const busy = new Batcher({ address: ${nativeSymbol(library, 'echo')}n }, { maxBatchSize: 8, threads: 2, onRelease() {} });
      const stuck = new Batcher({ address: ${nativeSymbol(library, 'wait_for')}n, data: ${nativeSymbol(library, 'gate_two')}n });
      stuck.submit({}).catch(() => {}); stuck.close();
      let seen = 0;
      function work() {
        for (let i = 0; i < 50; i++) for (const v of [i, String(i), { i }]) busy.submit(v).then(() => seen++, () => {});
        if (seen > 0) parentPort.postMessage('busy');
        setImmediate(work);
      }
      work();`)}`)));
    await Promise.all(workers.map((one) => new Promise((resolve, reject) => (one.once('message', resolve), one.once('error', reject)))));
    await Promise.all(workers.map((one) => one.terminate()));
  }
  await gate('open_gate', 'gate_two');
});
