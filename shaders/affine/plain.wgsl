// out = scale * [a | b] + shift per channel, then SiLU: the second half of GroupNorm, and the only
// place where a concatenation is written out.
#import "lib/storage"
#import "lib/silu"

struct Params {
    positions: u32,
    a4: u32,       // vec4s per position of a
    b4: u32,       // vec4s per position of b; 0 without b
    base_a: u32,   // start of the data in the windows, in vec4s
    base_b: u32,
    base_out: u32,
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Stored>;            // [positions, Ca]
@group(0) @binding(1) var<storage, read> b: array<Stored>;            // [positions, Cb]
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;    // [2, Ca + Cb]
@group(0) @binding(3) var<storage, read_write> out: array<Stored>;    // [positions, Ca + Cb]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let c4 = p.a4 + p.b4;
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let pos = i / c4;
    let c = i % c4;
    if pos >= p.positions { return; }
    var v: vec4<f32>;
    if c < p.a4 {
        v = unpack4(a[p.base_a + pos * p.a4 + c]);
    } else {
        v = unpack4(b[p.base_b + pos * p.b4 + c - p.a4]);
    }
    v = v * affine[c] + affine[c4 + c];
#ifdef SILU
    v = silu(v);
#endif
    out[p.base_out + i] = pack4(v);
}
