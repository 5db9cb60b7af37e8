// The first step of a 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3): each tile d of 6 x 6 inputs becomes B^T d B
// (src/plan/winograd.rs), whose 36 elements go to as many matrices. Tiles lie 4 apart. An invocation has one channel of a tile.
#import "lib/storage"

struct Params {
    in_h: u32, in_w: u32, in_c4: u32,  // whole input: height, width, vec4s per position
    upsample: u32,                     // 0, or 1: a nearest 2x upsampling of the input is read
    y0: u32, in_y0: u32,               // first output row of this band, and of the input's window
    base: u32,                         // where that begins in the window, in vec4s
    tiles_x: u32, tiles: u32,          // tiles of a row, and of the band
    rows: u32, columns: u32,           // of a matrix: tiles and channels, and zeros that fill up the last blocks
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> input: array<Pair>;       // [in_h * in_w, C]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // [36, rows, columns]
@group(1) @binding(0) var<uniform> p: Params;

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

// Of six rows or columns: which lie inside of the image, and where in the input.
struct Line { live: array<bool, 6>, at: array<u32, 6> }

// From `first` on, of `size` of the input that are `step` apart. Left of or above the image `first` wraps to a huge number, so that one
// unsigned comparison tests both sides.
fn line(first: u32, size: u32, start: u32, step: u32, live: bool) -> Line {
    var l: Line;
#for k 6
    l.live[k] = live && first + k < (size << p.upsample);
    l.at[k] = (((first + k) >> p.upsample) - start) * step;
#endfor
    return l;
}

alias Six = array<f32, 6>;

// B^T d.
fn turn(d: Six) -> Six {
    let even_far = d[4] - 2.0 * d[2];
    let odd_far = HALF_ROOT * d[3] - ROOT * d[1];
    let even_near = d[4] - 0.5 * d[2];
    let odd_near = ROOT * d[3] - HALF_ROOT * d[1];
    return Six(
        d[0] - 2.5 * d[2] + d[4],
        even_far + odd_far,
        even_far - odd_far,
        even_near + odd_near,
        even_near - odd_near,
        d[1] - 2.5 * d[3] + d[5],
    );
}

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
