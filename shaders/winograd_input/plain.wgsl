// The first step of a 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3): each tile d of 6 x 6 inputs becomes B^T d B (src/plan/winograd.rs),
// whose 36 elements go to as many matrices. Tiles are 4 apart. An invocation computes one channel of a tile.
// SILU: normalizes the input first (affine), which is one tensor or a concatenation of two, each with a dispatch of its own.
#import "lib/storage"
#import "winograd_input/common"
#ifdef SILU
#import "lib/silu"
#endif

@group(0) @binding(0) var<storage, read> input: array<Pair>;       // [in_h * in_w, C]
#ifdef SILU
@group(0) @binding(1) var<storage, read> affine: array<f32>;       // [2, all_c4 * 4]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
#else
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
#endif
@group(1) @binding(0) var<uniform> p: Params;

alias Value = f32;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let tile = at / p.span;
    let c = at % p.span;
    if tile >= p.rows { return; }
    let live = tile < p.tiles && c < 4u * p.in_c4;
    let rows = line(p.y0 + tile / p.tiles_x * 4u - 1u, p.in_h, p.in_y0, p.in_w * p.in_c4, live);
    let columns = line(tile % p.tiles_x * 4u - 1u, p.in_w, 0u, p.in_c4, live);
    let word = select(0u, c / 2u, live);
#ifdef SILU
    let n = select(0u, 4u * p.before + c, live);
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
            let v = unpack2(input[2u * (p.base + select(0u, rows.at[k] + columns.at[j], inside)) + word]);
            let own = select(v.x, v.y, (c & 1u) != 0u);
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
    let place = tile * p.columns + 4u * p.before + c;
#for i 6
    {
        let v = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 6
        out[(i * 6u + j) * matrix + place] = v[j];
#endfor
    }
#endfor
}
