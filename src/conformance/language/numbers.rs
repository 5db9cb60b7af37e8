//! Accuracy of functions (in ULP, WGSL 15.7.4 "Accuracy of operations"), integers, and conversions to and from f16.

use super::record_elements;
use crate::check::bound::{Approx, EPS, TINY};
use crate::check::{Case, CaseBuilder};
use crate::plan::{Channels, Element, Policy};
use crate::shader::{Form, Kernel};
use half::f16;

pub static KERNEL: Kernel = Kernel {
    name: "numbers",
    params: &["n", "groups_x"],
    variants: &[
        &["EXP"],
        &["EXP2"],
        &["TANH"],
        &["SQRT"],
        &["INVERSE_SQRT"],
        &["DIVIDE"],
        &["MULTIPLY_ADD"],
        &["DOT"],
        &["EXACT"],
        &["CONVERT"],
        &["UNSIGNED"],
        &["SIGNED"],
        &["REMAINDER"],
        &["WRAPPING"],
        &["SHIFTS"],
        &["BOUNDS"],
        &["ORDER"],
        &["UNPACK"],
        &["PACK"],
        &["REPACK"],
        &["OVERFLOW"],
    ],
    forms: &[Form::plain(include_str!("../../../shaders/conformance/numbers.wgsl"))],
};

/// The storages that differ in reading and writing.
const HALVES: &[Policy] = &[Policy::F32, Policy::PACKED, Policy::F16];

/// One unit in the last place of the f32 nearest to `x`.
fn ulp(x: f64) -> f64 {
    let exponent = x.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (exponent - 23.0).exp2()
}

/// `n` ULP of `x`; subnormal results may be flushed to zero.
fn within(x: f64, n: f64) -> Approx {
    Approx::new(x, n * ulp(x) + TINY)
}

/// Accuracy that WGSL requires: exp and exp2 3 + 2 |x| ULP, inverseSqrt 2, sqrt inherited from 1 / inverseSqrt, division 2.5, tanh the
/// larger of 1e-5 and the error inherited from sinh / cosh.
fn accuracy(define: &str, x: [f64; 3]) -> Approx {
    let [x, y, z] = x;
    match define {
        "EXP" => within(x.exp(), 3.0 + 2.0 * x.abs()),
        "EXP2" => within(x.exp2(), 3.0 + 2.0 * x.abs()),
        "SQRT" => within(x.sqrt(), 2.0 + 2.5),
        "INVERSE_SQRT" => within(1.0 / x.sqrt(), 2.0),
        "DIVIDE" => within(x / y, 2.5),
        // Two roundings, or a single one if fused.
        "MULTIPLY_ADD" => Approx::new(x * y + z, ulp(x * y) + ulp(x * y + z) + TINY),
        _ if x == 0.0 => Approx::new(0.0, 1e-5),
        // sinh and cosh are differences and sums of two exp. Near 0 the difference cancels, and 1e-5 applies.
        _ => {
            let (e, f) = (x.exp(), (-x).exp());
            let relative = EPS * (3.0 + 2.0 * x.abs()) * (e + f);
            let inherited = relative / (e - f).abs() + relative / (e + f) + 2.5 * EPS + 2.0 * EPS;
            Approx::new(x.tanh(), (inherited * x.tanh().abs()).clamp(1e-5, 1.0))
        }
    }
}

/// Signs of period 11, so that neighbours and positions in a vec4 combine in all ways.
fn sign(i: i32) -> f32 {
    if (i * 7 % 11) % 2 == 0 { 1.0 } else { -1.0 }
}

/// Operands of a function: evenly spaced over its range, with powers of two where useful, and `ends` at every position of a vec4.
fn operands(define: &str) -> Vec<f32> {
    let n = 4096;
    let line = |from: f32, to: f32, ends: &[f32]| -> Vec<f32> {
        let even = (0..n).map(|i| from + (to - from) * (i as f32 + 0.5) / n as f32);
        even.chain(ends.iter().flat_map(|&v| [v; 4])).collect()
    };
    // All binades, several positions in each, positive.
    let binades = || (0..n).map(|i| ((i % 240 - 120) as f32).exp2() * (1.0 + (i / 240) as f32 / 17.3)).collect();
    match define {
        // Far below the range, where the result is zero: softmax and SiLU rely on it.
        "EXP" => {
            line(-86.0, 86.0, &[0.0, -0.0, 1e-30, -1e-7, 88.5, -87.5, -95.0, -104.5, -200.0, -1e4, -65_504.0, -3e38])
        }
        "EXP2" => {
            line(-124.0, 124.0, &[0.0, -0.0, 1.0, -1.0, 1e-7, 127.9, -126.0, -130.5, -149.0, -150.0, -1e4, -3e38])
        }
        // Where sinh and cosh are finite.
        "TANH" => line(-20.0, 20.0, &[0.0, -0.0, 1e-30, -1e-3, 30.0, -43.0, 45.0, -45.0, 80.0, -80.0]),
        "SQRT" | "INVERSE_SQRT" => binades(),
        // Neighbours are up to 2^120 apart, so that quotients stay normal.
        _ => (0..n)
            .map(|i| sign(i) * ((i * 37 % 121 - 60) as f32).exp2() * (1.0 + (i * 61 % 509) as f32 / 509.0))
            .collect(),
    }
}

fn function(define: &'static str, name: &'static str) -> Case {
    let case = Case::new(&KERNEL, name.into(), move |b: &mut CaseBuilder| {
        let values = operands(define);
        let n = values.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &[define], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| accuracy(define, [0, 1, 2].map(|i| x.at(p, (c + i) % 4))));
    });
    case.stored_as(&[Policy::F32])
}

/// Integers of all magnitudes, and the extremes.
fn integers() -> Vec<(u32, u32)> {
    let edges = [0, 1, 2, 3, 7, 64, 65_535, 65_536, 1 << 24, (1 << 24) + 1, 0x7fff_ffff, 0x8000_0001, u32::MAX];
    let mut pairs: Vec<(u32, u32)> = edges.iter().flat_map(|&a| edges.iter().map(move |&b| (a, b))).collect();
    let mut rng = fastrand::Rng::with_seed(3);
    pairs.extend((0..3000).map(|_| (rng.u32(..) >> rng.u32(..32), rng.u32(..) >> rng.u32(..32))));
    // Division by zero and the one signed quotient that overflows are the specification's special cases.
    pairs.retain(|&(_, b)| b != 0);
    pairs
}

fn whole(define: &'static str, name: &'static str, twin: fn(u32, u32) -> (u32, u32)) -> Case {
    let case = Case::new(&KERNEL, name.into(), move |b: &mut CaseBuilder| {
        let pairs = integers();
        let n = pairs.len() as u32;
        let bits = pairs.iter().flat_map(|&(x, y)| [f32::from_bits(x), f32::from_bits(y), 0.0, 0.0]).collect();
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, bits);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &[define], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| {
            let (first, second) = twin(pairs[p].0, pairs[p].1);
            let words = [first >> 16, first & 0xffff, second >> 16, second & 0xffff];
            Approx::new(f64::from(words[c]), 0.0)
        });
    });
    case.stored_as(&[Policy::F32])
}

/// Products of neighbours: each of the n products and n - 1 sums errs by at most one unit of sum |x y|.
fn dot_products() -> Case {
    let case = Case::new(&KERNEL, "dot product".into(), move |b: &mut CaseBuilder| {
        let values = operands("DOT");
        let n = values.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["DOT"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| {
            const PAIRS: [&[(usize, usize)]; 4] = [
                &[(0, 1), (1, 2), (2, 3), (3, 0)],
                &[(0, 2), (1, 3), (2, 0)],
                &[(0, 3), (1, 2)],
                &[(0, 0), (1, 1), (2, 2), (3, 3)],
            ];
            let products = PAIRS[c].iter().map(|&(i, j)| x.at(p, i) * x.at(p, j));
            let magnitude: f64 = products.clone().map(f64::abs).sum();
            Approx::new(products.sum(), PAIRS[c].len() as f64 * EPS * magnitude + TINY)
        });
    });
    case.stored_as(&[Policy::F32])
}

fn exact() -> Case {
    let case = Case::new(&KERNEL, "sign, minimum, maximum, selection".into(), move |b: &mut CaseBuilder| {
        let mut values = operands("EXACT");
        // Zeros of both signs, equal neighbours, pairs of one sign in both orders; each shifted through all positions.
        let edges =
            [0.0, -0.0, 1.0, 1.0, -0.0, 0.0, -1.0, -1.0, 2.0, -2.0, 0.0, 0.0, -1.5, -1.0, -3e38, -0.5, 3e38, 0.5];
        values.extend((0..5).flat_map(|by| edges.iter().copied().cycle().skip(by).take(20)));
        let n = values.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values);
        let names = "sign | minimum | maximum | selection | magnitude | within -1 and 2 | comparisons";
        let out = b.recorder.value_of(names, 1, n, Channels::one(28), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["EXACT"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| {
            let (x, y) = (x.at(p, c % 4), x.at(p, (c + 1) % 4));
            let value = match c / 4 {
                0 if x == 0.0 => 0.0,
                0 => x.signum(),
                1 => x.min(y),
                2 => x.max(y),
                3 if x < y => -y,
                3 => x,
                4 => x.abs(),
                5 => x.clamp(-1.0, 2.0),
                _ if x < y => 3.0,
                _ if x == y => 14.0,
                _ => 24.0,
            };
            Approx::new(value, 0.0)
        });
    });
    case.stored_as(&[Policy::F32])
}

/// Integers as f32: exact if representable, else one of the two neighbours.
fn convert() -> Case {
    let case = Case::new(&KERNEL, "u32 and i32 to f32".into(), move |b: &mut CaseBuilder| {
        let pairs = integers();
        let n = pairs.len() as u32;
        let bits = pairs.iter().flat_map(|&(x, y)| [f32::from_bits(x), f32::from_bits(y), 0.0, 0.0]).collect();
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, bits);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["CONVERT"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| {
            let word = if c % 2 == 0 { pairs[p].0 } else { pairs[p].1 };
            let value = if c < 2 { f64::from(word) } else { f64::from(word as i32) };
            let bound = if f64::from(value as f32) == value { 0.0 } else { ulp(value) };
            Approx::new(value, bound)
        });
    });
    case.stored_as(&[Policy::F32])
}

/// The shader's output for an f16 value.
fn half_read(v: f64) -> Approx {
    match v {
        v if !v.is_finite() => Approx::new(f64::from(1e30f32), 0.0),
        // Subnormal f16 may be flushed to zero (WGSL): anything from 0 to the value.
        v if v != 0.0 && v.abs() < f64::from(f16::MIN_POSITIVE) => Approx::new(v / 2.0, v.abs() / 2.0),
        v => Approx::new(v, 0.0),
    }
}

/// Every f16 value, at each position of a vec4, because compilers unpack each position with other instructions.
fn halves() -> Vec<f32> {
    let half = |bits: u16| f16::from_bits(bits).to_f32();
    (0..=u16::MAX).flat_map(|bits| [0, 16_421, 32_839, 49_253].map(|on| half(bits.wrapping_add(on)))).collect()
}

/// Reads every f16 value; infinities and NaN must show.
fn unpack() -> Case {
    Case::new(&KERNEL, "all 65,536 halves read".into(), move |b: &mut CaseBuilder| {
        let halves = halves();
        let n = halves.len() as u32 / 4;
        let x = b.input_of("halves", 1, n, Channels::one(4), b.values(), halves);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["UNPACK"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| half_read(x.at(p, c)));
    })
    .stored_as(HALVES)
}

/// Writes every f16 value from f32 and reads it back: exact values must not change. 1 replaces infinities and NaN, because with one of them
/// in a pair, WGSL leaves both halves of pack2x16float undefined (SwiftShader changes the other one).
fn repack() -> Case {
    Case::new(&KERNEL, "all 65,536 halves written and read".into(), move |b: &mut CaseBuilder| {
        let halves: Vec<f32> = halves().into_iter().map(|v| if v.is_finite() { v } else { 1.0 }).collect();
        let n = halves.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, halves);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["REPACK"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| half_read(x.at(p, c)));
    })
    .stored_as(&[Policy::PACKED, Policy::F16])
}

/// Values over the f16 range and beyond both of its ends, rounded.
fn pack() -> Case {
    Case::new(&KERNEL, "written as halves".into(), move |b: &mut CaseBuilder| {
        let value = |i: i32| sign(i) * ((i % 41 - 26) as f32).exp2() * (1.0 + (i * 613 % 4096) as f32 / 4097.0);
        let mut values: Vec<f32> = (0..4096).map(value).collect();
        let ends = [0.0, -0.0, 65_504.0, -65_504.0, 65_500.0, 6.1e-5, -6.1035e-5, 6e-8, -6e-8, 1e-30];
        values.extend((0..4).flat_map(|by| ends.iter().copied().cycle().skip(by).take(12)));
        let n = values.len() as u32 / 4;
        let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values);
        let out = b.recorder.value("out", 1, n, Channels::one(4));
        record_elements(&mut b.recorder, &KERNEL, &["PACK"], &x.tensor, &out, n, 0);
        b.expect_all(&out, move |p, c| Approx::new(x.at(p, c), 0.0));
    })
    .stored_as(HALVES)
}

fn overflow() -> Case {
    Case::new(
        &KERNEL,
        "overflow, infinities and NaN written as halves are infinite or NaN".into(),
        move |b: &mut CaseBuilder| {
            let ends = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 65_520.0, -65_536.0, 1e30, -1e9];
            let ends = ends.into_iter().chain([1.0, -65_504.0, 0.0, 6e-8]);
            // Each among finite numbers, at every position of a vec4, and all of them side by side.
            let alone = |v: f32| (0..4).flat_map(move |place| (0..4).map(move |i| if i == place { v } else { -1.0 }));
            let values: Vec<f32> = ends.clone().flat_map(alone).chain(ends).collect();
            let expected: Vec<f64> = values.iter().map(|v| if v.abs() <= 65_504.0 { 0.0 } else { 1.0 }).collect();
            let n = values.len() as u32 / 4;
            let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values);
            let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
            record_elements(&mut b.recorder, &KERNEL, &["OVERFLOW"], &x.tensor, &out, n, 0);
            b.expect_all(&out, move |p, c| Approx::new(expected[4 * p + c], 0.0));
        },
    )
    .stored_as(&[Policy::PACKED, Policy::F16])
}

pub fn cases() -> Vec<Case> {
    let signed = |a: u32, b: u32| ((a as i32).wrapping_div(b as i32) as u32, (a as i32 >> 3) as u32);
    let remainder = |a: u32, b: u32| {
        let r = (a as i32).wrapping_rem(b as i32);
        (r as u32, r.wrapping_neg() as u32)
    };
    let order = |a: u32, b: u32| {
        let lesser = if (a as i32) < b as i32 { 7 } else { a };
        (if a < b { b.wrapping_add(1) } else { a }, lesser.wrapping_add(u32::from(a == b)))
    };
    vec![
        function("EXP", "exp"),
        function("EXP2", "exp2"),
        function("TANH", "tanh"),
        function("SQRT", "sqrt"),
        function("INVERSE_SQRT", "inverseSqrt"),
        function("DIVIDE", "division"),
        function("MULTIPLY_ADD", "multiplication and addition"),
        dot_products(),
        exact(),
        convert(),
        whole("UNSIGNED", "u32 division and remainder", |a, b| (a / b, a % b)),
        whole("SIGNED", "i32 division and shift", signed),
        whole("REMAINDER", "i32 remainder", remainder),
        whole("WRAPPING", "u32 product and difference, wrapping", |a, b| (a.wrapping_mul(b), a.wrapping_sub(b))),
        whole("SHIFTS", "u32 shifts", |a, b| (a << (b % 32), a >> (b % 32))),
        whole("BOUNDS", "u32 minimum and maximum", |a, b| (a.min(b), a.max(b))),
        whole("ORDER", "u32 and i32 comparisons", order),
        unpack(),
        pack(),
        repack(),
        overflow(),
    ]
}
