//! The weights of a model on the device: those that stay there, and a window to which the others come in turn.

use super::Progress;
use super::planned::Setup;
use crate::Error;
use crate::gpu::{GpuError, Placed};
use crate::plan::{Residency, Tensor, TensorId};
use crate::shader::Device;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

pub(super) struct Weights {
    residency: Residency,
    stay: HashMap<TensorId, Placed>,
    /// None where all stay.
    window: Option<wgpu::Buffer>,
    /// What lies in the window now, and where.
    held: RefCell<Vec<(TensorId, Range<u64>)>>,
    /// What has come once, where the host's memory is another than the device's: packing it anew takes longer than the way there.
    packed: Option<RefCell<HashMap<TensorId, Vec<u8>>>>,
}

impl Setup {
    /// Uploads those of `constants` that stay.
    pub(super) fn weights(
        &self,
        constants: impl IntoIterator<Item = (TensorId, Tensor)>,
        residency: Residency,
        progress: Progress,
    ) -> Result<Weights, Error> {
        let gpu = &self.gpu;
        let stay = constants.into_iter().filter(|(id, _)| !residency.passing.contains(id));
        let stay = self.upload(stay, None, progress)?;
        let window = (residency.window > 0).then(|| gpu.buffer("window of weights", residency.window)).transpose()?;
        let apart = gpu.forms.facts.device == Device::Discrete;
        let packed = (apart && window.is_some()).then(RefCell::default);
        Ok(Weights { residency, stay, window, held: RefCell::default(), packed })
    }
}

impl Weights {
    pub fn residency(&self) -> &Residency {
        &self.residency
    }

    /// Where the constants of a part lie that needs `passing` in the window.
    pub fn places(&self, passing: &[(Tensor, u64)]) -> HashMap<TensorId, Placed> {
        let mut places = self.stay.clone();
        if let Some(window) = &self.window {
            let placed = |offset: u64| Placed { buffer: window.clone(), offset };
            places.extend(passing.iter().map(|(tensor, offset)| (tensor.id, placed(*offset))));
        }
        places
    }

    /// Has `passing` lie in the window, where it does not yet. Nothing may be running that reads what is there.
    pub fn bring(
        &self,
        setup: &Setup,
        passing: &[(Tensor, u64)],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let Some(window) = &self.window else { return Ok(()) };
        let mut held = self.held.borrow_mut();
        for (tensor, offset) in passing {
            let place = *offset..offset + tensor.bytes();
            if held.iter().any(|(id, at)| *id == tensor.id && *at == place) {
                continue;
            }
            if !go_on() {
                return Err(GpuError::Interrupted.into());
            }
            held.retain(|(_, at)| at.end <= place.start || place.end <= at.start);
            self.upload(setup, tensor, window, *offset)?;
            held.push((tensor.id, place));
        }
        Ok(())
    }

    fn upload(&self, setup: &Setup, tensor: &Tensor, window: &wgpu::Buffer, offset: u64) -> Result<(), Error> {
        let constants = &setup.model.constants;
        let Some(packed) = &self.packed else {
            return constants.give(tensor, &mut |at, bytes| Ok(setup.gpu.upload(window, offset + at, bytes)?));
        };
        let mut packed = packed.borrow_mut();
        let data = match packed.entry(tensor.id) {
            Entry::Occupied(data) => data.into_mut(),
            Entry::Vacant(place) => place.insert(constants.data(tensor)?),
        };
        Ok(setup.gpu.upload(window, offset, data)?)
    }
}
