// Shared by the forms of `pad`.
struct Params {
    in_h: u32, in_w: u32, in_c4: u32,  // whole input: height, width, vec4s per position
    upsample: u32,                     // 0, or 1: reads a nearest 2x upsampling of the input
    y0: u32, pad: u32,                 // the first row with its padding; rows and columns of zeros above and to the left
    in_y0: u32, base: u32,             // first row of the input's window, and its start in the window, in vec4s
    width: u32, n: u32,                // columns with their padding, and vec4s in total
    groups_x: u32,
}
