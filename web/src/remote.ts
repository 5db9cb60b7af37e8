// Calls of the engine's worker, which is started on demand and restarted after it ends.

import type { Asked, WorkerMessage } from "./worker.js";

type Call = Exclude<Asked, { what: "abort" }> extends infer Each ? (Each extends { id: number } ? Omit<Each, "id"> : never) : never;

/** A failed call: `name` as in web/engine/src/error.rs, or `Broken` if the worker itself ended. */
export class CallError extends Error {
  constructor(override readonly name: string, message: string) {
    super(message);
  }
}

interface Waiting {
  give(value: any): void;
  fail(error: Error): void;
  hear(told: WorkerMessage): void;
}

export class Remote {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private next = 1;
  /** Number of workers so far: banks of earlier ones are gone. */
  age = 0;

  // The caller knows the type of the value: see worker.ts.
  call(call: Call, hear: (told: WorkerMessage) => void, signal: AbortSignal): Promise<any> {
    signal.throwIfAborted();
    const worker = (this.worker ??= this.start());
    const id = this.next++;
    const abort = () => worker.postMessage({ id, what: "abort" });
    signal.addEventListener("abort", abort);
    return new Promise((give, fail) => {
      this.waiting.set(id, { give, fail, hear });
      worker.postMessage({ id, ...call });
    }).finally(() => signal.removeEventListener("abort", abort));
  }

  private start(): Worker {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.age++;
    worker.addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => this.onMessage(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.end(new CallError("Broken", `The engine stopped: ${event.message || "its script cannot be loaded"}`));
    });
    return worker;
  }

  private onMessage(told: WorkerMessage): void {
    const waiting = this.waiting.get(told.id);
    if (told.what === "progress" || told.what === "row") return waiting?.hear(told);
    this.waiting.delete(told.id);
    if (told.what === "done") return waiting?.give(told.value);
    const error = new CallError(told.name, told.message);
    waiting?.fail(error);
    // Other calls on that GPU fail, too.
    if (told.name === "Lost" || told.name === "RuntimeError") this.end(error);
  }

  private end(error: CallError): void {
    this.worker?.terminate();
    this.worker = null;
    for (const { fail } of this.waiting.values()) fail(error);
    this.waiting.clear();
  }
}
