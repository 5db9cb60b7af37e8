import { gpuName } from "./gpu.js";
import { manifest } from "./assets.js";
import { CallError, Remote } from "./remote.js";
const MOST_SHOWN = 200;
function at(id) {
    return document.getElementById(id);
}
const remote = new Remote();
const name = await gpuName();
let running = null;
function say(text) {
    at("status").textContent = text;
}
function count(id) {
    at(id).textContent = String(Number(at(id).textContent) + 1);
}
function see(row) {
    if (row.status === "passed" || row.status === "flake")
        return count("passed");
    if (row.status === "not_run")
        return count("not_run");
    if (row.status.startsWith("known"))
        return count("known");
    count("failed");
    if (at("failures").childElementCount >= MOST_SHOWN)
        return;
    const item = document.createElement("li");
    const far = row.ratio === null ? "" : `; error / bound ${row.ratio.toPrecision(3)}`;
    item.textContent = `${row.case}: ${row.reason ?? row.where}${far}`;
    at("failures").append(item);
}
async function run() {
    running = new AbortController();
    for (const id of ["passed", "failed", "known", "not_run"])
        at(id).textContent = "0";
    at("failures").replaceChildren();
    at("report").hidden = true;
    at("run").disabled = true;
    at("stop").disabled = false;
    say("Loading");
    let rows = 0;
    const only = at("only").value || at("what").value;
    const skip = at("skip").value;
    const full = at("full").checked;
    const call = { what: "conformance", only, skip, full, adapter: name ?? "", driver: navigator.userAgent };
    try {
        const text = await remote.call(call, (told) => {
            if (told.what === "progress")
                return say(`${told.part}: ${Math.round(100 * told.done)} %`);
            if (told.what !== "row")
                return;
            const row = JSON.parse(told.row);
            at("done").value = ++rows / told.of;
            say(`${rows} of ${told.of}: ${row.case}`);
            see(row);
        }, running.signal);
        const { summary } = JSON.parse(text);
        const report = at("report");
        URL.revokeObjectURL(report.href);
        report.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
        report.hidden = false;
        const all = running.signal.aborted ? "Stopped" : "Done";
        say(`${all}: ${summary.passed} passed, ${summary.failed} failed, ${summary.not_run} not run.`);
    }
    catch (error) {
        say(error instanceof CallError && error.name === "Interrupted" ? "Stopped." : String(error.message));
    }
    at("run").disabled = false;
    at("stop").disabled = true;
}
at("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
});
at("stop").addEventListener("click", () => running?.abort());
at("machine").textContent = name === null ? "This browser gives no GPU." : `${name}; ${navigator.userAgent}`;
if (name === null)
    say("This browser has no WebGPU, or has disabled it on this machine.");
else if (!(await manifest()))
    say("The engine is missing beside this page; run `make web`.");
else
    at("run").disabled = false;
