//! What is known before any memory is taken: the four plans of a model, and how they store their values.

use super::MemoryPlan;
use super::{Bound, Options, Precision, Progress, Segmenter, Stage};
use crate::Error;
use crate::gpu::{Arena, Gpu};
use crate::kernels::attention::KeyValue;
use crate::kernels::guided_filter;
use crate::model::Model;
use crate::plan::{Channels, Element, PlanError, Recorder, Recording, Schedule, Storage, Tensor};
use crate::settings::GuidedFilter;
use std::collections::HashMap;

/// Hooks that tests use to look into a plan or to break it: called with the plan's name and its recording.
pub type Edit<'a> = &'a mut dyn FnMut(&str, &mut Recording);

/// The plan of everything, before any memory is taken.
pub struct Planned {
    gpu: Gpu,
    model: Model,
    size: u32,
    storage: Storage,
    guided_filter: Option<GuidedFilter>,
    encoder: Part,
    support: Part,
    query: Part,
    decoder: Part,
    memory: MemoryPlan,
}

/// A schedule and the tensors at its ends.
#[derive(Clone)]
pub(crate) struct Part {
    label: &'static str,
    pub(super) schedule: Schedule,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
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
        let kinds: &[Storage] = match options.precision {
            Precision::Auto => &[Storage::F32, Storage::Packed],
            Precision::F32 => &[Storage::F32],
            Precision::F16 => &[Storage::Packed],
        };
        let mut refused = None;
        for &storage in kinds {
            match parts(&gpu, &model, size, storage, shots, guided_filter, edit) {
                Ok([encoder, support, query, decoder]) => {
                    let schedules = [&encoder, &support, &query, &decoder].map(|p| (p.name(), &p.schedule));
                    let memory = MemoryPlan::new(&model, &schedules, storage, &support.outputs, shots);
                    match memory.check(&gpu.facts) {
                        Ok(()) => {
                            return Ok(Planned {
                                gpu,
                                model,
                                size,
                                storage,
                                guided_filter,
                                encoder,
                                support,
                                query,
                                decoder,
                                memory,
                            });
                        }
                        Err(error) => refused = Some(error),
                    }
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::Usage("no precision to plan for".into())))
    }
}

impl Part {
    pub(super) fn new(label: &'static str, recording: Recording, inputs: Vec<Tensor>, outputs: Vec<Tensor>) -> Self {
        Part { label, schedule: Schedule::new(recording), inputs, outputs }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.label {
            "encoder" => "VAE encoder",
            "decoder" => "VAE decoder",
            "support" => "UNet, support",
            "query" => "UNet, query",
            other => other,
        }
    }
}

/// Refuses what cannot fit before anything is recorded: the list of dispatches of such a size would itself fill the memory.
fn check_first_layer(gpu: &Gpu, model: &Model, size: u32) -> Result<(), Error> {
    // The encoder's first convolution and what is made of it, in f32 whatever the precision.
    let channels = model.config().vae.block_out_channels.first().copied().unwrap_or(1) as u64;
    let least = u64::from(size).pow(2).saturating_mul(channels).saturating_mul(8);
    match gpu.facts.memory_bytes {
        Some(memory) if least > memory => Err(PlanError(format!(
            "pictures of {size} x {size} take more than {least} bytes, {} has {memory}. Try a smaller --size",
            gpu.facts.name
        ))
        .into()),
        _ => Ok(()),
    }
}

/// The four plans.
fn parts(
    gpu: &Gpu,
    model: &Model,
    size: u32,
    storage: Storage,
    shots: usize,
    guided_filter: Option<GuidedFilter>,
    edit: Edit,
) -> Result<[Part; 4], Error> {
    let latent_size = model.config().latent_size(size as usize) as u32;
    let latent = Channels::one(model.config().vae.latent_channels as u32);
    let early = before_decoder(storage);
    let recorder = |storage: Storage| Recorder::new(storage, gpu.tuning, gpu.limits());
    let latent_input = |r: &mut Recorder, name: &str| r.input(name, latent_size, latent_size, latent.clone());
    let mut finish = |name: &'static str, mut r: Recorder, inputs: Vec<Tensor>, outputs: Vec<Tensor>| {
        outputs.iter().for_each(|t| r.output(t));
        let mut recording = r.finish()?;
        edit(name, &mut recording);
        Ok::<Part, Error>(Part::new(name, recording, inputs, outputs))
    };

    let mut r = recorder(early);
    let image = r.input("image", size, size, Channels::one(3));
    let out = model.encoder.forward(&mut r, &image);
    let encoder = finish("encoder", r, vec![image], vec![out])?;

    let mut r = recorder(early);
    let (image, mask) = (latent_input(&mut r, "support image"), latent_input(&mut r, "support mask"));
    let bank = model.unet.support(&mut r, &image, &mask);
    let outputs: Vec<Tensor> = bank.iter().flat_map(|kv| [kv.k.clone(), kv.v.clone()]).collect();
    let support = finish("support", r, vec![image, mask], outputs.clone())?;

    check_bank(gpu, early, &outputs, shots)?;
    let query = query_part(gpu, model, early, latent_size, &outputs, shots, &mut finish)?;

    let mut r = recorder(storage);
    let input = latent_input(&mut r, "latent");
    let drawn = model.decoder.forward(&mut r, &input);
    let (mut inputs, mut outputs) = (vec![input], vec![drawn]);
    if let Some(filter) = guided_filter {
        let guide = r.input_of("guide", size, size, Channels::one(3), Element::F32);
        outputs.insert(0, guided_filter::record(&mut r, &outputs[0], &guide, filter));
        inputs.push(guide);
    }
    let decoder = finish("decoder", r, inputs, outputs)?;
    Ok([encoder, support, query, decoder])
}

/// How the encoder's and the UNet's plans store what the decoder's stores as `storage`. The decoder needs the most working
/// memory; the rounding of what comes before it is what the map feels most.
pub(super) fn before_decoder(storage: Storage) -> Storage {
    if storage == Storage::Packed { Storage::Mixed } else { storage }
}

/// Each layer's keys of all supports lie in one buffer, of which attention reads as much at once as a binding holds.
pub(super) fn check_bank(gpu: &Gpu, storage: Storage, bank: &[Tensor], shots: usize) -> Result<(), Error> {
    let one = bank.iter().map(|t| t.bytes(storage)).max().unwrap_or(0).max(1);
    let most = gpu.limits().max_buffer / one;
    if shots as u64 <= most {
        return Ok(());
    }
    Err(PlanError(format!(
        "{shots} supports are too many: at this size {} takes {most} ({one} bytes each in a buffer of {}). Try fewer or a \
         smaller --size",
        gpu.facts.name,
        gpu.limits().max_buffer
    ))
    .into())
}

pub(super) type Finish<'a> = &'a mut dyn FnMut(&'static str, Recorder, Vec<Tensor>, Vec<Tensor>) -> Result<Part, Error>;

/// The query plan over a bank of `shots` supports. Its inputs: the latent, then K and V of each layer.
pub(super) fn query_part(
    gpu: &Gpu,
    model: &Model,
    storage: Storage,
    latent_size: u32,
    bank: &[Tensor],
    shots: usize,
    finish: Finish,
) -> Result<Part, Error> {
    let mut r = Recorder::new(storage, gpu.tuning, gpu.limits());
    let latent = Channels::one(model.config().vae.latent_channels as u32);
    let input = r.input("query", latent_size, latent_size, latent);
    let mut banked = Vec::new();
    for pair in bank.chunks_exact(2) {
        let mut rows =
            |t: &Tensor| r.input(&format!("bank {}", t.name), shots as u32 * t.height, t.width, t.channels.clone());
        banked.push(KeyValue { k: rows(&pair[0]), v: rows(&pair[1]) });
    }
    let out = model.unet.query(&mut r, &input, &banked);
    let inputs = std::iter::once(input).chain(banked.into_iter().flat_map(|kv| [kv.k, kv.v])).collect();
    finish("query", r, inputs, vec![out])
}

impl Planned {
    /// Device memory, known before any of it is taken.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    pub fn storage(&self) -> Storage {
        self.storage
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Uploads the weights and takes the memory.
    pub fn allocate(self, progress: Progress) -> Result<Segmenter, Error> {
        let Planned { gpu, model, size, storage, guided_filter, encoder, support, query, decoder, memory } = self;
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
        let bind = |part: &Part| gpu.bind(part.name(), &part.schedule, &arena, &constants, HashMap::new());
        let (encoder_plan, support_plan, decoder_plan) = (bind(&encoder)?, bind(&support)?, bind(&decoder)?);
        Ok(Segmenter {
            encoder: Bound { part: encoder, plan: encoder_plan },
            support: Bound { part: support, plan: support_plan },
            decoder: Bound { part: decoder, plan: decoder_plan },
            query,
            gpu,
            model,
            size,
            storage,
            guided_filter,
            memory,
            arena,
            constants,
        })
    }
}
