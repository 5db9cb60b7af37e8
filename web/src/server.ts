// The engine behind HTTP: docs/serve.md.

import { EngineError, type Box, type Encoded, type Engine, type Example, type Prediction, type NamedBank, type Progress } from "./engine.js";
import { levels } from "./picture.js";

/** Most attempts at a busy server. */
const TRIES = 6;

interface Problem {
  status?: number;
  detail?: string;
}

/** The server is busy; it may say how long to wait. */
class Busy extends EngineError {
  constructor(message: string, readonly seconds: number | null) {
    super(message);
  }
}

interface Segmented {
  width: number;
  height: number;
  map: string;
  peak: number;
  score: number;
  min_score: number;
  /** Whether the mask is not empty. */
  found: boolean;
  threshold: Prediction["threshold"];
  warnings: string[];
}

export class ServerEngine implements Engine {
  private constructor(readonly about: string, private readonly key: () => string) {}

  /** The server of this page; null if there is none. */
  static async find(key: () => string): Promise<ServerEngine | null> {
    const answer = await fetch("health").catch(() => null);
    const health = answer?.ok ? await answer.json().catch(() => null) : null;
    return health?.status === "healthy" ? new ServerEngine("this page's server", key) : null;
  }

  async banks(): Promise<NamedBank[]> {
    const { banks } = await this.ask("GET", "v1/banks");
    return (banks as { id: string; name: string; model: boolean }[]).filter((bank) => bank.model);
  }

  async encode(examples: readonly Example[], progress: Progress, signal: AbortSignal): Promise<Encoded> {
    const shown = await Promise.all(
      examples.map(async ({ image, mask }) => ({ image: await base64(image), mask: await base64(mask) })),
    );
    return this.stream("v1/banks", { name: "painted", examples: shown }, progress, signal);
  }

  async outline(image: Blob, box: Box, signal: AbortSignal): Promise<Blob> {
    const { mask } = await this.ask("POST", "v1/masks", { image: await base64(image), boxes: [box] }, signal);
    return fromBase64(mask);
  }

  async segment(bank: string, image: Blob, progress: Progress, signal: AbortSignal): Promise<Prediction> {
    const body = { bank, image: await base64(image), map: true };
    const found = await this.stream<Segmented>("v1/segment", body, progress, signal);
    const bitmap = await createImageBitmap(fromBase64(found.map));
    // The threshold alone may empty a mask, and the slider can lower it.
    const enough = found.found || found.score >= found.min_score;
    return { ...found, found: enough, map: levels(bitmap, found.width, found.height) };
  }

  private async send(method: string, path: string, accept: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { "Content-Type": "application/json", Accept: accept };
    const key = this.key();
    if (key) headers["X-API-Key"] = key;
    const answer = await fetch(path, { method, headers, signal: signal ?? null, body: body ? JSON.stringify(body) : null }).catch((error) => {
      signal?.throwIfAborted();
      throw new EngineError(`The server does not answer: ${error.message}`);
    });
    if (answer.ok) return answer;
    const problem: Problem = await answer.json().catch(() => ({}));
    const seconds = Number(answer.headers.get("Retry-After")) || null;
    throw wrong({ detail: answer.statusText, ...problem, status: answer.status }, seconds);
  }

  /** Runs `act`, and repeats it after a while if the server is busy. */
  private async patiently<T>(act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof Busy) || tries === TRIES) throw error;
        await sleep(1000 * (error.seconds ?? tries), signal);
      }
    }
  }

  // The caller knows the type of the answer: see docs/serve.md.
  private async ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<any> {
    return this.patiently(async () => (await this.send(method, path, "application/json", body, signal)).json(), signal);
  }

  /** The last event of a stream. */
  private async stream<T>(path: string, body: unknown, progress: Progress, signal: AbortSignal): Promise<T> {
    return this.patiently(async () => {
      const answer = await this.send("POST", path, "text/event-stream", body, signal);
      for await (const [name, data] of events(answer)) {
        if (name === "step") progress(data.stage, data.done);
        if (name === "problem") throw wrong(data, null);
        if (name === "done") return data;
      }
      signal.throwIfAborted();
      throw new EngineError("The server ended before it answered.");
    }, signal);
  }
}

function wrong({ status, detail = "The server gives no reason." }: Problem, seconds: number | null): EngineError {
  return status === 503 ? new Busy(detail, seconds) : new EngineError(detail, status === 404);
}

/** The events of a response: names and data. */
async function* events(answer: Response): AsyncGenerator<[string, any]> {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; reader; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const match = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end));
      if (match?.[1] && match[2]) yield [match[1], JSON.parse(match[2])];
    }
  }
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((give, fail) => {
    signal?.throwIfAborted();
    const timer = setTimeout(give, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(signal.reason);
    });
  });
}

function base64(blob: Blob): Promise<string> {
  return new Promise((give, fail) => {
    const reader = new FileReader();
    reader.onload = () => give(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}

function fromBase64(text: string): Blob {
  return new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: "image/png" });
}
