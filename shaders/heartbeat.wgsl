// A sum that the host keeps too. Each submission ends with this dispatch and a number of its own, so that whatever
// submission did not run is missing from the sum that is read back.
@group(0) @binding(0) var<storage, read_write> sum: vec4<u32>;
@group(0) @binding(1) var<storage, read> number: vec4<u32>;

@compute @workgroup_size(1)
fn main() {
    // A lane depends on another one of the number before: numbers in another order give another sum.
    let mixed = (sum.yzwx ^ number) * 0x9e3779b1u;
    sum = mixed ^ (mixed >> vec4<u32>(15u));
}
