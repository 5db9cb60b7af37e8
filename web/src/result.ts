// A searched picture: its result and the user's actions on it.

import { button, download, input, say } from "./dom.js";
import type { Prediction } from "./engine.js";
import { labelMap, type Annotated } from "./files.js";
import { parts, type Parts } from "./mask.js";
import { canvasOf, grey, levels, png, type Picture } from "./picture.js";

const ON = [255, 0, 255, 130];
const OFF = [128, 128, 128, 100];

/** Actions of the page on a result. */
interface Page {
  /** Makes an example from the picture and a mask. */
  add(picture: Picture, mask: Blob): void;
  remove(result: Result): void;
}

export class Result {
  readonly figure = document.createElement("figure");
  private found: Prediction | null = null;
  private parts: Parts = { of: new Int32Array(), all: [] };
  /** The highest pixel of each object that is switched off: objects change with the threshold, and the one with this pixel stays off. */
  private readonly off = new Set<number>();
  private readonly remove = button("Remove", () => this.page.remove(this));

  constructor(readonly picture: Picture, private readonly page: Page) {
    this.figure.append(picture.canvas, caption(picture.name), this.remove);
  }

  show(found: Prediction): void {
    this.found = found;
    this.draw();
  }

  get searched(): boolean {
    return this.found !== null;
  }

  /** A summary of the result. */
  get summary(): string {
    if (!this.found) return "not searched";
    return `${this.found.found ? "" : "nothing found, "}score ${this.found.score.toFixed(2)}`;
  }

  /** The slider's level on the map's own scale. */
  private get level(): number {
    const whole = this.found && "relative" in this.found.threshold ? this.found.peak : 1;
    return Number(input("threshold").value) * whole * 255;
  }

  /** The map's parts; empty if the thing is not found. */
  private partsOf(found: Prediction, map: Uint8ClampedArray, width: number, height: number): Parts {
    return found.found ? parts(map, this.level, width, height) : { of: new Int32Array(width * height), all: [] };
  }

  /** Numbers of the selected parts. */
  private on(): Set<number> {
    const off = new Set([...this.off].map((pixel) => this.parts.of[pixel]));
    return new Set(this.parts.all.map((_, i) => i + 1).filter((number) => !off.has(number)));
  }

  /** Draws the mask at the slider's threshold. */
  draw(): void {
    if (!this.found) return;
    const { width, height, canvas, name } = this.picture;
    this.parts = this.partsOf(this.found, this.found.map, width, height);
    const on = this.on();
    const [shown, context] = canvasOf(width, height);
    context.drawImage(canvas, 0, 0);
    const [layer, over] = canvasOf(width, height);
    const image = over.createImageData(width, height);
    this.parts.of.forEach((number, i) => number && image.data.set(on.has(number) ? ON : OFF, 4 * i));
    over.putImageData(image, 0, 0);
    context.drawImage(layer, 0, 0);
    shown.role = "img";
    shown.setAttribute("aria-label", `${name} with the result painted on it, ${this.summary}, objects: ${on.size}`);
    shown.addEventListener("click", (event) => this.clicked(shown, event));
    const buttons = [
      button("Mask", () => void this.saved("_mask.png", async () => png(await this.fullMask()))),
      button("Label map", () => void this.saved("_labels.png", () => this.labels())),
      button("Use as example, too", () => void this.used()),
    ];
    this.figure.replaceChildren(shown, caption(`${name}, ${this.summary}`), this.switches(on), ...buttons, this.remove);
  }

  /** Checkboxes that switch objects on and off. */
  private switches(on: Set<number>): HTMLElement {
    const list = document.createElement("div");
    list.className = "objects";
    const numbered = this.parts.all.map((part, i) => ({ part, number: i + 1 }));
    numbered.sort((a, b) => b.part.area - a.part.area).forEach(({ part, number }, at) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = on.has(number);
      box.addEventListener("change", () => {
        this.toggle(number);
        // The checkboxes were replaced.
        this.figure.querySelectorAll<HTMLInputElement>(".objects input")[at]?.focus();
      });
      label.append(box, ` object ${at + 1} (${part.area} pixels)`);
      list.append(label);
    });
    return list;
  }

  private clicked(shown: HTMLCanvasElement, event: MouseEvent): void {
    const { width, height } = this.picture;
    const x = Math.floor((event.offsetX * width) / shown.clientWidth);
    const y = Math.floor((event.offsetY * height) / shown.clientHeight);
    const number = this.parts.of[y * width + x];
    if (number) this.toggle(number);
  }

  private toggle(number: number): void {
    const held = [...this.off].filter((pixel) => this.parts.of[pixel] === number);
    if (held.length) held.forEach((pixel) => this.off.delete(pixel));
    else this.off.add(this.parts.all[number - 1]?.top ?? 0);
    this.draw();
  }

  /** The selected parts, at the size of the picture's file. */
  annotated(): Annotated {
    const { name, width, height, full } = this.picture;
    if (!this.found) return { name, ...full, parts: this.parts, on: [] };
    const is = full.width === width && full.height === height;
    // Enlarge the map, not the mask, so that edges stay smooth.
    const map = is ? this.found.map : levels(grey(this.found.map, width, height), full.width, full.height);
    const all = is ? this.parts : this.partsOf(this.found, map, full.width, full.height);
    const on = this.on();
    // Match parts by the highest pixel, because edges differ a little; parts that are not shown are dropped.
    const isOn = (top: number) => {
      const [x, y] = [top % full.width, Math.floor(top / full.width)];
      const shown = this.parts.of[Math.floor(((y + 0.5) * height) / full.height) * width + Math.floor(((x + 0.5) * width) / full.width)];
      return on.has(shown ?? 0);
    };
    return { name, ...full, parts: all, on: all.all.map((_, i) => i + 1).filter((number) => isOn(all.all[number - 1]?.top ?? 0)) };
  }

  private async fullMask(): Promise<HTMLCanvasElement> {
    const { width, height, parts, on } = this.annotated();
    const wanted = new Set(on);
    return grey(Uint8Array.from(parts.of, (number) => (wanted.has(number) ? 255 : 0)), width, height);
  }

  private labels(): Promise<Blob> {
    const { width, height, parts, on } = this.annotated();
    const wanted = new Set(on);
    return labelMap(Uint8Array.from(parts.of, (number) => Number(wanted.has(number))), width, height);
  }

  private async saved(ending: string, make: () => Promise<Blob>): Promise<void> {
    try {
      download(await make(), this.picture.name.replace(/\.[^.]*$/, "") + ending);
    } catch (error) {
      say((error as Error).message, true);
    }
  }

  private async used(): Promise<void> {
    const { width, height } = this.picture;
    const on = this.on();
    if (!on.size) return say("There is no selected object to use as an example.", true);
    const mask = Uint8Array.from(this.parts.of, (number) => (on.has(number) ? 255 : 0));
    this.page.add(this.picture, await png(grey(mask, width, height)));
  }
}

function caption(text: string): HTMLElement {
  const element = document.createElement("figcaption");
  element.textContent = text;
  return element;
}
