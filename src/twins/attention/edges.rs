//! Scores, values and sizes that normally distributed data never reaches.

use super::{Shape, build, normal};
use crate::check::{Case, Fill};
use crate::kernels::attention::{KERNEL, blocks};
use crate::plan::Policy;
use crate::twins::{HALVES, MANY, WIDE, ZEROS, bound_whole, overflows, sweep};

/// Returns `of` in the first channel of each head, and almost nothing in the others. So a score depends on the first channel alone: it is q
/// k log2(e) / 4 in heads of 16 channels, and the same in heads of 64, whose queries are twice as large.
fn first<const HEAD: usize>(channel: usize, of: f32) -> f32 {
    if channel.is_multiple_of(HEAD) { of } else { (channel % 5) as f32 / 16.0 - 0.125 }
}

fn query<const HEAD: usize>(channel: usize, of: f32) -> f32 {
    first::<HEAD>(channel, if HEAD == 64 { 2.0 * of } else { of })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = scores::<16>();
    cases.extend(scores::<64>());
    cases.extend(values::<16>());
    cases.extend(values::<64>());
    cases.extend(numbers());
    cases
}

fn of<const HEAD: usize>(name: &str, keys: (u32, u32), fills: [Fill; 3]) -> Case {
    let shape = (21, keys.0, keys.1, 2, HEAD as u32);
    let heads = if HEAD == 16 { String::new() } else { format!(", heads of {HEAD}") };
    Case::new(&KERNEL, format!("{name}{heads}"), move |b| build(b, shape, fills))
}

fn scores<const HEAD: usize>() -> Vec<Case> {
    let value = normal(1.0);
    let forty = Fill::At(|_, c| first::<HEAD>(c, 40.0));
    // 0 to -288, in steps of 14: reveals a maximum that starts anywhere but at the lowest number.
    let falling = Fill::At(|p, c| query::<HEAD>(c, -(p as f32)));
    let ten = Fill::At(|_, c| query::<HEAD>(c, 10.0));
    // 27 units apart in base 2: the other keys' weights are below 2^-24, and yet make up all of the result.
    let first_key = Fill::At(|p, c| if p == 0 { first::<HEAD>(c, 7.5) } else { 0.0 });
    let first_value = Fill::At(|p, c| if p == 0 { 0.0 } else { large(c) });
    let last_key = Fill::At(|p, c| if p == 65 { first::<HEAD>(c, 7.5) } else { 0.0 });
    let last_value = Fill::At(|p, c| if p == 65 { 0.0 } else { large(c) });
    let low = Fill::At(|_, c| if c.is_multiple_of(HEAD) { -6e4 } else { 0.0 });
    let high = Fill::At(|_, c| if c.is_multiple_of(HEAD) { 6e4 } else { 0.0 });
    let lowest = Fill::At(|p, c| query::<HEAD>(c, -40.0 - p as f32));
    let rising = Fill::At(|p, c| first::<HEAD>(c, p as f32 / 2.0));
    let sinking = Fill::At(|p, c| first::<HEAD>(c, p as f32 / -2.0));
    let of = of::<HEAD>;
    vec![
        of("scores of 0 to -288", (40, 66), [falling, forty, value]),
        of("scores of 0 to -288 of one source", (40, 0), [falling, forty, value]),
        of("scores of -577 and less", (40, 66), [lowest, forty, value]),
        // The bytes of 32 keys and 21 queries.
        of("scores of -577 and less in parts", (40, 66), [lowest, forty, value]).with_binding_limit(if HEAD == 16 {
            4096
        } else {
            20 * 1024
        }),
        of("scores of -1e9", (17, 35), [low, high, value]),
        of("scores of 1e9", (17, 35), [high, high, value]),
        of("the first key alone is near", (40, 66), [ten, first_key, first_value]),
        of("the last key alone is near", (40, 66), [ten, last_key, last_value]),
        of("scores that rise with each key", (40, 66), [ten, rising, value]),
        of("scores that fall with each key", (40, 66), [ten, sinking, value]),
        of("queries of zeros", (17, 35), [Fill::Of(ZEROS), normal(1.0), value]),
        of("keys of zeros", (17, 35), [normal(1.0), Fill::Of(ZEROS), value]),
    ]
}

/// A value that is still a normal f16 number after scaling by 2^-27 and summing 100 of them.
fn large(channel: usize) -> f32 {
    2e4 + 500.0 * (channel % 7) as f32
}

fn infinite(key: usize, channel: usize) -> f32 {
    if key == 5 && overflows(channel) { f32::INFINITY } else { 0.37 * key as f32 - channel as f32 }
}

fn values<const HEAD: usize>() -> Vec<Case> {
    let with = |name: &str, value: Fill| of::<HEAD>(name, (17, 35), [normal(2.0), normal(1.0), value]);
    vec![
        with("all kinds of values", Fill::Of(WIDE)),
        with("values of zeros", Fill::Of(ZEROS)),
        with("values that are one number", Fill::Of(&[-0.7])),
        with("values that are the largest half", Fill::Of(&[65_504.0])),
        // The results are means of f16 values, which f16 can represent. An infinite input must not get lost.
        with("values that are infinite", Fill::At(infinite)).stored_as(HALVES),
        with("values of alternating signs", Fill::Of(&[6e4, -6e4])),
    ]
}

fn numbers() -> Vec<Case> {
    let fills = [normal(2.0), normal(1.0), normal(1.0)];
    let few = |name: &str, shapes: Vec<Shape>| {
        sweep(&KERNEL, name, shapes, move |b, shape| build(b, shape, fills)).stored_as(&[Policy::F32])
    };
    let [rows, keys, slice] = blocks().reduce(|a, b| std::array::from_fn(|i| a[i].max(b[i]))).unwrap_or_default();
    let (rows, keys) = (2 * rows + 2, 2 * keys + 2);
    // Titles follow the forms' constants; ids stay.
    vec![
        few(&format!("1 to {rows} queries"), (1..=rows).map(|n| (n, 3, 5, 2, 5)).collect()).called("queries-left-over"),
        few(&format!("1 to {keys} own keys"), (1..=keys).map(|n| (2, n, 3, 1, 4)).collect())
            .called("own-keys-left-over"),
        few(&format!("1 to {keys} keys in the bank"), (1..=keys).map(|n| (2, 3, n, 1, 4)).collect())
            .called("bank-keys-left-over"),
        few(&format!("heads of 1 to {} vec4s", slice + 2), (1..=slice + 2).map(|n| (2, 2, 3, 1, 4 * n - 1)).collect())
            .called("head-vec4s-left-over"),
        // Heads of one section, and of several.
        few(&format!("1 to {rows} queries of heads of 64"), (1..=rows).map(|n| (n, 3, 5, 2, 64)).collect())
            .called("queries-left-over-heads-of-64"),
        few(&format!("1 to {keys} own keys of heads of 64"), (1..=keys).map(|n| (2, n, 3, 1, 64)).collect())
            .called("own-keys-left-over-heads-of-64"),
        few(&format!("1 to {keys} keys in the bank, heads of 128"), (1..=keys).map(|n| (2, 3, n, 1, 128)).collect())
            .called("bank-keys-left-over-heads-of-128"),
        few("slices with a bank", vec![(9, 9, 21, 1, 515), (3, 5, 40, 2, 300)]),
        few("300 heads", vec![(1, 3, 5, 300, 4)]),
        // More queries, more own keys and more workgroups than 16 bits hold.
        few("8300 queries", vec![(8300, 1, 0, 1, 4)]),
        few("65600 queries", vec![(65_600, 3, 2, 1, 4)]).in_full_only(),
        few("70001 own keys", vec![(2, 70_001, 5, 1, 4)]),
        bound_whole(few("1050625 queries of 16 vec4s", vec![(MANY.0 * MANY.1 / 16, 3, 2, 1, 64)])),
        few("1048700 queries", vec![(1_048_700, 3, 2, 1, 4)]).in_full_only(),
    ]
}
