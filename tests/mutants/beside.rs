//! Faults in straight-line shaders of kernels that also have other forms.

use super::{Mutant, fault};

pub const MUTANTS: &[Mutant] = &[
    fault("affine/straight", "scale in place of shift", "affine[all + c + lane]", "affine[c + lane]"),
    fault("affine/straight", "scales of the other tensor", "let c = 4u * p.base_b + block", "let c = block"),
    fault("affine/straight", "the first block of positions for all", "pos * own + block", "block"),
    fault("affine/straight", "start of the window ignored", "4u * p.base_a + pos", "pos"),
    fault("affine/straight", "start of the output's window ignored", "4u * p.base_out + pos", "pos"),
    fault("affine/straight", "a position with its neighbour's values", "(4u * r + 1u) * own", "(4u * r + 2u) * own"),
    fault("affine/straight", "a lane with its neighbour's channel", "lane == j", "lane == (j ^ 1u)"),
    fault("affine/straight", "the last rows of a block not written", "(4u * r + j) * all", "(4u * (r & 1u) + j) * all"),
    fault("affine/straight", "indices cut to 16 bits", "0x3ffffffu", "0xffffu"),
    fault("affine/straight", "results 2^-13 too large", "* scale + shift", "* (scale * 1.0001220703125) + shift"),
    fault("convert/straight", "start of the window ignored", "neighbours((4u * p.base + first", "neighbours((first"),
    fault("convert/straight", "a lane with its neighbour's number", "lane == j", "lane == (j ^ 1u)"),
    fault("convert/straight", "the first block for all", "let first = block.x * ROWS", "let first = 0u * ROWS"),
    fault(
        "convert/straight",
        "the last row of a block from the one before",
        "p.base + first + r * LANES",
        "p.base + first + min(r, ROWS - 2u) * LANES",
    ),
    fault("convert/straight", "indices cut to 14 bits", "0x3ffffffu", "0x3fffu"),
    fault(
        "group_stats/straight",
        "the last position left out",
        "sum += channels(",
        "sum += select(1.0, 0.0, k == STEP - 1u) * channels(",
    ),
    fault("group_stats/straight", "squares not of deviations", "lane) - mean;", "lane);"),
    fault("group_stats/straight", "number of the window's first chunk ignored", "(p.chunk0 + chunk)", "chunk"),
    fault("group_stats/straight", "start of the window ignored", "4u * p.base + chunk", "chunk"),
    fault("group_stats/straight", "the first chunk for all", "chunk * STEP * row + c", "c"),
    fault("group_stats/straight", "the first block of channels for all", "STEP * row + c;", "STEP * row;"),
    fault("group_stats/straight", "a lane with its neighbour's channel", "lane == j", "lane == (j ^ 1u)"),
    fault("group_stats/straight", "divided by one less", "/ f32(STEP)", "/ f32(STEP - 1u)"),
    fault("group_stats/straight", "indices cut to 16 bits", "0x3ffffffu", "0xffffu"),
];
