// The first step of a 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3): each tile d of 6 x 6 inputs becomes B^T d B
// (src/plan/winograd.rs), whose 36 elements go to as many matrices. Tiles lie 4 apart. An invocation has one channel of a tile.
#import "lib/storage"
#import "winograd_input/common"

@group(0) @binding(0) var<storage, read> input: array<Pair>;       // [in_h * in_w, C]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let tile = at / p.columns;
    let c = at % p.columns;
    if tile >= p.rows { return; }
    let live = tile < p.tiles && c < 4u * p.in_c4;
    let rows = line(p.y0 + tile / p.tiles_x * 4u - 1u, p.in_h, p.in_y0, p.in_w * p.in_c4, live);
    let columns = line(tile % p.tiles_x * 4u - 1u, p.in_w, 0u, p.in_c4, live);
    let word = select(0u, c / 2u, live);
    var turned: array<Six, 6>;
#for j 6
    {
        var d: Six;
#for k 6
        {
            let inside = rows.live[k] && columns.live[j];
            let v = unpack2(input[2u * (p.base + select(0u, rows.at[k] + columns.at[j], inside)) + word]);
            d[k] = select(0.0, select(v.x, v.y, (c & 1u) != 0u), inside);
        }
#endfor
        turned[j] = turn(d);
    }
#endfor
    let matrix = p.rows * p.columns;
#for i 6
    {
        let v = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 6
        out[(i * 6u + j) * matrix + at] = v[j];
#endfor
    }
#endfor
}
