// Loads of neighbours, one for each lane, in texts without loop or branch: LANES / 4 vec4s at places that are the same for all lanes. LLVM
// makes one load of them where it sees that they are neighbours.

// No index of a vec4 is larger (src/kernels/straight.rs): this tells LLVM that what is added to a base does not wrap.
const MOST = 0xffffffu;

// Its own number of the group's four for each lane of the group, and v for the others.
fn of_lane(v: f32, four: vec4<f32>, lane: u32, group: u32) -> f32 {
    let low = select(select(v, four.x, lane == 4u * group), four.y, lane == 4u * group + 1u);
    return select(select(low, four.z, lane == 4u * group + 2u), four.w, lane == 4u * group + 3u);
}
