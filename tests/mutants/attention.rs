//! Faults in attention's straight-line shader.

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
    straight("keys of the first channels for all", "wg.y * p.d4 + p.first * (HEAD / 4u)", "wg.y * p.d4"),
    straight("the first keys' scores for all", "places(wg.z * AT_ONCE,", "places(0u,"),
    straight("start of the keys ignored", "(p.base + min(", "(min("),
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
        "(b * AT_ONCE + c) * LANES4, lane), 0.0, fresh) * shrink",
        "(b * AT_ONCE + c) * LANES4, lane), 0.0, fresh)",
    ),
    straight("the maximum begins at 0", "lane), LOWEST, fresh)", "lane), 0.0, fresh)"),
    straight("a lane with its neighbour's sums", "before[i + g], lane, g", "before[i + g], lane ^ 1u, g"),
    straight("a lane with its neighbour's query", "queries[i + g], lane, g", "queries[i + g], lane ^ 1u, g"),
    straight(
        "the first head's keys for all",
        "at[g] = places(g * AT_ONCE, wg.y * p.d4 + ",
        "at[g] = places(g * AT_ONCE, ",
    ),
    straight("the first section's values for all", "wg.y * p.d4 + wg.z * (HEAD / 4u));", "wg.y * p.d4);"),
    straight(
        "the first block's scores for all",
        "(((wg.y * p.blocks + wg.x) * KEYS + g * AT_ONCE) * LANES4)",
        "((wg.y * p.blocks * KEYS + g * AT_ONCE) * LANES4)",
    ),
    straight("the band's first query ignored", "min(p.query0 + wg.x * LANES + lane, ", "min(wg.x * LANES + lane, "),
    straight("queries beyond the last written", "if query < p.queries {", "if true {"),
    straight(
        "the maximum in the place of the sum of weights",
        "1.0 / old(read_at + (HEAD + 1u) * LANES4, lane)",
        "1.0 / old(read_at + HEAD * LANES4, lane)",
    ),
    straight("heads lie as if there were one block", "(wg.y * p.blocks + wg.x) * (p.d4", "(wg.y + wg.x) * (p.d4"),
    straight("the third channel of a key twice", "fma(x[c], key[c]", "fma(x[c], key[min(c, 2u)]"),
    straight("the first vec4 of values for all", "values[at + c]", "values[at]"),
    straight("values 2^-12 too large", "fma(weight, value[i]", "fma(weight * 1.000244140625, value[i]"),
    straight("scores 2^-8 too large", "fma(x[c], key[c]", "fma(x[c] * 1.00390625, key[c]"),
    straight("a bit of another sum left in the first", "(all & p.bank)", "(all & 0x100u)"),
];
