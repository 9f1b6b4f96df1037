// P39: lines of the library's. It has something to say when a native handler ends the engine's thread.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { Batcher, nativeSymbol } from 'microbatch';
import { library } from './build_handlers.mjs';
import { WATCHDOG } from './program.mjs';

const ENDS = { address: nativeSymbol(library, 'end_thread'), data: nativeSymbol('libc.so.6', 'pthread_exit') };
const ERROR = 3;
const WARNING = 2;

/** Takes values one by one, and each ends a thread. */
const ending = (log) => new Batcher(ENDS, { maxBatchSize: 1, queueCapacity: 2000, log, onResult: null });

/** Holds the loop up until every value has its outcome: all lines are there before the first can be told. */
function waitFor(batcher, values) {
  while (batcher.stats().failed < values);
}

test('p39 a line comes to the loop, with its level', { timeout: WATCHDOG }, async () => {
  const lines = [];
  const batcher = ending((...line) => lines.push(line));
  batcher.push(1);
  waitFor(batcher, 1);
  assert.deepEqual(lines, []);
  while (lines.length === 0) await new Promise(setImmediate);
  assert.equal(lines.length, 1);
  assert.equal(lines[0].length, 2);
  assert.equal(lines[0][0], ERROR);
  assert.match(lines[0][1], /thread ended/);
  assert.equal(await batcher.close(), 0);
});

test('p39 without a callback there is silence, and what is no function is refused', { timeout: WATCHDOG }, async () => {
  const batcher = ending(undefined);
  batcher.push(1);
  waitFor(batcher, 1);
  await batcher.close();
  assert.throws(() => new Batcher(ENDS, { log: 'stderr' }), { name: 'INVALID_OPTION', message: /log is 'stderr': a function is accepted/ });
});

test('p39 lines that wait are bounded; what is dropped is counted and said', { timeout: WATCHDOG }, async () => {
  const lines = [];
  const batcher = ending((...line) => lines.push(line));
  const VALUES = 400;
  for (let at = 0; at < VALUES; at++) batcher.push(at);
  waitFor(batcher, VALUES);
  await batcher.close();
  const [level, text] = lines.pop();
  assert.equal(level, WARNING);
  assert.equal(lines.length, 256, 'as many as in other languages');
  assert.equal(text, `${VALUES - lines.length} lines of log were dropped: too many waited`);
  assert.ok(lines.every((line) => line[0] === ERROR));
});

/** Runs a program in a process of its own, which has `batcher(log)` and `told(lines)`. */
const program = (body) => execFileSync(process.execPath, ['--input-type=module', '-e', `
  import { Batcher, nativeSymbol } from 'microbatch';
  const ends = { address: nativeSymbol('${library}', 'end_thread'), data: nativeSymbol('libc.so.6', 'pthread_exit') };
  const batcher = (log) => new Batcher(ends, { maxBatchSize: 1, log, onResult: null });
  ${body}`], { cwd: import.meta.dirname, timeout: WATCHDOG, encoding: 'utf8' });

test('p39 what the callback throws is an uncaught exception, and the batcher goes on', () => {
  const out = program(`
    const b = batcher(() => { throw new Error('mine'); });
    process.on('uncaughtException', (e) => console.log('caught', e.message));
    b.push(1); await b.flush(); b.push(2); console.log(await b.close(), b.stats().failed);`);
  assert.deepEqual(out.split('\n').sort(), ['', '0 2', 'caught mine', 'caught mine']);
});

test('p39 a callback keeps no process alive, and lines that nobody waits for neither', () => {
  const out = program(`
    const idle = batcher(() => {});
    const b = batcher(() => {}); b.push(1); while (b.stats().failed < 1); process.on('exit', () => console.log('end'));`);
  assert.equal(out, 'end\n');
});
