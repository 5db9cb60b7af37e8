// Buffers and dispatches: large, folded, read out of range, written by one dispatch and read by the next.
struct Params { n: u32, groups_x: u32, stride: u32 }

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wg.x + wg.y * p.groups_x;
    let i = group * 64u + lane;
#ifdef FOLDED
    // One vec4 per workgroup.
    if lane == 0u && group < p.n { output[group] = input[group] + vec4(1.0); }
#else
    if i >= p.n { return; }
#endif
#ifdef READS
    // In range, beyond the end for every other lane, and at the largest index.
    output[i] = input[i] + input[i + (p.stride - i) * u32(i % 2u == 0u)] + input[0xffffffffu - i];
#endif
#ifdef WRITES
    // In range, just beyond the end, and at an index whose byte offset wraps to just before the start.
    output[i] = input[i];
    output[i + p.n] = input[i];
    output[0xffffffffu - i] = input[i];
#endif
#ifdef SCATTER
    output[i * p.stride] = input[i];
#endif
#ifdef GATHER
    output[i] = input[i * p.stride];
#endif
#ifdef ROTATE
    output[i] = input[(i + 1u) % p.n] + vec4(f32(p.stride));
#endif
}
