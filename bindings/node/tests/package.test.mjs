// The package: its types, as the compiler sees them; its tarball, installed in an empty directory; what the binary exports.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import microbatch from '../lib/index.cjs';

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
  cpSync(path.join(here, 'tests/types/tsconfig.json'), path.join(user, 'tsconfig.json'));
  writeFileSync(path.join(user, 'package.json'), '{"name": "user", "private": true}');
  npm(['install', '--ignore-scripts', path.join(place, filename)], user);
  const program = "import { Batcher } from 'microbatch'; const b = new Batcher((v) => v); console.log(await b.submit('works')); await b.close();";
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: user, encoding: 'utf8' });
  assert.equal(out, 'works\n');
});

test('the binary exports what node looks for, and nothing else', () => {
  const binary = path.join(here, `prebuilds/${process.platform}-${process.arch}/microbatch.node`);
  const symbols = execFileSync('nm', ['--dynamic', '--defined-only', '--format=posix', binary], { encoding: 'utf8' });
  const names = symbols.trim().split('\n').map((line) => line.split(' ')[0]).sort();
  assert.deepEqual(names, ['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
});
