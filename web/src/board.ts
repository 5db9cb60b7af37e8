// The board: an example picture with a painted mask.

import type { Box } from "./engine.js";
import { at, input, say } from "./dom.js";
import { canvasOf, grey, levels, png, type Picture } from "./picture.js";

const MOST_UNDO = 20;
const PAINT = "#f0f";
/** Initial size of pictures in CSS pixels. */
const SHOWN_SIDE = 640;
const ZOOM = { least: 0.25, most: 16, step: 1.25 };

type Tool = "brush" | "eraser" | "box";
type Point = [number, number];

export class Board {
  picture: Picture | null = null;
  private readonly paint = context("paint");
  private undo: ImageData[] = [];
  private zoom = 1;
  /** The keyboard's cursor. */
  private cursor: Point = [0, 0];
  private keyPaints = false;
  /** Start and current point of the stroke or box. */
  private drawn: { from: Point; to: Point } | null = null;
  /** Pressed pointers, in CSS pixels of the window. */
  private readonly fingers = new Map<number, Point>();

  /** `outline` makes a mask of the thing in a box. */
  constructor(private readonly outline: (picture: Picture, box: Box) => Promise<Blob | null>) {
    const canvas = this.paint.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"] as const) canvas.addEventListener(end, (event) => this.up(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("keyup", (event) => {
      if (event.key === " ") this.keyPaints = false;
    });
    // The key may be released elsewhere.
    canvas.addEventListener("blur", () => (this.keyPaints = false));
    for (const radio of document.querySelectorAll("input[name=tool]")) radio.addEventListener("change", () => this.cancel());
    at("board").addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    at("undo").addEventListener("click", () => this.takeBack());
    at("clear").addEventListener("click", () => this.clear());
    at("closer").addEventListener("click", () => this.zoomBy(ZOOM.step));
    at("farther").addEventListener("click", () => this.zoomBy(1 / ZOOM.step));
    document.addEventListener("keydown", (event) => this.shortcut(event));
  }

  /** Shows a picture, with this mask or none. */
  async show(picture: Picture, mask?: Blob): Promise<void> {
    this.cancel();
    this.picture = picture;
    for (const id of ["picture", "paint"]) {
      const canvas = at<HTMLCanvasElement>(id);
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    context("picture").drawImage(picture.canvas, 0, 0);
    this.undo = [];
    this.cursor = [picture.width / 2, picture.height / 2];
    this.zoom = 1;
    this.sized();
    at<HTMLFieldSetElement>("tools").disabled = false;
    if (mask) await this.add(mask);
  }

  /** The painted mask, white on black; null if nothing is painted. */
  async mask(): Promise<Blob | null> {
    if (!this.picture) return null;
    if (this.tool === "box") this.cancel();
    const { width, height } = this.picture;
    const { data } = this.paint.getImageData(0, 0, width, height);
    const on = Uint8Array.from({ length: width * height }, (_, i) => ((data[4 * i + 3] ?? 0) > 127 ? 255 : 0));
    return on.some((level) => level > 0) ? png(grey(on, width, height)) : null;
  }

  /** Paints the white pixels of a mask. */
  private async add(mask: Blob): Promise<void> {
    const picture = this.picture;
    const bitmap = await createImageBitmap(mask);
    // Another picture may be shown by now.
    if (!picture || this.picture !== picture) return;
    const { width, height } = picture;
    const on = levels(bitmap, width, height);
    const [layer, over] = canvasOf(width, height);
    const image = over.createImageData(width, height);
    on.forEach((level, i) => image.data.set([255, 0, 255, level > 127 ? 255 : 0], 4 * i));
    over.putImageData(image, 0, 0);
    this.paint.globalCompositeOperation = "source-over";
    this.paint.drawImage(layer, 0, 0);
  }

  private get tool(): Tool {
    return document.querySelector<HTMLInputElement>("input[name=tool]:checked")?.value as Tool;
  }

  private keep(): void {
    if (!this.picture) return;
    this.undo.push(this.paint.getImageData(0, 0, this.picture.width, this.picture.height));
    if (this.undo.length > MOST_UNDO) this.undo.shift();
  }

  private takeBack(): void {
    // The current stroke is the last step.
    if (this.cancel()) return;
    this.restore();
  }

  private restore(): void {
    const before = this.undo.pop();
    if (before) this.paint.putImageData(before, 0, 0);
  }

  /** Takes back the current stroke, if any. A box is drawn on top of the last step, so no step may be saved or restored before. */
  private cancel(): boolean {
    if (!this.drawn && !this.keyPaints) return false;
    this.drawn = null;
    this.keyPaints = false;
    this.restore();
    return true;
  }

  private clear(): void {
    if (!this.picture) return;
    this.cancel();
    this.keep();
    this.paint.clearRect(0, 0, this.picture.width, this.picture.height);
  }

  private stroke(from: Point, to: Point): void {
    const { width, height } = this.paint.canvas;
    this.paint.globalCompositeOperation = this.tool === "eraser" ? "destination-out" : "source-over";
    this.paint.strokeStyle = PAINT;
    this.paint.lineCap = this.paint.lineJoin = "round";
    this.paint.lineWidth = (Number(input("width").value) * Math.max(width, height)) / 1000;
    this.paint.beginPath();
    this.paint.moveTo(...from);
    // Some browsers draw nothing for a line of length 0.
    this.paint.lineTo(to[0] + 0.01, to[1]);
    this.paint.stroke();
  }

  /** Draws the current box on top of the painted mask. */
  private drawBox({ from, to }: { from: Point; to: Point }): void {
    const before = this.undo.at(-1);
    if (before) this.paint.putImageData(before, 0, 0);
    this.paint.globalCompositeOperation = "source-over";
    this.paint.strokeStyle = PAINT;
    this.paint.lineWidth = Math.max(this.paint.canvas.width, this.paint.canvas.height) / 200;
    this.paint.strokeRect(from[0], from[1], to[0] - from[0], to[1] - from[1]);
  }

  private async endBox({ from, to }: { from: Point; to: Point }): Promise<void> {
    const picture = this.picture;
    this.cancel();
    if (!picture) return;
    const within = (value: number, most: number) => Math.round(Math.min(most, Math.max(0, value)));
    const [xs, ys] = [[from[0], to[0]], [from[1], to[1]]].map((pair) => pair.sort((a, b) => a - b)) as [Point, Point];
    const [left, right] = xs.map((x) => within(x, picture.width)) as Point;
    const [top, bottom] = ys.map((y) => within(y, picture.height)) as Point;
    if (right - left < 2 || bottom - top < 2) return say("Draw the box around the thing.", true);
    const mask = await this.outline(picture, [left, top, right, bottom]);
    // Another picture may be shown by now.
    if (!mask || this.picture !== picture) return;
    // There may be another box.
    if (this.tool === "box") this.cancel();
    this.keep();
    await this.add(mask);
    say("The thing in the box is outlined; brush and eraser correct it.");
  }

  // --- pointers

  private place(event: PointerEvent): Point {
    const box = this.paint.canvas.getBoundingClientRect();
    const { width, height } = this.paint.canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  private down(event: PointerEvent): void {
    if (!this.picture || event.button !== 0) return;
    this.paint.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.fingers.size > 1) {
      // The second finger makes it a pinch: undo the first one's stroke.
      this.cancel();
      return;
    }
    // The keyboard's box.
    if (this.drawn) this.cancel();
    this.keep();
    const here = this.place(event);
    this.drawn = { from: here, to: here };
    if (this.tool !== "box") this.stroke(here, here);
  }

  private move(event: PointerEvent): void {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.fingers.size > 1) return this.pinch(event.pointerId, before);
    if (!this.drawn) return;
    const here = this.place(event);
    if (this.tool === "box") {
      this.drawn.to = here;
      this.drawBox(this.drawn);
    } else {
      this.stroke(this.drawn.to, here);
      this.drawn.to = here;
    }
  }

  private up(event: PointerEvent): void {
    // Without a pressed button the box is the keyboard's.
    if (!this.fingers.delete(event.pointerId) || !this.drawn) return;
    if (this.tool !== "box") this.drawn = null;
    else if (event.type === "pointerup") void this.endBox(this.drawn);
    else this.cancel();
  }

  /** Two fingers zoom and move the picture. */
  private pinch(moved: number, before: Point): void {
    const still = [...this.fingers].find(([id]) => id !== moved)?.[1];
    const now = this.fingers.get(moved);
    if (!still || !now) return;
    const far = (point: Point) => Math.hypot(point[0] - still[0], point[1] - still[1]);
    if (far(before) > 0) this.zoomBy(far(now) / far(before), still);
    at("board").scrollBy((before[0] - now[0]) / 2, (before[1] - now[1]) / 2);
  }

  private wheel(event: WheelEvent): void {
    // As in maps and editors; the wheel without a key scrolls.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? ZOOM.step : 1 / ZOOM.step, [event.clientX, event.clientY]);
  }

  /** Zooms around `fixed`, in CSS pixels of the window. */
  private zoomBy(factor: number, fixed?: Point): void {
    if (!this.picture) return;
    const board = at("board");
    const box = board.getBoundingClientRect();
    const [x, y] = fixed ? [fixed[0] - box.left, fixed[1] - box.top] : [box.width / 2, box.height / 2];
    const before = this.zoom;
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor));
    const [left, top] = [board.scrollLeft, board.scrollTop];
    this.sized();
    const real = this.zoom / before;
    board.scrollTo((left + x) * real - x, (top + y) * real - y);
  }

  /** CSS pixels per pixel of the picture. */
  private get scale(): number {
    return (this.zoom * SHOWN_SIDE) / Math.max(this.paint.canvas.width, this.paint.canvas.height);
  }

  private sized(): void {
    if (!this.picture) return;
    const shown = Math.round(this.scale * this.picture.width);
    for (const id of ["picture", "paint"]) at(id).style.width = `${shown}px`;
    this.moveCursor(this.cursor);
    at("zoom").textContent = `${Math.round(100 * this.zoom)} %`;
  }

  // --- the keyboard: arrows move, Space paints

  private moveCursor(to: Point): void {
    this.cursor = to;
    const shown = at("cursor");
    shown.style.translate = to.map((value) => `${value * this.scale}px`).join(" ");
  }

  private key(event: KeyboardEvent): void {
    if (!this.picture) return;
    const { width, height } = this.picture;
    const steps: Record<string, Point> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (event.key === " ") {
      if (!event.repeat) this.keySpace();
    } else if (step) {
      const far = Math.max(width, height) * (event.shiftKey ? 0.05 : 0.01);
      const next: Point = [
        Math.min(width, Math.max(0, this.cursor[0] + step[0] * far)),
        Math.min(height, Math.max(0, this.cursor[1] + step[1] * far)),
      ];
      if (this.drawn && this.tool === "box") {
        this.drawn.to = next;
        this.drawBox(this.drawn);
      } else if (this.keyPaints) {
        this.stroke(this.cursor, next);
      }
      this.moveCursor(next);
      at("cursor").scrollIntoView({ block: "nearest", inline: "nearest" });
      say(`At ${Math.round(next[0])}, ${Math.round(next[1])} of ${width} x ${height}.`);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Space paints while it is pressed; with the box it sets one corner, then the other. */
  private keySpace(): void {
    if (this.tool !== "box") {
      this.keep();
      this.keyPaints = true;
      this.stroke(this.cursor, this.cursor);
    } else if (this.drawn) {
      void this.endBox(this.drawn);
    } else {
      this.keep();
      this.drawn = { from: this.cursor, to: this.cursor };
    }
  }

  private shortcut(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (!this.picture || target.closest("input:not([type=radio]):not([type=range]), select, textarea")) return;
    const key = event.key.toLowerCase();
    const tool = { b: "brush", e: "eraser", x: "box" }[key];
    if (event.ctrlKey || event.metaKey) {
      if (key !== "z") return;
      event.preventDefault();
      this.takeBack();
    } else if (tool) {
      if (tool !== this.tool) this.cancel();
      for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=tool]")) radio.checked = radio.value === tool;
    } else if (key === "[" || key === "]") {
      input("width").value = String(Number(input("width").value) * (key === "[" ? 0.8 : 1.25));
    } else if (key === "+" || key === "-") {
      this.zoomBy(key === "+" ? ZOOM.step : 1 / ZOOM.step);
    }
  }
}

function context(id: string): CanvasRenderingContext2D {
  const found = at<HTMLCanvasElement>(id).getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("this browser has no canvas to draw on");
  return found;
}
