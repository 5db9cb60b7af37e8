//! `infer`: segments queries by examples.

mod claim;
mod crew;
mod desk;
mod finish;
mod line;
mod load;
mod source;
mod standard;
mod strips;
mod trace;
mod watch;

use super::classes::ClassArgs;
use super::engine::{self, Engine, Setup, Watch as _};
use super::errors::{CliError, usage};
use super::examples::{self, ExampleArgs, Planned};
use super::format::FormatArgs;
use super::job::{Existing, Job};
use super::list::Input;
use super::notes::Notes;
use super::open::Told;
use super::options::{EngineArgs, FrameArgs, MaskArgs, PictureArgs, SampleArgs, TileArgs, part};
use super::output::{self, Plan, Wanted};
use super::progress::{self, Bar};
use super::queries::{More, Queries, QueryArgs};
use super::report::{self, Examples, Machine};
use super::schema;
use super::tell;
use claim::Claim;
use clap::{ArgAction, ArgGroup};
use desk::{Desk, Done, Item};
use diffews_wgpu::formats::Category;
use diffews_wgpu::image_io::{self, ImageError, LoadedPicture, PictureOptions, Tiles};
use diffews_wgpu::{Error, MaskRule, Segmentation, gpu};
use finish::{Computed, Written};
use load::{Loaded, Ready};
use source::{From, Source, Task};
use std::path::{Path, PathBuf};
use trace::Trace;
use watch::Watched;

const NOTE: &str = "note: no --weights given; this is the small demonstration model inside this program, which is poor on \
photographs. `diffews-wgpu model fetch published` downloads the paper's model and says how to use it";

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu infer --support cat.jpg --mask cat_mask.png --query other.jpg            writes other_mask.png
  diffews-wgpu infer --support a.png b.png --mask a_m.png b_m.png --query photos/ --output masks/ --overlay masks/
  diffews-wgpu infer --support a.png --mask a_m.png --query q.png --output m.png --probability map.npy --json
  diffews-wgpu infer --bank cat.bank --query photos/ --format coco --output found.json  (bank encode makes banks)
  diffews-wgpu infer --class cat=cat.bank --support dog:d.png --mask d_m.png --query q.png  writes q_labels.png
  diffews-wgpu infer --bank cat.bank --query photos/ --recursive --output masks/        photos/a/b.jpg: masks/a/b_mask.png
  find . -name '*_rgb.png' | diffews-wgpu infer --bank cat.bank --query - --output masks/ --skip-existing
  diffews-wgpu infer --bank cat.bank --query incoming/ --watch --output masks/          takes pictures as they arrive
  curl -s URL | diffews-wgpu infer --support a.png --mask a_m.png --query - --output - > mask.png

Exit codes, environment variables and where to get the published weights: diffews-wgpu --help";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
#[command(group(ArgGroup::new("example").args(["support", "bank", "class", "coco", "json_schema"]).required(true).multiple(true)))]
pub struct Args {
    #[command(flatten)]
    examples: ExampleArgs,
    #[command(flatten)]
    classes: ClassArgs,
    #[command(flatten)]
    queries: QueryArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    masks: MaskArgs,
    #[command(flatten)]
    sample: SampleArgs,

    /// Mask to write [default: <query>_mask.png in the working directory]; a directory for several queries, unless --format has one file
    /// for all [default: annotations.json]. - is standard output, for one of
    /// --output, --overlay and --probability
    #[arg(long, short, value_name = "FILE.png|DIR", help_heading = "Output")]
    output: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgs,
    /// Also write the query with its mask painted on it (in DIR: <query>_overlay.png)
    #[arg(long, value_name = "FILE.png|DIR", help_heading = "Output")]
    overlay: Option<PathBuf>,
    /// Also write the map before the threshold: .png has 16 bits and the query's size, .npy is [S, S] float32 in
    /// [0, 1], before it is enlarged (in DIR: <query>_probability.png)
    #[arg(long, value_name = "FILE.png|FILE.npy|DIR", help_heading = "Output")]
    probability: Option<PathBuf>,
    /// With classes: also write a mask of each class, as <query>_<class>_mask.png
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    class_masks: Option<PathBuf>,
    /// With classes: a pixel whose best two maps differ by less than this gets no class (255 in the label map)
    #[arg(long, value_name = "0..1", value_parser = part, default_value_t = 0.0, help_heading = "Output")]
    margin: f64,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    frame: FrameArgs,
    #[command(flatten)]
    tiles: TileArgs,
    /// Also write a trace of host and device, every dispatch with its form, shapes and rate, for Perfetto or
    /// chrome://tracing. The run gets a little slower
    #[arg(long, value_name = "FILE.json", help_heading = "Output")]
    trace: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Skip queries whose results all exist: continues an interrupted batch, and lets several runs share one batch; with --force,
    /// queries with incomplete results are repeated
    #[arg(long, help_heading = "Output")]
    skip_existing: bool,
    /// Print one JSON object for each query
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print the JSON Schema of these objects and exit
    #[arg(long, help_heading = "Output")]
    json_schema: bool,
    /// Draw each result in the terminal with characters
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    show: bool,
    /// Print warnings and errors only
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Print the model, the adapter and the memory plan first; twice: log kernels, and print device times by kernel after each query
    #[arg(long, short, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

impl Args {
    /// Files that are read besides the queries.
    fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.examples.files().chain(self.classes.files())
    }

    /// Where results go.
    fn results(&self) -> impl Iterator<Item = &Path> {
        [&self.output, &self.overlay, &self.probability, &self.class_masks].into_iter().flatten().map(PathBuf::as_path)
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.json_schema {
        return schema::print(schema::INFER);
    }
    // Cheap checks come first, in the order of their cost, then the weights and the GPU.
    let planned = args.examples.plan(args.classes.are_named())?;
    let names: Vec<String> = args.classes.names(&planned)?.into_iter().flatten().collect();
    if let (Some(_), true) = (&args.class_masks, names.is_empty()) {
        return Err(usage("--class-masks needs named classes, as --class cat=cat.bank or --support cat:a.png"));
    }
    if args.margin > 0.0 && names.is_empty() {
        return Err(usage("--margin needs named classes, as --class cat=cat.bank or --support cat:a.png"));
    }
    standard::check(args)?;
    args.tiles.tiles()?;
    gpu::check_backend(&args.engine.adapter.choice()?)?;
    if args.skip_existing && args.format.format.is_of_run() {
        return Err(usage(
            "--skip-existing: all queries share one file in this format, so none can be skipped by its own file",
        ));
    }
    let categories = args.format.format.categories(&names).map_err(|error| usage(error.to_string()))?;
    let search = args.queries.search(args.results())?;
    let Queries { known, several, more, mut input, notes: mut told } = args.queries.find(&search)?;
    let more = match more {
        More::None => None,
        More::List => Some(From::List { input: std::mem::take(&mut input), tree: args.queries.recursive() }),
        More::Watch => Some(From::Folders(Watched::new(args.queries.folders(), search, &known))),
    };
    // Neither results nor masks made from marks may replace an input, and results may not replace such masks.
    let read: Vec<&Path> = args.inputs().chain(planned.iter().flat_map(Planned::files)).collect();
    for made in planned.iter().filter_map(Planned::made) {
        let queries = known.iter().map(|query| query.path.as_path());
        output::refuse_input_as_output(made, read.iter().copied().chain(queries).chain(args.trace.as_deref()))?;
    }
    let folder = args.output.as_deref().filter(|path| path.is_dir());
    if let Some((path, _)) =
        folder.map(|folder| args.format.output().names_file(folder, &categories)).transpose()?.flatten()
    {
        output::refuse_input_as_output(
            &path,
            read.iter().copied().chain(known.iter().map(|query| query.path.as_path())),
        )?;
        image_io::check_place(&path, args.force)?;
    }
    let Plan { jobs, run_file, notes, later } = output::plan(Wanted {
        queries: known,
        several,
        inputs: read.into_iter().chain(planned.iter().filter_map(Planned::made)).collect(),
        output: args.output.as_deref(),
        format: args.format.format,
        overlay: args.overlay.as_deref(),
        probability: args.probability.as_deref(),
        classes: names,
        class_masks: args.class_masks.as_deref(),
        trace: args.trace.as_deref(),
        force: args.force,
        skip_existing: args.skip_existing,
    })?;
    told.extend(notes);
    if !args.quiet {
        told.iter().for_each(|note| tell(&format!("note: {note}")));
    }
    let mut source = Source::new(jobs);
    if let Some(more) = more {
        source = source.followed_by(more, later)?;
    }
    if source.is_over() {
        if !args.quiet {
            tell("nothing to do: all results exist");
        }
        return Ok(());
    }
    let trace = Trace::new(args, source.known())?;
    let (mut pictures, mut notes) = (args.pictures.options(), Notes::new(args.quiet));
    let classes = args.classes.load((&args.examples, planned), (&mut pictures, &mut notes), args.quiet, args.force)?;
    let strips = match source.known().next() {
        Some(job) if !several => strips::open(args, job, &pictures)?,
        _ => None,
    };
    let first = match source.known().next() {
        Some(job) if !several && strips.is_none() => Some(load::query(&pictures, job, &input)?),
        _ => None,
    };

    progress::catch_interrupts();
    let mut bar = Bar::new(args.quiet);
    if args.engine.model.weights.is_none() && !args.quiet {
        tell(NOTE);
    }
    let setup = Setup {
        args: &args.engine,
        files: args.engine.model.files()?,
        masks: Some(&args.masks),
        kv_sample: args.sample.wanted(),
        framing: args.frame.framing(),
        tiles: args.tiles.tiles()?,
        classes: &classes,
        told: Told { verbose: args.verbose > 0, quiet: args.quiet },
        timed: args.trace.is_some() || args.verbose > 1,
    };
    let engine = Engine::with_retry(&setup, &mut bar)?;
    bar.clear();
    examples::warn_of_small_masks(
        classes.iter().flat_map(|class| &class.supports),
        engine.segmenter.size(),
        engine.segmenter.framing(),
    );
    let told = report::examples(&classes);
    if let Some(folder) = args.output.as_deref().filter(|path| path.is_dir()) {
        args.format.write_names(folder, args.force, &categories)?;
    }
    if let (Some(strips), Some(job)) = (strips, source.known().next()) {
        let shared = strips::Shared { categories: &categories, run_file: run_file.as_deref() };
        return strips::run(args, job, strips, (&setup, &engine, &told), &shared, &mut bar);
    }
    let run_file = run_file.map(|path| args.format.output().begin(&path, args.force, &categories)).transpose()?;
    Batch { args, examples: told, categories, alone: !several, pictures, tiles: setup.tiles, input }.run(
        &setup,
        engine,
        (source, first),
        bar,
        notes,
        (trace, run_file),
    )
}

/// Most threads for reading, and the same for writing.
const MOST_THREADS: usize = 4;
/// Memory for queries in flight; one query is always allowed.
const ROOM_BYTES: u64 = 1 << 30;
/// Of a query on its way, for each pixel: the picture, an enlarged map, mask and painted copy;
const BYTES_PER_PIXEL: u64 = 12;
/// where several classes contend for it, their best two values and its label;
const BYTES_PER_LABEL: u64 = 9;
/// and where tiles are cut, the map of each class.
const BYTES_PER_MAP: u64 = 4;

/// Of a query on its way, for each pixel, where so many classes contend for it.
fn bytes_per_pixel(classes: usize, tiled: bool) -> u64 {
    let labels = if classes > 1 { BYTES_PER_LABEL } else { 0 };
    BYTES_PER_PIXEL + labels + if tiled { classes as u64 * BYTES_PER_MAP } else { 0 }
}

/// The queries of a run.
struct Batch<'a> {
    args: &'a Args,
    /// The classes, for the reports.
    examples: Examples,
    /// The classes, for the formats.
    categories: Vec<Category>,
    /// A single query, named on the command line.
    alone: bool,
    /// How queries are read.
    pictures: PictureOptions,
    tiles: Option<Tiles>,
    /// Standard input, if a query comes from it.
    input: Input,
}

impl Batch<'_> {
    /// Whether a query's results exist, be it from another run.
    fn is_there(&self, job: &Job) -> bool {
        self.args.skip_existing && job.is_done()
    }

    fn read(&self, task: &Task, side: u32) -> anyhow::Result<Ready> {
        if let Some(refused) = &task.refused {
            return Err(CliError::Query(refused.clone()).into());
        }
        let (job, mut claim) = (&task.job, None);
        if self.args.skip_existing {
            claim = Claim::on(job);
            // Check after claiming: another run writes before it releases its claim.
            match (self.is_there(job), &claim) {
                (true, _) => return Ok(Ready::There),
                (false, None) => return Ok(Ready::Busy),
                (false, Some(_)) => {}
            }
            // Results of a query that was known at the start did not exist then.
            if let (Some(path), true, false) = (job.begun(), task.late, self.args.force) {
                return Err(ImageError::Exists { path: path.to_owned() }.into());
            }
        }
        Ok(Ready::Picture(self.loaded(load::query(&self.pictures, job, &self.input)?, side, claim)))
    }

    fn loaded(&self, picture: LoadedPicture, side: u32, claim: Option<Claim>) -> Loaded {
        let keep = self.args.overlay.is_some() || self.args.show;
        // Tiles are cut from the full picture.
        let small = self.tiles.is_none().then(|| self.args.frame.framing().picture(&picture.rgb, side));
        Loaded::new(picture, small, keep, claim)
    }

    fn write(&self, (task, computed): Item, rule: MaskRule) -> Done {
        // A file that changed while it was computed comes twice.
        let keep = self.args.skip_existing || self.args.queries.is_watch();
        let existing = Existing { force: self.args.force, keep };
        let (args, examples, categories) = (self.args, &self.examples, &self.categories);
        let written = Written { args, examples, categories, rule };
        let done = computed.and_then(|computed| written.write(task.number, &task.job, computed, existing));
        (task, done)
    }
}

/// One query on the GPU.
fn compute(
    setup: &Setup,
    engine: &mut Option<Engine>,
    desk: &mut Desk,
    loaded: Loaded,
    job: &Job,
) -> anyhow::Result<Computed> {
    let (engine, results) = engine::segment(setup, engine, desk, &loaded.small)?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    let Some(first) = results.first() else { return Err(usage("there is no example")) };
    desk.add_times(engine, first, job);
    let (machine, times) =
        (Machine::of(&engine.segmenter, setup.tiles, first.precision()), engine.times(first.times()));
    // Without tiles the map is of the square input.
    let whole = |found: Segmentation| match setup.tiles {
        Some(_) => found.into_map(),
        None => setup.framing.map(found.into_map(), loaded.size),
    };
    let maps = results.into_iter().map(whole).collect();
    Ok(Computed { loaded, maps, machine, times })
}

#[cfg(test)]
mod tests {
    use super::bytes_per_pixel;

    #[test]
    fn tiles_hold_a_map_of_each_class() {
        assert_eq!(
            [(1, false), (1, true), (3, false), (3, true)].map(|(n, t)| bytes_per_pixel(n, t)),
            [12, 16, 21, 33]
        );
    }
}
