// The interface of engines: a server, or the browser's own GPU.

/** An example: a picture file and its mask as a PNG, white for the thing. */
export interface Example {
  image: Blob;
  mask: Blob;
}

/** A bank that exists from the start. */
export interface NamedBank {
  id: string;
  name: string;
}

/** Left, top, right, bottom in pixels. */
export type Box = [number, number, number, number];

export interface PredictedObject {
  area: number;
  box: Box;
  score: number;
}

/** The result for a picture, at the picture's size. */
export interface Prediction {
  width: number;
  height: number;
  /** The map before the threshold, row by row, 255 for 1. */
  map: Uint8ClampedArray;
  /** The map's maximum, which relative thresholds refer to. */
  peak: number;
  score: number;
  /** False if the score is below the engine's minimum: then nothing is found at any threshold. */
  found: boolean;
  threshold: { relative: number } | { absolute: number };
  warnings: string[];
}

export interface Encoded {
  /** Names the bank in later calls. */
  id: string;
  warnings: string[];
}

/** Receives the current stage and its progress from 0 to 1. */
export type Progress = (part: string, done: number) => void;

/** An error of an engine; `gone` if the bank no longer exists and must be encoded again. */
export class EngineError extends Error {
  constructor(message: string, readonly gone = false) {
    super(message);
  }
}

/** Calls run one by one. Each is rejected with an `EngineError`, or with the signal's reason if that aborts. */
export interface Engine {
  /** A description for the page's head. */
  readonly about: string;
  /** Banks that exist from the start. */
  banks(): Promise<NamedBank[]>;
  encode(examples: readonly Example[], progress: Progress, signal: AbortSignal): Promise<Encoded>;
  /** The mask of the thing in a box, as a PNG of the picture's size. */
  outline(image: Blob, box: Box, signal: AbortSignal): Promise<Blob>;
  segment(bank: string, image: Blob, progress: Progress, signal: AbortSignal): Promise<Prediction>;
}
