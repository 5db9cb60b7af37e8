// Shared by the forms of `winograd_input`; a Value is an invocation's part of an input element.
struct Params {
    in_h: u32, in_w: u32, in_c4: u32,  // whole input: height, width, vec4s per position
    before: u32, all_c4: u32,          // vec4s of the preceding tensor in a concatenation, and of both
    upsample: u32,                     // 0, or 1: reads a nearest 2x upsampling of the input
    y0: u32, in_y0: u32,               // first output row of this band, and first row of the input's window
    base: u32,                         // start of the data in the window, in vec4s
    tiles_x: u32, tiles: u32,          // tiles per row, and in the band
    rows: u32, columns: u32,           // of a matrix: tiles and channels, padded with zeros to whole blocks
    span: u32,                         // columns computed from this tensor
    groups_x: u32,
}

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

// For six rows or columns: whether each lies inside the image, and its index in the input.
struct Line { live: array<bool, 6>, at: array<u32, 6> }

// Six indices from `first` on, with `size` elements in the input that are `step` apart. Left of or above the image `first` wraps to a huge
// number, so that one unsigned comparison tests both sides.
fn line(first: u32, size: u32, start: u32, step: u32, live: bool) -> Line {
    var l: Line;
#for k 6
    l.live[k] = live && first + k < (size << p.upsample);
    l.at[k] = (((first + k) >> p.upsample) - start) * step;
#endfor
    return l;
}

alias Six = array<Value, 6>;

// B^T d.
fn turn(d: Six) -> Six {
    let even_far = d[4] - 2.0 * d[2];
    let odd_far = HALF_ROOT * d[3] - ROOT * d[1];
    let even_near = d[4] - 0.5 * d[2];
    let odd_near = ROOT * d[3] - HALF_ROOT * d[1];
    return Six(
        d[0] - 2.5 * d[2] + d[4],
        even_far + odd_far,
        even_far - odd_far,
        even_near + odd_near,
        even_near - odd_near,
        d[1] - 2.5 * d[3] + d[5],
    );
}
