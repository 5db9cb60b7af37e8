//! Faults in conv2d's forms with 8 x 8 sums.

use super::{Mutant, fault};

pub const MUTANTS: &[Mutant] = &[
    fault(
        "conv2d/reg",
        "no barrier before the tiles are read",
        "#endfor\n        workgroupBarrier();\n        c += DEPTH;",
        "#endfor\n        c += DEPTH;",
    ),
    fault(
        "conv2d/reg",
        "no barrier before the tiles are overwritten",
        "left--) {\n        workgroupBarrier();",
        "left--) {",
    ),
    fault("conv2d/reg", "channels beyond the last not masked", " && c + load_c < q.in_c4);", ");"),
    fault("conv2d/reg", "padding not zero", "live[i] && c + load_c", "c + load_c"),
    fault("conv2d/reg", "channels in the wrong order", "a_tile[at + PITCH] = x.y;", "a_tile[at + PITCH] = x.z;"),
    fault("conv2d/reg", "rows of a tile overlap", "const PITCH = 2u * APART + ", "const PITCH = APART + "),
    fault("conv2d/reg", "the first four rows for all", "rows4(k * PITCH + APART +", "rows4(k * PITCH +"),
    fault("conv2d/reg", "the first column for both", "b_tile[k * COLUMNS + SIDE + tx]", "b_tile[k * COLUMNS + tx]"),
    fault("conv2d/reg", "the first load's row for all", "load_row + i * (LANES / DEPTH), rows", "load_row, rows"),
    fault(
        "conv2d/reg",
        "the first load's weights for all",
        "c * 4u + load_k + i * (LANES / COLUMNS)",
        "c * 4u + load_k",
    ),
    fault("conv2d/reg", "the first tap's weights for all", "k0 += q.in_c4 * 4u;", ""),
    fault("conv2d/reg", "a window without its last column", "if tap.y == q.kernel {", "if tap.y + 1u == q.kernel {"),
    fault("conv2d/reg", "the window's first position for all", "src[i] = source(load_corner[i] + tap);", ""),
    fault("conv2d/reg", "whether the first tap is inside for all", "live[i] = inside(load_corner[i] + tap);", ""),
    fault("conv2d/reg", "the last step missing", "(q.in_c4 + DEPTH - 1u) / DEPTH)", "max(q.in_c4 / DEPTH, 1u))"),
    fault("conv2d/reg", "the first matrix for all", "var k0 = first_row(p0);", "var k0 = 0u;"),
    fault(
        "conv2d/reg",
        "the gate's bias is the hidden half's",
        "bias4(min(n, last_n) + gate)",
        "bias4(min(n, last_n))",
    ),
    fault("conv2d/reg", "weights of the hidden half for the gate", "+ load_n / SIDE * gate", ""),
    fault("conv2d/reg", "the gate's column before the hidden one's", "acc[0] * gelu(acc[1])", "acc[1] * gelu(acc[0])"),
    fault(
        "conv2d/reg",
        "the second column's bias is the first's",
        "bias4(min(n + SIDE, last_n))",
        "bias4(min(n, last_n))",
    ),
    fault("conv2d/reg", "rows stored twice", "acc[i] = acc[i + 2u];", "acc[i] = acc[max(i, 2u)];"),
    fault("conv2d/reg", "rows in the wrong place", "r / 4u * APART + ty * 4u + r % 4u", "ty * 8u + r"),
    fault("conv2d/reg", "rows beyond the last written", "if p < rows {", "{"),
    fault("conv2d/reg", "columns beyond the last written", "if n + SIDE <= last_n {", "{"),
    fault("conv2d/reg", "the last column missing", "if n + SIDE <= last_n {", "if n + SIDE < last_n {"),
    fault("conv2d/reg", "the fold of workgroups into two dimensions ignored", "wid.y * q.groups_x + wid.x", "wid.x"),
    fault(
        "conv2d/reg",
        "sum kept in half precision",
        "acc[r * 2u + 9u] += y[r] * v;",
        "acc[r * 2u + 9u] += y[r] * v;\n            acc[9] = vec4(unpack2x16float(pack2x16float(acc[9].xy)), unpack2x16float(pack2x16float(acc[9].zw)));",
    ),
    fault(
        "conv2d/reg",
        "the last position missing where 63 are left over",
        "let rows = q.out_rows * q.out_w;",
        "let rows = q.out_rows * q.out_w - u32(q.out_rows * q.out_w % 64u == 63u);",
    ),
];
