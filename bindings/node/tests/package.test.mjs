// The package: its types, as the compiler sees them; its tarball, installed in an empty directory; what the binary exports.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import microbatch from '../lib/index.cjs';

/** What the parts of the package have for each other. */
const INTERNAL = ['constructor', 'giveUp', 'lend', 'gone', 'ended', 'kept', 'over', 'failWith', 'claim', 'pushOne'];

const here = path.resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

test('the declarations accept and refuse what they should', () => {
  const compiler = require.resolve('typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [compiler, '-p', path.join(here, 'tests/types')], { cwd: here });
  } catch (refused) {
    assert.fail(String(refused.stdout));
  }
});

test('the declarations name every option of the library, and every export', () => {
  const text = readFileSync(path.join(here, 'lib/index.d.cts'), 'utf8');
  const { tables } = require('../lib/native.cjs');
  for (const { name } of tables.options) {
    const camel = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    assert.match(text, new RegExp(`^  ${camel}\\?:`, 'm'));
  }
  for (const name of Object.keys(microbatch)) {
    assert.match(text, new RegExp(`^export (declare )?(class|const|function) ${name}\\b`, 'm'));
  }
});

test('the declarations name every method of every class, and no other', () => {
  const text = readFileSync(path.join(here, 'lib/index.d.cts'), 'utf8');
  for (const name of ['Batcher', 'SharedBatcher', 'Producer', 'Batch', 'Results']) {
    const [body] = new RegExp(`^export class ${name}\\b.*?^}`, 'ms').exec(text);
    const declared = [...body.matchAll(/^ {2}(?:readonly )?(\[?[\w.]+\]?)[(<:]/gm)].map(([, key]) => key).filter((key) => key !== 'constructor');
    const found = new Set();
    for (let type = microbatch[name].prototype; type !== Object.prototype; type = Object.getPrototypeOf(type)) {
      Reflect.ownKeys(type).forEach((key) => found.add(typeof key === 'symbol' ? `[${key.description.replace(/^nodejs/, 'Symbol')}]` : key));
    }
    // what batches and results are told at their birth
    ['count', 'kind', 'trigger', 'number', 'held', 'batch'].forEach((key) => declared.includes(key) && found.add(key));
    INTERNAL.forEach((key) => found.delete(key));
    assert.deepEqual(declared.sort(), [...found].sort(), name);
  }
});

test('import and require of every name', async () => {
  const imported = await import('../lib/index.mjs');
  assert.deepEqual(Object.keys(imported).sort(), Object.keys(microbatch).sort());
});

test('npm pack: the tarball has the binary and no install script, and works in an empty directory', (t) => {
  const place = mkdtempSync(path.join(tmpdir(), 'microbatch-pack-'));
  t.after(() => rmSync(place, { recursive: true }));
  const npm = (args, cwd) => execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund', '--offline'], { cwd, encoding: 'utf8' });
  const [{ filename, files }] = JSON.parse(npm(['pack', '--json', '--pack-destination', place], here));
  const names = files.map((file) => file.path);
  assert.ok(names.includes(`prebuilds/${process.platform}-${process.arch}/microbatch.node`), names.join(' '));
  assert.ok(names.every((name) => /^(lib|prebuilds)\/|^(package\.json|README\.md|LICENSE)/.test(name)), names.join(' '));
  const { scripts } = JSON.parse(readFileSync(path.join(here, 'package.json'), 'utf8'));
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare', 'prepack']) {
    assert.equal(scripts[hook], undefined);
  }
  const user = path.join(place, 'user');
  mkdirSync(user);
  writeFileSync(path.join(user, 'package.json'), '{"name": "user", "private": true}');
  npm(['install', '--ignore-scripts', path.join(place, filename)], user);
  // the first lines of the README, as they stand there, with a table for the database
  const [, lines] = /```js\n(.*?)```/s.exec(readFileSync(path.join(here, 'README.md'), 'utf8'));
  const [, imports, body] = /^(import .*?;\n)(.*)$/s.exec(lines);
  const before = "const db = { query: async (text, [ids]) => ids.map((id) => ({ id, name: 'user ' + id })) };\n";
  const after = 'console.log(a.name, b.name);\n';
  const required = imports.replace(/import (.*) from (.*);/, 'const $1 = require($2);');
  writeFileSync(path.join(user, 'lines.mjs'), imports + before + body + after);
  writeFileSync(path.join(user, 'lines.cjs'), `${required}${before}(async () => {${body}${after}})();`);
  const typed = before.replace('(text, [ids])', '(text: string, [ids]: number[][])').replace('ids.map', 'ids!.map');
  writeFileSync(path.join(user, 'lines.mts'), imports + typed + body.replace('new Batcher(', 'new Batcher<number, { id: number; name: string }>(') + after);
  const options = { ...JSON.parse(readFileSync(path.join(here, 'tests/types/tsconfig.json'), 'utf8')).compilerOptions, noEmit: false, outDir: 'made' };
  writeFileSync(path.join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, typeRoots: [path.join(here, 'node_modules/@types')] }, files: ['lines.mts'] }));
  try {
    execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', user]);
  } catch (refused) {
    assert.fail(String(refused.stdout));
  }
  for (const file of ['lines.mjs', 'lines.cjs', 'made/lines.mjs']) {
    assert.equal(execFileSync(process.execPath, [file], { cwd: user, encoding: 'utf8' }), 'user 1 user 2\n', file);
  }
});

test('the binary exports what node looks for, and nothing else', () => {
  const binary = path.join(here, `prebuilds/${process.platform}-${process.arch}/microbatch.node`);
  const symbols = execFileSync('nm', ['--dynamic', '--defined-only', '--format=posix', binary], { encoding: 'utf8' });
  const names = symbols.trim().split('\n').map((line) => line.split(' ')[0]).sort();
  assert.deepEqual(names, ['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
});
