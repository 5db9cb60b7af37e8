// For GPUs without matrix units. A workgroup of SIDE x SIDE invocations computes 8 * SIDE rows x 2 * SIDE vec4 columns through workgroup
// memory, STEP channels per step. Invocation (ty, tx) has two vec4s of rows, 4 * SIDE apart, of two vec4 columns, SIDE apart. Its 8 x 8
// sums stay in registers, and each number that it reads from workgroup memory serves 8 of them, compared with 4 in tiled.wgsl. The loads of
// the next step overlap the multiplications. They stay in their stored format, because a conversion would wait for them.
// GEGLU: the second column is the first one's gate, so a workgroup computes SIDE vec4 columns.
// Constants of the form: SIDE, STEP, and LOADS = 2 STEP / SIDE, the elements of each tile that an invocation stages.
// At most 8.25 KiB of workgroup memory, in f32 for every storage. With f16 tiles, RDNA 3's multiplications, which can read f16 directly,
// take twice as long, and other GPUs convert each element 16 times. Create the pipeline without zeroing the memory: every element is
// written before it is read.
#import "conv2d/common"
const LANES = SIDE * SIDE;
const DEPTH = STEP / 4u;   // vec4s of channels
const COLUMNS = 2u * SIDE;
const APART = 4u * SIDE;   // rows between an invocation's vec4s of them
// Pad the rows, so that neighbouring invocations write different channels to different banks.
const PITCH = 2u * APART + 16u / DEPTH;
// Transposed during staging, so that four rows are adjacent: every compiler then uses a single load for them.
var<workgroup> a_tile: array<f32, STEP * PITCH>;         // [channel][row]
var<workgroup> b_tile: array<vec4<f32>, STEP * COLUMNS>; // [channel][column]

fn rows4(i: u32) -> vec4<f32> { return vec4<f32>(a_tile[i], a_tile[i + 1u], a_tile[i + 2u], a_tile[i + 3u]); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    let tx = t % SIDE;
    let ty = t / SIDE;
    let rows = q.out_rows * q.out_w;
    let p0 = id % q.row_groups * (2u * APART);
    // Loading: DEPTH adjacent invocations load the channels of a row; COLUMNS of them load one weight row's columns.
    let load_c = t % DEPTH;
    let load_row = t / DEPTH;
    let load_k = t / COLUMNS;
    let load_n = t % COLUMNS;
    let last_n = q.out_n4 - 1u;
#ifdef GEGLU
    let width = 2u * q.out_n4;
    let n0 = id / q.row_groups * SIDE;
    let n = n0 + tx;
    let gate = q.out_n4;
    let low = bias4(min(n, last_n));
    let high = bias4(min(n, last_n) + gate);
    let weight_n = min(n0 + load_n % SIDE, last_n) + load_n / SIDE * gate;
#else
    let width = q.out_n4;
    let n0 = id / q.row_groups * COLUMNS;
    let n = n0 + tx;
    let low = bias4(min(n, last_n));
    let high = bias4(min(n + SIDE, last_n));
    let weight_n = min(n0 + load_n, last_n);
#endif
    var acc: array<vec4<f32>, 16>; // [row][column]
#for r 8
    acc[r * 2u] = low;
    acc[r * 2u + 1u] = high;
#endfor
    // The first weight row of a tap, and the last one of its channels.
    var k0 = first_row(p0);
    let last_k = q.in_c4 * 4u - 1u;
    var load_corner: array<vec2<u32>, LOADS>;
    var live: array<bool, LOADS>;
    var src: array<u32, LOADS>;
    var a: array<Input, LOADS>;
    var b: array<Weight4, LOADS>;
#for i LOADS
    load_corner[i] = corner(min(p0 + load_row + i * (LANES / DEPTH), rows - 1u));
    live[i] = inside(load_corner[i]);
    src[i] = source(load_corner[i]);
    a[i] = input[src[i] + min(load_c, q.in_c4 - 1u)];
    b[i] = read4(k0 + min(load_k + i * (LANES / COLUMNS), last_k), weight_n, width);
#endfor
    var tap = vec2<u32>();
    var c = 0u;
    for (var left = q.kernel * q.kernel * ((q.in_c4 + DEPTH - 1u) / DEPTH); left > 0u; left--) {
        workgroupBarrier();
#for i LOADS
        {
            // Beyond the last channel the input is zero, and the weights are arbitrary data at the clamped address: do not rely on robust
            // access.
            let x = select(vec4<f32>(), unpack_input(a[i]), live[i] && c + load_c < q.in_c4);
            let at = load_c * 4u * PITCH + load_row + i * (LANES / DEPTH);
            a_tile[at] = x.x;
            a_tile[at + PITCH] = x.y;
            a_tile[at + 2u * PITCH] = x.z;
            a_tile[at + 3u * PITCH] = x.w;
            b_tile[t + i * LANES] = convert4(b[i]);
        }
#endfor
        workgroupBarrier();
        c += DEPTH;
        if c >= q.in_c4 && left > 1u {
            c = 0u;
            k0 += q.in_c4 * 4u;
            tap.y += 1u;
            if tap.y == q.kernel { tap = vec2<u32>(tap.x + 1u, 0u); }
#for i LOADS
            live[i] = inside(load_corner[i] + tap);
            src[i] = source(load_corner[i] + tap);
#endfor
        }
        // After the last step, load the last channels again; they are not used.
#for i LOADS
        a[i] = input[src[i] + min(c + load_c, q.in_c4 - 1u)];
        b[i] = read4(k0 + min(c * 4u + load_k + i * (LANES / COLUMNS), last_k), weight_n, width);
#endfor
#for k STEP
        {
            let w = b_tile[k * COLUMNS + tx];
            let v = b_tile[k * COLUMNS + SIDE + tx];
            let x = rows4(k * PITCH + ty * 4u);
            let y = rows4(k * PITCH + APART + ty * 4u);
#for r 4
            acc[r * 2u] += x[r] * w;
            acc[r * 2u + 1u] += x[r] * v;
            acc[r * 2u + 8u] += y[r] * w;
            acc[r * 2u + 9u] += y[r] * v;
#endfor
        }
#endfor
    }
    // Store rows one by one from the front: sixteen stores in a row would be as much code as all products.
    for (var r = 0u; r < q.block_rows; r++) {
        let p = p0 + r / 4u * APART + ty * 4u + r % 4u;
        if p < rows {
#ifdef GEGLU
            if n <= last_n { put(p, n, acc[0] * gelu(acc[1])); }
#else
            if n <= last_n { put(p, n, acc[0]); }
            if n + SIDE <= last_n { put(p, n + SIDE, acc[1]); }
#endif
        }
#for i 14
        acc[i] = acc[i + 2u];
#endfor
    }
}
