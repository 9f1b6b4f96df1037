// Values pushed from Node are handled by C in a library of its own that links to nothing, and batchers are shared.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { Batcher, ForeignObject, SharedBatcher, nativeSymbol, status } from 'microbatch';
import { library, scratch } from './build_handlers.mjs';

const AWKWARD = [
  0, -0, NaN, Infinity, 5e-324, 1.7976931348623157e308, 0n, 2n ** 63n - 1n, -(2n ** 63n), '', '\0', 'a\0b', '\u{1f600}',
  'x'.repeat(70_000), true, false, null, new Uint8Array(0), Uint8Array.of(0, 255),
];
const same = (got, wanted) =>
  wanted instanceof Uint8Array ? assert.deepEqual(got, wanted) : assert.ok(Object.is(got, wanted), `${String(got)} for ${String(wanted)}`);

test('a C handler by address: every awkward value both ways, and objects by reference', async () => {
  const thing = { a: 1 };
  const released = [];
  const batcher = new Batcher({ address: nativeSymbol(library, 'echo') }, { onRelease: (object) => released.push(object) });
  const back = await Promise.all(AWKWARD.map((value) => batcher.submit(value)));
  AWKWARD.forEach((value, at) => same(back[at], value));
  await assert.rejects(batcher.submit('\ud800'), { name: 'INVALID_UTF8' });
  await assert.rejects(batcher.submit(2n ** 64n), { name: 'OUT_OF_RANGE' });
  assert.equal(await batcher.submit(thing), thing);
  assert.equal(await batcher.close(), 0);
  // the handler answered with the object it borrowed, whose reference is one
  assert.deepEqual(released, [thing]);
  assert.equal(batcher.heldObjects, 0);
});

test('C pushes every awkward value into a batcher with a handler in JavaScript; an object is its own batcher\'s alone', async () => {
  const got = [];
  const to = new Batcher((values) => (got.push(...values), values));
  to.submit({ of: 'the other' });
  const from = new Batcher({ address: nativeSymbol(library, 'forward'), data: to.share() });
  assert.deepEqual(await Promise.all(AWKWARD.map((value) => from.submit(value))), AWKWARD.map(() => 0n));
  assert.equal(await from.submit({ of: 'this one' }), BigInt(status.WRONG_OWNER));
  await to.flush();
  assert.equal(got.length, 1 + AWKWARD.length);
  assert.deepEqual(got[0], { of: 'the other' });
  AWKWARD.forEach((value, at) => same(got[1 + at], value));
  await from.close();
  assert.equal(await to.close(), 0);
  assert.deepEqual([from.heldObjects, to.heldObjects], [0, 0]);
});

test('what is no value is refused from C as well, as a value and as a result', async () => {
  const to = new Batcher((values) => values);
  const from = new Batcher({ address: nativeSymbol(library, 'no_values'), data: to.share() }, { maxBatchSize: 9, maxDelay: Infinity });
  const [first, ...statuses] = await Promise.all(from.submitMany(Array(9).fill(0)));
  assert.equal(first, null);
  const { INVALID_UTF8, INVALID_ARGUMENT, WRONG_OWNER } = status;
  assert.deepEqual(statuses, [INVALID_UTF8, INVALID_UTF8, INVALID_ARGUMENT, WRONG_OWNER].flatMap((code) => [BigInt(code), BigInt(code)]));
  assert.equal(to.stats().accepted, 0);
  await from.close();
  await to.close();
});

test('a C handler beside one in JavaScript, with data of its own; its failure has code, type and message', async () => {
  const batcher = new Batcher({
    string: { address: nativeSymbol(library, 'echo'), data: 1n },
    default: (values) => values.map(() => 'script'),
  });
  await assert.rejects(batcher.submit('a'), { code: 41, typeName: 'native', message: 'no strings' });
  assert.equal(await batcher.submit(1), 'script');
});

test('an address that is no function, and a symbol that is not there, are refused', () => {
  assert.throws(() => new Batcher({ address: 0n }), { name: 'INVALID_OPTION' });
  assert.throws(() => new Batcher({ address: 4096 }), { name: 'INVALID_OPTION' });
  assert.throws(() => nativeSymbol(library, 'nothing'), { name: 'NOT_FOUND', message: /nothing/ });
});

test('two copies of the addon: each on its own, and a batcher shared between them', async () => {
  const copy = path.join(scratch, 'copy');
  cpSync(path.resolve(import.meta.dirname, '..'), copy, { recursive: true, filter: (from) => !/node_modules|tests/.test(from) });
  const other = createRequire(import.meta.url)(path.join(copy, 'lib/index.cjs'));
  assert.notEqual(other.Batcher, Batcher);
  const seen = [];
  const batcher = new Batcher((values) => values, { onResult: (results) => seen.push(...results.values) });
  const shared = new other.SharedBatcher(batcher.share());
  shared.push(1n, 1);
  shared.push('two', 2);
  assert.throws(() => shared.push({}, 3), { name: 'WRONG_OWNER' });
  assert.throws(() => shared.push(new ForeignObject(9, 1), 3), { code: batcher.constructor === Batcher ? -6 : 0 });
  await batcher.flush();
  assert.deepEqual(seen, [1n, 'two']);
  const second = new other.Batcher((values) => values);
  assert.equal(await second.submit(7), 7);
  await second.close();
  assert.equal(shared.stats().accepted, 2);
  await batcher.close();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.throws(() => shared.push(1, 1), { name: 'INVALID_HANDLE' });
  assert.throws(() => new SharedBatcher(0n), { name: 'INVALID_ARGUMENT' });
});
