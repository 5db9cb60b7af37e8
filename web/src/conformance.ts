// The page that checks whether this browser computes right on this GPU.

import { gpuName } from "./gpu.js";
import { manifest } from "./assets.js";
import { CallError, Remote } from "./remote.js";

/** src/conformance/report.rs */
interface Row {
  case: string;
  status: string;
  ratio: number | null;
  where: string;
  reason: string | null;
}
interface Report {
  summary: Record<"cases" | "passed" | "failed" | "known" | "not_run", number>;
}

/** Most failures to list; the report has all. */
const MOST_SHOWN = 200;

function at<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const remote = new Remote();
const name = await gpuName();
let running: AbortController | null = null;

function say(text: string): void {
  at("status").textContent = text;
}

function count(id: string): void {
  at(id).textContent = String(Number(at(id).textContent) + 1);
}

/** Statuses of src/conformance/status.rs. */
function see(row: Row): void {
  if (row.status === "passed" || row.status === "flake") return count("passed");
  if (row.status === "not_run") return count("not_run");
  if (row.status.startsWith("known")) return count("known");
  count("failed");
  if (at("failures").childElementCount >= MOST_SHOWN) return;
  const item = document.createElement("li");
  const far = row.ratio === null ? "" : `; error / bound ${row.ratio.toPrecision(3)}`;
  item.textContent = `${row.case}: ${row.reason ?? row.where}${far}`;
  at("failures").append(item);
}

async function run(): Promise<void> {
  running = new AbortController();
  for (const id of ["passed", "failed", "known", "not_run"]) at(id).textContent = "0";
  at("failures").replaceChildren();
  at("report").hidden = true;
  at<HTMLButtonElement>("run").disabled = true;
  at<HTMLButtonElement>("stop").disabled = false;
  say("Loading");
  let rows = 0;
  const only = at<HTMLInputElement>("only").value || at<HTMLSelectElement>("what").value;
  const skip = at<HTMLInputElement>("skip").value;
  const full = at<HTMLInputElement>("full").checked;
  const call = { what: "conformance", only, skip, full, adapter: name ?? "", driver: navigator.userAgent } as const;
  try {
    // A stopped run still gives a report.
    const text: string = await remote.call(call, (told) => {
      if (told.what === "progress") return say(`${told.part}: ${Math.round(100 * told.done)} %`);
      if (told.what !== "row") return;
      const row: Row = JSON.parse(told.row);
      at<HTMLProgressElement>("done").value = ++rows / told.of;
      say(`${rows} of ${told.of}: ${row.case}`);
      see(row);
    }, running.signal);
    const { summary }: Report = JSON.parse(text);
    const report = at<HTMLAnchorElement>("report");
    URL.revokeObjectURL(report.href);
    report.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    report.hidden = false;
    const all = running.signal.aborted ? "Stopped" : "Done";
    say(`${all}: ${summary.passed} passed, ${summary.failed} failed, ${summary.not_run} not run.`);
  } catch (error) {
    say(error instanceof CallError && error.name === "Interrupted" ? "Stopped." : String((error as Error).message));
  }
  at<HTMLButtonElement>("run").disabled = false;
  at<HTMLButtonElement>("stop").disabled = true;
}

at("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  void run();
});
at("stop").addEventListener("click", () => running?.abort());
at("machine").textContent = name === null ? "This browser gives no GPU." : `${name}; ${navigator.userAgent}`;
if (name === null) say("This browser has no WebGPU, or has disabled it on this machine.");
else if (!(await manifest())) say("The engine is missing beside this page; run `make web`.");
else at<HTMLButtonElement>("run").disabled = false;
