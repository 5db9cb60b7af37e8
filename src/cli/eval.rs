//! `eval`: a model scored over a file of episodes.

use super::errors::{CliError, usage};
use super::merge;
use super::options::{AdapterArgs, MaskArgs, ModelArgs, PrecisionArg};
use super::progress;
use super::{print, tell};
use clap::{Subcommand, ValueEnum};
use diffews_wgpu::eval::{
    Benchmark, Control, EpisodeFile, EvalError, Header, Job, Record, ResultsFile, Scored, Shard, Summary, Work,
    contact_sheet, evaluate, fingerprint, published, to_csv,
};
use diffews_wgpu::image_io::{Threshold, check_place, write_rgb, write_whole};
use diffews_wgpu::{Model, Options, Segmenter};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Warnings that are printed; the others are counted.
const MOST_WARNINGS: usize = 5;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    merge: Option<Verb>,
    /// What to measure: a JSON file of episodes (docs/eval.md; tools/episodes writes those of six benchmarks)
    #[arg(long, value_name = "FILE.json", required = true)]
    episodes: Option<PathBuf>,
    /// Directory that paths in FILE are relative to; several are searched in order, FILE's own comes last
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
    /// Use the first N supports of each episode [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    shots: Option<usize>,
    /// Do the first N episodes only
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Do the episodes whose number is I modulo N; I is from 0 to N - 1
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// shuffled: give every query the supports of another class. Scores must fall
    #[arg(long, value_enum, default_value = "none")]
    control: ControlArg,
    /// Of the control's draws and of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapter: AdapterArgs,

    /// Side of the square at which pictures are segmented and scored [default: what the model says, else 512]
    #[arg(long, value_name = "PIXELS", env = "DIFFEWS_SIZE", hide_env_values = true, help_heading = "Model")]
    size: Option<u32>,
    /// How values are stored on the adapter; sums are f32 always. auto picks f32 where it fits, else half precision
    #[arg(long, value_enum, default_value = "auto", env = "DIFFEWS_PRECISION", hide_env_values = true)]
    #[arg(help_heading = "Model")]
    precision: PrecisionArg,
    #[command(flatten)]
    mask_args: MaskArgs,

    /// Directory for results.jsonl (one line for each episode, at once), episodes.csv and summary.json; those of a
    /// shard carry its number
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Go on with the results in --output: what is done is not done again, what failed is
    #[arg(long, requires = "output", help_heading = "Output")]
    resume: bool,
    /// Write contact sheets of the first N episodes to DIR/sheets
    #[arg(long, value_name = "N", default_value_t = 0, requires = "output", help_heading = "Output")]
    visualize: usize,
    /// Print the scores as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// No progress, notes and table; warnings and errors stay
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Put the results of all shards of one run together
    Merge(merge::Args),
}

#[derive(Clone, Copy, ValueEnum)]
enum ControlArg {
    None,
    Shuffled,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "it must be a whole number of at least 1".into())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(Verb::Merge(args)) = &args.merge {
        return merge::run(args);
    }
    let Some(episodes) = &args.episodes else { return Err(usage("--episodes is missing")) };
    let file = EpisodeFile::open(episodes, &args.root)?;
    let control = match args.control {
        ControlArg::None => Control::None,
        ControlArg::Shuffled => Control::Shuffled,
    };
    let total = args.limit.map_or(file.episodes.len(), |limit| limit.min(file.episodes.len()));
    let mine: Vec<usize> = (0..total).filter(|&episode| args.shard.holds(episode)).collect();
    let mut shots = 1;
    for &episode in &mine {
        shots = shots.max(file.supports(episode, args.shots, control, args.seed)?.len());
    }
    progress::catch_interrupts();
    if args.model.weights.is_none() && !args.quiet {
        tell("note: no --weights given; this measures the small demonstration model inside this program");
    }
    let (segmenter, threshold, model) = open_model(args, shots)?;
    let header = Header {
        diffews_wgpu: env!("CARGO_PKG_VERSION").into(),
        episodes_sha256: file.sha256.clone(),
        benchmark: file.benchmark.clone(),
        model,
        size: segmenter.size(),
        precision: segmenter.storage().name().into(),
        threshold: match threshold {
            Threshold::Relative(value) => format!("relative {value}"),
            Threshold::Absolute(value) => format!("absolute {value}"),
        },
        guided_filter: segmenter.guided_filter(),
        shots: args.shots,
        control,
        seed: args.seed,
        total,
        shard: args.shard,
    };
    let mut place = Place::open(args, &header)?;
    let done = std::mem::take(&mut place.done);
    let shown: Vec<usize> = mine.iter().copied().take(args.visualize).collect();
    let work: Vec<Work> = mine
        .iter()
        .filter(|&&episode| !done.iter().any(|r| r.episode == episode))
        .map(|&episode| Work { episode, show: shown.contains(&episode) })
        .collect();
    let job = Job { shots: args.shots, control, seed: args.seed, threshold };
    let shown_before = shown.iter().filter(|&&episode| done.iter().any(|r| r.episode == episode)).count();
    if shown_before > 0 && !args.quiet {
        tell(&format!("note: {shown_before} episodes of --visualize were done before, and get no new sheets"));
    }
    let mut watcher = Watcher::new(args, done, mine.len());
    let result = evaluate(&segmenter, &file, &work, &job, &mut |_, _| !progress::interrupted(), &mut |scored| {
        watcher.take(&mut place, scored)
    });
    watcher.bar.finish_and_clear();
    if let (Err(EvalError::Engine(_)), Some(dir)) = (&result, &args.output) {
        tell(&format!(
            "{} of {} episodes are in {}; --resume goes on",
            watcher.records.len(),
            mine.len(),
            dir.display()
        ));
    }
    result?;
    watcher.tell_warnings();
    if !args.quiet {
        tell(&stage_times(&watcher.records));
    }
    finish(&watcher.records, &header, place.dir.as_deref(), args.json, args.quiet)
}

/// The model on its device, the threshold and the model's fingerprint, all of one opening of its files.
fn open_model(args: &Args, shots: usize) -> anyhow::Result<(Segmenter, Threshold, String)> {
    let files = args.model.files()?;
    let name = fingerprint(&files)?;
    let model = Model::load(files)?;
    model.warnings().iter().for_each(|warning| tell(&format!("warning: {warning}")));
    let threshold = args.mask_args.threshold_or(model.default_threshold());
    let size = args.size.unwrap_or_else(|| model.default_size());
    if let Err(error) = model.config().check_size(size as usize) {
        return match args.size {
            Some(_) => Err(error.into()),
            None => Err(CliError::Weights(format!("{}: diffews.json: {error}", args.model.name())).into()),
        };
    }
    let gpu = args.adapter.open()?;
    let options = Options {
        size: Some(size),
        precision: args.precision.into(),
        shots,
        guided_filter: args.mask_args.guided_filter,
    };
    let segmenter = Segmenter::plan(gpu, model, options)?.allocate(&mut |_, _| !progress::interrupted())?;
    Ok((segmenter, threshold, name))
}

/// Where results go, if they go anywhere.
struct Place {
    dir: Option<PathBuf>,
    results: Option<ResultsFile>,
    /// Found there: episodes of an earlier run.
    done: Vec<Record>,
}

impl Place {
    fn open(args: &Args, header: &Header) -> anyhow::Result<Place> {
        let Some(dir) = &args.output else { return Ok(Place { dir: None, results: None, done: Vec::new() }) };
        let sheets = if args.visualize > 0 { dir.join("sheets") } else { dir.clone() };
        fs::create_dir_all(&sheets).map_err(|cause| EvalError::Write { path: sheets, cause })?;
        let path = dir.join(file_name("results", header.shard, "jsonl"));
        keep_strangers(dir, header.shard)?;
        let (results, done) = if args.resume {
            ResultsFile::resume(&path, header)?
        } else {
            (ResultsFile::create(&path, header)?, Vec::new())
        };
        Ok(Place { dir: Some(dir.clone()), results: Some(results), done })
    }
}

/// Tables of a run whose results are not there are not this run's to replace.
pub(super) fn keep_strangers(dir: &Path, shard: Shard) -> anyhow::Result<()> {
    let results = file_name("results", shard, "jsonl");
    for (stem, extension) in [("episodes", "csv"), ("summary", "json")] {
        let path = dir.join(file_name(stem, shard, extension));
        if path.exists() && !dir.join(&results).exists() {
            let reason = format!("exists already, without its {results}; move it away or name another --output");
            return Err(EvalError::Results { path, reason }.into());
        }
        check_place(&path, true)?;
    }
    Ok(())
}

fn file_name(stem: &str, shard: Shard, extension: &str) -> String {
    match shard {
        Shard::WHOLE => format!("{stem}.{extension}"),
        Shard { index, of } => format!("{stem}-{index}-of-{of}.{extension}"),
    }
}

/// Takes each episode as it is done: to the disk, to the bar, to the records.
struct Watcher {
    bar: ProgressBar,
    records: Vec<Record>,
    seed: u64,
    warnings: Vec<String>,
}

impl Watcher {
    fn new(args: &Args, records: Vec<Record>, total: usize) -> Watcher {
        let shown = !args.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_position(records.len() as u64);
        let template = "{pos}/{len} [{bar:32}] {msg}  {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        // What an earlier run did is not this run's speed.
        bar.reset_eta();
        Watcher { bar, records, seed: args.seed, warnings: Vec::new() }
    }

    fn take(&mut self, place: &mut Place, scored: Scored) -> Result<(), EvalError> {
        let Scored { record, pictures, warnings } = scored;
        let _writing = progress::writing();
        if let (Some(dir), Some(pictures), Some(counts)) = (&place.dir, pictures, &record.counts) {
            let class: String =
                record.class.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(60).collect();
            let name = format!("{:06}_{class}_iou{:.2}.png", record.episode, counts.iou());
            write_rgb(&dir.join("sheets").join(name), &contact_sheet(&pictures)?, true)?;
        }
        if let Some(results) = &mut place.results {
            results.append(&record)?;
        }
        if let Some(error) = &record.error {
            self.bar.suspend(|| tell(&format!("error: episode {} ({}): {error}", record.episode, record.class)));
        }
        self.warnings.extend(warnings);
        self.records.push(record);
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            let running = summary(&self.records, self.seed);
            self.bar.set_message(format!("mIoU {:.1}", 100.0 * running.miou));
        }
        Ok(())
    }

    fn tell_warnings(&self) {
        self.warnings.iter().take(MOST_WARNINGS).for_each(|warning| tell(&format!("warning: {warning}")));
        if let Some(more @ 1..) = self.warnings.len().checked_sub(MOST_WARNINGS) {
            tell(&format!("warning: {more} more such masks"));
        }
    }
}

fn summary(records: &[Record], seed: u64) -> Summary {
    Summary::of(records.iter().filter_map(|r| Some((r.class.as_str(), r.counts.as_ref()?))), seed)
}

/// Where the time went: whether the device waited for pictures is what one wants to know.
fn stage_times(records: &[Record]) -> String {
    let mut sums = BTreeMap::<&str, f64>::new();
    for (stage, seconds) in records.iter().flat_map(|r| &r.seconds) {
        *sums.entry(stage).or_default() += seconds;
    }
    let (wait, load) = (sums.remove("wait").unwrap_or(0.0), sums.remove("load").unwrap_or(0.0));
    let device = sums.values().fold(0.0, |sum, s| sum + s);
    let stages: Vec<String> = sums.iter().map(|(stage, s)| format!("{} {s:.2}", stage.replace('_', " "))).collect();
    format!(
        "seconds: {device:.2} on the device ({}); it waited {wait:.2} for pictures, whose {load:.2} of reading and \
         resizing ran beside it",
        stages.join(", ")
    )
}

/// Files and words at the end. Failed episodes make it an error, after everything is written.
pub(super) fn finish(
    records: &[Record],
    header: &Header,
    dir: Option<&Path>,
    json: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let summary = summary(records, header.seed);
    let object = serde_json::to_string(&summary)?;
    if let Some(dir) = dir {
        for (stem, extension, text) in
            [("episodes", "csv", to_csv(records)), ("summary", "json", object.clone() + "\n")]
        {
            let path = dir.join(file_name(stem, header.shard, extension));
            write_whole(&path, text.as_bytes(), true)?;
        }
    }
    if json {
        print(&object)?;
    } else if !quiet {
        print(&table(&summary, header))?;
    }
    match records.iter().filter(|r| r.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(CliError::EpisodesFailed { failed, total: records.len() }.into()),
    }
}

fn table(summary: &Summary, header: &Header) -> String {
    let percent = |part: f64| format!("{:.1}", 100.0 * part);
    let [low, high] = summary.miou_ci95.map(percent);
    let mut lines = vec![format!(
        "mIoU {} % (95 % of resamples of the classes: {low} to {high}), FB-IoU {} %, {} episodes of {} classes{}",
        percent(summary.miou),
        percent(summary.fb_iou),
        summary.episodes,
        summary.classes,
        if header.control == Control::Shuffled { ", supports shuffled" } else { "" }
    )];
    if let Some(benchmark @ Benchmark { name, fold, shots }) = &header.benchmark {
        let told = |n: Option<f64>| n.map_or("-".into(), |n| format!("{n:.1}"));
        let (fold, shots) = (fold.map(|f| format!(" fold {f}")), shots.map(|s| format!(" {s}-shot")));
        let this = [name.as_str(), fold.as_deref().unwrap_or(""), shots.as_deref().unwrap_or("")].concat();
        lines.push(format!("{this}; published, means over all folds, one-shot / few-shot:"));
        let rows = published(benchmark);
        lines.extend(rows.iter().map(|r| format!("  {:<40} {} / {}", r.setting, told(r.one_shot), told(r.few_shot))));
        if rows.is_empty() {
            lines.push("  nothing known of this benchmark".into());
        }
    }
    lines.join("\n")
}
