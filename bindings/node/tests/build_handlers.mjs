// Compiles tests/native/handlers.c into a library of its own that links to nothing.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const ROOT = process.env.MICROBATCH_ROOT ?? path.resolve(import.meta.dirname, '../../..');
export const scratch = mkdtempSync(path.join(tmpdir(), 'microbatch-native-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));

export const library = path.join(scratch, 'handlers.so');
execFileSync(process.env.CC ?? 'cc', [
  '-std=c89', '-pedantic-errors', '-Wall', '-Wextra', '-Werror', '-I', path.join(ROOT, 'include'), '-shared', '-fPIC',
  '-nostdlib', '-Wl,-z,defs', path.join(import.meta.dirname, 'native/handlers.c'), '-o', library,
]);
