// The fallback without subgroups, for CPU drivers: no barrier, no workgroup memory. Lanes map to output columns. Each invocation computes
// 16 rows (GEGLU: 8) of one vec4 column; their input addresses are the same in all column lanes.
// Constants of the form: WG lanes, COLS of them along the columns; with few columns, the other lanes take further rows.
#import "conv2d/common"
alias Rows8 = array<vec4<f32>, 8>;

fn product(x: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return x.x * w[0] + x.y * w[1] + x.z * w[2] + x.w * w[3];
}

// Written out, so that no driver keeps the sums in memory because of an index that it did not unroll.
fn multiply(acc: ptr<function, Rows8>, at: array<u32, 8>, c: u32, w: mat4x4<f32>) {
    (*acc)[0] += product(load4(at[0] + c), w);
    (*acc)[1] += product(load4(at[1] + c), w);
    (*acc)[2] += product(load4(at[2] + c), w);
    (*acc)[3] += product(load4(at[3] + c), w);
    (*acc)[4] += product(load4(at[4] + c), w);
    (*acc)[5] += product(load4(at[5] + c), w);
    (*acc)[6] += product(load4(at[6] + c), w);
    (*acc)[7] += product(load4(at[7] + c), w);
}

fn put_below(p: u32, n: u32, v: vec4<f32>, last: u32) {
    if p <= last { put(p, n, v); }
}

fn shift(a: Rows8) -> Rows8 { return Rows8(a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[7]); }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    let column = id / q.row_groups * COLS + lane % COLS;
    let group = id % q.row_groups * (WG / COLS) + lane / COLS;
    let n = min(column, q.out_n4 - 1u);
    let rows = q.out_rows * q.out_w;
#ifdef GEGLU
    let p0 = group * 8u;
    let width = 2u * q.out_n4;
    let gate = q.out_n4;
    var gates: Rows8;
    for (var r = 0u; r < 8u; r++) { gates[r] = bias4(n + gate); }
#else
    let p0 = group * 16u;
    let width = q.out_n4;
    var high: Rows8;
    var high_corner: array<vec2<u32>, 8>;
    for (var r = 0u; r < 8u; r++) { high[r] = bias4(n); high_corner[r] = corner(min(p0 + 8u + r, rows - 1u)); }
#endif
    var low: Rows8;
    var low_corner: array<vec2<u32>, 8>;
    for (var r = 0u; r < 8u; r++) { low[r] = bias4(n); low_corner[r] = corner(min(p0 + r, rows - 1u)); }
    var k = first_row(p0);
    for (var ky = 0u; ky < q.kernel; ky++) {
        for (var kx = 0u; kx < q.kernel; kx++) {
            let tap = vec2<u32>(ky, kx);
            // Rows in the padding add this tap's sum of a stand-in address times zero: one select per tap instead of one per channel.
            var low_sum = Rows8();
            var low_at: array<u32, 8>;
            for (var r = 0u; r < 8u; r++) { low_at[r] = source(low_corner[r] + tap); }
#ifdef GEGLU
            var gate_sum = Rows8();
#else
            var high_sum = Rows8();
            var high_at: array<u32, 8>;
            for (var r = 0u; r < 8u; r++) { high_at[r] = source(high_corner[r] + tap); }
#endif
            for (var c = 0u; c < q.in_c4; c++) {
                let w = weights4(k, n, width);
#ifdef GEGLU
                let g = weights4(k, n + gate, width);
                multiply(&low_sum, low_at, c, w);
                multiply(&gate_sum, low_at, c, g);
#else
                multiply(&low_sum, low_at, c, w);
                multiply(&high_sum, high_at, c, w);
#endif
                k += 4u;
            }
            for (var r = 0u; r < 8u; r++) {
                let live = inside(low_corner[r] + tap);
                low[r] += select(vec4<f32>(), low_sum[r], live);
#ifdef GEGLU
                gates[r] += select(vec4<f32>(), gate_sum[r], live);
#else
                high[r] += select(vec4<f32>(), high_sum[r], inside(high_corner[r] + tap));
#endif
            }
        }
    }
    if column < q.out_n4 {
        // As with subgroups, store rows one by one from the front; the uniform bound keeps the stores rolled.
        for (var r = 0u; r < q.block_rows; r++) {
#ifdef GEGLU
            put_below(p0 + r, n, low[0] * gelu(gates[0]), rows - 1u);
            gates = shift(gates);
#else
            put_below(p0 + r, n, low[0], rows - 1u);
            put_below(p0 + 8u + r, n, high[0], rows - 1u);
            high = shift(high);
#endif
            low = shift(low);
        }
    }
}
