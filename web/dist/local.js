import { manifest } from "./assets.js";
import { EngineError } from "./engine.js";
import { gpuName } from "./gpu.js";
import { CallError, Remote } from "./remote.js";
export class LocalEngine {
    about;
    remote = new Remote();
    constructor(about) {
        this.about = about;
    }
    static async find() {
        const name = await gpuName();
        return name !== null && (await manifest()) ? new LocalEngine(`this browser's own GPU (${name})`) : null;
    }
    async banks() {
        return [];
    }
    async encode(examples, progress, signal) {
        const [bank, ...warnings] = await this.call({ what: "encode", examples }, progress, signal, false);
        return { id: `${this.remote.age}.${bank}`, warnings };
    }
    async segment(bank, image, progress, signal) {
        const [age, number] = bank.split(".").map(Number);
        if (age !== this.remote.age)
            throw new EngineError("The examples are no longer on the GPU.", true);
        return this.call({ what: "segment", bank: number ?? 0, image }, progress, signal, true);
    }
    async outline(image, box, signal) {
        return this.call({ what: "outline", image, box }, () => { }, signal, false);
    }
    async call(call, progress, signal, ofBank) {
        try {
            return await this.remote.call(call, (told) => told.what === "progress" && progress(told.part, told.done), signal);
        }
        catch (error) {
            if (!(error instanceof CallError))
                throw error;
            if (error.name === "Interrupted")
                signal.throwIfAborted();
            const gone = error.name === "Gone" || (ofBank && ["Lost", "Broken", "RuntimeError"].includes(error.name));
            throw new EngineError(error.message, gone);
        }
    }
}
