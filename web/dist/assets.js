const BASE = new URL("../", import.meta.url);
const CACHE = "diffews-wgpu";
export function at(url) {
    return new URL(url, BASE).href;
}
export async function manifest() {
    const answer = await fetch(at("engine.json"), { cache: "no-cache" }).catch(() => null);
    if (!answer?.ok || !answer.headers.get("Content-Type")?.includes("json"))
        return null;
    return answer.json().catch(() => null);
}
export async function weights({ weights }, progress, signal) {
    const kept = await caches.open(CACHE).catch(() => null);
    const all = Object.entries(weights);
    const total = all.reduce((sum, [, { bytes }]) => sum + bytes, 0);
    const files = new Map();
    let done = 0;
    const tell = (more) => progress("download the model", (done += more) / total);
    for (const [path, stored] of all) {
        files.set(path, (await known(kept, stored, tell)) ?? (await download(kept, stored, tell, signal)));
    }
    if (kept)
        await tidy(kept, new Set(all.map(([, { url }]) => at(url)))).catch(() => { });
    return files;
}
async function tidy(kept, urls) {
    for (const request of await kept.keys()) {
        if (request.url.startsWith(at("weights/")) && !urls.has(request.url))
            await kept.delete(request);
    }
}
async function known(kept, stored, tell) {
    const read = async () => (await kept?.match(at(stored.url)))?.arrayBuffer();
    const buffer = await read().catch(() => null);
    const bytes = buffer ? new Uint8Array(buffer) : null;
    if (!bytes || !(await isRight(bytes, stored)))
        return null;
    tell(stored.bytes);
    return bytes;
}
async function download(kept, stored, tell, signal) {
    const fail = (reason) => new Error(`The model could not be downloaded (${stored.url}): ${reason}`);
    const answer = await fetch(at(stored.url), { signal }).catch((error) => {
        signal.throwIfAborted();
        throw fail(error.message);
    });
    if (!answer.ok || !answer.body)
        throw fail(`the server says ${answer.status} ${answer.statusText}`);
    const bytes = new Uint8Array(stored.bytes);
    let got = 0;
    for (const reader = answer.body.getReader();;) {
        const { done, value } = await reader.read();
        if (done)
            break;
        if (got + value.length > bytes.length)
            throw fail("it is longer than expected");
        bytes.set(value, got);
        got += value.length;
        tell(value.length);
    }
    if (got !== bytes.length || !(await isRight(bytes, stored)))
        throw fail("its hash is wrong; try again");
    await kept?.put(at(stored.url), new Response(bytes)).catch(() => { });
    return bytes;
}
async function isRight(bytes, { bytes: length, sha256 }) {
    if (bytes.length !== length)
        return false;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
