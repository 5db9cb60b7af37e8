//! Faults of attention's text without a loop.

use super::{Mutant, fault};

const fn straight(why: &'static str, from: &'static str, to: &'static str) -> Mutant {
    fault("attention/straight", why, from, to)
}

pub const MUTANTS: &[Mutant] = &[
    straight("each few keys begin anew", "let fresh = p.first == 1u;", "let fresh = true;"),
    straight("the first keys go on with what lies there", "let fresh = p.first == 1u;", "let fresh = false;"),
    straight("scores of each few channels begin anew", "0.0, p.first == 0u)", "0.0, true)"),
    straight("scores begin with what lies there", "0.0, p.first == 0u)", "0.0, false)"),
    straight("scores of the first channels for all", "section(wg, p.first)", "section(wg, 0u)"),
    straight("keys of the first channels for all", "wg.y * p.d4 * 4u + p.first * HEAD", "wg.y * p.d4 * 4u"),
    straight("the first keys' scores for all", "places(wg.z * AT_ONCE,", "places(0u,"),
    straight("start of the keys ignored", "((p.base + min(", "((min("),
    straight("keys beyond the last read", "min(first + j, p.own - 1u)", "(first + j)"),
    straight(
        "keys beyond the last have a weight",
        "weights[g][j] = select(0.0, exp2(weights[g][j] - most), g * AT_ONCE + j < p.own);",
        "weights[g][j] = exp2(weights[g][j] - most);",
    ),
    straight("scores not scaled", "weights[g][j] *= p.scale;", ""),
    straight("the sum of weights not rescaled", "0.0, fresh) * shrink;\n#for g", "0.0, fresh);\n#for g"),
    straight(
        "sums of values not rescaled",
        "(b * AT_ONCE + c) * LANES, lane), 0.0, fresh) * shrink",
        "(b * AT_ONCE + c) * LANES, lane), 0.0, fresh)",
    ),
    straight("the maximum begins at 0", "lane), LOWEST, fresh)", "lane), 0.0, fresh)"),
    straight(
        "a lane with its neighbour's sums",
        "select(v, before[i + j], lane == j)",
        "select(v, before[i + j], lane == (j ^ 1u))",
    ),
    straight(
        "a lane with its neighbour's query",
        "select(v, queries[i + j], lane == j)",
        "select(v, queries[i + j], lane == (j ^ 1u))",
    ),
    straight(
        "the first head's keys for all",
        "at[g] = places(g * AT_ONCE, wg.y * p.d4 * 4u + ",
        "at[g] = places(g * AT_ONCE, ",
    ),
    straight("the first section's values for all", "wg.y * p.d4 * 4u + wg.z * HEAD);", "wg.y * p.d4 * 4u);"),
    straight(
        "the first block's scores for all",
        "(((wg.y * p.blocks + wg.x) * KEYS + g * AT_ONCE) * LANES)",
        "((wg.y * p.blocks * KEYS + g * AT_ONCE) * LANES)",
    ),
    straight("the band's first query ignored", "min(p.query0 + wg.x * LANES + lane, ", "min(wg.x * LANES + lane, "),
    straight("queries beyond the last written", "if query < p.queries {", "if true {"),
    straight(
        "the maximum in the place of the sum of weights",
        "1.0 / old(read_at + (HEAD + 1u) * LANES, lane)",
        "1.0 / old(read_at + HEAD * LANES, lane)",
    ),
    straight("heads lie as if there were one block", "(wg.y * p.blocks + wg.x) * (p.d4", "(wg.y + wg.x) * (p.d4"),
    straight("indices cut to 16 bits", "0x3ffffffu", "0xffffu"),
    straight("values 2^-12 too large", "fma(weight, values[at + c]", "fma(weight * 1.000244140625, values[at + c]"),
    straight("scores 2^-8 too large", "fma(x, keys[at[j] + channel]", "fma(x * 1.00390625, keys[at[j] + channel]"),
    straight("a bit of another sum left in the first", "(all & p.bank)", "(all & 0x100u)"),
];
