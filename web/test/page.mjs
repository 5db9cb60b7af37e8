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
// So many figures show what was found.
const drawn = (count) => page.waitForFunction((n) => document.querySelectorAll("figure .objects").length === n, count);
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

  // First sight: one click. A second one while the first is encoded must not change what the first looks for.
  const made = [], searched = [];
  const hear = (to) => async (route) => {
    const response = await route.fetch();
    const data = /event: done\ndata: (.*)/.exec(await response.text())?.[1];
    to.push({ ...route.request().postDataJSON(), answer: data && JSON.parse(data) });
    await route.fulfill({ response });
  };
  await page.route("**/v1/banks", hear(made));
  await page.route("**/v1/segment", hear(searched));
  await page.click("#built-in button >> nth=0");
  await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("Searching"));
  await page.click("#built-in button >> nth=1");
  await says("lemon.png: score");
  await page.unroute("**/v1/banks");
  await page.unroute("**/v1/segment");
  const first = page.locator("figure").first();
  holds(await scoreOf(first) > 0.5 && (await scoreOf(page.locator("figure").nth(1))) > 0.5, "the built-in examples find their things");
  for (const [number, { examples, answer }] of made.entries()) {
    const sent = (name) => readFileSync(join(root, "examples", String(number), name)).toString("base64");
    const { bank, image } = searched[number];
    holds(examples[0].image === sent("support.png"), `the bank of click ${number + 1} is of its example alone`);
    holds(bank === answer.id && image === sent("query.png"), `and the search of click ${number + 1} is by it`);
  }
  holds(made.length === 2 && searched.length === 2, "two clicks make two searches");
  holds((await page.textContent("#count")) === "1 example.", "the last click's example is the one that is shown");
  await page.screenshot({ path: join(out, "first.png"), fullPage: true });
  await page.locator("figure").nth(1).getByRole("button", { name: "Remove" }).click();
  holds((await page.locator("figure").count()) === 1, "a result is removed");
  await page.click("#forget");

  await page.setInputFiles("#example", picture("support.png"));
  await says("paint the thing");
  await page.evaluate(() => scrollTo(0, 0));
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
  holds(await page.isHidden("#cursor"), "the mouse needs no mark");
  await page.focus("#paint");
  for (let i = 0; i < 45; i++) await page.keyboard.press("ArrowLeft");
  const mark = await page.locator("#cursor").boundingBox();
  const there = on(0.05, 0.5);
  holds(Math.abs(mark.x + mark.width / 2 - there[0]) < 2 && Math.abs(mark.y + mark.height / 2 - there[1]) < 2, "a mark shows where the keyboard paints");
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

  await tool("box");
  const half = async () => {
    await page.mouse.move(...on(left, top));
    await page.mouse.down();
    await page.mouse.move(...on(left + width, top + 0.3), { steps: 3 });
  };
  for (const [how, act] of [["Undo", "Control+z"], ["another tool", "b"]]) {
    await half();
    holds((await painted()) !== body, "a box is drawn");
    await page.keyboard.press(act);
    await page.mouse.move(...on(0.9, 0.9));
    await page.mouse.up();
    holds((await painted()) === body, `${how} ends the box alone`);
    await tool("box");
  }
  await half();
  await page.$eval("#clear", (button) => button.click());
  await page.mouse.up();
  holds((await painted()) === 0, "a box does not come back after Clear");
  await page.click("#undo");
  holds((await painted()) === body, "and what was there before it does");
  await tool("brush");
  await page.focus("#paint");
  await page.keyboard.down(" ");
  await page.focus("#add");
  await page.keyboard.up(" ");
  await page.focus("#paint");
  const dot = await painted();
  await page.keyboard.press("ArrowRight");
  holds((await painted()) === dot, "Space is up when the board is left");
  await page.keyboard.press("Control+z");

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
  await drawn(before + 2);
  await says("support.png: score");
  const [query, support] = [page.locator("figure").nth(before), page.locator("figure").nth(before + 1)];
  holds((await scoreOf(query)) > 0.5 && (await scoreOf(support)) > 0.5, "both pictures have what was painted");
  const set = (value) => page.$eval("#threshold", (slider, value) => {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    slider.dispatchEvent(new Event("change"));
    return new Promise((give) => requestAnimationFrame(() => requestAnimationFrame(give)));
  }, value);
  const area = await foundIn(query);
  const usual = await page.inputValue("#threshold");
  await set(0.8);
  holds((await foundIn(query)) < area, "a higher threshold finds less");
  await set(usual);
  holds((await foundIn(query)) === area, "and the old one as much as before");
  await query.locator(".objects input").first().uncheck();
  holds((await foundIn(query)) < area, "an object is switched off");
  const without = await foundIn(query);
  for (const value of [0.3, 0.6, usual]) {
    await set(value);
    holds(!(await query.locator(".objects input").first().isChecked()), `it stays off at ${value}`);
  }
  holds((await foundIn(query)) === without, "and all is as before");
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
    await drawn(before + 3);
    holds((await scoreOf(page.locator("figure").last())) > 0.5, "a bank of a file finds its thing");
  }
  const held = await page.locator("figure").count();
  await page.setInputFiles("#query", [picture("query.png"), picture("support.png"), picture("query.png")]);
  await page.waitForFunction((n) => document.querySelectorAll("figure").length === n, held + 3);
  await page.click("#cancel");
  await says("Cancelled.");
  await page.waitForTimeout(1000);
  holds((await page.textContent("#status")) === "Cancelled." && (await page.isHidden("#cancel")), "Cancel ends all that waits");
  holds((await page.locator("figure .objects").count()) === held, "and nothing of it is found");

  // What this server does not say by itself: it is busy, it wants a score, its threshold is absolute, its map has specks.
  for (let left = held + 3; left > 0; left--) await page.locator("figure").first().getByRole("button", { name: "Remove" }).click();
  holds((await page.isDisabled("#coco")) && (await page.isDisabled("#again")), "nothing is left to download");
  // A large thing that is brightest in the middle, a small one, and two specks.
  const map = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 256, height: 256 });
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, 256, 256);
    for (const [x, y, side, level] of [[20, 20, 80, 120], [40, 40, 40, 200], [55, 55, 10, 240], [150, 150, 20, 180], [0, 250, 1, 255], [255, 0, 2, 255]]) {
      context.fillStyle = `rgb(${level} ${level} ${level})`;
      context.fillRect(x, y, side, side);
    }
    return canvas.toDataURL().split(",")[1];
  });
  const event = (name, data) => ({ contentType: "text/event-stream", body: `event: ${name}\ndata: ${JSON.stringify(data)}\n\n` });
  const common = { width: 256, height: 256, map, peak: 1, score: 0.3, min_score: 0.2, found: true, threshold: { absolute: 0.4 }, warnings: [] };
  await page.selectOption("#bank", "");
  const answers = [event("problem", { status: 503, detail: "busy" }), event("done", common), event("done", { ...common, found: false, min_score: 0.9 })];
  const asked = answers.length;
  await page.route("**/v1/banks", (route) => route.fulfill(event("done", { id: "made up", warnings: ["The mask is small."] })));
  await page.route("**/v1/segment", (route) => route.fulfill(answers.shift()));
  await page.click("#forget");
  await page.click("#add");
  // It is its own map: grey, so that all magenta is what was found.
  await page.setInputFiles("#query", { name: "grey.png", mimeType: "image/png", buffer: Buffer.from(map, "base64") });
  await drawn(1);
  holds(answers.length === asked - 2, "a busy server is asked again");
  await says("score 0.30. The mask is small.");
  holds((await page.textContent("#counted")) === "Threshold (absolute)" && (await page.inputValue("#threshold")) === "0.4", "an absolute threshold is one");
  const told = page.locator("figure").first();
  holds((await foundIn(told)) === 80 * 80 + 20 * 20 && (await told.locator(".objects input").count()) === 2, "specks are not shown");
  await told.locator(".objects input").first().uncheck();
  for (const value of [0.6, 0.9, 0.4]) {
    await set(value);
    holds((await foundIn(told)) === (value < 0.7 ? 20 * 20 : 0), `the large one is off at ${value}, too`);
  }
  await told.locator(".objects input").first().check();
  const kept = JSON.parse(readFileSync(await saved(() => page.click("#coco")), "utf8")).annotations;
  holds(kept.map(({ area }) => area).join() === "6400,400", "COCO has no specks");
  holds(kept.every(({ segmentation: { counts } }) => of({ counts }) && counts.reduce((a, b) => a + b) === 256 * 256), "its runs are as long as the picture");
  await page.setInputFiles("#query", { name: "none.png", mimeType: "image/png", buffer: Buffer.from(map, "base64") });
  await drawn(2);
  await says("none.png: nothing found");
  const none = page.locator("figure").last();
  await set(0.01);
  holds((await foundIn(none)) === 0 && (await none.locator("figcaption").textContent()).includes("nothing found"), "a score that is too low shows nothing");
  await page.unroute("**/v1/banks");
  await page.unroute("**/v1/segment");
  await page.setInputFiles("#query", join(root, "README.md"));
  await says("README.md is not a picture");
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
