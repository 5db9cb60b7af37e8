// Compares subgroup operations with equivalents through workgroup memory, at any subgroup size.
struct Params { n: u32, groups_x: u32 }

@group(0) @binding(0) var<storage, read> input: array<f32>;               // [n]
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;  // [n, 12]
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> values: array<f32, 64>;
var<workgroup> leaders: array<u32, 64>;
var<workgroup> places: array<u32, 64>;
var<workgroup> partings: array<f32, 64>;
const LOWEST = -3.0e38;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) place: u32,
    @builtin(subgroup_size) size: u32,
) {
    let i = wg.x * 64u + lane;
    let v = input[i];
    // The smallest lane of each subgroup identifies it.
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
    // As in the kernels: in a loop of the same length for all lanes, on whole vec4s.
    var weighted = 0.0;
    for (var j = 0u; j < min(size, 64u); j++) { weighted += f32(j + 1u) * subgroupShuffle(v, j); }
    let mine = vec4(v, v + 1.0, v + 2.0, v + 3.0);
    var heard: array<vec4<f32>, 8>;
#for k 8
    if size > k { heard[k] = subgroupBroadcast(mine, k); }
#endfor
    // Lanes without a value hold almost the lowest number; in some workgroups, that is all lanes.
    let few = subgroupMax(select(LOWEST, v, lane % 5u == wg.x % 9u));
    // Diverged lanes must have reconverged for the sum.
    var parted = v;
    if lane % 3u == 0u {
        for (var k = 0u; k < lane % 5u; k++) { parted = parted * 2.0 - 1.0; }
    } else {
        parted += 7.0;
    }
    let together = subgroupAdd(parted);
    partings[lane] = parted;
    workgroupBarrier();
    var sum = 0.0;
    var largest = v;
    var third = 0.0;
    var next = 0.0;
    var other = 0.0;
    var few_largest = LOWEST;
    var apart = 0.0;
    var by_place = 0.0;
    var after = 0.0;
    var members = 0u;
    for (var j = 0u; j < 64u; j++) {
        if leaders[j] == leader {
            members++;
            sum += values[j];
            largest = max(largest, values[j]);
            by_place += f32(places[j] + 1u) * values[j];
            after += partings[j];
            if j % 5u == wg.x % 9u { few_largest = max(few_largest, values[j]); }
            if places[j] < 8u {
                let off = abs(heard[places[j]] - (vec4(values[j]) + vec4(0.0, 1.0, 2.0, 3.0)));
                apart += off.x + off.y + off.z + off.w;
            }
            if places[j] == 3u { third = values[j]; }
            if places[j] == (place + 1u) % min(size, 64u) { next = values[j]; }
            if places[j] == (place ^ 1u) { other = values[j]; }
        }
    }
    // The values are small integers: sums are exact.
    let most_apart = abs(most - largest) + abs(few - few_largest);
    output[3u * i] = vec4(added - sum, most_apart, broadcast - third, shuffled - next);
    output[3u * i + 1u] = vec4(crossed - other, f32(members) - f32(min(size, 64u)), v, f32(place < size));
    output[3u * i + 2u] = vec4(weighted - by_place, apart, together - after, v);
}
