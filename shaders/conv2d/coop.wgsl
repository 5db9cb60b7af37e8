// For matrix units: products of SIDE x SIDE f16 matrices, held jointly by a subgroup, with f32 sums. The including file defines SIDE and
// the matrix types Left, Right and Sums. A workgroup computes 4 * SIDE rows x 8 * SIDE columns through workgroup memory, 2 * SIDE channels
// per step. Each of its first four subgroups computes a quarter, 2 x 4 matrices of sums. The loads of the next step overlap the
// multiplications. Subgroups have at most LANES / 4 lanes; if they are smaller, those beyond the fourth only load and store.
// GEGLU: a quarter's third and fourth matrices are the gates of the first and second, so a workgroup computes 4 * SIDE columns.
// Values and weights are stored as f16, so multiplying them needs no rounding.
// Constants of the form: LANES; LOADS = 2 SIDE^2 / LANES, the vec4s of values that an invocation stages; and SHARE = SIDE^2 / LANES, or 1
// if that is less: the 4 x 4 weights that it stages, and the vec4s of each matrix of sums that it stores.
// At most 19 KiB of workgroup memory. Create the pipeline without zeroing it: every element is written before it is read.
#import "conv2d/common"
const STEP = 2u * SIDE;         // channels
const DEPTH = STEP / 4u;        // vec4s of channels
const ROWS = 4u * SIDE;
const COLUMNS = 2u * SIDE;      // vec4s
// Rows and columns begin in different banks, and at multiples of 16 bytes, which Vulkan requires.
const PITCH = STEP + 8u;
// Adjacent lanes hold adjacent channels of both tiles, so channels must be adjacent in both: weights are transposed during staging.
var<workgroup> left_tile: array<f16, ROWS * PITCH>;          // [row][channel]
var<workgroup> right_tile: array<f16, 4u * COLUMNS * PITCH>; // [column][channel]
var<workgroup> sums: array<f32, 4u * SIDE * SIDE>;           // [quarter][row][column]: one matrix of each

// The element that an invocation stores, relative to its quarter: a vec4 of one of the four matrices in `sums`.
struct Place { quarter: u32, row: u32, column: u32 }
fn place(i: u32) -> Place {
    return Place(i / (SIDE * SIDE / 4u), i / (SIDE / 4u) % SIDE, i % (SIDE / 4u));
}
fn sum4(i: u32) -> vec4<f32> { return vec4<f32>(sums[4u * i], sums[4u * i + 1u], sums[4u * i + 2u], sums[4u * i + 3u]); }

// naga considers the subgroup's number non-uniform within the subgroup, and applies the rules for derivatives.
@compute @workgroup_size(LANES) @diagnostic(off, derivative_uniformity)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32, @builtin(subgroup_id) quarter: u32) {
    let id = wid.y * q.groups_x + wid.x;
    if id >= q.groups { return; }
    let rows = q.out_rows * q.out_w;
    let p0 = id % q.row_groups * ROWS;
    // Loading: DEPTH adjacent invocations load the channels of a row, and of four columns.
    let load_c = t % DEPTH;
    let load_row = t / DEPTH;
    let last_c = q.in_c4 - 1u;
    let last_n = q.out_n4 - 1u;
#ifdef GEGLU
    let width = 2u * q.out_n4;
    let n0 = id / q.row_groups * (COLUMNS / 2u);
#else
    let width = q.out_n4;
    let n0 = id / q.row_groups * COLUMNS;
#endif
    var acc: array<Sums, 8>; // [row][column]
#for i 8
    acc[i] = Sums();
#endfor
    // The first weight row of a tap.
    var k0 = 0u;
    var load_corner: array<vec2<u32>, LOADS>;
    var live: array<bool, LOADS>;
    var src: array<u32, LOADS>;
    var left: array<Input, LOADS>;
    var load_n: array<u32, SHARE>;
    var right: array<Weight4, 4u * SHARE>;
#for i LOADS
    load_corner[i] = corner(min(p0 + load_row + i * (LANES / DEPTH), rows - 1u));
    live[i] = inside(load_corner[i]);
    src[i] = source(load_corner[i]);
    left[i] = input[src[i] + min(load_c, last_c)];
#endfor
#for i SHARE
    {
        let n = load_row + i * (LANES / DEPTH);
#ifdef GEGLU
        // The columns of two matrices, then those of their gates, and the same again.
        let own = n0 + n / SIDE * (SIDE / 2u) + n % (SIDE / 2u);
        load_n[i] = min(own, last_n) + n / (SIDE / 2u) % 2u * q.out_n4;
#else
        load_n[i] = min(n0 + n, last_n);
#endif
#for r 4
        right[i * 4u + r] = read4(min(load_c, last_c) * 4u + r, load_n[i], width);
#endfor
    }
#endfor
    let top = quarter / 2u * (2u * SIDE);
    let side = quarter % 2u * (4u * SIDE);
    var tap = vec2<u32>();
    var c = 0u;
    for (var steps = q.kernel * q.kernel * ((q.in_c4 + DEPTH - 1u) / DEPTH); steps > 0u; steps--) {
        workgroupBarrier();
#for i LOADS
        {
            // Beyond the last channel the input is zero, and the weights are arbitrary data at the clamped address: do not rely on robust
            // access.
            let x = vec4<f16>(select(vec4<f32>(), unpack_input(left[i]), live[i] && c + load_c < q.in_c4));
            let at = (load_row + i * (LANES / DEPTH)) * PITCH + load_c * 4u;
            left_tile[at] = x.x;
            left_tile[at + 1u] = x.y;
            left_tile[at + 2u] = x.z;
            left_tile[at + 3u] = x.w;
        }
#endfor
#for i SHARE
        if load_row + i * (LANES / DEPTH) < COLUMNS {
            let w0 = vec4<f16>(convert4(right[i * 4u]));
            let w1 = vec4<f16>(convert4(right[i * 4u + 1u]));
            let w2 = vec4<f16>(convert4(right[i * 4u + 2u]));
            let w3 = vec4<f16>(convert4(right[i * 4u + 3u]));
            let at = (load_row + i * (LANES / DEPTH)) * 4u * PITCH + load_c * 4u;
#for j 4
            right_tile[at + j * PITCH] = w0[j];
            right_tile[at + j * PITCH + 1u] = w1[j];
            right_tile[at + j * PITCH + 2u] = w2[j];
            right_tile[at + j * PITCH + 3u] = w3[j];
#endfor
        }
#endfor
        workgroupBarrier();
        c += DEPTH;
        if c >= q.in_c4 && steps > 1u {
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
        left[i] = input[src[i] + min(c + load_c, last_c)];
#endfor
#for i SHARE
#for r 4
        right[i * 4u + r] = read4(k0 + min(c + load_c, last_c) * 4u + r, load_n[i], width);
#endfor
#endfor
        if quarter < 4u {
#for k 2
            {
                let upper = coopLoadT<Left>(&left_tile[top * PITCH + k * SIDE], PITCH);
                let lower = coopLoadT<Left>(&left_tile[(top + SIDE) * PITCH + k * SIDE], PITCH);
#for j 4
                {
                    let w = coopLoad<Right>(&right_tile[(side + j * SIDE) * PITCH + k * SIDE], PITCH);
                    acc[j] = coopMultiplyAdd(upper, w, acc[j]);
                    acc[j + 4u] = coopMultiplyAdd(lower, w, acc[j + 4u]);
                }
#endfor
            }
#endfor
        }
    }
    // One matrix of each quarter at a time, stored by all invocations.
#ifdef GEGLU
    let columns = COLUMNS / 4u; // per quarter, in vec4s
#for i 4
    {
        // Matrix i % 2 of the upper or the lower two, then its gate.
        var hidden: array<vec4<f32>, SHARE>;
        workgroupBarrier();
        if quarter < 4u { coopStoreT(acc[i / 2u * 4u + i % 2u], &sums[quarter * SIDE * SIDE], SIDE); }
        workgroupBarrier();
#for s SHARE
        hidden[s] = sum4(min(t + s * LANES, SIDE * SIDE - 1u));
#endfor
        workgroupBarrier();
        if quarter < 4u { coopStoreT(acc[i / 2u * 4u + i % 2u + 2u], &sums[quarter * SIDE * SIDE], SIDE); }
        workgroupBarrier();
#for s SHARE
        if t + s * LANES < SIDE * SIDE {
            let at = place(t + s * LANES);
            let p = p0 + at.quarter / 2u * (2u * SIDE) + i / 2u * SIDE + at.row;
            let n = n0 + at.quarter % 2u * columns + i % 2u * (SIDE / 4u) + at.column;
            if p < rows && n <= last_n {
                put(p, n, (hidden[s] + bias4(n)) * gelu(sum4(t + s * LANES) + bias4(n + q.out_n4)));
            }
        }
#endfor
    }
#endfor
#else
    let columns = COLUMNS / 2u;
#for i 8
    {
        workgroupBarrier();
        if quarter < 4u { coopStoreT(acc[i], &sums[quarter * SIDE * SIDE], SIDE); }
        workgroupBarrier();
#for s SHARE
        if t + s * LANES < SIDE * SIDE {
            let at = place(t + s * LANES);
            let p = p0 + at.quarter / 2u * (2u * SIDE) + i / 4u * SIDE + at.row;
            let n = n0 + at.quarter % 2u * columns + i % 4u * (SIDE / 4u) + at.column;
            if p < rows && n <= last_n { put(p, n, sum4(t + s * LANES) + bias4(n)); }
        }
#endfor
    }
#endfor
#endif
}
