// Runs conformance cases through Dawn, an implementation of WebGPU that shares no code with wgpu, and compares the results with the exact
// values that the Rust side wrote.
//   cargo run --release -p diffews-helpers --bin dump_cases -- DIR
//   tools/with-driver.sh lavapipe25 node tools/tint/run.mjs [--webgpu DIR] [--only REGEX] [--verbose] DIR
// Exits with 1 if any case fails, or if there are none.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    webgpu: { type: 'string', default: '.drivers/tint/node_modules/webgpu' },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
});
if (positionals.length !== 1) {
  console.error('usage: node tools/tint/run.mjs [--webgpu DIR] [--only REGEX] [--verbose] DIR');
  process.exit(2);
}
const { create, globals } = await import(pathToFileURL(path.resolve(values.webgpu, 'index.js')));
Object.assign(globalThis, globals);
// Kept alive while the program runs: Dawn aborts when it is collected.
globalThis.gpu = create(['backend=vulkan']);
const adapter = await globalThis.gpu.requestAdapter();
if (!adapter) throw new Error('Dawn finds no Vulkan adapter: lavapipe has to be 25 or newer');
const features = ['shader-f16', 'subgroups'].filter((feature) => adapter.features.has(feature));
const limits = ['maxStorageBufferBindingSize', 'maxBufferSize', 'maxComputeWorkgroupStorageSize'];
const device = await adapter.requestDevice({
  requiredFeatures: features,
  requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
});
const problems = [];
device.onuncapturederror = (event) => problems.push(event.error.message);
const { STORAGE, UNIFORM, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
const { subgroupMinSize, subgroupMaxSize } = adapter.info;
console.log(`${adapter.info.description || adapter.info.vendor} through Dawn; ${features.join(', ')}; `
  + `subgroups of ${subgroupMinSize} to ${subgroupMaxSize}`);

const read = JSON.parse(fs.readFileSync(path.join(positionals[0], 'cases.json'), 'utf8'));
// Cases refer to their shaders by number.
for (const dispatch of read.cases.flatMap((test) => test.dispatches)) dispatch.wgsl = read.texts[dispatch.wgsl];
const bin = fs.readFileSync(path.join(positionals[0], 'cases.bin'));
const bytes = bin.buffer.slice(bin.byteOffset, bin.byteOffset + bin.byteLength);

const needsSubgroups = (wgsl) => /\bsubgroup[A-Z]\w*\(|subgroup_invocation_id/.test(wgsl);

// Why the adapter cannot run a case, or null.
function lacks(test) {
  const subgroups = test.dispatches.some((d) => needsSubgroups(d.wgsl));
  if (test.storage === 'f16' && !features.includes('shader-f16')) return 'the adapter lacks shader-f16';
  if (subgroups && !features.includes('subgroups')) return 'the adapter lacks subgroups';
  if (test.lanes > 1 && subgroupMinSize < test.lanes) return `the adapter lacks subgroups of ${test.lanes} lanes or more`;
  return null;
}

// The engine's own layouts, because a text need not use every binding.
function layouts({ bindings, inputs }) {
  const entry = (binding, type) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } });
  const tensors = bindings.map((_, i) => entry(i, i < inputs ? 'read-only-storage' : 'storage'));
  return [tensors, [entry(0, 'uniform')]].map((entries) => device.createBindGroupLayout({ entries }));
}

// Each is compiled once, all at the same time: Dawn has threads for it.
const pipelines = new Map();
function pipeline(dispatch) {
  const { wgsl } = dispatch;
  if (!pipelines.has(wgsl)) {
    // The standard requires this line; naga rejects it.
    const module = device.createShaderModule({ code: (needsSubgroups(wgsl) ? 'enable subgroups;\n' : '') + wgsl });
    const bindGroupLayouts = layouts(dispatch);
    const layout = device.createPipelineLayout({ bindGroupLayouts });
    const made = device.createComputePipelineAsync({ layout, compute: { module, entryPoint: 'main' } });
    const ready = made.then((compiled) => ({ compiled, bindGroupLayouts }));
    ready.catch(() => {}); // reported where it is awaited
    pipelines.set(wgsl, ready);
  }
  return pipelines.get(wgsl);
}

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

// Bytes before and after every buffer's content: NaN for readers, and unchanged afterwards.
const GUARD = 4096;
const POISON = 255; // NaN as f32 and as half

function poisoned(size) {
  const buffer = device.createBuffer({ size: size + 2 * GUARD, usage: STORAGE | COPY_DST | COPY_SRC });
  device.queue.writeBuffer(buffer, 0, new Uint8Array(size + 2 * GUARD).fill(POISON));
  return buffer;
}

// Worst error / bound of the results; NaN, or Infinity, for values that no bound permits.
function compare(check, content) {
  const content8 = new Uint8Array(content);
  const guards = [content8.subarray(0, GUARD), content8.subarray(GUARD + check.bytes)];
  if (!guards.every((guard) => guard.every((byte) => byte === POISON))) return { ratio: NaN, at: 'a guard band' };
  const view = new DataView(content, GUARD, check.bytes);
  const size = check.half ? 2 : 4;
  const value = (offset) => (check.half ? half(view.getUint16(offset, true)) : view.getFloat32(offset, true));
  const real = new Set(check.places);
  const triples = new Float64Array(bytes, check.expected[0], check.expected[1] / 8);
  const overflow = new Set();
  for (let t = 0; t < triples.length; t += 3) if (triples[t + 1] === Infinity) overflow.add(triples[t]);
  for (let offset = 0; offset < check.bytes; offset += size) {
    const got = value(offset);
    if (Number.isFinite(got) === overflow.has(offset)) return { ratio: NaN, at: `byte ${offset}: got ${got}` };
    if (got !== 0 && !real.has(offset / size % check.row)) return { ratio: Infinity, at: `byte ${offset}: padding is ${got}` };
  }
  let worst = { ratio: 0, at: 'nowhere' };
  for (let t = 0; t < triples.length; t += 3) {
    const [offset, expected, bound] = triples.subarray(t, t + 3);
    if (overflow.has(offset)) continue;
    const error = Math.abs(value(offset) - expected);
    const ratio = error === 0 ? 0 : error / bound;
    if (!(ratio <= worst.ratio)) worst = { ratio, at: `byte ${offset}: got ${value(offset)}, expected ${expected}` };
  }
  return worst;
}

async function run(test) {
  const buffers = new Map();
  for (const [number, { bytes: size, data }] of Object.entries(test.buffers)) {
    const buffer = poisoned(size);
    if (data) device.queue.writeBuffer(buffer, GUARD, bytes, data[0], data[1]);
    buffers.set(Number(number), buffer);
  }
  const made = await Promise.all(test.dispatches.map(pipeline));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const extra = [];
  for (const [i, dispatch] of test.dispatches.entries()) {
    const padded = new Uint8Array(Math.ceil(dispatch.params.length / 16) * 16);
    padded.set(dispatch.params);
    const params = device.createBuffer({ size: padded.length, usage: UNIFORM | COPY_DST });
    device.queue.writeBuffer(params, 0, padded);
    extra.push(params);
    const entries = dispatch.bindings.map(([number, offset, size], binding) =>
      ({ binding, resource: { buffer: buffers.get(number), offset: GUARD + offset, size } }));
    const { compiled, bindGroupLayouts } = made[i];
    const groups = [entries, [{ binding: 0, resource: { buffer: params } }]];
    pass.setPipeline(compiled);
    groups.forEach((group, g) => {
      pass.setBindGroup(g, device.createBindGroup({ layout: bindGroupLayouts[g], entries: group }));
    });
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }
  pass.end();
  const readbacks = test.checks.map(({ buffer, bytes: size }) => {
    const to = device.createBuffer({ size: size + 2 * GUARD, usage: COPY_DST | MAP_READ });
    encoder.copyBufferToBuffer(buffers.get(buffer), 0, to, 0, size + 2 * GUARD);
    extra.push(to);
    return to;
  });
  device.queue.submit([encoder.finish()]);
  let worst = { ratio: 0, at: 'nowhere' };
  for (const [i, check] of test.checks.entries()) {
    await readbacks[i].mapAsync(GPUMapMode.READ);
    const found = compare(check, readbacks[i].getMappedRange().slice(0));
    if (!(found.ratio <= worst.ratio)) worst = found;
    if (Number.isNaN(worst.ratio)) break;
  }
  [...buffers.values(), ...extra].forEach((buffer) => buffer.destroy());
  if (problems.length) worst = { ratio: NaN, at: problems.splice(0).join('; ') };
  return worst;
}

const attempt = (test) => run(test).catch((error) => ({ ratio: NaN, at: error.message }));
const only = new RegExp(values.only);
const name = (test) => `${test.kernel} ${test.storage} ${test.form} ${test.case}`;
const selected = read.cases.filter((test) => only.test(name(test)));
const left = new Map();
const leave = (reason, count = 1) => left.set(reason, (left.get(reason) ?? 0) + count);
const possible = selected.filter((test) => {
  const reason = lacks(test);
  if (reason) leave(reason);
  return !reason;
});
possible.flatMap((test) => test.dispatches).forEach((dispatch) => pipeline(dispatch));
let failed = 0;
for (const test of possible) {
  const { ratio, at } = await attempt(test);
  if (values.verbose) console.log(`${name(test)}: ${ratio}`);
  if (!(ratio <= 1)) {
    failed += 1;
    console.log(`FAIL ${name(test)}: error/bound ${ratio} at ${at}`);
  }
}
// Faults that must be detected: a wrong factor, and an element that is not written.
const control = read.cases.find((test) => test.kernel === 'numbers' && test.case === 'exp');
for (const wrong of ['output[i] = 1.0001 * exp(x)', 'if i > 0u { output[i] = exp(x); }']) {
  const faulty = structuredClone(control);
  faulty.dispatches[0].wgsl = faulty.dispatches[0].wgsl.replace('output[i] = exp(x)', wrong);
  const { ratio, at } = await attempt(faulty);
  if (ratio <= 1 || !at.startsWith('byte')) {
    failed += 1;
    console.log(`FAIL the control: "${wrong}" is not seen, this run checks nothing (${at})`);
  }
}
if (!values.only) {
  leave(`more than ${read.most_bytes} bytes`, read.too_large);
  const ran = new Set(possible.flatMap((test) => test.dispatches.map((dispatch) => dispatch.variant)));
  const missing = read.variants.filter((variant) => !ran.has(variant));
  console.log(`${ran.size} of ${read.variants.length} variants x storages ran; in no case that ran: ${missing.join(', ') || 'none'}`);
}
left.forEach((count, reason) => console.log(`${count} not run: ${reason}`));
console.log(`${possible.length} cases through Dawn, ${failed} failed`);
device.destroy();
process.exit(failed || !possible.length ? 1 : 0);
