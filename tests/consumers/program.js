/**
 * What every consumer runs: three steps of the documented example, sparse steps, and a checkpoint from which training goes
 * on. It is run as it stands here and, as text, in every consumer: so it may refer to nothing outside of itself.
 *
 * @param {Pick<typeof import('rmsprop-wasm'), 'RMSprop' | 'indexedSlices' | 'variable'>} package_
 * @returns {string} the bits of all weights
 */
export function program({ RMSprop, indexedSlices, variable }) {
  const x = variable(10);
  const optimizer = new RMSprop({ learningRate: 0.1 });
  for (let step = 0; step < 3; step++) {
    optimizer.minimize(() => ({ loss: x.data[0] ** 2 / 2, gradients: [x.data] }), [x]);
  }

  const options = { learningRate: 0.1, momentum: 0.9 };
  const rows = indexedSlices([[0.5, -0.5], [1, 2], [0.25, 0.25]], [2, 0, 2]);
  const table = variable([[1, 2], [3, 4], [5, 6]], { name: 'table' });
  const first = new RMSprop(options);
  first.apply([rows], [table]);

  const copy = variable([[0, 0], [0, 0], [0, 0]], { name: 'table' });
  const second = new RMSprop(options);
  second.build([copy]);
  second.load(first.save({ variables: true }));
  first.apply([rows], [table]);
  second.apply([rows], [copy]);

  const weights = [x, table, copy].flatMap((variable) => Array.from(variable.data));
  return Array.from(new Uint32Array(Float32Array.from(weights).buffer), (bits) => bits.toString(16)).join(' ');
}
