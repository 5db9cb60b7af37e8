// Weights of 8 bits (src/q8.rs), [kernel^2 * C, N]: blocks of rows, of which the last may be shorter. A word has four columns of a row, the
// first in its lowest bits. Before the rows of a block lie the scales of its columns, in four rows: the first has that of each word's first
// column, the second that of its second. What a number and its scale give is exact.
@group(0) @binding(1) var<storage, read> weight: array<u32>;

const IN_PANELS = false;
const BLOCK = 64u;
const SCALES = 4u;

fn scale4(block: u32, column: u32, width: u32) -> vec4<f32> {
    let i = block * (BLOCK + SCALES) * width + column;
    return bitcast<vec4<f32>>(vec4<u32>(weight[i], weight[i + width], weight[i + 2u * width], weight[i + 3u * width]));
}

// The four bytes of a word, with their signs.
fn number4(i: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(weight[i]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Four columns of a row; `width` is N in vec4s.
fn weight4(row: u32, column: u32, width: u32) -> vec4<f32> {
    let block = row / BLOCK;
    return number4((row + (block + 1u) * SCALES) * width + column) * scale4(block, column, width);
}

// As of other weights, but converted at once: a number has its scale elsewhere.
alias Weight4 = vec4<f32>;
fn read4(row: u32, column: u32, width: u32) -> Weight4 { return weight4(row, column, width); }
fn convert4(w: Weight4) -> vec4<f32> { return w; }

// The same of four rows, the first of which is a multiple of four: they are of one block.
fn weights4(row: u32, column: u32, width: u32) -> mat4x4<f32> {
    let block = row / BLOCK;
    let i = (row + (block + 1u) * SCALES) * width + column;
    let scale = scale4(block, column, width);
    return mat4x4<f32>(number4(i) * scale, number4(i + width) * scale, number4(i + 2u * width) * scale, number4(i + 3u * width) * scale);
}
