//! The one way from flags to a model on an adapter.

use super::errors::{CliError, usage};
use super::options::EngineArgs;
use super::tell;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Model, Options, Planned, Precision, Segmenter};
use std::thread::available_parallelism;

/// What the user is told on the way.
#[derive(Clone, Copy)]
pub struct Told {
    /// The memory plan.
    pub verbose: bool,
    /// No notes.
    pub quiet: bool,
}

/// Plans `files` for banks of `shots` supports, as `args` say but for the precision; tells what is to be known of model and adapter.
pub fn plan(
    args: &EngineArgs,
    files: ModelFiles,
    precision: Precision,
    shots: usize,
    told: Told,
) -> anyhow::Result<Planned> {
    let model = Model::load(files)?;
    model.warnings().iter().for_each(|warning| tell(&format!("warning: {warning}")));
    // The flag is the user's to correct, a default the model's.
    let size = args.size.unwrap_or_else(|| model.default_size());
    if let Err(error) = model.config().check_size(size as usize) {
        return match args.size {
            Some(_) => Err(error.into()),
            None => Err(CliError::Weights(format!("{}: diffews.json: {error}", args.model.name())).into()),
        };
    }
    let gpu = args.adapter.open()?;
    args.adapter.tell_of_cpu(gpu.facts(), told.quiet);
    let options = Options { size: Some(size), precision, shots, guided_filter: args.mask_args.guided_filter };
    let planned = Segmenter::plan(gpu, model, options).map_err(|error| match error {
        // As any other size that will not do.
        Error::Plan(_) if args.size.is_some() => usage(format!("--size {size}: {error}")),
        other => other.into(),
    })?;
    if let (Some(words), false) = (duration(&planned), told.quiet) {
        tell(&words);
    }
    if told.verbose {
        tell(planned.memory().to_string().trim_end());
    }
    Ok(planned)
}

/// Seconds that a query may take without a word before.
const LONG: f64 = 60.0;
/// What one core does in a second, measured with Mesa's CPU driver on several convolutions and products.
const CPU_FLOPS: f64 = 15e9;

/// How long a query takes, where it is a CPU that needs long.
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
