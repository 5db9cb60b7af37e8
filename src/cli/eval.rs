//! `eval`: scores a model over a file of episodes.

use super::errors::usage;
use super::merge;
use super::open::Wanted;
use super::open::{self, Told};
use super::options::{EngineArgs, MaskArgs, SampleArgs};
use super::progress;
use super::scores::{file_name, finish, refuse_foreign_files, stage_times};
use super::tell;
use clap::{Subcommand, ValueEnum};
use diffews_wgpu::eval::{
    Control, EpisodeFile, EvalError, Header, Job, Marked, Record, ResultsFile, Running, SCORING, Scored, Shard, Work,
    contact_sheet, evaluate, fingerprint,
};
use diffews_wgpu::image_io::write_rgb;
use diffews_wgpu::settings::Threshold;
use diffews_wgpu::{Segmenter, shown};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashSet;
use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Most warnings to print; the rest are counted.
const MOST_WARNINGS: usize = 5;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu eval --episodes e.json --root DATA --weights DIR --unet DIR --output out
  diffews-wgpu eval --episodes e.json --root DATA --weights DIR --unet DIR --output out --resume
  diffews-wgpu eval merge out --output out

docs/eval.md describes the file of episodes and the scoring.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    merge: Option<Verb>,
    /// The episodes to run, a JSON file (docs/eval.md; tools/episodes writes the files of six benchmarks)
    #[arg(long, value_name = "FILE.json", required = true)]
    episodes: Option<PathBuf>,
    /// Directory that paths in FILE are relative to; several are searched in order, FILE's own directory last
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
    /// Use the first N supports of each episode [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    shots: Option<usize>,
    /// Run the first N episodes only
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Run the episodes whose number is I modulo N; I is from 0 to N - 1
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// shuffled: give every query supports of another class, as a control; scores must fall
    #[arg(long, value_enum, default_value = "none")]
    control: ControlArg,
    /// Replace the masks of supports by masks made from marks: from their bounding boxes, or from points in their middle
    #[arg(long, value_enum)]
    support_marks: Option<MarkedArg>,
    /// Seed of the control and of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    masks: MaskArgs,
    #[command(flatten)]
    sample: SampleArgs,

    /// Directory for results.jsonl (a line as each episode ends), episodes.csv and summary.json; files of a
    /// shard carry its number
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Continue the run in --output: skip finished episodes, repeat failed ones
    #[arg(long, requires = "output", help_heading = "Output")]
    resume: bool,
    /// Write contact sheets of the first N episodes to DIR/sheets
    #[arg(long, value_name = "N", default_value_t = 0, requires = "output", help_heading = "Output")]
    visualize: usize,
    /// Print the scores as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print warnings and errors only
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Merge the results of all shards of a run
    Merge(merge::Args),
}

#[derive(Clone, Copy, ValueEnum)]
enum MarkedArg {
    Box,
    Point,
}

impl From<MarkedArg> for Marked {
    fn from(arg: MarkedArg) -> Marked {
        match arg {
            MarkedArg::Box => Marked::Box,
            MarkedArg::Point => Marked::Point,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ControlArg {
    None,
    Shuffled,
}

impl From<ControlArg> for Control {
    fn from(arg: ControlArg) -> Control {
        match arg {
            ControlArg::None => Control::None,
            ControlArg::Shuffled => Control::Shuffled,
        }
    }
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
    let control: Control = args.control.into();
    let marked: Option<Marked> = args.support_marks.map(Into::into);
    let total = args.limit.map_or(file.episodes.len(), |limit| limit.min(file.episodes.len()));
    let mine: Vec<usize> = (0..total).filter(|&episode| args.shard.holds(episode)).collect();
    let mut shots = 1;
    for &episode in &mine {
        shots = shots.max(file.supports(episode, args.shots, control, args.seed)?.len());
    }
    progress::catch_interrupts();
    if args.engine.model.weights.is_none() && !args.quiet {
        tell("note: no --weights given; this runs the small demonstration model inside this program");
    }
    let (segmenter, model) = open_model(args, shots)?;
    let rule = segmenter.mask_rule();
    let header = Header {
        diffews_wgpu: env!("CARGO_PKG_VERSION").into(),
        scoring: SCORING,
        episodes_sha256: file.sha256.clone(),
        benchmark: file.benchmark.clone(),
        model,
        size: segmenter.size(),
        precision: segmenter.storage().name().into(),
        forms: segmenter.memory().forms.clone(),
        min_score: rule.min_score,
        threshold: match rule.threshold {
            Threshold::Relative(value) => format!("relative {value}"),
            Threshold::Absolute(value) => format!("absolute {value}"),
        },
        guided_filter: segmenter.guided_filter(),
        shots: args.shots,
        kv_sample: args.sample.wanted(),
        control,
        marked,
        seed: args.seed,
        total,
        limited: total < file.episodes.len(),
        classes: file.classes(),
        shard: args.shard,
    };
    let mut place = Place::open(args, &header)?;
    let done = std::mem::take(&mut place.done);
    let there: HashSet<usize> = done.iter().map(|r| r.episode).collect();
    let shown_before = mine.iter().take(args.visualize).filter(|episode| there.contains(episode)).count();
    let work: Vec<Work> = (mine.iter().enumerate())
        .map(|(i, &episode)| Work { episode, show: i < args.visualize })
        .filter(|work| !there.contains(&work.episode))
        .collect();
    if shown_before > 0 && !args.quiet {
        tell(&format!(
            "note: {shown_before} episodes of --visualize were finished by an earlier run and get no new sheets"
        ));
    }
    let mut watcher = Watcher::new(args, done, mine.len());
    let job = &Job { shots: args.shots, control, marked, seed: args.seed, rule };
    let result = evaluate(&segmenter, &file, &work, job, &mut |_, _| progress::go_on(), &mut |scored| {
        watcher.take(&mut place, scored)
    });
    watcher.bar.finish_and_clear();
    if let (Err(_), Some(dir)) = (&result, &args.output) {
        tell(&format!(
            "{} of {} episodes are in {}; --resume continues",
            watcher.records.len(),
            mine.len(),
            dir.display()
        ));
    }
    watcher.print_warnings();
    if watcher.in_f32 > 0 {
        tell(&format!("warning: {} episodes overflowed in half precision and were run again in f32", watcher.in_f32));
    }
    result?;
    if !args.quiet {
        tell(&stage_times(&watcher.records));
    }
    if let Some(results) = &place.results {
        results.sync()?;
    }
    // Hold the lock on the results until the tables are written.
    finish(&watcher.records, &header, place.dir.as_deref(), args.json, args.quiet)
}

/// The segmenter and the fingerprint of its model.
fn open_model(args: &Args, shots: usize) -> anyhow::Result<(Segmenter, String)> {
    let files = args.engine.model.files()?;
    let name = fingerprint(&files)?;
    let told = Told { verbose: false, quiet: args.quiet };
    let wanted = args.engine.wanted(files, shots, false)?.with_masks(&args.masks);
    let wanted = Wanted { kv_sample: args.sample.wanted(), ..wanted };
    let planned = open::plan(wanted, told, &mut progress::Bar::new(args.quiet))?;
    let segmenter = planned.allocate_with(&mut |_, _| progress::go_on())?;
    if let Some(overflow) = segmenter.overflow() {
        tell(&format!("warning: {overflow}; ran again with everything in f32"));
    }
    Ok((segmenter, name))
}

/// Where results go, if anywhere.
struct Place {
    dir: Option<PathBuf>,
    results: Option<ResultsFile>,
    /// Episodes of an earlier run in the same directory.
    done: Vec<Record>,
}

impl Place {
    fn open(args: &Args, header: &Header) -> anyhow::Result<Place> {
        let Some(dir) = &args.output else { return Ok(Place { dir: None, results: None, done: Vec::new() }) };
        let sheets = if args.visualize > 0 { dir.join("sheets") } else { dir.clone() };
        fs::create_dir_all(&sheets).map_err(|cause| EvalError::Write { path: sheets, cause })?;
        let path = dir.join(file_name("results", header.shard, "jsonl"));
        refuse_foreign_files(dir, header.shard)?;
        let (results, done) = if args.resume {
            ResultsFile::resume(&path, header)?
        } else {
            (ResultsFile::create(&path, header)?, Vec::new())
        };
        Ok(Place { dir: Some(dir.clone()), results: Some(results), done })
    }
}

/// Receives finished episodes: writes them, updates the bar, keeps the records.
struct Watcher {
    bar: ProgressBar,
    running: Running,
    records: Vec<Record>,
    /// Warnings to print, each once.
    warnings: Vec<String>,
    seen: HashSet<String>,
    /// Episodes of this run that overflowed in half precision.
    in_f32: usize,
}

impl Watcher {
    fn new(args: &Args, records: Vec<Record>, total: usize) -> Watcher {
        let visible = !args.quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_position(records.len() as u64);
        let template = "{pos}/{len} [{bar:32}] {msg}  {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        // Episodes of an earlier run do not count for the speed.
        bar.reset_eta();
        let mut running = Running::default();
        records.iter().for_each(|r| _ = r.counts.as_ref().map(|counts| running.add(&r.class, counts)));
        Watcher { bar, running, records, warnings: Vec::new(), seen: HashSet::new(), in_f32: 0 }
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
            let (class, error) = (shown::text(&record.class), shown::whole(error));
            self.bar.suspend(|| tell(&format!("error: episode {} ({class}): {error}", record.episode)));
        }
        self.warnings.extend(warnings.into_iter().filter(|warning| self.seen.insert(warning.clone())));
        if let Some(counts) = &record.counts {
            self.running.add(&record.class, counts);
        }
        self.in_f32 += usize::from(record.precision.is_some());
        self.records.push(record);
        self.bar.inc(1);
        self.bar.set_message(format!("mIoU {:.1}", 100.0 * self.running.miou()));
        Ok(())
    }

    fn print_warnings(&self) {
        self.warnings.iter().take(MOST_WARNINGS).for_each(|warning| tell(&format!("warning: {warning}")));
        if let Some(more @ 1..) = self.warnings.len().checked_sub(MOST_WARNINGS) {
            tell(&format!("warning: {more} more such masks"));
        }
    }
}
