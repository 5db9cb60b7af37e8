//! The weights of a model on the device: some stay, the others take turns in a window.

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
    /// `None` if all stay.
    window: Option<wgpu::Buffer>,
    /// The weights in the window now, and their places.
    held: RefCell<Vec<(TensorId, Range<u64>)>>,
    /// Packed weights, if the device has its own memory: packing takes longer than uploading.
    packed: Option<RefCell<HashMap<TensorId, Vec<u8>>>>,
}

impl Setup {
    /// Uploads the ones of `constants` that stay.
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

    /// Placement of the constants for a part that needs `passing` in the window.
    pub fn places(&self, passing: &[(Tensor, u64)]) -> HashMap<TensorId, Placed> {
        let mut places = self.stay.clone();
        if let Some(window) = &self.window {
            let placed = |offset: u64| Placed { buffer: window.clone(), offset };
            places.extend(passing.iter().map(|(tensor, offset)| (tensor.id, placed(*offset))));
        }
        places
    }

    /// Uploads `passing` to the window if it is not there. Nothing that reads the window may be running.
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
