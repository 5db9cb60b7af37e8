// Individual weights, [kernel^2 * C, N], or the same in panels of columns.
const IN_PANELS = true;
@group(0) @binding(1) var<storage, read> weight: array<StoredWeight>;

// Four columns of a row in their stored format, because a conversion would wait for them.
alias Weight4 = StoredWeight;
fn read4(row: u32, column: u32, width: u32) -> Weight4 { return weight[row * width + column]; }
fn convert4(w: Weight4) -> vec4<f32> { return unpack_weight(w); }

// Four columns of a row; `width` is N in vec4s.
fn weight4(row: u32, column: u32, width: u32) -> vec4<f32> { return unpack_weight(weight[row * width + column]); }

// The same for four rows; the first of them is a multiple of four.
fn weights4(row: u32, column: u32, width: u32) -> mat4x4<f32> {
    let i = row * width + column;
    return mat4x4<f32>(unpack_weight(weight[i]), unpack_weight(weight[i + width]), unpack_weight(weight[i + 2u * width]), unpack_weight(weight[i + 3u * width]));
}
