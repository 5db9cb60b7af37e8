// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and computes LANES channels of 4 ROWS positions of one of the two tensors; each tensor has a dispatch
// of its own. The grid is [channels / LANES, positions / (4 ROWS)].
#import "lib/silu"

struct Params {
    positions: u32,
    a4: u32,       // vec4s per position of this tensor
    b4: u32,       // vec4s per position of the other tensor
    base_a: u32,   // start of the data in the windows, in vec4s
    base_b: u32,   // vec4s per position that precede this tensor's
    base_out: u32,
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;               // [positions, C]
@group(0) @binding(1) var<storage, read> affine: array<f32>;          // [2, Ca + Cb]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;       // [positions, Ca + Cb]
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
    let own = 4u * p.a4;
    let all = 4u * (p.a4 + p.b4);
    let c = 4u * p.base_b + block.x * LANES;
    let scale = affine[c + lane];
    let shift = affine[all + c + lane];
    let pos = block.y * 4u * ROWS;
    let source = 4u * p.base_a + pos * own + block.x * LANES;
    let place = 4u * p.base_out + pos * all + c;
#for r ROWS
    {
        var v = vec4(
            channels((source + 4u * r * own) & MOST, lane),
            channels((source + (4u * r + 1u) * own) & MOST, lane),
            channels((source + (4u * r + 2u) * own) & MOST, lane),
            channels((source + (4u * r + 3u) * own) & MOST, lane),
        ) * scale + shift;
#ifdef SILU
        v = silu(v);
#endif
#for j 4
        out[((place + (4u * r + j) * all) & MOST) + lane] = v[j];
#endfor
    }
#endfor
}
