import { at, manifest, weights } from "./assets.js";
const running = new Map();
let queue = Promise.resolve();
let loaded = null;
let opened = null;
addEventListener("message", ({ data }) => {
    const { id } = data;
    if (data.what === "abort")
        return running.get(id)?.abort();
    const abort = new AbortController();
    running.set(id, abort);
    queue = queue.then(async () => {
        try {
            abort.signal.throwIfAborted();
            tell({ id, what: "done", value: await answer(data, abort.signal) });
        }
        catch (error) {
            const { name, message } = error instanceof Error ? error : new Error(String(error));
            tell({ id, what: "failed", name: name === "AbortError" ? "Interrupted" : name, message });
        }
        running.delete(id);
    });
});
function tell(told) {
    postMessage(told);
}
async function answer(asked, signal) {
    const { id } = asked;
    const progress = (part, done) => {
        tell({ id, what: "progress", part, done });
        return !signal.aborted;
    };
    const { glue, about } = await (loaded ??= load().catch((error) => {
        loaded = null;
        throw error;
    }));
    if (asked.what === "outline")
        return png(glue.outline(await bytes(asked.image), ...asked.box));
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
        const each = (of) => Promise.all(asked.examples.map((example) => bytes(of(example))));
        return engine.encode(await each(({ image }) => image), await each(({ mask }) => mask), progress);
    }
    return found(await engine.segment(asked.bank, await bytes(asked.image), progress));
}
async function load() {
    const about = await manifest();
    if (!about)
        throw new Error("The engine is missing beside this page; run `make web`.");
    const glue = await import(at(about.glue));
    await glue.default({ module_or_path: at(about.module) });
    return { glue, about };
}
async function bytes(blob) {
    return new Uint8Array(await blob.arrayBuffer());
}
function found(searched) {
    const { width, height, peak, score, relative, threshold } = searched;
    const [map, warnings] = [searched.map(), searched.warnings()];
    searched.free();
    const rule = relative ? { relative: threshold } : { absolute: threshold };
    return { width, height, map, peak, score, found: true, threshold: rule, warnings };
}
async function png(drawn) {
    const { width, height } = drawn;
    const levels = drawn.mask();
    drawn.free();
    const pixels = new ImageData(width, height);
    levels.forEach((level, i) => pixels.data.set([level, level, level, 255], 4 * i));
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")?.putImageData(pixels, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
}
