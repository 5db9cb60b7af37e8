// A band of a picture in f32, with zero padding for a convolution's windows: for forms that do not test whether a tap is inside.
#import "lib/storage"
#import "pad/common"

@group(0) @binding(0) var<storage, read> input: array<Stored>;            // [in_h, in_w, C]
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;     // [rows, width, C]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    if i >= p.n { return; }
    let position = i / p.in_c4;
    let c = i % p.in_c4;
    // Above or to the left of the picture, these wrap to huge numbers.
    let y = p.y0 + position / p.width - p.pad;
    let x = position % p.width - p.pad;
    let inside = y < (p.in_h << p.upsample) && x < (p.in_w << p.upsample);
    let at = ((y >> p.upsample) - p.in_y0) * p.in_w + (x >> p.upsample);
    out[i] = select(vec4<f32>(), unpack4(input[p.base + select(0u, at, inside) * p.in_c4 + c]), inside);
}
