// Tests the engine in a browser, on Chromium's CPU driver for WebGPU: its results match the command's, and it computes correctly.
//   make web            builds target/web and runs this
//   node tools/web/test.mjs [infer] [conformance] [control]
// CHROME= names the browser [default: chromium], COMMAND= the program to compare with [default: target/release/diffews-wgpu].
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import { Chrome, SWIFTSHADER, sleep } from "./chrome.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const command = process.env.COMMAND || join(root, "target/release/diffews-wgpu");
const out = join(root, "target/web-test");
const asked = process.argv.slice(2);
const wanted = (part) => asked.length === 0 || asked.includes(part);
mkdirSync(out, { recursive: true });

// The cases that WebGPU on a CPU has time for.
const CASES = "^(language/|kernels/.*/f32/(plain|(winograd-)?tiled-64)$|(blocks|whole)/.*/f32/rule$)";
const LARGE = "4096|4100x4100";
const LEAST_PASSED = 400;
const SECONDS = 1500;
// Faults for a kernel's text, of the same length: another sum, and invalid WGSL.
const RIGHT = "* weight[c] + bias[c])", WRONG = "* weight[c] - bias[c])", SENSELESS = "* weight[c] + bias[c]]";

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png" };
let fault = null;
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).replace(/\/$/, "/index.html");
  try {
    const from = /^\/(examples|target\/web-test)\//.test(path) ? root : join(root, "target/web");
    let bytes = readFileSync(join(from, path));
    if (fault && path.endsWith(".wasm")) bytes = withFault(bytes);
    response.writeHead(200, { "Content-Type": KINDS[extname(path)] ?? "application/octet-stream", "Cache-Control": "no-store" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((go) => server.listen(0, "127.0.0.1", go));
const base = `http://127.0.0.1:${server.address().port}/`;

function withFault(bytes) {
  const text = bytes.toString("latin1");
  if (!text.includes(RIGHT)) throw new Error(`no kernel has ${RIGHT}`);
  return Buffer.from(text.replaceAll(RIGHT, fault), "latin1");
}

function holds(so, what) {
  if (!so) throw new Error(`does not hold: ${what}`);
  console.log(`ok (${Math.round(performance.now() / 1000)} s): ${what}`);
}

// In the page: find the example's object in its query, and again with the command's mask.
async function segment(folder) {
  const { LocalEngine } = await import("./dist/local.js");
  const blob = async (path) => (await fetch(path)).blob();
  const engine = await LocalEngine.find();
  if (!engine) throw new Error("no engine");
  const signal = new AbortController().signal;
  const parts = new Set();
  const hear = (part) => parts.add(part);
  const [image, mask, query] = await Promise.all(["support", "support_mask", "query"].map((name) => blob(`/examples/${folder}/${name}.png`)));
  const { id, warnings } = await engine.encode([{ image, mask }], hear, signal);
  const found = await engine.segment(id, query, hear, signal);
  const stopped = new AbortController();
  const ended = engine.segment(id, query, () => stopped.abort(), stopped.signal).then(() => "done", (error) => error.name);
  const outline = await createImageBitmap(await engine.outline(query, [10, 10, 100, 120], signal));
  return {
    about: engine.about, parts: [...parts], warnings, ended: await ended, outline: [outline.width, outline.height],
    ...found, map: Array.from(found.map),
  };
}

async function levels(path) {
  const bitmap = await createImageBitmap(await (await fetch(path)).blob(), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  return Array.from(canvas.getImageData(0, 0, bitmap.width, bitmap.height).data.filter((_, i) => i % 4 === 0));
}

const call = (chrome, work, ...given) => chrome.js(`(${work})(...${JSON.stringify(given)})`);

// The command's map, at the query's size: levels of 255, with fractions.
function native(folder) {
  const at = (name) => join(root, "examples", folder, name);
  const [map, mask] = [join(out, `${folder}_map.png`), join(out, `${folder}.png`)];
  const files = ["--support", at("support.png"), "--mask", at("support_mask.png"), "--query", at("query.png")];
  execFileSync(command, ["infer", "-q", "--no-tune", "--force", ...files, "--output", mask, "--probability", map], { stdio: "inherit" });
  return greys(readFileSync(map)).map((value) => value / 257);
}

// The values of a 16-bit grey PNG; canvases have 8 bits.
function greys(bytes) {
  const width = bytes.readUInt32BE(16), height = bytes.readUInt32BE(20), parts = [];
  if (bytes[24] !== 16 || bytes[25] !== 0 || bytes[28] !== 0) throw new Error("not a PNG in grey of 16 bits");
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
  }
  const rows = inflateSync(Buffer.concat(parts)), length = 2 * width, values = [];
  let above = Buffer.alloc(length);
  for (let y = 0; y < height; y++) {
    const from = y * (length + 1), row = Buffer.from(rows.subarray(from + 1, from + 1 + length));
    for (let i = 0; i < length; i++) {
      const a = i < 2 ? 0 : row[i - 2], b = above[i], c = i < 2 ? 0 : above[i - 2], p = a + b - c;
      const [toA, toB, toC] = [a, b, c].map((value) => Math.abs(p - value));
      row[i] += [0, a, b, (a + b) >> 1, toA <= toB && toA <= toC ? a : toB <= toC ? b : c][rows[from]];
    }
    for (let x = 0; x < width; x++) values.push(row.readUInt16BE(2 * x));
    above = row;
  }
  return values;
}

async function compare(chrome, folder) {
  const values = native(folder);
  const found = await call(chrome, segment, folder);
  console.log(`${found.about}: ${found.parts.join(", ")}`);
  holds(found.map.length === values.length && found.width * found.height === values.length, `example ${folder}: the map has the query's size`);
  let worst = 0, moved = 0;
  found.map.forEach((level, i) => {
    worst = Math.max(worst, Math.abs(level - values[i]));
    moved += level !== Math.round(values[i]);
  });
  // tests/parity.rs permits 1e-5, which moves hardly any value across the boundary between two levels.
  holds(worst <= 0.51 && moved <= values.length / 1000, `example ${folder}: the command's map, but for ${moved} levels of ${values.length}`);
  const wanted = await call(chrome, levels, `/target/web-test/${folder}.png`);
  const level = "relative" in found.threshold ? found.threshold.relative * found.peak : found.threshold.absolute;
  const others = found.map.filter((value, i) => value / 255 > level !== wanted[i] > 127).length;
  holds(wanted.some(Boolean) && others <= values.length / 500, `example ${folder}: the command's mask, but for ${others} pixels`);
  holds(found.score > 0.5, `example ${folder}: it is there (${found.score.toFixed(3)})`);
  holds(found.ended === "AbortError", "a search can be stopped");
  holds(found.outline.join() === `${found.width},${found.height}`, "a box has an outline");
  return found;
}

async function conformance(chrome, only, skip, seconds) {
  await chrome.open(`${base}conformance.html`);
  await chrome.until("!document.getElementById('run').disabled", 60);
  for (const [id, value] of [["only", only], ["skip", skip]]) await chrome.js(`document.getElementById('${id}').value = ${JSON.stringify(value)}`);
  await chrome.js("document.getElementById('run').click()");
  const over = "document.getElementById('run').disabled === false";
  for (const end = Date.now() + 1000 * seconds; !(await chrome.js(over)) && Date.now() < end; await sleep(20_000)) {
    console.log(`(${Math.round(performance.now() / 1000)} s) ${await chrome.js("document.getElementById('status').textContent")}`);
  }
  const status = await chrome.js("document.getElementById('status').textContent");
  if (await chrome.js("document.getElementById('report').hidden")) throw new Error(`no report: ${status}`);
  return JSON.parse(await chrome.js("fetch(document.getElementById('report').href).then((report) => report.text())"));
}

let code = 0;
const chrome = await Chrome.start(SWIFTSHADER);
try {
  if (wanted("infer")) {
    await chrome.open(`${base}conformance.html`);
    const [first, second] = [await compare(chrome, "0"), await compare(chrome, "1")];
    await chrome.open(base);
    await chrome.until("document.getElementById('about').textContent.includes('own GPU')", 60);
    holds(true, "the page computes without a server");
    holds(first.map.some((level, i) => Math.abs(level - second.map[i]) > 50), "another picture has another map");
  }
  if (wanted("conformance")) {
    const { summary, results, adapters } = await conformance(chrome, CASES, LARGE, SECONDS);
    writeFileSync(join(out, "conformance.json"), JSON.stringify({ summary, adapters, results }));
    for (const row of results.filter((row) => row.status === "failed")) console.log(`${row.case}: ${row.reason ?? row.where}`);
    const told = `${summary.passed} passed, ${summary.failed} failed, ${summary.not_run} not run, on ${adapters[0].name}`;
    holds(summary.failed === 0 && summary.passed > LEAST_PASSED, `conformance: ${told}`);
    holds(results.filter((row) => /^(blocks|whole)/.test(row.case) && row.status === "passed").length >= 8, "the model's blocks are those of PyTorch");
  }
  holds(chrome.complaints.length === 0, `the browser has no complaints ${chrome.complaints.join(" ")}`);
  if (wanted("control")) {
    fault = WRONG;
    const { summary } = await conformance(chrome, "^kernels/layer_norm/.*/f32/", LARGE, SECONDS);
    holds(summary.failed > 0, `a fault in a kernel is seen: ${summary.failed} failed`);
    const refused = String(await call(chrome, segment, "0").catch((error) => error.message)).split("\n")[0];
    holds(/self-check/.test(refused), `and its results are refused: ${refused}`);
    fault = SENSELESS;
    const failed = String(await call(chrome, segment, "0").catch((error) => error.message)).split("\n")[0];
    holds(/pipeline layer_norm/.test(failed), `a kernel that the browser does not take is told: ${failed}`);
  }
} catch (error) {
  console.error(`failed: ${error.message}`);
  code = 1;
}
await chrome.close();
server.close();
process.exit(code);
