// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and computes LANES channels of a tile. The position is the same for all lanes, so one test decides for
// all whether a row or a column lies inside the image, and one load has all lanes' channels of a position. The grid is [span / LANES,
// rows].
#import "lib/neighbours"
#import "winograd_input/common"
#ifdef SILU
#import "lib/silu"
#endif

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;  // [in_h * in_w, in_c4]
#ifdef SILU
@group(0) @binding(1) var<storage, read> affine: array<f32>;       // [2, all_c4 * 4]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
#else
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
#endif
@group(1) @binding(0) var<uniform> p: Params;

alias Value = f32;

fn channels(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, input[i + g], lane, g);
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
    let first = p.base + select(0u, c / 4u, live);
#ifdef SILU
    let n = select(0u, 4u * p.before + c, live) + lane;
    let scale = affine[n];
    let shift = affine[4u * p.all_c4 + n];
#endif
    var turned: array<Six, 6>;
#for j 6
    {
        var d: Six;
#for k 6
        {
            let inside = rows.live[k] && columns.live[j];
            let own = channels((first + select(0u, rows.at[k] + columns.at[j], inside)) & MOST, lane);
#ifdef SILU
            d[k] = select(0.0, silu(vec4(own * scale + shift)).x, inside);
#else
            d[k] = select(0.0, own, inside);
#endif
        }
#endfor
        turned[j] = turn(d);
    }
#endfor
    let matrix = p.rows * p.columns;
    let at = tile * p.columns + 4u * p.before + c;
#for i 6
    {
        let v = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 6
        out[(i * 6u + j) * matrix + at + lane] = v[j];
#endfor
    }
#endfor
}
