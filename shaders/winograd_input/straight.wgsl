// For newer versions of Mesa's CPU driver, on a device without range checks, and for values in f32 (see conv2d/straight.wgsl): no loop and
// no branch. A workgroup is one subgroup, and has LANES channels of a tile. Where it is, it is for all lanes: whether a row or a
// column lies inside of the image is asked once for all, and one load has all lanes' channels of a place.
// The grid has a workgroup for each: [columns / LANES, rows].
#import "winograd_input/common"

@group(0) @binding(0) var<storage, read> input: array<f32>;        // [in_h * in_w, C]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
@group(1) @binding(0) var<uniform> p: Params;

// No index is larger (src/kernels/straight.rs).
const MOST = 0x3ffffffu;

// LANES neighbours, one for each lane: LLVM makes one load of them.
fn channels(i: u32, lane: u32) -> f32 {
    var v = input[i];
#for j LANES
    v = select(v, input[i + j], lane == j);
#endfor
    return v;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let c = block.x * LANES;
    let tile = block.y;
    let live = tile < p.tiles && c < 4u * p.in_c4;
    let rows = line(p.y0 + tile / p.tiles_x * 4u - 1u, p.in_h, p.in_y0, p.in_w * p.in_c4, live);
    let columns = line(tile % p.tiles_x * 4u - 1u, p.in_w, 0u, p.in_c4, live);
    let first = 4u * p.base + select(0u, c, live);
    var turned: array<Six, 6>;
#for j 6
    {
        var d: Six;
#for k 6
        {
            let inside = rows.live[k] && columns.live[j];
            let i = first + 4u * select(0u, rows.at[k] + columns.at[j], inside);
            d[k] = select(0.0, channels(i & MOST, lane), inside);
        }
#endfor
        turned[j] = turn(d);
    }
#endfor
    let matrix = p.rows * p.columns;
    let at = tile * p.columns + c;
#for i 6
    {
        let v = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 6
        out[(((i * 6u + j) * matrix + at) & MOST) + lane] = v[j];
#endfor
    }
#endfor
}
