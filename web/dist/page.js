import { Board } from "./board.js";
import { at, button, download, input, say, takeFiles } from "./dom.js";
import { EngineError } from "./engine.js";
import { coco } from "./files.js";
import { open } from "./picture.js";
import { Result } from "./result.js";
import { ServerEngine } from "./server.js";
const BUILT_IN = [
    { folder: "examples/0", name: "lady bug" },
    { folder: "examples/1", name: "lemon" },
    { folder: "examples/2", name: "teddy bear" },
];
let engine = null;
let examples = [];
const made = new WeakMap();
let results = [];
let ending = new AbortController();
let chain = Promise.resolve();
let opening = Promise.resolve();
const board = new Board(async (picture, box) => {
    let mask = null;
    await work("Outlining", async (engine, _, signal) => void (mask = await engine.outline(picture.blob, box, signal)));
    return mask;
});
function work(what, act, { signal } = ending) {
    chain = chain.then(async () => {
        if (signal.aborted)
            return;
        if (!engine)
            return say("No engine is available: there is no server, and this browser has no WebGPU.", true);
        const bar = at("progress");
        bar.hidden = at("cancel").hidden = false;
        bar.removeAttribute("value");
        say(`${what} ...`);
        const progress = (part, done) => {
            bar.value = done;
            at("part").textContent = part;
        };
        try {
            await act(engine, progress, signal);
        }
        catch (error) {
            if (signal.aborted)
                say("Cancelled.");
            else
                say(error instanceof Error ? error.message : String(error), true);
        }
        bar.hidden = at("cancel").hidden = true;
        at("part").textContent = "";
    });
    return chain;
}
function listed() {
    const count = examples.length;
    at("count").textContent = count ? `${count} example${count > 1 ? "s" : ""}.` : "No example yet.";
    at("painting").hidden = Boolean(input("bank").value);
    at("forget").disabled = !count;
    input("query").disabled = !count && !input("bank").value;
    at("add").disabled = !board.picture;
    at("again").disabled = input("query").disabled || !results.length;
    at("coco").disabled = !results.some((result) => result.searched);
}
function addExample(picture, mask) {
    examples = [...examples, { image: picture.blob, mask }];
    input("bank").value = "";
    listed();
}
async function showExample(file) {
    try {
        await board.show(await open(file, file.name || "picture"));
        listed();
        say(`${file.name}: paint the thing to find.`);
    }
    catch (error) {
        say(error.message, true);
    }
}
at("add").addEventListener("click", async () => {
    const { picture } = board;
    const mask = await board.mask();
    if (!mask || !picture)
        return say("Nothing is painted yet.", true);
    addExample(picture, mask);
    say("Now choose pictures to search, or add another example.");
});
at("forget").addEventListener("click", () => {
    examples = [];
    listed();
});
at("bank").addEventListener("change", () => {
    const bank = at("bank");
    if (bank.value)
        input("name").value = bank.selectedOptions[0]?.dataset.name ?? bank.value;
    listed();
});
function wanted() {
    return { bank: input("bank").value, examples };
}
async function find(engine, picture, { bank, examples }, progress, signal) {
    if (bank)
        return engine.segment(bank, picture.blob, progress, signal);
    for (let again = true;; again = false) {
        const encoded = made.get(examples) ?? (await engine.encode(examples, progress, signal));
        made.set(examples, encoded);
        try {
            const found = await engine.segment(encoded.id, picture.blob, progress, signal);
            return { ...found, warnings: [...encoded.warnings, ...found.warnings] };
        }
        catch (error) {
            if (!(error instanceof EngineError && error.gone && again))
                throw error;
            made.delete(examples);
        }
    }
}
function update(result, what = wanted(), ends = ending) {
    const { name } = result.picture;
    const act = async (engine, progress, signal) => {
        if (!results.includes(result))
            return say(`${name} was removed.`);
        const found = await find(engine, result.picture, what, progress, signal);
        const relative = "relative" in found.threshold;
        at("counted").textContent = relative ? "Threshold" : "Threshold (absolute)";
        if (!results.some((other) => other.searched)) {
            setThreshold("relative" in found.threshold ? found.threshold.relative : found.threshold.absolute);
        }
        result.show(found);
        say([`${name}: ${result.summary}.`, ...found.warnings].join(" "));
        listed();
    };
    return work(`Searching ${name}`, act, ends);
}
function search(files) {
    if (input("query").disabled)
        return say("Show an example first.", true);
    const [what, ends] = [wanted(), ending];
    opening = opening.then(async () => {
        for (const file of files) {
            if (ends.signal.aborted)
                return;
            try {
                searched(await open(file, file.name || "picture"), what, ends);
            }
            catch (error) {
                say(error.message, true);
            }
        }
    });
}
function searched(picture, what, ends = ending) {
    const add = (picture, mask) => {
        addExample(picture, mask);
        say(`${picture.name} is an example now; "Search again" uses it.`);
    };
    const result = new Result(picture, { add, remove });
    results.push(result);
    at("results").append(result.figure);
    void update(result, what, ends);
}
function remove(result) {
    const next = result.figure.nextElementSibling ?? result.figure.previousElementSibling;
    results = results.filter((other) => other !== result);
    result.figure.remove();
    (next?.querySelector("button:last-child") ?? input("query")).focus();
    listed();
}
function setThreshold(value) {
    input("threshold").value = String(value);
    at("level").textContent = value.toFixed(2);
}
function inView(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
}
let due = false;
at("threshold").addEventListener("input", () => {
    setThreshold(Number(input("threshold").value));
    if (due)
        return;
    due = true;
    requestAnimationFrame(() => {
        due = false;
        for (const result of results)
            if (inView(result.figure))
                result.draw();
    });
});
for (const rest of ["change", "pointerup"])
    at("threshold").addEventListener(rest, () => results.forEach((result) => result.draw()));
at("again").addEventListener("click", () => results.forEach((result) => void update(result)));
at("coco").addEventListener("click", () => {
    const category = input("name").value.trim() || "thing";
    download(coco(results.filter((result) => result.searched).map((result) => result.annotated()), category), "annotations.json");
});
at("cancel").addEventListener("click", () => {
    ending.abort();
    ending = new AbortController();
});
async function tryBuiltIn({ folder, name }) {
    const get = async (file) => (await fetch(`${folder}/${file}`)).blob();
    try {
        const [shown, mask, query] = await Promise.all([get("support.png"), get("support_mask.png"), get("query.png")]);
        const [picture, searching] = [await open(shown, `${name}, example.png`), await open(query, `${name}.png`)];
        await board.show(picture, mask);
        examples = [];
        addExample(picture, mask);
        input("name").value = name;
        searched(searching, wanted());
    }
    catch (error) {
        say(`The built-in pictures cannot be loaded: ${error.message}`, true);
    }
}
for (const one of BUILT_IN) {
    const choice = button("", () => (opening = opening.then(() => tryBuiltIn(one))));
    const image = document.createElement("img");
    image.src = `${one.folder}/support.png`;
    image.alt = "";
    choice.append(image, one.name);
    at("built-in").append(choice);
}
takeFiles(input("example"), at("board"), ([file]) => {
    if (file)
        opening = opening.then(() => showExample(file));
});
takeFiles(input("query"), at("queries"), search);
async function choose() {
    const key = () => input("key").value.trim();
    return (await ServerEngine.find(key)) ?? (await import("./local.js")).LocalEngine.find();
}
async function listBanks() {
    const banks = await engine?.banks().catch((error) => say(error.message, true));
    const select = at("bank");
    for (const { id, name } of banks ?? []) {
        if ([...select.options].some((option) => option.value === id))
            continue;
        const option = new Option(`${name} (${id})`, id);
        option.dataset.name = name;
        select.append(option);
    }
}
at("key").addEventListener("change", () => void listBanks());
engine = await choose();
at("about").textContent = engine ? `Computed by ${engine.about}.` : "";
if (!engine)
    say("No engine is available: there is no server, and this browser has no WebGPU.", true);
await listBanks();
document.body.dataset.ready = "yes";
listed();
