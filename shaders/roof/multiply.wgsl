// Multiplications and additions only. Each invocation has CHAINS independent vectors, and repeats x = x * by + add: STEPS times per
// iteration of a loop, or STEPS times in total without a loop (STRAIGHT). The host passes 1 for both constants, which no compiler can know;
// the values are integers, so the sums are exact.

struct Params {
    turns: u32,
    by: f32,
    add: f32,
}

@group(0) @binding(0) var<storage, read_write> sums: array<vec4<f32>>;    // one per invocation
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let by = vec4<f32>(p.by);
    let add = vec4<f32>(p.add);
    let first = vec4<f32>(0.0, 1.0, 2.0, 3.0) + vec4<f32>(f32(lane));
    var x: array<vec4<f32>, CHAINS>;
#for chain CHAINS
    x[chain] = first + vec4<f32>(4.0 * f32(chain));
#endfor
#ifdef STRAIGHT
    {
#else
    for (var turn = 0u; turn < p.turns; turn++) {
#endif
#for step STEPS
#for chain CHAINS
#ifdef FUSED
        x[chain] = fma(x[chain], by, add);
#else
        x[chain] = x[chain] * by + add;
#endif
#endfor
#endfor
    }
    var sum = vec4<f32>(0.0);
#for chain CHAINS
    sum += x[chain];
#endfor
    sums[wg.x * 64u + lane] = sum;
}
