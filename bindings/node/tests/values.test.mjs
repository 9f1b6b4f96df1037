// Values: round trips, what has no form, arrays, objects by reference, map.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher, Failure, MapError, MicrobatchError, map, status } from 'microbatch';

const echo = (values) => values;
const refusedAs = (name) => (error) => error instanceof MicrobatchError && error.name === name && error.code === status[name];

test('p03 every awkward value comes back as it was, alone and in bulk', async () => {
  const awkward = [
    0, -0, 0.1, NaN, Infinity, -Infinity, Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53 + 2,
    0n, -1n, 2n ** 63n - 1n, -(2n ** 63n),
    '', '\0', 'a\0b', 'é', '€', '😀', '\u{10ffff}', '\ufeffbom', 'x'.repeat(100_000), '€'.repeat(1000),
    true, false, null, new Uint8Array(0), Uint8Array.of(0, 255, 128), Buffer.from('bytes'),
  ];
  const batcher = new Batcher(echo);
  const back = await Promise.all(awkward.map((value) => batcher.submit(value)));
  const same = (got, wanted) =>
    wanted instanceof Uint8Array ? assert.deepEqual([...got], [...wanted]) : assert.ok(Object.is(got, wanted), `${String(got)} for ${String(wanted)}`);
  awkward.forEach((value, at) => same(back[at], value));
  const bulk = await new Promise((resolve) => {
    const other = new Batcher(echo, { onResult: (results) => resolve(results.toArray()) });
    assert.equal(other.pushMany(awkward, 7), awkward.length);
  });
  awkward.forEach((value, at) => same(bulk[at], value));
});

test('p02 the kind never depends on the number', async () => {
  const batcher = new Batcher((values, batch) => batch.kinds);
  const kinds = await Promise.all([1, 1.5, 1n, '1', true, null, Uint8Array.of(1), {}, [], () => 1].map((v) => batcher.submit(v)));
  assert.deepEqual(kinds, ['float64', 'float64', 'int64', 'string', 'bool', 'null', 'bytes', 'object', 'object', 'object']);
});

test('what has no form is refused and named, and nothing is lost by it', async () => {
  const batcher = new Batcher(echo);
  await assert.rejects(batcher.submit('ab\ud800c'), (e) => refusedAs('INVALID_UTF8')(e) && /index 2/.test(e.message));
  await assert.rejects(batcher.submit('\udc00'), refusedAs('INVALID_UTF8'));
  await assert.rejects(batcher.submit(2n ** 63n), (e) => refusedAs('OUT_OF_RANGE')(e) && /9223372036854775808n/.test(e.message));
  await assert.rejects(batcher.submit(-(2n ** 63n) - 1n), refusedAs('OUT_OF_RANGE'));
  await assert.rejects(batcher.submit(undefined), refusedAs('INVALID_ARGUMENT'));
  assert.throws(() => batcher.push(1, -1), (e) => refusedAs('INVALID_ARGUMENT')(e) && /tag is -1/.test(e.message));
  assert.throws(() => batcher.push(1, 2 ** 53), refusedAs('INVALID_ARGUMENT'));
  assert.throws(() => batcher.push(1, 2n ** 64n), refusedAs('INVALID_ARGUMENT'));
  assert.throws(() => batcher.pushMany([1n, 'ok', '\ud800', 2n], 1), (e) => refusedAs('INVALID_UTF8')(e) && e.accepted === 2);
  assert.equal(await batcher.submit('good'), 'good');
  await batcher.close();
  assert.equal(batcher.stats().accepted, 3);
});

test('typed arrays in and out', async () => {
  const got = [];
  const batcher = new Batcher((values) => (got.push(values.constructor.name), values), {
    typedArrays: true, onResult: (r) => got.push(r.values.constructor.name),
  });
  batcher.pushMany(Float64Array.of(1, 2));
  await batcher.flush();
  batcher.pushMany(BigInt64Array.of(1n, 2n));
  await batcher.flush();
  batcher.pushMany(new Set([1, 2]));
  await batcher.flush();
  assert.deepEqual(got, ['Float64Array', 'Float64Array', 'BigInt64Array', 'BigInt64Array', 'Float64Array', 'Float64Array']);
});

test('every typed array is its numbers, pushed, returned and set; those of 64 bits must fit', async () => {
  const NARROW = [Float32Array, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float64Array];
  for (const [types, values] of [[NARROW, [0, 1, 127]], [[BigInt64Array, BigUint64Array], [0n, 2n ** 63n - 1n]]]) {
    for (const type of types) {
      const all = type.from(values);
      const outs = [];
      for (const handler of [echo, () => all, (_, batch) => batch.setAll(all), async () => all]) {
        const batcher = new Batcher(handler, { maxBatchSize: values.length, maxDelay: Infinity, onResult: (results) => outs.push([results.kind, ...results.values]) });
        assert.equal(batcher.pushMany(all, 1), values.length);
        await batcher.close();
      }
      assert.deepEqual(outs, Array(4).fill([typeof values[0] === 'bigint' ? 'int64' : 'float64', ...values]), type.name);
    }
  }
  const wide = BigUint64Array.of(1n, 2n ** 63n);
  const batcher = new Batcher(() => wide, { maxBatchSize: 2, maxDelay: Infinity });
  assert.throws(() => batcher.pushMany(wide), (e) => refusedAs('OUT_OF_RANGE')(e) && e.accepted === 1);
  const failed = batcher.submit(1).catch((error) => error);
  await batcher.flush();
  assert.ok(refusedAs('OUT_OF_RANGE')(await failed));
  await batcher.close();
});

test('any object travels by reference and is released once on every path', async () => {
  const released = [];
  const onRelease = (object) => released.push(object);
  const things = Array.from({ length: 8 }, (_, at) => ({ at }));
  const batcher = new Batcher((values) => values, { onRelease, maxDelay: Infinity });
  const ok = batcher.submit(things[0]);
  await batcher.flush();
  assert.equal(await ok, things[0]);
  const cancelled = batcher.submit(things[1], { signal: AbortSignal.timeout(1) });
  await assert.rejects(cancelled);
  await assert.rejects(batcher.submit(things[2], { deadline: 0.1 }), refusedAs('DEADLINE'));
  const discarded = batcher.submit(things[3]);
  assert.equal(await Promise.all([batcher.close(0), assert.rejects(discarded, refusedAs('DISCARDED'))]).then(([left]) => left), 1);
  await assert.rejects(batcher.submit(things[4]), refusedAs('CLOSED'));
  const counts = things.map((thing) => released.filter((one) => one === thing).length);
  // as a value and as a result it was two references
  assert.deepEqual(counts, [2, 1, 1, 1, 0, 0, 0, 0]);
  assert.equal(batcher.heldObjects, 0);

  const failing = new Batcher((values, batch) => (batch.set(0, things[6]), batch.set(0, things[7]), Promise.reject(new Failure(4))), { onRelease });
  await assert.rejects(failing.submit(things[5]), { code: 4 });
  await failing.close();
  assert.deepEqual([5, 6, 7].map((at) => released.filter((one) => one === things[at]).length), [1, 1, 1]);
  assert.equal(failing.heldObjects, 0);
});

test('objects of a handler that never answers are released once, at the end of the batcher', async () => {
  const turn = () => new Promise(setImmediate);
  for (const end of [(b) => b.close(1), (b) => b.free(), (b) => b.abandon()]) {
    const released = [];
    const things = [{ at: 0 }, { at: 1 }];
    const never = new Batcher(() => new Promise(() => {}), { maxBatchSize: 1, onRelease: (object) => released.push(object) });
    const lost = things.map((thing) => assert.rejects(never.submit(thing), refusedAs('DISCARDED')));
    while (never.stats().inFlight === 0) await turn();
    await end(never);
    await Promise.all(lost);
    while (never.heldObjects > 0) await turn();
    assert.deepEqual(released.sort((a, b) => a.at - b.at), things);
  }
  // one that answers too late changes nothing
  let answer;
  const late = new Batcher((values) => new Promise((resolve) => (answer = () => resolve(values))));
  const lost = assert.rejects(late.submit({}), refusedAs('DISCARDED'));
  while (!answer) await turn();
  late.free();
  answer();
  await lost;
  await turn();
  assert.equal(late.heldObjects, 0);
});

test('map: in one call, and one error that carries all', () => {
  assert.deepEqual(map([1, 2, 3, 4, 5], (values) => values.map((v) => v * 2), { batches: 2 }), [2, 4, 6, 8, 10]);
  assert.deepEqual(map(BigInt64Array.of(1n, 2n), (values) => values), [1n, 2n]);
  assert.deepEqual(map([], echo), []);
  const thing = {};
  assert.equal(map([thing, 'a'], echo)[0], thing);
  const bad = new RangeError('bad');
  assert.throws(() => map([1, 2, 3], (values) => values.map((v) => (v === 2 ? bad : v)), { maxBatchSize: 2 }), (error) => {
    assert.ok(error instanceof MapError);
    assert.deepEqual(error.results.toArray(), [1, bad, 3]);
    return error.cause === bad;
  });
  assert.throws(() => map([1], async (values) => values), refusedAs('WRONG_MODE'));
  assert.throws(() => map([1], echo, { maxBatchSize: 1, batches: 1 }), refusedAs('INVALID_OPTION'));
});
