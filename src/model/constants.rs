//! The model's constants: repacked and folded weights, described now, computed one by one at upload.

use crate::plan::{Channels, Element, Storage, Tensor, TensorId, layout};
use crate::weights::WeightsError;

/// Gives a constant's values as `[positions, logical channels]`, reading the checkpoint when it is called.
pub type Fill = Box<dyn Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync>;

struct Constant {
    tensor: Tensor,
    fill: Fill,
}

/// Every constant of a model. Holds no values: host memory stays a small multiple of the largest tensor.
#[derive(Default)]
pub struct Constants(Vec<Constant>);

impl Constants {
    pub fn add(
        &mut self,
        name: &str,
        (height, width): (u32, u32),
        channels: Channels,
        element: Element,
        fill: impl Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync + 'static,
    ) -> Tensor {
        let id = TensorId::Constant(self.0.len() as u32);
        let tensor = Tensor { id, name: name.into(), height, width, channels, element };
        self.0.push(Constant { tensor: tensor.clone(), fill: Box::new(fill) });
        tensor
    }

    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.0.iter().map(|c| &c.tensor)
    }

    /// Bytes on the device, all together.
    pub fn bytes(&self, storage: Storage) -> u64 {
        self.tensors().map(|t| t.bytes(storage)).sum()
    }

    /// The `index`-th constant as it lies in memory.
    pub fn data(&self, index: usize, storage: Storage) -> Result<Vec<u8>, WeightsError> {
        let Constant { tensor, fill } = &self.0[index];
        let values = fill()?;
        let most = if storage.is_half(tensor.element) { f32::from(half::f16::MAX) } else { f32::MAX };
        match values.iter().find(|v| !(v.abs() <= most)) {
            Some(&value) => Err(WeightsError::Value { tensor: tensor.name.to_string(), value, half: most < f32::MAX }),
            None => Ok(layout::to_bytes(tensor, storage, &values)),
        }
    }
}
