// For newer versions of Mesa's CPU driver, on a device without range checks, and for the products of Winograd's algorithm alone.
// There is no loop and no branch: any of these puts the whole text under a mask, with which no load is simple. A workgroup is
// one subgroup, and makes ROWS rows x 2 LANES columns from STEP channels. It goes on with the sums that it finds (q.first > 0): longer
// sums take a dispatch for each step. So nobody waits for anybody, and nobody writes what another one reads.
// Rows and columns of the matrices are filled up to whole blocks, and the grid has a workgroup for each block: [rows, columns, matrices].
#import "conv2d/params"

@group(0) @binding(0) var<storage, read> input: array<f32>;           // [in_h, out_w, in_c4 * 4]
@group(0) @binding(1) var<storage, read> weight: array<f32>;          // [in_h, columns / (2 LANES), in_c4 * 4, 2 LANES]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;    // [in_h, out_w, out_n4 * 4]
@group(1) @binding(0) var<uniform> q: Params;

// No index is larger (src/kernels/conv2d/straight.rs): it tells LLVM that what is added to a base does not wrap. Without it LLVM cannot see
// that neighbours are neighbours.
const MOST = 0x3ffffffu;

// LANES neighbours, one for each lane: LLVM makes one load of them.
fn weights(i: u32, lane: u32) -> f32 {
    var v = weight[i];
#for j LANES
    v = select(v, weight[i + j], lane == j);
#endfor
    return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let matrix = q.out_y0 + block.z;
    let channels = q.in_c4 * 4u;
    let columns = q.out_n4 * 4u;
    let row = matrix * q.out_w + block.x * ROWS;
    let panel = matrix * (columns / (2u * LANES)) + block.y;
    let w = ((panel * channels + q.first) * 2u * LANES) & MOST;
    let fresh = q.first == 0u;
    var a: array<u32, ROWS>;
    var c: array<u32, ROWS>;
    var lows: array<f32, ROWS>;
    var highs: array<f32, ROWS>;
    // Of its sums a lane reads its own alone: others write the rest.
#for r ROWS
    a[r] = ((row + r) * channels + q.first) & MOST;
    c[r] = ((row + r) * columns + block.y * 2u * LANES) & MOST;
    lows[r] = select(output[c[r] + lane], 0.0, fresh);
    highs[r] = select(output[c[r] + LANES + lane], 0.0, fresh);
#endfor
#for k STEP
    {
        let low = weights(w + k * 2u * LANES, lane);
        let high = weights(w + k * 2u * LANES + LANES, lane);
#for r ROWS
        {
            let x = input[a[r] + k];
            lows[r] = fma(x, low, lows[r]);
            highs[r] = fma(x, high, highs[r]);
        }
#endfor
    }
#endfor
    // What is stored lane by lane is stored behind branches on some CPUs, and LLVM would move each sum behind those before its own, but
    // no load. No sum goes behind what all are in; q.upsample is 0.
    var all = 0u;
#for r ROWS
    all ^= bitcast<u32>(lows[r]) ^ bitcast<u32>(highs[r]);
#endfor
    lows[0] = bitcast<f32>(bitcast<u32>(lows[0]) ^ (all & q.upsample));
#for r ROWS
    output[c[r] + lane] = lows[r];
    output[c[r] + LANES + lane] = highs[r];
#endfor
}
