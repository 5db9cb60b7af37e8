//! The f64 twin of `pad` and its cases.

use crate::check::bound::Approx;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::pad::{Frame, KERNEL, record};
use crate::plan::Channels;

/// Height, width and channels of a picture, and the part to make.
type Shape = ((u32, u32, u32), Frame);

/// All of a picture with `pad` zeros above and to the left, in that many columns and rows in total.
fn whole(height: u32, pad: u32, (rows, width): (u32, u32), upsample: bool) -> Frame {
    Frame { rows: (0, rows), width, pad, source: (0, height), height, stored: 0, upsample }
}

/// A row and a column of zeros on each side.
fn framed(height: u32, width: u32) -> Frame {
    whole(height, 1, (height + 2, width + 2), false)
}

pub fn cases() -> Vec<Case> {
    let band = Frame { rows: (7, 12), source: (6, 11), ..framed(20, 9) };
    let up = whole(6, 1, (14, 12), true);
    vec![
        case("rows and columns on all sides", ((9, 7, 5), framed(9, 7))),
        case("rows and columns below and to the right", ((9, 7, 5), whole(9, 0, (10, 8), false))),
        case("fewer rows and columns than there are", ((9, 7, 5), whole(9, 1, (8, 6), false))),
        case("a band", ((20, 9, 6), band)),
        case("a band of which no other row is stored", ((6, 9, 6), Frame { stored: 5, ..band })),
        case("a band at an odd address", ((20, 9, 12), band)).with_alignment(256),
        case("upsampled", ((6, 5, 3), up)),
        case("a band upsampled", ((6, 5, 3), Frame { rows: (5, 11), source: (2, 5), ..up })),
        case("more workgroups than one dimension holds", ((126, 127, 16), framed(126, 127))).with_workgroup_limit(33),
        // Blocks have 64 vec4s.
        sweep("1 to 64 columns", (1..=64).map(|n| ((1, n, 3), framed(1, n))).collect(), NORMAL),
        sweep("all kinds of values", vec![((7, 39, 4), framed(7, 39))], Fill::Of(super::WIDE)),
        // Channels that fill whole subgroups.
        case("64 channels", ((9, 7, 64), framed(9, 7))),
        case("a band of 192 channels", ((20, 9, 192), band)),
        case("a band of 32 channels at an odd address", {
            ((20, 9, 32), Frame { rows: (6, 11), source: (5, 10), ..framed(20, 9) })
        })
        .with_alignment(256),
        case("a band of 64 channels upsampled", ((6, 5, 64), Frame { rows: (5, 11), source: (2, 5), ..up })),
        case("a band of 128 channels of which no other row is stored", ((6, 9, 128), Frame { stored: 5, ..band })),
        // More positions than 16 bits hold, and more vec4s than f32 can count.
        case("257x256x4", ((257, 256, 4), framed(257, 256))),
        super::bound_whole(case(
            "4100x4100x3",
            ((super::MANY.0 - 2, super::MANY.1 - 2, 3), { framed(super::MANY.0 - 2, super::MANY.1 - 2) }),
        )),
    ]
}

const NORMAL: Fill = Fill::Normal { mean: 0.0, std: 1.0 };

fn case(name: &str, shape: Shape) -> Case {
    sweep(name, vec![shape], NORMAL)
}

fn sweep(name: &str, shapes: Vec<Shape>, fill: Fill) -> Case {
    super::sweep(&KERNEL, name, shapes, move |b, shape| build(b, shape, fill))
}

/// Nothing is rounded.
fn build(b: &mut CaseBuilder, ((height, width, channels), frame): Shape, fill: Fill) {
    let x = b.input("x", height, width, Channels::one(channels), b.values(), fill);
    let out = record(&mut b.recorder, &x.tensor, frame);
    let up = u32::from(frame.upsample);
    b.expect_all(&out, move |p, c| {
        let (y, column) = (frame.rows.0 + p as u32 / frame.width, p as u32 % frame.width);
        let inside = |at: u32, size: u32| at >= frame.pad && at - frame.pad < size << up;
        if !inside(y, frame.height) || !inside(column, width) {
            return Approx::new(0.0, 0.0);
        }
        let (y, column) = (((y - frame.pad) >> up) - frame.stored, (column - frame.pad) >> up);
        Approx::new(x.at((y * width + column) as usize, c), 0.0)
    });
}
