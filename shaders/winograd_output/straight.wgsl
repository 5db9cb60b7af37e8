// For newer versions of Mesa's CPU driver, on a device without range checks, and for f32 values (see conv2d/straight.wgsl): straight-line
// code. A workgroup is one subgroup, and computes LANES channels of a tile: one load has all lanes' channels of a position. All tiles are
// whole, and the grid is [N / LANES, tiles].
#import "winograd_output/common"

@group(0) @binding(0) var<storage, read> products: array<f32>;            // [36, rows, 2 columns]
@group(0) @binding(1) var<storage, read> bias: array<f32>;                // [N]
#ifdef RESIDUAL
@group(0) @binding(2) var<storage, read> residual: array<f32>;            // [out_h * out_w, N]
@group(0) @binding(3) var<storage, read_write> output: array<f32>;        // [out_h * out_w, N]
#else
@group(0) @binding(2) var<storage, read_write> output: array<f32>;        // [out_h * out_w, N]
#endif
@group(1) @binding(0) var<uniform> p: Params;

alias Value = f32;

// Upper bound on every index (src/kernels/straight.rs).
const MOST = 0x3ffffffu;

// LANES adjacent elements, one per lane. LLVM turns them into a single load.
fn product(i: u32, lane: u32) -> f32 {
    var v = products[i];
#for j LANES
    v = select(v, products[i + j], lane == j);
#endfor
    return v;
}

#ifdef RESIDUAL
fn added(i: u32, lane: u32) -> f32 {
    var v = residual[i];
#for j LANES
    v = select(v, residual[i + j], lane == j);
#endfor
    return v;
}
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) block: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let n = block.x * LANES;
    let tile = block.y;
    let matrix = 2u * p.rows * p.columns;
    let place = 2u * tile * p.columns + n;
    var turned: array<Four, 6>;
#for j 6
    turned[j] = turn(Six(
        product((j * matrix + place) & MOST, lane),
        product(((6u + j) * matrix + place) & MOST, lane),
        product(((12u + j) * matrix + place) & MOST, lane),
        product(((18u + j) * matrix + place) & MOST, lane),
        product(((24u + j) * matrix + place) & MOST, lane),
        product(((30u + j) * matrix + place) & MOST, lane),
    ));
#endfor
    let width = p.out_w * p.out_n4;
    let first = p.base + 4u * (tile / p.tiles_x * width + tile % p.tiles_x * p.out_n4);
    let b = bias[n + lane];
#for i 4
    {
        let y = turn(Six(turned[0][i], turned[1][i], turned[2][i], turned[3][i], turned[4][i], turned[5][i]));
#for j 4
        {
            let at = (4u * (first + i * width + j * p.out_n4) + n) & MOST;
            let sum = y[j] + b;
#ifdef RESIDUAL
            output[at + lane] = sum + added(at, lane);
#else
            output[at + lane] = sum;
#endif
        }
#endfor
    }
#endfor
}
