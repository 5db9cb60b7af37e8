// From a map to a mask and its objects, here and not by the engine: the slider must not wait.

import type { Box } from "./engine.js";

/** A connected part of a mask. */
export interface Part {
  /** Its first pixel, row by row. */
  first: number;
  area: number;
  box: Box;
}

export interface Parts {
  /** The number of each pixel's part, 1 for the first; 0 is background. */
  of: Int32Array;
  /** Parts in the order of their first pixels. */
  all: Part[];
}

/** Where a map is above `level`. */
export function above(map: Uint8ClampedArray, level: number): Uint8Array {
  return Uint8Array.from(map, (value) => Number(value > level));
}

/** The parts of a mask. Pixels that touch at a corner are connected, as in the library's find_objects. */
export function parts(mask: Uint8Array, width: number, height: number): Parts {
  const of = new Int32Array(mask.length);
  const all: Part[] = [];
  const waiting: number[] = [];
  for (let first = 0; first < mask.length; first++) {
    if (!mask[first] || of[first]) continue;
    const number = all.length + 1;
    const part: Part = { first, area: 0, box: [width, height, 0, 0] };
    of[first] = number;
    waiting.push(first);
    for (let at; (at = waiting.pop()) !== undefined; ) {
      const [x, y] = [at % width, Math.floor(at / width)];
      part.area++;
      const [left, top, right, bottom] = part.box;
      part.box = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const next = row * width + column;
          if (!mask[next] || of[next]) continue;
          of[next] = number;
          waiting.push(next);
        }
      }
    }
    all.push(part);
  }
  return { of, all };
}

/** Runs of a part's pixels column by column, background first: COCO's uncompressed RLE. */
export function runs(parts: Parts, number: number, width: number, height: number): number[] {
  const counts: number[] = [];
  let [on, length] = [false, 0];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if ((parts.of[y * width + x] === number) !== on) {
        counts.push(length);
        on = !on;
        length = 0;
      }
      length++;
    }
  }
  counts.push(length);
  return counts;
}
