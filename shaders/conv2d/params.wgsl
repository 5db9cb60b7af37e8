// Shapes come from a uniform rather than overrides, so that one pipeline serves every layer. A dispatch computes a band of output rows; its
// bindings are windows of the tensors.
struct Params {
    in_h: u32, in_w: u32, in_c4: u32,      // whole input: height, width, vec4s per position
    out_rows: u32, out_w: u32, out_n4: u32, // rows of this band, width, vec4s per position (GEGLU: after gating)
    kernel: u32, stride: u32, pad: u32,    // pad: top and left; right and bottom follow from the bounds
    upsample: u32,                         // 0, or 1: the convolution reads a nearest 2x upsampling of the input
    out_y0: u32, in_y0: u32,               // first row of the band, and of the input's window
    in_base: u32, out_base: u32,           // start of those rows in the windows, in vec4s
    residual_base: u32,
    row_groups: u32,                       // workgroups along the positions
    groups: u32, groups_x: u32,            // workgroups in total, and along x: the dispatch is folded
    block_rows: u32,                       // always 8: a uniform, so that compilers do not unroll the stores
    // For straight forms:
    first: u32,                            // first vec4 of channels of this step
    parts: u32,                            // flags of what to add
    bias_step: u32, gate: u32,             // distance in the bias to the next block of columns, and to its upper half, in vec4s
    line_blocks: u32, line_step: u32,      // blocks of rows per line, and distance in the input to the next line, in vec4s
    row_step: u32,                         // distance in the input to the next row, in vec4s
}
