// For every adapter, mainly GPUs. A workgroup computes TY * TM rows x TX vec4 columns through workgroup memory, 16 channels per step.
// Invocation (ty, tx) computes TM rows, TY apart, of vec4 column tx, so that the reads of one subgroup use different banks.
// Constants of the form: TX, TY and TM, and the elements of each tile that an invocation stages: A_LOADS = 4 TM / TX, B_LOADS = 16 / TY or
// 1.
// At most 12 KiB of workgroup memory. Create the pipeline without zeroing it: every element is written before it is read.
#import "conv2d/common"
const LANES = TX * TY;
const STEP = 16u; // channels
var<workgroup> a_tile: array<vec4<f32>, TY * TM * 4u>; // [row][channel vec4 4]
var<workgroup> b_tile: array<vec4<f32>, STEP * TX>;    // [channel 16][column]
#ifdef GEGLU
var<workgroup> g_tile: array<vec4<f32>, STEP * TX>;
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    let tx = t % TX;
    let ty = t / TX;
    let rows = q.out_rows * q.out_w;
    let p0 = id % q.row_groups * (TY * TM);
    let column = id / q.row_groups * TX + tx;
    let n = min(column, q.out_n4 - 1u);
#ifdef GEGLU
    let width = 2u * q.out_n4;
    let gate = q.out_n4;
    var gates: array<vec4<f32>, TM>;
    for (var r = 0u; r < TM; r++) { gates[r] = bias4(n + gate); }
#else
    let width = q.out_n4;
#endif
    var acc: array<vec4<f32>, TM>;
    for (var r = 0u; r < TM; r++) { acc[r] = bias4(n); }
    // Loading: four adjacent invocations load 16 channels of a row; TX of them load one weight row's columns.
    let load_c = t % 4u;
    var load_corner: array<vec2<u32>, A_LOADS>;
#for i A_LOADS
    load_corner[i] = corner(min(p0 + t / 4u + i * (LANES / 4u), rows - 1u));
#endfor
    for (var ky = 0u; ky < q.kernel; ky++) {
        for (var kx = 0u; kx < q.kernel; kx++) {
            let tap = vec2<u32>(ky, kx);
            var live: array<bool, A_LOADS>;
            var src: array<u32, A_LOADS>;
#for i A_LOADS
            live[i] = inside(load_corner[i] + tap);
            src[i] = source(load_corner[i] + tap);
#endfor
            let k0 = first_row(p0) + (ky * q.kernel + kx) * q.in_c4 * 4u;
            for (var c = 0u; c < q.in_c4; c += 4u) {
                // Beyond the last channel the input is zero, and the weights are arbitrary data at the clamped address: do not rely on
                // robust access.
                var a: array<vec4<f32>, A_LOADS>;
                var b: array<vec4<f32>, B_LOADS>;
#ifdef GEGLU
                var g: array<vec4<f32>, B_LOADS>;
#endif
#for i A_LOADS
                a[i] = load4(src[i] + min(c + load_c, q.in_c4 - 1u));
#endfor
#for i B_LOADS
                {
                    let row = k0 + min(c * 4u + ty + i * TY, q.in_c4 * 4u - 1u);
                    b[i] = weight4(row, n, width);
#ifdef GEGLU
                    g[i] = weight4(row, n + gate, width);
#endif
                }
#endfor
                workgroupBarrier();
#for i A_LOADS
                a_tile[t + i * LANES] = select(vec4<f32>(), a[i], live[i] && c + load_c < q.in_c4);
#endfor
#for i B_LOADS
                // If the tile has fewer elements than there are invocations, some stage nothing.
                if ty + i * TY < STEP {
                    b_tile[t + i * LANES] = b[i];
#ifdef GEGLU
                    g_tile[t + i * LANES] = g[i];
#endif
                }
#endfor
                workgroupBarrier();
#for j 4
                {
                    let at = j * 4u * TX + tx;
                    let w = mat4x4<f32>(b_tile[at], b_tile[at + TX], b_tile[at + 2u * TX], b_tile[at + 3u * TX]);
#ifdef GEGLU
                    let v = mat4x4<f32>(g_tile[at], g_tile[at + TX], g_tile[at + 2u * TX], g_tile[at + 3u * TX]);
#endif
#for r TM
                    {
                        let x = a_tile[(ty + TY * r) * 4u + j];
                        acc[r] += x.x * w[0] + x.y * w[1] + x.z * w[2] + x.w * w[3];
#ifdef GEGLU
                        gates[r] += x.x * v[0] + x.y * v[1] + x.z * v[2] + x.w * v[3];
#endif
                    }
#endfor
                }
#endfor
            }
        }
    }
    if column < q.out_n4 {
        for (var r = 0u; r < TM; r++) {
            let p = p0 + ty + TY * r;
#ifdef GEGLU
            if p < rows { put(p, n, acc[r] * gelu(gates[r])); }
#else
            if p < rows { put(p, n, acc[r]); }
#endif
        }
    }
}
