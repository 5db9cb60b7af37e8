//! Shapes and handles. A [`Tensor`] owns no memory: it has a name, a shape, and an id that a plan resolves.

use super::packing::Packing;
use crate::q8::BLOCK;
use crate::shader::{Form, Needs, Stored};
use std::sync::Arc;

/// The storage of a tensor's elements in GPU memory. Arithmetic is always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// f16 packed two to a `u32`: core WGSL, on every adapter.
    Packed,
    /// WGSL's native `f16`; needs the adapter's shader-f16 feature.
    F16,
    /// For weights only: 8 bits, four to a `u32`, and an f32 scale per column of a block of rows (see [`crate::q8`]).
    Q8,
}

impl Element {
    pub fn is_half(self) -> bool {
        matches!(self, Element::Packed | Element::F16)
    }

    /// Bytes of four elements, without scales.
    pub fn vec4_bytes(self) -> u64 {
        match self {
            Element::F32 => 16,
            Element::Packed | Element::F16 => 8,
            Element::Q8 => 4,
        }
    }
}

/// The default storage of a plan's tensors. Biases, norm weights and statistics are f32 in every plan: f16 would cost accuracy there and
/// save almost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Values that layers pass to each other.
    pub values: Element,
    /// Weights that are multiplied with values.
    pub weights: Element,
}

impl Policy {
    pub const F32: Policy = Policy { values: Element::F32, weights: Element::F32 };
    pub const PACKED: Policy = Policy { values: Element::Packed, weights: Element::Packed };
    pub const F16: Policy = Policy { values: Element::F16, weights: Element::F16 };
    /// Almost the memory of f16, because weights are most of it, without rounding every value.
    pub const MIXED: Policy = Policy { values: Element::F32, weights: Element::Packed };
    /// The least memory for weights.
    pub const Q8: Policy = Policy { values: Element::F32, weights: Element::Q8 };
    /// The least memory for weights, and f16 for values.
    pub const Q8_PACKED: Policy = Policy { values: Element::Packed, weights: Element::Q8 };
    /// The policies that are recorded and tested. Kernels without weights use the first four.
    pub const ALL: [Policy; 6] =
        [Policy::F32, Policy::PACKED, Policy::F16, Policy::MIXED, Policy::Q8, Policy::Q8_PACKED];

    /// Its requirements on an adapter.
    pub fn needs(self) -> Needs {
        Needs { f16: [self.values, self.weights].contains(&Element::F16), ..Needs::NOTHING }
    }

    /// Whether a form accepts this storage.
    pub fn suits(self, form: &Form) -> bool {
        let half = |element| matches!(element, Element::Packed | Element::F16);
        match form.stored {
            Stored::Any => true,
            Stored::Floats => self.weights != Element::Q8,
            Stored::F32Values => self.values == Element::F32,
            Stored::Halves => half(self.values) && half(self.weights),
        }
    }

    /// A policy that a form accepts.
    pub(crate) fn of(form: &Form) -> Policy {
        if form.stored == Stored::Halves { Policy::PACKED } else { Policy::F32 }
    }

    /// Its name in reports, and for `--precision` of the conformance command.
    pub fn name(self) -> &'static str {
        match (self.values, self.weights) {
            (Element::F32, Element::F32) => "f32",
            (Element::Packed, Element::Packed) => "packed",
            (Element::F16, Element::F16) => "f16",
            (Element::F32, Element::Q8) => "q8",
            (_, Element::Q8) => "q8-halves",
            _ => "mixed",
        }
    }

    /// The `#ifdef` symbols that select it in the shaders (`shaders/lib/storage.wgsl`).
    pub fn defines(self) -> impl Iterator<Item = &'static str> {
        let values = match self.values {
            Element::F32 => &[][..],
            Element::Packed => &["PACKED"],
            Element::F16 => &["F16"],
            // No tensor of values has it.
            Element::Q8 => &[],
        };
        let weights = match self.weights {
            Element::F32 => &[][..],
            Element::Packed => &["PACKED_WEIGHTS"],
            Element::F16 => &["F16_WEIGHTS"],
            // There, Winograd's matrices are f16 ([`Packing::element`]).
            Element::Q8 => &["PACKED_WEIGHTS", "Q8_WEIGHTS"],
        };
        values.iter().chain(weights).copied()
    }
}

/// The channel axis: logical widths laid side by side, each padded with zeros to a multiple of four.
///
/// One width is an ordinary tensor; several are a concatenation (`[hidden | skip]`) or attention heads. So heads of any size start on a
/// vec4, and kernels only see whole vec4s. Padding lanes are zero in every tensor, and each kernel preserves that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels(Arc<[u32]>);

impl Channels {
    pub fn one(channels: u32) -> Self {
        Channels(Arc::from([channels]))
    }

    pub fn heads(heads: u32, head_dim: u32) -> Self {
        Channels(vec![head_dim; heads as usize].into())
    }

    pub fn concat(&self, other: &Channels) -> Self {
        Channels(self.0.iter().chain(other.0.iter()).copied().collect())
    }

    /// Number of channels in the checkpoint.
    pub fn logical(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Number of vec4 groups in memory.
    pub fn vec4s(&self) -> u32 {
        self.0.iter().map(|c| c.div_ceil(4)).sum()
    }

    /// The position in memory of every logical channel, in order.
    pub fn places(&self) -> Vec<u32> {
        let mut places = Vec::with_capacity(self.logical() as usize);
        let mut start = 0;
        for &width in self.0.iter() {
            places.extend(start..start + width);
            start += width.div_ceil(4) * 4;
        }
        places
    }

    pub fn segments(&self) -> &[u32] {
        &self.0
    }
}

/// Identifies a tensor, and where to find its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorId {
    /// A value of one plan: an input, an output or an intermediate.
    Value(u32),
    /// A constant of the model, shared by its plans: a weight in a packing, or a constant that is never packed.
    Constant(u32, Option<Packing>),
}

/// A handle: `[height, width, channels]`, channels innermost. Tokens have height * width rows in the same memory; a matrix is `[1, rows,
/// columns]`.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub id: TensorId,
    pub name: Arc<str>,
    pub height: u32,
    pub width: u32,
    pub channels: Channels,
    pub element: Element,
}

impl Tensor {
    pub fn positions(&self) -> u32 {
        self.height * self.width
    }

    /// Size in memory, in vec4s.
    pub fn len_vec4(&self) -> u64 {
        self.height as u64 * self.width as u64 * self.channels.vec4s() as u64
    }

    pub fn vec4_bytes(&self) -> u64 {
        self.element.vec4_bytes()
    }

    pub fn bytes(&self) -> u64 {
        // Each block of rows has four more rows, for scales.
        let scales = match self.element {
            Element::Q8 => 4 * u64::from(self.positions()).div_ceil(BLOCK as u64) * u64::from(self.channels.vec4s()),
            _ => 0,
        };
        (self.len_vec4() + scales) * self.vec4_bytes()
    }

    pub fn shape_string(&self) -> String {
        format!("[{}, {}, {}]", self.height, self.width, self.channels.logical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_pad_each_segment_to_whole_vec4s() {
        let c = Channels::one(6).concat(&Channels::one(3));
        assert_eq!((c.logical(), c.vec4s()), (9, 3));
        assert_eq!(c.places(), [0, 1, 2, 3, 4, 5, 8, 9, 10]);
        let heads = Channels::heads(2, 10);
        assert_eq!((heads.logical(), heads.vec4s()), (20, 6));
        assert_eq!(heads.places()[10], 12);
    }
}
