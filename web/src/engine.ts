// What the page asks of whatever computes: a server, or the browser's own GPU.

/** An example: a picture's file, and its mask as a PNG, white where the thing is. */
export interface Example {
  image: Blob;
  mask: Blob;
}

/** A bank that is there before anything was painted. */
export interface NamedBank {
  id: string;
  name: string;
}

/** Where things lie: left, top, right, bottom in pixels. */
export type Box = [number, number, number, number];

export interface PredictedObject {
  area: number;
  box: Box;
  score: number;
}

/** What was found in a picture, at the picture's own size. */
export interface Prediction {
  width: number;
  height: number;
  /** The map before the threshold, row by row, 255 for 1. */
  map: Uint8ClampedArray;
  /** The map's maximum, by which a relative threshold counts. */
  peak: number;
  score: number;
  /** False where the score is lower than the engine wants it: then the picture shows nothing, whatever the threshold. */
  found: boolean;
  threshold: { relative: number } | { absolute: number };
  warnings: string[];
}

export interface Encoded {
  /** Names the bank in later calls. */
  id: string;
  warnings: string[];
}

/** What is being done, in words, and how much of it, from 0 to 1. */
export type Progress = (part: string, done: number) => void;

/** Something went wrong; `gone` where the bank is not there any more and must be encoded again. */
export class EngineError extends Error {
  constructor(message: string, readonly gone = false) {
    super(message);
  }
}

/** Calls wait for one another. Each is rejected with an `EngineError`, or with the signal's reason where that aborts. */
export interface Engine {
  /** What computes, in words for the page's head. */
  readonly about: string;
  /** Banks that are there already. */
  banks(): Promise<NamedBank[]>;
  encode(examples: readonly Example[], progress: Progress, signal: AbortSignal): Promise<Encoded>;
  /** The mask of what lies in a box of the picture, as a PNG of the picture's size. */
  outline(image: Blob, box: Box, signal: AbortSignal): Promise<Blob>;
  segment(bank: string, image: Blob, progress: Progress, signal: AbortSignal): Promise<Prediction>;
}
