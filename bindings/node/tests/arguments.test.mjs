// Wrong arguments: every parameter of every public call refuses each value below that it does not take, with an error that shows
// the value; nothing is lost by it, and the batcher goes on. The calls, their parameters and their options are found by reflection.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { inspect } from 'node:util';
import microbatch from '../lib/index.cjs';

const { Batcher, Batch, Failure, ForeignObject, MapError, MicrobatchError, Producer, Results, SharedBatcher, map, nativeSymbol, status } = microbatch;
const { tables } = createRequire(import.meta.url)('../lib/native.cjs');

const VALUES = [
  undefined, null, true, 0, 5, -1, 1.5, 2 ** 53, NaN, Infinity, -Infinity, '', 'x', '2ms', '2ms\0', 5n, -1n, 2n ** 64n, Symbol('one'), {}, [], [1],
  new Date(0), new DataView(new ArrayBuffer(8)), () => {},
];
const echo = (values) => values;

// ---- what parameters take ----

/** The values above that one of these tests holds for. */
const taken = (...tests) => (value) => tests.some((one) => (typeof one === 'function' ? one(value) : Object.is(one, value)));
const anObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const noOptions = (value) => value === undefined || (anObject(value) && Object.keys(value).length === 0);
const aFunction = (value) => typeof value === 'function';
const aList = (value) => Array.isArray(value);
const aDuration = taken(0, 5, 1.5, 2 ** 53 / 1e6, Infinity, '2ms');
const TAG = taken(undefined, 0, 5, 5n);
const COUNT = taken(undefined, 0, 5);
const DEADLINE = taken(undefined, aDuration, 5n, -1n);
const VALUE = (value) => value !== undefined && value !== 2n ** 64n;
const NOTHING = () => false;

const SIGNAL = { options: [(b, options) => b(options), noOptions], 'options.signal': [(b, signal) => b({ signal }), taken(undefined)] };
const waits = (name) => Object.fromEntries(Object.entries(SIGNAL).map(([at, [call, takes]]) => [at, [(b, value) => call((given) => b[name](given), value), takes]]));
const PUSH = {
  value: [(b, value) => b.push(value, 1), VALUE],
  tag: [(b, tag) => b.push({}, tag), TAG],
  options: [(b, options) => b.push({}, 1, options), noOptions],
  'options.signal': [(b, signal) => b.push({}, 1, { signal }), taken(undefined)],
  'options.deadline': [(b, deadline) => b.push({}, 1, { deadline }), DEADLINE],
  'options.size': [(b, size) => b.push({}, 1, { size }), COUNT],
};
const pushMany = (two) => ({
  values: [(b, values) => b.pushMany(values), aList],
  tags: [(b, tags) => b.pushMany(two, tags), TAG],
  options: [(b, options) => b.pushMany(two, 1, options), noOptions],
  'options.signal': [(b, signal) => b.pushMany(two, 1, { signal }), taken(undefined)],
  'options.deadline': [(b, deadline) => b.pushMany(two, 1, { deadline }), DEADLINE],
});
const CHECK = {
  value: [(b, value) => b.check(value), VALUE],
  options: [(b, options) => b.check({}, options), noOptions],
  'options.size': [(b, size) => b.check({}, { size }), COUNT],
};
const CANCEL = { tag: [(b, tag) => b.cancel(tag), taken(0, 5, 5n)] };
const row = (name) => ({ row: [(r, at) => r[name](at), taken(0)] });
const fails = (call) => ({
  code: [(b, code) => call(b, code), taken(5, -1)],
  message: [(b, message) => call(b, 5, message), (value) => value === undefined || typeof value === 'string'],
  typeName: [(b, name) => call(b, 5, 'message', name), (value) => value === undefined || typeof value === 'string'],
});
const mapped = (call) => ({
  values: [(_, values) => call(values, echo), aList],
  handler: [(_, handler) => call([], handler), aFunction],
  options: [(_, options) => call([1], echo, options), noOptions],
  'options.maxBatchSize': [(_, maxBatchSize) => call([1], echo, { maxBatchSize }), COUNT],
  'options.batches': [(_, batches) => call([1], echo, { batches }), COUNT],
  'options.typedArrays': [(_, typedArrays) => call([1], echo, { typedArrays }), taken(undefined, true)],
});

/** Each call: for each parameter, and each option, how it is made with a value and which of the values it takes. */
const CALLS = {
  'Batcher.submit': {
    value: [(b, value) => b.submit(value), VALUE],
    options: [(b, options) => b.submit({}, options), noOptions],
    'options.signal': [(b, signal) => b.submit({}, { signal }), taken(undefined)],
    'options.deadline': [(b, deadline) => b.submit({}, { deadline }), DEADLINE],
    'options.size': [(b, size) => b.submit({}, { size }), COUNT],
  },
  'Batcher.submitMany': {
    values: [(b, values) => Promise.allSettled(b.submitMany(values)), aList],
    options: [(b, options) => Promise.all(b.submitMany([1], options)), noOptions],
    'options.signal': [(b, signal) => Promise.all(b.submitMany([1], { signal })), taken(undefined)],
    'options.deadline': [(b, deadline) => Promise.all(b.submitMany([1], { deadline })), DEADLINE],
    'options.size': [(b, size) => Promise.all(b.submitMany([{}], { size })), COUNT],
  },
  'Batcher.push': PUSH,
  'Batcher.pushMany': pushMany([{}, 1]),
  'Batcher.check': CHECK,
  'Batcher.cancel': CANCEL,
  'Batcher.room': waits('room'),
  'Batcher.flush': waits('flush'),
  'Batcher.flushEnd': { mark: [(b, mark) => b.flushEnd(mark), taken(0)] },
  'Batcher.close': { timeout: [(b, timeout) => b.close(timeout), taken(undefined, aDuration)] },
  'Batcher.tryClose': { timeout: [(b, timeout) => b.tryClose(timeout), aDuration] },
  'Batcher.advance': { now: [(b, now) => b.advance(now), taken(5n, -1n)] },
  'Batcher.nextResults': { use: [(b, use) => b.nextResults(use), taken(undefined, aFunction)] },
  'Batcher.batches': waits('batches'),
  'Batcher.results': waits('results'),
  'SharedBatcher.push': PUSH,
  'SharedBatcher.pushMany': pushMany([1, 'two']),
  'SharedBatcher.check': CHECK,
  'SharedBatcher.cancel': CANCEL,
  'SharedBatcher.room': waits('room'),
  'SharedBatcher.flush': waits('flush'),
  'Producer.push': PUSH,
  'Producer.pushMany': pushMany([{}, 1]),
  'Producer.check': CHECK,
  'Batch.value': row('value'),
  'Batch.set': {
    row: [(b, at) => b.set(at, {}), taken(0)],
    value: [(b, value) => b.set(0, value), VALUE],
    options: [(b, options) => b.set(0, {}, options), noOptions],
    'options.size': [(b, size) => b.set(0, {}, { size }), COUNT],
  },
  'Batch.setAll': { results: [(b, results) => b.setAll(results), aList] },
  'Batch.fail': { row: [(b, at) => b.fail(at, 5), taken(0)], ...fails((b, ...how) => b.fail(0, ...how)) },
  'Batch.failAll': fails((b, ...how) => b.failAll(...how)),
  'Batch.completeNext': { use: [(b, use) => b.completeNext(use), taken(undefined, aFunction)] },
  'Results.outcome': row('outcome'),
  'Results.handled': row('handled'),
  'Results.value': row('value'),
  'Results.error': row('error'),
  'Results.failure': row('failure'),
  map: mapped(map),
  'map.results': mapped(map.results),
  nativeSymbol: {
    path: [(_, path) => nativeSymbol(path, 'mb_nothing'), NOTHING],
    name: [(_, name) => nativeSymbol('libc.so.6', name), NOTHING],
  },
  'new Batcher': {
    handler: [(_, handler) => new Batcher(handler), taken(undefined, null, aFunction, noOptions)],
    options: [(_, options) => new Batcher(echo, options), noOptions],
  },
  'new SharedBatcher': { address: [(_, address) => new SharedBatcher(address), NOTHING] },
  'new Producer': { core: [(_, core) => new Producer(core), NOTHING] },
  'new Batch': { core: [(_, core) => new Batch(core, true), NOTHING], held: undefined },
  'new Results': { core: [(_, core) => new Results(core, 5n), NOTHING], word: undefined },
  'new MapError': { results: undefined, first: [(_, first) => new MapError({}, first), NOTHING] },
  'new MicrobatchError': {
    code: [(_, code) => new MicrobatchError(code), (value) => Number.isInteger(value)],
    message: undefined,
    details: undefined,
  },
  'new Failure': fails((_, ...how) => new Failure(...how)),
  'new ForeignObject': {
    owner: [(_, owner) => new ForeignObject(owner, 5), taken(0, 5)],
    word: [(_, word) => new ForeignObject(5, word), taken(0, 5, 5n)],
    size: [(_, size) => new ForeignObject(5, 5, size), COUNT],
  },
};

// ---- what they are called on ----

/** [what a call is made on, the batcher behind it] */
const over = (batcher, subject = batcher) => [subject, batcher];
const loop = () => new Batcher(echo, { onResult: () => {} });
/** A batch that a host took, of one value. */
function batch() {
  const batcher = new Batcher(null, { mode: 'manual', results: 'pull' });
  batcher.push(7, 1);
  return over(batcher, batcher.nextBatch());
}
const SUBJECTS = {
  Batcher: () => over(loop()),
  SharedBatcher: () => ((batcher) => over(batcher, new SharedBatcher(batcher.share())))(loop()),
  Producer: () => ((batcher) => over(batcher, batcher.producer()))(loop()),
  Batch: batch,
  Results() {
    const [one, batcher] = batch();
    one.fail(0, 5);
    return over(batcher, one.completeNext());
  },
  'Batcher.tryClose': () => over(new Batcher(echo, { mode: 'manual' })),
  'Batcher.advance': () => over(new Batcher(echo, { mode: 'manual', clock: 'given' })),
  'Batcher.nextResults': () => over(new Batcher(echo, { mode: 'manual', results: 'pull' })),
  'Batcher.results': () => over(new Batcher(echo, { mode: 'manual', results: 'pull' })),
};
const subjectOf = (name) => (SUBJECTS[name] ?? SUBJECTS[name.split('.')[0]] ?? (() => []))();

// ---- what is said, and what goes on ----

/** Calls that promise: they reject, and never throw. */
const PROMISE = ['Batcher.submit', 'Batcher.room', 'Batcher.flush', 'Batcher.close', 'SharedBatcher.room', 'SharedBatcher.flush'];
const NAMES = ['INVALID_ARGUMENT', 'INVALID_OPTION', 'OUT_OF_RANGE', 'NOT_FOUND'];

async function errorOf(name, call) {
  let answer;
  try {
    answer = call();
  } catch (error) {
    assert.ok(!PROMISE.includes(name), `${name} throws, and promises`);
    return error;
  }
  const ends = answer?.next ? answer.return() : answer;
  return Promise.resolve(ends).then(() => undefined, (error) => error);
}

/** Whether a message shows a value, or a text as the library quotes it. */
function shows(message, value) {
  const text = inspect(value, { depth: 0, customInspect: false, breakLength: Infinity });
  return message.includes(text) || message.includes(`"${String(value)}"`) || message.includes(`${String(value)}:`);
}

function account(batcher) {
  const { accepted, outstanding, undelivered, ok, failed } = batcher.stats();
  return [accepted, outstanding, undelivered, ok, failed, batcher.heldObjects];
}

/** After a refusal: the next value is taken, and answered; of a batch, its own. */
function goesOn(subject, batcher) {
  const { ok } = batcher.stats();
  if (subject instanceof Batch) {
    subject.set(0, 'fine');
    assert.equal(subject.completeNext().value(0), 'fine');
  } else if (subject instanceof Results) {
    assert.equal(subject.failure(0).code, 5);
    return;
  } else {
    (subject instanceof Producer ? subject : batcher).push('fine');
    if (!batcher.tryFlush()) batcher.nextResults();
  }
  assert.equal(batcher.stats().ok, ok + 1);
}

function refused(error, value, said) {
  assert.ok(error instanceof MicrobatchError, said);
  assert.ok(NAMES.includes(error.name), said);
  assert.equal(error.code, status[error.name], said);
  assert.ok(shows(error.message, value), said);
}

for (const [name, parameters] of Object.entries(CALLS)) {
  for (const [parameter, how] of Object.entries(parameters)) {
    if (!how) continue;
    const [call, takes] = how;
    test(`${name}: ${parameter}`, async () => {
      for (const value of VALUES) {
        const [subject, batcher] = subjectOf(name);
        const before = batcher && account(batcher);
        const error = await errorOf(name, () => call(subject, value));
        const said = `${name} with ${inspect(value)}: ${error}`;
        if (takes(value)) {
          assert.ok(!['INVALID_ARGUMENT', 'INVALID_OPTION'].includes(error?.name), said);
        } else {
          refused(error, value, said);
          if (name.endsWith('pushMany')) assert.equal(error.accepted, 0, said);
          if (batcher) {
            assert.deepEqual(account(batcher), before, said);
            goesOn(subject, batcher);
          }
        }
        if (subject instanceof Batch && !subject.ended) subject.free();
        batcher?.free();
        const stats = batcher?.stats();
        assert.equal(stats?.accepted, stats && stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded);
        assert.ok(!batcher?.heldObjects, said);
      }
    });
  }
}

// ---- options of a batcher ----

const BY_TYPE = { duration: aDuration, count: taken(0, 5, 5n), bytes: taken(0), choice: NOTHING };
const OWN = {
  handlers: noOptions, pullHandlers: (value) => Array.isArray(value) && value.length === 0, onResult: taken(null, aFunction), onRelease: aFunction,
  log: aFunction, typedArrays: taken(true),
};
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const TAKES = { ...OWN, ...Object.fromEntries(tables.options.map(({ name, type }) => [camel(name), BY_TYPE[type]])) };
for (const [option, takes] of Object.entries(TAKES)) {
  test(`option ${option}`, () => {
    for (const value of VALUES) {
      const said = `${option}: ${inspect(value)}`;
      const make = () => new Batcher(option === 'handlers' || option === 'pullHandlers' ? null : echo, { [option]: value });
      if (value === undefined || (takes(value) && !(option === 'threads' && value))) {
        make().free();
      } else {
        assert.throws(make, (error) => (refused(error, value, `${said}: ${error}`), error.name === 'INVALID_OPTION'), said);
      }
    }
  });
}

// ---- nothing is forgotten ----

/** The names of the parameters in the source of a function, or of a class's constructor. */
function parametersOf(source) {
  const names = [''];
  let depth = 0;
  for (const letter of source.slice(source.indexOf('(', Math.max(source.indexOf('constructor('), 0)))) {
    depth += { '(': 1, '{': 1, ')': -1, '}': -1 }[letter] ?? 0;
    if (depth === 0) break;
    if (letter === ',' && depth === 1) names.push('');
    else names[names.length - 1] += letter;
  }
  return names.map((one) => one.split('=')[0].replace('(', '').trim()).filter(Boolean);
}

/** Parts of the package that other parts call. */
const INTERNAL = ['constructor', 'giveUp', 'lend', 'failWith', 'claim', 'pushOne'];

/** Every public function with the names of its parameters. */
function* publicCalls() {
  for (const [name, value] of Object.entries(microbatch)) {
    if (typeof value !== 'function') continue;
    if (!/^class/.test(String(value))) {
      yield [name, parametersOf(String(value)), value];
      continue;
    }
    yield [`new ${name}`, String(value).includes('constructor(') ? parametersOf(String(value)) : []];
    for (let type = value.prototype; ![Object.prototype, Error.prototype].includes(type); type = Object.getPrototypeOf(type)) {
      for (const key of Reflect.ownKeys(type)) {
        const { value: method } = Object.getOwnPropertyDescriptor(type, key);
        if (typeof method === 'function' && !INTERNAL.includes(key)) yield [`${name}.${String(key)}`, parametersOf(String(method))];
      }
    }
  }
  yield ['map.results', parametersOf(String(map.results))];
}

test('every parameter of every public call, and every option of a call, is among those above', async () => {
  const wanted = {};
  for (const [name, parameters] of publicCalls()) {
    if (parameters.length === 0) continue;
    wanted[name] = [...parameters];
    const [call] = CALLS[name]?.options ?? [];
    if (call && !name.startsWith('new ')) {
      const { message } = await errorOf(name, () => call(subjectOf(name)[0], { nonsense: 1 }));
      const options = /^there is no option nonsense here; there is (.*)$/.exec(message)[1].split(', ');
      wanted[name].push(...options.map((option) => `options.${option}`));
    }
  }
  const found = Object.fromEntries(Object.entries(CALLS).map(([name, parameters]) => [name, Object.keys(parameters).sort()]));
  Object.values(wanted).forEach((names) => names.sort());
  assert.deepEqual(found, wanted);
});
