// Workgroup memory and barriers: a tree sum, and values passed around a ring many times. If a barrier fails, a lane reads a value before
// another has written it.
struct Params { n: u32, groups_x: u32 }

@group(0) @binding(0) var<storage, read> input: array<f32>;         // [n]
@group(0) @binding(1) var<storage, read_write> output: array<f32>;  // [n, 2]: sum of the workgroup, handed around
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> tile: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = wg.x * 256u + lane;
    tile[lane] = input[i];
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if lane < step { tile[lane] += tile[lane + step]; }
        workgroupBarrier();
    }
    output[2u * i] = tile[0];
    var v = input[i];
    for (var round = 0u; round < 32u; round++) {
        workgroupBarrier();
        tile[lane] = v;
        workgroupBarrier();
        v = tile[(lane + 97u) % 256u] + 1.0;
    }
    output[2u * i + 1u] = v;
}
