// The engine in a worker thread: loading weights and resizing pictures would block the page. Calls run one by one.

import { at, manifest, weights, type Manifest } from "./assets.js";
import type { Box, Example, Prediction } from "./engine.js";

/** A request of the page, with its id. */
export type Asked = { id: number } & (
  | { what: "encode"; examples: readonly Example[] }
  | { what: "segment"; bank: number; image: Blob }
  | { what: "outline"; image: Blob; box: Box }
  | { what: "conformance"; only: string; skip: string; full: boolean; adapter: string; driver: string }
  | { what: "abort" }
);

/** A message about a request. */
export type WorkerMessage = { id: number } & (
  | { what: "progress"; part: string; done: number }
  /** A conformance case as JSON, and the number of cases. */
  | { what: "row"; row: string; of: number }
  | { what: "done"; value: unknown }
  /** `name` as in web/engine/src/error.rs. */
  | { what: "failed"; name: string; message: string }
);

/** web/engine/src/lib.rs */
interface Glue {
  default(options: { module_or_path: string }): Promise<unknown>;
  Engine: { open(files: Map<string, Uint8Array>, precision: string, progress: Tell): Promise<Engine> };
  outline(picture: Uint8Array, left: number, top: number, right: number, bottom: number): Drawn;
  countCases(only: string, skip: string, full: boolean): number;
  conformance(files: Map<string, Uint8Array>, only: string, skip: string, full: boolean, adapter: string, driver: string, seen: (row: string) => boolean): Promise<string>;
}
type Tell = (part: string, done: number) => boolean;
interface Engine {
  encode(pictures: Uint8Array[], masks: Uint8Array[], progress: Tell): Promise<[number, ...string[]]>;
  segment(bank: number, picture: Uint8Array, progress: Tell): Promise<Searched>;
}
interface Drawn {
  width: number;
  height: number;
  mask(): Uint8ClampedArray;
  free(): void;
}
interface Searched {
  width: number;
  height: number;
  peak: number;
  score: number;
  relative: boolean;
  threshold: number;
  map(): Uint8ClampedArray;
  warnings(): string[];
  free(): void;
}

const running = new Map<number, AbortController>();
let queue = Promise.resolve();
let loaded: Promise<{ glue: Glue; about: Manifest }> | null = null;
let opened: Promise<Engine> | null = null;

addEventListener("message", ({ data }: MessageEvent<Asked>) => {
  const { id } = data;
  if (data.what === "abort") return running.get(id)?.abort();
  const abort = new AbortController();
  running.set(id, abort);
  queue = queue.then(async () => {
    try {
      abort.signal.throwIfAborted();
      tell({ id, what: "done", value: await answer(data, abort.signal) });
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      // A lost GPU stays lost, even if the call was aborted.
      tell({ id, what: "failed", name: name === "AbortError" ? "Interrupted" : name, message });
    }
    running.delete(id);
  });
});

function tell(told: WorkerMessage): void {
  postMessage(told);
}

async function answer(asked: Exclude<Asked, { what: "abort" }>, signal: AbortSignal): Promise<unknown> {
  const { id } = asked;
  const progress: Tell = (part, done) => {
    tell({ id, what: "progress", part, done });
    return !signal.aborted;
  };
  const { glue, about } = await (loaded ??= load().catch((error) => {
    loaded = null;
    throw error;
  }));
  if (asked.what === "outline") return png(glue.outline(await bytes(asked.image), ...asked.box));
  if (asked.what === "conformance") {
    const { only, skip, full, adapter, driver } = asked;
    const files = await weights(about, progress, signal);
    const of = glue.countCases(only, skip, full);
    return glue.conformance(files, only, skip, full, adapter, driver, (row) => {
      tell({ id, what: "row", row, of });
      return !signal.aborted;
    });
  }
  const open = async () => glue.Engine.open(await weights(about, progress, signal), "auto", progress);
  const engine = await (opened ??= open().catch((error) => {
    opened = null;
    throw error;
  }));
  if (asked.what === "encode") {
    const each = (of: (example: Example) => Blob) => Promise.all(asked.examples.map((example) => bytes(of(example))));
    return engine.encode(await each(({ image }) => image), await each(({ mask }) => mask), progress);
  }
  return found(await engine.segment(asked.bank, await bytes(asked.image), progress));
}

async function load(): Promise<{ glue: Glue; about: Manifest }> {
  const about = await manifest();
  if (!about) throw new Error("The engine is missing beside this page; run `make web`.");
  const glue: Glue = await import(at(about.glue));
  await glue.default({ module_or_path: at(about.module) });
  return { glue, about };
}

async function bytes(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await blob.arrayBuffer());
}

function found(searched: Searched): Prediction {
  const { width, height, peak, score, relative, threshold } = searched;
  const [map, warnings] = [searched.map(), searched.warnings()];
  searched.free();
  const rule = relative ? { relative: threshold } : { absolute: threshold };
  // This engine has no minimum score.
  return { width, height, map, peak, score, found: true, threshold: rule, warnings };
}

/** A mask as a file. */
async function png(drawn: Drawn): Promise<Blob> {
  const { width, height } = drawn;
  const levels = drawn.mask();
  drawn.free();
  const pixels = new ImageData(width, height);
  levels.forEach((level, i) => pixels.data.set([level, level, level, 255], 4 * i));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
