/**
 * `npm run demo`: sets up, builds and serves the page. `npm run demo:build`: builds it for any static host.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { integerIn } from '../training/arguments.js';
import { serve } from './serve.js';
import { DEMO_FOLDER, FASHION_FOLDER, buildDemo } from './build.js';

/** @param {string} line */
const print = (line) => process.stdout.write(`${line}\n`);

function parseArguments() {
  const here = relative(process.cwd(), DEMO_FOLDER);
  return new Command('demo')
    .description('Builds the page that trains networks in the browser, and serves it on this machine.')
    .addOption(new Option('--build', 'build only').hideHelp())
    .addOption(new Option('--folder <path>', 'where to build')
      .argParser((path) => resolve(path)).default(DEMO_FOLDER, here))
    .option('--port <number>', 'of the server; 0: one that is free', integerIn(0, 65535), 8080)
    .option('--open', 'open the page in the browser')
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
    .showHelpAfterError('(npm run demo -- --help shows all options)')
    .parse()
    .opts();
}

/** Brings Fashion-MNIST where that can be done without a question; the page says so where it could not. */
function installFashion() {
  if (existsSync(FASHION_FOLDER) || process.getuid?.() !== 0 || !succeeds('apt-get', ['--version'])) return;
  print('Installing dataset-fashion-mnist by apt-get (31 MB, once) ...');
  const install = () => succeeds('apt-get', ['install', '--yes', '--no-install-recommends', 'dataset-fashion-mnist']);
  // The lists of packages may be old, or none.
  if (!install() && !(succeeds('apt-get', ['update']) && install())) print('That failed; the page goes without it.');
}

/**
 * @param {string} program
 * @param {string[]} args
 * @returns {boolean} whether it could be run and ended well
 */
function succeeds(program, args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(program, args, { stdio: 'ignore', env }).status === 0;
}

/** @param {string} url */
function open(url) {
  /** @type {Partial<Record<NodeJS.Platform, [string, string[]]>>} */
  const openers = { darwin: ['open', [url]], win32: ['cmd', ['/c', 'start', '', url]] };
  const [program, args] = openers[process.platform] ?? ['xdg-open', [url]];
  const opened = spawn(program, args, { stdio: 'ignore', detached: true });
  opened.once('error', () => print(`There is no ${program} here: open ${url} yourself.`));
  opened.unref();
}

async function main() {
  const { build, folder, port, open: opens } = parseArguments();
  const start = performance.now();
  installFashion();
  const { missing } = await buildDemo({ folder });
  print(`Built in ${((performance.now() - start) / 1000).toFixed(1)} s: ${relative(process.cwd(), folder) || '.'}`);
  for (const why of Object.values(missing)) print(`Note: ${why}.`);
  if (build) {
    print('Any static host can serve this folder. Nothing else is needed: no server code, no special headers.');
    return;
  }
  const { url, close } = await serve(folder, { port });
  print(`\nThe page is at ${url}\nCtrl-C ends the server.`);
  process.once('SIGINT', () => void close().then(() => process.exit()));
  if (opens) open(url);
}

try {
  await main();
} catch (error) {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  const hint = isTaken ? ' (npm run demo -- --port 0 takes a port that is free)' : '';
  process.stderr.write(`error: ${error instanceof Error ? error.message : error}${hint}\n`);
  process.exitCode = 1;
}
