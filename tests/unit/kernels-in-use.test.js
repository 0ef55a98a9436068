import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RMSprop, variable } from 'rmsprop-wasm';
import { keras } from '../../js/generated/keras.js';
import { scalar } from '../../js/generated/scalar.js';

// tests/all.js runs every test twice; this one tells whether its choice of kernels reaches the test processes.
const expected = process.env.RMSPROP_KERNELS ?? 'simd';

test(`the tests run on the ${expected} kernels`, (t) => {
  const { mock } = t.mock.method(WebAssembly, 'Module');
  const weight = variable(10);
  const optimizer = new RMSprop({ learningRate: 0.1 });
  optimizer.apply([weight.data], [weight]);

  const compiled = mock.calls.map(({ arguments: [bytes] }) => Buffer.from(/** @type {Uint8Array} */ (bytes)));
  assert.deepEqual(compiled, [Buffer.from((expected === 'scalar' ? scalar : keras).hex, 'hex')]);
  assert.equal(weight.data[0], Math.fround(9.683772));
});
