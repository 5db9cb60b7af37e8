// The last step of a 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3): a tile's 6 x 6 products m, one from each of 36 matrices, become its 4
// x 4 outputs A^T m A (src/plan/winograd.rs), before bias and residual. An invocation computes two channels of a tile.
#import "lib/storage"
#import "winograd_output/common"

@group(0) @binding(0) var<storage, read> products: array<vec2<f32>>;      // [36, rows, columns]
@group(0) @binding(1) var<storage, read> bias: array<vec2<f32>>;          // [N]
#ifdef RESIDUAL
@group(0) @binding(2) var<storage, read> residual: array<Pair>;           // [out_h * out_w, N]
@group(0) @binding(3) var<storage, read_write> output: array<Pair>;       // [out_h * out_w, N]
#else
@group(0) @binding(2) var<storage, read_write> output: array<Pair>;       // [out_h * out_w, N]
#endif
@group(1) @binding(0) var<uniform> p: Params;

alias Value = vec2<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let pairs = 2u * p.out_n4;
    let tile = at / pairs;
    let n = at % pairs;
    if tile >= p.tiles { return; }
    let matrix = p.rows * p.columns;
    let place = tile * p.columns + n;
    var turned: array<Four, 6>;
#for j 6
    turned[j] = turn(Six(
        products[j * matrix + place],
        products[(6u + j) * matrix + place],
        products[(12u + j) * matrix + place],
        products[(18u + j) * matrix + place],
        products[(24u + j) * matrix + place],
        products[(30u + j) * matrix + place],
    ));
#endfor
    let corner = vec2<u32>(tile / p.tiles_x, tile % p.tiles_x) * 4u;
    let width = p.out_w * pairs;
    let first = 2u * p.base + corner.x * width + corner.y * pairs + n;
    let below = p.out_h - corner.x;
    let beside = p.out_w - corner.y;
    let b = bias[n];
#for i 4
    if i < below {
        var y = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
        let row = first + i * width;
#for j 4
        y[j] += b;
#ifdef RESIDUAL
        y[j] += unpack2(residual[select(row, row + j * pairs, j < beside)]);
#endif
#endfor
#for j 4
        if j < beside { output[row + j * pairs] = pack2(y[j]); }
#endfor
    }
#endfor
}
