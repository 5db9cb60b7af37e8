//! Planning before any memory is allocated: the four passes, their precision and memory.

use super::kept_pipelines::KeptPipelines;
use super::known_answers::KnownAnswers;
use super::options::quiet;
use super::record::{Passes, Recipe};
use super::tuning::Tuner;
use super::{BankError, BankFile, Edit, KvSample, MemoryPlan, Pass, Precision, Progress, Segmenter};
use crate::Error;
use crate::gpu::{Gpu, Wait, block_on};
use crate::image_io::Framing;
use crate::model::Model;
use crate::plan::{Forms, Less, Limits, PlanError, Policy, Residency};
use crate::settings::{GuidedFilter, MaskRule};
use crate::tune::Tuned;
use std::sync::Arc;

/// The settings of a segmenter, independent of the precision.
pub(super) struct Setup {
    pub gpu: Gpu,
    pub model: Model,
    pub size: u32,
    /// Examples that the query pass is planned for.
    pub shots: usize,
    pub guided_filter: Option<GuidedFilter>,
    pub rule: MaskRule,
    pub framing: Framing,
    /// The sample of a bank's keys, if not all are kept.
    pub kv_sample: Option<KvSample>,
    pub known_answers: KnownAnswers,
    /// The file of the driver's pipelines, if they are kept.
    pub pipelines: Option<KeptPipelines>,
    /// Measurements, if forms are chosen by them.
    pub tuner: Option<Tuner>,
    /// Bytes that may be used on the device, if known.
    pub memory: Option<u64>,
}

/// How weights are placed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// All at once.
    Whole,
    /// Some in turn.
    InTurn,
}

/// A plan for one precision.
pub(super) struct Draft {
    pub storage: Policy,
    /// The choice of forms.
    pub forms: Forms,
    pub tuned: Option<Arc<Tuned>>,
    pub passes: Passes,
    pub memory: MemoryPlan,
    pub residency: Residency,
}

impl Setup {
    pub fn recipe<'a>(&'a self, storage: Policy, forms: &'a Forms, limits: &'a Limits) -> Recipe<'a> {
        Recipe { model: &self.model, size: self.size, storage, forms, limits }
    }

    /// Plans with all weights on the device, or as many as fit.
    ///
    /// # Errors
    /// A tensor beyond the adapter's limits, or more memory than allowed.
    pub fn draft(&self, storage: Policy, edit: Edit) -> Result<Draft, Error> {
        self.draft_fitting(storage, Fit::Whole, edit).or_else(|_| self.draft_fitting(storage, Fit::InTurn, edit))
    }

    fn draft_fitting(&self, storage: Policy, fit: Fit, edit: Edit) -> Result<Draft, Error> {
        if let Some(Tuner { found, .. }) = &self.tuner {
            let (tuned, forms) = Tuned::before(found.clone(), &self.gpu.forms);
            match self.draft_by(storage, fit, forms, Some(tuned), edit) {
                Ok(draft) => return Ok(draft),
                // The fastest forms may need more memory; if they do not fit, use the rule's.
                Err(error) => log::info!("the measured forms do not fit: {error}"),
            }
        }
        self.draft_by(storage, fit, self.gpu.forms.clone(), None, edit)
    }

    fn draft_by(
        &self,
        storage: Policy,
        fit: Fit,
        forms: Forms,
        tuned: Option<Arc<Tuned>>,
        edit: Edit,
    ) -> Result<Draft, Error> {
        let passes = self.recipe(storage, &forms, &self.gpu.limits()).passes(self.shots, self.guided_filter, edit)?;
        let tally = tuned.as_ref().map(|tuned| tuned.tally());
        let mut memory = MemoryPlan { tuned: tally, ..MemoryPlan::new(&passes, storage, self.shots) };
        let residency = memory.fit(&passes, fit, &self.gpu.facts().name, self.memory)?;
        Ok(Draft { storage, forms, tuned, passes, memory, residency })
    }

    /// Plans for `precision`.
    pub fn draft_as(&self, precision: Precision, edit: Edit) -> Result<Draft, Error> {
        match precision {
            Precision::F32 => self.draft(Policy::F32, edit),
            Precision::F16 => self.halves(edit),
            Precision::Q8 => self.draft(Policy::Q8_PACKED, edit),
            Precision::Auto => {
                // Weights of 8 bits lose nothing in half precision.
                let whole = self.draft_fitting(Policy::F32, Fit::Whole, edit);
                match self.model.has_eight_bits() {
                    true => whole.or_else(|_| self.draft(Policy::Q8_PACKED, edit)),
                    false => whole.or_else(|_| self.halves(edit)),
                }
            }
        }
    }

    /// Plans half precision. Texts without loop or branch, which wide layers have, support weights in halves but only f32 values: with them
    /// the decoder's values are f32, too, if they fit.
    fn halves(&self, edit: Edit) -> Result<Draft, Error> {
        if !self.gpu.forms.facts.range_checks
            && self.model.config().is_wide()
            && let Ok(draft) = self.draft_fitting(Policy::MIXED, Fit::Whole, edit)
        {
            return Ok(draft);
        }
        self.draft(Policy::PACKED, edit)
    }

    /// Refuses sizes that cannot fit before recording: the list of dispatches alone would fill the memory.
    pub fn check_first_layer(&self) -> Result<(), Error> {
        // The input and output of the encoder's first convolution, always f32.
        let (size, facts) = (self.size, self.gpu.facts());
        let channels = self.model.config().vae.block_out_channels.first().copied().unwrap_or(1) as u64;
        let least = u64::from(size).pow(2).saturating_mul(channels).saturating_mul(8);
        match self.memory {
            Some(memory) if least > memory => Err(PlanError::new(
                format!("pictures of {size} x {size} take more than {least} bytes, {} has {memory}", facts.name),
                Less::Size,
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Number of supports whose keys are kept, of `shots`.
    pub fn kept(&self, shots: usize) -> usize {
        self.kv_sample.map_or(shots, |sample| shots.min(sample.supports))
    }

    /// Refuses a bank of another model or size.
    pub fn check_bank(&self, bank: &BankFile) -> Result<(), Error> {
        let (model, file) = (&self.model, || bank.file().to_owned());
        let (of, fingerprint) = bank.model();
        let this_model = model.fingerprint()?;
        if fingerprint != this_model {
            let (of, this) = (of.to_owned(), model.name().to_owned());
            let (model, this_model) = (fingerprint.to_owned(), this_model.to_owned());
            return Err(BankError::Model { file: file(), of, model, this, this_model }.into());
        }
        if bank.size() != self.size {
            return Err(BankError::Size { file: file(), of: bank.size(), this: self.size }.into());
        }
        match bank.framing() == self.framing {
            true => Ok(()),
            false => {
                let (of, this) = (bank.framing().name(), self.framing.name());
                Err(BankError::Framing { file: file(), of, this }.into())
            }
        }
    }

    /// A description of the segmenter, for messages.
    pub fn told(&self) -> String {
        format!("{} at {} x {} on {}", self.model.name(), self.size, self.size, self.gpu.facts().name)
    }
}

/// The plan of a segmenter, before any memory is allocated.
pub struct Planned {
    pub(super) setup: Setup,
    pub(super) draft: Draft,
    /// Whether overflows in halves are computed again: not with edited recordings, which exist only once.
    pub(super) retries: bool,
    pub(super) notes: Vec<String>,
}

impl Planned {
    /// The plan of device memory.
    pub fn memory(&self) -> &MemoryPlan {
        &self.draft.memory
    }

    /// Checks that this model can use `bank` at this size.
    ///
    /// # Errors
    /// The reason if it cannot.
    pub fn check_bank(&self, bank: &BankFile) -> Result<(), Error> {
        self.setup.check_bank(bank)
    }

    pub fn model(&self) -> &Model {
        &self.setup.model
    }

    pub fn gpu(&self) -> &Gpu {
        &self.setup.gpu
    }

    /// Count of multiplications and additions of a query.
    pub fn query_flops(&self) -> u64 {
        [Pass::Encoder, Pass::Query, Pass::Decoder].map(|pass| self.memory().of(pass).flops).iter().sum()
    }

    /// Uploads the weights and allocates the memory. If a weight is too large for half precision, everything is f32.
    ///
    /// # Errors
    /// A weight that is NaN or infinite, a model that does not fit, an interrupt, or an error of the device.
    pub fn allocate(self) -> Result<Segmenter, Error> {
        self.allocate_with(&mut quiet)
    }

    /// The same, with reports to `progress`.
    ///
    /// # Errors
    /// As [`Planned::allocate`].
    pub fn allocate_with(self, progress: Progress) -> Result<Segmenter, Error> {
        block_on(self.allocate_by(Wait::Here, progress))
    }

    /// [`Planned::allocate_with`] without blocking. The awaiting thread and others read and pack weights.
    ///
    /// # Errors
    /// As there.
    pub async fn allocate_async(self, progress: Progress<'_>) -> Result<Segmenter, Error> {
        self.allocate_by(Wait::Aside, progress).await
    }

    pub(crate) async fn allocate_by(self, wait: Wait, progress: Progress<'_>) -> Result<Segmenter, Error> {
        let Planned { setup, draft, retries, .. } = self;
        let memory = draft.memory.clone();
        match setup.load(wait, draft, progress).await {
            Err(halves) if retries && halves.halves_overflowed() => {
                let full = async {
                    let draft = setup.draft(Policy::F32, &mut |_, _| {})?;
                    let memory = draft.memory.clone();
                    Ok((setup.load(wait, draft, progress).await?, memory))
                };
                match full.await {
                    Ok((loaded, memory)) => Ok(Segmenter::new(setup, loaded, memory, false, Some(halves))),
                    Err(full) => Err(Error::after(Some(halves), full)),
                }
            }
            loaded => Ok(Segmenter::new(setup, loaded?, memory, retries, None)),
        }
    }
}
