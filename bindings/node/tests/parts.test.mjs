// Parts of batches of several kinds: handlers one after another, and parts that a host pulls for handlers of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher, MicrobatchError, nativeSymbol, status } from 'microbatch';
import { library } from './build_handlers.mjs';
import { WATCHDOG } from './program.mjs';

const turn = () => new Promise(setImmediate);
const refusedAs = (name) => (error) => error instanceof MicrobatchError && error.name === name && error.code === status[name];

/** An async handler whose calls the test ends. */
function opened(log, name) {
  const calls = [];
  const handler = (values, batch) => {
    log.push(`${name} ${values.join()}`);
    return new Promise((resolve, reject) => calls.push({ batch, answer: () => resolve(values), fail: reject }));
  };
  return { handler, calls };
}

test('p13 async handlers of one batch run one after another, in order of kind, a batch a slot', { timeout: WATCHDOG }, async () => {
  const log = [];
  const numbers = opened(log, 'float64');
  const texts = opened(log, 'string');
  const others = (values) => (log.push(`default ${values.join()}`), values);
  const batcher = new Batcher({ float64: numbers.handler, string: texts.handler, default: others }, { maxInFlight: 2 });
  const all = Promise.all(batcher.submitMany([true, 'a', 1, 2]));
  while (numbers.calls.length === 0) await turn();
  const second = Promise.all(batcher.submitMany(['b', 3]));
  while (numbers.calls.length < 2) await turn();
  assert.deepEqual(log, ['float64 1,2', 'float64 3']);
  numbers.calls[1].answer();
  while (texts.calls.length === 0) await turn();
  numbers.calls[0].answer();
  while (texts.calls.length < 2) await turn();
  assert.deepEqual(log, ['float64 1,2', 'float64 3', 'string b', 'string a']);
  texts.calls[1].answer();
  texts.calls[0].answer();
  assert.deepEqual(await all, [true, 'a', 1, 2]);
  assert.deepEqual(await second, ['b', 3]);
  assert.equal(log.at(-1), 'default true');
  assert.equal(batcher.stats().batches, 2);
  await batcher.close();
});

test('a batch that is completed early has its outcomes, and the next one waits for the handler', { timeout: WATCHDOG }, async () => {
  let inside = 0;
  let most = 0;
  const early = [];
  const batcher = new Batcher(async (values, batch) => {
    most = Math.max(most, ++inside);
    batch.setAll(values.map((value) => value * 2));
    batch.complete();
    assert.throws(() => batch.complete(), refusedAs('TOO_LATE'));
    // its own values are settled, while the next must not begin
    early.push(...(await Promise.all(promises.splice(0, 2))));
    for (let turns = 0; turns < 5; turns++) await turn();
    inside--;
  }, { maxBatchSize: 2 });
  const promises = batcher.submitMany([1, 2, 3, 4, 5, 6]);
  assert.equal(await batcher.close(), 0);
  while (early.length < 6) await turn();
  assert.deepEqual([early, most], [[2, 4, 6, 8, 10, 12], 1]);
  const { batches, late } = batcher.stats();
  // each handler completed twice
  assert.deepEqual([batches, late], [3, 3]);
});

test('keep inside an async handler, before and after it waited: whoever has the batch completes it', { timeout: WATCHDOG }, async () => {
  const kept = [];
  const batcher = new Batcher(async (values, batch) => {
    if (values[0] > 1) await turn();
    kept.push(batch.keep());
    await turn();
    return ['ignored'];
  }, { maxBatchSize: 1, maxInFlight: 2 });
  const both = Promise.all(batcher.submitMany([1, 2]));
  while (kept.length < 2) await turn();
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.deepEqual([batcher.stats().outstanding, kept.map((batch) => batch.held)], [2, [true, true]]);
  for (const batch of kept) {
    batch.setAll(batch.values.map((value) => value + 10));
    batch.complete();
  }
  assert.deepEqual(await both, [11, 12]);
  await batcher.close();
});

test('p21 finished parts keep their results; a time-out ends the others, and lets the next batch in', { timeout: WATCHDOG }, async () => {
  const log = [];
  const never = (values) => (log.push(`string ${values}`), values[0] === 'stuck' ? new Promise(() => {}) : values);
  const batcher = new Batcher({ int64: (values) => values, string: never, default: (values) => (log.push('default'), values) }, { handlerTimeout: 20 });
  const [number, text, other] = await Promise.allSettled(batcher.submitMany([7n, 'stuck', true]));
  assert.equal(number.value, 7n);
  assert.ok(refusedAs('HANDLER_TIMEOUT')(text.reason));
  assert.ok(refusedAs('HANDLER_TIMEOUT')(other.reason));
  assert.deepEqual(await Promise.all(batcher.submitMany([8n, 'next', false])), [8n, 'next', false]);
  assert.deepEqual(log, ['string stuck', 'string next', 'default']);
  await batcher.close();
});

test('p21 what waits for its turn when the time-out strikes, or the end, was not handled; what began may have been', { timeout: WATCHDOG }, async () => {
  const strike = { timeout: [{ handlerTimeout: 20 }, () => {}, 'HANDLER_TIMEOUT'], close: [{}, (b) => b.close(0), 'DISCARDED'], free: [{}, (b) => b.free(), 'DISCARDED'] };
  for (const [name, [options, end, error]] of Object.entries(strike)) {
    const log = [];
    const released = [];
    const sets = [];
    const numbers = opened(log, 'float64');
    const others = (values) => (log.push('other'), values);
    const batcher = new Batcher({ float64: numbers.handler, string: others, default: others }, {
      ...options, onResult: (results) => sets.push(...results), onRelease: (object) => released.push(object),
    });
    const thing = {};
    const all = batcher.submitMany([true, 'a', 1, thing, 'b']);
    [2, 'c', thing].forEach((value, at) => batcher.push(value, at));
    const settled = Promise.allSettled(all);
    while (numbers.calls.length === 0) await turn();
    end(batcher);
    assert.deepEqual((await settled).map(({ reason }) => [reason.name, reason.handled]), ['no', 'no', 'maybe', 'no', 'no'].map((handled) => [error, handled]), name);
    assert.deepEqual(sets.filter(({ tag }) => tag < 3n).map(({ handled }) => handled), ['maybe', 'no', 'no'], name);
    // what comes too late begins nothing
    numbers.calls[0].answer();
    for (let turns = 0; turns < 5; turns++) await turn();
    await batcher.close();
    assert.deepEqual([log, batcher.heldObjects, released.length], [['float64 1,2'], 0, 2], name);
    const { accepted, expired, discarded } = batcher.stats();
    assert.deepEqual([accepted, expired + discarded], [8, 8], name);
  }
});

test('p21 a batch that waits behind an async handler, and expires there, was not handled; pulled results say so too', { timeout: WATCHDOG }, async () => {
  for (const results of ['auto', 'pull']) {
    const begun = [];
    const sets = [];
    const batcher = new Batcher((values, batch) => {
      begun.push(...values);
      batch.completeOk();
      return new Promise(() => {});
    }, { maxBatchSize: 1, handlerTimeout: 20, results, onResult: results === 'pull' ? undefined : (one) => sets.push(one) });
    batcher.push('first', 1);
    batcher.push('second', 2);
    while (sets.length < 2) {
      const one = results === 'pull' ? batcher.nextResults() : undefined;
      if (one) sets.push(one);
      await turn();
    }
    assert.deepEqual(sets.map((one) => [one.tags[0], one.outcome(0), one.handled(0)]), [[1n, 'ok', 'yes'], [2n, 'expired', 'no']]);
    assert.deepEqual(begun, ['first']);
    await batcher.close(0);
    if (results === 'pull') batcher.free();
  }
});

test('a batch that is freed while its parts wait for their turn: no more handlers, and objects are released once', { timeout: WATCHDOG }, async () => {
  for (const end of [(b) => b.close(0), (b) => b.free(), (b) => b.abandon()]) {
    const log = [];
    const released = [];
    const thing = {};
    const numbers = opened(log, 'float64');
    const batcher = new Batcher({ float64: numbers.handler, object: () => log.push('object') }, { onRelease: (object) => released.push(object) });
    const all = Promise.allSettled(batcher.submitMany([1, thing]));
    while (numbers.calls.length === 0) await turn();
    await end(batcher);
    numbers.calls[0].answer();
    assert.deepEqual((await all).map(({ reason }) => reason?.name), ['DISCARDED', 'DISCARDED']);
    while (batcher.heldObjects > 0) await turn();
    assert.deepEqual([log, released], [['float64 1'], [thing]]);
  }
});

test('p13 a host that pulls takes parts by async iteration, and what it has no handler for is refused', { timeout: WATCHDOG }, async () => {
  const batcher = new Batcher(null, { pullHandlers: ['float64', 'string'], maxInFlight: 1 });
  assert.throws(() => batcher.push(true), refusedAs('NO_HANDLER'));
  const all = Promise.all(batcher.submitMany(['a', 1, 'b', 2]));
  const parts = [];
  for await (const part of batcher.batches()) {
    parts.push([part.kind, part.values, [...part.positions]]);
    part.setAll(part.values.map((value) => value + value));
    if (parts.length === 2) break;
  }
  assert.deepEqual(parts, [['float64', [1, 2], [1, 3]], ['string', ['a', 'b'], [0, 2]]]);
  assert.deepEqual(await all, ['aa', 2, 'bb', 4]);
  await batcher.close();
  batcher.free();
});

test('keep of a pulled part lets a loop that waits have the next one', { timeout: WATCHDOG }, async () => {
  const batcher = new Batcher(null, { pullHandlers: ['float64', 'default'] });
  const all = Promise.all(batcher.submitMany([true, 1]));
  const parts = batcher.batches();
  const { value: first } = await parts.next();
  const kept = first.keep();
  const { value: second } = await parts.next();
  assert.deepEqual([kept.kind, second.kind], ['float64', 'bool']);
  // the loop completes what it is done with, but what was kept is its holder's
  second.setAll(['second']);
  await parts.return();
  kept.setAll(['kept']);
  kept.complete();
  assert.deepEqual(await all, ['second', 'kept']);
  await batcher.close();
  batcher.free();
});

test('completeNext answers the next set of results', { timeout: WATCHDOG }, () => {
  const batcher = new Batcher(null, { mode: 'manual', results: 'pull', maxInFlight: 2 });
  batcher.push(1, 5);
  batcher.seal();
  batcher.push(2, 6);
  batcher.seal();
  const [first, second] = [batcher.nextBatch(), batcher.nextBatch()];
  first.setAll([10]);
  assert.deepEqual(first.completeNext((results) => [...results.tags, ...results.values]), [5n, 10]);
  assert.throws(() => first.completeNext(), refusedAs('TOO_LATE'));
  assert.deepEqual(second.completeNext().failure(0).name, 'NO_RESULT');
  assert.equal(batcher.nextResults(), undefined);
  batcher.free();
});

test('wrong pullHandlers are named', () => {
  assert.throws(() => new Batcher(null, { pullHandlers: ['text'] }), (e) => refusedAs('INVALID_OPTION')(e) && /kind to handle is 'text': .*string.*default/.test(e.message));
  assert.throws(() => new Batcher((v) => v, { pullHandlers: ['string'] }), refusedAs('INVALID_OPTION'));
  assert.throws(() => new Batcher(null, { pullHandlers: 'string' }), (e) => refusedAs('INVALID_OPTION')(e) && /pullHandlers is 'string': an array/.test(e.message));
});

test('p26 the data of a native handler is given back once, when nobody can use it any more', { timeout: WATCHDOG }, async () => {
  const [count, releases, release] = ['count', 'releases', 'count_release'].map((name) => nativeSymbol(library, name));
  const told = new Batcher({ address: count, data: releases });
  const handler = { address: nativeSymbol(library, 'echo'), data: releases, release };
  const other = new Batcher({ float64: handler, default: handler });
  assert.equal(await other.submit(1), 1);
  assert.equal(await told.submit(0), 0n);
  await other.close();
  while ((await told.submit(0)) < 2n) await turn();
  await turn();
  assert.equal(await told.submit(0), 2n);
  await told.close();
});
