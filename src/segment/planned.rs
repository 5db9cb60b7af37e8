//! What is known before any memory is taken: the four passes of a model, how they store their values, and what they need.

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

/// What a segmenter is for, however it stores values.
pub(super) struct Setup {
    pub gpu: Gpu,
    pub model: Model,
    pub size: u32,
    /// Examples that the query pass is planned for.
    pub shots: usize,
    pub guided_filter: Option<GuidedFilter>,
    pub rule: MaskRule,
    pub framing: Framing,
    /// How much of a bank is kept, where not all of it is.
    pub kv_sample: Option<KvSample>,
    pub known_answers: KnownAnswers,
    /// Where the driver's pipelines are kept, if they are to be.
    pub pipelines: Option<KeptPipelines>,
    /// What was measured, where forms are to be chosen by that.
    pub tuner: Option<Tuner>,
    /// Bytes that may be taken on the device, where that is known.
    pub memory: Option<u64>,
}

/// How weights are to have room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// All at once.
    Whole,
    /// Some of them in turn.
    InTurn,
}

/// A way to store values, planned.
pub(super) struct Draft {
    pub storage: Policy,
    /// How its forms were chosen.
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

    /// With all weights on the device, or where that has no room for them, as many as it has.
    ///
    /// # Errors
    /// A tensor beyond the adapter's limits, or more memory than may be taken.
    pub fn draft(&self, storage: Policy, edit: Edit) -> Result<Draft, Error> {
        self.draft_fitting(storage, Fit::Whole, edit).or_else(|_| self.draft_fitting(storage, Fit::InTurn, edit))
    }

    fn draft_fitting(&self, storage: Policy, fit: Fit, edit: Edit) -> Result<Draft, Error> {
        if let Some(Tuner { found, .. }) = &self.tuner {
            let (tuned, forms) = Tuned::before(found.clone(), &self.gpu.forms);
            match self.draft_by(storage, fit, forms, Some(tuned), edit) {
                Ok(draft) => return Ok(draft),
                // What is faster may take more memory; the rule has the last word on what fits.
                Err(error) => log::info!("not with the forms that were measured: {error}"),
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

    /// As `precision` has it.
    pub fn draft_as(&self, precision: Precision, edit: Edit) -> Result<Draft, Error> {
        match precision {
            Precision::F32 => self.draft(Policy::F32, edit),
            Precision::F16 => self.halves(edit),
            Precision::Q8 => self.draft(Policy::Q8_PACKED, edit),
            Precision::Auto => {
                // Of weights of 8 bits nothing is lost in less memory.
                let whole = self.draft_fitting(Policy::F32, Fit::Whole, edit);
                match self.model.has_eight_bits() {
                    true => whole.or_else(|_| self.draft(Policy::Q8_PACKED, edit)),
                    false => whole.or_else(|_| self.halves(edit)),
                }
            }
        }
    }

    /// Texts without loop or branch, which wide layers have, take weights in halves but values in f32 alone: there the decoder's are in
    /// f32, too, where they have room.
    fn halves(&self, edit: Edit) -> Result<Draft, Error> {
        if !self.gpu.forms.facts.range_checks
            && self.model.config().is_wide()
            && let Ok(draft) = self.draft_fitting(Policy::MIXED, Fit::Whole, edit)
        {
            return Ok(draft);
        }
        self.draft(Policy::PACKED, edit)
    }

    /// Refuses what cannot fit before anything is recorded: the list of dispatches of such a size would itself fill the memory.
    pub fn check_first_layer(&self) -> Result<(), Error> {
        // The encoder's first convolution and what is made of it, in f32 whatever the precision.
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

    /// How many supports' keys are kept of `shots`.
    pub fn kept(&self, shots: usize) -> usize {
        self.kv_sample.map_or(shots, |sample| shots.min(sample.supports))
    }

    /// Refuses a bank that is not of this model, or of pictures of another size.
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

    /// In words: what a bank is of.
    pub fn told(&self) -> String {
        format!("{} at {} x {} on {}", self.model.name(), self.size, self.size, self.gpu.facts().name)
    }
}

/// The plan of everything, before any memory is taken.
pub struct Planned {
    pub(super) setup: Setup,
    pub(super) draft: Draft,
    /// What overflows in halves is computed again: not where the recordings were edited, which are there once.
    pub(super) retries: bool,
    pub(super) notes: Vec<String>,
}

impl Planned {
    /// Device memory, known before any of it is taken.
    pub fn memory(&self) -> &MemoryPlan {
        &self.draft.memory
    }

    /// Whether `bank` can be read by this model at this size.
    ///
    /// # Errors
    /// That it cannot, and why.
    pub fn check_bank(&self, bank: &BankFile) -> Result<(), Error> {
        self.setup.check_bank(bank)
    }

    pub fn model(&self) -> &Model {
        &self.setup.model
    }

    pub fn gpu(&self) -> &Gpu {
        &self.setup.gpu
    }

    /// Multiplications and additions of a query.
    pub fn query_flops(&self) -> u64 {
        [Pass::Encoder, Pass::Query, Pass::Decoder].map(|pass| self.memory().of(pass).flops).iter().sum()
    }

    /// Uploads the weights and takes the memory. Where a weight is too large for half precision, all is f32.
    ///
    /// # Errors
    /// A weight that is no number, a model that does not fit, an interrupt, and whatever the device reports.
    pub fn allocate(self) -> Result<Segmenter, Error> {
        self.allocate_with(&mut quiet)
    }

    /// The same, telling `progress` of it.
    ///
    /// # Errors
    /// As [`Planned::allocate`].
    pub fn allocate_with(self, progress: Progress) -> Result<Segmenter, Error> {
        block_on(self.allocate_by(Wait::Here, progress))
    }

    /// [`Planned::allocate_with`] without waiting for the device. Weights are read and packed by the thread that awaits it, and others.
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
