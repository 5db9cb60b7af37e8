//! Cooperation of invocations: barriers with workgroup memory, and subgroups.

use super::record;
use crate::check::bound::Approx;
use crate::check::{Case, CaseBuilder};
use crate::plan::{Channels, Element, Policy};
use crate::shader::{Form, Kernel, Needs};

pub static BARRIERS: Kernel = Kernel {
    name: "barriers",
    params: &["n", "groups_x"],
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../../shaders/conformance/barriers.wgsl"))],
};

pub static MEMORY: Kernel = Kernel {
    name: "workgroup_memory",
    params: &["n", "groups_x"],
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../../shaders/conformance/workgroup_memory.wgsl"))],
};

pub static SUBGROUPS: Kernel = Kernel {
    name: "subgroups",
    params: &["n", "groups_x"],
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../../shaders/conformance/subgroups.wgsl"))],
};

/// Integers whose sums are exact in f32, but not in f16.
fn numbers(n: usize, most: i32) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    (0..n).map(|_| rng.i32(-most..most) as f32).collect()
}

pub fn barriers() -> Vec<Case> {
    const LANES: usize = 256;
    let case = |groups: usize| {
        Case::new(&BARRIERS, format!("{groups} workgroups of {LANES}"), move |b: &mut CaseBuilder| {
            let values = numbers(groups * LANES, 30_000);
            let n = values.len() as u32;
            let x = b.input_of("x", 1, n / 4, Channels::one(4), Element::F32, values.clone());
            let out = b.recorder.value_of("out", 1, n / 2, Channels::one(4), Element::F32);
            let windows = (b.recorder.whole(&x.tensor), b.recorder.whole(&out));
            record(&mut b.recorder, &BARRIERS, &[], windows, (n, groups as u64), 0);
            b.expect_all(&out, move |p, c| {
                let (i, handed_around) = ((4 * p + c) / 2, c % 2 == 1);
                let group = &values[i / LANES * LANES..][..LANES];
                let value =
                    if handed_around { group[(i % LANES + 32 * 97) % LANES] + 32.0 } else { group.iter().sum::<f32>() };
                Approx::new(value.into(), 0.0)
            });
        })
        .stored_as(&[Policy::F32])
    };
    vec![case(1), case(200)]
}

/// The workgroup memory that every adapter must have: 16 KiB.
pub fn memory() -> Vec<Case> {
    const VEC4S: usize = 1024;
    let case = Case::new(&MEMORY, "16 KiB in 50 workgroups of 256".into(), move |b: &mut CaseBuilder| {
        let values = numbers(50 * VEC4S * 4, 1 << 22);
        let n = values.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values.clone());
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        let windows = (b.recorder.whole(&x.tensor), b.recorder.whole(&out));
        record(&mut b.recorder, &MEMORY, &[], windows, (n, 50), 0);
        b.expect_all(&out, move |p, c| {
            let (first, i) = (p / VEC4S * VEC4S, p % VEC4S);
            let from = (37 * i + 5) % VEC4S;
            let place = [from, (from + 1) % VEC4S, (from + 511) % VEC4S, VEC4S - 1 - from][c];
            let lane = if c < 3 { c } else { i % 4 };
            Approx::new(values[4 * (first + place) + lane].into(), 0.0)
        });
    });
    vec![case.stored_as(&[Policy::F32])]
}

pub fn subgroups() -> Vec<Case> {
    let case = Case::new(
        &SUBGROUPS,
        "broadcast, shuffle, sum and maximum, 60 workgroups".into(),
        move |b: &mut CaseBuilder| {
            // A sum of 64 numbers times up to 64 is below 2^24, so it is exact in f32.
            let mut values = numbers(60 * 64, 8000);
            // Workgroups of only negative numbers, whose maximum is not zero, and of only positive ones.
            values[30 * 64..45 * 64].iter_mut().for_each(|v| *v = -v.abs() - 1.0);
            values[45 * 64..].iter_mut().for_each(|v| *v = v.abs() + 1.0);
            let n = values.len() as u32;
            let x = b.input_of("x", 1, n / 4, Channels::one(4), Element::F32, values.clone());
            let names = ["sum", "maximum", "broadcast", "shuffle", "shuffle by xor", "members", "value", "place"];
            let more = ["shuffles in a loop", "broadcast of a vec4", "sum after a branch", "value again"];
            let names = [&names[..], &more].concat().join(" | ");
            let out = b.recorder.value_of(&names, 1, n, Channels::one(12), Element::F32);
            let windows = (b.recorder.whole(&x.tensor), b.recorder.whole(&out));
            record(&mut b.recorder, &SUBGROUPS, &[], windows, (n, 60), 0);
            b.expect_all(&out, move |p, c| {
                let value = match c {
                    6 | 11 => values[p].into(),
                    7 => 1.0,
                    // Differences from the same operations without subgroups.
                    _ => 0.0,
                };
                Approx::new(value, 0.0)
            });
        },
    );
    vec![case.stored_as(&[Policy::F32]).needing(Needs { lanes: 1, ..Needs::NOTHING })]
}
