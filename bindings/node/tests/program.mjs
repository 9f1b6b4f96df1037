// Programs in processes of their own.
import { spawn } from 'node:child_process';

/** How long a test may take before it counts as hung, in ms: `MICROBATCH_WATCHDOG` seconds, or 120. */
export const WATCHDOG = 1000 * Number(process.env.MICROBATCH_WATCHDOG ?? 120);
const IMPORT = "import { Batcher } from 'microbatch';";

/** Runs a program in a process of its own: {code, signal, out, err}. One that hangs is killed, which shows as a signal. */
export function program(source, flags = [], watchdog = WATCHDOG) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', `${IMPORT}${source}`], {
      cwd: import.meta.dirname, timeout: watchdog, killSignal: 'SIGKILL',
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (err += data));
    child.on('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}
