// The page in a real Chromium: paints with mouse, keyboard and fingers, outlines a box, searches, moves the threshold, switches
// objects, corrects, downloads.
//   npm ci && node test/page.mjs [--url http://127.0.0.1:7777/] [--out ../target/page]
// Without --url it starts ../target/release/diffews-wgpu serve. CHROME= names the browser [default: chromium].
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { values } = parseArgs({ options: { url: { type: "string" }, out: { type: "string", default: join(root, "target/page") } } });
const out = resolve(values.out);
const pictures = join(root, "examples/0");
const picture = (name) => join(pictures, name);
mkdirSync(out, { recursive: true });
// The lady bug's body in the example's picture, as parts of its sides: left, top, width, height.
const BODY = [0.13, 0.6, 0.16, 0.2];
// A CPU driver takes seconds; SwiftShader in a browser a minute and more.
const PATIENCE = 180_000;

function holds(so, what) {
  if (!so) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

// A server of our own, with a bank.
async function serve(folder) {
  const program = join(root, "target/release/diffews-wgpu");
  const banks = join(folder, "banks");
  mkdirSync(banks);
  const encode = ["bank", "encode", "-q", "-o", join(banks, "bug.bank"), "--name", "lady bug", "--support", picture("support.png"), "--mask", picture("support_mask.png")];
  const { status } = spawnSync(program, encode, { stdio: "inherit" });
  holds(status === 0, "a bank is encoded");
  const server = spawn(program, ["serve", "-q", "--listen", "127.0.0.1:0", "--banks", banks], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((give, fail) => {
    server.stdout.once("data", (line) => give(String(line).trim()));
    server.once("exit", (code) => fail(new Error(`the server ended with ${code}`)));
  });
  return { server, url };
}

const folder = mkdtempSync(join(tmpdir(), "page-"));
const { server, url } = values.url ? { url: values.url } : await serve(folder);
const flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-gpu"];
const browser = await chromium.launch({ executablePath: process.env.CHROME || "/usr/bin/chromium", args: flags });
const context = await browser.newContext({ viewport: { width: 1000, height: 1400 }, acceptDownloads: true, hasTouch: true });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));

// The part of the board that is painted.
const painted = () => page.$eval("#paint", (canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 3; i < data.length; i += 4) count += data[i] > 127;
  return count / (canvas.width * canvas.height);
});
const says = (text) => page.waitForFunction((text) => document.getElementById("status").textContent.includes(text), text);
const tool = (name) => page.check(`input[value=${name}]`);
const scoreOf = async (figure) => Number(/score ([0-9.]+)/.exec(await figure.locator("figcaption").textContent())?.[1]);
async function saved(act) {
  const [download] = await Promise.all([page.waitForEvent("download"), act()]);
  const path = join(out, download.suggestedFilename());
  await download.saveAs(path);
  return path;
}
// Pixels of a figure whose colour is that of what is found.
const foundIn = (figure) => figure.locator("canvas").evaluate((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] > 127 && data[i + 1] < 128 && data[i + 2] > 127;
  return count;
});

try {
  await page.goto(url);
  await page.waitForSelector("body[data-ready]");
  holds(await page.$$eval("input, select", (fields) => fields.every((field) => field.labels.length || field.ariaLabel)), "every field has a label");
  holds(await page.$$eval("button", (buttons) => buttons.every((button) => button.ariaLabel || button.textContent.trim())), "every button has a name");

  // First sight: one click.
  await page.click("#built-in button");
  await says("score");
  const first = page.locator("figure").first();
  holds(await scoreOf(first) > 0.5, "the built-in example finds its thing");
  await page.screenshot({ path: join(out, "first.png"), fullPage: true });
  await page.click("#forget");

  await page.setInputFiles("#example", picture("support.png"));
  await says("paint the thing");
  const box = await page.locator("#paint").boundingBox();
  const on = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  const [left, top, width, height] = BODY;
  for (let y = top; y <= top + height; y += height / 12) {
    await page.mouse.move(...on(left, y));
    await page.mouse.down();
    await page.mouse.move(...on(left + width, y));
    await page.mouse.up();
  }
  const body = await painted();
  holds(body > 0.03 && body < 0.06, "the mouse paints");
  await page.focus("#paint");
  for (let i = 0; i < 45; i++) await page.keyboard.press("ArrowLeft");
  await page.keyboard.down(" ");
  for (let i = 0; i < 20; i++) await page.keyboard.press("ArrowUp");
  await page.keyboard.up(" ");
  holds(await painted() > body + 0.004, "the keyboard paints");
  await page.keyboard.press("Control+z");
  holds(await painted() === body, "a stroke is undone");
  await tool("eraser");
  await page.touchscreen.tap(...on(left + width / 2, top + height / 2));
  holds(await painted() < body, "a finger erases");
  await page.click("#undo");
  await page.click("#closer");
  holds((await page.locator("#paint").boundingBox()).width > box.width && (await painted()) === body, "zooming changes no paint");
  await page.click("#farther");

  await page.click("#clear");
  await tool("box");
  await page.mouse.move(...on(left - 0.03, top - 0.03));
  await page.mouse.down();
  await page.mouse.move(...on(left + width + 0.03, top + height + 0.03), { steps: 4 });
  await page.mouse.up();
  await says("is outlined");
  const outlined = await painted();
  holds(outlined > 0.01 && outlined < 1.3 * (width + 0.06) * (height + 0.06), "a box is outlined");
  await page.click("#undo");
  await page.click("#undo");
  holds(Math.abs((await painted()) - body) < 1e-6, "what was cleared is back");
  await page.click("#add");
  await page.waitForFunction(() => document.getElementById("count").textContent === "1 example.");

  const before = await page.locator("figure").count();
  await page.setInputFiles("#query", [picture("query.png"), picture("support.png")]);
  await page.waitForFunction((n) => document.querySelectorAll("figure button").length === 3 * n, before + 2);
  await says("support.png: score");
  const [query, support] = [page.locator("figure").nth(before), page.locator("figure").nth(before + 1)];
  holds((await scoreOf(query)) > 0.5 && (await scoreOf(support)) > 0.5, "both pictures have what was painted");
  const set = (value) => page.$eval("#threshold", (slider, value) => {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    return new Promise((give) => requestAnimationFrame(() => requestAnimationFrame(give)));
  }, value);
  const area = await foundIn(query);
  await set(0.8);
  holds((await foundIn(query)) < area, "a higher threshold finds less");
  await set(0.25);
  holds((await foundIn(query)) === area, "and the old one as much as before");
  await query.locator(".objects input").first().uncheck();
  holds((await foundIn(query)) < area, "an object is switched off");
  await query.locator(".objects input").first().check();
  await page.screenshot({ path: join(out, "found.png"), fullPage: true });

  const png = readFileSync(await saved(() => query.locator("button", { hasText: "Mask" }).click()));
  holds(png.readUInt32BE(16) === 256 && png.readUInt32BE(20) === 256, "the mask has its picture's size");
  const labels = readFileSync(await saved(() => query.locator("button", { hasText: "Label map" }).click()));
  holds(labels[25] === 3 && labels.includes("PLTE"), "the label map has a palette");
  await page.fill("#name", "lady bug");
  const coco = JSON.parse(readFileSync(await saved(() => page.click("#coco")), "utf8"));
  holds(coco.images.length === before + 2 && coco.categories[0].name === "lady bug", "COCO has all pictures");
  const of = ({ counts }) => counts.reduce((sum, run, at) => sum + (at % 2 ? run : 0), 0);
  holds(coco.annotations.every((one) => of(one.segmentation) === one.area && one.area > 0), "its runs have the areas that it says");

  await query.locator("button", { hasText: "Use as example" }).click();
  await page.waitForFunction(() => document.getElementById("count").textContent === "2 examples.");
  await page.click("#again");
  await says("support.png: score");
  holds(true, "a result becomes an example");

  if (!values.url) {
    await page.selectOption("#bank", "bug");
    holds(await page.isHidden("#painting"), "a bank of a file needs no painting");
    await page.setInputFiles("#query", picture("query.png"));
    await page.waitForFunction((n) => document.querySelectorAll("figure button").length === 3 * n, before + 3);
    holds((await scoreOf(page.locator("figure").last())) > 0.5, "a bank of a file finds its thing");
  }
  await page.setInputFiles("#query", join(root, "README.md"));
  await says("README.md is no picture");
  holds(await page.$eval("#status", (status) => status.classList.contains("bad")), "what is no picture is said");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 800 });
  await page.screenshot({ path: join(out, "small_dark.png") });
  holds(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "a telephone's screen is wide enough");
  holds(complaints.length === 0, `the browser has no complaints ${complaints.join(" ")}`);
} catch (error) {
  await page.screenshot({ path: join(out, "failed.png"), fullPage: true }).catch(() => {});
  console.error(`failed: ${error.message}\nthe page says: ${await page.textContent("#status").catch(() => "nothing")}\n${complaints.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  server?.kill();
  rmSync(folder, { recursive: true, force: true });
}
