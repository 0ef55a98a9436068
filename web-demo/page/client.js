/**
 * The page's end of the worker: requests with answers as promises, and news to whoever listens.
 */

/** @typedef {import('./session.js').Request} Request */
/** @typedef {import('./session.js').Reply} Reply */
/** @typedef {Exclude<Reply, { type: 'answer' }>} News */

/** Starts the worker, and talks to it. */
export class Client {
  #worker;
  #asked = 0;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();

  /** @param {(news: News) => void} onNews */
  constructor(onNews) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = ({ data }) => {
      if (data.type === 'answer') {
        this.#waiting.get(data.id)?.resolve(data.value);
        this.#waiting.delete(data.id);
        return;
      }
      if (data.type === 'failed') {
        for (const { reject } of this.#waiting.values()) reject(new Error(data.message));
        this.#waiting.clear();
      }
      onNews(data);
    };
    this.#worker.onerror = ({ message }) => {
      onNews({ type: 'failed', message: message || 'the worker could not start' });
    };
  }

  /**
   * Tells the worker something.
   *
   * @param {Request} request without an answer
   */
  send(request) {
    this.#worker.postMessage(request);
  }

  /**
   * Asks the worker something.
   *
   * @param {Record<string, any> & { type: 'predict' | 'inspect' | 'sample' | 'save' }} request with an answer
   * @returns {Promise<any>}
   */
  ask(request) {
    const id = ++this.#asked;
    this.#worker.postMessage({ ...request, id });
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }
}
