//! The definition of each kernel's result: an f64 twin, a bound derived from the arithmetic, and cases. One file for each of `kernels`.

mod affine;
mod attention;
mod conv2d;
mod convert;
mod group_norm;
mod group_stats;
mod guided_filter;
mod layer_norm;
mod pad;
mod winograd_input;
mod winograd_output;

use crate::check::{Case, CaseBuilder, Tested};
use crate::kernels;
use crate::plan::{Key, Policy};
use crate::shader::Kernel;

/// In the order of [`kernels::ALL`].
pub static ALL: [Tested; 11] = [
    Tested { kernel: &kernels::affine::KERNEL, cases: affine::cases },
    Tested { kernel: &kernels::attention::KERNEL, cases: attention::cases },
    Tested { kernel: &kernels::conv2d::KERNEL, cases: conv2d::cases },
    Tested { kernel: &kernels::convert::KERNEL, cases: convert::cases },
    Tested { kernel: &kernels::group_norm::KERNEL, cases: group_norm::cases },
    Tested { kernel: &kernels::group_stats::KERNEL, cases: group_stats::cases },
    Tested { kernel: &kernels::guided_filter::KERNEL, cases: guided_filter::cases },
    Tested { kernel: &kernels::layer_norm::KERNEL, cases: layer_norm::cases },
    Tested { kernel: &kernels::pad::KERNEL, cases: pad::cases },
    Tested { kernel: &kernels::winograd_input::KERNEL, cases: winograd_input::cases },
    Tested { kernel: &kernels::winograd_output::KERNEL, cases: winograd_output::cases },
];

/// A case for a model's own problem, if its kernel has several forms.
pub fn case_of(key: &Key) -> Option<Case> {
    if let Some(layer) = key.layer.downcast_ref::<kernels::conv2d::Layer>() {
        return conv2d::case_of(layer);
    }
    key.layer.downcast_ref::<kernels::attention::Layer>().map(attention::case_of_layer)
}

/// One case of many shapes, each too small for a case of its own: `build` records all of them.
fn sweep<S: Copy + Send + Sync + 'static>(
    kernel: &'static Kernel,
    name: &str,
    shapes: Vec<S>,
    build: impl Fn(&mut CaseBuilder, S) + Send + Sync + 'static,
) -> Case {
    Case::new(kernel, name.into(), move |b| shapes.iter().for_each(|&shape| build(b, shape)))
}

/// Numbers that normally distributed data never reaches: zeros of both signs, the largest f16, the smallest normal f16 and below, and
/// inputs at which exp, SiLU, GELU and tanh saturate.
const WIDE: &[f32] = &[
    0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 2.5, -2.5, -4.5, -4.7, 5.3, -5.3, -7.0, 9.0, -9.0, 20.0, -20.0, 43.9, -43.9, 44.5,
    -44.5, 87.0, -87.0, 88.5, -88.5, 90.0, -90.0, 104.5, -104.5, 1e3, -1e3, 4e4, -4e4, 65_504.0, -65_504.0, 6.2e-5,
    -6.2e-5, 6e-8, -6e-8,
];
const ZEROS: &[f32] = &[0.0, -0.0, -0.0];

/// A height and width with more positions than f32 can count, and the bytes of as many vec4s.
const MANY: (u32, u32) = (4100, 4100);
const MANY_BYTES: u64 = 16 * 4100 * 4100;

/// A case of that size, in which every tensor is bound as a whole.
fn bound_whole(case: Case) -> Case {
    case.stored_as(&[Policy::F32]).in_bindings_of(MANY_BYTES).in_full_only()
}

/// Policies that store values as f16. A result that overflows f16 must become infinite or NaN.
const HALVES: &[Policy] = &[Policy::PACKED, Policy::F16];

/// Whether a channel's results should overflow f16. Both halves of a word do: beside an infinite one, WGSL leaves the other undefined.
fn overflows(channel: usize) -> bool {
    (channel / 2).is_multiple_of(3)
}
