// Pictures in the browser.

/** Largest side for the engine: the network uses less, and uploads stay small. */
const MOST_SIDE = 2048;

export interface Picture {
  name: string;
  /** The file for the engine. */
  blob: Blob;
  /** The same as a canvas. */
  canvas: HTMLCanvasElement;
  width: number;
  height: number;
  /** The file's own size, used for downloads. */
  full: { width: number; height: number };
}

export function canvasOf(width: number, height: number): [HTMLCanvasElement, CanvasRenderingContext2D] {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser has no canvas to draw on");
  return [canvas, context];
}

export function png(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((give, fail) => {
    canvas.toBlob((blob) => (blob ? give(blob) : fail(new Error("this browser cannot write so large a PNG"))), "image/png");
  });
}

/** Reads a file as an upright picture of limited size. Fails if it is not a picture. */
export async function open(file: Blob, name: string): Promise<Picture> {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${name} is not a picture that this browser can read.`);
  });
  const full = { width: bitmap.width, height: bitmap.height };
  const scale = Math.min(1, MOST_SIDE / Math.max(full.width, full.height));
  const [width, height] = [full.width, full.height].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
  const [canvas, context] = canvasOf(width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { name, blob: scale < 1 ? await png(canvas) : file, canvas, width, height, full };
}

/** Grey levels, row by row, as a canvas. */
export function grey(levels: ArrayLike<number>, width: number, height: number): HTMLCanvasElement {
  const [canvas, context] = canvasOf(width, height);
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const level = levels[i] ?? 0;
    image.data.set([level, level, level, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The red value of each pixel, which is the level of a grey picture. */
export function levels(image: CanvasImageSource, width: number, height: number): Uint8ClampedArray {
  const [, context] = canvasOf(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8ClampedArray.from({ length: width * height }, (_, i) => data[4 * i] ?? 0);
}
