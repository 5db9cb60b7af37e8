// The page: paints examples, asks the engine, and shows what it found.

import { Board } from "./board.js";
import { at, button, download, input, say, takeFiles } from "./dom.js";
import { EngineError, type Engine, type Example, type Found, type Progress } from "./engine.js";
import { coco } from "./files.js";
import { open, type Picture } from "./picture.js";
import { Result } from "./result.js";
import { ServerEngine } from "./server.js";

/** Pictures that come with the page: folders with an example, its mask, and a picture to search. */
const BUILT_IN = [
  { folder: "examples/0", name: "lady bug" },
  { folder: "examples/1", name: "lemon" },
  { folder: "examples/2", name: "teddy bear" },
];

let engine: Engine | null = null;
let examples: Example[] = [];
/** The bank of these examples. */
let made: string | null = null;
const results: Result[] = [];
/** What runs, and ends what runs. */
let running: AbortController | null = null;
let chain: Promise<void> = Promise.resolve();

const board = new Board(async (picture, box) => {
  let mask: Blob | null = null;
  await work("Outlining", async (engine, _, signal) => void (mask = await engine.outline(picture.blob, box, signal)));
  return mask;
});

/** Does `act` after what was asked before; shows how far it is, and says what went wrong. */
function work(what: string, act: (engine: Engine, progress: Progress, signal: AbortSignal) => Promise<void>): Promise<void> {
  chain = chain.then(async () => {
    if (!engine) return say("Nothing here can compute: there is no server, and this browser has no WebGPU.", true);
    running = new AbortController();
    const bar = at<HTMLProgressElement>("progress");
    bar.hidden = at("cancel").hidden = false;
    bar.removeAttribute("value");
    say(`${what} ...`);
    const progress: Progress = (part, done) => {
      bar.value = done;
      at("part").textContent = part;
    };
    try {
      await act(engine, progress, running.signal);
    } catch (error) {
      if (running.signal.aborted) say("Cancelled.");
      else say(error instanceof Error ? error.message : String(error), true);
    }
    running = null;
    bar.hidden = at("cancel").hidden = true;
    at("part").textContent = "";
  });
  return chain;
}

// --- examples

function listed(): void {
  const count = examples.length;
  at("count").textContent = count ? `${count} example${count > 1 ? "s" : ""}.` : "No example yet.";
  at("painting").hidden = Boolean(input("bank").value);
  at<HTMLButtonElement>("forget").disabled = !count;
  input("query").disabled = !count && !input("bank").value;
  at<HTMLButtonElement>("add").disabled = !board.picture;
  at<HTMLButtonElement>("again").disabled = input("query").disabled || !results.length;
  at<HTMLButtonElement>("coco").disabled = !results.some((result) => result.score !== null);
}

function addExample(picture: Picture, mask: Blob): void {
  examples.push({ image: picture.blob, mask });
  made = null;
  input("bank").value = "";
  listed();
}

async function showExample(file: File): Promise<void> {
  try {
    await board.show(await open(file, file.name || "picture"));
    listed();
    say(`${file.name}: paint the thing that is to be found.`);
  } catch (error) {
    say((error as Error).message, true);
  }
}

at("add").addEventListener("click", async () => {
  const mask = await board.mask();
  if (!mask || !board.picture) return say("Nothing is painted yet.", true);
  addExample(board.picture, mask);
  say("Now choose pictures to search, or add another example.");
});
at("forget").addEventListener("click", () => {
  examples = [];
  made = null;
  listed();
});
at("bank").addEventListener("change", () => {
  const bank = at<HTMLSelectElement>("bank");
  if (bank.value) input("name").value = bank.selectedOptions[0]?.dataset.name ?? bank.value;
  listed();
});

// --- searching

async function find(engine: Engine, picture: Picture, progress: Progress, signal: AbortSignal): Promise<Found> {
  const chosen = input("bank").value;
  if (chosen) return engine.segment(chosen, picture.blob, progress, signal);
  for (let again = true; ; again = false) {
    if (!made) {
      const encoded = await engine.encode(examples, progress, signal);
      if (encoded.warnings.length) say(encoded.warnings.join(" "), true);
      made = encoded.id;
    }
    try {
      return await engine.segment(made, picture.blob, progress, signal);
    } catch (error) {
      // The bank made room for others: once more.
      if (!(error instanceof EngineError && error.gone && again)) throw error;
      made = null;
    }
  }
}

function update(result: Result): Promise<void> {
  const { name } = result.picture;
  return work(`Searching ${name}`, async (engine, progress, signal) => {
    const found = await find(engine, result.picture, progress, signal);
    const first = results.every((other) => other.score === null);
    if (first && "relative" in found.threshold) setThreshold(found.threshold.relative);
    result.show(found);
    const warned = found.warnings.length ? ` ${found.warnings.join(" ")}` : "";
    say(`${name}: score ${found.score.toFixed(2)}.${warned}`);
    listed();
  });
}

async function search(files: File[]): Promise<void> {
  if (input("query").disabled) return say("Show an example first.", true);
  for (const file of files) {
    try {
      searched(await open(file, file.name || "picture"));
    } catch (error) {
      say((error as Error).message, true);
    }
  }
}

function searched(picture: Picture): Promise<void> {
  const result = new Result(picture, (picture, mask) => {
    addExample(picture, mask);
    say(`${picture.name} is an example now; "Search again" uses it.`);
  });
  results.push(result);
  at("results").append(result.figure);
  return update(result);
}

function setThreshold(value: number): void {
  input("threshold").value = String(value);
  at("level").textContent = value.toFixed(2);
}

let due = false;
at("threshold").addEventListener("input", () => {
  setThreshold(Number(input("threshold").value));
  if (due) return;
  // Once a frame, however fast the slider moves.
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const result of results) result.draw();
  });
});
at("again").addEventListener("click", () => results.forEach((result) => void update(result)));
at("coco").addEventListener("click", () => {
  const category = input("name").value.trim() || "thing";
  download(coco(results.filter((result) => result.score !== null).map((result) => result.annotated()), category), "annotations.json");
});
at("cancel").addEventListener("click", () => running?.abort());

// --- pictures that come with the page

async function tryBuiltIn({ folder, name }: (typeof BUILT_IN)[number]): Promise<void> {
  const get = async (file: string) => (await fetch(`${folder}/${file}`)).blob();
  try {
    const [shown, mask, query] = await Promise.all([get("support.png"), get("support_mask.png"), get("query.png")]);
    const picture = await open(shown, `${name}, example.png`);
    examples = [];
    await board.show(picture, mask);
    addExample(picture, mask);
    input("name").value = name;
    await searched(await open(query, `${name}.png`));
  } catch (error) {
    say(`The built-in pictures cannot be had: ${(error as Error).message}`, true);
  }
}

for (const one of BUILT_IN) {
  const choice = button("", () => void tryBuiltIn(one));
  const image = document.createElement("img");
  image.src = `${one.folder}/support.png`;
  image.alt = "";
  choice.append(image, one.name);
  at("built-in").append(choice);
}

takeFiles(input("example"), at("board"), (files) => void (files[0] && showExample(files[0])));
takeFiles(input("query"), at("queries"), (files) => void search(files));

// --- what computes

async function choose(): Promise<Engine | null> {
  const key = () => input("key").value.trim();
  // Who has a server does not load the other.
  return (await ServerEngine.find(key)) ?? (await import("./local.js")).LocalEngine.find();
}

async function listBanks(): Promise<void> {
  const banks = await engine?.banks().catch((error) => say(error.message, true));
  const select = at<HTMLSelectElement>("bank");
  for (const { id, name } of banks ?? []) {
    if ([...select.options].some((option) => option.value === id)) continue;
    const option = new Option(`${name} (${id})`, id);
    option.dataset.name = name;
    select.append(option);
  }
}

at("key").addEventListener("change", () => void listBanks());
engine = await choose();
at("about").textContent = engine ? `Computed by ${engine.about}.` : "";
if (!engine) say("Nothing here can compute: there is no server, and this browser has no WebGPU.", true);
await listBanks();
document.body.dataset.ready = "yes";
listed();

