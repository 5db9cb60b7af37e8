// Per channel and chunk of positions: the mean, and the sum of squared deviations from it. Two passes over a chunk avoid cancellation, and
// the second one reads from the cache.
#import "lib/storage"

struct Params {
    positions: u32,   // in this window
    c4: u32,          // vec4s per position
    chunk_len: u32,   // positions per chunk; the last may be shorter
    chunks: u32,      // in this window
    chunk0: u32,      // first of them
    base: u32,        // start of the data in x's window, in vec4s
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;               // [positions, C]
@group(0) @binding(1) var<storage, read_write> stats: array<vec4<f32>>;  // [chunks, 2, C]: mean, M2
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    let chunk = i / p.c4;
    let c = i % p.c4;
    if chunk >= p.chunks { return; }
    let first = chunk * p.chunk_len;
    let end = min(first + p.chunk_len, p.positions);
    var sum = vec4(0.0);
    for (var pos = first; pos < end; pos++) {
        sum += unpack4(x[p.base + pos * p.c4 + c]);
    }
    let mean = sum / f32(end - first);
    var m2 = vec4(0.0);
    for (var pos = first; pos < end; pos++) {
        let d = unpack4(x[p.base + pos * p.c4 + c]) - mean;
        m2 += d * d;
    }
    let out = (p.chunk0 + chunk) * 2u * p.c4 + c;
    stats[out] = mean;
    stats[out + p.c4] = m2;
}
