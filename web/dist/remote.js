export class CallError extends Error {
    name;
    constructor(name, message) {
        super(message);
        this.name = name;
    }
}
export class Remote {
    worker = null;
    waiting = new Map();
    next = 1;
    age = 0;
    call(call, hear, signal) {
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
    start() {
        const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
        this.age++;
        worker.addEventListener("message", ({ data }) => this.onMessage(data));
        worker.addEventListener("error", (event) => {
            event.preventDefault();
            this.end(new CallError("Broken", `The engine stopped: ${event.message || "its script cannot be loaded"}`));
        });
        return worker;
    }
    onMessage(told) {
        const waiting = this.waiting.get(told.id);
        if (told.what === "progress" || told.what === "row")
            return waiting?.hear(told);
        this.waiting.delete(told.id);
        if (told.what === "done")
            return waiting?.give(told.value);
        const error = new CallError(told.name, told.message);
        waiting?.fail(error);
        if (told.name === "Lost" || told.name === "RuntimeError")
            this.end(error);
    }
    end(error) {
        this.worker?.terminate();
        this.worker = null;
        for (const { fail } of this.waiting.values())
            fail(error);
        this.waiting.clear();
    }
}
