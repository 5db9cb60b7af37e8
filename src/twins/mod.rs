//! What each kernel must compute: an f64 twin, a bound derived from the arithmetic, and cases. One file for each of `kernels`.

mod affine;
mod attention;
mod conv2d;
mod convert;
mod group_norm;
mod group_stats;
mod guided_filter;
mod layer_norm;

use crate::check::Tested;
use crate::kernels;

/// In the order of [`kernels::ALL`].
pub static ALL: [Tested; 8] = [
    Tested { kernel: &kernels::affine::KERNEL, cases: affine::cases },
    Tested { kernel: &kernels::attention::KERNEL, cases: attention::cases },
    Tested { kernel: &kernels::conv2d::KERNEL, cases: conv2d::cases },
    Tested { kernel: &kernels::convert::KERNEL, cases: convert::cases },
    Tested { kernel: &kernels::group_norm::KERNEL, cases: group_norm::cases },
    Tested { kernel: &kernels::group_stats::KERNEL, cases: group_stats::cases },
    Tested { kernel: &kernels::guided_filter::KERNEL, cases: guided_filter::cases },
    Tested { kernel: &kernels::layer_norm::KERNEL, cases: layer_norm::cases },
];
