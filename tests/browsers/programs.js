/** Programs of this machine: where they are, what they print, and that none outlives the tests. */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants as modes } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * Milliseconds after which something has to be called hanging: far more than it takes on a machine that is busy. It is no
 * measurement, and what is expected to be late has another limit.
 */
export const HANG_MS = 600_000;

/** The process groups to end with this process. @type {Set<number>} */
const groups = new Set();

process.on('exit', () => {
  for (const group of groups) endGroup(group);
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  // Left to itself, a signal ends a process without an 'exit'.
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
}

/**
 * @param {readonly string[]} names
 * @param {readonly string[]} [folders] default: those of PATH
 * @returns {string | undefined} the path of the first that is there
 */
export function whereIs(names, folders = (process.env.PATH ?? '').split(delimiter)) {
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((file) => {
    try {
      accessSync(file, modes.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * @param {string[]} command
 * @param {Record<string, string>} [env] in addition to ours
 * @returns {string} what it prints, '' when it fails
 */
export function output([program, ...args], env) {
  const { status, stdout } = spawnSync(program, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: HANG_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : '';
}

/**
 * Starts a program with a process group of its own, so that what it starts ends with it.
 *
 * @param {string[]} command
 * @param {Record<string, string>} [env] in addition to ours
 * @returns {import('node:child_process').ChildProcess} its descriptor 3 is a pipe, to read what it writes there
 */
export function start([program, ...args], env) {
  const child = spawn(program, args, {
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  child.once('error', () => {}); // whoever waits for it sees that nothing comes
  own(child);
  return child;
}

/**
 * Lets a program end with this process.
 *
 * @param {import('node:child_process').ChildProcess | null} child that leads a process group
 */
export function own(child) {
  if (child?.pid !== undefined) groups.add(child.pid);
}

/**
 * @param {import('node:child_process').ChildProcess} child of `start`, or owned
 */
export function end(child) {
  if (child.pid !== undefined) endGroup(child.pid);
}

/** @param {number} group */
function endGroup(group) {
  if (!groups.delete(group)) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Something took longer than its limit. */
export class LateError extends Error {}

/**
 * @template T
 * @param {string} what
 * @param {number} milliseconds
 * @param {Promise<T>} promise
 * @returns {Promise<T>} what it gives, in time
 * @throws {LateError} naming what took too long
 */
export async function inTime(what, milliseconds, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new LateError(`${what} took longer than ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await /** @type {Promise<T>} */ (Promise.race([promise, late]));
  } finally {
    clearTimeout(timer);
  }
}
