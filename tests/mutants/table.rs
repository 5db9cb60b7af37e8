//! The table of planted faults.

#[path = "attention.rs"]
mod attention;
#[path = "beside.rs"]
mod beside;
#[path = "coop.rs"]
mod coop;
#[path = "eights.rs"]
mod eights;
#[path = "overflow.rs"]
mod overflow;
#[path = "q8.rs"]
mod q8;
#[path = "reg.rs"]
mod reg;
#[path = "straight.rs"]
mod straight;
#[path = "unreached.rs"]
mod unreached;
#[path = "winograd.rs"]
mod winograd;

/// One replacement in one shader file.
pub struct Mutant {
    /// A kernel's name, or the name of a file for `#import`.
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    pub why: &'static str,
    /// Why no driver of the suite can detect it, if so.
    pub survives: Option<&'static str>,
}

pub const fn fault(file: &'static str, why: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { file, from, to, why, survives: None }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    let own = [straight::MUTANTS, attention::MUTANTS, beside::MUTANTS, winograd::MUTANTS];
    let others = own.into_iter().chain([
        unreached::MUTANTS,
        overflow::MUTANTS,
        reg::MUTANTS,
        coop::MUTANTS,
        q8::MUTANTS,
        eights::MUTANTS,
    ]);
    MUTANTS.iter().chain(others.flatten())
}

const MUTANTS: &[Mutant] = &[
    fault(
        "lib/storage",
        "halves of a vec4 stored in the wrong order",
        "vec2(pack2(v.xy), pack2(v.zw))",
        "vec2(pack2(v.zw), pack2(v.xy))",
    ),
    fault(
        "lib/storage",
        "halves of a pair stored in the wrong order",
        "return pack2x16float(v)",
        "return pack2x16float(v.yx)",
    ),
    fault("lib/storage", "the second word of a vec4 never read", "unpack2x16float(v.y)", "unpack2x16float(v.x)"),
    fault("lib/silu", "the two signs swapped", "select(e, vec4(1.0), x >=", "select(e, vec4(1.0), x <"),
    fault("lib/silu", "exp of a positive number: overflow", "exp(-abs(x))", "exp(abs(x))"),
    fault("lib/gelu", "a coefficient cut to four digits", "0.197483776", "0.1975"),
    fault("lib/gelu", "the square's rounding not made up for", "* exp(-0.5 * (a - h) * (a + h))", ""),
    fault("lib/gelu", "the negative side forgotten", "select(1.0 - tail, tail, x < vec4<f32>())", "(1.0 - tail)"),
    fault("affine", "<= for < at the seam of [a | b]", "if c < p.a4", "if c <= p.a4"),
    fault("affine", "scale in place of shift", "affine[c4 + c]", "affine[c]"),
    fault("affine", "b read from a's channel number", "+ c - p.a4]", "+ c]"),
    fault("affine", "the fold of workgroups into two dimensions ignored", "wg.x + wg.y * p.groups_x", "wg.x"),
    fault("affine", "start of the output's window ignored", "out[p.base_out + i]", "out[i]"),
    fault("affine", "start of a's window ignored", "a[p.base_a + pos", "a[pos"),
    fault("affine", "start of b's window ignored", "b[p.base_b + pos", "b[pos"),
    fault("convert", "the fold of workgroups into two dimensions ignored", "wg.x + wg.y * p.groups_x", "wg.x"),
    fault("convert", "start of the output's window ignored", "out[p.base_out + i]", "out[i]"),
    fault("convert", "start of the input's window ignored", "x[p.base + i]", "x[i]"),
    fault("convert", "the end of the band ignored", "if i >= p.n { return; }", ""),
    fault("attention/tiled", "last tile of the bank's keys missing", "(p.bank + KEYS - 1u) / KEYS", "p.bank / KEYS"),
    fault(
        "attention/broadcast",
        "last tile of the bank's keys missing",
        "(p.bank + KEYS - 1u) / KEYS",
        "p.bank / KEYS",
    ),
    fault("attention/tiled", "last tile of the image's own keys missing", "(p.own + KEYS - 1u) / KEYS", "p.own / KEYS"),
    fault(
        "attention/broadcast",
        "last tile of the image's own keys missing",
        "(p.own + KEYS - 1u) / KEYS",
        "p.own / KEYS",
    ),
    fault(
        "attention/tiled",
        "number of keys taken from the other source",
        "select(p.own, p.bank, from_bank)",
        "select(p.bank, p.own, from_bank)",
    ),
    fault(
        "attention/broadcast",
        "number of keys taken from the other source",
        "select(p.own, p.bank, from_bank)",
        "select(p.bank, p.own, from_bank)",
    ),
    fault(
        "attention/common",
        "values of the bank taken from the image",
        "return unpack4(bank_v[i])",
        "return unpack4(own_v[i])",
    ),
    fault(
        "attention/common",
        "keys and values of the image swapped",
        "return unpack4(own_k[i])",
        "return unpack4(own_v[i])",
    ),
    fault(
        "attention/tiled",
        "no barrier after the tiles are written",
        "k_tile[r * PITCH + lane % DEPTH] = b;\n            }\n#endfor\n            workgroupBarrier();",
        "k_tile[r * PITCH + lane % DEPTH] = b;\n            }\n#endfor",
    ),
    fault(
        "attention/tiled",
        "no barrier before the tiles are overwritten",
        "k_tile[(quarter + 12u) * PITCH + c]));\n            }\n#endfor\n            workgroupBarrier();",
        "k_tile[(quarter + 12u) * PITCH + c]));\n            }\n#endfor",
    ),
    Mutant {
        file: "attention/tiled",
        why: "no barrier between reading scores and writing weights",
        from: "most = max(most, weights[row * WEIGHTS + j]);\n#endfor\n        workgroupBarrier();",
        to: "most = max(most, weights[row * WEIGHTS + j]);\n#endfor",
        survives: Some(
            "the four lanes that read a row's scores are the four that write its weights, and lie in one subgroup on every driver \
             here: they run in step. tests/races, which needs no driver, sees it",
        ),
    },
    fault(
        "attention/tiled",
        "<= for < in the mask of keys",
        "vec4(key0) + mine < vec4(n)",
        "vec4(key0) + mine <= vec4(n)",
    ),
    fault(
        "attention/broadcast",
        "lanes beyond the last key not masked",
        "let real = mine < vec4(n)",
        "let real = mine < vec4(n + 32u)",
    ),
    fault(
        "attention/tiled",
        "the maximum of earlier tiles forgotten",
        "var most = highest;",
        "var most = 0.0;\n        highest = 0.0;",
    ),
    fault(
        "attention/tiled",
        "no maximum subtracted in the softmax",
        "most = max(most, weights[row * WEIGHTS + j]);",
        "most = 0.0;",
    ),
    fault(
        "attention/broadcast",
        "no maximum subtracted in the softmax",
        "let most = max(highest[r], subgroupMax(max(max(s.x, s.y), max(s.z, s.w))));",
        "highest[r] = 0.0;\n            let most = 0.0;",
    ),
    fault("attention/tiled", "the sum of weights not rescaled", "total *= shrink;", ""),
    fault("attention/tiled", "the output not rescaled", "acc[i] *= shrink;", ""),
    fault("attention/broadcast", "the sum of weights not rescaled", "total[r] * shrink +", "total[r] +"),
    fault("attention/broadcast", "one lane's sum for the subgroup's", "subgroupAdd(total[r])", "total[r]"),
    fault(
        "attention/broadcast",
        "one lane's maximum for the subgroup's",
        "subgroupMax(max(max(s.x, s.y), max(s.z, s.w)))",
        "max(max(s.x, s.y), max(s.z, s.w))",
    ),
    fault(
        "attention/broadcast",
        "a row's query from its neighbour's lane",
        "subgroupBroadcast(a, l)",
        "subgroupBroadcast(a, l / 7u * 6u + l % 7u)",
    ),
    fault("attention/broadcast", "weights of the first eight keys used for all", "score[r] = score[r].yzwx;", ""),
    fault(
        "attention/tiled",
        "every head reads the first head's queries",
        "p.stride + head + c]);\n                    b =",
        "p.stride + c]);\n                    b =",
    ),
    fault("attention/tiled", "scale left out", "* p.scale", ""),
    fault("attention/broadcast", "scale left out", "* p.scale", ""),
    fault("attention/tiled", "channels beyond the first slice missing", "wg.z * CHUNKS * 4u", "0u"),
    fault("attention/tiled", "the first query of a later dispatch ignored", "p.query0 + wg.x", "wg.x"),
    fault("attention/broadcast", "the first query of a later dispatch ignored", "p.query0 + wg.x", "wg.x"),
    fault("attention/common", "a part's first key ignored", "own_k[p.base + i]", "own_k[i]"),
    fault("attention/common", "a part's first value ignored", "own_v[p.base + i]", "own_v[i]"),
    fault(
        "attention/tiled",
        "the maximum of the part before forgotten",
        "var highest = running.x;",
        "var highest = LOWEST;",
    ),
    fault("attention/tiled", "the sum of the part before forgotten", "var total = running.y;", "var total = 0.0;"),
    fault(
        "attention/tiled",
        "every head goes on with the first's",
        "running_in[resumed * heads + wg.y]",
        "running_in[resumed * heads]",
    ),
    fault(
        "attention/tiled",
        "the maximum handed on is zero",
        "vec4(highest, total, 0.0, 0.0)",
        "vec4(0.0, total, 0.0, 0.0)",
    ),
    fault(
        "attention/broadcast",
        "the maximum of the part before forgotten",
        "highest[r] = running.x;",
        "highest[r] = LOWEST;",
    ),
    fault(
        "attention/broadcast",
        "the sum of the part before counted in every lane",
        "select(0.0, running.y, lane == 0u)",
        "running.y",
    ),
    fault(
        "attention/broadcast",
        "values of the part before forgotten",
        "acc_in[row * p.stride",
        "0.0 * acc_in[row * p.stride",
    ),
    fault(
        "attention/broadcast",
        "one lane's sum handed on",
        "vec4(highest[r], sum, 0.0, 0.0)",
        "vec4(highest[r], total[r], 0.0, 0.0)",
    ),
    fault("conv2d/common", "padding ignored", "* q.stride - q.pad", "* q.stride"),
    fault("conv2d/common", "<= for < below the image", "yx.x < (q.in_h", "yx.x <= (q.in_h"),
    fault("conv2d/common", "<= for < right of the image", "yx.y < (q.in_w", "yx.y <= (q.in_w"),
    fault("conv2d/common", "upsampling ignored", "yx >> vec2<u32>(q.upsample)", "yx"),
    fault("conv2d/common", "first row of the input's window ignored", "(s.x - q.in_y0)", "s.x"),
    fault("conv2d/common", "first row of the band ignored", "q.out_y0 + y", "y"),
    fault("conv2d/common", "start of the residual's window ignored", "q.residual_base + i", "i"),
    fault("conv2d/common", "start of the output's window ignored", "q.out_base + i", "i"),
    fault("conv2d/common", "start of the input's window ignored", "return q.in_base + select", "return select"),
    fault("conv2d/common", "tanh without its sign", "sign(v) * (1.0 - e)", "(1.0 - e)"),
    fault(
        "conv2d/tiled",
        "no barrier before the tiles are read",
        "#endfor\n                workgroupBarrier();\n#for j",
        "#endfor\n#for j",
    ),
    fault(
        "conv2d/tiled",
        "no barrier before the tiles are overwritten",
        "#endfor\n                workgroupBarrier();\n#for i A_LOADS\n                a_tile",
        "#endfor\n#for i A_LOADS\n                a_tile",
    ),
    fault(
        "conv2d/tiled",
        "sum kept in half precision",
        "acc[r] += x.x * w[0]",
        "acc[r] = vec4(unpack2x16float(pack2x16float(acc[r].xy)), unpack2x16float(pack2x16float(acc[r].zw)));\n                        acc[r] += x.x * w[0]",
    ),
    fault("conv2d/tiled", "channels beyond the last not masked", "&& c + load_c < q.in_c4", ""),
    fault("conv2d/tiled", "wrong row of a tile", "a_tile[(ty + TY * r) * 4u + j]", "a_tile[(ty * TM + r) * 4u + j]"),
    fault("conv2d/tiled", "the gate's bias is the hidden half's", "gates[r] = bias4(n + gate)", "gates[r] = bias4(n)"),
    fault(
        "conv2d/broadcast",
        "GEGLU: stride of the weights without the gates",
        "let width = 2u * gate;",
        "let width = gate;",
    ),
    fault("conv2d/broadcast", "rows stored twice", "Rows8(a[1], a[2], a[3]", "Rows8(a[0], a[2], a[3]"),
    fault(
        "conv2d/broadcast",
        "sum kept in half precision",
        "(*acc)[7] += x7.x",
        "(*acc)[7] = vec4(unpack2x16float(pack2x16float((*acc)[7].xy)), unpack2x16float(pack2x16float((*acc)[7].zw)));\n    (*acc)[7] += x7.x",
    ),
    fault(
        "conv2d/broadcast",
        "padding not zero in one group of rows",
        "multiply(&a3, load_input(s3 + c, v3), w)",
        "multiply(&a3, load_input(s3 + c, true), w)",
    ),
    fault("conv2d/broadcast", "last row of the image missing", "if p <= last", "if p < last"),
    fault("conv2d/tiled", "the first matrix for all", "first_row(p0) + (ky", "(ky"),
    fault("conv2d/broadcast", "the first matrix for all", "let first = first_row(p0);", "let first = 0u;"),
    fault("conv2d/broadcast", "the first panel for all", "first * panels + n / panel * rows", "first * panels"),
    fault("conv2d/broadcast", "matrices of one panel", "first * panels + n / panel", "first + n / panel"),
    fault("conv2d/broadcast", "taps of one panel", "k += select(0u, (panels - 1u) * rows, IN_PANELS);", ""),
    fault(
        "conv2d/broadcast",
        "a last panel that is not full left out",
        "(q.out_n4 + panel - 1u) / panel",
        "q.out_n4 / panel",
    ),
    fault("conv2d/broadcast", "columns beyond a panel", "select(n, n % panel, IN_PANELS)", "n"),
    fault(
        "conv2d/broadcast",
        "gates as far away as in rows",
        "select(q.out_n4, panel, IN_PANELS);\n    let width = 2u",
        "q.out_n4;\n    let width = 2u",
    ),
    fault("conv2d/rows", "the first matrix for all", "var k = first_row(p0);", "var k = 0u;"),
    fault(
        "conv2d/common",
        "matrices as if a vec4 of channels were one",
        "p / q.out_w * q.in_c4 * 4u",
        "p / q.out_w * q.in_c4",
    ),
    fault("conv2d/rows", "lanes along the rows ignored", "lane % COLS", "lane"),
    fault(
        "conv2d/tiled",
        "the second load of the input's tile repeats the first's position",
        "t / 4u + i * (LANES / 4u)",
        "t / 4u",
    ),
    fault(
        "conv2d/tiled",
        "the second load of the weights repeats the first's",
        "c * 4u + ty + i * TY, q",
        "c * 4u + ty, q",
    ),
    fault("conv2d/tiled", "more weights staged than the tile holds", "if ty + i * TY < STEP {", "{"),
    fault("conv2d/rows", "padding not zero", "select(vec4<f32>(), low_sum[r], live)", "low_sum[r]"),
    fault("conv2d/rows", "the second weight row used twice", "x.y * w[1] + x.z * w[2]", "x.y * w[1] + x.z * w[1]"),
    fault("conv2d/rows", "bias added to eight of sixteen rows only", "high[r] = bias4(n);", "high[r] = vec4(0.0);"),
    fault(
        "group_stats",
        "the last chunk's tail missing",
        "min(first + p.chunk_len, p.positions)",
        "min(first + p.chunk_len, p.positions / p.chunk_len * p.chunk_len)",
    ),
    fault("group_stats", "squares not of deviations", "+ c]) - mean;", "+ c]);"),
    fault("group_stats", "number of the window's first chunk ignored", "(p.chunk0 + chunk)", "chunk"),
    fault("group_stats", "start of the window ignored", "x[p.base + pos", "x[pos"),
    fault("group_stats", "a shorter last chunk divided by the full length", "f32(end - first)", "f32(p.chunk_len)"),
    fault(
        "group_norm",
        "no barrier in the sum over a workgroup",
        "workgroupBarrier();\n        if lane < step",
        "if lane < step",
    ),
    fault(
        "group_norm",
        "no barrier before the sum's memory is used again",
        "let sum = partial[0];\n    workgroupBarrier();",
        "let sum = partial[0];",
    ),
    fault("group_norm", "one sum's step missing", "step > 0u", "step > 1u"),
    fault("group_norm", "deviation between chunks ignored", "+ count(chunk) * d * d", ""),
    fault(
        "group_norm",
        "the last chunk counted as a full one",
        "min(p.chunk_len, p.positions - chunk * p.chunk_len)",
        "p.chunk_len",
    ),
    fault("group_norm", "eps left out", "/ n + p.eps", "/ n"),
    fault("group_norm", "the seam of [a | b] ignored in the weights", "channel - p.ca + p.ca_padded", "channel"),
    fault("group_norm", "padding lanes left as they were", "affine[padded + place] = 0.0;", ""),
    fault(
        "guided_filter",
        "channels not clipped",
        "clamp(unpack4(drawn[p.base_in + i]).xyz, vec3(-1.0), vec3(1.0))",
        "unpack4(drawn[p.base_in + i]).xyz",
    ),
    fault("guided_filter", "epsilon left out", "diagonal / n + p.epsilon", "diagonal / n"),
    fault("guided_filter", "squares not of deviations", "let d = pixel(at) - mean;", "let d = pixel(at);"),
    fault(
        "guided_filter",
        "spread of the rows' means left out",
        "moments[at + 1u].xyz + d.xyz * d.xyz",
        "moments[at + 1u].xyz",
    ),
    fault("guided_filter", "spread within the rows left out", "moments[at + 3u].xyz + d.xyz * d.w", "d.xyz * d.w"),
    fault("guided_filter", "two covariances exchanged", "moments[at + 2u].xyz", "moments[at + 2u].yxz"),
    fault("guided_filter", "one step of the factorization missing", "beside.x - l_yx * beside.y", "beside.x"),
    fault("guided_filter", "one step of the substitution missing", "y / d_y - l_zy * z", "y / d_y"),
    fault(
        "guided_filter",
        "windows a column short on the right",
        "min(p.width - 1u - x, p.radius)",
        "min(p.width - 1u - x, max(p.radius, 1u) - 1u)",
    ),
    fault("guided_filter", "windows a row short above", "y - min(y, p.radius)", "y - min(y, max(p.radius, 1u) - 1u)"),
    fault(
        "guided_filter",
        "windows cut off at the edge counted as whole",
        "sum / f32(bottom + 1u - top)",
        "sum / f32(2u * p.radius + 1u)",
    ),
    fault(
        "guided_filter",
        "first row of the band's window ignored",
        "min(p.height - 1u - y, p.radius) - p.first",
        "min(p.height - 1u - y, p.radius)",
    ),
    fault(
        "guided_filter",
        "start of the guide's window ignored",
        "vec4(guide[p.base_guide + i].xyz, 1.0)",
        "vec4(guide[i].xyz, 1.0)",
    ),
    fault("guided_filter", "start of the input's window ignored", "fitted[p.base_in + at]", "fitted[at]"),
    fault("guided_filter", "start of the output's window ignored", "fitted[p.base_out + i] =", "fitted[i] ="),
    fault("guided_filter", "the offset left out", ".xyz, 1.0)", ".xyz, 0.0)"),
    fault("guided_filter", "the padding lane not zero", "vec4(v, v, v, 0.0)", "vec4(v)"),
    fault("layer_norm", "padding lanes counted in the variance", "select(vec4(0.0), d * d, real)", "d * d"),
    fault("layer_norm", "padding lanes counted in the number of channels", "f32(p.channels)", "f32(p.c4 * 4u)"),
    fault("layer_norm", "eps left out", "/ n + p.eps", "/ n"),
    fault("layer_norm", "start of x's window ignored", "let first = p.base + token", "let first = token"),
    fault("layer_norm", "start of the output's window ignored", "out[p.base_out + token", "out[token"),
    fault("layer_norm", "the last token missing", "token >= p.tokens", "token + 1u >= p.tokens"),
];
