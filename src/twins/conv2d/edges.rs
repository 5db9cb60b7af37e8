//! Values and sizes that normally distributed data in the shapes of networks never reaches.

use super::{Act, Fills, Shape};
use crate::check::{Case, Fill};
use crate::kernels::conv2d::{Geometry, KERNEL, blocks, longest_step};
use crate::plan::{Channels, Policy};
use crate::twins::{HALVES, MANY, WIDE, ZEROS, bound_whole, overflows, sweep};

/// Inputs at which GELU saturates on either side; products of two stay below the largest f16.
const GATES: &[f32] = &[
    0.0, -0.0, 0.5, -0.5, -2.0, -4.4, 4.5, -4.6, -5.0, -5.6, 6.0, -7.0, -8.5, -10.0, -13.5, -15.0, 20.0, -20.0, 50.0,
    -50.0,
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = values();
    cases.extend(overflow());
    cases.extend(remainders());
    cases.extend(large());
    cases
}

fn shape(size: (u32, u32), cin: u32, cout: u32, geometry: Geometry, act: Act) -> Shape {
    Shape { size, cin: Channels::one(cin), cout, geometry, act, whole: false }
}

/// One input channel, whose scaled values are the results, in few columns and in many: for all forms.
fn values() -> Vec<Case> {
    // Linear layers have one product per sum, with a weight of about 1.
    let normal = shape((1, 1), 1, 1, Geometry::LINEAR, Act::None).fills();
    let fills = |x: Fill| Fills { x, bias: Fill::Of(ZEROS), ..normal };
    let mut cases = Vec::new();
    let mut both = |name: &str, size: (u32, u32), geometry: Geometry, act: Act, fills: Fills| {
        for cout in [3, 33] {
            let shape = shape(size, 1, cout, geometry, act);
            cases.push(Case::new(&KERNEL, format!("{name} {cout} columns"), move |b| shape.build(b, fills)));
        }
    };
    let (linear, same) = (Geometry::LINEAR, Geometry::SAME);
    both("gates of all sizes", (1, 80), linear, Act::Geglu, fills(Fill::Of(GATES)));
    both("tanh of all kinds of values", (1, 80), linear, Act::Tanh, fills(Fill::Of(WIDE)));
    both("tanh of zeros", (1, 40), linear, Act::Tanh, fills(Fill::Of(ZEROS)));
    both("gates of zeros", (1, 40), linear, Act::Geglu, fills(Fill::Of(ZEROS)));
    both("large values of alternating signs", (6, 7), same, Act::None, fills(Fill::Of(&[3e3, -3e3])));
    both("zeros", (6, 7), same, Act::None, Fills { x: Fill::Of(ZEROS), ..normal });
    both("one value", (6, 7), same, Act::None, fills(Fill::Of(&[-2.5])));
    both("small values", (6, 7), same, Act::None, fills(Fill::Of(&[6e-5, -6e-5, 6e-8, 2e-4])));
    both(
        "zeros and all kinds of residuals",
        (5, 8),
        same,
        Act::Residual,
        Fills { residual: Fill::Of(WIDE), ..fills(Fill::Of(ZEROS)) },
    );
    both(
        "zeros and residuals of zeros",
        (5, 8),
        same,
        Act::Residual,
        Fills { residual: Fill::Of(ZEROS), ..fills(Fill::Of(ZEROS)) },
    );
    // Gates far beyond these, set by the bias alone, with hidden halves of about 1.
    let wide = shape((1, 3), 4, 40, linear, Act::Geglu);
    let far = Fills {
        x: Fill::Of(ZEROS),
        bias: Fill::At(|_, c| if c < 40 { 1.5 - (c % 4) as f32 } else { WIDE[(c - 40) % WIDE.len()] }),
        ..normal
    };
    cases.push(Case::new(&KERNEL, "gates of all kinds of values".into(), move |b| wide.build(b, far)));
    cases
}

/// Results that overflow f16, by a sum, a residual, and a gate. tanh cannot overflow.
fn overflow() -> Vec<Case> {
    let zeros = Fill::Of(ZEROS);
    let sum = Fills {
        x: Fill::At(|p, _| 3e4 - 97.0 * p as f32),
        weight: Fill::At(|n, _| match overflows(n) {
            true if n % 4 < 2 => 1.0,
            true => -1.0,
            false => 0.03,
        }),
        bias: zeros,
        residual: zeros,
    };
    let added = Fills {
        x: Fill::At(|p, _| 3e3 - 9.7 * p as f32),
        weight: Fill::Of(&[1.0]),
        residual: Fill::At(|_, n| if overflows(n) { 6e4 } else { -1e4 }),
        ..sum
    };
    let gated = |gates: Fill| Fills { x: zeros, bias: gates, ..sum };
    let of = |name: &str, cout: u32, geometry: Geometry, act: Act, fills: Fills| {
        let shape = shape((5, 6), 1, cout, geometry, act);
        let name = format!("{name} that no half holds {cout} columns");
        Case::new(&KERNEL, name, move |b| shape.build(b, fills)).stored_as(HALVES)
    };
    let both = |cout: u32, gates: Fill| {
        [
            of("sums", cout, Geometry::SAME, Act::None, sum),
            of("sums with residuals", cout, Geometry::SAME, Act::Residual, added),
            of("gated values", cout, Geometry::LINEAR, Act::Geglu, gated(gates)),
        ]
    };
    [both(4, Fill::At(gates::<4>)), both(34, Fill::At(gates::<34>))].into_iter().flatten().collect()
}

/// The bias of N hidden columns, and of as many gates.
fn gates<const N: usize>(_: usize, c: usize) -> f32 {
    match c {
        c if c >= N => 300.0 - (c - N) as f32,
        c if overflows(c) => 401.0 + c as f32,
        c => 3.1 - c as f32 / 9.0,
    }
}

/// For cases that depend on sizes alone.
fn few(case: Case) -> Case {
    case.stored_as(&[Policy::F32])
}

/// Every remainder of positions, channels and columns in a block.
fn remainders() -> Vec<Case> {
    let linear = Geometry::LINEAR;
    let [rows, columns, step] = blocks().reduce(|a, b| std::array::from_fn(|i| a[i].max(b[i]))).unwrap_or_default();
    let wide_rows = blocks().filter(|b| b[1] > 3).map(|b| b[0]).max().unwrap_or_default();
    // Titles follow the forms' constants; ids stay. All use the same weights.
    let positions = |most: u32, cout: u32, act: Act| {
        let act_name = if act == Act::Geglu { "geglu" } else { "plain" };
        let name = format!("1 to {most} positions of {cout} {act_name}");
        few(Case::new(&KERNEL, name, move |b| {
            let of = |n| shape((1, n), 3, cout, linear, act);
            let weights = of(1).weights(b, of(1).fills());
            (1..=most).for_each(|n| of(n).build_with(b, weights.clone(), of(n).fills()));
        }))
        .called(&format!("positions-left-over-{cout}-{act_name}"))
    };
    let cases = |name: &str, shapes: Vec<(u32, u32, Geometry)>| {
        few(sweep(&KERNEL, name, shapes, |b, (cin, cout, g)| {
            let shape = shape((2, 3), cin, cout, g, Act::None);
            shape.build(b, shape.fills());
        }))
    };
    let channels = 4 * (2 * step + 1);
    let long = longest_step();
    let steps = [long - 1, long, long + 1, 2 * long - 4, 2 * long, 2 * long + 5];
    let columns = 2 * columns + 2;
    vec![
        positions(rows + 2, 3, Act::None),
        positions(wide_rows + 2, 14, Act::None),
        positions(rows / 2 + 2, 3, Act::Geglu),
        positions(wide_rows + 2, 14, Act::Geglu),
        cases(&format!("1 to {channels} channels"), (1..=channels).map(|n| (n, 3, linear)).collect())
            .called("channels-left-over"),
        cases(&format!("1 to {channels} channels 3x3"), (1..=channels).map(|n| (n, 13, Geometry::SAME)).collect())
            .called("channels-left-over-3x3"),
        cases("channels of one to three dispatches", steps.map(|n| (n, 13, Geometry::SAME)).into()),
        cases("1 to 4 columns", (1..=4).map(|n| (5, n, linear)).collect()),
        cases("1 to 8 columns", (1..=8).map(|n| (5, n, linear)).collect()),
        cases("1 to 12 columns", (1..=12).map(|n| (5, n, linear)).collect()),
        cases(&format!("1 to {columns} vec4 columns"), (1..=columns).map(|n| (5, 4 * n - 1, linear)).collect())
            .called("vec4-columns-left-over"),
    ]
}

/// More positions, rows, columns of the picture, output channels and workgroups than 13 or 16 bits hold.
fn large() -> Vec<Case> {
    let (linear, same) = (Geometry::LINEAR, Geometry::SAME);
    let plain = |size, cin, cout, geometry| few(shape(size, cin, cout, geometry, Act::None).case());
    let up = Geometry { upsample: true, ..same };
    vec![
        plain((257, 256), 3, 4, linear),
        plain((3, 8200), 3, 4, same),
        plain((8200, 3), 3, 4, same).in_full_only(),
        plain((2, 4100), 3, 4, up).in_full_only(),
        plain((1, 66_000), 3, 14, linear).in_full_only(),
        plain((1, 2), 3, 65_540, linear),
        plain((2049, 2048), 3, 4, linear).in_full_only(),
        bound_whole(plain(MANY, 3, 4, linear)),
    ]
}
