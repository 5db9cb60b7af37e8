// f32 to the storage of a pass, for values that pass between passes with different storages.
#import "lib/storage"

struct Params {
    n: u32,          // vec4s of this band
    base: u32,       // start of the data in the windows, in vec4s
    base_out: u32,
    groups_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;          // [positions, C]
@group(0) @binding(1) var<storage, read_write> out: array<Stored>;     // [positions, C]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    if i >= p.n { return; }
    out[p.base_out + i] = pack4(x[p.base + i]);
}
