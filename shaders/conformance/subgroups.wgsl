// Subgroup operations against the same done by hand through workgroup memory, at whatever size the subgroup has.
struct Params { n: u32, groups_x: u32 }

@group(0) @binding(0) var<storage, read> input: array<f32>;               // [n]
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;  // [n, 8]
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> values: array<f32, 64>;
var<workgroup> leaders: array<u32, 64>;
var<workgroup> places: array<u32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) place: u32,
    @builtin(subgroup_size) size: u32,
) {
    let i = wg.x * 64u + lane;
    let v = input[i];
    // The smallest lane of each subgroup is its name.
    let leader = subgroupMin(lane);
    values[lane] = v;
    leaders[lane] = leader;
    places[lane] = place;
    workgroupBarrier();
    let added = subgroupAdd(v);
    let most = subgroupMax(v);
    let broadcast = subgroupBroadcast(v, 3u);
    let shuffled = subgroupShuffle(v, (place + 1u) % min(size, 64u));
    let crossed = subgroupShuffleXor(v, 1u);
    var sum = 0.0;
    var largest = v;
    var third = 0.0;
    var next = 0.0;
    var other = 0.0;
    var members = 0u;
    for (var j = 0u; j < 64u; j++) {
        if leaders[j] == leader {
            members++;
            sum += values[j];
            largest = max(largest, values[j]);
            if places[j] == 3u { third = values[j]; }
            if places[j] == (place + 1u) % min(size, 64u) { next = values[j]; }
            if places[j] == (place ^ 1u) { other = values[j]; }
        }
    }
    // The values are small integers: sums are exact.
    output[2u * i] = vec4(added - sum, most - largest, broadcast - third, shuffled - next);
    output[2u * i + 1u] = vec4(crossed - other, f32(members) - f32(min(size, 64u)), v, f32(place < size));
}
