//! `infer`: supports and masks in, masks of the queries out.

use super::errors::{CliError, usage};
use super::options::{AdapterArgs, MaskArgs, ModelArgs, PrecisionArg};
use super::output::{self, Job, Wanted};
use super::progress::{self, Bar};
use super::report::{self, Report, Support};
use super::{print, print_raw, show, tell};
use clap::ArgAction;
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::image_io::{self, ImageError, Mask, MaskWarning, RgbImage, Threshold};
use diffews_wgpu::model::Model;
use diffews_wgpu::{Error, Options, Precision, Segmentation, Segmenter, Stage, SupportBank};
use std::path::PathBuf;
use std::time::Instant;

const NOTE: &str = "note: no --weights given; this is the small demonstration model inside this program, which is poor on \
     photographs. The published weights: --weights SD21_DIR --unet DIFFEWS_DIR (where to get them: --help)";

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu infer --support cat.jpg --mask cat_mask.png --query other.jpg            writes other_mask.png
  diffews-wgpu infer --support a.png b.png --mask a_m.png b_m.png --query photos/ --output masks/ --overlay masks/
  diffews-wgpu infer --support a.png --mask a_m.png --query q.png --output m.png --probability map.npy --json

Exit codes, environment variables and where to get the published weights: diffews-wgpu --help";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Example picture; several are shots of one example set
    #[arg(long, value_name = "IMAGE", required = true, num_args = 1..)]
    support: Vec<PathBuf>,
    /// Mask of the example picture of the same place: white (>= 50 %) is what to find
    #[arg(long, value_name = "IMAGE", required = true, num_args = 1..)]
    mask: Vec<PathBuf>,
    /// Picture to segment, or a directory of them (not those below it)
    #[arg(long, value_name = "IMAGE|DIR", required = true, num_args = 1..)]
    query: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapter: AdapterArgs,

    /// Side of the square that pictures are scaled to [default: what the model says, else 512]
    #[arg(long, value_name = "PIXELS", env = "DIFFEWS_SIZE", hide_env_values = true, help_heading = "Model")]
    size: Option<u32>,
    /// How values are stored on the adapter; sums are f32 always. auto picks f32 where it fits, else half precision
    #[arg(long, value_enum, default_value = "auto", env = "DIFFEWS_PRECISION", hide_env_values = true)]
    #[arg(help_heading = "Model")]
    precision: PrecisionArg,

    /// Mask to write [default: <query>_mask.png here]; a directory for several queries
    #[arg(long, short, value_name = "FILE.png|DIR", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Also write the query with its mask painted over it (in DIR: <query>_overlay.png)
    #[arg(long, value_name = "FILE.png|DIR", help_heading = "Output")]
    overlay: Option<PathBuf>,
    /// Also write the map before the threshold: .png has 16 bits and the query's size, .npy is [S, S] float32 in
    /// [0, 1], before it is enlarged (in DIR: <query>_probability.png)
    #[arg(long, value_name = "FILE.png|FILE.npy|DIR", help_heading = "Output")]
    probability: Option<PathBuf>,
    #[command(flatten)]
    mask_args: MaskArgs,
    /// Replace files that exist
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Leave out queries whose results are all there: goes on with a batch that was interrupted; with --force those of which
    /// a part is there are done again
    #[arg(long, help_heading = "Output")]
    skip_existing: bool,
    /// Print one JSON object for each query
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Draw each result with characters on the terminal
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    show: bool,
    /// No progress, notes and summaries; warnings and errors stay
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Say what runs where and print the memory plan first; twice: log kernels too
    #[arg(long, short, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    // All that is cheap comes before the weights and the GPU, in the order of its cost.
    if args.support.len() != args.mask.len() {
        let (supports, masks) = (args.support.len(), args.mask.len());
        return Err(usage(format!(
            "{supports} --support and {masks} --mask; give one mask for each support, in order"
        )));
    }
    let jobs = output::plan(&Wanted {
        queries: &args.query,
        inputs: args.support.iter().chain(&args.mask).map(PathBuf::as_path).collect(),
        output: args.output.as_deref(),
        overlay: args.overlay.as_deref(),
        probability: args.probability.as_deref(),
        force: args.force,
        skip_existing: args.skip_existing,
    })?;
    if jobs.is_empty() {
        if !args.quiet {
            tell("nothing to do: all results are there");
        }
        return Ok(());
    }
    let alone = args.query.len() == 1 && !args.query[0].is_dir();
    let supports = read_supports(args)?;
    let first = if alone { Some(image_io::load_rgb(&jobs[0].query)?) } else { None };

    progress::catch_interrupts();
    let mut bar = Bar::new(args.quiet);
    if args.model.weights.is_none() && !args.quiet {
        tell(NOTE);
    }
    let engine = Engine::with_retry(args, &supports, &mut bar)?;
    bar.clear();
    for support in &supports {
        let (mask, size) = (&support.data.1, engine.segmenter.size());
        if let Some(warning) = MaskWarning::between(mask, &image_io::resize_nearest_mask(mask, size, size)) {
            tell(&format!("warning: {}: {warning}", support.mask.display()));
        }
    }
    let threshold = args.mask_args.threshold_or(engine.default_threshold);
    let mut engine = Some(engine);
    let mut failed = 0;
    let mut first = first;
    for (i, job) in jobs.iter().enumerate() {
        if jobs.len() > 1 {
            bar.prefix(format!("{}/{} ", i + 1, jobs.len()));
        }
        let rgb = first.take().map_or_else(|| image_io::load_rgb(&job.query), Ok).map_err(anyhow::Error::from);
        let done = rgb.and_then(|rgb| one(args, &supports, &mut engine, &mut bar, job, &rgb, threshold));
        bar.clear();
        match done {
            Ok(()) => {}
            Err(error) if !alone && is_of_query(&error) => {
                failed += 1;
                tell(&format!("error: {error}"));
                if args.json {
                    print(&report::failure(job, &error)?)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::SomeFailed { failed, total: jobs.len() }.into()),
    }
}

/// Errors after which the next query may still do.
fn is_of_query(error: &anyhow::Error) -> bool {
    error.is::<ImageError>() || matches!(error.downcast_ref(), Some(Error::Image(_) | Error::NotFinite { .. }))
}

fn read_supports(args: &Args) -> anyhow::Result<Vec<Support>> {
    let read = |(image, mask): (&PathBuf, &PathBuf)| {
        let rgb = image_io::load_rgb(image)?;
        let loaded = image_io::load_mask(mask, rgb.dimensions())?;
        if let Some(warning) = loaded.warning {
            tell(&format!("warning: {}: {warning}", mask.display()));
        }
        Ok(Support { image: image.clone(), mask: mask.clone(), data: (rgb, loaded.mask) })
    };
    args.support.iter().zip(&args.mask).map(read).collect()
}

/// A model on a device with the supports' bank.
struct Engine {
    segmenter: Segmenter,
    bank: SupportBank,
    default_threshold: Threshold,
    load_seconds: f64,
}

impl Engine {
    /// Opens everything; where half precision fails on the supports, once more in f32.
    fn with_retry(args: &Args, supports: &[Support], bar: &mut Bar) -> anyhow::Result<Engine> {
        match Engine::new(args, supports, args.precision.into(), bar) {
            Err(error) if overflowed(&error) => Engine::again(args, supports, &error, bar),
            other => other,
        }
    }

    fn again(args: &Args, supports: &[Support], error: &anyhow::Error, bar: &mut Bar) -> anyhow::Result<Engine> {
        bar.clear();
        tell(&format!("warning: {error}; trying again with everything in f32"));
        Engine::new(args, supports, Precision::F32, bar)
    }

    fn new(args: &Args, supports: &[Support], precision: Precision, bar: &mut Bar) -> anyhow::Result<Engine> {
        let model = Model::load(args.model.files()?)?;
        for warning in model.warnings() {
            tell(&format!("warning: {warning}"));
        }
        let default_threshold = model.default_threshold();
        // The flag is the user's to correct, a default the model's.
        let size = args.size.unwrap_or_else(|| model.default_size());
        if let Err(error) = model.config().check_size(size as usize) {
            return match args.size {
                Some(_) => Err(error.into()),
                None => Err(CliError::Weights(format!("{}: diffews.json: {error}", args.model.name())).into()),
            };
        }
        let gpu = Gpu::new(&args.adapter.choice())?;
        let options =
            Options { size: Some(size), precision, shots: supports.len(), guided_filter: args.mask_args.guided_filter };
        let planned = Segmenter::plan(gpu, model, options)?;
        if args.verbose > 0 {
            tell(planned.memory().to_string().trim_end());
        }
        let started = Instant::now();
        let segmenter = planned.allocate(&mut |stage, done| bar.step(stage, done))?;
        let load_seconds = started.elapsed().as_secs_f64();
        let examples: Vec<(RgbImage, Mask)> = supports.iter().map(|s| s.data.clone()).collect();
        let bank = segmenter.encode_support(&examples, &mut |stage, done| bar.step(stage, done))?;
        Ok(Engine { segmenter, bank, default_threshold, load_seconds })
    }
}

/// Whether f32 may do what failed.
fn overflowed(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(Error::halves_overflowed)
}

/// A query's map, and the engine that made it: another one where half precision was not enough.
fn segment<'a>(
    args: &Args,
    supports: &[Support],
    slot: &'a mut Option<Engine>,
    bar: &mut Bar,
    rgb: &RgbImage,
) -> anyhow::Result<(&'a Engine, Segmentation)> {
    let engine = match slot.take() {
        Some(engine) => engine,
        // f32 had failed on the supports when an earlier query asked for it.
        None => Engine::new(args, supports, Precision::F32, bar)?,
    };
    let run = |engine: &Engine, bar: &mut Bar| -> anyhow::Result<Segmentation> {
        Ok(engine.segmenter.segment(&engine.bank, rgb, &mut |stage, done| bar.step(stage, done))?)
    };
    match run(&engine, bar) {
        Err(error) if overflowed(&error) => {
            // Two engines at once may not fit the device.
            drop(engine);
            let engine = slot.insert(Engine::again(args, supports, &error, bar)?);
            let result = run(engine, bar)?;
            Ok((engine, result))
        }
        result => Ok((slot.insert(engine), result?)),
    }
}

/// Computes, writes and reports one query.
fn one(
    args: &Args,
    supports: &[Support],
    slot: &mut Option<Engine>,
    bar: &mut Bar,
    job: &Job,
    rgb: &RgbImage,
    threshold: Threshold,
) -> anyhow::Result<()> {
    let (engine, result) = segment(args, supports, slot, bar, rgb)?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    let (width, height) = rgb.dimensions();
    let mask = result.map.mask_at(width, height, threshold)?;
    job.write(rgb, &mask, &result.map, args.force)?;
    bar.clear();
    let mut times = vec![(Stage::Load, engine.load_seconds)];
    times.extend(engine.bank.times().iter().chain(&result.times));
    let report = Report::new(&engine.segmenter, supports, job, &mask, threshold, &times);
    if args.json {
        print(&serde_json::to_string(&report)?)?;
    } else if !args.quiet {
        print(&report.summary())?;
    }
    if args.show {
        print_raw(&show::draw(rgb, &mask))?;
    }
    Ok(())
}
