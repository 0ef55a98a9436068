/// <reference types="node" />
/**
 * Checkpoints on disk, in Node: files that are there whole, or as they were before, whatever happens while they are
 * written.
 *
 *     import { loadFile, saveFile } from 'rmsprop-wasm/node';
 *
 *     saveFile('run.safetensors', optimizer.save({ variables: true }));
 *     optimizer.load(loadFile('run.safetensors'));
 *
 * An entry of its own, since it needs Node's modules, which browsers do not have.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync, fchmodSync, fsyncSync, lstatSync, openSync, readFileSync, realpathSync, renameSync, statSync, unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { show, typeError } from './check.js';
import { isBytes, isUrl } from './core/identity.js';

/** What a system call's failure means to somebody who saves a file. @type {Record<string, string>} */
const REASONS = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file is larger than the system allows',
  EACCES: 'there is no permission',
  EPERM: 'there is no permission',
  EROFS: 'the file system is read-only',
  ENOENT: 'the directory or file does not exist',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'the path is a directory',
  EIO: 'the device failed',
};

/**
 * Writes a file atomically: into a temporary file of the same directory, which is flushed to the disk and then renamed.
 * Killed at any moment, the process leaves the old file or the new one, whole; at worst a temporary file besides, whose
 * name begins with that of the file and ends in `.tmp`. An existing file's permissions are kept, and a symbolic link is
 * followed.
 *
 * @param {string | URL} path
 * @param {Uint8Array | { save: (options: { variables: true }) => Uint8Array }} content bytes, or an optimizer, which is
 *   then saved with its variables
 * @throws {TypeError} for other arguments
 * @throws {Error} where the file cannot be written (disk full, no permission, directory missing …), with the system's
 *   `code` and the original error as `cause`; the old file is as it was and no temporary file is left. "Cannot be
 *   flushed to its directory" alone means that the new file is there, but may be lost with the power
 */
export function saveFile(path, content) {
  const given = pathOf(path);
  const bytes = bytesOf(content);
  const target = attempt('saved', given, () => followed(given));
  const folder = dirname(target);
  // In the same directory: only within a file system is renaming atomic. At random: threads share the process's id, and
  // a container's next run has that of the one that was killed and left a file.
  const temporary = join(folder, `${basename(target)}.${randomBytes(8).toString('hex')}.tmp`);
  attempt('saved', given, () => {
    const mode = existingMode(target);
    // 'wx' never writes through a file or link that somebody has put there.
    const file = openSync(temporary, 'wx', mode ?? 0o666);
    try {
      try {
        if (mode !== undefined) fchmodSync(file, mode);
        for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(temporary, target);
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    }
  });
  attempt('flushed to its directory', given, () => syncFolder(folder));
}

/**
 * @param {string | URL} path
 * @returns {Uint8Array} the whole file, at the start of a buffer of its own
 * @throws {TypeError} for another argument
 * @throws {Error} where it cannot be read, with the system's `code` and the original error as `cause`
 */
export function loadFile(path) {
  const given = pathOf(path);
  // Node hands out small files as parts of a shared pool, whose offsets do not suit typed arrays.
  return attempt('loaded', given, () => new Uint8Array(readFileSync(given)));
}

/**
 * @param {unknown} path
 * @returns {string}
 */
function pathOf(path) {
  const text = isUrl(path) && path.protocol === 'file:' ? fileURLToPath(path.href) : path;
  if (typeof text !== 'string') throw typeError('path', 'a string or file: URL', path);
  if (text === '' || text.includes('\0')) throw typeError('path', 'the name of a file', path);
  return text;
}

/**
 * @param {any} content
 * @returns {Uint8Array}
 */
function bytesOf(content) {
  const bytes = typeof content?.save === 'function' ? content.save({ variables: true }) : content;
  if (!isBytes(bytes)) throw typeError('content', 'a Uint8Array or an optimizer', content);
  return bytes;
}

/**
 * @param {string} path
 * @returns {string} where a symbolic link leads, so that it stays one
 */
function followed(path) {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
  return isLink ? realpathSync(path) : path;
}

/**
 * @param {string} path
 * @returns {number | undefined} the permissions of the file that is there
 */
function existingMode(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  // Renaming onto another kind of file would fail only later, or replace a device.
  if (!stats.isFile()) {
    const code = stats.isDirectory() ? 'EISDIR' : 'EINVAL';
    throw Object.assign(new Error('it is no regular file'), { code });
  }
  return stats.mode & 0o7777;
}

/**
 * Flushes the entries of a directory, without which a rename may be lost when power is. Windows has no such call, some
 * file systems refuse it, and not everybody may read a directory that he may write to: the file is saved all the same.
 *
 * @param {string} folder
 */
function syncFolder(folder) {
  if (process.platform === 'win32') return;
  try {
    const handle = openSync(folder, 'r');
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    const { code = '' } = /** @type {NodeJS.ErrnoException} */ (error);
    if (!['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP'].includes(code)) throw error;
  }
}

/**
 * @template T
 * @param {string} what was to be done
 * @param {string} path
 * @param {() => T} action
 * @returns {T}
 */
function attempt(what, path, action) {
  try {
    return action();
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    const reason = REASONS[code ?? ''] ?? message;
    throw Object.assign(new Error(`${show(path)} cannot be ${what}: ${reason} (${code})`, { cause: error }), { code });
  }
}
