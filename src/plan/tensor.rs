//! Shapes and handles. A [`Tensor`] owns no memory: it is a name, a shape and an id that a plan resolves.

use super::packing::Packing;
use crate::shader::Needs;
use std::sync::Arc;

/// How elements lie in GPU memory. Arithmetic is always f32; this is storage alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// 32-bit floats.
    F32,
    /// Half precision packed two to a `u32`: core WGSL, every adapter.
    Packed,
    /// Half precision as WGSL's native `f16`; needs the adapter's shader-f16 feature.
    F16,
    /// Weights as `Packed`, values as `F32`: the memory of half precision where weights are most of it, without
    /// its rounding of every value on the way.
    Mixed,
}

impl Storage {
    /// Is such an element stored in half precision?
    pub fn is_half(self, element: Element) -> bool {
        match (element, self) {
            (Element::F32, _) | (_, Storage::F32) | (Element::Stored, Storage::Mixed) => false,
            (Element::Stored | Element::Weight, _) => true,
        }
    }

    /// What an adapter must have for it.
    pub fn needs(self) -> Needs {
        Needs { f16: self == Storage::F16, ..Needs::NOTHING }
    }

    /// The name used in reports and by `--precision` of the conformance command.
    pub fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::Packed => "packed",
            Storage::F16 => "f16",
            Storage::Mixed => "mixed",
        }
    }

    /// The `#ifdef` symbol that selects this storage in the shaders (`shaders/lib/storage.wgsl`).
    pub fn define(self) -> Option<&'static str> {
        match self {
            Storage::F32 => None,
            Storage::Packed => Some("PACKED"),
            Storage::F16 => Some("F16"),
            Storage::Mixed => Some("MIXED"),
        }
    }
}

/// What one element of a tensor is: the plan's storage kind, or f32 whatever the plan stores
/// (biases, norm weights and statistics, where half precision would cost accuracy and save nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    Stored,
    /// A weight that is multiplied with values: as `Stored` except under [`Storage::Mixed`].
    Weight,
    F32,
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
    /// A constant of the model in a packing, shared by its plans.
    Constant(u32, Packing),
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

    pub fn vec4_bytes(&self, storage: Storage) -> u64 {
        if storage.is_half(self.element) { 8 } else { 16 }
    }

    pub fn bytes(&self, storage: Storage) -> u64 {
        self.len_vec4() * self.vec4_bytes(storage)
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
