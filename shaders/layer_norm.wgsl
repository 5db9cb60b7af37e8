// LayerNorm over the channels of each token. One invocation per token, two passes for the statistics.
#import "lib/storage"

struct Params {
    tokens: u32,   // in this window
    c4: u32,       // vec4s per token
    channels: u32, // channels per token; lanes beyond them are padding
    base: u32,     // start of the data in x's window, in vec4s
    base_out: u32,
    groups_x: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;          // [tokens, C]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;  // [C]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;    // [C]
@group(0) @binding(3) var<storage, read_write> out: array<Stored>;  // [tokens, C]
@group(1) @binding(0) var<uniform> p: Params;

fn sum4(v: vec4<f32>) -> f32 { return v.x + v.y + v.z + v.w; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = (wg.x + wg.y * p.groups_x) * 64u + lane;
    if token >= p.tokens { return; }
    let first = p.base + token * p.c4;
    let n = f32(p.channels);
    var sum = vec4(0.0);
    for (var c = 0u; c < p.c4; c++) {
        sum += unpack4(x[first + c]);
    }
    let mean = sum4(sum) / n;
    var m2 = vec4(0.0);
    for (var c = 0u; c < p.c4; c++) {
        let d = unpack4(x[first + c]) - mean;
        let real = vec4(4u * c) + vec4(0u, 1u, 2u, 3u) < vec4(p.channels);
        m2 += select(vec4(0.0), d * d, real);
    }
    let inv_std = 1.0 / sqrt(sum4(m2) / n + p.eps);
    for (var c = 0u; c < p.c4; c++) {
        let d = unpack4(x[first + c]) - mean;
        out[p.base_out + token * p.c4 + c] = pack4(d * inv_std * weight[c] + bias[c]);
    }
}
