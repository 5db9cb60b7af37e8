//! Buffers and dispatches: the largest binding, more workgroups than fit in one dimension, out-of-range reads and writes in the checked
//! mode, and the order of dispatches and each one's parameters.

use super::{record, record_elements};
use crate::check::bound::Approx;
use crate::check::{Case, CaseBuilder};
use crate::gpu::CHECKED;
use crate::kernels::LANES;
use crate::plan::{Channels, Element, Policy};
use crate::shader::{Form, Kernel, Needs, Ranges};

pub static KERNEL: Kernel = Kernel {
    name: "memory",
    params: &["n", "groups_x", "stride"],
    variants: &[&["FOLDED"], &[CHECKED, "READS"], &[CHECKED, "WRITES"], &["SCATTER"], &["GATHER"], &["ROTATE"]],
    forms: &[Form::plain(include_str!("../../../shaders/conformance/memory.wgsl"))],
};

fn ramp(n: u32) -> Vec<f32> {
    (0..n).map(|i| (i % 8_388_593) as f32).collect()
}

/// A dispatch of more workgroups than fit in one dimension.
fn folded(b: &mut CaseBuilder) {
    // If one dimension holds millions, use millions.
    let n = b.recorder.limits.max_workgroups.min(1 << 21) + 4465;
    let values = ramp(4 * n);
    let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values.clone());
    let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
    let windows = (b.recorder.whole(&x.tensor), b.recorder.whole(&out));
    record(&mut b.recorder, &KERNEL, &["FOLDED"], windows, (n, n.into()), 0);
    b.expect_all(&out, move |p, c| Approx::new(f64::from(values[4 * p + c]) + 1.0, 0.0));
}

/// A binding in the middle of a buffer. An out-of-range index must give a value from inside the binding, or 0.
fn robust_reads(b: &mut CaseBuilder) {
    const ROWS: u32 = 256;
    // All of the binding's rows hold one number, so any of them will do; the rows around it hold another.
    let (first, last) = (ROWS / 4, ROWS / 2);
    let inside = |row: u32| (first..last).contains(&row);
    let values = (0..ROWS).flat_map(|row| [if inside(row) { 3.0 } else { 1000.0 }; 4]).collect();
    let x = b.input_of("x", 1, ROWS, Channels::one(4), Element::F32, values);
    let n = ROWS;
    let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
    // Rows 64 to 128 begin at byte 1024, which is a multiple of every offset alignment.
    let (window, _) = b.recorder.window(&x.tensor, first.into(), last.into());
    let windows = (window, b.recorder.whole(&out));
    record(&mut b.recorder, &KERNEL, &[CHECKED, "READS"], windows, (n, u64::from(n).div_ceil(LANES)), 5000);
    b.expect_all(&out, move |p, _| {
        // Three reads, each 3 if in range, else 3 or 0: the sum is at most 9, and at least the sum of those in range.
        let sure = if p < (last - first) as usize { if p % 2 == 1 { 6.0 } else { 3.0 } } else { 0.0 };
        Approx::new((9.0 + sure) / 2.0, (9.0 - sure) / 2.0)
    });
}

/// Out-of-range writes may land anywhere in the binding, where every write has the same value, but nowhere else: the adjacent rows are
/// guard bands.
fn robust_writes(b: &mut CaseBuilder) {
    let n = 256;
    let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, vec![3.0; 4 * n as usize]);
    let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
    record_elements(&mut b.recorder, &KERNEL, &[CHECKED, "WRITES"], &x.tensor, &out, n, 0);
    b.expect_all(&out, |_, _| Approx::new(3.0, 0.0));
}

/// The largest binding (or 2 GiB where that is nearly all memory), written and read at both ends and in between.
fn largest_binding(b: &mut CaseBuilder) {
    let limits = &b.recorder.limits;
    let vec4s = (limits.max_binding.min(limits.max_buffer).min(1 << 31) / 16) as u32;
    let n = 4096;
    // The last one is the last vec4 of the binding.
    let stride = (vec4s - 1) / (n - 1);
    let vec4s = stride * (n - 1) + 1;
    let values = ramp(4 * n);
    let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values.clone());
    let large = b.recorder.value_of("large", 1, vec4s, Channels::one(4), Element::F32);
    let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
    record_elements(&mut b.recorder, &KERNEL, &["SCATTER"], &x.tensor, &large, n, stride);
    record_elements(&mut b.recorder, &KERNEL, &["GATHER"], &large, &out, n, stride);
    b.expect_all(&out, move |p, c| Approx::new(values[4 * p + c].into(), 0.0));
}

/// Forty dispatches, each of which reads what other lanes wrote in the previous one, and adds its own number.
fn order(b: &mut CaseBuilder) {
    let (n, count) = (1000, 40);
    let values = ramp(4 * n);
    let x = b.input_of("x", 1, n, Channels::one(4), Element::F32, values.clone());
    let mut from = x.tensor;
    for i in 0..count {
        let to = b.recorder.value_of(&format!("round {i}"), 1, n, Channels::one(4), Element::F32);
        record_elements(&mut b.recorder, &KERNEL, &["ROTATE"], &from, &to, n, i + 1);
        from = to;
    }
    b.expect_all(&from, move |p, c| {
        let row = (p + count as usize) % n as usize;
        Approx::new(f64::from(values[4 * row + c]) + f64::from(count * (count + 1) / 2), 0.0)
    });
}

pub fn cases() -> Vec<Case> {
    let case =
        |name: &str, build: fn(&mut CaseBuilder)| Case::new(&KERNEL, name.into(), build).stored_as(&[Policy::F32]);
    let checks = Needs { ranges: Ranges::Checked, ..Needs::NOTHING };
    vec![
        case("more workgroups than one dimension holds", folded),
        case("checked: reads out of range stay inside the binding", robust_reads)
            .called("checked-reads")
            .needing(checks),
        case("checked: writes out of range stay inside the binding", robust_writes)
            .called("checked-writes")
            .needing(checks),
        case("a binding of the largest size", largest_binding),
        case("forty dispatches in order", order),
    ]
}
