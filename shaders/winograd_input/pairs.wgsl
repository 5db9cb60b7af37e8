// For CPU drivers, which turn each load and store into a loop over lanes, where two adjacent elements cost little more than one. Like
// plain.wgsl, but an invocation computes CHANNELS channels of a tile.
#import "lib/storage"
#import "winograd_input/common"
#ifdef SILU
#import "lib/silu"
#endif

@group(0) @binding(0) var<storage, read> input: array<Pair>;             // [in_h * in_w, C]
#ifdef SILU
@group(0) @binding(1) var<storage, read> affine: array<vec2<f32>>;       // [2, all_c4]
@group(0) @binding(2) var<storage, read_write> out: array<vec2<f32>>;    // [36, rows, columns / 4]
#else
@group(0) @binding(1) var<storage, read_write> out: array<vec2<f32>>;    // [36, rows, columns / 4]
#endif
@group(1) @binding(0) var<uniform> p: Params;

alias Value = vec2<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let span = p.span / CHANNELS;
    let tile = at / span;
    let c = at % span;
    if tile >= p.rows { return; }
    let live = tile < p.tiles && c < 2u * p.in_c4;
    let rows = line(p.y0 + tile / p.tiles_x * 4u - 1u, p.in_h, p.in_y0, p.in_w * p.in_c4, live);
    let columns = line(tile % p.tiles_x * 4u - 1u, p.in_w, 0u, p.in_c4, live);
    let word = 2u * p.base + select(0u, c, live);
#ifdef SILU
    let n = select(0u, 2u * p.before + c, live);
    let scale = affine[n];
    let shift = affine[2u * p.all_c4 + n];
#endif
    var turned: array<Six, 6>;
#for j 6
    {
        var d: Six;
#for k 6
        {
            let inside = rows.live[k] && columns.live[j];
            let own = unpack2(input[word + 2u * select(0u, rows.at[k] + columns.at[j], inside)]);
#ifdef SILU
            d[k] = select(vec2(0.0), silu(vec4(own * scale + shift, vec2(0.0))).xy, inside);
#else
            d[k] = select(vec2(0.0), own, inside);
#endif
        }
#endfor
        turned[j] = turn(d);
    }
#endfor
    let matrix = p.rows * p.columns / 2u;
    let place = tile * (p.columns / 2u) + 2u * p.before + c;
#for i 6
    {
        let v = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 6
        out[(i * 6u + j) * matrix + place] = v[j];
#endfor
    }
#endfor
}
