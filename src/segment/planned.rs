//! What is known before any memory is taken: the four passes of a model, how they store their values, and what they need.

use super::record::{Passes, Recipe};
use super::{Edit, MemoryPlan, Options, Pass, Precision, Progress, Segmenter, Stage};
use crate::Error;
use crate::gpu::{Arena, Gpu};
use crate::model::Model;
use crate::plan::{PlanError, Storage};
use crate::settings::GuidedFilter;

/// The plan of everything, before any memory is taken.
pub struct Planned {
    gpu: Gpu,
    model: Model,
    size: u32,
    storage: Storage,
    shots: usize,
    guided_filter: Option<GuidedFilter>,
    passes: Passes,
    memory: MemoryPlan,
}

impl Segmenter {
    /// Plans `model` for pictures of one size on `gpu`, and how much memory that takes.
    ///
    /// # Errors
    /// A size that the network cannot halve evenly, a tensor beyond the adapter's limits, or more memory than
    /// the adapter has.
    pub fn plan(gpu: Gpu, model: Model, options: Options) -> Result<Planned, Error> {
        Self::plan_with(gpu, model, options, &mut |_, _| {})
    }

    /// [`Segmenter::plan`] with a hook on each of the four recordings.
    #[doc(hidden)]
    pub fn plan_with(gpu: Gpu, model: Model, options: Options, edit: Edit) -> Result<Planned, Error> {
        let size = options.size.unwrap_or(model.default_size());
        model.config().check_size(size as usize)?;
        check_first_layer(&gpu, &model, size)?;
        let shots = options.shots.max(1);
        let guided_filter = options.guided_filter.or(model.default_guided_filter()).filter(|f| f.radius > 0);
        guided_filter
            .map(GuidedFilter::check)
            .transpose()
            .map_err(|e| Error::Usage(format!("the guided filter has {e}")))?;
        let planned = |storage: Storage, edit: Edit| {
            let passes = Recipe { gpu: &gpu, model: &model, size, storage }.passes(shots, guided_filter, edit)?;
            let memory = MemoryPlan::new(&model, &passes, storage, shots);
            memory.check(gpu.facts())?;
            Ok::<_, Error>((storage, passes, memory))
        };
        let (storage, passes, memory) = match options.precision {
            Precision::F32 => planned(Storage::F32, edit)?,
            Precision::F16 => planned(Storage::Packed, edit)?,
            Precision::Auto => planned(Storage::F32, edit).or_else(|_| planned(Storage::Packed, edit))?,
        };
        Ok(Planned { gpu, model, size, storage, shots, guided_filter, passes, memory })
    }
}

/// Refuses what cannot fit before anything is recorded: the list of dispatches of such a size would itself fill the memory.
fn check_first_layer(gpu: &Gpu, model: &Model, size: u32) -> Result<(), Error> {
    // The encoder's first convolution and what is made of it, in f32 whatever the precision.
    let channels = model.config().vae.block_out_channels.first().copied().unwrap_or(1) as u64;
    let least = u64::from(size).pow(2).saturating_mul(channels).saturating_mul(8);
    match gpu.facts().memory_bytes {
        Some(memory) if least > memory => Err(PlanError(format!(
            "pictures of {size} x {size} take more than {least} bytes, {} has {memory}. Try a smaller --size",
            gpu.facts().name
        ))
        .into()),
        _ => Ok(()),
    }
}

impl Planned {
    /// Device memory, known before any of it is taken.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    pub fn storage(&self) -> Storage {
        self.storage
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Multiplications and additions of a query.
    pub fn query_flops(&self) -> u64 {
        [Pass::Encoder, Pass::Query, Pass::Decoder].map(|pass| self.memory.of(pass).flops).iter().sum()
    }

    /// Uploads the weights and takes the memory.
    pub fn allocate(self, progress: Progress) -> Result<Segmenter, Error> {
        let Planned { gpu, model, size, storage, shots, guided_filter, passes, memory } = self;
        let mut constants = Vec::with_capacity(model.constants.tensors().len());
        let total = model.constants.bytes(storage).max(1) as f64;
        let mut done = 0;
        for (i, tensor) in model.constants.tensors().enumerate() {
            let data = model.constants.data(i, storage)?;
            let buffer = gpu.buffer(&tensor.name, data.len() as u64)?;
            gpu.upload(&buffer, 0, &data)?;
            constants.push(buffer);
            done += data.len();
            if !progress(Stage::Load, done as f64 / total) {
                return Err(Error::Interrupted);
            }
        }
        let arena = Arena::new(&gpu, &memory.arena)?;
        let encoder = passes.encoder.bind(&gpu, &arena, &constants)?;
        let support = passes.support.bind(&gpu, &arena, &constants)?;
        let decoder = passes.decoder.bind(&gpu, &arena, &constants)?;
        Ok(Segmenter {
            encoder,
            support,
            decoder,
            passes,
            gpu,
            model,
            size,
            storage,
            shots,
            guided_filter,
            memory,
            arena,
            constants,
        })
    }
}
