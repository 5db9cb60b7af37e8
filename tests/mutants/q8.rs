//! Faults in reading 8-bit weights.

use super::{Mutant, fault};

pub const MUTANTS: &[Mutant] = &[
    fault(
        "conv2d/weights_q8",
        "the first block's scales for all",
        "let i = block * (BLOCK + SCALES) * width + column;",
        "let i = column;",
    ),
    fault("conv2d/weights_q8", "a block's last row with the next one's scale", "row / BLOCK", "(row + 1u) / BLOCK"),
    fault(
        "conv2d/weights_q8",
        "a block's last four rows with the next one's scale",
        "row / BLOCK",
        "(row + 4u) / BLOCK",
    ),
    fault("conv2d/weights_q8", "blocks of half the size", "const BLOCK = 64u;", "const BLOCK = 32u;"),
    fault("conv2d/weights_q8", "the scales not stepped over", "(block + 1u) * SCALES", "block * SCALES"),
    fault("conv2d/weights_q8", "a block's scales taken for rows", "(BLOCK + SCALES) * width", "BLOCK * width"),
    fault(
        "conv2d/weights_q8",
        "scales of neighbours swapped",
        "weight[i], weight[i + width]",
        "weight[i + width], weight[i]",
    ),
    fault(
        "conv2d/weights_q8",
        "a scale of half its digits",
        "weight[i + 3u * width]));",
        "weight[i + 3u * width]) & vec4(0xfffff000u));",
    ),
    fault("conv2d/weights_q8", "the sign lost", "vec4<f32>(vec4<i32>(vec4<u32>", "vec4<f32>(vec4<u32>(vec4<u32>"),
    fault("conv2d/weights_q8", "bytes in the wrong order", "24u, 16u, 8u, 0u", "0u, 8u, 16u, 24u"),
    fault("conv2d/weights_q8", "the lowest bit lost", ">> vec4<u32>(24u));", ">> vec4<u32>(25u)) * 2.0;"),
    fault(
        "conv2d/weights_q8",
        "the fourth of four rows is the third",
        "number4(i + 3u * width)",
        "number4(i + 2u * width)",
    ),
];
