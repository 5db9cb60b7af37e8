import { EngineError } from "./engine.js";
import { levels } from "./picture.js";
const TRIES = 6;
class Busy extends EngineError {
    seconds;
    constructor(message, seconds) {
        super(message);
        this.seconds = seconds;
    }
}
export class ServerEngine {
    about;
    key;
    constructor(about, key) {
        this.about = about;
        this.key = key;
    }
    static async find(key) {
        const answer = await fetch("health").catch(() => null);
        const health = answer?.ok ? await answer.json().catch(() => null) : null;
        return health?.status === "healthy" ? new ServerEngine("this page's server", key) : null;
    }
    async banks() {
        const { banks } = await this.ask("GET", "v1/banks");
        return banks.filter((bank) => bank.model);
    }
    async encode(examples, progress, signal) {
        const shown = await Promise.all(examples.map(async ({ image, mask }) => ({ image: await base64(image), mask: await base64(mask) })));
        return this.stream("v1/banks", { name: "painted", examples: shown }, progress, signal);
    }
    async outline(image, box, signal) {
        const { mask } = await this.ask("POST", "v1/masks", { image: await base64(image), boxes: [box] }, signal);
        return fromBase64(mask);
    }
    async segment(bank, image, progress, signal) {
        const body = { bank, image: await base64(image), map: true };
        const found = await this.stream("v1/segment", body, progress, signal);
        const bitmap = await createImageBitmap(fromBase64(found.map));
        const enough = found.found || found.score >= found.min_score;
        return { ...found, found: enough, map: levels(bitmap, found.width, found.height) };
    }
    async send(method, path, accept, body, signal) {
        const headers = { "Content-Type": "application/json", Accept: accept };
        const key = this.key();
        if (key)
            headers["X-API-Key"] = key;
        const answer = await fetch(path, { method, headers, signal: signal ?? null, body: body ? JSON.stringify(body) : null }).catch((error) => {
            signal?.throwIfAborted();
            throw new EngineError(`The server does not answer: ${error.message}`);
        });
        if (answer.ok)
            return answer;
        const problem = await answer.json().catch(() => ({}));
        const seconds = Number(answer.headers.get("Retry-After")) || null;
        throw wrong({ detail: answer.statusText, ...problem, status: answer.status }, seconds);
    }
    async patiently(act, signal) {
        for (let tries = 1;; tries++) {
            try {
                return await act();
            }
            catch (error) {
                if (!(error instanceof Busy) || tries === TRIES)
                    throw error;
                await sleep(1000 * (error.seconds ?? tries), signal);
            }
        }
    }
    async ask(method, path, body, signal) {
        return this.patiently(async () => (await this.send(method, path, "application/json", body, signal)).json(), signal);
    }
    async stream(path, body, progress, signal) {
        return this.patiently(async () => {
            const answer = await this.send("POST", path, "text/event-stream", body, signal);
            for await (const [name, data] of events(answer)) {
                if (name === "step")
                    progress(data.stage, data.done);
                if (name === "problem")
                    throw wrong(data, null);
                if (name === "done")
                    return data;
            }
            signal.throwIfAborted();
            throw new EngineError("The server ended before it answered.");
        }, signal);
    }
}
function wrong({ status, detail = "The server gives no reason." }, seconds) {
    return status === 503 ? new Busy(detail, seconds) : new EngineError(detail, status === 404);
}
async function* events(answer) {
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; reader;) {
        const { done, value } = await reader.read();
        if (done)
            return;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
            const match = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end));
            if (match?.[1] && match[2])
                yield [match[1], JSON.parse(match[2])];
        }
    }
}
function sleep(milliseconds, signal) {
    return new Promise((give, fail) => {
        signal?.throwIfAborted();
        const timer = setTimeout(give, milliseconds);
        signal?.addEventListener("abort", () => {
            clearTimeout(timer);
            fail(signal.reason);
        });
    });
}
function base64(blob) {
    return new Promise((give, fail) => {
        const reader = new FileReader();
        reader.onload = () => give(String(reader.result).split(",")[1] ?? "");
        reader.onerror = () => fail(reader.error);
        reader.readAsDataURL(blob);
    });
}
function fromBase64(text) {
    return new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: "image/png" });
}
