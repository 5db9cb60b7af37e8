// Loads of adjacent elements, one per lane, in straight-line code: LANES / 4 vec4s at addresses that are the same for all lanes. LLVM
// merges them into one load where it recognizes them as adjacent.

// Upper bound on the index of a vec4 (src/kernels/straight.rs). It tells LLVM that additions to a base do not wrap.
const MOST = 0xffffffu;

// Selects its own number of the group's four in each lane of the group, and v in the others.
fn of_lane(v: f32, four: vec4<f32>, lane: u32, group: u32) -> f32 {
    let low = select(select(v, four.x, lane == 4u * group), four.y, lane == 4u * group + 1u);
    return select(select(low, four.z, lane == 4u * group + 2u), four.w, lane == 4u * group + 3u);
}
