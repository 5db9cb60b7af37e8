//! Published results, for comparison.

use super::Benchmark;

/// One published result: mIoU in percent with one support and with several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    pub setting: &'static str,
    pub one_shot: Option<f64>,
    pub few_shot: Option<f64>,
}

const fn row(setting: &'static str, one_shot: f64, few_shot: f64) -> Published {
    Published { setting, one_shot: Some(one_shot), few_shot: Some(few_shot) }
}

const fn one(setting: &'static str, one_shot: f64) -> Published {
    Published { setting, one_shot: Some(one_shot), few_shot: None }
}

/// Rows of the paper (Zhu et al., NeurIPS 2024) and of SANSA, a later study that evaluated DiffewS again. All are means
/// over all folds.
const TABLE: &[(&str, &[Published])] = &[
    (
        "coco",
        &[
            row("DiffewS, in-context training (paper)", 71.3, 72.2),
            row("DiffewS, strict (paper)", 51.2, 56.0),
            row("DiffewS-n, strict (paper)", 52.2, 60.7),
        ],
    ),
    ("pascal", &[row("DiffewS, in-context training (paper)", 88.3, 87.8)]),
    ("lvis", &[row("DiffewS, in-context training (paper)", 31.4, 35.4), row("DiffewS, strict (SANSA)", 33.9, 43.7)]),
    ("fss", &[row("DiffewS, strict (SANSA)", 90.2, 90.6), row("DiffewS, in context (SANSA)", 87.8, 88.0)]),
    ("pascal_part", &[one("DiffewS, in context (SANSA)", 34.0)]),
    ("paco_part", &[one("DiffewS, in context (SANSA)", 22.8)]),
];

/// Published results of a benchmark; empty if it is unknown.
pub fn published(benchmark: &Benchmark) -> &'static [Published] {
    TABLE.iter().find(|(name, _)| *name == benchmark.name).map_or(&[], |(_, rows)| rows)
}
