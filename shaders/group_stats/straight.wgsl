// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and computes LANES channels of a chunk of STEP positions. The grid is [C / LANES, chunks].
struct Params {
    positions: u32,   // in this window
    c4: u32,          // vec4s per position
    chunk_len: u32,   // positions per chunk
    chunks: u32,      // in this window
    chunk0: u32,      // first of them
    base: u32,        // start of the data in x's window, in vec4s
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;             // [positions, C]
@group(0) @binding(1) var<storage, read_write> stats: array<f32>;   // [chunks, 2, C]: mean, M2
@group(1) @binding(0) var<uniform> p: Params;

// Upper bound on every index (src/kernels/straight.rs).
const MOST = 0x3ffffffu;

// LANES adjacent elements, one per lane. LLVM turns them into a single load.
fn channels(i: u32, lane: u32) -> f32 {
    var v = x[i];
#for j LANES
    v = select(v, x[i + j], lane == j);
#endfor
    return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let c = block.x * LANES;
    let chunk = block.y;
    let row = 4u * p.c4;
    let first = 4u * p.base + chunk * STEP * row + c;
    var sum = 0.0;
#for k STEP
    sum += channels((first + k * row) & MOST, lane);
#endfor
    let mean = sum / f32(STEP);
    var squares = 0.0;
#for k STEP
    {
        let d = channels((first + k * row) & MOST, lane) - mean;
        squares += d * d;
    }
#endfor
    let place = (p.chunk0 + chunk) * 2u * row + c;
    stats[(place & MOST) + lane] = mean;
    stats[((place + row) & MOST) + lane] = squares;
}
