//! Weights in the model's layout, and in the memory layouts that forms use.

use super::pieces::Pieces;
use super::tensor::{Channels, Element, Tensor, TensorId};
use super::winograd::MATRICES;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

/// The weight of a convolution or a linear layer, `[Cout, Cin, taps]`, before a form chooses its layout.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its number among the constants of its model.
    pub id: u32,
    pub name: Arc<str>,
    pub taps: u32,
    /// Channel layouts of the tensors that it multiplies and produces.
    pub inputs: Channels,
    pub outputs: Channels,
}

/// The memory layout of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packing {
    /// `[taps, Cin with padding, Cout]`: a row of all output channels per tap and input channel.
    Taps,
    /// `[36, Cin with padding, Cout]`: like [`Packing::Taps`], but the 3 x 3 windows g are transformed to G g G^T (see
    /// [`super::winograd`]).
    Winograd,
    /// `[taps or 36, Cout / columns, Cin, columns]`: either of these, split into panels of that many columns. Columns are padded with
    /// zeros, and input channels up to a multiple of `step`.
    Panels { of: Panels, columns: u32, step: u32, read: Read },
}

/// How the shader reads a panel's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Read {
    /// Four columns at once.
    Vec4s,
    /// Four columns of two rows at once, `[rows / 2, columns / 4, 2, 4]`.
    Eights,
    /// One column per lane, in f32; stored as f16, they become [`Read::Pairs`].
    Numbers,
    /// One word per lane: a column and the one half a panel further on, so that a load gives two vectors of adjacent columns.
    Pairs,
}

/// The contents of the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Panels {
    /// [`Packing::Taps`].
    Taps,
    /// [`Packing::Taps`] of `[hidden | gate]` columns: the lower half of a panel is hidden, the upper half are their gates.
    Gated,
    /// [`Packing::Winograd`].
    Winograd,
}

impl Packing {
    /// The tensor that `param` becomes, stored as `element`. Plans that use the same packing share it.
    pub fn tensor(self, param: &Param, element: Element) -> Tensor {
        let (inputs, outputs) = (4 * param.inputs.vec4s(), &param.outputs);
        let (height, width, channels) = match self {
            Packing::Taps => (param.taps, inputs, outputs.clone()),
            Packing::Winograd => (MATRICES, inputs, outputs.clone()),
            Packing::Panels { of, columns, step, .. } => {
                let panels = (4 * outputs.vec4s()).div_ceil(columns);
                (of.matrices(param) * panels, inputs.next_multiple_of(step), Channels::one(columns))
            }
        };
        let element = self.element(element);
        let packing = match self {
            Packing::Panels { of, columns, step, read: Read::Numbers } if element == Element::Packed => {
                Packing::Panels { of, columns, step, read: Read::Pairs }
            }
            other => other,
        };
        let id = TensorId::Constant(param.id, Some(packing));
        Tensor { id, name: param.name.clone(), height, width, channels, element }
    }

    /// The storage of weights in this packing where others are stored as `element`.
    pub fn element(self, element: Element) -> Element {
        match self {
            // No straight-line form reads 8 bits or native f16, and 8-bit weights with their scales are not f16.
            Packing::Panels { read: Read::Numbers | Read::Pairs, .. } if element != Element::Packed => Element::F32,
            // There is no bound for transformed windows in 8 bits.
            Packing::Winograd | Packing::Panels { of: Panels::Winograd, .. } if element == Element::Q8 => {
                Element::Packed
            }
            Packing::Taps | Packing::Winograd | Packing::Panels { .. } => element,
        }
    }

    /// How to pack it piece by piece.
    pub(crate) fn pieces(self, param: &Param) -> Pieces<'_> {
        Pieces::new(self, param)
    }

    /// The rows of that tensor; `values` are `[Cout, Cin, taps]`. Rows of padding channels are zero.
    pub fn pack(self, param: &Param, values: &[f32]) -> Vec<f32> {
        let pieces = self.pieces(param);
        let (mut out, mut room) = (vec![0.0; pieces.len()], Vec::new());
        for panel in 0..pieces.panels {
            let windows = |range: Range<usize>| &values[range.start * pieces.window()..range.end * pieces.window()];
            let read: Vec<f32> = pieces.reads(panel).into_iter().flat_map(windows).copied().collect();
            let put = &mut |at: usize, rows: &[f32]| {
                out[at..at + rows.len()].copy_from_slice(rows);
                Ok::<(), Infallible>(())
            };
            let Ok(()) = pieces.pack(panel, &read, &mut room, put);
        }
        out
    }
}

impl Panels {
    /// Its matrices: one per tap, or 36 for Winograd's algorithm.
    fn matrices(self, param: &Param) -> u32 {
        match self {
            Panels::Taps | Panels::Gated => param.taps,
            Panels::Winograd => MATRICES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::winograd::{G, both};
    use super::*;
    use crate::plan::layout;

    #[test]
    fn packed_weights_are_where_the_kernel_reads_them() {
        // Channels 0 and 1 are in the first vec4, channel 2 in the next.
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
    fn weights_of_8_bits_lie_where_the_kernel_reads_them() {
        // A block of 64 rows, and one of 12.
        let param = Param { id: 0, name: "w".into(), taps: 1, inputs: Channels::one(76), outputs: Channels::one(6) };
        let w: Vec<f32> = (0..6 * 76).map(|i| (i * i % 255) as f32 - 127.0).collect();
        let tensor = Packing::Taps.tensor(&param, Element::Q8);
        let bytes = layout::to_bytes(&tensor, &Packing::Taps.pack(&param, &w));
        let width = 2;
        assert_eq!((bytes.len(), tensor.bytes()), (4 * width * (4 + 64 + 4 + 12), bytes.len() as u64));
        for (o, i) in (0..6).flat_map(|o| (0..76).map(move |i| (o, i))) {
            let (block, column, component) = (i / 64, o / 4, o % 4);
            let word = |row: usize| &bytes[4 * (row * width + column)..][..4];
            let scale = word(block * 68 + component);
            let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
            let value = f32::from(word(i + 4 * (block + 1))[component] as i8) * scale;
            assert!((value - w[o * 76 + i]).abs() <= 0.5001 * scale && scale > 0.5 && scale <= 1.0, "{o} {i}: {value}");
        }
        // Columns that pad a word.
        assert!((0..76).all(|i| bytes[4 * ((i + 4 * (i / 64 + 1)) * width + 1) + 2..][..2] == [0, 0]));
        assert!(include_str!("../../shaders/conv2d/weights_q8.wgsl").contains("const BLOCK = 64u;"));
    }

    #[test]
    fn turned_windows_lie_as_taps_do() {
        let (inputs, outputs) = (Channels::one(1).concat(&Channels::one(1)), Channels::one(2));
        let param = Param { id: 0, name: "w".into(), taps: 9, inputs, outputs };
        let w: Vec<f32> = (0..2 * 2 * 9).map(|i| (i * i % 17) as f32).collect();
        let (tensor, out) = (Packing::Winograd.tensor(&param, Element::F32), Packing::Winograd.pack(&param, &w));
        assert_eq!((tensor.height, tensor.width, out.len()), (36, 8, 36 * 8 * 2));
        for (o, (i, place)) in (0..2).flat_map(|o| [(0, 0), (1, 4)].map(|i| (o, i))) {
            let window = &w[(o * 2 + i) * 9..][..9];
            let window = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(window[3 * i + j])));
            let turned = both(&G, &window);
            (0..36).for_each(|matrix| {
                assert_eq!(out[(matrix * 8 + place) * 2 + o], turned[matrix / 6][matrix % 6] as f32)
            });
        }
        // The first and last points leave a corner of the window unchanged.
        assert_eq!((out[0], out[35 * 16]), (w[0], w[8]));
    }

    #[test]
    fn panels_have_what_rows_have() {
        let (inputs, outputs) = (Channels::one(1).concat(&Channels::one(2)), Channels::one(5));
        let param = Param { id: 0, name: "w".into(), taps: 9, inputs, outputs };
        let w: Vec<f32> = (0..5 * 3 * 9).map(|i| (i * i % 17) as f32 + 1.0).collect();
        let packing = Packing::Panels { of: Panels::Winograd, columns: 4, step: 6, read: Read::Numbers };
        let (tensor, panels, rows) =
            (packing.tensor(&param, Element::F32), packing.pack(&param, &w), Packing::Winograd.pack(&param, &w));
        assert_eq!((tensor.height, tensor.width, tensor.channels), (36 * 2, 12, Channels::one(4)));
        assert_eq!(panels.len(), 36 * 2 * 12 * 4);
        for (matrix, (k, n)) in (0..36).flat_map(|m| (0..12).flat_map(move |k| (0..8).map(move |n| (m, (k, n))))) {
            let expected = if k < 8 && n < 5 { rows[(matrix * 8 + k) * 5 + n] } else { 0.0 };
            assert_eq!(panels[((matrix * 2 + n / 4) * 12 + k) * 4 + n % 4], expected, "{matrix} {k} {n}");
        }
    }

    #[test]
    fn eights_are_two_rows_of_four_columns() {
        let (inputs, outputs) = (Channels::one(12), Channels::one(10));
        let param = Param { id: 0, name: "w".into(), taps: 9, inputs, outputs };
        let w: Vec<f32> = (0..10 * 12 * 9).map(|i| (i * i % 1013) as f32 + 1.0).collect();
        for of in [Panels::Taps, Panels::Winograd] {
            let packed = |read| Packing::Panels { of, columns: 8, step: 8, read }.pack(&param, &w);
            let (eights, rows) = (packed(Read::Eights), packed(Read::Vec4s));
            for (both, lines) in eights.chunks_exact(16).zip(rows.chunks_exact(16)) {
                assert_eq!(both, [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15].map(|i: usize| lines[i]));
            }
        }
    }

    #[test]
    fn gates_lie_beside_what_they_are_of() {
        let (inputs, outputs) = (Channels::one(2), Channels::one(6).concat(&Channels::one(6)));
        let param = Param { id: 0, name: "w".into(), taps: 1, inputs, outputs };
        let w: Vec<f32> = (0..12 * 2).map(|i| i as f32 + 1.0).collect();
        let packing = Packing::Panels { of: Panels::Gated, columns: 8, step: 4, read: Read::Numbers };
        let (tensor, panels) = (packing.tensor(&param, Element::F32), packing.pack(&param, &w));
        assert_eq!((tensor.height, tensor.width, tensor.channels), (2, 4, Channels::one(8)));
        for (k, n) in (0..4).flat_map(|k| (0..16).map(move |n| (k, n))) {
            let (o, real) = (n / 8 * 4 + n % 4, k < 2);
            let expected = if real && o < 6 { w[(o + 6 * (n % 8 / 4)) * 2 + k] } else { 0.0 };
            assert_eq!(panels[(n / 8 * 4 + k) * 8 + n % 8], expected, "{k} {n}");
        }
        // As f16, a hidden column and its gate share a word.
        let TensorId::Constant(_, Some(pairs)) = packing.tensor(&param, Element::Packed).id else {
            panic!("no weight")
        };
        for (row, pairs) in panels.chunks_exact(8).zip(pairs.pack(&param, &w).chunks_exact(8)) {
            assert_eq!(pairs, [0, 4, 1, 5, 2, 6, 3, 7].map(|column| row[column]));
        }
    }
}
