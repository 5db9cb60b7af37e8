//! Values and sizes that pictures of a usual size never reach.

use super::{Colours, Pass, build, case};
use crate::check::{Case, Fill};
use crate::kernels::guided_filter::KERNEL;
use crate::plan::Policy;
use crate::twins::{WIDE, ZEROS, sweep};

pub(super) fn cases() -> Vec<Case> {
    let colours = Colours { shared: 0.0, own: 0.3 };
    let of = |name: &str, part: Pass, fill: Fill| {
        let name = format!("{} {name}", part.name());
        Case::new(&KERNEL, name, move |b| build(b, (13, 11, 2, 4e-4, colours), part, fill))
    };
    let mut cases = Vec::new();
    for part in [Pass::Fit, Pass::Both] {
        cases.push(of("what is far beyond the range", part, Fill::Of(WIDE)));
        cases.push(of("the brightest", part, Fill::Of(&[1.0])));
        cases.push(of("zeros", part, Fill::Of(ZEROS)));
        cases.push(of("alternating signs", part, Fill::Of(&[1.0, -1.0])));
    }
    cases.push(of("large slopes", Pass::Apply, Fill::Of(&[1e4, -1e4, 3e3, -2e3, 0.0])));
    cases.push(of("zeros", Pass::Apply, Fill::Of(ZEROS)));
    for part in [Pass::Fit, Pass::Apply] {
        // Blocks have 64 pixels.
        let sizes = |of: fn(u32) -> (u32, u32)| (1..=130).map(of).collect::<Vec<_>>();
        for (name, sizes) in [("1 to 130 columns", sizes(|n| (1, n))), ("1 to 130 rows", sizes(|n| (n, 1)))] {
            let name = format!("{} {name}", part.name());
            let all = sweep(&KERNEL, &name, sizes, move |b, (height, width)| {
                build(b, (height, width, 1, 4e-4, colours), part, part.fill())
            });
            cases.push(all.stored_as(&[Policy::F32]));
        }
        // More pixels than 16 bits hold, and more rows and columns than 13 bits hold.
        for (height, width) in [(257, 256), (8200, 2), (2, 8200)] {
            cases.push(case((height, width, 1, 4e-4, colours), part).stored_as(&[Policy::F32]));
        }
    }
    cases
}
