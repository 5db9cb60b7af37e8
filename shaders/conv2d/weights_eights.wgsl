// Individual weights in panels of columns, two rows at a time: [matrices, panels, in_c4 * 2, columns / 4, 2, 4].
#import "lib/eights"
// Each array type has one name, because naga's HLSL defines its constructor once for each name.
alias Two4x4 = array<mat4x4<f32>, 2>;

const IN_PANELS = true;
@group(0) @binding(1) var<storage, read> weight: array<StoredWeight8>;

// Four columns of eight rows; the first of them is a multiple of eight. `width` is a panel's, in vec4s.
fn weights4(row: u32, column: u32, width: u32) -> Two4x4 {
    let i = row / 2u * width + column;
    let a = unpack_weight8(weight[i]);
    let b = unpack_weight8(weight[i + width]);
    let c = unpack_weight8(weight[i + 2u * width]);
    let d = unpack_weight8(weight[i + 3u * width]);
    return Two4x4(mat4x4<f32>(a[0], a[1], b[0], b[1]), mat4x4<f32>(c[0], c[1], d[0], d[1]));
}
