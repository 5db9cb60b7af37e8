// For newer versions of Mesa's CPU driver, on a device without range checks. Straight-line code: the only branches that are taken surround
// the final stores, because code in a branch runs under a mask, which makes every load slow. Lanes map to queries, so queries are
// transposed first (QUERIES) and the sums back at the end (OUT). A channel of a key or a value is then one number for all lanes, and no
// lane needs another's data.
// A workgroup is one subgroup: LANES queries of a head, and HEAD channels. A dispatch processes KEYS keys, and continues with the maximum
// and the sums of the previous dispatch, as the forms with loops do in PART. No invocation reads what others write.
// A wider head has several sections. Then scores are computed first (SCORES), a few sections per dispatch, and each section's sums use the
// finished scores (WIDE).
#import "attention/params"
#import "lib/neighbours"

const KEYS = KEY_BLOCKS * AT_ONCE;
const HEAD = HEAD_BLOCKS * AT_ONCE;
// A section of a head, for LANES queries, in vec4s: its channels (of the queries, or the sums of weighted values), followed in sums by the
// highest score and the sum of the weights.
const SECTION = (HEAD + 2u) * LANES4;
const LANES4 = LANES / 4u;
const LOWEST = -3.0e38;

#ifdef QUERIES
@group(0) @binding(0) var<storage, read> given: array<f32>;         // [queries, heads * D]
@group(0) @binding(1) var<storage, read_write> after: array<f32>;   // [heads, blocks, D / HEAD, HEAD + 2, LANES]
#else
#ifdef SCORES
@group(0) @binding(0) var<storage, read> queries: array<vec4<f32>>;     // [heads, blocks, D / HEAD, HEAD + 2, LANES]
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;        // [keys, heads * D]
@group(0) @binding(2) var<storage, read> before: array<vec4<f32>>;      // [heads, blocks, KEYS, LANES]
@group(0) @binding(3) var<storage, read_write> after: array<f32>;   // [heads, blocks, KEYS, LANES]
#else
#ifdef OUT
@group(0) @binding(0) var<storage, read> before: array<vec4<f32>>;      // [heads, blocks, D / HEAD, HEAD + 2, LANES]
@group(0) @binding(1) var<storage, read_write> after: array<f32>;   // [queries, heads * D]
#else
#ifdef WIDE
@group(0) @binding(0) var<storage, read> queries: array<vec4<f32>>;     // their scores: [heads, blocks, KEYS, LANES]
@group(0) @binding(1) var<storage, read> values: array<vec4<f32>>;      // [keys, heads * D]
@group(0) @binding(2) var<storage, read> before: array<vec4<f32>>;      // [heads, blocks, D / HEAD, HEAD + 2, LANES]
@group(0) @binding(3) var<storage, read_write> after: array<f32>;   // [heads, blocks, D / HEAD, HEAD + 2, LANES]
#else
@group(0) @binding(0) var<storage, read> queries: array<vec4<f32>>;     // [heads, blocks, D / HEAD, HEAD + 2, LANES]
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;        // [keys, heads * D]
@group(0) @binding(2) var<storage, read> values: array<vec4<f32>>;      // [keys, heads * D]
@group(0) @binding(3) var<storage, read> before: array<vec4<f32>>;      // [heads, blocks, D / HEAD, HEAD + 2, LANES]
@group(0) @binding(4) var<storage, read_write> after: array<f32>;   // [heads, blocks, D / HEAD, HEAD + 2, LANES]
#endif
#endif
#endif
#endif
@group(1) @binding(0) var<uniform> p: Params;

#ifdef QUERIES
#else
fn old(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, before[i + g], lane, g);
#endfor
    return v;
}
#endif

// Start of the sums or queries of a section.
fn section(wg: vec3<u32>, section: u32) -> u32 {
    return (((wg.y * p.blocks + wg.x) * (p.d4 * 4u / HEAD) + section) * SECTION) & MOST;
}

#ifdef QUERIES
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    // Lanes beyond the last query repeat it; their results are not read.
    let query = min(p.query0 + wg.x * LANES + lane, p.queries - 1u);
    let read_at = (query * p.stride + wg.y * p.d4) * 4u + wg.z * HEAD;
    let write_at = section(wg, wg.z) * 4u + lane;
#for b HEAD_BLOCKS
#for c AT_ONCE
    after[write_at + (b * AT_ONCE + c) * LANES] = given[read_at + b * AT_ONCE + c];
#endfor
#endfor
    after[write_at + HEAD * LANES] = 0.0;
    after[write_at + (HEAD + 1u) * LANES] = 0.0;
}
#else
#ifdef OUT
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let query = p.query0 + wg.x * LANES + lane;
    let read_at = section(wg, wg.z);
    let write_at = (query * p.stride + wg.y * p.d4) * 4u + wg.z * HEAD;
    let norm = 1.0 / old(read_at + (HEAD + 1u) * LANES4, lane);
    var mean: array<f32, HEAD>;
#for b HEAD_BLOCKS
#for c AT_ONCE
    mean[b * AT_ONCE + c] = old(read_at + (b * AT_ONCE + c) * LANES4, lane) * norm;
#endfor
#endfor
    if query < p.queries {
#for b HEAD_BLOCKS
#for c AT_ONCE
        after[write_at + b * AT_ONCE + c] = mean[b * AT_ONCE + c];
#endfor
#endfor
    }
}
#else

fn query(i: u32, lane: u32) -> f32 {
    var v = 0.0;
#for g LANES / 4
    v = of_lane(v, queries[i + g], lane, g);
#endfor
    return v;
}

alias Sums = array<f32, AT_ONCE>;
alias Places = array<u32, AT_ONCE>;

// Start of the vec4s of channels of AT_ONCE keys and of their values. Beyond the last key it repeats: so the maximum is unchanged, and the
// weight is zero.
fn places(first: u32, channel: u32) -> Places {
    var at: Places;
#for j AT_ONCE
    at[j] = (p.base + min(first + j, p.own - 1u) * p.stride + channel) & MOST;
#endfor
    return at;
}

#ifdef WIDE
#else
// Adds four channels of the queries, from i, times those of AT_ONCE keys.
fn add_keys(sums: ptr<function, Sums>, i: u32, at: Places, channel: u32, lane: u32) {
    var x: array<f32, 4>;
#for c 4
    x[c] = query(i + c * LANES4, lane);
#endfor
#for j AT_ONCE
    {
        let key = keys[at[j] + channel];
#for c 4
        (*sums)[j] = fma(x[c], key[c], (*sums)[j]);
#endfor
    }
#endfor
}
#endif

// Some CPUs store lane by lane behind branches, and LLVM would move each sum, but not its loads, behind the stores before its own. Making
// one value depend on all sums prevents that; p.bank is 0.
fn tie(sums: ptr<function, Sums>) {
    var all = 0u;
#for c AT_ONCE
    all ^= bitcast<u32>((*sums)[c]);
#endfor
    (*sums)[0] = bitcast<f32>(bitcast<u32>((*sums)[0]) ^ (all & p.bank));
}

#ifdef SCORES
// AT_ONCE keys, and STEP sections of the channels, from p.first on.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let read_at = section(wg, p.first);
    let write_at = (((wg.y * p.blocks + wg.x) * KEYS + wg.z * AT_ONCE) * LANES4) & MOST;
    let at = places(wg.z * AT_ONCE, wg.y * p.d4 + p.first * (HEAD / 4u));
    var sums: Sums;
#for j AT_ONCE
    sums[j] = select(old(write_at + j * LANES4, lane), 0.0, p.first == 0u);
#endfor
#for s STEP
#for b HEAD_BLOCKS
#for c AT_ONCE / 4
    add_keys(&sums, read_at + s * SECTION + (b * AT_ONCE + c * 4u) * LANES4, at, s * (HEAD / 4u) + b * (AT_ONCE / 4u) + c, lane);
#endfor
#endfor
    // Compile time grows with the square of the length of branch-free code. These branches split it; none is taken, because p.bank is 0.
    if p.bank == 1u { after[lane] = sums[0]; }
#endfor
    tie(&sums);
#for j AT_ONCE
    after[write_at * 4u + j * LANES + lane] = sums[j];
#endfor
}
#else
// Adds four channels of the values of one of AT_ONCE keys.
fn add_values(sums: ptr<function, Sums>, weight: f32, at: u32) {
#for c AT_ONCE / 4
    {
        let value = values[at + c];
#for i 4
        (*sums)[c * 4u + i] = fma(weight, value[i], (*sums)[c * 4u + i]);
#endfor
    }
#endfor
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let panel = section(wg, wg.z);
    let fresh = p.first == 1u;
    var weights: array<Sums, KEY_BLOCKS>;
    var at: array<Places, KEY_BLOCKS>;
#for g KEY_BLOCKS
    at[g] = places(g * AT_ONCE, wg.y * p.d4 + wg.z * (HEAD / 4u));
    {
        var score: Sums;
#ifdef WIDE
        let read_at = (((wg.y * p.blocks + wg.x) * KEYS + g * AT_ONCE) * LANES4) & MOST;
#for j AT_ONCE
        score[j] = query(read_at + j * LANES4, lane);
#endfor
#else
#for b HEAD_BLOCKS
#for c AT_ONCE / 4
        add_keys(&score, panel + (b * AT_ONCE + c * 4u) * LANES4, at[g], b * (AT_ONCE / 4u) + c, lane);
#endfor
#endfor
        // Splits the code, as above.
        if p.bank == 1u { after[lane] = score[0]; }
#endif
        weights[g] = score;
    }
#endfor
    let highest = select(old(panel + HEAD * LANES4, lane), LOWEST, fresh);
    var most = highest;
#for g KEY_BLOCKS
#for j AT_ONCE
    weights[g][j] *= p.scale;
    most = max(most, weights[g][j]);
#endfor
#endfor
    let shrink = exp2(highest - most);
    var total = select(old(panel + (HEAD + 1u) * LANES4, lane), 0.0, fresh) * shrink;
#for g KEY_BLOCKS
#for j AT_ONCE
    weights[g][j] = select(0.0, exp2(weights[g][j] - most), g * AT_ONCE + j < p.own);
    total += weights[g][j];
#endfor
#endfor
    let write_at = panel * 4u + lane;
#for b HEAD_BLOCKS
    {
        var sums: Sums;
#for c AT_ONCE
        sums[c] = select(old(panel + (b * AT_ONCE + c) * LANES4, lane), 0.0, fresh) * shrink;
#endfor
#for g KEY_BLOCKS
#for j AT_ONCE
        add_values(&sums, weights[g][j], at[g][j] + b * (AT_ONCE / 4u));
#endfor
#endfor
        tie(&sums);
#for c AT_ONCE
        after[write_at + (b * AT_ONCE + c) * LANES] = sums[c];
#endfor
        if p.bank == 1u { after[lane] = sums[0]; }
    }
#endfor
    after[write_at + HEAD * LANES] = most;
    after[write_at + (HEAD + 1u) * LANES] = total;
}
#endif
#endif
#endif
