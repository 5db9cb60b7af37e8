// The page of `serve` in a real Chromium: paints with the mouse and the keyboard, searches, moves the threshold, downloads, adds a result.
//   diffews-wgpu serve --listen 127.0.0.1:7777 & node tools/web/page.mjs http://127.0.0.1:7777/ [OUT]
// CHROME= names the browser [default: chromium]. OUT gets screenshots and the mask [default: target/page]. No packages: the browser is
// spoken to over a pipe.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [url = "http://127.0.0.1:7777/", given = "target/page"] = process.argv.slice(2);
const out = resolve(given);
const pictures = join(dirname(fileURLToPath(import.meta.url)), "../../examples/0");
const mask = join(out, "query_mask.png");
mkdirSync(out, { recursive: true });
rmSync(mask, { force: true });
// The lady bug's body in the example's picture, as parts of its sides: left, top, width, height.
const BODY = [0.13, 0.6, 0.16, 0.2];

const profile = mkdtempSync(join(tmpdir(), "page-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const chrome = spawn(process.env.CHROME || "chromium", [...flags, "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--window-size=1000,1400", "about:blank"], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
chrome.on("error", (error) => fail(`${error.message}; name a browser with CHROME=`));
chrome.on("exit", (code) => fail(`the browser ended with ${code}`));
let over = false;
function fail(text) {
  if (over) return;
  over = true;
  console.error(`failed: ${text}`);
  end(1);
}
function end(code) {
  over = true;
  chrome.kill();
  setTimeout(() => {
    rmSync(profile, { recursive: true, force: true });
    process.exit(code);
  }, 300);
}

let next = 1, heard = "", session;
const waiting = new Map(), complaints = [];
chrome.stdio[4].on("data", (data) => {
  heard += data;
  for (let at; (at = heard.indexOf("\0")) >= 0; heard = heard.slice(at + 1)) {
    const said = JSON.parse(heard.slice(0, at));
    const [give, refuse] = waiting.get(said.id) || [];
    if (said.error && refuse) refuse(new Error(JSON.stringify(said.error)));
    else if (give) give(said.result);
    else if (said.method === "Runtime.exceptionThrown") complaints.push(JSON.stringify(said.params));
    else if (said.method === "Log.entryAdded" && said.params.entry.level === "error") complaints.push(said.params.entry.text);
  }
});
const send = (method, params = {}, sessionId = session) => new Promise((give, refuse) => {
  waiting.set(next, [give, refuse]);
  chrome.stdio[3].write(JSON.stringify({ id: next++, method, params, sessionId }) + "\0");
});
const sleep = (ms) => new Promise((go) => setTimeout(go, ms));
async function js(expression) {
  const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
  return result.value;
}
async function until(expression) {
  for (let tries = 0; tries < 600; tries++, await sleep(100)) if (await js(expression)) return;
  throw new Error(`never ${expression}; the page says: ${await js("at('status').textContent")}`);
}
async function files(selector, names) {
  const { root } = await send("DOM.getDocument");
  const { nodeId } = await send("DOM.querySelector", { nodeId: root.nodeId, selector });
  await send("DOM.setFileInputFiles", { nodeId, files: names.map((name) => join(pictures, name)) });
}
async function shot(name) {
  const { data } = await send("Page.captureScreenshot", { captureBeyondViewport: true });
  writeFileSync(join(out, name), Buffer.from(data, "base64"));
}
const mouse = (type, x, y) => send("Input.dispatchMouseEvent", { type, x, y, button: "left", buttons: type === "mouseReleased" ? 0 : 1, clickCount: 1 });
const key = (type, key, code = key) => send("Input.dispatchKeyEvent", { type, key, code });
// The part of the picture that is painted.
const painted = () => js("(() => { const { width, height } = at('paint'); const d = paint.getImageData(0, 0, width, height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n / (width * height); })()");
function holds(so, what) {
  if (!so) throw new Error(what);
  console.log(`ok: ${what}`);
}

try {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  session = (await send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
  for (const domain of ["Page", "Runtime", "Log", "DOM"]) await send(`${domain}.enable`);
  await send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: out }, undefined);
  await send("Page.navigate", { url });
  await until("document.readyState === 'complete' && typeof at === 'function'");
  holds(await js("[...document.querySelectorAll('input, select')].every((field) => field.labels.length)"), "every field has a label");

  await files("#example", ["support.png"]);
  await until("!at('tools').disabled");
  const box = await js("(() => { const b = at('paint').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()");
  const [left, top, width, height] = BODY;
  const on = (x, y) => [box[0] + x * box[2], box[1] + y * box[3]];
  for (let y = top; y <= top + height; y += height / 12) {
    await mouse("mousePressed", ...on(left, y));
    await mouse("mouseMoved", ...on(left + width, y));
    await mouse("mouseReleased", ...on(left + width, y));
  }
  const body = await painted();
  holds(body > 0.03 && body < 0.06, "the mouse paints");
  await js("at('paint').focus()");
  for (let i = 0; i < 45; i++) await key("keyDown", "ArrowLeft");
  await key("keyDown", " ", "Space");
  for (let i = 0; i < 20; i++) await key("keyDown", "ArrowUp");
  await key("keyUp", " ", "Space");
  holds(await painted() > body + 0.004, "the keyboard paints");
  await js("at('undo').click()");
  holds(await painted() === body, "a stroke is undone");
  await js("at('add').click()");
  await until("at('count').textContent.includes('1 example')");
  await shot("painted.png");

  await files("#query", ["query.png", "support.png"]);
  await until("document.querySelectorAll('figure button').length === 4");
  await until("at('status').textContent.startsWith('support.png: found')");
  holds(await js("results.every((result) => result.score > 0.5)"), "both pictures have what was painted");
  const area = () => js("(() => { let n = 0; const { data } = maskOf(results[0]); for (let i = 0; i < data.length; i += 4) n += data[i] > 0; return n; })()");
  const set = (value) => js(`(() => { at('threshold').value = ${value}; at('threshold').dispatchEvent(new Event('input')); })()`);
  const before = await area();
  await set(0.8);
  holds(await area() < before, "a higher threshold finds less");
  await set(0.25);
  await js("document.querySelector('figure button').click()");
  for (let tries = 0; tries < 100 && !existsSync(mask); tries++) await sleep(100);
  holds(existsSync(mask), "the mask is downloaded");
  await js("document.querySelectorAll('figure button')[1].click()");
  await until("at('count').textContent.includes('2 examples')");
  await js("at('status').textContent = ''; at('again').click()");
  await until("at('status').textContent.startsWith('support.png: found')");
  holds(true, "a result becomes an example");
  await shot("found.png");
  holds(complaints.length === 0, `the browser has no complaints ${complaints.join(" ")}`);
  end(0);
} catch (error) {
  await shot("failed.png").catch(() => {});
  fail(error.message);
}
