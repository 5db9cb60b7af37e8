export function above(map, level) {
    return Uint8Array.from(map, (value) => Number(value > level));
}
export function parts(mask, width, height) {
    const of = new Int32Array(mask.length);
    const all = [];
    const waiting = [];
    for (let first = 0; first < mask.length; first++) {
        if (!mask[first] || of[first])
            continue;
        const number = all.length + 1;
        const part = { first, area: 0, box: [width, height, 0, 0] };
        of[first] = number;
        waiting.push(first);
        for (let at; (at = waiting.pop()) !== undefined;) {
            const [x, y] = [at % width, Math.floor(at / width)];
            part.area++;
            const [left, top, right, bottom] = part.box;
            part.box = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
            for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
                for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
                    const next = row * width + column;
                    if (!mask[next] || of[next])
                        continue;
                    of[next] = number;
                    waiting.push(next);
                }
            }
        }
        all.push(part);
    }
    return { of, all };
}
export function runs(parts, number, width, height) {
    const counts = [];
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
