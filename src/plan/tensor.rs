//! Shapes and handles. A [`Tensor`] owns no memory: it is a name, a shape and an id that a plan resolves.

use super::packing::Packing;
use crate::shader::{Form, Needs};
use std::sync::Arc;

/// How the numbers of a tensor lie in GPU memory. Arithmetic is always f32; this is storage alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// Half precision packed two to a `u32`: core WGSL, every adapter.
    Packed,
    /// Half precision as WGSL's native `f16`; needs the adapter's shader-f16 feature.
    F16,
}

impl Element {
    pub fn is_half(self) -> bool {
        self != Element::F32
    }

    /// Bytes of four numbers.
    pub fn vec4_bytes(self) -> u64 {
        if self.is_half() { 8 } else { 16 }
    }
}

/// What the tensors of a plan are stored as where nothing else is said. Biases, norm weights and statistics are f32 in every
/// plan: half precision would cost accuracy there and save nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What layers hand to each other.
    pub values: Element,
    /// Weights that are multiplied with values.
    pub weights: Element,
}

impl Policy {
    pub const F32: Policy = Policy { values: Element::F32, weights: Element::F32 };
    pub const PACKED: Policy = Policy { values: Element::Packed, weights: Element::Packed };
    pub const F16: Policy = Policy { values: Element::F16, weights: Element::F16 };
    /// The memory of half precision where weights are most of it, without its rounding of every value on the way.
    pub const MIXED: Policy = Policy { values: Element::F32, weights: Element::Packed };
    /// Those that are recorded and tested.
    pub const ALL: [Policy; 4] = [Policy::F32, Policy::PACKED, Policy::F16, Policy::MIXED];

    /// What an adapter must have for it.
    pub fn needs(self) -> Needs {
        Needs { f16: [self.values, self.weights].contains(&Element::F16), ..Needs::NOTHING }
    }

    /// Whether a form takes values that are stored so.
    pub fn suits(self, form: &Form) -> bool {
        !form.f32_values || self.values == Element::F32
    }

    /// The name used in reports and by `--precision` of the conformance command.
    pub fn name(self) -> &'static str {
        match (self.values, self.weights) {
            (Element::F32, Element::F32) => "f32",
            (Element::Packed, Element::Packed) => "packed",
            (Element::F16, Element::F16) => "f16",
            _ => "mixed",
        }
    }

    /// The `#ifdef` symbols that select it in the shaders (`shaders/lib/storage.wgsl`).
    pub fn defines(self) -> impl Iterator<Item = &'static str> {
        let values = match self.values {
            Element::F32 => None,
            Element::Packed => Some("PACKED"),
            Element::F16 => Some("F16"),
        };
        let weights = match self.weights {
            Element::F32 => None,
            Element::Packed => Some("PACKED_WEIGHTS"),
            Element::F16 => Some("F16_WEIGHTS"),
        };
        values.into_iter().chain(weights)
    }
}

/// The channel axis: logical widths laid side by side, each padded with zeros to whole groups of four.
///
/// One width is an ordinary tensor. Several are a concatenation (`[hidden | skip]`) or attention heads:
/// so heads of any size start on a vec4, and every kernel sees whole vec4s only.
/// Padding lanes are zero in every tensor; each kernel keeps that true.
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

    /// Number of channels as the checkpoint counts them.
    pub fn logical(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Number of vec4 groups in memory.
    pub fn vec4s(&self) -> u32 {
        self.0.iter().map(|c| c.div_ceil(4)).sum()
    }

    /// The place in memory of every logical channel, in order.
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

/// Which list a tensor's memory is found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorId {
    /// A value of one plan: an input, an output or something in between.
    Value(u32),
    /// A constant of the model, shared by its plans: a weight in a packing, or what is never packed.
    Constant(u32, Option<Packing>),
}

/// A handle: `[height, width, channels]`, channels innermost. Tokens are the same memory with
/// height * width rows; a matrix is `[1, rows, columns]`.
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
        self.len_vec4() * self.vec4_bytes()
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
