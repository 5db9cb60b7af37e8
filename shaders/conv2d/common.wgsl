// Implicit-GEMM convolution over [positions, channels]; a linear layer is the same kernel with kernel size 1.
//   out[p, n] = epilogue(bias[n] + sum over tap, c of in[source(p, tap), c] * weight[tap, c, n]) (+ residual[p, n])
// GEGLU weights hold [hidden | gate] columns: out = hidden * gelu(gate).
// Every form with loops includes this file. Epilogues: RESIDUAL, GEGLU, TANH.
// MATRICES: the rows of the image are matrices, each with weights of its own, in f32 and without bias: the products of Winograd's algorithm
// (winograd_input.wgsl makes the matrices). Whole workgroups fit into a row.
#import "lib/storage"

#import "conv2d/params"

#ifdef MATRICES
#ifdef EIGHTS
#import "conv2d/weights_eights"
alias Input = vec4<u64>;
fn unpack_input(v: Input) -> Two4 { return eight_floats(v); }
#else
#import "conv2d/weights"
alias Input = vec4<f32>;
fn unpack_input(v: Input) -> vec4<f32> { return v; }
#endif
@group(0) @binding(0) var<storage, read> input: array<Input>;             // [in_h * in_w, C]
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;  // [positions, N]

fn bias4(n: u32) -> vec4<f32> { return vec4<f32>(); }
// The first row of the weights for position `p`.
fn first_row(p: u32) -> u32 { return p / q.out_w * q.in_c4 * 4u; }
#else
#ifdef EIGHTS
#import "conv2d/weights_eights"
alias Input = Stored8;
fn unpack_input(v: Input) -> Two4 { return unpack8(v); }
#else
#ifdef Q8_WEIGHTS
#import "conv2d/weights_q8"
#else
#import "conv2d/weights"
#endif
alias Input = Stored;
fn unpack_input(v: Input) -> vec4<f32> { return unpack4(v); }
#endif
@group(0) @binding(0) var<storage, read> input: array<Input>;             // [in_h * in_w, C]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [N]

fn bias4(n: u32) -> vec4<f32> { return bias[n]; }
fn first_row(p: u32) -> u32 { return 0u; }
#ifdef RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<Stored>;         // [positions, N]
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;     // [positions, N]
#else
@group(0) @binding(3) var<storage, read_write> output: array<Stored>;     // [positions, N]
#endif
#endif
@group(1) @binding(0) var<uniform> q: Params;

// Adjacent channels of the input, from vec4 `i` on. EIGHTS: two vec4s at once, the first of them even.
#ifdef EIGHTS
fn load4(i: u32) -> Two4 { return unpack_input(input[i / 2u]); }
#else
fn load4(i: u32) -> vec4<f32> { return unpack_input(input[i]); }
#endif

// Top left corner of a position's window in (upsampled) input coordinates. Left of or above the image it wraps to a huge number, so that
// one unsigned comparison tests both sides.
fn corner(p: u32) -> vec2<u32> {
    let y = p / q.out_w;
    return vec2<u32>(q.out_y0 + y, p - y * q.out_w) * q.stride - q.pad;
}

// Whether the tap at `yx` is inside the image.
fn inside(yx: vec2<u32>) -> bool {
    return yx.x < (q.in_h << q.upsample) && yx.y < (q.in_w << q.upsample);
}

// First element of the source position. In the zero padding it is the window's first element, so that every address is valid.
fn source(yx: vec2<u32>) -> u32 {
    let s = yx >> vec2<u32>(q.upsample);
    return q.in_base + select(0u, ((s.x - q.in_y0) * q.in_w + s.y) * q.in_c4, inside(yx));
}

#ifdef GEGLU
#import "lib/gelu"
#endif

fn put(p: u32, n: u32, sum: vec4<f32>) {
    let i = p * q.out_n4 + n;
    var v = sum;
#ifdef RESIDUAL
    v += unpack4(residual[q.residual_base + i]);
#endif
#ifdef TANH
    // Uses exp of a non-positive number: accurate where WGSL's tanh need not be, and exactly 0 at 0.
    let e = exp(-2.0 * abs(v));
    v = sign(v) * (1.0 - e) / (1.0 + e);
#endif
#ifdef MATRICES
    output[q.out_base + i] = v;
#else
    output[q.out_base + i] = pack4(v);
#endif
}
