// f32 weights for straight-line forms, [matrices, panels, in_c4 * 4, LANES / 2].
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;

// Vec4s per row.
const ROW4 = LANES / 2u;

// A row's weights for a lane's two columns; the upper one lies LANES further on.
fn weights(i: u32, lane: u32) -> vec2<f32> {
    var low = 0.0;
    var high = 0.0;
#for g LANES / 4
    low = of_lane(low, weight[i + g], lane, g);
    high = of_lane(high, weight[i + LANES / 4u + g], lane, g);
#endfor
    return vec2(low, high);
}
