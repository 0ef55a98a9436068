/**
 * What the toolkits are to the type checker, for files of folders that have not installed them.
 *
 * @typedef {typeof import('@tensorflow/tfjs-layers') & typeof import('@tensorflow/tfjs-core') & { wasm: any }} TF
 */
export {};
