// Downloads: label maps and COCO annotations.

import { runs, type Parts } from "./mask.js";

/** Header fields of an 8-bit palette PNG: depth, colour type, compression, filter and interlacing. */
const DEPTH_AND_KIND = [8, 3, 0, 0, 0];

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (CRC[(value ^ byte) & 255] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function word(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
}

function chunk(kind: string, data: Uint8Array): Uint8Array[] {
  const body = new Uint8Array(4 + data.length);
  body.set(new TextEncoder().encode(kind));
  body.set(data, 4);
  return [Uint8Array.from(word(data.length)), body, Uint8Array.from(word(crc(body)))];
}

/** A colour of VOC's palette: the number's bits are the high bits of red, green and blue, alternating. */
function colour(number: number): number[] {
  const channel = (first: number) => {
    let value = 0;
    for (let bit = first, place = 7; bit < 8; bit += 3, place--) value |= ((number >> bit) & 1) << place;
    return value;
  };
  return [0, 1, 2].map(channel);
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Class numbers as a PNG with VOC's palette, which a canvas cannot write. */
export async function labelMap(numbers: Uint8Array, width: number, height: number): Promise<Blob> {
  // Each row begins with its filter number.
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(numbers.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const palette = Uint8Array.from(Array.from({ length: 256 }, (_, number) => colour(number)).flat());
  const parts = [
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    ...chunk("IHDR", Uint8Array.from([...word(width), ...word(height), ...DEPTH_AND_KIND])),
    ...chunk("PLTE", palette),
    ...chunk("IDAT", await deflated(rows)),
    ...chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts as BlobPart[], { type: "image/png" });
}

/** A picture and its selected parts. */
export interface Annotated {
  name: string;
  width: number;
  height: number;
  parts: Parts;
  /** Numbers of parts. */
  on: number[];
}

/** COCO instances of all pictures: each part is an annotation of the category. */
export function coco(pictures: Annotated[], category: string): Blob {
  const images = pictures.map(({ name, width, height }, at) => ({ id: at + 1, file_name: name, width, height }));
  const annotations = pictures.flatMap(({ width, height, parts, on }, at) =>
    on.map((number) => {
      const part = parts.all[number - 1];
      const [left, top, right, bottom] = part?.box ?? [0, 0, 0, 0];
      const segmentation = { size: [height, width], counts: runs(parts, number, width, height) };
      const bbox = [left, top, right - left, bottom - top];
      return { image_id: at + 1, category_id: 1, bbox, area: part?.area ?? 0, iscrowd: 0, segmentation };
    }),
  );
  const all = {
    info: { description: "Found by example with diffews-wgpu" },
    images,
    categories: [{ id: 1, name: category }],
    annotations: annotations.map((annotation, at) => ({ id: at + 1, ...annotation })),
  };
  return new Blob([JSON.stringify(all)], { type: "application/json" });
}
