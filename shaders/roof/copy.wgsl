// Reads and writes each vector once. An invocation copies EACH of them, 64 apart, so that adjacent invocations read adjacent vectors.

struct Params {
    n: u32,          // vec4s
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (wg.x + wg.y * p.groups_x) * (64u * EACH) + lane;
#for k EACH
    if first + k * 64u < p.n {
        out[first + k * 64u] = x[first + k * 64u];
    }
#endfor
}
