// Plays the scenarios of tests/conformance; every trace must be the committed one, byte for byte. What the formats are is said
// in the README there.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Runner } from './scenario_runner.mjs';

const ROOT = process.env.MICROBATCH_ROOT ?? path.resolve(import.meta.dirname, '../../..');
const PLACE = path.join(ROOT, 'tests/conformance');

/** What JavaScript has no form for: pushed bytes are the garbage collector's, never owned pushes. */
const LACKS = ['owned'];

const scenarios = readdirSync(PLACE).filter((name) => name.endsWith('.mbt')).sort();
let played = 0;
for (const name of scenarios) {
  const scenario = readFileSync(path.join(PLACE, name), 'utf8');
  const needs = scenario.split('\n').filter((line) => line.startsWith('needs ')).map((line) => line.slice('needs '.length));
  if (needs.some((need) => LACKS.includes(need))) {
    continue;
  }
  played++;
  test(`conformance ${name}`, () => {
    const expected = readFileSync(path.join(PLACE, name.replace(/mbt$/, 'trace')), 'utf8');
    assert.equal(new Runner().play(scenario), expected);
  });
}

test('every scenario is played but those of owned pushes', () => {
  const owned = scenarios.filter((name) => name.startsWith('p04_owned'));
  assert.equal(played + owned.length, scenarios.length);
});
