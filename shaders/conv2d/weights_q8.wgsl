// 8-bit weights (src/q8.rs), [kernel^2 * C, N], in blocks of rows; the last block may be shorter. A word has four columns of a row, the
// first in its lowest bits. Each block begins with four rows of scales: the first row has the scale of each word's first column, the second
// that of its second, and so on. The product of a number and its scale is exact.
@group(0) @binding(1) var<storage, read> weight: array<u32>;

const IN_PANELS = false;
const BLOCK = 64u;
const SCALES = 4u;

fn scale4(block: u32, column: u32, width: u32) -> vec4<f32> {
    let i = block * (BLOCK + SCALES) * width + column;
    return bitcast<vec4<f32>>(vec4<u32>(weight[i], weight[i + width], weight[i + 2u * width], weight[i + 3u * width]));
}

// The four signed bytes of a word.
fn number4(i: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(weight[i]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Four columns of a row; `width` is N in vec4s.
fn weight4(row: u32, column: u32, width: u32) -> vec4<f32> {
    let block = row / BLOCK;
    return number4((row + (block + 1u) * SCALES) * width + column) * scale4(block, column, width);
}

// Like other weights, but converted at once, because the scale is stored elsewhere.
alias Weight4 = vec4<f32>;
fn read4(row: u32, column: u32, width: u32) -> Weight4 { return weight4(row, column, width); }
fn convert4(w: Weight4) -> vec4<f32> { return w; }

// The same for four rows; the first of them is a multiple of four, so they share a block.
fn weights4(row: u32, column: u32, width: u32) -> mat4x4<f32> {
    let block = row / BLOCK;
    let i = (row + (block + 1u) * SCALES) * width + column;
    let scale = scale4(block, column, width);
    return mat4x4<f32>(number4(i) * scale, number4(i + width) * scale, number4(i + 2u * width) * scale, number4(i + 3u * width) * scale);
}
