//! Makes every pipeline that the suite's cases and the models use. Nothing runs: this tests the driver's compiler.

use super::LANGUAGE;
use super::dump::spirv_of;
use super::outlines::OUTLINES;
use super::statistics::{Figures, figures};
use crate::Error;
use crate::gpu::{Gpu, GpuError, Statistics};
use crate::model::Model;
use crate::plan::{Dispatch, Forms, Policy, Schedule};
use crate::segment::{Pass, Precision, Segmenter};
use crate::shader::Facts;
use crate::twins;
#[cfg(feature = "embedded")]
use crate::weights::ModelFiles;
use serde::Serialize;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};

/// One pipeline on an adapter. Storages share one if its text does not depend on them.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub kernel: &'static str,
    pub form: &'static str,
    /// The `#ifdef` symbols of its text, except those of the storage.
    pub variant: String,
    pub storage: Vec<&'static str>,
    /// The adapter's name.
    pub device: String,
    /// The models that use it on this adapter by the rule, with the storage of their weights: `sd21/f32`.
    pub models: BTreeSet<String>,
    /// Why it is skipped: what the adapter lacks.
    pub left_out: Option<String>,
    /// Why it could not be made.
    pub error: Option<String>,
    /// Time from text to pipeline.
    pub milliseconds: Option<f64>,
    #[serde(flatten)]
    pub figures: Figures,
    /// All of the driver's statistics, under its own names.
    pub driver_says: BTreeMap<String, f64>,
}

/// The SPIR-V version that wgpu uses for Vulkan 1.3, which every driver with statistics has.
const SPIRV: (u8, u8) = (1, 6);

/// Identity of a pipeline: kernel, form, symbols, and the module of its text without unused functions.
type Key = (&'static str, &'static str, String, Vec<u32>);

/// A pipeline to be made.
struct Wanted {
    dispatch: Dispatch,
    storage: BTreeSet<usize>,
    models: BTreeSet<String>,
    left_out: Option<String>,
}

/// The pipelines of an adapter that are to be made.
pub struct Pipelines {
    all: BTreeMap<Key, Wanted>,
    /// Modules made so far, by kernel, form, symbols and storage.
    modules: HashMap<(&'static str, &'static str, String, Policy), Vec<u32>>,
}

impl Pipelines {
    /// The pipelines of the models as planned for `gpu` and, unless `models_alone`, those of the suite's cases, in every form and storage.
    ///
    /// # Errors
    /// A model or a case cannot be planned for the device.
    pub fn of(gpu: &Gpu, models_alone: bool) -> Result<Pipelines, Error> {
        let mut all = Pipelines { all: BTreeMap::new(), modules: HashMap::new() };
        if !models_alone {
            all.add_cases(gpu)?;
        }
        #[cfg(feature = "embedded")]
        all.add_model(gpu, "embedded", &|| Model::load(ModelFiles::embedded()?), None)?;
        for outline in &OUTLINES {
            all.add_model(gpu, outline.name, &|| outline.model(), Some(outline.size))?;
        }
        Ok(all)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn add(&mut self, gpu: &Gpu, dispatch: Dispatch, storage: Policy) -> Result<&mut Wanted, Error> {
        let (kernel, form, variant) = (dispatch.kernel.name, dispatch.form.name, dispatch.defines.join(" "));
        let module = match self.modules.entry((kernel, form, variant.clone(), storage)) {
            Entry::Occupied(made) => made.get().clone(),
            Entry::Vacant(free) => {
                let made = spirv_of(&dispatch, storage, SPIRV).map_err(|e| gpu_error(gpu, &dispatch, e))?;
                free.insert(made).clone()
            }
        };
        let wanted = self.all.entry((kernel, form, variant, module)).or_insert_with(|| Wanted {
            dispatch,
            storage: BTreeSet::new(),
            models: BTreeSet::new(),
            left_out: None,
        });
        wanted.storage.extend(Policy::ALL.iter().position(|s| *s == storage));
        Ok(wanted)
    }

    fn add_cases(&mut self, gpu: &Gpu) -> Result<(), Error> {
        // Skipped pipelines are listed, too, as if the adapter lacked nothing.
        let facts = gpu.forms.facts;
        let anything = Forms::first(Facts { device: facts.device, cores: facts.cores, ..Facts::MOST });
        let cases = LANGUAGE.iter().chain(&twins::ALL).flat_map(|tested| (tested.cases)());
        for case in cases.filter(|case| case.fits(&gpu.limits())) {
            for form in case.kernel.forms.iter().filter(|form| case.takes(form)) {
                for storage in case.storages_in(form) {
                    let forms = anything.forcing(case.kernel.name, form.name);
                    for dispatch in case.outline(storage, forms, gpu.limits())?.dispatches {
                        self.add(gpu, dispatch, storage)?.left_out = case.lacks(gpu, storage, form);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_model(
        &mut self,
        gpu: &Gpu,
        name: &str,
        model: &dyn Fn() -> Result<Model, Error>,
        size: Option<u32>,
    ) -> Result<(), Error> {
        for precision in [Precision::F32, Precision::F16] {
            let mut passes: Vec<Schedule> = Vec::new();
            let mut see = |_: Pass, recording: &mut _| passes.push(Schedule::new(Clone::clone(recording)));
            let model = model()?;
            let size = size.unwrap_or(model.default_size());
            let planned =
                Segmenter::builder().model(model).gpu(gpu.clone()).size(size).precision(precision).plan_with(&mut see);
            // The memory check comes last, and does not concern a compiler.
            if let (Err(error), true) = (planned, passes.len() < 4) {
                return Err(error);
            }
            for schedule in passes {
                for dispatch in schedule.dispatches() {
                    let wanted = self.add(gpu, dispatch.clone(), schedule.recording.storage)?;
                    wanted.models.insert(format!("{name}/{}", precision.name()));
                }
            }
        }
        Ok(())
    }

    /// Makes all of them, one after the other. `each` receives every row, and returns whether to continue.
    ///
    /// # Errors
    /// The driver gives no second device for its statistics.
    pub fn compile(&self, gpu: &Gpu, each: &mut dyn FnMut(Row) -> bool) -> Result<(), GpuError> {
        let statistics = Statistics::open(gpu)?;
        for ((kernel, form, variant, module), wanted) in &self.all {
            let mut row = Row {
                kernel,
                form,
                variant: variant.clone(),
                storage: wanted.storage.iter().map(|&i| Policy::ALL[i].name()).collect(),
                device: gpu.facts().name.clone(),
                models: wanted.models.clone(),
                left_out: wanted.left_out.clone(),
                error: None,
                milliseconds: None,
                figures: Figures::default(),
                driver_says: BTreeMap::new(),
            };
            if wanted.left_out.is_none()
                && let Err(error) = wanted.make(gpu, statistics.as_ref(), module, &mut row)
            {
                row.error = Some(error.to_string());
            }
            if !each(row) {
                break;
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn make(&self, gpu: &Gpu, statistics: Option<&Statistics>, module: &[u32], row: &mut Row) -> Result<(), GpuError> {
        let storage = Policy::ALL[self.storage.first().copied().unwrap_or(0)];
        row.milliseconds = Some(1e3 * gpu.compile(&self.dispatch, storage)?);
        let Some(statistics) = statistics else { return Ok(()) };
        let what = format!("statistics of {}, {} {}", row.kernel, row.form, row.variant);
        let tensors = self.dispatch.inputs.len() + self.dispatch.outputs.len();
        // SAFETY: naga has validated the module, and wgpu has made a pipeline of the same text.
        let code = unsafe { statistics.of(&what, module, tensors)? };
        row.figures = figures(&code);
        row.driver_says = code.into_iter().flat_map(|c| c.values).collect();
        Ok(())
    }
}

fn gpu_error(gpu: &Gpu, dispatch: &Dispatch, reason: String) -> Error {
    let what = format!("{} {}", dispatch.kernel.name, dispatch.form.name);
    GpuError::Failed { adapter: gpu.facts().name.clone(), what, reason }.into()
}
