//! A model ready to run: the order of calls, and their precision.

use super::bank::{Kept, Source, lock};
use super::bank_file::{self, About, Content};
use super::loaded::{Keys, Loaded, Marked};
use super::planned::{Draft, Setup};
use super::segmentation::Call;
use super::{BankError, BankFile, BankOptions, MemoryPlan, Precision, Progress, Segmentation, Stage, SupportBank};
use crate::Error;
use crate::gpu::{Gpu, GpuError, Wait, block_on};
use crate::image_io::{self, DecodedMap, Framing, RgbImage};
use crate::model::Model;
use crate::plan::{Element, Policy, Tensor};
use crate::settings::{GuidedFilter, MaskRule};
use async_lock::MutexGuard;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// A model ready to run on one device at one size.
///
/// Calls may come from several threads, or be awaited together: one runs, the others wait. A progress callback must not call its
/// segmenter, which would deadlock. A blocking call, also of [`Segmenter::loaded_bytes`], deadlocks as well if a task on the same
/// thread awaits another call.
///
/// **An overflow in half precision** (NaN or infinity) is no error if the model also fits in f32: the f32 model is
/// loaded, the bank's examples are encoded again, and the call is answered in f32. The next call begins with half precision
/// again, so that results do not depend on earlier calls. If the adapter's memory does not hold both models, the half-precision one is
/// dropped, and later calls run in f32.
pub struct Segmenter {
    pub(super) setup: Setup,
    memory: MemoryPlan,
    /// The first storage of values.
    storage: Policy,
    /// Whether the model may also be loaded in f32.
    retries: bool,
    overflow: Option<Error>,
    /// Identifies its banks.
    mark: Arc<()>,
    resident: async_lock::Mutex<Resident>,
}

/// The model on the device, in one or two precisions; none after loading failed.
struct Resident {
    first: Option<Loaded>,
    /// The f32 model, if the first one is not f32.
    full: Option<Loaded>,
    banks: Vec<Weak<Mutex<Kept>>>,
}

impl Resident {
    /// Drops the first model; keys of banks hold it, too.
    fn drop_first(&mut self) {
        self.first = None;
        self.banks.iter().filter_map(Weak::upgrade).for_each(|kept| lock(&kept).first = None);
    }

    fn bytes(&self) -> u64 {
        self.first.iter().chain(&self.full).map(|loaded| loaded.bytes).sum()
    }
}

fn precision(storage: Policy) -> Precision {
    match (storage, storage.weights) {
        (Policy::F32, _) => Precision::F32,
        (_, Element::Q8) => Precision::Q8,
        _ => Precision::F16,
    }
}

impl Segmenter {
    pub(super) fn new(
        setup: Setup,
        loaded: Loaded,
        memory: MemoryPlan,
        retries: bool,
        overflow: Option<Error>,
    ) -> Segmenter {
        let (storage, mark) = (loaded.storage, Arc::new(()));
        let resident = async_lock::Mutex::new(Resident { first: Some(loaded), full: None, banks: Vec::new() });
        Segmenter { setup, memory, storage, retries, overflow, mark, resident }
    }

    /// Side of the square that pictures are resized to.
    pub fn size(&self) -> u32 {
        self.setup.size
    }

    /// The precision that calls begin with: [`Precision::F32`], [`Precision::F16`] or [`Precision::Q8`].
    pub fn precision(&self) -> Precision {
        precision(self.storage)
    }

    /// The storage that calls begin with.
    pub fn storage(&self) -> Policy {
        self.storage
    }

    /// The overflow, if half precision was requested but cannot hold the weights, so that everything is f32.
    pub fn overflow(&self) -> Option<&Error> {
        self.overflow.as_ref()
    }

    pub fn gpu(&self) -> &Gpu {
        &self.setup.gpu
    }

    pub fn model(&self) -> &Model {
        &self.setup.model
    }

    /// The memory plan of the first precision.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// Most bytes that may be used on the device, if known.
    pub fn memory_limit(&self) -> Option<u64> {
        self.setup.memory
    }

    /// Planned bytes of everything that is loaded. Waits for running calls; deadlocks if this thread itself awaits one of them. A
    /// browser cannot wait and gets 0 meanwhile.
    pub fn loaded_bytes(&self) -> u64 {
        self.resident_now().map_or(0, |resident| resident.bytes())
    }

    fn resident_now(&self) -> Result<MutexGuard<'_, Resident>, Error> {
        block_on(async { Ok(self.resident.lock().await) })
    }

    /// The rule for [`Segmentation::mask`].
    pub fn mask_rule(&self) -> MaskRule {
        self.setup.rule
    }

    /// How pictures are made square.
    pub fn framing(&self) -> Framing {
        self.setup.framing
    }

    /// The guided filter, if one is used.
    pub fn guided_filter(&self) -> Option<GuidedFilter> {
        self.setup.guided_filter
    }

    /// Writes `bank` to a file atomically.
    ///
    /// # Errors
    /// A bank of another segmenter, values too large for half precision, an existing file without `force`, errors of the device
    /// and the system.
    pub fn save_bank(&self, bank: &SupportBank, path: &Path, options: &BankOptions) -> Result<(), Error> {
        self.check(bank)?;
        if self.setup.kept(bank.shots()) < bank.shots() {
            return Err(Error::Usage(
                "a sampled bank cannot be written; encode it without a sample of its keys".into(),
            ));
        }
        let about = About {
            model: self.model().fingerprint()?.to_owned(),
            model_name: self.model().name().to_owned(),
            size: self.size(),
            precision: bank.precision.name().to_owned(),
            framing: self.framing(),
            name: None,
            examples: Vec::new(),
        };
        let (about, small) = bank.told(about)?;
        let resident = self.resident_now()?;
        let kept = lock(&bank.kept);
        let lost = || Error::Usage("the bank's keys are no longer on the device".into());
        let (loaded, keys) = match (&resident.first, &kept.first, &resident.full, &kept.full) {
            (Some(loaded), Some(keys), ..) | (_, _, Some(loaded), Some(keys)) => (loaded, keys),
            _ => return Err(lost()),
        };
        let layers = loaded.layers();
        let values = &mut |layer: usize, v: bool| {
            let pieces = keys.ends.bank.get(2 * layer + usize::from(v)).ok_or_else(lost)?;
            let mut all = Vec::new();
            for port in &pieces.all {
                let [mut values] = self.setup.gpu.read([port])?;
                all.append(&mut values);
            }
            Ok(all)
        };
        bank_file::write(path, options, Content { about, layers: &layers, values, small })
    }

    pub(super) fn check_file(&self, file: &BankFile) -> Result<(), Error> {
        self.setup.check_bank(file)?;
        let resident = self.resident_now()?;
        let layers = resident.first.as_ref().or(resident.full.as_ref()).map(Loaded::layers);
        match layers.is_some_and(|layers| layers != file.layers()) {
            true => {
                let reason = "its layers differ from its model's".into();
                Err(BankError::NoBank { file: file.file().into(), reason }.into())
            }
            false => Ok(()),
        }
    }

    pub(super) async fn bank(
        &self,
        wait: Wait,
        sources: Vec<Source>,
        progress: Progress<'_>,
    ) -> Result<SupportBank, Error> {
        let mut resident = self.resident.lock().await;
        let mut call = Call::new(wait);
        let first = match &resident.first {
            Some(loaded) => Some(loaded.bank(&self.setup, &sources, &mut call, progress).await),
            None => None,
        };
        let (kept, overflow) = match first {
            Some(Err(error)) if self.overflowed(&error) => (Kept::default(), Some(error)),
            Some(keys) => (Kept { first: Some(Arc::new(keys?)), full: None }, None),
            None => (Kept::default(), None),
        };
        let (kept, overflow) = match kept.first {
            Some(_) => (kept, overflow),
            None => {
                let full = match self.full(&mut resident, &mut call, progress).await {
                    Ok(loaded) => loaded.bank(&self.setup, &sources, &mut call, progress).await,
                    Err(error) => Err(error),
                };
                match full {
                    Ok(keys) => (Kept { first: None, full: Some(Arc::new(keys)) }, overflow),
                    Err(error) => return Err(Error::after(overflow, error)),
                }
            }
        };
        let precision = if kept.first.is_some() { self.precision() } else { Precision::F32 };
        let kept = Arc::new(Mutex::new(kept));
        resident.banks.retain(|bank| bank.strong_count() > 0);
        resident.banks.push(Arc::downgrade(&kept));
        Ok(SupportBank {
            mark: self.mark.clone(),
            of: self.setup.told(),
            sources,
            kept,
            times: call.times,
            spans: call.spans,
            precision,
            overflow,
        })
    }

    pub(super) async fn found(
        &self,
        wait: Wait,
        banks: &[&SupportBank],
        query: &RgbImage,
        progress: Progress<'_>,
    ) -> Result<Vec<Segmentation>, Error> {
        banks.iter().try_for_each(|bank| self.check(bank))?;
        let (side, framing) = (self.setup.size, self.setup.framing);
        let pixels = image_io::to_model_input(&framing.picture(query, side));
        let mut resident = self.resident.lock().await;
        let mut call = Call::new(wait);
        let keys: Option<Vec<Arc<Keys>>> = banks.iter().map(|bank| lock(&bank.kept).first.clone()).collect();
        let first = match (&resident.first, &keys) {
            (Some(loaded), Some(keys)) => {
                let keys: Vec<&Keys> = keys.iter().map(|keys| &**keys).collect();
                Some(loaded.query(&self.setup, &keys, &pixels, &mut call, progress).await)
            }
            _ => None,
        };
        // The keys must be dropped with the model.
        drop(keys);
        let (maps, precision, overflow) = match first {
            Some(Ok(maps)) => (maps, self.precision(), None),
            Some(Err(error)) if !self.overflowed(&error) => return Err(error),
            first => {
                let overflow = first.and_then(Result::err);
                match self.in_full(&mut resident, banks, &pixels, &mut call, progress).await {
                    Ok(maps) => (maps, Precision::F32, overflow.map(Arc::new)),
                    Err(error) => return Err(Error::after(overflow, error)),
                }
            }
        };
        let (size, rule) = (query.dimensions(), self.setup.rule);
        let found = |map| Segmentation {
            map: framing.map(map, size),
            size,
            rule,
            mask: OnceLock::new(),
            times: call.times.clone(),
            spans: call.spans.clone(),
            precision,
            overflow: overflow.clone(),
        };
        Ok(maps.into_iter().map(found).collect())
    }

    fn check(&self, bank: &SupportBank) -> Result<(), Error> {
        match Arc::ptr_eq(&self.mark, &bank.mark) {
            true => Ok(()),
            false => Err(Error::ForeignBank { bank: bank.of.clone(), segmenter: self.setup.told() }),
        }
    }

    fn overflowed(&self, error: &Error) -> bool {
        self.retries && error.halves_overflowed()
    }

    /// Runs a query in f32, with f32 keys.
    async fn in_full(
        &self,
        resident: &mut Resident,
        banks: &[&SupportBank],
        pixels: &[f32],
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<Vec<DecodedMap>, Error> {
        let loaded = self.full(resident, call, progress).await?;
        let mut maps = Vec::new();
        for bank in banks {
            let made = lock(&bank.kept).full.clone();
            let keys: Arc<Keys> = match made {
                Some(keys) => keys,
                None => Arc::new(loaded.bank(&self.setup, &bank.sources, call, progress).await?),
            };
            lock(&bank.kept).full = Some(keys.clone());
            maps.extend(loaded.query(&self.setup, &[&keys], pixels, call, progress).await?);
        }
        Ok(maps)
    }

    /// The f32 model, loaded if needed.
    async fn full<'a>(
        &self,
        resident: &'a mut Resident,
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<&'a Loaded, Error> {
        let wait = call.wait;
        let loaded = match resident.full.take() {
            Some(loaded) => loaded,
            None => call.time(Stage::Load, async || self.load_full(wait, resident, progress).await).await?,
        };
        Ok(resident.full.insert(loaded))
    }

    async fn load_full(&self, wait: Wait, resident: &mut Resident, progress: Progress<'_>) -> Result<Loaded, Error> {
        let plan = || self.setup.draft(Policy::F32, &mut |_, _| {});
        let draft: Draft = plan()?;
        let both = resident.bytes() + draft.memory.peak();
        if self.setup.memory.is_some_and(|memory| both > memory) {
            resident.drop_first();
        }
        match self.setup.load(wait, draft, progress).await {
            // Other programs use memory, too, or the total is unknown.
            Err(Error::Gpu(GpuError::OutOfMemory { .. })) if resident.first.is_some() => {
                resident.drop_first();
                self.setup.load(wait, plan()?, progress).await
            }
            loaded => loaded,
        }
    }

    /// Values marked by the model's layers, if a pass was edited to keep them: for tests.
    #[doc(hidden)]
    pub fn outputs(&self, bank: &SupportBank) -> Result<Vec<(String, Tensor, Vec<f32>)>, Error> {
        block_on(self.outputs_by(Wait::Here, bank))
    }

    pub(crate) async fn outputs_by(&self, wait: Wait, bank: &SupportBank) -> Result<Marked, Error> {
        let keys = lock(&bank.kept).first.clone();
        match (&self.resident.lock().await.first, keys) {
            (Some(loaded), Some(keys)) => loaded.marked(&self.setup.gpu, wait, &keys).await,
            _ => Ok(Vec::new()),
        }
    }
}
