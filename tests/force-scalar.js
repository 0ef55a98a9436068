// Preloaded (node --import) into every test process of the second run: the same tests on the kernels without SIMD.
import { configure } from 'rmsprop-wasm';
import 'rmsprop-wasm/scalar';

configure({ simd: false });
