const MOST_SIDE = 2048;
export function canvasOf(width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context)
        throw new Error("this browser has no canvas to draw on");
    return [canvas, context];
}
export function png(canvas) {
    return new Promise((give, fail) => {
        canvas.toBlob((blob) => (blob ? give(blob) : fail(new Error("this browser cannot write so large a PNG"))), "image/png");
    });
}
export async function open(file, name) {
    const bitmap = await createImageBitmap(file).catch(() => {
        throw new Error(`${name} is not a picture that this browser can read.`);
    });
    const full = { width: bitmap.width, height: bitmap.height };
    const scale = Math.min(1, MOST_SIDE / Math.max(full.width, full.height));
    const [width, height] = [full.width, full.height].map((side) => Math.max(1, Math.round(side * scale)));
    const [canvas, context] = canvasOf(width, height);
    context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    return { name, blob: scale < 1 ? await png(canvas) : file, canvas, width, height, full };
}
export function grey(levels, width, height) {
    const [canvas, context] = canvasOf(width, height);
    const image = context.createImageData(width, height);
    for (let i = 0; i < width * height; i++) {
        const level = levels[i] ?? 0;
        image.data.set([level, level, level, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    return canvas;
}
export function levels(image, width, height) {
    const [, context] = canvasOf(width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    return Uint8ClampedArray.from({ length: width * height }, (_, i) => data[4 * i] ?? 0);
}
