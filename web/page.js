// The page: paints examples, asks the server, and shows what it found. Plain script, nothing from elsewhere.
"use strict";

const at = (id) => document.getElementById(id);
// Longer sides are scaled down: the network sees less, and uploads stay small.
const MOST_SIDE = 2048;
const MOST_UNDO = 20;
const PAINT = "#f0f";
// Pictures are shown so large, in CSS pixels, whatever their own size.
const SHOWN_SIDE = 640;

const picture = at("picture").getContext("2d");
const paint = at("paint").getContext("2d", { willReadFrequently: true });

let example = null; // { blob, width, height, name } of the picture that is painted on
let examples = []; // { image, mask } in base64, as they are sent
let made = null; // the bank of these examples, by its name on the server
let undo = [];
let cursor = null; // where the keyboard paints
let results = []; // { source, map, peak, figure }

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const key = at("key").value.trim();
  if (key) headers["X-API-Key"] = key;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const value = (answer.headers.get("Content-Type") || "").includes("json") ? await answer.json() : null;
  if (!answer.ok) {
    const error = new Error((value && value.detail) || answer.statusText);
    error.status = answer.status;
    error.after = Number(answer.headers.get("Retry-After")) || 0;
    throw error;
  }
  return value;
}

// Does `work`, once more where the server is busy, and says what goes wrong.
async function tried(work) {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 503 || tries > 5) {
        say(error.message, true);
        return null;
      }
      say(`The server is busy; trying again in ${error.after || 1} s.`);
      await new Promise((go) => setTimeout(go, 1000 * (error.after || 1)));
    }
  }
}

function base64(blob) {
  return new Promise((give, fail) => {
    const reader = new FileReader();
    reader.onload = () => give(reader.result.split(",")[1]);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}

const png = (canvas) => new Promise((give) => canvas.toBlob(give, "image/png"));

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// A file as a picture: upright, and not too large. Null where it is none.
async function open(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) {
    say(`${file.name} is no picture that this browser reads.`, true);
    return null;
  }
  const scale = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = canvasOf(width, height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  const blob = scale < 1 ? await png(canvas) : file;
  return { canvas, blob, width, height, name: file.name || "picture" };
}

// --- painting

function keep() {
  undo.push(paint.getImageData(0, 0, example.width, example.height));
  if (undo.length > MOST_UNDO) undo.shift();
}

function stroke(from, to) {
  const erases = document.querySelector("input[name=tool]:checked").value === "eraser";
  paint.globalCompositeOperation = erases ? "destination-out" : "source-over";
  paint.strokeStyle = PAINT;
  paint.lineCap = paint.lineJoin = "round";
  paint.lineWidth = Number(at("width").value) * Math.max(example.width, example.height) / 1000;
  paint.beginPath();
  paint.moveTo(from[0], from[1]);
  // A line of no length draws nothing in some browsers.
  paint.lineTo(to[0] + 0.01, to[1]);
  paint.stroke();
}

function place(event) {
  const box = at("paint").getBoundingClientRect();
  return [(event.clientX - box.left) * example.width / box.width, (event.clientY - box.top) * example.height / box.height];
}

let last = null;
at("paint").addEventListener("pointerdown", (event) => {
  if (!example || event.button !== 0) return;
  at("paint").setPointerCapture(event.pointerId);
  keep();
  last = place(event);
  stroke(last, last);
});
at("paint").addEventListener("pointermove", (event) => {
  if (!last) return;
  const next = place(event);
  stroke(last, next);
  last = next;
});
for (const end of ["pointerup", "pointercancel"]) at("paint").addEventListener(end, () => { last = null; });

// The keyboard: arrows move, Space paints.
let painting = false;
at("paint").addEventListener("keydown", (event) => {
  if (!example) return;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === " ") {
    if (!painting) keep();
    painting = true;
    stroke(cursor, cursor);
  } else if (steps) {
    const far = Math.max(example.width, example.height) * (event.shiftKey ? 0.05 : 0.01);
    const within = (value, most) => Math.min(most, Math.max(0, value));
    const next = [within(cursor[0] + steps[0] * far, example.width), within(cursor[1] + steps[1] * far, example.height)];
    if (painting) stroke(cursor, next);
    cursor = next;
    say(`At ${Math.round(cursor[0])}, ${Math.round(cursor[1])} of ${example.width} x ${example.height}.`);
  } else {
    return;
  }
  event.preventDefault();
});
at("paint").addEventListener("keyup", (event) => {
  if (event.key === " ") painting = false;
});

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=radio]):not([type=range]), select, textarea");
  if (field || !example) return;
  const key = event.key.toLowerCase();
  if (key === "z" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    at("undo").click();
  } else if (key === "b" || key === "e") {
    document.querySelector(`input[value=${key === "b" ? "brush" : "eraser"}]`).checked = true;
  } else if (key === "[" || key === "]") {
    at("width").value = Number(at("width").value) * (key === "[" ? 0.8 : 1.25);
  }
});

at("undo").addEventListener("click", () => {
  const before = undo.pop();
  if (before) paint.putImageData(before, 0, 0);
});
at("clear").addEventListener("click", () => {
  keep();
  paint.clearRect(0, 0, example.width, example.height);
});

async function show(file) {
  const opened = await open(file);
  if (!opened) return;
  example = opened;
  for (const id of ["picture", "paint"]) {
    at(id).width = opened.width;
    at(id).height = opened.height;
    at(id).style.width = `${Math.round((SHOWN_SIDE * opened.width) / Math.max(opened.width, opened.height))}px`;
  }
  picture.drawImage(opened.canvas, 0, 0);
  undo = [];
  cursor = [opened.width / 2, opened.height / 2];
  at("tools").disabled = at("add").disabled = false;
  say(`${opened.name}: paint the thing that is to be found.`);
}

// The mask that was painted, white on black; null where there is none.
function painted() {
  const { width, height } = example;
  const data = paint.getImageData(0, 0, width, height);
  let any = false;
  for (let i = 0; i < data.data.length; i += 4) {
    const on = data.data[i + 3] > 127;
    any = any || on;
    data.data.fill(on ? 255 : 0, i, i + 3);
    data.data[i + 3] = 255;
  }
  const canvas = canvasOf(width, height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return any ? canvas : null;
}

async function addExample(blob, mask) {
  examples.push({ image: await base64(blob), mask: await base64(await png(mask)) });
  made = null;
  listed();
}

function listed() {
  const count = examples.length;
  at("count").textContent = count ? `${count} example${count > 1 ? "s" : ""}.` : "No example yet.";
  at("painting").hidden = Boolean(at("bank").value);
  at("forget").disabled = !count;
  at("query").disabled = !count && !at("bank").value;
  at("again").disabled = at("query").disabled || !results.length;
}

at("add").addEventListener("click", async () => {
  const mask = painted();
  if (!mask) return say("Nothing is painted yet.", true);
  await addExample(example.blob, mask);
  say("Now choose pictures to search, or add another example.");
});
at("forget").addEventListener("click", () => {
  [examples, made] = [[], null];
  listed();
});
at("bank").addEventListener("change", listed);

// --- searching

// The bank on the server of all examples.
async function bank() {
  if (at("bank").value) return at("bank").value;
  if (!made) {
    say("Encoding the examples ...");
    const about = await ask("POST", "v1/banks", { name: "painted", examples });
    if (about.warnings.length) say(about.warnings.join(" "), true);
    made = about.id;
  }
  return made;
}

async function find(source) {
  const image = await base64(source.blob);
  const search = async () => ask("POST", "v1/segment", { bank: await bank(), image, map: true });
  return tried(async () => {
    try {
      return await search();
    } catch (error) {
      // The bank made room for others: once more.
      if (error.status !== 404 || at("bank").value) throw error;
      made = null;
      return search();
    }
  });
}

async function search(file) {
  const source = await open(file);
  if (!source) return;
  const result = { source, map: null, peak: 1, figure: document.createElement("figure") };
  results.push(result);
  at("results").append(result.figure);
  result.figure.append(source.canvas, caption(source.name));
  await update(result);
}

async function update(result) {
  say(`Searching ${result.source.name} ...`);
  const found = await find(result.source);
  if (!found) return;
  const bytes = Uint8Array.from(atob(found.map), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = canvasOf(found.width, found.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  result.map = context.getImageData(0, 0, found.width, found.height).data;
  result.peak = found.peak;
  if (results.length === 1 && found.threshold.relative) setThreshold(found.threshold.relative);
  draw(result, found.score);
  say(`${result.source.name}: ${found.found ? `found, score ${found.score.toFixed(2)}` : "nothing found"}.`);
  listed();
}

function caption(text) {
  const element = document.createElement("figcaption");
  element.textContent = text;
  return element;
}

function button(text, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", act);
  return element;
}

// The mask of a result at the slider's threshold.
function maskOf(result) {
  const { width, height } = result.source;
  const level = Number(at("threshold").value) * result.peak * 255;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < image.data.length; i += 4) {
    const value = result.map[i] > level ? 255 : 0;
    image.data.set([value, value, value, 255], i);
  }
  context.putImageData(image, 0, 0);
  return { canvas, data: image.data };
}

function draw(result, score = result.score) {
  result.score = score;
  const { width, height, canvas, name } = result.source;
  const shown = canvasOf(width, height);
  const context = shown.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const mask = maskOf(result);
  const over = context.createImageData(width, height);
  for (let i = 0; i < over.data.length; i += 4) {
    if (mask.data[i]) over.data.set([255, 0, 255, 130], i);
  }
  const layer = canvasOf(width, height);
  layer.getContext("2d").putImageData(over, 0, 0);
  context.drawImage(layer, 0, 0);
  shown.role = "img";
  shown.setAttribute("aria-label", `${name} with what was found painted over it, score ${score.toFixed(2)}`);
  const save = async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await png(maskOf(result).canvas));
    link.download = `${name.replace(/\.[^.]*$/, "")}_mask.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const better = async () => {
    await addExample(result.source.blob, maskOf(result).canvas);
    at("bank").value = "";
    listed();
    say(`${name} is an example now; "Search again" uses it.`);
  };
  result.figure.replaceChildren(
    shown, caption(`${name}, score ${score.toFixed(2)}`), button("Download mask", save), button("Use as example, too", better),
  );
}

function setThreshold(value) {
  at("threshold").value = value;
  at("level").textContent = Number(value).toFixed(2);
}

at("threshold").addEventListener("input", () => {
  setThreshold(at("threshold").value);
  for (const result of results) if (result.map) draw(result);
});
at("again").addEventListener("click", async () => {
  for (const result of results) await update(result);
});

// --- files, chosen or dropped

at("example").addEventListener("change", () => at("example").files[0] && show(at("example").files[0]));
at("query").addEventListener("change", async () => {
  for (const file of [...at("query").files]) await search(file);
  at("query").value = "";
});
function dropped(id, take) {
  const target = at(id);
  const over = (on) => (event) => {
    event.preventDefault();
    target.classList.toggle("over", on);
  };
  target.addEventListener("dragover", over(true));
  target.addEventListener("dragleave", over(false));
  target.addEventListener("drop", async (event) => {
    over(false)(event);
    for (const file of [...event.dataTransfer.files]) await take(file);
  });
}
dropped("board", show);
dropped("queries", (file) => (at("query").disabled ? say("Show an example first.", true) : search(file)));

async function listBanks() {
  const all = await ask("GET", "v1/banks").catch((error) => say(error.message, true));
  for (const { id, name, model } of (all && all.banks) || []) {
    if (!model || [...at("bank").options].some((option) => option.value === id)) continue;
    at("bank").append(new Option(`${name} (${id})`, id));
  }
}
at("key").addEventListener("change", listBanks);
listBanks();
