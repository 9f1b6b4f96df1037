// Nothing grows: batchers made and ended, and what the garbage collector must find.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WATCHDOG, program } from './program.mjs';

test('30,000 batchers made and closed or freed: the process does not grow', { timeout: 5 * WATCHDOG }, async () => {
  const ended = await program(`
    const settle = async () => { for (let i = 0; i < 5; i++) { gc(); await new Promise((r) => setTimeout(r, 5)); } };
    async function some(count) {
      for (let i = 0; i < count; i++) {
        const b = new Batcher((v) => v, { maxBatchSize: 4, queueCapacity: 4 });
        if (i % 10 === 0) { await b.submit({ i }); await b.close(); } else if (i % 10 === 1) { b.submit(i).catch(() => {}); b.free(); } else b.free();
      }
      await settle();
    }
    // what is used: how much room a version of V8 keeps for later is its own affair
    const used = ({ rss, heapTotal, heapUsed } = process.memoryUsage()) => rss - heapTotal + heapUsed;
    await some(5000);
    const before = used();
    await some(25_000);
    console.log(used() - before);`, ['--expose-gc'], 5 * WATCHDOG);
  assert.equal(ended.code, 0, ended.err);
  // 335 bytes each: less than the least of what a batcher has
  assert.ok(Number(ended.out) < 8 * 1024 * 1024, ended.out);
});

test('--expose-gc: batchers, promises, objects and batches are collected', { timeout: WATCHDOG }, async () => {
  const ended = await program(`
    const collected = new FinalizationRegistry((what) => (counts[what] = (counts[what] ?? 0) + 1));
    const counts = {};
    async function one(closes) {
      const b = new Batcher((v) => v, { maxBatchSize: 4 });
      const thing = { thing: 1 };
      collected.register(b, 'batcher'); collected.register(thing, 'object');
      await Promise.all([b.submit(1), b.submit('a'), b.submit(thing)]);
      if (closes) await b.close();
    }
    for (let i = 0; i < 50; i++) await one(i % 2);
    const settle = async () => { for (let i = 0; i < 20; i++) { gc(); await new Promise((r) => setTimeout(r, 5)); } };
    await settle();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 2000; i++) await one(i % 2);
    await settle();
    console.log(JSON.stringify({ ...counts, grown: process.memoryUsage().rss - before }));`, ['--expose-gc']);
  const { batcher, object, grown } = JSON.parse(ended.out);
  assert.ok(batcher >= 2040 && object >= 2040, ended.out);
  assert.ok(grown < 64 * 1024 * 1024, ended.out);
});
