// Controls a headless Chromium over a pipe; CHROME= names it [default: chromium]. No packages.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"];
/** Its WebGPU on the CPU. */
export const SWIFTSHADER = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

export class Chrome {
  #waiting = new Map();
  #next = 1;
  #heard = "";
  #session;
  #ended = null;
  /** What pages and their workers complained of. */
  complaints = [];

  static async start(flags = []) {
    const chrome = new Chrome();
    chrome.profile = mkdtempSync(join(tmpdir(), "chrome-"));
    try {
      const all = [...QUIET, ...flags, `--user-data-dir=${chrome.profile}`, "about:blank"];
      chrome.process = spawn(process.env.CHROME || "chromium", all, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
      chrome.process.on("error", (error) => chrome.#end(`${error.message}; name a browser with CHROME=`));
      chrome.process.on("exit", (code, signal) => chrome.#end(`the browser ended with ${code ?? signal}`));
      chrome.process.stdio[3].on("error", () => {});
      chrome.process.stdio[4].on("data", (data) => chrome.#hear(data));
      const { targetId } = await chrome.send("Target.createTarget", { url: "about:blank" });
      chrome.#session = (await chrome.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
      for (const domain of ["Page", "Runtime", "Log", "DOM"]) await chrome.send(`${domain}.enable`);
    } catch (error) {
      await chrome.close();
      throw error;
    }
    return chrome;
  }

  #end(reason) {
    this.#ended ??= reason;
    for (const [, refuse] of this.#waiting.values()) refuse(new Error(this.#ended));
    this.#waiting.clear();
  }

  #hear(data) {
    this.#heard += data;
    for (let at; (at = this.#heard.indexOf("\0")) >= 0; this.#heard = this.#heard.slice(at + 1)) {
      const said = JSON.parse(this.#heard.slice(0, at));
      const [give, refuse] = this.#waiting.get(said.id) ?? [];
      this.#waiting.delete(said.id);
      if (said.error && refuse) refuse(new Error(JSON.stringify(said.error)));
      else if (give) give(said.result);
      else if (said.method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(said.params));
      else if (said.method === "Log.entryAdded" && said.params.entry.level === "error") this.complaints.push(said.params.entry.text);
    }
  }

  send(method, params = {}, sessionId = this.#session) {
    return new Promise((give, refuse) => {
      if (this.#ended) return refuse(new Error(this.#ended));
      this.#waiting.set(this.#next, [give, refuse]);
      this.process.stdio[3].write(JSON.stringify({ id: this.#next++, method, params, sessionId }) + "\0");
    });
  }

  /** Opens a page, and returns once its scripts have run. */
  async open(url) {
    await this.send("Page.navigate", { url });
    // A command sent at once may still reach the previous page.
    await this.until(`document.URL === ${JSON.stringify(url)} && document.readyState === "complete"`, 60);
  }

  /** What an expression, or the promise that it is, comes to: plain data. */
  async js(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(expression, seconds) {
    for (const end = Date.now() + 1000 * seconds; Date.now() < end; await sleep(200)) if (await this.js(expression)) return;
    throw new Error(`not within ${seconds} s: ${expression}`);
  }

  async close() {
    this.process?.kill();
    await sleep(300);
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function sleep(milliseconds) {
  return new Promise((go) => setTimeout(go, milliseconds));
}
