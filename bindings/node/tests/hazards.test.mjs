// Hazards by name: exit at every step, a process kept alive or not, memory taken away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './program.mjs';

// What the process says, and that it ends with its own code, wherever it exits.
const STEPS = {
  'before any value': ["const b = new Batcher((v) => v); process.exit(7);", ''],
  'with values staged': ["const b = new Batcher((v) => (console.log(v.length), v)); b.submit(1).catch(() => {}); process.exit(7);", '1\n'],
  'with values waiting': ["const b = new Batcher((v) => (console.log(v.length), v), { maxDelay: Infinity }); b.push(1n); b.push('a'); process.exit(7);", '2\n'],
  'inside a handler': ["const b = new Batcher(() => process.exit(7)); b.push(1n);", '', /1 value was discarded/],
  'with a batch in flight': ["const b = new Batcher(() => new Promise(() => {})); b.push(1n); b.push(2n); setImmediate(() => setImmediate(() => process.exit(7)));", '', /2 values were discarded/],
  'inside onResult': ["const b = new Batcher((v) => v, { onResult: () => process.exit(7) }); b.push(1n);", ''],
  'while it closes': ["const b = new Batcher(() => new Promise(() => {})); b.push(1n); b.close(); process.exit(7);", '', /1 value was discarded/],
  'after it closed': ["const b = new Batcher((v) => v); b.push(1n); await b.close(); process.exit(7);", ''],
  'after free': ["const b = new Batcher((v) => v); b.push(1n); b.free(); process.exit(7);", ''],
  'with a pulled batch held': ["const b = new Batcher(); b.push(1n); for await (const batch of b.batches()) process.exit(7);", '', /1 value was discarded/],
  'inside onRelease': ["const b = new Batcher(() => [0], { onRelease: () => process.exit(7) }); b.push({});", ''],
  'inside a release while values wait': ["const b = new Batcher(() => [0], { maxBatchSize: 1, onRelease: () => process.exit(7) }); b.push({}); b.push({});", '', /1 value was discarded/],
  'while a flush is awaited': ["const b = new Batcher((v) => (console.log(v.length), v), { maxDelay: Infinity }); b.push(1n); b.flush(); process.exit(7);", '1\n'],
  'while room is awaited': ["const b = new Batcher((v) => (console.log(v.length), v), { maxBatchSize: 1, queueCapacity: 1 }); b.push(1n); b.room(); process.exit(7);", '1\n'],
  'with a handler that waits for its turn': ["const b = new Batcher({ float64: () => new Promise(() => {}), string: () => console.log('no') }); b.submit('a').catch(() => {}); b.submit(1).catch(() => {}); setImmediate(() => setImmediate(() => process.exit(7)));", '', /2 values were discarded/],
  'with a batch kept': ["const b = new Batcher((_, batch) => void batch.keep()); b.push(1n); await new Promise(setImmediate); process.exit(7);", '', /1 value was discarded/],
  'with results that nobody pulled': ["const b = new Batcher((v) => v, { results: 'pull' }); b.push(1n); await new Promise(setImmediate); process.exit(7);", ''],
  'with a producer': ["const b = new Batcher((v) => (console.log(v.length), v)); const p = b.producer(); p.push(1n); process.exit(7);", '1\n'],
  'in manual mode, with values waiting': ["const b = new Batcher((v) => (console.log(v.length), v), { mode: 'manual' }); b.push(1n); b.push(2n); process.exit(7);", '2\n'],
  'in manual mode, with nobody to take them': ["const b = new Batcher(null, { mode: 'manual' }); b.push(1n); process.exit(7);", '', /1 value was discarded/],
  'in manual mode, with a batch held': ["const b = new Batcher(null, { mode: 'manual' }); b.push(1n); b.nextBatch(); process.exit(7);", '', /1 value was discarded/],
  'in manual mode, inside a handler': ["const b = new Batcher(() => process.exit(7), { mode: 'manual' }); b.push(1n); b.run();", '', /1 value was discarded/],
  'in manual mode, after all': ["const b = new Batcher((v) => v, { mode: 'manual' }); b.push(1n); b.run(); new Batcher((v) => v, { mode: 'manual' }); process.exit(7);", ''],
  'drainAtExit 0': ["const b = new Batcher((v) => (console.log('no'), v), { drainAtExit: 0 }); b.push(1n); process.exit(7);", '', /1 value was discarded/],
  'by an uncaught exception': ["const b = new Batcher((v) => (console.log(v.length), v), { maxDelay: Infinity }); b.push(1n); throw new Error('x');", '1\n', /Error: x/, 1],
};
for (const [step, [source, out, err, code = 7]] of Object.entries(STEPS)) {
  test(`exit ${step}`, async () => {
    const ended = await program(source);
    assert.deepEqual([ended.code, ended.signal, ended.out], [code, null, out], ended.err);
    assert.match(ended.err, err ?? /^$/);
  });
}

// A worker: the same, and only the worker ends.
for (const [step, [source, out, err]] of Object.entries({
  'with values waiting': ["const b = new Batcher((v) => (console.log(v.length), v), { maxDelay: Infinity }); b.push(1n); b.push('a'); process.exit(7);", '2\n'],
  'with a batch in flight': ["const b = new Batcher(() => new Promise(() => {})); b.push(1n); setImmediate(() => setImmediate(() => process.exit(7)));", '', /1 value was discarded/],
  'at the end of its work': ["const b = new Batcher((v) => (console.log(v.length), v), { maxDelay: 5 }); b.push(1n); process.on('exit', () => (process.exitCode = 7));", '1\n'],
})) {
  test(`the exit of a worker ${step}`, async () => {
    const ended = await program(`
      const { Worker } = await import('node:worker_threads');
      const source = ${JSON.stringify(source)};
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent('import { Batcher } from ' + JSON.stringify(import.meta.resolve('microbatch')) + ';' + source)));
      const code = await new Promise((resolve) => worker.once('exit', resolve));
      const own = new Batcher((v) => v);
      console.log(code, await own.submit('goes on'));`);
    assert.deepEqual([ended.code, ended.out], [0, `${out}7 goes on\n`], ended.err);
    assert.match(ended.err, err ?? /^$/);
  });
}

test('a manual batcher keeps no process alive, and what is left of it is handled or reported; once done it can be collected', async () => {
  const ended = await program(`
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    for (let i = 0; i < 20; i++) {
      const ways = [(b) => b.run(), (b) => b.tryFlush(), (b) => b.tryClose(0)];
      const b = new Batcher((v) => v, { mode: 'manual' }); registry.register(b); b.push({}); ways[i % 3](b);
      const pulled = new Batcher(null, { mode: 'manual', results: 'pull' }); registry.register(pulled); pulled.push(1); pulled.nextBatch().completeOk(); pulled.nextResults();
    }
    for (let i = 0; i < 20 && collected < 38; i++) { gc(); await new Promise((r) => setTimeout(r, 5)); }
    console.log(collected >= 38);
    new Batcher(null, { mode: 'manual' }).push(1n);`, ['--expose-gc']);
  assert.deepEqual([ended.code, ended.signal, ended.out], [0, null, 'true\n'], ended.err);
  assert.match(ended.err, /1 value was discarded/);
});

test('an idle batcher never keeps the process alive; one with values outstanding does', async () => {
  const idle = await program("const b = new Batcher((v) => v); await b.submit(1); new Batcher(); console.log('end');");
  assert.deepEqual([idle.code, idle.out, idle.err], [0, 'end\n', '']);
  const outstanding = await program("new Batcher((v) => v, { maxDelay: 50, onResult: (r) => console.log(r.count) }).push(1n);");
  assert.deepEqual([outstanding.code, outstanding.out, outstanding.err], [0, '1\n', '']);
});

test('p25 a value that is refused keeps no process alive', async () => {
  for (const refused of ['b.push(1)', 'b.pushMany([1, 2])', 'await b.submit(1)', 'b.producer().push(1)', "await b.submit('a'), b.tryClose(0), b.push('a')"]) {
    const ended = await program(`const b = new Batcher({ string: (v) => v }); try { ${refused} } catch (e) { console.log(e.name); }`);
    assert.deepEqual([ended.code, ended.err], [0, ''], refused);
    assert.match(ended.out, /^(NO_HANDLER|CLOSED)\n$/, refused);
  }
});

test("a handler that takes the memory of its values' array away takes nothing of anybody else's", async () => {
  const flags = 'transfer' in ArrayBuffer.prototype ? [] : ['--harmony-rab-gsab-transfer'];
  const ended = await program(`
    let turn = 0;
    let sums = [];
    function take(values) {
      const { byteOffset, length } = values;
      if (turn++ % 2 !== 0) return values;
      // some versions ask whether it may be taken, and it may not
      try { return new Float64Array(values.buffer.transfer(), byteOffset, length); } catch (kept) { return values; }
    }
    const bulk = new Batcher((values) => take(values).map((v) => v + 1), {
      maxBatchSize: 100, typedArrays: true, onResult: (r) => sums.push(r.count, take(r.values).reduce((a, b) => a + b, 0), r.tags.at(-1)),
    });
    for (let at = 0; at < 4; at++) { bulk.pushMany(new Float64Array(100).fill(at), at % 2 ? 100 * at : new Array(100).fill(at)); await bulk.flush(); }
    const promises = new Batcher((v) => v.map((one) => one * 2));
    console.log(JSON.stringify(sums, (_, v) => typeof v === 'bigint' ? Number(v) : v), await promises.submit(21), await promises.submit(21n).catch((e) => e.name));`, flags);
  assert.deepEqual([ended.code, ended.err], [0, '']);
  assert.equal(ended.out, '[100,100,0,100,200,199,100,300,2,100,400,399] 42 TypeError\n');
});

test('a throw in onResult is an uncaught exception, and the batcher goes on', async () => {
  const ended = await program(`
    process.on('uncaughtException', (e) => console.log('caught', e.message));
    const b = new Batcher((v) => v, { onResult: () => { throw new Error('mine'); } });
    b.push(1n); await b.flush(); b.push(2n); await b.flush(); console.log(b.stats().ok);`);
  assert.deepEqual([ended.code, ended.out.split('\n').sort()], [0, ['', '2', 'caught mine', 'caught mine']], ended.err);
});

test('a throw of a handler that kept its batch, or completed it, is an uncaught exception: the outcomes are its holder\'s', async () => {
  for (const isAsync of ['', 'async ']) {
    const ended = await program(`
      process.on('uncaughtException', (e) => console.log('caught', e.message));
      const kept = [];
      const b = new Batcher(${isAsync}(v, batch) => {
        if (v[0] === 1) kept.push(batch.keep());
        else { batch.setAll(['early']); batch.complete(); }
        throw new Error('mine');
      });
      const one = b.submit(1);
      while (kept.length === 0) await new Promise(setImmediate);
      kept[0].setAll(['of the holder']); kept[0].complete();
      console.log(await one, await b.submit(2));`);
    assert.deepEqual([ended.code, ended.out.split('\n').sort()], [0, ['', 'caught mine', 'caught mine', 'of the holder early']], ended.err);
  }
});
