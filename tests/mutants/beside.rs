//! Faults of texts without loop or branch, of kernels that have others.

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
];
