//! The model's constants: weights and vectors, described on loading, computed and packed one by one on upload.

use crate::plan::{Channels, Element, Packing, Param, Pieces, Put, Tensor, TensorId, layout};
use crate::weights::{TensorView, WeightsError};
use std::ops::Range;

type Values = Result<Vec<f32>, WeightsError>;

/// Computes a constant's values, reading the checkpoint when called.
type Fill = Box<dyn Fn() -> Values + Send + Sync>;

/// The values of a weight, `[Cout, Cin, taps]`.
pub enum Windows {
    All(Fill),
    /// For a range of output channels, so that a large weight is never in memory as a whole.
    Some(Box<dyn Fn(Range<usize>) -> Values + Send + Sync>),
}

impl Windows {
    pub fn all(fill: impl Fn() -> Values + Send + Sync + 'static) -> Windows {
        Windows::All(Box::new(fill))
    }

    pub fn some(fill: impl Fn(Range<usize>) -> Values + Send + Sync + 'static) -> Windows {
        Windows::Some(Box::new(fill))
    }

    /// As in the checkpoint.
    pub fn of(view: TensorView) -> Windows {
        Windows::some(move |outputs| view.rows_to_f32(outputs))
    }
}

enum What {
    Weight(Param, Windows),
    /// A tensor that every form reads in the same way: `[positions, logical channels]`.
    Plain(Tensor, Fill),
}

/// Every constant of a model. Holds no values: host memory stays a small multiple of the largest tensor.
#[derive(Default)]
pub struct Constants(Vec<What>);

impl Constants {
    /// All of them, with weights packed for the first form, stored as `element`.
    pub fn tensors(&self, element: Element) -> impl ExactSizeIterator<Item = Tensor> {
        self.0.iter().map(move |what| match what {
            What::Weight(param, _) => Packing::Taps.tensor(param, element),
            What::Plain(tensor, _) => tensor.clone(),
        })
    }

    /// Adds `[height, width, channels]` of any meaning, which every form reads in the same way.
    pub fn add(
        &mut self,
        name: &str,
        (height, width): (u32, u32),
        channels: Channels,
        element: Element,
        fill: impl Fn() -> Values + Send + Sync + 'static,
    ) -> Tensor {
        let id = TensorId::Constant(self.0.len() as u32, None);
        let tensor = Tensor { id, name: name.into(), height, width, channels, element };
        self.0.push(What::Plain(tensor.clone(), Box::new(fill)));
        tensor
    }

    /// Adds a weight `[Cout, Cin, taps]`, to be packed for the form that is chosen for it.
    pub(super) fn weight(
        &mut self,
        name: &str,
        taps: u32,
        inputs: Channels,
        outputs: Channels,
        windows: Windows,
    ) -> Param {
        let param = Param { id: self.0.len() as u32, name: name.into(), taps, inputs, outputs };
        self.0.push(What::Weight(param.clone(), windows));
        param
    }

    /// The bytes of `tensor`, one of the constants, in its memory layout.
    ///
    /// # Errors
    /// As for [`Constants::give`].
    pub fn data(&self, tensor: &Tensor) -> Result<Vec<u8>, WeightsError> {
        let mut data = vec![0; tensor.bytes() as usize];
        self.give::<WeightsError>(tensor, &mut |at, bytes| {
            data[at as usize..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        })?;
        Ok(data)
    }

    /// Passes the bytes of `tensor`, one of the constants, in its memory layout, to `put`, piece by piece with their offsets.
    ///
    /// # Errors
    /// The tensor cannot be read, its storage cannot hold a value, or `put` returns an error.
    pub(crate) fn give<E: From<WeightsError>>(&self, tensor: &Tensor, put: &mut PutBytes<E>) -> Result<(), E> {
        let other = || WeightsError::Invalid {
            file: tensor.name.to_string(),
            reason: "is not a constant of this model".into(),
        };
        let TensorId::Constant(index, packing) = tensor.id else { return Err(other().into()) };
        let what = self.0.get(index as usize).ok_or_else(other)?;
        // `at`: the index of the first value, if rows have no padding.
        let mut write = |at: usize, values: &[f32]| {
            // A form's transform may enlarge values, so check each.
            check_range(tensor, values)?;
            let mut at = (at / tensor.channels.logical().max(1) as usize) as u64 * row_bytes(tensor);
            let mut done = Ok(());
            layout::in_parts(tensor, values, &mut |bytes| {
                if done.is_ok() {
                    done = put(at, bytes);
                }
                at += bytes.len() as u64;
            });
            done
        };
        match (what, packing) {
            (What::Weight(param, windows), Some(packing)) => {
                let pieces = packing.pieces(param);
                if tensor.element != Element::Q8 {
                    return give_packed(tensor, &pieces, windows, &mut write);
                }
                // Blocks of rows span pieces.
                let mut whole = vec![0.0; pieces.len()];
                give_packed::<E>(tensor, &pieces, windows, &mut |at, values| {
                    whole[at..][..values.len()].copy_from_slice(values);
                    Ok(())
                })?;
                write(0, &whole)
            }
            (What::Plain(_, fill), None) => write(0, &fill()?),
            _ => Err(other().into()),
        }
    }
}

/// Receives bytes, with their offset.
type PutBytes<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

fn row_bytes(tensor: &Tensor) -> u64 {
    u64::from(tensor.channels.vec4s()) * tensor.vec4_bytes()
}

/// Gives a weight, panel by panel.
fn give_packed<E: From<WeightsError>>(
    tensor: &Tensor,
    pieces: &Pieces,
    windows: &Windows,
    write: &mut Put<E>,
) -> Result<(), E> {
    let whole = match windows {
        Windows::All(fill) => fill()?,
        Windows::Some(_) => Vec::new(),
    };
    let mut room = Vec::new();
    for panel in 0..pieces.panels {
        let mut values = Vec::new();
        for outputs in pieces.reads(panel) {
            match windows {
                Windows::All(_) => {
                    values.extend_from_slice(&whole[outputs.start * pieces.window()..outputs.end * pieces.window()]);
                }
                Windows::Some(fill) if values.is_empty() => values = fill(outputs)?,
                Windows::Some(fill) => values.extend(fill(outputs)?),
            }
        }
        check_range(tensor, &values)?;
        pieces.pack(panel, &values, &mut room, write)?;
    }
    Ok(())
}

/// Fails if the storage of `tensor` cannot hold a value.
fn check_range(tensor: &Tensor, values: &[f32]) -> Result<(), WeightsError> {
    let half = tensor.element.is_half();
    let most = if half { f32::from(half::f16::MAX) } else { f32::MAX };
    // Folding over all values is faster than an early exit.
    if values.iter().fold(true, |all, v| all & (v.abs() <= most)) {
        return Ok(());
    }
    let value = values.iter().copied().find(|v| !(v.abs() <= most)).unwrap_or_default();
    Err(WeightsError::Value { tensor: tensor.name.to_string(), value, half })
}
