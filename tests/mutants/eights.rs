//! Faults in loads of 64 bits.

use super::{Mutant, fault};

pub const MUTANTS: &[Mutant] = &[
    fault("lib/eights", "the lower float of 64 bits for both", "bitcast<f32>(u32(v >> 32u))", "bitcast<f32>(u32(v))"),
    fault(
        "lib/eights",
        "the lower halves of 64 bits for all",
        "unpack2x16float(u32(v >> 32u))",
        "unpack2x16float(u32(v))",
    ),
    fault(
        "lib/eights",
        "floats 5 to 8 in the wrong order",
        "vec4(floats(v.z), floats(v.w))",
        "vec4(floats(v.w), floats(v.z))",
    ),
    fault("lib/eights", "halves 5 to 8 never read", "Two4(halves(v.x), halves(v.y))", "Two4(halves(v.x), halves(v.x))"),
    fault(
        "conv2d/weights_eights",
        "two rows of weights swapped",
        "(a[0], a[1], b[0], b[1])",
        "(a[1], a[0], b[0], b[1])",
    ),
    fault(
        "conv2d/weights_eights",
        "the first four rows of weights for eight",
        "mat4x4<f32>(c[0], c[1], d[0], d[1])",
        "mat4x4<f32>(a[0], a[1], b[0], b[1])",
    ),
    fault("conv2d/weights_eights", "rows as if each had a place of its own", "row / 2u * width", "row * width"),
    fault(
        "conv2d/weights_eights",
        "the sixth row of weights for the eighth",
        "weight[i + 3u * width]",
        "weight[i + 2u * width]",
    ),
    fault(
        "conv2d/broadcast",
        "the first four channels for eight",
        "select(vec4<f32>(), x[1], live)",
        "select(vec4<f32>(), x[0], live)",
    ),
    fault("conv2d/broadcast", "channels 5 to 8 of what lies outside", "select(vec4<f32>(), x[1], live)", "x[1]"),
    fault(
        "conv2d/broadcast",
        "weights of the first four channels for eight",
        "multiply4(acc, x[1], w[1])",
        "multiply4(acc, x[1], w[0])",
    ),
    fault("conv2d/common", "an address in vec4s for one in eights", "input[i / 2u]", "input[i]"),
];
