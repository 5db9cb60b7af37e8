// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and copies BLOCKS times LANES channels of a position, so the position is the same for all lanes. The
// grid is [C / (BLOCKS LANES), width, rows].
#import "lib/neighbours"
#import "pad/common"

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;     // [in_h, in_w, in_c4]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;       // [rows, width, C]
@group(1) @binding(0) var<uniform> p: Params;

fn channels(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, input[i + g], lane, g);
#endfor
    return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    // Above or to the left of the picture, these wrap to huge numbers.
    let y = p.y0 + block.z - p.pad;
    let x = block.y - p.pad;
    let inside = y < (p.in_h << p.upsample) && x < (p.in_w << p.upsample);
    let at = ((y >> p.upsample) - p.in_y0) * p.in_w + (x >> p.upsample);
    let c = block.x * BLOCKS * LANES / 4u;
    let source = (p.base + select(0u, at, inside) * p.in_c4 + c) & MOST;
    let place = ((block.z * p.width + block.y) * p.in_c4 + c) * 4u + lane;
#for b BLOCKS
    out[place + b * LANES] = select(0.0, channels(source + b * LANES / 4u, lane), inside);
#endfor
}
