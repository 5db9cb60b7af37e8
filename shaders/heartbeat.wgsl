// Updates a checksum that the host tracks, too. Each submission ends with this dispatch and a random number. A submission that did not run
// is therefore missing from the checksum that is read back.
@group(0) @binding(0) var<storage, read_write> sum: vec4<u32>;
@group(0) @binding(1) var<storage, read> number: vec4<u32>;

@compute @workgroup_size(1)
fn main() {
    // Each lane depends on another lane's previous value, so a different order of the numbers gives another checksum.
    let mixed = (sum.yzwx ^ number) * 0x9e3779b1u;
    sum = mixed ^ (mixed >> vec4<u32>(15u));
}
