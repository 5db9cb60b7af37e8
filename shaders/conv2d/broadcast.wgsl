// For CPU drivers. They turn every load inside a loop into a loop over lanes, so loads are the cost, not multiplications. Lanes map to
// output columns, and lane j of 8 loads the input of row j: one load serves eight rows, and each row is then broadcast from its lane's
// register. No barrier, no workgroup memory. Needs subgroups of at least 8 lanes. A workgroup computes 32 rows x WG vec4 columns (GEGLU: 16
// rows x WG hidden and WG gate columns); WG is the form's constant. EIGHTS: loads of 64-bit numbers, half as many.
#import "conv2d/common"
alias Rows8 = array<vec4<f32>, 8>;

// Vec4s of channels per step: EIGHTS loads two at once.
#ifdef EIGHTS
const VEC4S = 2u;
alias Inputs = Two4;
alias Weights = Two4x4;
fn load_input(i: u32, live: bool) -> Inputs {
    let x = load4(i);
    return Two4(select(vec4<f32>(), x[0], live), select(vec4<f32>(), x[1], live));
}
fn multiply(acc: ptr<function, Rows8>, x: Inputs, w: Weights) {
    multiply4(acc, x[0], w[0]);
    multiply4(acc, x[1], w[1]);
}
#else
const VEC4S = 1u;
alias Inputs = vec4<f32>;
alias Weights = mat4x4<f32>;
fn load_input(i: u32, live: bool) -> Inputs { return select(vec4<f32>(), load4(i), live); }
fn multiply(acc: ptr<function, Rows8>, x: Inputs, w: Weights) { multiply4(acc, x, w); }
#endif

// acc[r] += x of lane r, as a row of four channels, times the 4x4 weights.
fn multiply4(acc: ptr<function, Rows8>, x: vec4<f32>, w: mat4x4<f32>) {
    let x0 = subgroupBroadcast(x, 0u);
    let x1 = subgroupBroadcast(x, 1u);
    let x2 = subgroupBroadcast(x, 2u);
    let x3 = subgroupBroadcast(x, 3u);
    let x4 = subgroupBroadcast(x, 4u);
    let x5 = subgroupBroadcast(x, 5u);
    let x6 = subgroupBroadcast(x, 6u);
    let x7 = subgroupBroadcast(x, 7u);
    (*acc)[0] += x0.x * w[0] + x0.y * w[1] + x0.z * w[2] + x0.w * w[3];
    (*acc)[1] += x1.x * w[0] + x1.y * w[1] + x1.z * w[2] + x1.w * w[3];
    (*acc)[2] += x2.x * w[0] + x2.y * w[1] + x2.z * w[2] + x2.w * w[3];
    (*acc)[3] += x3.x * w[0] + x3.y * w[1] + x3.z * w[2] + x3.w * w[3];
    (*acc)[4] += x4.x * w[0] + x4.y * w[1] + x4.z * w[2] + x4.w * w[3];
    (*acc)[5] += x5.x * w[0] + x5.y * w[1] + x5.z * w[2] + x5.w * w[3];
    (*acc)[6] += x6.x * w[0] + x6.y * w[1] + x6.z * w[2] + x6.w * w[3];
    (*acc)[7] += x7.x * w[0] + x7.y * w[1] + x7.z * w[2] + x7.w * w[3];
}

fn fill(v: vec4<f32>) -> Rows8 { return Rows8(v, v, v, v, v, v, v, v); }

fn put_below(p: u32, n: u32, v: vec4<f32>, last: u32) {
    if p <= last { put(p, n, v); }
}

fn shift(a: Rows8) -> Rows8 { return Rows8(a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[7]); }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    // Neighbouring workgroups share their weight columns, which stay in the cache.
    let column = id / q.row_groups * WG + lane;
    let n = min(column, q.out_n4 - 1u);
    let last = q.out_rows * q.out_w - 1u;
    let b0 = fill(bias4(n));
    // Weights lie in panels of PANEL columns (GEGLU: with their gates), except 8-bit weights: a subgroup reads one panel from beginning to
    // end.
    let panel = min(PANEL, q.out_n4);
    let panels = (q.out_n4 + panel - 1u) / panel;
    let rows = q.in_c4 * 4u;
    let place = select(n, n % panel, IN_PANELS);
#ifdef GEGLU
    let p0 = id % q.row_groups * 16u;
    let gate = select(q.out_n4, panel, IN_PANELS);
    let width = 2u * gate;
    let b1 = fill(bias4(n + q.out_n4));
    var a0 = b0; var a1 = b0; var a2 = b1; var a3 = b1;
#else
    let p0 = id % q.row_groups * 32u;
    let width = select(q.out_n4, panel, IN_PANELS);
    var a0 = b0; var a1 = b0; var a2 = b0; var a3 = b0;
    let c2 = corner(min(p0 + 16u + sub % 8u, last));
    let c3 = corner(min(p0 + 24u + sub % 8u, last));
#endif
    let c0 = corner(min(p0 + sub % 8u, last));
    let c1 = corner(min(p0 + 8u + sub % 8u, last));
    let first = first_row(p0);
    var k = select(first, first * panels + n / panel * rows, IN_PANELS);
    for (var ky = 0u; ky < q.kernel; ky++) {
        for (var kx = 0u; kx < q.kernel; kx++) {
            let tap = vec2<u32>(ky, kx);
            let v0 = inside(c0 + tap); let s0 = source(c0 + tap);
            let v1 = inside(c1 + tap); let s1 = source(c1 + tap);
#ifdef GEGLU
#else
            let v2 = inside(c2 + tap); let s2 = source(c2 + tap);
            let v3 = inside(c3 + tap); let s3 = source(c3 + tap);
#endif
            for (var c = 0u; c < q.in_c4; c += VEC4S) {
                let w = weights4(k, place, width);
#ifdef GEGLU
                let g = weights4(k, place + gate, width);
                let x0 = load_input(s0 + c, v0);
                let x1 = load_input(s1 + c, v1);
                multiply(&a0, x0, w);
                multiply(&a2, x0, g);
                multiply(&a1, x1, w);
                multiply(&a3, x1, g);
#else
                multiply(&a0, load_input(s0 + c, v0), w);
                multiply(&a1, load_input(s1 + c, v1), w);
                multiply(&a2, load_input(s2 + c, v2), w);
                multiply(&a3, load_input(s3 + c, v3), w);
#endif
                k += 4u * VEC4S;
            }
            k += select(0u, (panels - 1u) * rows, IN_PANELS);
        }
    }
    if column < q.out_n4 {
        // Store rows one by one from the front of their group. Unrolled stores, or indices known only at run time, cost up to seconds of
        // compile time; the uniform bound keeps compilers from unrolling.
        for (var r = 0u; r < q.block_rows; r++) {
#ifdef GEGLU
            put_below(p0 + r, n, a0[0] * gelu(a2[0]), last);
            put_below(p0 + 8u + r, n, a1[0] * gelu(a3[0]), last);
#else
            put_below(p0 + r, n, a0[0], last);
            put_below(p0 + 8u + r, n, a1[0], last);
            put_below(p0 + 16u + r, n, a2[0], last);
            put_below(p0 + 24u + r, n, a3[0], last);
#endif
            a0 = shift(a0); a1 = shift(a1); a2 = shift(a2); a3 = shift(a3);
        }
    }
}
