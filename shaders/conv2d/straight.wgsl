// For newer versions of Mesa's CPU driver, on a device without range checks. Matrix products of Winograd's algorithm, of a linear layer, or
// of one tap of a convolution's windows, whose input is padded (pad.wgsl).
// Straight-line code: no branch is taken, because code in a branch runs under a mask, which makes every load slow. A workgroup is one
// subgroup. It computes ROWS rows x 2 LANES columns from STEP channels, and adds the previous step's result (`parts`). Longer sums, and
// other taps, take one dispatch per step, with the previous result in another buffer: so no invocation waits for another, or writes what
// another reads.
// Windows of tensors begin at their bindings. Rows, columns and channels are whole blocks, and the grid has one workgroup per block: [rows,
// columns, matrices].
// GEGLU, in the last step only: the lower half of a block's columns is hidden, the upper half are their gates.
#import "conv2d/params"
#import "lib/neighbours"
#ifdef Q8_WEIGHTS
#import "conv2d/panels"
#else
#ifdef PACKED_WEIGHTS
#import "conv2d/panels_packed"
#else
#import "conv2d/panels"
#endif
#endif
#ifdef GEGLU
#import "lib/gelu"
#endif

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;      // [matrices, in_w, in_c4], or lines of rows
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;       // [columns / 4]
@group(0) @binding(3) var<storage, read> before: array<vec4<f32>>;     // [matrices, in_w, panels, LANES / 2]: sums of the last step
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;   // [matrices, in_w, panels, LANES / 2]
@group(0) @binding(5) var<storage, read_write> output: array<f32>;     // [matrices, in_w, panels, 2 LANES]; GEGLU: LANES
@group(1) @binding(0) var<uniform> q: Params;

// Flags in `parts` of what to add. A missing operand is bound to a small part of some buffer, and its beginning is read.
const BIAS = 1u;
const BEFORE = 2u;
const RESIDUAL = 4u;

// Vec4s of LANES adjacent elements.
const LANES4 = LANES / 4u;

fn biases(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, bias[i + g], lane, g);
#endfor
    return v;
}

fn befores(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, before[i + g], lane, g);
#endfor
    return v;
}

fn residuals(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, residual[i + g], lane, g);
#endfor
    return v;
}

alias Sums = array<f32, ROWS>;
alias Places = array<u32, ROWS>;

// The products of four channels. A function, because naga is slow on long ones.
fn add(lows: ptr<function, Sums>, highs: ptr<function, Sums>, a: Places, w: u32, k: u32, lane: u32) {
    var own: array<vec2<f32>, 4>;
#for c 4
    own[c] = weights(w + (4u * k + c) * ROW4, lane);
#endfor
#for r ROWS
    {
        let x = input[a[r] + k];
#for c 4
        (*lows)[r] = fma(x[c], own[c].x, (*lows)[r]);
        (*highs)[r] = fma(x[c], own[c].y, (*highs)[r]);
#endfor
    }
#endfor
}

fn has(part: u32) -> bool { return (q.parts & part) != 0u; }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let panel = (q.out_y0 + block.z) * (q.out_n4 / (2u * LANES4)) + block.y;
    let w = ((panel * q.in_c4 + q.first) * 4u * ROW4) & MOST;
    let row = block.z * q.in_w + block.x * ROWS;
    let begin = row * q.out_n4 + block.y * 2u * LANES4;
    let b = select(0u, block.y * q.bias_step, has(BIAS));
    let gate = select(LANES4, q.gate, has(BIAS));
    let low_bias = select(0.0, biases(b & MOST, lane), has(BIAS));
    let high_bias = select(0.0, biases((b + gate) & MOST, lane), has(BIAS));
    let line = block.x / q.line_blocks;
    let place = line * q.line_step + (block.x - line * q.line_blocks) * ROWS * q.row_step;
    let source = q.in_base + block.z * q.in_w * q.in_c4 + place + q.first;
    var a: Places;
    var lows: Sums;
    var highs: Sums;
#for r ROWS
    {
        a[r] = (source + r * q.row_step) & MOST;
        let i = select(0u, begin + r * q.out_n4, has(BEFORE)) & MOST;
        lows[r] = select(low_bias, befores(i, lane), has(BEFORE));
        highs[r] = select(high_bias, befores(i + LANES4, lane), has(BEFORE));
    }
#endfor
    // Compile time grows with the square of the length of branch-free code. These branches split it; none is taken, because q.upsample is
    // 0.
#for g STEP / SEGMENT
#for k SEGMENT / 4
    add(&lows, &highs, a, w, g * (SEGMENT / 4u) + k, lane);
#endfor
    if q.upsample == 1u { output[lane] = lows[0]; }
#endfor
    // Some CPUs store lane by lane behind branches, and LLVM would move each sum, but not its loads, behind the stores before its own.
    // Making one value depend on all sums prevents that; q.upsample is 0.
    var all = 0u;
#for r ROWS
    all ^= bitcast<u32>(lows[r]) ^ bitcast<u32>(highs[r]);
#endfor
    lows[0] = bitcast<f32>(bitcast<u32>(lows[0]) ^ (all & q.upsample));
#ifdef GEGLU
    let first = row * q.out_n4 * 2u + block.y * LANES;
#for r ROWS
    output[first + r * q.out_n4 * 2u + lane] = lows[r] * gelu(vec4(highs[r])).x;
#endfor
#else
    #for r ROWS
    {
        let i = select(0u, begin + r * q.out_n4, has(RESIDUAL)) & MOST;
        let more = select(0.0, residuals(i, lane), has(RESIDUAL));
        let more_high = select(0.0, residuals(i + LANES4, lane), has(RESIDUAL));
        let at = (begin + r * q.out_n4) * 4u + lane;
        output[at] = lows[r] + more;
        output[at + LANES] = highs[r] + more_high;
    }
#endfor
#endif
}
