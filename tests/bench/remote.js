/**
 * Rivals in a thread or process of their own, which take their turns when they are told to. They read lines and answer
 * each with one:
 *
 *     begin <kernel> <size> ...   makes that case, from cases.js by its name, with a tensor of each size: `ok` or `no <why>`
 *     run <steps>                 the nanoseconds that so many steps took
 *     weight                      the first weight
 *     end                         `ok`: gives the case's memory back
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { sizeOf } from './cases.js';

/** @typedef {(line: string) => Promise<string>} Ask */

/**
 * @param {string} name
 * @param {Ask} ask
 * @param {(kernel: import('./cases.js').Kernel, model: import('./cases.js').Model) => string | undefined} [refuses]
 * @returns {import('./rivals.js').Rival}
 */
export function remote(name, ask, refuses) {
  return {
    name,
    refuses,
    async begin(kernel, { shapes }) {
      const answer = await ask(`begin ${kernel.name} ${shapes.map(sizeOf).join(' ')}`);
      if (answer !== 'ok') throw new Error(`${name}: ${answer}`);
      return {
        time: async (steps) => Number(await ask(`run ${steps}`)),
        weight: async () => Number(await ask('weight')),
        end: () => ask('end'),
      };
    },
  };
}

/**
 * @param {URL} file that answers messages by messages
 * @returns {{ ask: Ask, close: () => void }}
 */
export function startWorker(file) {
  const worker = new Worker(file);
  return conversation((line) => worker.postMessage(line), (listen) => worker.on('message', listen),
    (fail) => worker.on('error', fail), () => worker.terminate());
}

/**
 * @param {string[]} command
 * @returns {{ ask: Ask, close: () => void }}
 */
export function startProcess([program, ...args]) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = ''; // frameworks chatter: it is shown when they fail
  child.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-2000);
  });
  const lines = createInterface({ input: child.stdout });
  return conversation((line) => child.stdin.write(`${line}\n`), (listen) => lines.on('line', listen), (fail) => {
    child.on('error', fail);
    child.on('exit', (code) => fail(new Error(`${program} ${args.join(' ')} ended with ${code}: ${said}`)));
  }, () => child.kill());
}

/**
 * @param {(line: string) => unknown} send
 * @param {(listen: (line: string) => void) => unknown} receive
 * @param {(fail: (error: Error) => void) => unknown} onFailure
 * @param {() => unknown} end
 * @returns {{ ask: Ask, close: () => void }}
 */
function conversation(send, receive, onFailure, end) {
  /** @type {{ resolve: (line: string) => void, reject: (error: Error) => void } | undefined} */
  let waiting;
  /** @type {Error | undefined} */
  let broken;
  receive((line) => waiting?.resolve(line));
  onFailure((error) => {
    broken = error;
    waiting?.reject(error);
  });
  return {
    ask(line) {
      if (broken) return Promise.reject(broken);
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        send(line);
      });
    },
    close: end,
  };
}
