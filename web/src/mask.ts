// From a map to a mask and its objects, in the page, so that the slider responds at once.

import type { Box } from "./engine.js";

/** Smallest part to keep, as a fraction of the picture's pixels. */
const LEAST_PART = 1e-4;

/** A connected component of a mask. */
export interface Part {
  /** Index of its pixel with the highest map value. */
  top: number;
  area: number;
  box: Box;
}

export interface Parts {
  /** The number of each pixel's part, 1 for the first; 0 is background. */
  of: Int32Array;
  /** Parts in the order of their first pixels. */
  all: Part[];
}

/** The parts of a map above `level`, without specks. Pixels that touch at a corner are connected, as in the library's find_objects. */
export function parts(map: Uint8ClampedArray, level: number, width: number, height: number): Parts {
  // Visited pixels are cleared.
  const mask = Uint8Array.from(map, (value) => Number(value > level));
  const of = new Int32Array(mask.length);
  const all: Part[] = [];
  // Pixels of the current part.
  const pixels = new Int32Array(mask.length);
  let end = 0;
  for (let first = 0; first < mask.length; first++) {
    if (!mask[first]) continue;
    const start = end;
    let top = first;
    let [left, upper, right, lower] = [width, height, 0, 0];
    mask[first] = 0;
    pixels[end++] = first;
    for (let next = start; next < end; next++) {
      const at = pixels[next] ?? 0;
      const [x, y] = [at % width, Math.floor(at / width)];
      if ((map[at] ?? 0) > (map[top] ?? 0)) top = at;
      [left, upper, right, lower] = [Math.min(left, x), Math.min(upper, y), Math.max(right, x + 1), Math.max(lower, y + 1)];
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const beside = row * width + column;
          if (!mask[beside]) continue;
          mask[beside] = 0;
          pixels[end++] = beside;
        }
      }
    }
    const area = end - start;
    if (area < LEAST_PART * mask.length) continue;
    all.push({ top, area, box: [left, upper, right, lower] });
    for (const pixel of pixels.subarray(start, end)) of[pixel] = all.length;
  }
  return { of, all };
}

/** Runs of a part's pixels column by column, background first: COCO's uncompressed RLE. */
export function runs(parts: Parts, number: number, width: number, height: number): number[] {
  const counts: number[] = [];
  let [on, length] = [false, 0];
  const add = (pixels: number, are: boolean) => {
    if (!pixels) return;
    if (are !== on) {
      counts.push(length);
      on = are;
      length = 0;
    }
    length += pixels;
  };
  const [left, top, right, bottom] = parts.all[number - 1]?.box ?? [0, 0, 0, 0];
  // Outside the box all is background.
  add(left * height, false);
  for (let x = left; x < right; x++) {
    add(top, false);
    for (let y = top; y < bottom; y++) add(1, parts.of[y * width + x] === number);
    add(height - bottom, false);
  }
  add((width - right) * height, false);
  counts.push(length);
  return counts;
}
