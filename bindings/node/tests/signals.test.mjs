// Signals of pushes: an abort before it refuses the push, one before its result cancels by its tag, and one after that does nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher, ForeignObject, MicrobatchError, SharedBatcher, nativeSymbol, status } from 'microbatch';
import { library } from './build_handlers.mjs';

const echo = (values) => values;
const refusedAs = (name) => (error) => error instanceof MicrobatchError && error.name === name && error.code === status[name];

/** A batcher that waits, and the outcomes by tag as they come. */
function waiting(options) {
  const outcomes = [];
  const onResult = (results) => outcomes.push(...Array.from(results, ({ tag, outcome }) => `${tag} ${outcome}`));
  return { batcher: new Batcher(echo, { maxDelay: Infinity, onResult, ...options }), outcomes };
}

/** A signal that counts its listeners. */
function counted() {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = { now: 0 };
  for (const [name, step] of [['addEventListener', 1], ['removeEventListener', -1]]) {
    const call = signal[name].bind(signal);
    signal[name] = (...how) => ((listeners.now += step), call(...how));
  }
  return { controller, signal, listeners };
}

test('p20 aborted before: refused with the reason, whatever it is, and nothing is pushed', async () => {
  const { batcher, outcomes } = waiting();
  const way = batcher.producer();
  for (const reason of [new Error('before'), 'a word', 0]) {
    const signal = AbortSignal.abort(reason);
    for (const push of [() => batcher.push({}, 1, { signal }), () => batcher.pushMany([{}, 1], 1, { signal }), () => way.push({}, 1, { signal }), () => way.pushMany([{}, 1], [1, 2], { signal })]) {
      assert.throws(push, (thrown) => thrown === reason);
    }
  }
  const controller = new AbortController();
  function* aborts() {
    yield {};
    controller.abort('while it was read');
  }
  assert.throws(() => batcher.pushMany(aborts(), 1, { signal: controller.signal }), (thrown) => thrown === 'while it was read');
  assert.equal(batcher.heldObjects, 0);
  const { accepted, refusals } = batcher.stats();
  assert.equal(accepted, 0);
  assert.ok(Object.values(refusals).every((count) => count === 0));
  batcher.push(1, 1);
  await batcher.close();
  assert.deepEqual(outcomes, ['1 ok']);
});

for (const [name, options, wait] of [
  ['loop', {}, (b) => b.flush()],
  ['manual', { mode: 'manual' }, (b) => assert.ok(b.tryFlush())],
]) {
  test(`p20 ${name}: aborted while they wait, values of one signal are cancelled, by every way in, and no others`, async () => {
    const { batcher, outcomes } = waiting(options);
    const way = batcher.producer();
    const { controller, signal, listeners } = counted();
    batcher.push(1, 1);
    batcher.push(2, 2, { signal });
    batcher.push({}, 2n ** 63n, { signal, deadline: Infinity, size: 8 });
    assert.equal(batcher.pushMany([1, 'two', {}], 10, { signal }), 3);
    assert.equal(batcher.pushMany(Float64Array.of(1, 2), [20n, 30], { signal }), 2);
    way.push(3n, 40, { signal });
    way.pushMany([1, 2], 50, { signal });
    batcher.push('not', 60, { signal: new AbortController().signal });
    assert.equal(listeners.now, 1);
    controller.abort();
    await wait(batcher);
    const cancelled = [2n, 2n ** 63n, 10n, 11n, 12n, 20n, 30n, 40n, 50n, 51n];
    assert.deepEqual(outcomes.sort(), ['1 ok', '60 ok', ...cancelled.map((tag) => `${tag} cancelled`)].sort());
    assert.equal(batcher.heldObjects, 0);
    batcher.free();
  });
}

test('p20 of what is refused in the middle of many only those that were taken are cancelled', async () => {
  const { batcher, outcomes } = waiting({ maxBatchSize: 4, queueCapacity: 5, mode: 'manual', clock: 'given' });
  const { controller, signal, listeners } = counted();
  assert.throws(() => batcher.pushMany([1, 2, 3, undefined, 5], 2n ** 64n - 2n, { signal }), { name: 'INVALID_ARGUMENT', accepted: 3 });
  assert.throws(() => batcher.pushMany([1, new ForeignObject(99, 1)], 7, { signal }), { name: 'WRONG_OWNER', accepted: 1 });
  assert.throws(() => batcher.pushMany([1, 2], 8, { signal }), { name: 'QUEUE_FULL', accepted: 1 });
  controller.abort();
  batcher.push(1, 9);
  assert.ok(batcher.tryFlush());
  assert.deepEqual(outcomes.sort(), ['0 cancelled', `${2n ** 64n - 1n} cancelled`, `${2n ** 64n - 2n} cancelled`, '7 cancelled', '8 cancelled', '9 ok'].sort());
  assert.equal(listeners.now, 0);
  batcher.free();
});

test('p20 a foreign object among many is taken with its tag, and cancelled by the signal', () => {
  const { batcher, outcomes } = waiting({ mode: 'manual', owner: 5 });
  const controller = new AbortController();
  assert.equal(batcher.pushMany([1, new ForeignObject(5, 1), 2], [1, 2, 3], { signal: controller.signal }), 3);
  controller.abort();
  assert.ok(batcher.tryFlush());
  assert.deepEqual(outcomes.sort(), ['1 cancelled', '2 cancelled', '3 cancelled']);
  batcher.free();
});

test('p20 aborted after their results: signals are let go, and values that have the tag by then are answered', async () => {
  const { batcher, outcomes } = waiting({ maxDelay: 0 });
  const { controller, signal, listeners } = counted();
  batcher.push(1, 1, { signal });
  batcher.push('two', 1, { signal });
  batcher.push(3, 2, { signal });
  await batcher.flush();
  assert.equal(listeners.now, 0);
  batcher.push(4, 1);
  controller.abort();
  await batcher.flush();
  assert.deepEqual(outcomes, ['1 ok', '1 ok', '2 ok', '1 ok']);
  assert.equal(batcher.stats().cancelled, 0);
  await batcher.close();
});

test('p20 one signal of many promises has one listener, and each of them gets its reason; a refused one has none', async () => {
  const { batcher } = waiting({ queueCapacity: 256 });
  const { controller, signal, listeners } = counted();
  const answered = batcher.submitMany([1, 'two', {}], { signal });
  assert.equal(listeners.now, 1);
  await batcher.flush();
  assert.equal(listeners.now, 0);
  assert.deepEqual((await Promise.all(answered)).slice(0, 2), [1, 'two']);
  for (const values of [Array(256).fill(1), Array(256).fill('x')]) {
    const one = counted();
    const promises = batcher.submitMany(values, { signal: one.signal });
    await assert.rejects(batcher.submit(1, { signal }), refusedAs('QUEUE_FULL'));
    assert.deepEqual([one.listeners.now, listeners.now], [1, 0]);
    one.controller.abort('enough');
    const settled = await Promise.allSettled(promises);
    assert.ok(settled.every(({ reason }) => reason === 'enough'));
    await batcher.flush();
    assert.equal(one.listeners.now, 0);
  }
  assert.equal(batcher.stats().cancelled, 512);
  controller.abort();
  await batcher.close();
});

test('p20 a signal that was let go is watched again', async () => {
  const { batcher, outcomes } = waiting();
  const { controller, signal, listeners } = counted();
  batcher.push(1, 1, { signal });
  await batcher.flush();
  batcher.push(2, 2, { signal });
  controller.abort();
  await batcher.flush();
  assert.deepEqual(outcomes, ['1 ok', '2 cancelled']);
  assert.equal(listeners.now, 0);
  await batcher.close();
});

test('p20 two values with one tag and signals of their own: the first result is the first one\'s', async () => {
  const { batcher, outcomes } = waiting({ maxBatchSize: 1, maxDelay: 0, mode: 'manual', results: 'pull' });
  const [one, two] = [counted(), counted()];
  batcher.push(1, 7, { signal: one.signal });
  batcher.push(2, 7, { signal: two.signal });
  batcher.run();
  batcher.nextResults();
  assert.deepEqual([one.listeners.now, two.listeners.now], [0, 1]);
  one.controller.abort();
  batcher.nextResults();
  assert.equal(two.listeners.now, 0);
  assert.deepEqual(outcomes, []);
  batcher.free();
});

test('p20 what is in flight is left to its handler', async () => {
  const controller = new AbortController();
  const outcomes = [];
  const batcher = new Batcher(async (values) => (controller.abort(), await null, values), {
    onResult: (results) => outcomes.push(results.outcome(0)),
  });
  batcher.push(1, 1, { signal: controller.signal });
  await batcher.flush();
  assert.deepEqual(outcomes, ['ok']);
});

test('p20 a batcher on the engine\'s threads: aborted behind a handler that is shut', async () => {
  const [gate, outcomes] = [nativeSymbol(library, 'gate_one'), []];
  const batcher = new Batcher({ address: nativeSymbol(library, 'wait_for'), data: gate }, {
    maxBatchSize: 1, onResult: (results) => outcomes.push(...Array.from(results, ({ tag, outcome }) => `${tag} ${outcome}`)),
  });
  const controller = new AbortController();
  batcher.push(1n, 1);
  batcher.push({}, 2, { signal: controller.signal });
  while (batcher.stats().inFlight === 0) await new Promise(setImmediate);
  controller.abort();
  await new Batcher({ address: nativeSymbol(library, 'open_gate'), data: gate }).submit(null);
  assert.equal(await batcher.close(), 0);
  assert.deepEqual(outcomes.sort(), ['1 ok', '2 cancelled']);
  assert.equal(batcher.heldObjects, 0);
});

test('p24 free lets signals go, and an abort after it does nothing', () => {
  for (const options of [{}, { mode: 'manual', results: 'pull' }]) {
    const { batcher } = waiting(options);
    const { controller, signal, listeners } = counted();
    batcher.push(1, 1, { signal });
    batcher.pushMany([1, 2], 2, { signal });
    batcher.free();
    assert.equal(listeners.now, 0);
    controller.abort();
  }
});

test('what a signal cannot be had for is refused', () => {
  const { signal } = new AbortController();
  const answersNobody = new Batcher(echo, { onResult: null });
  assert.throws(() => answersNobody.push(1, 1, { signal }), refusedAs('WRONG_MODE'));
  assert.throws(() => answersNobody.pushMany([1], 1, { signal }), (error) => refusedAs('WRONG_MODE')(error) && error.accepted === 0);
  answersNobody.free();
  const { batcher } = waiting();
  assert.throws(() => batcher.push(1, undefined, { signal }), { name: 'INVALID_ARGUMENT', message: /tag.*signal/ });
  assert.throws(() => batcher.pushMany([1], undefined, { signal }), { name: 'INVALID_ARGUMENT', message: /tag.*signal/ });
  const shared = new SharedBatcher(batcher.share());
  assert.throws(() => shared.push(1, 1, { signal }), refusedAs('WRONG_MODE'));
  assert.throws(() => shared.producer().push(1, 1, { signal }), refusedAs('WRONG_MODE'));
  assert.equal(batcher.stats().accepted, 0);
  batcher.free();
});

/** Whatever waits, and how: begun with a signal, each is given up by it with its reason, before and while it waits. */
const WAITS = {
  'flush': [(b, given) => b.flush(given), {}],
  'room': [(b, given) => b.room(given), {}],
  'batches': [(b, given) => b.batches(given).next(), { handler: null, pulled: true }],
  'results': [(b, given) => b.results(given).next(), { results: 'pull' }],
  'flush of a shared batcher': [(b, given) => new SharedBatcher(b.share()).flush(given), {}],
  'room of a shared batcher': [(b, given) => new SharedBatcher(b.share()).room(given), {}],
};
for (const [name, [wait, { handler = () => new Promise(() => {}), pulled, ...options }]] of Object.entries(WAITS)) {
  test(`${name} is given up by its signal`, async () => {
    const batcher = new Batcher(handler, { maxBatchSize: 1, queueCapacity: 1, ...options });
    if (!pulled) {
      // one is with the handler for ever, and one leaves no room
      batcher.push(1);
      while (batcher.stats().inFlight === 0) await new Promise(setImmediate);
      batcher.push(2);
    }
    await assert.rejects(wait(batcher, { signal: AbortSignal.abort('before') }), (reason) => reason === 'before');
    const controller = new AbortController();
    const given = wait(batcher, { signal: controller.signal });
    given.catch(() => {});
    await new Promise(setImmediate);
    controller.abort('meanwhile');
    await assert.rejects(given, (reason) => reason === 'meanwhile');
    batcher.free();
  });

  test(`${name} is refused by an aborted signal, also where there is nothing to wait for`, async () => {
    const batcher = new Batcher(pulled ? null : echo, options);
    if (pulled || options.results) batcher.push(1, 7);
    if (options.results) while (batcher.stats().ok === 0) await new Promise(setImmediate);
    await assert.rejects(wait(batcher, { signal: AbortSignal.abort('before') }), (reason) => reason === 'before');
    const { inFlight, triggers, undelivered } = batcher.stats();
    assert.deepEqual([inFlight, triggers.flush, undelivered], [0, 0, options.results ? 1 : 0], 'nothing was begun or taken');
    batcher.free();
  });
}
