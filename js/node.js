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
import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import {
  closeSync, fchmodSync, fchownSync, fstatSync, fsyncSync, lstatSync, openSync, readdirSync, readlinkSync, realpathSync,
  renameSync, statSync, unlinkSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { show, typeError } from './check.js';
import { bytesOf } from './core/bytes.js';
import { isUrl } from './core/identity.js';
import { readAll, writeAll } from './files/parts.js';
import { PARTS } from './safetensors.js';

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
  ELOOP: 'the symbolic link leads to itself',
  ENAMETOOLONG: 'the name is longer than the system allows',
};

/** A temporary file that nobody has written to for so long was left by a process that was killed. */
const ABANDONED_MS = 10 * 60 * 1000;

/** How many symbolic links may lead to each other, as in Linux. */
const MAX_LINKS = 40;

/** The longest name of a file, in bytes: that of the common file systems. */
const MAX_NAME = 255;

/**
 * Writes a file atomically: into a temporary file of the same directory, which is flushed to the disk and then renamed.
 * Killed at any moment, the process leaves the old file or the new one, whole; at worst a temporary file besides, whose
 * name begins with that of the file and ends in `.tmp`: a later save of the file removes it once it is ten minutes old.
 * An existing file's permissions are kept, and its owner where the system permits; a symbolic link is followed, be it
 * to a file that is not there yet. An optimizer's state is written from where it lies, without a copy of it.
 *
 * @param {string | URL} path
 * @param {Uint8Array | ArrayBuffer | { save: (options: { variables: true }) => Uint8Array }} content bytes, or an
 *   optimizer, which is then saved with its variables
 * @throws {TypeError} for other arguments, and bytes whose buffer is detached
 * @throws {Error} where the file cannot be written (disk full, no permission, directory missing …), with the system's
 *   `code` and the original error as `cause`; the old file is as it was and no temporary file is left. "Cannot be
 *   flushed to its directory" alone means that the new file is there, but may be lost with the power
 */
export function saveFile(path, content) {
  const given = pathOf(path);
  const parts = partsOf(content);
  const target = attempt('saved', given, () => followed(given));
  const folder = dirname(target);
  const beginning = beginningOf(basename(target));
  // In the same directory: only within a file system is renaming atomic. At random: threads share the process's id, and
  // a container's next run has that of the one that was killed and left a file.
  const temporary = join(folder, `${beginning}${randomBytes(8).toString('hex')}.tmp`);
  attempt('saved', given, () => {
    const existing = existingFile(target);
    // 'wx' never writes through a file or link that somebody has put there.
    const file = openSync(temporary, 'wx', existing?.mode ?? 0o666);
    try {
      try {
        if (existing) takeOver(file, existing);
        for (const part of parts) writeAll(file, part);
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
  removeAbandoned(folder, beginning);
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
  return attempt('loaded', given, () => {
    const file = openSync(given, 'r');
    try {
      return readAll(file, fstatSync(file).size);
    } finally {
      closeSync(file);
    }
  });
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
 * @returns {Uint8Array[]} what the file consists of, one behind the other
 */
function partsOf(content) {
  if (typeof content?.[PARTS] === 'function') return content[PARTS]({ variables: true });
  const bytes = typeof content?.save === 'function' ? content.save({ variables: true }) : content;
  return [bytesOf('content', bytes, 'a Uint8Array, an ArrayBuffer or an optimizer')];
}

/**
 * @param {string} path
 * @returns {string} where a symbolic link leads, so that it stays one, even if nothing is there yet
 */
function followed(path) {
  let target = path;
  for (let count = 0; lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink(); count++) {
    if (count === MAX_LINKS) throw Object.assign(new Error('too many symbolic links'), { code: 'ELOOP' });
    target = resolve(realpathSync(dirname(target)), readlinkSync(target));
  }
  return target;
}

/**
 * @param {string} name of a file
 * @returns {string} how the names of its temporary files begin, so short that the rest of the name fits
 */
function beginningOf(name) {
  const room = MAX_NAME - '.0123456789abcdef.tmp'.length;
  let beginning = name;
  while (Buffer.byteLength(beginning) > room) beginning = [...beginning].slice(0, -1).join('');
  return `${beginning}.`;
}

/**
 * Removes what processes that were killed have left. It is of no importance whether it can be done.
 *
 * @param {string} folder
 * @param {string} beginning of the names of temporary files
 */
function removeAbandoned(folder, beginning) {
  try {
    for (const name of readdirSync(folder)) {
      if (!name.startsWith(beginning) || !/^[\da-f]{16}\.tmp$/.test(name.slice(beginning.length))) continue;
      const path = join(folder, name);
      const stats = lstatSync(path, { throwIfNoEntry: false });
      if (stats?.isFile() && Date.now() - stats.mtimeMs > ABANDONED_MS) unlinkSync(path);
    }
  } catch {
    // The folder may not be read, or the file not be removed: the new file is there all the same.
  }
}

/**
 * @param {string} path
 * @returns {{ mode: number, uid: number, gid: number } | undefined} permissions and owner of the file that is there
 */
function existingFile(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  // Renaming onto another kind of file would fail only later, or replace a device.
  if (!stats.isFile()) {
    const code = stats.isDirectory() ? 'EISDIR' : 'EINVAL';
    throw Object.assign(new Error('it is no regular file'), { code });
  }
  return { mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid };
}

/**
 * Gives a file the owner and the permissions of another. Only a system's administrator may give files away, and others
 * only to groups of their own: what is not permitted is left.
 *
 * @param {number} file
 * @param {{ mode: number, uid: number, gid: number }} existing
 */
function takeOver(file, { mode, uid, gid }) {
  const own = fstatSync(file);
  const hasOwner = (own.uid === uid && own.gid === gid) || permitted(() => fchownSync(file, uid, gid));
  if (!hasOwner) permitted(() => fchownSync(file, own.uid, gid));
  // Last, for a change of the owner takes permissions away. What runs as its owner must not begin to run as another.
  fchmodSync(file, hasOwner ? mode : mode & 0o777);
}

/**
 * @param {() => void} action
 * @returns {boolean} whether the system has permitted it
 */
function permitted(action) {
  try {
    action();
    return true;
  } catch (error) {
    const { code = '' } = /** @type {NodeJS.ErrnoException} */ (error);
    if (!['EPERM', 'EACCES', 'EINVAL', 'ENOSYS', 'ENOTSUP'].includes(code)) throw error;
    return false;
  }
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
