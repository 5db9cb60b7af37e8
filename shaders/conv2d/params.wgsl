// Shapes come from a uniform, not from overrides: one pipeline serves every layer.
// A dispatch makes a band of output rows; its bindings are windows of the tensors.
struct Params {
    in_h: u32, in_w: u32, in_c4: u32,      // whole input: height, width, vec4s per position
    out_rows: u32, out_w: u32, out_n4: u32, // rows of this band, width, vec4s per position (GEGLU: after gating)
    kernel: u32, stride: u32, pad: u32,    // pad: top and left; right and bottom follow from the bounds
    upsample: u32,                         // 0, or 1: the convolution reads a nearest 2x upsampling of the input
    out_y0: u32, in_y0: u32,               // first row of the band, and of the input's window
    in_base: u32, out_base: u32,           // where those rows begin in the windows, in vec4s
    residual_base: u32,
    row_groups: u32,                       // workgroups along the positions
    groups: u32, groups_x: u32,            // workgroups in all, and along x: the dispatch is folded
    block_rows: u32,                       // always 8: a uniform, so that compilers do not unroll the stores
    // Of straight texts:
    first: u32,                            // first vec4 of channels of this step
    parts: u32,                            // what there is to add, as bits
    bias_step: u32, gate: u32,             // bias from one block of columns to the next, and to its upper half, in vec4s
    line_blocks: u32, line_step: u32,      // blocks of rows of a line, and input from one line to the next, in vec4s
    row_step: u32,                         // input from one row to the next, in vec4s
}
