// The same in f16, [matrices, panels, in_c4 * 4, LANES / 4]: a lane's two columns share a word, so that one load suffices.
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;

const ROW4 = LANES / 4u;

// Selects a lane's own word of the group's four; keeps v in lanes of other groups.
fn word_of_lane(v: u32, four: vec4<u32>, lane: u32, group: u32) -> u32 {
    let low = select(select(v, four.x, lane == 4u * group), four.y, lane == 4u * group + 1u);
    return select(select(low, four.z, lane == 4u * group + 2u), four.w, lane == 4u * group + 3u);
}

fn weights(i: u32, lane: u32) -> vec2<f32> {
    var v = 0u;
#for g LANES / 4
    v = word_of_lane(v, weight[i + g], lane, g);
#endfor
    return unpack2x16float(v);
}
