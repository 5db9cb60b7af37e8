//! From flags to a model on an adapter.

use super::advice::describe;
use super::engine::Watch;
use super::errors::{CliError, usage};
use super::forms::FormArgs;
use super::options::{AdapterArgs, EngineArgs, MaskArgs};
use super::self_check::{SelfCheckArgs, cache};
use super::{tell, width};
use diffews_wgpu::image_io::Framing;
use diffews_wgpu::model::Model;
use diffews_wgpu::plan::Less;
use diffews_wgpu::segment::{KvSample, Planned};
use diffews_wgpu::tune::Tuning;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{BankFile, Error, GuidedFilter, Precision, Segmenter, Threshold};
use std::thread::available_parallelism;

/// A model and its settings, from the flags.
pub struct Wanted<'a> {
    pub files: ModelFiles,
    /// The model's name for messages.
    pub name: String,
    pub adapter: &'a AdapterArgs,
    pub forms: &'a FormArgs,
    pub self_check: &'a SelfCheckArgs,
    /// Whether to open the device with timestamps, if it has them.
    pub timed: bool,
    /// Whether forms are chosen by measurement.
    pub tuning: Option<Tuning>,
    pub size: Option<u32>,
    pub precision: Precision,
    pub max_memory: Option<u64>,
    /// Examples of the largest bank.
    pub shots: usize,
    pub kv_sample: Option<KvSample>,
    /// Banks to read; their size is the default.
    pub banks: Vec<&'a BankFile>,
    pub threshold: Option<Threshold>,
    pub min_score: f64,
    pub framing: Framing,
    pub guided_filter: Option<GuidedFilter>,
}

impl EngineArgs {
    /// `files` for banks of `shots` supports, on a device with timestamps if `timed`.
    ///
    /// # Errors
    /// An invalid variable of the environment.
    pub fn wanted(&self, files: ModelFiles, shots: usize, timed: bool) -> anyhow::Result<Wanted<'_>> {
        Ok(Wanted {
            files,
            name: self.model.name(),
            adapter: &self.adapter,
            forms: &self.forms,
            self_check: &self.self_check,
            timed,
            tuning: self.tuning.wanted()?,
            size: self.size,
            precision: self.precision,
            max_memory: self.memory.max_memory,
            shots,
            kv_sample: None,
            banks: Vec::new(),
            threshold: None,
            min_score: 0.0,
            framing: Framing::Squash,
            guided_filter: None,
        })
    }
}

impl Wanted<'_> {
    /// Sets the rule for masks from the flags.
    pub fn with_masks(self, masks: &MaskArgs) -> Self {
        Wanted { threshold: masks.threshold(), min_score: masks.min_score, guided_filter: masks.guided_filter, ..self }
    }
}

/// What is printed meanwhile.
#[derive(Clone, Copy)]
pub struct Told {
    /// The memory plan.
    pub verbose: bool,
    /// No notes.
    pub quiet: bool,
}

/// Plans the model and measures kernel forms if that was not done before; prints notes on model and adapter.
pub fn plan(wanted: Wanted, told_of: Told, watch: &mut dyn Watch) -> anyhow::Result<Planned> {
    let model = Model::load(wanted.files)?;
    model.warnings().iter().for_each(|warning| tell(&format!("warning: {warning}")));
    // A wrong flag is wrong usage, a wrong default is the model's fault.
    let of_bank = wanted.banks.first().map(|bank| bank.size());
    let size = wanted.size.or(of_bank).unwrap_or_else(|| model.default_size());
    if let Err(error) = model.config().check_size(size as usize) {
        return match wanted.size {
            Some(_) => Err(error.into()),
            None => Err(CliError::Weights(format!("{}: diffews.json: {error}", wanted.name)).into()),
        };
    }
    let gpu = wanted.forms.on(wanted.adapter.open_with(wanted.timed)?)?;
    let adapter = gpu.facts().clone();
    let builder = Segmenter::builder().model(model).gpu(gpu).size(size).precision(wanted.precision);
    let mut builder = builder.shots(wanted.shots).self_check(wanted.self_check.wanted());
    if let Some(sample) = wanted.kv_sample {
        builder = builder.kv_sample(sample);
    }
    if let Some(memory) = wanted.max_memory {
        builder = builder.memory(memory);
    }
    builder = builder.min_score(wanted.min_score).framing(wanted.framing);
    if let Some(threshold) = wanted.threshold {
        builder = builder.threshold(threshold);
    }
    if let Some(filter) = wanted.guided_filter {
        builder = builder.guided_filter(filter);
    }
    if let Some(tuning) = wanted.tuning {
        builder = builder.tuning(tuning);
    }
    if let Some(dir) = cache() {
        builder = builder.pipelines(dir);
    }
    let planned = builder.plan();
    if let Ok(planned) = &planned {
        width::widen(planned);
    }
    // Not earlier: the process may have restarted itself.
    wanted.adapter.warn_of_cpu(&adapter, told_of.quiet);
    let planned = planned.map_err(|error| match error {
        Error::Plan(ref plan) if plan.less == Less::OtherForm => usage(format!("--form: {error}")),
        Error::Plan(ref plan) if wanted.max_memory.is_some() && plan.less == Less::SizeOrPrecision => {
            usage(format!("--max-memory: {}", describe(&error.into())))
        }
        // Reported like other invalid sizes.
        Error::Plan(ref plan) if wanted.size.is_some() && plan.less != Less::Nothing => {
            usage(format!("--size {size}: {}", describe(&error.into())))
        }
        other => other.into(),
    })?;
    wanted.banks.iter().try_for_each(|bank| planned.check_bank(bank))?;
    let planned = tuned(planned, told_of, watch)?;
    if let (Some(words), false) = (duration(&planned), told_of.quiet) {
        tell(&words);
    }
    if told_of.verbose {
        tell(planned.memory().to_string().trim_end());
    }
    Ok(planned)
}

/// Measures kernel forms that have not been measured yet.
fn tuned(planned: Planned, told_of: Told, watch: &mut dyn Watch) -> anyhow::Result<Planned> {
    let (unknown, seconds) = planned.untuned();
    if unknown > 0 && !told_of.quiet {
        let name = &planned.gpu().facts().name;
        tell(&format!(
            "note: measuring the fastest kernel forms on {name} once for this model, for at most {seconds} s; \
            --no-tune skips it"
        ));
    }
    let planned = planned.tune_with(&mut |stage, done| watch.step(stage, done))?;
    if unknown > 0 {
        watch.clear();
    }
    if !told_of.quiet {
        planned.notes().iter().for_each(|note| tell(&format!("note: {note}")));
    }
    Ok(planned)
}

/// Seconds of a query above which a note is printed.
const LONG: f64 = 60.0;
/// Operations of one core in a second, measured with Mesa's CPU driver on several convolutions and matrix products.
const CPU_FLOPS: f64 = 15e9;

/// A note on the duration of a query if it is long on this CPU.
fn duration(planned: &Planned) -> Option<String> {
    if planned.gpu().facts().device_type != "Cpu" {
        return None;
    }
    let query = planned.query_flops() as f64;
    let cores = available_parallelism().map_or(1, |n| n.get()) as f64;
    let seconds = query / (CPU_FLOPS * cores);
    (seconds > LONG).then(|| {
        format!(
            "note: {:.1} TFLOP for each query, about {:.0} minutes on this CPU ({cores} cores), and about as much for each \
             support; a smaller --size is faster",
            query / 1e12,
            (seconds / 60.0).max(1.0)
        )
    })
}
