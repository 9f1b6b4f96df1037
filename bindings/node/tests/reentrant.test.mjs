// P25: every call of the API inside every callback has the answer that microbatch.h gives it, and none deadlocks: a scene is a
// batcher, a place where its user is called, and what is done there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Batcher, Batch, Producer, Results, map, nativeSymbol, status } from 'microbatch';
import { library } from './build_handlers.mjs';
import { WATCHDOG } from './program.mjs';

/** A call that never returns holds up this thread: another one ends the process. */
new Worker(`setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${WATCHDOG})`, { eval: true }).unref();

const NAMES = new Map(Object.entries(status).map(([name, code]) => [code, name]));
const turn = () => new Promise(setImmediate);
const native = (name, data) => ({ address: nativeSymbol(library, name), data });

/** OK, or the name of what a call threw. */
function answerOf(call) {
  try {
    const answer = call();
    answer?.catch?.(() => {});
    return 'OK';
  } catch (error) {
    assert.ok(NAMES.has(error.code), error);
    return error.name;
  }
}

/** Cancels what `push` pushed with the signal. */
function abortOne(push) {
  const abort = new AbortController();
  push(abort.signal);
  abort.abort();
}

/** Calls that answer OK wherever they are made. */
const EVERYWHERE = {
  push: (b) => b.push('pushed', 3),
  pushMany: (b) => b.pushMany(['pushed', 'many'], 3),
  'push and abort': (b) => abortOne((signal) => b.push('pushed', 4, { signal })),
  'pushMany and abort': (b) => abortOne((signal) => b.pushMany(['pushed', 'many'], 5, { signal })),
  submit: (b) => b.submit('submitted'),
  submitMany: (b) => b.submitMany([1, 2n, 'submitted', null]).forEach((promise) => promise.catch(() => {})),
  check: (b) => b.check(1),
  producer(b) {
    const producer = b.producer();
    const made = (name, call) => (called.add(`Producer.${name}`), call());
    made('push', () => producer.push('produced', 3));
    made('pushMany', () => producer.pushMany([1, 2], 3));
    made('check', () => producer.check(1));
    made('free', () => producer.free());
    b.producer()[Symbol.dispose]();
    called.add(`Producer.${String(Symbol.dispose)}`);
  },
  lackOfRoom: (b) => assert.equal(b.lackOfRoom(), undefined),
  room: (b) => b.room(),
  seal: (b) => b.seal(),
  flush: (b) => b.flush(),
  flushBegin: (b) => b.flushBegin(),
  now: (b) => b.now(),
  nextDue: (b) => b.nextDue(),
  stats: (b) => assert.ok(b.stats().accepted > 0),
  statsText: (b) => assert.match(b.statsText(), /accepted/),
  heldObjects: (b) => assert.ok(b.heldObjects >= 0),
  share: (b) => b.share(),
  batches: (b) => b.batches().return(),
  results: (b) => b.results().return(),
};
/** Calls that a callback of the batcher's refuses, or whose mode does. */
const REFUSED = {
  cancel: ['NOT_FOUND', 'NOT_FOUND', (b) => b.cancel(999)],
  tryFlush: ['REENTRANT', 'OK', (b) => b.tryFlush()],
  flushEnd: ['REENTRANT', 'OK', (b) => b.flushEnd(0)],
  run: ['REENTRANT', 'OK', (b) => b.run()],
  advance: ['REENTRANT', 'OK', (b) => b.advance(1n)],
  nextBatch: ['WRONG_MODE', 'WRONG_MODE', (b) => b.nextBatch()],
  nextResults: ['WRONG_MODE', 'WRONG_MODE', (b) => b.nextResults()],
};
/** Calls that end a batcher: what is outstanding may be discarded by them. */
const ENDS = {
  close: (b) => b.close(),
  'close at once': (b) => b.close(0),
  tryClose: (b) => b.tryClose(0),
  free: (b) => b.free(),
  abandon: (b) => b.abandon(),
  [String(Symbol.asyncDispose)]: (b) => b[Symbol.asyncDispose](),
};
/** What the handler borrows, or the callback of results. */
const OF_BATCH = {
  age: (b) => b.age, tags: (b) => b.tags, kinds: (b) => b.kinds, deadlines: (b) => b.deadlines, positions: (b) => b.positions,
  columns: (b) => b.columns, values: (b) => b.values, value: (b) => b.value(0), set: (b) => b.set(0, 1), fail: (b) => b.fail(0, 5),
  failAll: (b) => b.failAll(5), setAll: (b) => b.setAll(new Array(b.count).fill(7)),
};
const OF_RESULTS = {
  tags: (r) => r.tags, allOk: (r) => r.allOk, firstFailed: (r) => r.firstFailed, kind: (r) => r.kind, values: (r) => r.values,
  outcome: (r) => r.outcome(0), handled: (r) => r.handled(0), value: (r) => r.value(0), error: (r) => r.error(0),
  failure: (r) => r.failure(0), toArray: (r) => r.toArray(), 'Symbol(Symbol.iterator)': (r) => [...r],
};
const called = new Set();

function makeEveryCall(batcher, mode, inside) {
  for (const [name, call] of Object.entries(EVERYWHERE)) {
    called.add(`Batcher.${name}`);
    assert.equal(answerOf(() => call(batcher)), 'OK', name);
  }
  for (const [name, [within, outside, call]] of Object.entries(REFUSED)) {
    called.add(`Batcher.${name}`);
    const wrong = { threaded: ['run', 'advance'], loop: ['advance'], manual: [] }[mode].includes(name);
    const answer = answerOf(() => call(batcher));
    if (inside === undefined && !wrong) {
      assert.ok([within, outside].includes(answer), name);
    } else {
      assert.equal(answer, wrong ? 'WRONG_MODE' : inside ? within : outside, name);
    }
  }
}

/** Each of the calls on something that the callback was handed. */
function makeCallsOn(thing, type, calls) {
  for (const [name, call] of Object.entries(calls)) {
    called.add(`${type}.${name}`);
    assert.equal(answerOf(() => call(thing)), 'OK', name);
  }
}

/** Where the user is called. Each answers a batcher that will call `act(batcher, inside, thing)` there, once. */
const PLACES = {
  handler: (options, act) => new Batcher(function handle(values, batch) { act(true, batch); return values; }, { ...options, onResult: () => {} }),
  'handler of a kind': (options, act) =>
    new Batcher((values) => values, {
      ...options, handlers: { object: (values, batch) => { act(true, batch); return values; } }, onResult: () => {},
    }),
  'async handler': (options, act) =>
    new Batcher(async (values, batch) => { act(true, batch); await turn(); return values; }, { ...options, onResult: () => {} }),
  'async handler, later': (options, act) =>
    new Batcher(async (values, batch) => { await turn(); act(false, batch); return values; }, { ...options, onResult: () => {} }),
  onResult: (options, act) => new Batcher((values) => values, { ...options, onResult: (results) => act(true, results) }),
  onRelease: (options, act) => new Batcher((values) => values.map(() => 1), { ...options, onRelease: () => act(true) }),
  'then of a result': (options, act) => new Batcher((values) => values, { ...options, onResult: () => {} }),
};
/** An object is given back by the loop, inside the engine, or by a thread, of which the loop hears later. */
const THREADED = {
  onResult: (options, act) => new Batcher(native('echo'), { ...options, onResult: (results) => act(false, results) }),
  onRelease: (options, act) => new Batcher(native('echo'), { ...options, onRelease: () => act(undefined) }),
  log: (options, act) => new Batcher(native('end_thread', nativeSymbol('libc.so.6', 'pthread_exit')), { ...options, log: () => act(false) }),
};

/** Plays a scene to its end. */
async function play(make, mode, work) {
  let acted = 0;
  let failure;
  const batcher = make(mode === 'manual' ? { mode, clock: 'given' } : {}, (inside, thing) => {
    if (acted++ > 0) return;
    try {
      work(batcher, inside, thing);
    } catch (error) {
      failure = error;
    }
  });
  const first = batcher.submit({});
  first.catch(() => {});
  if (make === PLACES['then of a result']) {
    first.then(() => {
      acted++;
      work(batcher, false);
    }).catch((error) => (failure = error));
  }
  if (make === PLACES.onResult || make === THREADED.onResult) batcher.push(1, 1);
  while (acted === 0) {
    if (mode === 'manual') batcher.run();
    await turn();
  }
  if (failure) throw failure;
  return { batcher, mode, first };
}

/** Every value has one outcome: that of the first value reached its promise, and the rest is counted. */
async function end({ batcher, mode, first }, freed = false) {
  if (mode === 'manual' && !freed) {
    while (!batcher.tryClose(Infinity).done) await turn();
  } else {
    await batcher.close();
  }
  // it was failed with a code of the user's above
  await first.catch((error) => assert.ok(NAMES.has(error.code) || error.code === 5, error));
  const { accepted, ok, failed, expired, cancelled, discarded, outstanding } = batcher.stats();
  assert.equal(accepted, ok + failed + expired + cancelled + discarded + outstanding);
  // free inside a callback is abandon: the last snapshot is from before the callback ended
  if (!freed) assert.equal(outstanding, 0);
}

for (const [mode, places] of [['loop', PLACES], ['manual', PLACES], ['threaded', THREADED]]) {
  for (const [place, make] of Object.entries(places)) {
    test(`p25 ${mode}: every call inside ${place}`, async () => {
      await end(await play(make, mode, (batcher, inside, thing) => {
        makeEveryCall(batcher, mode, inside);
        if (thing instanceof Batch) makeCallsOn(thing, 'Batch', OF_BATCH);
        if (thing instanceof Results) makeCallsOn(thing, 'Results', OF_RESULTS);
      }));
    });
    for (const [name, call] of Object.entries(ENDS)) {
      test(`p25 ${mode}: ${name} inside ${place}`, async () => {
        called.add(`Batcher.${name}`);
        const freed = name === 'free' || name === 'abandon';
        await end(await play(make, mode, (batcher) => {
          const answer = answerOf(() => call(batcher));
          assert.equal(answer, mode === 'threaded' && name === 'tryClose' ? 'WRONG_MODE' : 'OK');
          assert.ok(['CLOSED', 'OK'].includes(answerOf(() => batcher.push(1))), 'afterwards');
        }), freed);
      });
    }
  }
}

for (const [how, call] of Object.entries({
  keep: (b) => b.keep(), complete: (b) => b.complete(), completeOk: (b) => b.completeOk(), completeNext: (b) => b.completeNext(), free: (b) => b.free(),
})) {
  test(`p25 a batch inside its handler: ${how}`, async () => {
    called.add(`Batch.${how}`);
    for (const place of ['handler', 'async handler', 'async handler, later']) {
      let kept;
      const played = await play(PLACES[place], 'loop', (batcher, _, batch) => {
        assert.equal(answerOf(() => (call(batch), (kept = batch.held ? batch : undefined), undefined)), 'OK');
      });
      kept?.complete();
      await end(played);
    }
  });
}

test('p25 the handler of map: every batcher is another', async () => {
  const batcher = new Batcher((values) => values, { onResult: () => {} });
  batcher.push(1, 1);
  let visits = 0;
  const mapped = map([1, 2], (values) => {
    if (visits++ === 0) makeEveryCall(batcher, 'loop', false);
    return values;
  });
  assert.equal(visits, 1);
  assert.equal([...(await mapped)].length, 2);
  await batcher.close();
  const { accepted, ok, failed, expired, cancelled, discarded } = batcher.stats();
  assert.equal(accepted, ok + failed + expired + cancelled + discarded);
});

test('every public call was made inside a callback', () => {
  const own = { Batcher, Batch, Producer, Results };
  // what a batch and a set have besides is for the package itself
  const internal = ['constructor', 'giveUp', 'lend', 'gone', 'ended', 'kept', 'over', 'failWith', 'claim', 'pushOne'];
  for (const [name, type] of Object.entries(own)) {
    for (let proto = type.prototype; proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
      for (const key of Reflect.ownKeys(proto)) {
        if (!internal.includes(key)) assert.ok(called.has(`${name}.${String(key)}`), `${name}.${String(key)}`);
      }
    }
  }
});
