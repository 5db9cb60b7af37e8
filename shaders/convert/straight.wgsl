// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and copies ROWS times LANES adjacent elements.
struct Params {
    n: u32,          // vec4s of this band
    base: u32,       // start of the data in the windows, in vec4s
    base_out: u32,
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;             // [positions, C]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;     // [positions, C]
@group(1) @binding(0) var<uniform> p: Params;

// Upper bound on every index (src/kernels/straight.rs).
const MOST = 0x3ffffffu;

// LANES adjacent elements, one per lane. LLVM turns them into a single load.
fn neighbours(i: u32, lane: u32) -> f32 {
    var v = x[i];
#for j LANES
    v = select(v, x[i + j], lane == j);
#endfor
    return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = block.x * ROWS * LANES;
#for r ROWS
    out[((4u * p.base_out + first + r * LANES) & MOST) + lane] = neighbours((4u * p.base + first + r * LANES) & MOST, lane);
#endfor
}
