// For newer versions of Mesa's CPU driver, on a device without range checks: products of matrices, Winograd's, a linear layer's, or
// one tap's of a convolution's windows, whose input has its padding (pad.wgsl).
// There is no loop and no branch: any of these puts the whole text under a mask, with which no load is simple. A workgroup is
// one subgroup, and makes ROWS rows x 2 LANES columns from STEP channels, to which it adds what is there before (`parts`). Longer
// sums, and other taps, take a dispatch for each step, which finds the last one's in another buffer: so nobody waits for anybody, and nobody writes
// what another one reads.
// Windows of tensors begin where they are bound. Rows, columns and channels are whole blocks, and the grid has a workgroup for each block: [rows, columns, matrices].
// GEGLU, the last step alone: the lower half of a block's columns is hidden, the upper one is their gates.
#import "conv2d/params"
#ifdef GEGLU
#import "lib/gelu"
#endif

@group(0) @binding(0) var<storage, read> input: array<f32>;           // [matrices, in_w, in_c4 * 4], or lines of rows
@group(0) @binding(1) var<storage, read> weight: array<f32>;          // [matrices, panels, in_c4 * 4, 2 LANES]
@group(0) @binding(2) var<storage, read> bias: array<f32>;            // [columns]
@group(0) @binding(3) var<storage, read> before: array<f32>;          // [matrices, in_w, panels, 2 LANES]: sums of the last step
@group(0) @binding(4) var<storage, read> residual: array<f32>;        // [matrices, in_w, panels, 2 LANES]
@group(0) @binding(5) var<storage, read_write> output: array<f32>;    // [matrices, in_w, panels, 2 LANES]; GEGLU: LANES
@group(1) @binding(0) var<uniform> q: Params;

// Bits of `parts`: what there is to add. What there is not is a small part of some buffer, of which the beginning is read.
const BIAS = 1u;
const BEFORE = 2u;
const RESIDUAL = 4u;

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

fn biases(i: u32, lane: u32) -> f32 {
    var v = bias[i];
#for j LANES
    v = select(v, bias[i + j], lane == j);
#endfor
    return v;
}

fn befores(i: u32, lane: u32) -> f32 {
    var v = before[i];
#for j LANES
    v = select(v, before[i + j], lane == j);
#endfor
    return v;
}

fn residuals(i: u32, lane: u32) -> f32 {
    var v = residual[i];
#for j LANES
    v = select(v, residual[i + j], lane == j);
#endfor
    return v;
}

alias Sums = array<f32, ROWS>;
alias Places = array<u32, ROWS>;

// One channel's products. A function, because naga takes long over long ones.
fn add(lows: ptr<function, Sums>, highs: ptr<function, Sums>, a: Places, w: u32, k: u32, lane: u32) {
    let low = weights(w + k * 2u * LANES, lane);
    let high = weights(w + k * 2u * LANES + LANES, lane);
#for r ROWS
    {
        let x = input[a[r] + k];
        (*lows)[r] = fma(x, low, (*lows)[r]);
        (*highs)[r] = fma(x, high, (*highs)[r]);
    }
#endfor
}

fn has(part: u32) -> bool { return (q.parts & part) != 0u; }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let channels = q.in_c4 * 4u;
    let columns = q.out_n4 * 4u;
    let panel = (q.out_y0 + block.z) * (columns / (2u * LANES)) + block.y;
    let w = ((panel * channels + q.first) * 2u * LANES) & MOST;
    let row = block.z * q.in_w + block.x * ROWS;
    let begin = row * columns + block.y * 2u * LANES;
    let b = select(0u, block.y * q.bias_step, has(BIAS));
    let gate = select(LANES, q.gate, has(BIAS));
    let low_bias = select(0.0, biases(b & MOST, lane), has(BIAS));
    let high_bias = select(0.0, biases((b + gate) & MOST, lane), has(BIAS));
    let line = block.x / q.line_blocks;
    let place = line * q.line_step + (block.x - line * q.line_blocks) * ROWS * q.row_step;
    let source = (q.in_base + block.z * q.in_w * q.in_c4 + place) * 4u + q.first;
    var a: Places;
    var lows: Sums;
    var highs: Sums;
#for r ROWS
    {
        a[r] = (source + r * q.row_step * 4u) & MOST;
        let i = select(0u, begin + r * columns, has(BEFORE)) & MOST;
        lows[r] = select(low_bias, befores(i, lane), has(BEFORE));
        highs[r] = select(high_bias, befores(i + LANES, lane), has(BEFORE));
    }
#endfor
#for k STEP
    add(&lows, &highs, a, w, k, lane);
#endfor
    // What is stored lane by lane is stored behind branches on some CPUs, and LLVM would move each sum behind those before its own, but
    // no load. No sum goes behind what all are in; q.upsample is 0.
    var all = 0u;
#for r ROWS
    all ^= bitcast<u32>(lows[r]) ^ bitcast<u32>(highs[r]);
#endfor
    lows[0] = bitcast<f32>(bitcast<u32>(lows[0]) ^ (all & q.upsample));
#ifdef GEGLU
    let first = row * (columns / 2u) + block.y * LANES;
#for r ROWS
    output[first + r * (columns / 2u) + lane] = lows[r] * gelu(vec4(highs[r])).x;
#endfor
#else
    #for r ROWS
    {
        let i = select(0u, begin + r * columns, has(RESIDUAL)) & MOST;
        let more = select(0.0, residuals(i, lane), has(RESIDUAL));
        let more_high = select(0.0, residuals(i + LANES, lane), has(RESIDUAL));
        output[begin + r * columns + lane] = lows[r] + more;
        output[begin + r * columns + LANES + lane] = highs[r] + more_high;
    }
#endfor
#endif
}
