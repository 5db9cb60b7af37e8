// One picture that was searched: what was found in it, and what users do with it.

import { button, download, input, say } from "./dom.js";
import type { Found } from "./engine.js";
import { labelMap, type Annotated } from "./files.js";
import { above, parts, type Parts } from "./mask.js";
import { canvasOf, grey, levels, png, type Picture } from "./picture.js";

const ON = [255, 0, 255, 130];
/** Where there are more objects only the largest have a box to switch them; all can be clicked in the picture. */
const MOST_SHOWN = 12;
/** Smaller parts are no objects that anybody would switch: of the picture's pixels. */
const LEAST_PART = 1e-4;

export class Result {
  readonly figure = document.createElement("figure");
  private found: Found | null = null;
  private parts: Parts = { of: new Int32Array(), all: [] };
  /** A pixel of each object that is switched off: objects change with the threshold, and what holds it stays off. */
  private readonly off = new Set<number>();

  /** `add` makes another example of the picture and a mask. */
  constructor(readonly picture: Picture, private readonly add: (picture: Picture, mask: Blob) => void) {
    this.figure.append(picture.canvas, caption(picture.name));
  }

  show(found: Found): void {
    this.found = found;
    this.draw();
  }

  get score(): number | null {
    return this.found && this.found.score;
  }

  /** The slider's level on the map's own scale. */
  private get level(): number {
    return Number(input("threshold").value) * (this.found?.peak ?? 1) * 255;
  }

  private isOn(number: number, of: Int32Array): boolean {
    return ![...this.off].some((pixel) => of[pixel] === number);
  }

  /** Draws the mask at the slider's threshold. */
  draw(): void {
    if (!this.found) return;
    const { width, height, canvas, name } = this.picture;
    this.parts = parts(above(this.found.map, this.level), width, height);
    const on = new Set(this.parts.all.map((_, i) => i + 1).filter((number) => this.isOn(number, this.parts.of)));
    const [shown, context] = canvasOf(width, height);
    context.drawImage(canvas, 0, 0);
    const [layer, over] = canvasOf(width, height);
    const image = over.createImageData(width, height);
    this.parts.of.forEach((number, i) => number && image.data.set(on.has(number) ? ON : [128, 128, 128, 100], 4 * i));
    over.putImageData(image, 0, 0);
    context.drawImage(layer, 0, 0);
    shown.role = "img";
    const score = this.found.score.toFixed(2);
    shown.setAttribute("aria-label", `${name} with what was found painted over it, score ${score}, objects: ${on.size}`);
    shown.addEventListener("click", (event) => this.clicked(shown, event));
    const buttons = [
      button("Mask", () => void this.saved("_mask.png", async () => png(await this.fullMask()))),
      button("Label map", () => void this.saved("_labels.png", () => this.labels())),
      button("Use as example, too", () => void this.used()),
    ];
    this.figure.replaceChildren(shown, caption(`${name}, score ${score}`), this.switches(), ...buttons);
  }

  /** Boxes that switch objects on and off. */
  private switches(): HTMLElement {
    const list = document.createElement("div");
    list.className = "objects";
    const least = LEAST_PART * this.picture.width * this.picture.height;
    const numbered = this.parts.all.map((part, i) => ({ part, number: i + 1 })).filter(({ part }) => part.area >= least);
    const largest = numbered.sort((a, b) => b.part.area - a.part.area).slice(0, MOST_SHOWN);
    largest.forEach(({ part, number }, at) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = this.isOn(number, this.parts.of);
      box.addEventListener("change", () => {
        this.toggle(number);
        // The boxes are new ones now.
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
    else this.off.add(this.parts.all[number - 1]?.first ?? 0);
    this.draw();
  }

  /** The parts that are on, at the size of the picture's file. */
  annotated(): Annotated {
    const { name, width, height, full } = this.picture;
    if (!this.found) return { name, ...full, parts: this.parts, on: [] };
    const is = full.width === width && full.height === height;
    // The map is enlarged, and not the mask: its edges stay smooth.
    const map = is ? this.found.map : levels(grey(this.found.map, width, height), full.width, full.height);
    const all = is ? this.parts : parts(above(map, this.level), full.width, full.height);
    const off = new Set<number | undefined>();
    for (const pixel of this.off) {
      const [x, y] = [pixel % width, Math.floor(pixel / width)];
      const [column, row] = [Math.floor(((x + 0.5) * full.width) / width), Math.floor(((y + 0.5) * full.height) / height)];
      off.add(all.of[row * full.width + column]);
    }
    return { name, ...full, parts: all, on: all.all.map((_, i) => i + 1).filter((number) => !off.has(number)) };
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
    const on = Uint8Array.from(this.parts.of, (number) => (number && this.isOn(number, this.parts.of) ? 255 : 0));
    if (!on.some((level) => level > 0)) return say("Nothing was found that could be an example.", true);
    this.add(this.picture, await png(grey(on, width, height)));
  }
}

function caption(text: string): HTMLElement {
  const element = document.createElement("figcaption");
  element.textContent = text;
  return element;
}
