// The engine's module and a model's files, served beside this page and cached by the browser.

import type { Progress } from "./engine.js";

/** A file with its hash in the name: another version is another file. */
interface Stored {
  url: string;
  bytes: number;
  sha256: string;
}

/** engine.json beside the page, which `make web` writes. */
export interface Manifest {
  version: string;
  /** The JavaScript beside the module, and the module. */
  glue: string;
  module: string;
  /** The model's files, by their paths in its directory. */
  weights: Record<string, Stored>;
}

const BASE = new URL("../", import.meta.url);
const CACHE = "diffews-wgpu";

export function at(url: string): string {
  return new URL(url, BASE).href;
}

/** Null if this page is served without the engine. */
export async function manifest(): Promise<Manifest | null> {
  const answer = await fetch(at("engine.json"), { cache: "no-cache" }).catch(() => null);
  if (!answer?.ok || !answer.headers.get("Content-Type")?.includes("json")) return null;
  return answer.json().catch(() => null);
}

/** The model's files by their paths, from the cache or downloaded. */
export async function weights({ weights }: Manifest, progress: Progress, signal: AbortSignal): Promise<Map<string, Uint8Array>> {
  const kept = await caches.open(CACHE).catch(() => null);
  const all = Object.entries(weights);
  const total = all.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  const files = new Map<string, Uint8Array>();
  let done = 0;
  const tell = (more: number) => progress("download the model", (done += more) / total);
  for (const [path, stored] of all) {
    files.set(path, (await known(kept, stored, tell)) ?? (await download(kept, stored, tell, signal)));
  }
  // Do not fail if the cache cannot be cleaned.
  if (kept) await tidy(kept, new Set(all.map(([, { url }]) => at(url)))).catch(() => {});
  return files;
}

/** Deletes this page's files of other versions; other pages of the same origin share the cache. */
async function tidy(kept: Cache, urls: Set<string>): Promise<void> {
  for (const request of await kept.keys()) {
    if (request.url.startsWith(at("weights/")) && !urls.has(request.url)) await kept.delete(request);
  }
}

async function known(kept: Cache | null, stored: Stored, tell: (more: number) => void): Promise<Uint8Array | null> {
  const read = async () => (await kept?.match(at(stored.url)))?.arrayBuffer();
  // An unreadable entry counts as missing.
  const buffer = await read().catch(() => null);
  const bytes = buffer ? new Uint8Array(buffer) : null;
  if (!bytes || !(await isRight(bytes, stored))) return null;
  tell(stored.bytes);
  return bytes;
}

async function download(kept: Cache | null, stored: Stored, tell: (more: number) => void, signal: AbortSignal): Promise<Uint8Array> {
  const fail = (reason: string) => new Error(`The model could not be downloaded (${stored.url}): ${reason}`);
  const answer = await fetch(at(stored.url), { signal }).catch((error) => {
    signal.throwIfAborted();
    throw fail(error.message);
  });
  if (!answer.ok || !answer.body) throw fail(`the server says ${answer.status} ${answer.statusText}`);
  const bytes = new Uint8Array(stored.bytes);
  let got = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (got + value.length > bytes.length) throw fail("it is longer than expected");
    bytes.set(value, got);
    got += value.length;
    tell(value.length);
  }
  if (got !== bytes.length || !(await isRight(bytes, stored))) throw fail("its hash is wrong; try again");
  // If the cache is full, it is downloaded again the next time.
  await kept?.put(at(stored.url), new Response(bytes)).catch(() => {});
  return bytes;
}

async function isRight(bytes: Uint8Array<ArrayBuffer>, { bytes: length, sha256 }: Stored): Promise<boolean> {
  if (bytes.length !== length) return false;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
