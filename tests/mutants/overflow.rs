//! Results that overflow f16, stored as the largest f16, which would look like a valid result.

use super::{Mutant, fault};

pub const MUTANTS: &[Mutant] = &[
    fault("affine", "clamped to what a half holds", "pack4(v);", "pack4(clamp(v, vec4(-65504.0), vec4(65504.0)));"),
    fault(
        "convert",
        "clamped to what a half holds",
        "pack4(x[p.base + i])",
        "pack4(clamp(x[p.base + i], vec4(-65504.0), vec4(65504.0)))",
    ),
    fault(
        "conv2d/common",
        "clamped to what a half holds",
        "= pack4(v);",
        "= pack4(clamp(v, vec4(-65504.0), vec4(65504.0)));",
    ),
    fault(
        "conv2d/common",
        "residuals clamped to what a half holds with the sum",
        "v += unpack4(residual[q.residual_base + i]);",
        "v = clamp(v + unpack4(residual[q.residual_base + i]), vec4(-65504.0), vec4(65504.0));",
    ),
    fault(
        "attention/tiled",
        "clamped to what a half holds",
        "pack4(acc[i] / total)",
        "pack4(clamp(acc[i] / total, vec4(-65504.0), vec4(65504.0)))",
    ),
    fault(
        "attention/broadcast",
        "clamped to what a half holds",
        "pack4(acc[r * CHUNKS + i] * norm)",
        "pack4(clamp(acc[r * CHUNKS + i] * norm, vec4(-65504.0), vec4(65504.0)))",
    ),
    fault(
        "layer_norm",
        "clamped to what a half holds",
        "pack4(d * inv_std * weight[c] + bias[c])",
        "pack4(clamp(d * inv_std * weight[c] + bias[c], vec4(-65504.0), vec4(65504.0)))",
    ),
    fault(
        "winograd_output",
        "clamped to what a half holds",
        "pack2(y[j])",
        "pack2(clamp(y[j], vec2(-65504.0), vec2(65504.0)))",
    ),
    fault(
        "lib/storage",
        "halves rounded towards zero, and what they do not hold written as the largest",
        "return pack2x16float(v) | over.x | (over.y << 16u);",
        "return pack2x16float(clamp(v, vec2(-65504.0), vec2(65504.0)));",
    ),
];
