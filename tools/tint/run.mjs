// Runs conformance cases through Dawn, an implementation of WebGPU that shares no code with wgpu, and compares them with
// the exact values that the Rust side wrote.
//   cargo run --release --example dump_cases -- DIR
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
// Held for as long as the program runs: Dawn aborts when it is collected.
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
console.log(`${adapter.info.description || adapter.info.vendor} through Dawn; ${features.join(', ')}`);

const read = JSON.parse(fs.readFileSync(path.join(positionals[0], 'cases.json'), 'utf8'));
const bin = fs.readFileSync(path.join(positionals[0], 'cases.bin'));
const bytes = bin.buffer.slice(bin.byteOffset, bin.byteOffset + bin.byteLength);

const pipelines = new Map();
function pipeline(wgsl, constants) {
  const key = JSON.stringify([wgsl, constants]);
  if (!pipelines.has(key)) {
    const subgroups = /\bsubgroup[A-Z]\w*\(|subgroup_invocation_id/.test(wgsl);
    const module = device.createShaderModule({ code: (subgroups ? 'enable subgroups;\n' : '') + wgsl });
    pipelines.set(key, device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main', constants } }));
  }
  return pipelines.get(key);
}

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

// Worst error / bound of a case; NaN if anything is NaN.
async function run(test) {
  const buffers = new Map();
  for (const [number, { bytes: size, data }] of Object.entries(test.buffers)) {
    const buffer = device.createBuffer({ size, usage: STORAGE | COPY_DST | COPY_SRC });
    if (data) device.queue.writeBuffer(buffer, 0, bytes, data[0], data[1]);
    // Poison: NaN where nothing is written.
    else device.queue.writeBuffer(buffer, 0, new Uint8Array(size).fill(255));
    buffers.set(Number(number), buffer);
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const extra = [];
  for (const dispatch of test.dispatches) {
    const compiled = pipeline(dispatch.wgsl, dispatch.overrides);
    const params = device.createBuffer({ size: Math.ceil(dispatch.params.length / 16) * 16, usage: UNIFORM | COPY_DST });
    const padded = new Uint8Array(Math.ceil(dispatch.params.length / 16) * 16);
    padded.set(dispatch.params);
    device.queue.writeBuffer(params, 0, padded);
    extra.push(params);
    const entries = dispatch.bindings.map(([number, offset, size], binding) =>
      ({ binding, resource: { buffer: buffers.get(number), offset, size } }));
    pass.setPipeline(compiled);
    pass.setBindGroup(0, device.createBindGroup({ layout: compiled.getBindGroupLayout(0), entries }));
    pass.setBindGroup(1, device.createBindGroup({
      layout: compiled.getBindGroupLayout(1), entries: [{ binding: 0, resource: { buffer: params } }],
    }));
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }
  pass.end();
  const readbacks = test.checks.map(({ buffer }) => {
    const from = buffers.get(buffer);
    const to = device.createBuffer({ size: from.size, usage: COPY_DST | MAP_READ });
    encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
    return to;
  });
  device.queue.submit([encoder.finish()]);
  let worst = { ratio: 0, at: 'nowhere' };
  for (const [i, check] of test.checks.entries()) {
    await readbacks[i].mapAsync(GPUMapMode.READ);
    const view = new DataView(readbacks[i].getMappedRange());
    const triples = new Float64Array(bytes, check.expected[0], check.expected[1] / 8);
    for (let t = 0; t < triples.length; t += 3) {
      const [offset, value, bound] = triples.subarray(t, t + 3);
      const got = check.half ? half(view.getUint16(offset, true)) : view.getFloat32(offset, true);
      const error = Math.abs(got - value);
      const ratio = error === 0 ? 0 : error / bound;
      if (!(ratio <= worst.ratio)) worst = { ratio, at: `byte ${offset}: got ${got}, expected ${value}` };
      if (Number.isNaN(worst.ratio)) break;
    }
    readbacks[i].destroy();
  }
  [...buffers.values(), ...extra].forEach((buffer) => buffer.destroy());
  return worst;
}

let [ran, failed, left] = [0, 0, 0];
const only = new RegExp(values.only);
for (const test of read) {
  const name = `${test.kernel} ${test.storage} ${test.tuning} ${test.case}`;
  if (!only.test(name)) continue;
  const subgroups = test.tuning === 'Broadcast' && test.dispatches.some((d) => /\bsubgroup[A-Z]/.test(d.wgsl));
  if ((test.storage === 'f16' && !features.includes('shader-f16')) || (subgroups && !features.includes('subgroups'))) {
    left += 1;
    continue;
  }
  const { ratio, at } = await run(test);
  ran += 1;
  if (values.verbose) console.log(`${name}: ${ratio}`);
  if (!(ratio <= 1) || problems.length) {
    failed += 1;
    console.log(`FAIL ${name}: error/bound ${ratio} at ${at} ${problems.splice(0)}`);
  }
}
console.log(`${ran} cases through Dawn, ${failed} failed, ${left} not run for want of a feature`);
device.destroy();
process.exit(failed || !ran ? 1 : 0);
