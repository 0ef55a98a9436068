/** The Python of the tests: a virtual environment that tests/setup.js makes, with what requirements.txt pins. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const pythonFolder = fileURLToPath(new URL('../.venv', import.meta.url));

export const python = process.platform === 'win32'
  ? join(pythonFolder, 'Scripts', 'python.exe')
  : join(pythonFolder, 'bin', 'python');

/** For the `skip` of a test: false where Python is, else why not. */
export const skipWithoutPython = existsSync(python)
  ? false
  : 'there is no tests/.venv: `node tests/setup.js` makes it, or says why it cannot';
