// All of the workgroup memory that kernels may take, as vec4s: every lane writes four, and reads four that others wrote.
struct Params { n: u32, groups_x: u32 }

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;         // [n]
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;  // [n]
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> tile: array<vec4<f32>, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = wg.x * 1024u;
    for (var k = 0u; k < 4u; k++) { tile[4u * lane + k] = input[first + 4u * lane + k]; }
    workgroupBarrier();
    for (var k = 0u; k < 4u; k++) {
        let i = lane + 256u * k;
        // 37 is odd: every place is read once. The lanes of one element come from four vec4s.
        let place = (37u * i + 5u) % 1024u;
        output[first + i] =
            vec4(tile[place].x, tile[(place + 1u) % 1024u].y, tile[(place + 511u) % 1024u].z, tile[1023u - place][i % 4u]);
    }
}
