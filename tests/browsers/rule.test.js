/**
 * The texts that js/core/rule-text.js prints, compiled and run by WebGL 2 and WebGPU: every row of the rules and every
 * option, alone and among others, against the rule over numbers.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formOf, numbers, scalarsOf, step } from '../../js/core/rule.js';
import { functions, stepText } from '../../js/core/rule-text.js';
import * as constants from '../../js/generated/constants.js';
import { rules } from '../../js/generated/rmsprop.js';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @type {{ url: string, close: () => Promise<void> }} */
let server;
before(async () => {
  server = await serve(root);
});
after(() => server.close());

/** @typedef {import('../../js/core/rule-text.js').ArrayName} ArrayName */
/** @typedef {{ name: string, arrays: ArrayName[], results: string[], body: string, scalars: Record<string, number> }} Program */

const NUMBERS = {
  learning_rate: 0.013, rho: 0.9, momentum: 0.7, epsilon: 1e-3, weight_decay: 0.1, loss_scale: 3, accumulation_steps: 7,
  clip_value: 0.4, clip_norm: 0.6, bias_correction: 1.7, ema_momentum: 0.95,
};
const NORM = 0.8;
const SIZE = 64;

/** No variance among them all but vanishes, where the roundings of a GPU would be everything. */
const elements = (/** @type {ArrayName} */ name) => Array.from({ length: SIZE }, (_, i) => Math.fround(
  name === 'mean_square' ? 0.5 + i / SIZE : Math.sin((i + 1) * (name.length + 1)) / (name === 'mean_gradient' ? 4 : 1)));

const forms = rules.flatMap((_, row) => {
  const flags = Object.entries(constants).filter(([name]) => /^RMS_(?!RULE|FLOAT|KEEP)/.test(name)).map(([, flag]) => flag);
  const all = constants.RMS_UNSCALE | constants.RMS_DECAY_WEIGHTS | constants.RMS_CLIP_BY_VALUE | constants.RMS_CLIP_BY_GLOBAL_NORM
    | constants.RMS_MAXIMIZE | constants.RMS_NESTEROV | constants.RMS_CORRECT_BIAS | constants.RMS_OVERWRITE;
  const plain = /** @type {ArrayName[]} */ (['value', 'gradient', 'mean_square']);
  const every = /** @type {ArrayName[]} */ ([...plain, 'mean_gradient', 'momentum', 'average', 'accumulator']);
  return [[0, plain], ...[0, ...flags, all].map((flag) => [flag, every])].map(([flag, arrays]) => ({ row, flags: flag, arrays }));
});

/**
 * @param {import('../../js/core/rule-text.js').Type} type
 * @returns {{ programs: Program[], expected: Record<string, number[]>[] }}
 */
function programsOf(type) {
  const algebra = numbers(Math.fround);
  /** @type {Record<string, number[]>[]} */
  const expected = [];
  const programs = /** @type {any[]} */ (forms).map(({ row, flags, arrays }) => {
    const namesRows = row === constants.TF1_ROWS;
    const options = { ...NUMBERS, rule: namesRows ? constants.RMS_RULE_TF1 : row, flags };
    const form = formOf(options, Math.fround, { namesRows });
    const scalars = { ...scalarsOf(options, form.row, Math.fround), norm: NORM };
    const changes = Array.from({ length: SIZE }, (_, i) => {
      const one = /** @type {any} */ (Object.fromEntries(arrays.map((/** @type {ArrayName} */ name) => [name, elements(name)[i]])));
      return /** @type {Record<string, number>} */ (step(algebra, form, scalars, one, NORM));
    });
    const results = Object.keys(changes[0]);
    expected.push(Object.fromEntries(results.map((name) => [name, changes.map((change) => change[name])])));
    return { name: `row ${row}, flags ${flags}`, arrays, results, body: stepText(form, arrays, { type }), scalars };
  });
  return { programs, expected };
}

/**
 * Runs in the page.
 *
 * @param {Program[]} programs
 * @param {Record<string, number[]>} inputs
 * @param {'float' | 'vec4'} type
 * @param {string} library
 */
function runOnWebGl(programs, inputs, type, library) {
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl) return null;
  const lanes = type === 'vec4' ? 4 : 1;
  const length = inputs.value.length;
  const shader = (/** @type {number} */ kind, /** @type {string} */ text) => {
    const made = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(made, `#version 300 es\nprecision highp float;\n${text}`);
    gl.compileShader(made);
    if (!gl.getShaderParameter(made, gl.COMPILE_STATUS)) throw new Error(`${gl.getShaderInfoLog(made)}\n${text}`);
    return made;
  };
  const fragment = shader(gl.FRAGMENT_SHADER, 'out vec4 color; void main() { color = vec4(0.0); }');
  return programs.map(({ arrays, results, body, scalars }) => {
    const program = /** @type {WebGLProgram} */ (gl.createProgram());
    gl.attachShader(program, shader(gl.VERTEX_SHADER, [
      ...Object.keys(scalars).map((name) => `uniform float step_${name};`),
      ...arrays.map((name) => `in ${type} in_${name};`),
      ...results.map((name) => `out ${type} out_${name};`),
      library,
      'void main() {',
      ...arrays.map((name) => `${type} ${name} = in_${name};`),
      body,
      ...results.map((name) => `out_${name} = ${name};`),
      '}',
    ].join('\n')));
    gl.attachShader(program, fragment);
    gl.transformFeedbackVaryings(program, results.map((name) => `out_${name}`), gl.INTERLEAVED_ATTRIBS);
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`${gl.getProgramInfoLog(program)}`);
    gl.useProgram(program);
    for (const [name, value] of Object.entries(scalars)) gl.uniform1f(gl.getUniformLocation(program, `step_${name}`), value);
    for (const name of arrays) {
      const place = gl.getAttribLocation(program, `in_${name}`);
      if (place < 0) continue; // the text does not read it
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(inputs[name]), gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, lanes, gl.FLOAT, false, 0, 0);
    }
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, null);
    gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, 0, buffer);
    gl.bufferData(gl.TRANSFORM_FEEDBACK_BUFFER, length * results.length * 4, gl.STATIC_READ);
    gl.enable(gl.RASTERIZER_DISCARD);
    gl.beginTransformFeedback(gl.POINTS);
    gl.drawArrays(gl.POINTS, 0, length / lanes);
    gl.endTransformFeedback();
    const data = new Float32Array(length * results.length);
    gl.getBufferSubData(gl.TRANSFORM_FEEDBACK_BUFFER, 0, data);
    for (let place = 0; place < 8; place++) gl.disableVertexAttribArray(place);
    const at = (/** @type {number} */ result, /** @type {number} */ i) =>
      data[(Math.floor(i / lanes) * results.length + result) * lanes + (i % lanes)];
    return Object.fromEntries(results.map((name, k) => [name, inputs.value.map((_, i) => at(k, i))]));
  });
}

/**
 * Runs in the page.
 *
 * @param {Program[]} programs
 * @param {Record<string, number[]>} inputs
 * @param {'f32' | 'vec4f'} type
 * @param {string} library
 */
async function runOnWebGpu(programs, inputs, type, library) {
  const gpu = /** @type {any} */ (navigator).gpu;
  const device = await (await gpu?.requestAdapter())?.requestDevice();
  if (!device) return null;
  const length = inputs.value.length;
  const [STORAGE, COPY_SRC, COPY_DST, MAP_READ] = [128, 4, 8, 1];
  const results = [];
  for (const { arrays, results: names, body, scalars } of programs) {
    const slots = [...new Set([...arrays, ...names])];
    const code = [
      `@group(0) @binding(0) var<storage, read_write> data: array<${type}>;`,
      library,
      ...Object.entries(scalars).map(([name, value]) => `const step_${name}: f32 = ${value.toExponential()};`),
      '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {',
      `let count = arrayLength(&data) / ${slots.length}u; let i = id.x; if (i >= count) { return; }`,
      ...slots.map((name, k) => `var ${name} = data[${k}u * count + i];`),
      body,
      ...names.map((name) => `data[${slots.indexOf(name)}u * count + i] = ${name};`),
      '}',
    ].join('\n');
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const error = messages.find((/** @type {any} */ message) => message.type === 'error');
    if (error) throw new Error(`${error.message}\n${code}`);
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    const flat = new Float32Array(slots.flatMap((name) => inputs[name] ?? new Array(length).fill(0)));
    const buffer = device.createBuffer({ size: flat.byteLength, usage: STORAGE | COPY_SRC | COPY_DST });
    const read = device.createBuffer({ size: flat.byteLength, usage: MAP_READ | COPY_DST });
    device.queue.writeBuffer(buffer, 0, flat);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }] }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(buffer, 0, read, 0, flat.byteLength);
    device.queue.submit([encoder.finish()]);
    await read.mapAsync(1);
    const data = new Float32Array(read.getMappedRange().slice(0));
    results.push(Object.fromEntries(names.map((name) => {
      const first = slots.indexOf(name) * length;
      return [name, [...data.subarray(first, first + length)]];
    })));
  }
  return results;
}

/*
 * How far they may be apart: a result comes of at most 24 operations on numbers below 8, each of which a GPU may round by
 * 2.5 ulp, half an ulp of 8 being 2^-22: 24 * 5 * 2^-22 is 2.9e-5. Seen is 1.2e-7.
 */
const BOUND = 2.9e-5;

const inputs = Object.fromEntries(/** @type {ArrayName[]} */ (
  ['value', 'gradient', 'mean_square', 'mean_gradient', 'momentum', 'average', 'accumulator']).map((name) => [name, elements(name)]));

for (const browser of browsers) {
  for (const [type, language, run] of /** @type {const} */ ([
    ['float', 'WebGL', runOnWebGl], ['vec4', 'WebGL', runOnWebGl], ['f32', 'WebGPU', runOnWebGpu], ['vec4f', 'WebGPU', runOnWebGpu],
  ])) {
    const title = `${browser.name}, ${language}: the rule's text for ${type} compiles and computes the rule`;
    test(title, { skip: browser.missing }, async (t) => {
      const page = await browser.open();
      t.after(() => page.close());
      await page.goto(`${server.url}tests/browsers/page.html`);
      const { programs, expected } = programsOf(type);
      const results = await page.evaluate(/** @type {any} */ (run), programs, inputs, type, functions(type));
      if (results === null) {
        t.skip(`${browser.name} has no ${language} here`);
        return;
      }
      let largest = 0;
      expected.forEach((arrays, k) => {
        for (const [name, values] of Object.entries(arrays)) {
          values.forEach((value, i) => {
            const distance = Math.abs(results[k][name][i] - value);
            const what = `${programs[k].name}, ${name}[${i}]: ${results[k][name][i]}, ${value}\n${programs[k].body}`;
            assert.ok(distance <= BOUND, what);
            largest = Math.max(largest, distance);
          });
        }
      });
      t.diagnostic(`${programs.length} programs, largest distance ${largest.toExponential(1)}`);
    });
  }
}
