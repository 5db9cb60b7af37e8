//! The model's constants: weights and vectors, described now, computed and packed one by one at upload.

use crate::plan::{Channels, Element, Packing, Param, Tensor, TensorId, layout};
use crate::weights::WeightsError;

/// Gives a constant's values, reading the checkpoint when it is called: `[Cout, Cin, taps]` of a weight, else
/// `[positions, logical channels]`.
pub type Fill = Box<dyn Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync>;

enum What {
    Weight(Param),
    /// What every form reads in the same way.
    Plain(Tensor),
}

/// Every constant of a model. Holds no values: host memory stays a small multiple of the largest tensor.
#[derive(Default)]
pub struct Constants(Vec<(What, Fill)>);

impl Constants {
    /// All of them, weights as the first form packs them, stored as `element`.
    pub fn tensors(&self, element: Element) -> impl ExactSizeIterator<Item = Tensor> {
        self.0.iter().map(move |(what, _)| match what {
            What::Weight(param) => Packing::Taps.tensor(param, element),
            What::Plain(tensor) => tensor.clone(),
        })
    }

    /// `[height, width, channels]` of any meaning, which every form reads in the same way.
    pub fn add(
        &mut self,
        name: &str,
        (height, width): (u32, u32),
        channels: Channels,
        element: Element,
        fill: impl Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync + 'static,
    ) -> Tensor {
        let id = TensorId::Constant(self.0.len() as u32, None);
        let tensor = Tensor { id, name: name.into(), height, width, channels, element };
        self.0.push((What::Plain(tensor.clone()), Box::new(fill)));
        tensor
    }

    /// `[Cout, Cin, taps]`, packed as the form asks that is chosen for it.
    pub fn weight(
        &mut self,
        name: &str,
        taps: u32,
        inputs: Channels,
        outputs: Channels,
        fill: impl Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync + 'static,
    ) -> Param {
        let param = Param { id: self.0.len() as u32, name: name.into(), taps, inputs, outputs };
        self.0.push((What::Weight(param.clone()), Box::new(fill)));
        param
    }

    /// The bytes of `tensor`, one of the constants, as it lies in memory.
    ///
    /// # Errors
    /// A tensor that cannot be read, or a value that its storage cannot hold.
    pub fn data(&self, tensor: &Tensor) -> Result<Vec<u8>, WeightsError> {
        let other =
            || WeightsError::Invalid { file: tensor.name.to_string(), reason: "is no constant of this model".into() };
        let TensorId::Constant(index, packing) = tensor.id else { return Err(other()) };
        let (what, fill) = self.0.get(index as usize).ok_or_else(other)?;
        let values = fill()?;
        let most = if tensor.element.is_half() { f32::from(half::f16::MAX) } else { f32::MAX };
        let hold = |values: &[f32]| match values.iter().find(|v| !(v.abs() <= most)) {
            None => Ok(()),
            Some(&value) => Err(WeightsError::Value { tensor: tensor.name.to_string(), value, half: most < f32::MAX }),
        };
        hold(&values)?;
        let packed = match (what, packing) {
            (What::Weight(param), Some(packing)) => packing.pack(param, &values),
            (What::Plain(_), None) => values,
            _ => return Err(other()),
        };
        // What a form turns them into may be larger.
        hold(&packed)?;
        Ok(layout::to_bytes(tensor, &packed))
    }
}
