// Shared by the forms of `winograd_output`; a Value is an invocation's part of a product.
struct Params {
    out_h: u32, out_w: u32, out_n4: u32,  // rows, columns and vec4s per position of this band
    base: u32,                            // start of its first row in the windows, in vec4s
    tiles_x: u32, tiles: u32,             // tiles per row, and in the band
    rows: u32, columns: u32,              // of a matrix: tiles and pairs of channels, padded to whole blocks
    groups_x: u32,
}

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

alias Six = array<Value, 6>;
alias Four = array<Value, 4>;

// A^T m.
fn turn(m: Six) -> Four {
    let near = m[1] + m[2];
    let near_odd = HALF_ROOT * (m[1] - m[2]);
    let far = m[3] + m[4];
    let far_odd = ROOT * (m[3] - m[4]);
    return Four(m[0] + near + far, near_odd + far_odd, 0.5 * near + 2.0 * far, 0.5 * near_odd + 2.0 * far_odd + m[5]);
}
