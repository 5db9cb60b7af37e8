// Implicit-GEMM convolution over [positions, channels]; a linear layer is the same kernel with kernel size 1.
//   out[p, n] = epilogue(bias[n] + sum over tap, c of in[source(p, tap), c] * weight[tap, c, n]) (+ residual[p, n])
// GEGLU weights hold [hidden | gate] columns: out = hidden * gelu(gate).
// Every form of the kernel begins with this. Epilogue: RESIDUAL, GEGLU, TANH.
// MATRICES: the rows of the image are matrices, each with weights of its own, in f32 and without a bias: the products of Winograd's
// algorithm (winograd_input.wgsl makes them). A row has whole workgroups.
#import "lib/storage"

// Shapes come from a uniform, not from overrides: one pipeline serves every layer.
// A dispatch makes a band of output rows; its bindings are windows of the tensors.
struct Params {
    in_h: u32, in_w: u32, in_c4: u32,      // whole input: height, width, vec4s per position
    out_rows: u32, out_w: u32, out_n4: u32, // rows of this band, width, vec4s per position (GEGLU: after gating)
    kernel: u32, stride: u32, pad: u32,    // pad: top and left; right and bottom follow from the bounds
    upsample: u32,                         // 0, or 1: the convolution reads a nearest 2x upsampling of the input
    out_y0: u32, in_y0: u32,               // first row of the band, and of the input's window
    in_base: u32, out_base: u32,           // where those rows begin in the windows, in vec4s
    residual_base: u32,
    row_groups: u32,                       // workgroups along the positions
    groups: u32, groups_x: u32,            // workgroups in all, and along x: the dispatch is folded
    block_rows: u32,                       // always 8: a uniform, so that compilers do not unroll the stores
}

@group(0) @binding(1) var<storage, read> weight: array<StoredWeight>;     // [kernel^2 * C, N]
#ifdef MATRICES
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;         // [in_h * in_w, C]
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;  // [positions, N]

fn load4(i: u32) -> vec4<f32> { return input[i]; }
fn bias4(n: u32) -> vec4<f32> { return vec4<f32>(); }
// The first row of the weights for position `p`.
fn first_row(p: u32) -> u32 { return p / q.out_w * q.in_c4 * 4u; }
#else
@group(0) @binding(0) var<storage, read> input: array<Stored>;            // [in_h * in_w, C]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [N]

fn load4(i: u32) -> vec4<f32> { return unpack4(input[i]); }
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

// Top left corner of a position's window in (upsampled) input coordinates. Left of or above the image it
// wraps to a huge number, so that one unsigned comparison tests both sides.
fn corner(p: u32) -> vec2<u32> {
    let y = p / q.out_w;
    return vec2<u32>(q.out_y0 + y, p - y * q.out_w) * q.stride - q.pad;
}

// Is the tap at `yx` inside the image?
fn inside(yx: vec2<u32>) -> bool {
    return yx.x < (q.in_h << q.upsample) && yx.y < (q.in_w << q.upsample);
}

// First element of the source position; the window's first stands in for the zero padding, so that every
// address is valid.
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
    // By exp of a non-positive number: accurate where WGSL's tanh need not be, and exactly 0 at 0.
    let e = exp(-2.0 * abs(v));
    v = sign(v) * (1.0 - e) / (1.0 + e);
#endif
#ifdef MATRICES
    output[q.out_base + i] = v;
#else
    output[q.out_base + i] = pack4(v);
#endif
}
