//! Weights: as the model knows them, and as a form wants them to lie in memory.

use super::tensor::{Channels, Element, Tensor, TensorId};
use super::winograd::{G, MATRICES, both};
use std::sync::Arc;

/// The weight of a convolution or of a linear layer, `[Cout, Cin, taps]`, before a form says how it lies.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its number among the constants of its model.
    pub id: u32,
    pub name: Arc<str>,
    pub taps: u32,
    /// How the tensors lie that it is multiplied with, and that it makes.
    pub inputs: Channels,
    pub outputs: Channels,
}

/// How a weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packing {
    /// `[taps, Cin with padding, Cout]`: for each tap and input channel a row of all output channels.
    Taps,
    /// `[36, Cin with padding, Cout]`: [`Packing::Taps`] of 3 x 3 windows g turned into G g G^T (see [`super::winograd`]).
    Winograd,
}

impl Packing {
    /// The tensor that `param` becomes, stored as `element`. The same for the same packing, in whatever plan: it lies in memory once.
    pub fn tensor(self, param: &Param, element: Element) -> Tensor {
        Tensor {
            id: TensorId::Constant(param.id, Some(self)),
            name: param.name.clone(),
            height: self.planes(param),
            width: 4 * param.inputs.vec4s(),
            channels: param.outputs.clone(),
            element,
        }
    }

    fn planes(self, param: &Param) -> u32 {
        match self {
            Packing::Taps => param.taps,
            Packing::Winograd => MATRICES,
        }
    }

    /// The rows of that tensor: `values` are `[Cout, Cin, taps]`. Rows of padding channels are zero.
    pub fn pack(self, param: &Param, values: &[f32]) -> Vec<f32> {
        let (taps, cout) = (param.taps as usize, param.outputs.logical() as usize);
        let (places, padded) = (param.inputs.places(), 4 * param.inputs.vec4s() as usize);
        match self {
            Packing::Taps => by_taps(values, cout, taps, &places, padded),
            Packing::Winograd => {
                let turned: Vec<f32> = values.chunks_exact(9).flat_map(turn).collect();
                by_taps(&turned, cout, MATRICES as usize, &places, padded)
            }
        }
    }
}

/// G g G^T, rounded once.
fn turn(g: &[f32]) -> [f32; MATRICES as usize] {
    let window = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(g[3 * i + j])));
    let turned = both(&G, &window);
    std::array::from_fn(|i| turned[i / 6][i % 6] as f32)
}

/// Input channel `i` goes to row `places[i]` of each tap.
fn by_taps(w: &[f32], cout: usize, taps: usize, places: &[u32], padded: usize) -> Vec<f32> {
    let cin = places.len();
    let mut out = vec![0.0; taps * padded * cout];
    // Blocks of columns keep both sides within a few cache lines.
    for first in (0..cout).step_by(16) {
        let end = (first + 16).min(cout);
        for (i, &place) in places.iter().enumerate() {
            for tap in 0..taps {
                let row = (tap * padded + place as usize) * cout;
                for o in first..end {
                    out[row + o] = w[(o * cin + i) * taps + tap];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_weights_are_where_the_kernel_reads_them() {
        // Channels 0 and 1 lie at the beginning, channel 2 in the next vec4.
        let inputs = Channels::one(2).concat(&Channels::one(1));
        let (taps, cout) = (2, 3);
        let param = Param { id: 7, name: "w".into(), taps, inputs, outputs: Channels::one(cout) };
        let w: Vec<f32> = (0..cout * 3 * taps).map(|i| i as f32 + 1.0).collect();
        let (tensor, out) = (Packing::Taps.tensor(&param, Element::F32), Packing::Taps.pack(&param, &w));
        assert_eq!((tensor.id, tensor.positions()), (TensorId::Constant(7, Some(Packing::Taps)), 16));
        assert_eq!(out.len(), 16 * 3);
        for o in 0..3 {
            for (i, place) in [0, 1, 4].into_iter().enumerate() {
                for t in 0..2 {
                    assert_eq!(out[(t * 8 + place) * 3 + o], w[(o * 3 + i) * 2 + t]);
                }
            }
        }
        assert_eq!(out.iter().filter(|&&v| v == 0.0).count(), 2 * 5 * 3);
    }

    #[test]
    fn turned_windows_lie_as_taps_do() {
        let (inputs, outputs) = (Channels::one(1).concat(&Channels::one(1)), Channels::one(2));
        let param = Param { id: 0, name: "w".into(), taps: 9, inputs, outputs };
        let w: Vec<f32> = (0..2 * 2 * 9).map(|i| (i * i % 17) as f32).collect();
        let (tensor, out) = (Packing::Winograd.tensor(&param, Element::F32), Packing::Winograd.pack(&param, &w));
        assert_eq!((tensor.height, tensor.width, out.len()), (36, 8, 36 * 8 * 2));
        for (o, (i, place)) in (0..2).flat_map(|o| [(0, 0), (1, 4)].map(|i| (o, i))) {
            let turned = turn(&w[(o * 2 + i) * 9..][..9]);
            (0..36).for_each(|matrix| assert_eq!(out[(matrix * 8 + place) * 2 + o], turned[matrix]));
        }
        // The first and last points leave a corner of the window as it is.
        assert_eq!((out[0], out[35 * 16]), (w[0], w[8]));
    }
}
