// Compiles every shader with Tint, the WGSL front end of Chromium, on Dawn's null backend, which needs no driver.
//   cargo run --release -p diffews-helpers --bin dump_shaders -- DIR
//   node tools/tint/lint.mjs --webgpu .drivers/tint/node_modules/webgpu DIR
// Exits with 1 if any is refused, or if there are none.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { webgpu: { type: 'string', default: '.drivers/tint/node_modules/webgpu' } },
});
if (positionals.length !== 1) {
  console.error('usage: node tools/tint/lint.mjs [--webgpu DIR] DIR');
  process.exit(2);
}
const { create, globals } = await import(pathToFileURL(path.resolve(values.webgpu, 'index.js')));
Object.assign(globalThis, globals);
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error('Dawn has no null adapter');
const wanted = ['shader-f16', 'subgroups'];
const missing = wanted.filter((feature) => !adapter.features.has(feature));
if (missing.length) throw new Error(`the null adapter lacks ${missing}`);
const device = await adapter.requestDevice({ requiredFeatures: wanted });

// Messages of the module, then of the pipeline: limits are only checked there.
async function errors(code) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const found = messages.filter((m) => m.type === 'error').map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
  if (!found.length) {
    device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  }
  const error = await device.popErrorScope();
  return found.length || !error ? found : [error.message];
}

const dir = positionals[0];
const files = fs.readdirSync(dir).filter((f) => f.endsWith('.wgsl')).sort();
let refused = 0;
for (const file of files) {
  let code = fs.readFileSync(path.join(dir, file), 'utf8');
  // The standard requires this line; naga rejects it.
  if (/\bsubgroup[A-Z]\w*\(|subgroup_invocation_id/.test(code)) code = `enable subgroups;\n${code}`;
  const found = await errors(code);
  if (found.length) {
    refused += 1;
    console.log(`${file}: ${found.join('\n  ')}`);
  }
}
// Check that a refusal is detected.
if (!(await errors('@compute @workgroup_size(1) fn main() { let a: u32 = 1.5; }')).length) {
  console.log('Tint took broken text: this check checks nothing');
  refused += 1;
}
console.log(`${files.length} shaders, ${refused} refused by Tint`);
device.destroy();
process.exit(refused || !files.length ? 1 : 0);
