// The batcher in the loop: promises, tags, bulk, flow control, flush and close, signals, errors, pulling, objects.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Batcher, ForeignObject, MicrobatchError, status } from 'microbatch';

const require = createRequire(import.meta.url);
const echo = (values) => values;
const refusedAs = (name) => (error) => error instanceof MicrobatchError && error.name === name && error.code === status[name];

test('import and require give the same module', () => {
  assert.equal(require('microbatch').Batcher, Batcher);
});

test('options come from the table of the library and are checked by it', () => {
  assert.throws(() => new Batcher(echo, { maxBatchSze: 1 }), (e) => refusedAs('INVALID_OPTION')(e) && /maxBatchSze.*maxBatchSize/.test(e.message));
  assert.throws(() => new Batcher(echo, { maxBatchSize: -1 }), refusedAs('INVALID_OPTION'));
  assert.throws(() => new Batcher(echo, { maxDelay: 'soon' }), (e) => refusedAs('INVALID_OPTION')(e) && /soon/.test(e.message));
  assert.throws(() => new Batcher(echo, { maxBatchSize: 10, queueCapacity: 5 }), refusedAs('INVALID_OPTION'));
  assert.throws(() => new Batcher(echo, { onFull: 'explode' }), refusedAs('INVALID_OPTION'));
  assert.throws(() => new Batcher(echo, { mode: 'x' }), (e) => refusedAs('INVALID_OPTION')(e) && /threaded or manual/.test(e.message));
  assert.throws(() => new Batcher(echo, { threads: 2 }), (e) => refusedAs('INVALID_OPTION')(e) && /threads = 2.*maxInFlight/.test(e.message));
  assert.throws(() => new Batcher(echo, { clock: 'given' }), (e) => refusedAs('INVALID_OPTION')(e) && /manual/.test(e.message));
  assert.throws(() => new Batcher({ int46: echo }), (e) => refusedAs('INVALID_OPTION')(e) && /int46/.test(e.message));
  assert.throws(() => new Batcher(7), refusedAs('INVALID_OPTION'));
  new Batcher(echo, { maxDelay: 2, maxBatchBytes: '1MiB', handlerTimeout: Infinity, delivery: 'ordered' }).free();
});

test('p36 0 is the default of every option, and forever is a time like any other', async () => {
  for (const closeTimeout of [0, '0', 'default', Infinity, 'forever']) {
    const batcher = new Batcher(async (values) => (await new Promise(setImmediate), values), { closeTimeout });
    const answer = batcher.submit(1);
    assert.equal(await batcher.close(), 0);
    assert.equal(await answer, 1);
  }
});

test('choices are read as the library reads them', () => {
  const batcher = new Batcher(echo, { mode: ' Manual', clock: 'GIVEN', results: 'Pull' });
  batcher.push(1, 5);
  batcher.advance(5n);
  batcher.run();
  assert.deepEqual([...batcher.nextResults().tags], [5n]);
  batcher.free();
});

test('an owner of your own: objects of others are refused, and your own come back', async () => {
  for (const owner of [5, '5']) {
    const batcher = new Batcher(echo, { owner });
    const thing = {};
    assert.equal(await batcher.submit(thing), thing);
    assert.throws(() => batcher.push(new ForeignObject(6, 1)), refusedAs('WRONG_OWNER'));
    await batcher.close();
  }
});

test('p20 a foreign object expires at its deadline too, by every way in', () => {
  const outcomes = [];
  const onResult = (results) => outcomes.push(...Array.from(results, ({ tag, outcome }) => `${tag} ${outcome}`));
  const batcher = new Batcher((values) => values.map(() => null), { mode: 'manual', clock: 'given', maxDelay: Infinity, owner: 5, onResult });
  const way = batcher.producer();
  const foreign = new ForeignObject(5, 1);
  batcher.push(foreign, 1, { deadline: 10n });
  batcher.pushMany([foreign, foreign], 2, { deadline: 10n });
  way.push(foreign, 4, { deadline: 10n });
  way.pushMany([foreign], 5, { deadline: 10n });
  batcher.push(foreign, 6, { deadline: 12n });
  batcher.advance(11n);
  assert.ok(batcher.tryFlush());
  assert.deepEqual(outcomes.sort(), ['1 expired', '2 expired', '3 expired', '4 expired', '5 expired', '6 ok']);
  batcher.free();
});

test('what one turn of the loop pushes travels together', async () => {
  const sizes = [];
  const batcher = new Batcher((values) => (sizes.push(values.length), values));
  const all = Array.from({ length: 200 }, (_, at) => at);
  assert.deepEqual(await Promise.all(all.map((value) => batcher.submit(value))), all);
  assert.deepEqual(sizes, [200]);
});

test('p11 what is submitted and what is pushed keeps its order, whatever crosses when', async () => {
  const order = [];
  const batcher = new Batcher((values) => (order.push(...values), values), { maxBatchSize: 64, queueCapacity: 4096 });
  const thing = {};
  const wanted = [];
  for (let at = 0; at < 1500; at++) {
    const value = [at, BigInt(at), `v${at}`, thing, null, at % 2 === 1, Uint8Array.of(at)][at % 7];
    wanted.push(value);
    if (at % 11 === 0) batcher.push(value, at);
    else if (at % 13 === 0) batcher.pushMany([value], at);
    else batcher.submit(value);
    if (at % 100 === 0) assert.equal(batcher.stats().accepted, at + 1);
  }
  await batcher.flush();
  assert.deepEqual(order, wanted);
});

test('p09 the delay of a batch counts from its first submit, also if the turn goes on for long', async () => {
  const ages = [];
  const batcher = new Batcher((values, batch) => (ages.push(batch.age), values), { maxDelay: 1 });
  await batcher.submit(0);
  const answers = batcher.submitMany([1, 2, 3]);
  const begun = performance.now();
  while (performance.now() - begun < 20);
  await Promise.all(answers);
  assert.equal(ages.length, 2);
  assert.ok(ages[1] >= 20_000_000n, String(ages[1]));
});

test('p09 so does that of a batch that begins in the middle of a turn, where the one before is full', async () => {
  const ages = [];
  const batcher = new Batcher((values, batch) => (ages.push([values.length, batch.age]), values), { maxDelay: 1, maxBatchSize: 4 });
  await batcher.submit(0);
  const answers = batcher.submitMany([1, 2, 3, 4, 5]);
  const begun = performance.now();
  while (performance.now() - begun < 20);
  await Promise.all(answers);
  assert.deepEqual(ages.slice(1).map(([size]) => size), [4, 1]);
  assert.ok(ages[2][1] >= 20_000_000n, String(ages[2][1]));
});

test('p22 what is submitted beyond the room is refused, each by itself, and the rest is answered', async () => {
  const batcher = new Batcher((values) => values, { maxBatchSize: 10, queueCapacity: 20 });
  await batcher.submit(0);
  const settled = await Promise.allSettled(batcher.submitMany([...Array(15).keys(), 'x', {}, 1n, null, true, ...Array(10).keys()]));
  assert.equal(settled.filter(({ status: how }) => how === 'fulfilled').length, 20);
  settled.slice(20).forEach(({ reason }) => assert.ok(refusedAs('QUEUE_FULL')(reason) && reason.handled === 'no'));
  const stats = batcher.stats();
  assert.deepEqual([stats.accepted, stats.refusals.QUEUE_FULL], [21, 10]);
  await batcher.close();
  assert.equal(batcher.heldObjects, 0);
});

test('handlers per kind', async () => {
  const batcher = new Batcher({
    int64: (values) => values.map((value) => value * 2n),
    string: (values) => values.map((value) => value.toUpperCase()),
    default: (values) => values.map(() => 'other'),
  });
  assert.deepEqual(await Promise.all([1n, 'a', 2n, 1.5, null].map((v) => batcher.submit(v))), [2n, 'A', 4n, 'other', 'other']);
});

test('p17 an Error in the array fails its value, a throw or a rejection the part; the very objects come back', async () => {
  const one = new RangeError('one');
  const all = new TypeError('all');
  let how = 'array';
  const batcher = new Batcher((values) => {
    if (how === 'throw') throw all;
    if (how === 'reject') return Promise.reject(all);
    return values.map((value) => (value === 2 ? one : value));
  });
  const settled = await Promise.allSettled([batcher.submit(1), batcher.submit(2), batcher.submit(3)]);
  assert.deepEqual(settled.map((s) => s.value ?? s.reason), [1, one, 3]);
  for (how of ['throw', 'reject']) {
    const failed = await Promise.allSettled([batcher.submit(1), batcher.submit('x')]);
    failed.forEach((s) => assert.equal(s.reason, all));
  }
  how = 'array';
  assert.equal(await batcher.submit(9), 9);
});

test('p17 results of a wrong number fail the part with both lengths; undefined is no result', async () => {
  const batcher = new Batcher((values) => (values[0] === 'few' ? [1] : values[0] === 'none' ? undefined : values[0] === 'odd' ? 7 : [undefined, 2]));
  for (const [word, name] of [['few', 'RESULT_COUNT'], ['none', 'NO_RESULT']]) {
    const settled = await Promise.allSettled([batcher.submit(word), batcher.submit('b')]);
    settled.forEach((s) => assert.ok(refusedAs(name)(s.reason), String(s.reason)));
    if (word === 'few') assert.match(settled[0].reason.message, /1.*2|2.*1/);
  }
  await assert.rejects(batcher.submit('odd'), /what the handler returned is 7: an array of results/);
  const [a, b] = await Promise.allSettled([batcher.submit('half'), batcher.submit('b')]);
  assert.ok(refusedAs('NO_RESULT')(a.reason));
  assert.equal(b.value, 2);
});

test('failures carry code, type name, message, handled and retriable to onResult', async () => {
  const seen = [];
  const batcher = new Batcher((_, batch) => batch.fail(0, 275, 'CHECK', 'sqlite'), { onResult: (r) => seen.push(r.failure(0)) });
  batcher.push(1n, 5);
  await batcher.flush();
  const [{ code, typeName, message, handled, retriable, outcome }] = seen;
  assert.deepEqual({ code, typeName, message, handled, retriable, outcome }, {
    code: 275, typeName: 'sqlite', message: 'CHECK', handled: 'yes', retriable: false, outcome: 'failed',
  });
});

test('async handlers: several batches in flight, and never more', async () => {
  let flying = 0;
  let most = 0;
  const batcher = new Batcher(async (values) => {
    most = Math.max(most, ++flying);
    await new Promise(setImmediate);
    flying--;
    return values;
  }, { maxBatchSize: 2, maxInFlight: 3 });
  const all = Array.from({ length: 40 }, (_, at) => at);
  assert.deepEqual(await Promise.all(all.map((v) => batcher.submit(v))), all);
  assert.equal(most, 3);
  assert.equal(await batcher.close(), 0);
});

test('p22 full: QUEUE_FULL, and room tells when to go on; nothing is lost', async () => {
  const back = [];
  const batcher = new Batcher(async (values) => (await null, values), {
    maxBatchSize: 4, queueCapacity: 4, onFull: 'reject', onResult: (r) => back.push(...r.values),
  });
  let refusals = 0;
  for (let value = 0; value < 100; value++) {
    for (;;) {
      try {
        batcher.push(value, value);
        break;
      } catch (full) {
        assert.ok(refusedAs('QUEUE_FULL')(full) && full.retriable && full.handled === 'no');
        refusals++;
        await batcher.room();
      }
    }
  }
  await batcher.flush();
  assert.deepEqual(back, Array.from({ length: 100 }, (_, at) => at));
  assert.ok(refusals > 0);
});

test('p20 a signal cancels a waiting value; deadlines expire; cancel by tag', async () => {
  const tags = [];
  const batcher = new Batcher(echo, { maxDelay: Infinity, onResult: (r) => tags.push([...r].map((one) => one.outcome)) });
  const controller = new AbortController();
  const cancelled = batcher.submit(1, { signal: controller.signal });
  const expired = batcher.submit(2, { deadline: '1ms' });
  const kept = batcher.submit(3, { signal: new AbortController().signal });
  batcher.push(4, 44);
  batcher.push(5, 44);
  controller.abort(new Error('enough'));
  await assert.rejects(cancelled, /enough/);
  await assert.rejects(expired, refusedAs('DEADLINE'));
  assert.equal(batcher.cancel(44), 2);
  assert.throws(() => batcher.cancel(45), refusedAs('NOT_FOUND'));
  await assert.rejects(batcher.submit(6, { signal: AbortSignal.abort(new Error('before')) }), /before/);
  await batcher.flush();
  assert.equal(await kept, 3);
  const { accepted, ok, cancelled: gone, expired: late, outstanding } = batcher.stats();
  assert.deepEqual({ accepted, ok, gone, late, outstanding }, { accepted: 5, ok: 1, gone: 3, late: 1, outstanding: 0 });
  assert.deepEqual(tags.flat(), ['cancelled', 'cancelled']);
});

test('p20 a signal that is aborted after its result cancels nobody else, and is let go', async () => {
  const batcher = new Batcher(echo, { maxDelay: Infinity });
  const controller = new AbortController();
  const { signal } = controller;
  const counts = { addEventListener: 0, removeEventListener: 0 };
  for (const name of Object.keys(counts)) {
    const call = signal[name].bind(signal);
    signal[name] = (...how) => (counts[name]++, call(...how));
  }
  const PLACES = 512;
  const first = Array.from({ length: PLACES }, (_, at) => batcher.submit(at, at === 7 ? { signal } : undefined));
  await batcher.flush({ signal });
  await Promise.all(first);
  assert.deepEqual(counts.removeEventListener, counts.addEventListener);
  // promises of these have the places of those
  const second = batcher.submitMany([...Array(2 * PLACES).keys()]);
  controller.abort();
  await batcher.flush();
  assert.equal((await Promise.all(second)).length, 2 * PLACES);
  assert.equal(batcher.stats().cancelled, 0);
  await batcher.close();
});

test('p23 flush waits for what was accepted before it, and can be given up by a signal', async () => {
  let go;
  const batcher = new Batcher((values) => new Promise((resolve) => (go = () => resolve(values))), { maxDelay: Infinity });
  const first = batcher.submit(1);
  await assert.rejects(batcher.flush({ signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
  const flushed = batcher.flush();
  go();
  await flushed;
  assert.equal(await first, 1);
  await batcher.close();
  await assert.rejects(batcher.submit(2), refusedAs('CLOSED'));
  await assert.rejects(batcher.submit(2n), refusedAs('CLOSED'));
  assert.throws(() => batcher.push(2), refusedAs('CLOSED'));
});

test('p24 close drains; at its time-out it discards and says how many; closing again answers the same', async () => {
  const stuck = new Batcher(() => new Promise(() => {}), { maxBatchSize: 1 });
  const values = [stuck.submit(1), stuck.submit(2), stuck.submit(3)].map((p) => p.catch((e) => e));
  const closing = stuck.close(5);
  assert.equal(await closing, 3);
  for (const error of await Promise.all(values)) assert.ok(refusedAs('DISCARDED')(error));
  assert.equal(await stuck.close(), 3);
  assert.equal(stuck.stats().discarded, 3);
  assert.match(stuck.statsText(), /discarded.* 3/);
});

test('p24 the end of its scope closes a batcher: what was taken is answered', async () => {
  const batcher = new Batcher(async (values) => (await new Promise(setImmediate), values), { maxDelay: Infinity });
  const answer = batcher.submit(1);
  assert.equal(await batcher[Symbol.asyncDispose](), undefined);
  assert.equal(await answer, 1);
  assert.throws(() => batcher.push(2), refusedAs('CLOSED'));
});

test('flush, close and submit inside a handler', async () => {
  const batcher = new Batcher((values) => {
    if (values[0] === 1) inner.push(batcher.flush(), batcher.submit(2), batcher.close());
    return values;
  });
  const inner = [];
  assert.equal(await batcher.submit(1), 1);
  assert.deepEqual((await Promise.all(inner)).slice(1), [2, 0]);
});

test('batches by async iteration, until closed', async () => {
  const batcher = new Batcher(undefined, { maxBatchSize: 3 });
  const answers = Promise.all([1, 2, 3, 4, 5].map((v) => batcher.submit(v)));
  answers.then(() => batcher.close());
  const sizes = [];
  for await (const batch of batcher.batches()) {
    sizes.push(batch.count);
    batch.setAll(batch.columns.map((value) => value * 10));
  }
  assert.deepEqual(await answers, [10, 20, 30, 40, 50]);
  assert.deepEqual(sizes, [3, 2]);
});

test('results by async iteration', async () => {
  const batcher = new Batcher(echo, { results: 'pull', maxBatchSize: 2 });
  batcher.pushMany(Float64Array.of(1, 2, 3, 4), 100);
  const back = [];
  for await (const results of batcher.results()) {
    back.push(...results.tags);
    if (back.length === 4) await batcher.close();
  }
  assert.deepEqual(back, [100n, 101n, 102n, 103n]);
  batcher.free();
});

test('manual mode: nothing happens between calls, and time is moved by the test', async () => {
  const got = [];
  const batcher = new Batcher((values) => (got.push(values), values), { mode: 'manual', clock: 'given', maxDelay: '5ms' });
  const answer = batcher.submit(1);
  assert.equal(batcher.nextDue(), 5_000_000n);
  batcher.advance(4_999_999n);
  batcher.run();
  assert.deepEqual(got, []);
  batcher.advance(5_000_000n);
  batcher.run();
  assert.equal(await answer, 1);
  assert.equal(batcher.nextDue(), undefined);
  batcher.free();
});

test('manual mode: whoever waits for room, a flush or results is told by run', async () => {
  const answers = [];
  const batcher = new Batcher(() => new Promise((resolve) => answers.push(() => resolve([7]))), { mode: 'manual', maxBatchSize: 1, queueCapacity: 1 });
  batcher.push(1);
  batcher.run();
  batcher.push(2);
  assert.equal(batcher.lackOfRoom(), 'QUEUE_FULL');
  const waits = [batcher.room(), batcher.flush()];
  for (const answer of [0, 1]) {
    answers[answer]();
    await new Promise(setImmediate);
    batcher.run();
  }
  await Promise.all(waits);
  batcher.free();
  const pulled = new Batcher(null, { mode: 'manual', results: 'pull' });
  const next = pulled.results().next();
  pulled.push(3, 30);
  const batch = pulled.nextBatch();
  batch.setAll([4]);
  batch.complete();
  pulled.run();
  assert.deepEqual([...(await next).value.values], [4]);
  pulled.free();
});

test('p16 a stress with accounting: every value has one outcome', async () => {
  let seed = 7;
  const chance = (below) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  const batcher = new Batcher(async (values) => {
    if (chance(3) === 0) await new Promise(setImmediate);
    if (chance(10) === 0) throw new Error('part');
    return values.map((v) => (chance(20) === 0 ? new Error('row') : v));
  }, { maxBatchSize: 32, maxInFlight: 4, queueCapacity: 256 });
  let ok = 0;
  let failed = 0;
  let refused = 0;
  let wrong = 0;
  const all = [];
  for (let at = 0; at < 20_000; at++) {
    const value = [at, BigInt(at), `v${at}`, { at }][chance(4)];
    all.push(batcher.submit(value).then(
      (got) => (got === value ? ok++ : wrong++),
      (error) => (error.name === 'QUEUE_FULL' ? refused++ : failed++),
    ));
    if (chance(50) === 0) await batcher.room();
  }
  await Promise.all(all);
  assert.equal(await batcher.close(), 0);
  const stats = batcher.stats();
  assert.equal(wrong, 0);
  assert.deepEqual([stats.accepted, stats.ok, stats.failed, stats.outstanding], [ok + failed, ok, failed, 0]);
  assert.equal(ok + failed + refused, 20_000);
  assert.equal(batcher.heldObjects, 0);
});
