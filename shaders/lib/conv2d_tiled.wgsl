// For GPUs: a workgroup makes 64 rows x 16 vec4 columns through workgroup memory, 16 channels a step. Invocation (ty, tx) owns rows
// ty, ty + 16, ty + 32, ty + 48 of vec4 column tx: the interleaved rows keep the reads of one subgroup in different banks.
// 8 KiB of workgroup memory (GEGLU: 12). Create the pipeline without zeroing workgroup memory: every element is written before it is read.
const TM = 4u; // rows of an invocation
var<workgroup> a_tile: array<vec4<f32>, 256>; // [row 64][channel vec4 4]
var<workgroup> b_tile: array<vec4<f32>, 256>; // [channel 16][column 16]
#ifdef GEGLU
var<workgroup> g_tile: array<vec4<f32>, 256>;
#endif

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    let tx = t % 16u;
    let ty = t / 16u;
    let rows = q.out_rows * q.out_w;
    let p0 = id % q.row_groups * 64u;
    let column = id / q.row_groups * 16u + tx;
    let n = min(column, q.out_n4 - 1u);
#ifdef GEGLU
    let width = 2u * q.out_n4;
    let gate = q.out_n4;
    var gates: array<vec4<f32>, TM>;
    for (var r = 0u; r < TM; r++) { gates[r] = bias[n + gate]; }
#else
    let width = q.out_n4;
#endif
    var acc: array<vec4<f32>, TM>;
    for (var r = 0u; r < TM; r++) { acc[r] = bias[n]; }
    // Loading: four neighbouring invocations fetch 16 channels of row t / 4; sixteen fetch one weight row's 16 columns.
    let load_corner = corner(min(p0 + t / 4u, rows - 1u));
    let load_c = t % 4u;
    for (var ky = 0u; ky < q.kernel; ky++) {
        for (var kx = 0u; kx < q.kernel; kx++) {
            let tap = vec2<u32>(ky, kx);
            let live = inside(load_corner + tap);
            let src = source(load_corner + tap);
            let k0 = (ky * q.kernel + kx) * q.in_c4 * 4u;
            for (var c = 0u; c < q.in_c4; c += 4u) {
                // Beyond the last channel both tiles hold zeros; the addresses are clamped, not trusted to robust access.
                let a = unpack4(input[src + min(c + load_c, q.in_c4 - 1u)]);
                let k = c * 4u + ty;
                let row = (k0 + min(k, q.in_c4 * 4u - 1u)) * width + n;
                let b = unpack_weight(weight[row]);
#ifdef GEGLU
                let g = unpack_weight(weight[row + gate]);
#endif
                workgroupBarrier();
                a_tile[t] = select(vec4<f32>(), a, live && c + load_c < q.in_c4);
                b_tile[t] = select(vec4<f32>(), b, k < q.in_c4 * 4u);
#ifdef GEGLU
                g_tile[t] = select(vec4<f32>(), g, k < q.in_c4 * 4u);
#endif
                workgroupBarrier();
#for j 4
                {
                    let at = j * 64u + tx;
                    let w = mat4x4<f32>(b_tile[at], b_tile[at + 16u], b_tile[at + 32u], b_tile[at + 48u]);
#ifdef GEGLU
                    let v = mat4x4<f32>(g_tile[at], g_tile[at + 16u], g_tile[at + 32u], g_tile[at + 48u]);
#endif
#for r TM
                    {
                        let x = a_tile[(ty + 16u * r) * 4u + j];
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
            let p = p0 + ty + 16u * r;
#ifdef GEGLU
            if p < rows { put(p, n, acc[r] * gelu(gates[r])); }
#else
            if p < rows { put(p, n, acc[r]); }
#endif
        }
    }
}
