//! Shapes of whole blocks, which straight forms require: with one step over the channels, and with an even and an odd number of them, for
//! each epilogue and geometry.

use super::{Act, Shape};
use crate::check::Case;
use crate::kernels::conv2d::{Geometry, KERNEL};
use crate::plan::Channels;
use crate::twins::sweep;

pub(super) fn cases() -> Vec<Case> {
    let linear = Geometry::LINEAR;
    let down = |pad| Geometry { kernel: 3, stride: 2, pad, upsample: false };
    let up = Geometry { upsample: true, ..Geometry::SAME };
    let mut cases = Vec::new();
    // Steps are 32, 64, 128, 160, 256 or 320 channels.
    for [short, long] in [[320, 640], [256, 768], [160, 480], [128, 384], [64, 192], [32, 96]] {
        for (act, name) in [(Act::None, "plain"), (Act::Residual, "residual"), (Act::Geglu, "geglu")] {
            let shapes = [((1, 8), short, 32), ((1, 24), long, 32), ((3, 16), short, 96), ((5, 8), long, 64)];
            let of = |(size, cin, cout)| (size, cin, cout, linear, act);
            cases.push(blocks(&format!("whole blocks of {short} or {long} channels {name}"), shapes.map(of).into()));
        }
        let pictures = [
            ((9, 16), short, 32, Geometry::SAME, Act::Residual),
            ((5, 8), short, 64, up, Act::None),
            ((7, 16), short, 32, down((1, 1)), Act::Residual),
            ((8, 16), short, 32, down((0, 1)), Act::None),
        ];
        let name = format!("whole blocks of {short} channels 3x3");
        cases.push(blocks(&name, pictures[..2].into()));
        cases.push(blocks(&format!("{name} stride 2"), pictures[2..].into()));
    }
    // In bands of the picture.
    let [same, half] = [(Geometry::SAME, Act::Residual), (down((1, 1)), Act::None)]
        .map(|(geometry, act)| ((24, 16), 320, 32, geometry, act));
    cases.push(blocks("whole blocks 3x3", vec![same]).with_binding_limit(400 * 1024).with_alignment(256));
    cases.push(blocks("whole blocks 3x3 stride 2", vec![half]).with_binding_limit(400 * 1024));
    cases.push(blocks("whole blocks", vec![((25, 16), 320, 32, linear, Act::Residual)]).with_binding_limit(200 * 1024));
    cases
}

/// Height and width, channels in and out, geometry and epilogue.
type Blocks = ((u32, u32), u32, u32, Geometry, Act);

fn blocks(name: &str, shapes: Vec<Blocks>) -> Case {
    sweep(&KERNEL, name, shapes, |b, (size, cin, cout, geometry, act)| {
        let shape = Shape { size, cin: Channels::one(cin), cout, geometry, act, whole: false };
        shape.build(b, shape.fills());
    })
}
