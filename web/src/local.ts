// The engine on the browser's own GPU: nothing leaves this machine.

import { manifest } from "./assets.js";
import { EngineError, type Box, type Encoded, type Engine, type Example, type Prediction, type NamedBank, type Progress } from "./engine.js";
import { gpuName } from "./gpu.js";
import { CallError, Remote } from "./remote.js";

export class LocalEngine implements Engine {
  private readonly remote = new Remote();

  private constructor(readonly about: string) {}

  /** Null if this browser has no WebGPU on this machine, or the page is served without the engine. */
  static async find(): Promise<LocalEngine | null> {
    const name = await gpuName();
    return name !== null && (await manifest()) ? new LocalEngine(`this browser's own GPU (${name})`) : null;
  }

  async banks(): Promise<NamedBank[]> {
    return [];
  }

  async encode(examples: readonly Example[], progress: Progress, signal: AbortSignal): Promise<Encoded> {
    const [bank, ...warnings] = await this.call({ what: "encode", examples }, progress, signal, false);
    return { id: `${this.remote.age}.${bank}`, warnings };
  }

  async segment(bank: string, image: Blob, progress: Progress, signal: AbortSignal): Promise<Prediction> {
    const [age, number] = bank.split(".").map(Number);
    if (age !== this.remote.age) throw new EngineError("The examples are no longer on the GPU.", true);
    return this.call({ what: "segment", bank: number ?? 0, image }, progress, signal, true);
  }

  async outline(image: Blob, box: Box, signal: AbortSignal): Promise<Blob> {
    return this.call({ what: "outline", image, box }, () => {}, signal, false);
  }

  private async call(call: Parameters<Remote["call"]>[0], progress: Progress, signal: AbortSignal, ofBank: boolean): Promise<any> {
    try {
      return await this.remote.call(call, (told) => told.what === "progress" && progress(told.part, told.done), signal);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (error.name === "Interrupted") signal.throwIfAborted();
      // A bank is lost with its GPU or worker.
      const gone = error.name === "Gone" || (ofBank && ["Lost", "Broken", "RuntimeError"].includes(error.name));
      throw new EngineError(error.message, gone);
    }
  }
}
