//! `bank`: examples encoded once and kept in a file for any number of runs.

use super::classes::Class;
use super::engine::{Engine, Setup, Watch};
use super::errors::usage;
use super::examples::{self, ExampleArgs, Kind};
use super::notes::Notes;
use super::open::Told;
use super::options::{EngineArgs, FrameArgs, PictureArgs};
use super::output;
use super::progress::{self, Bar};
use super::schema;
use super::{bytes, columns, json_line, print, print_lines};
use clap::{ArgGroup, Subcommand};
use diffews_wgpu::image_io::{self, is_standard};
use diffews_wgpu::segment::{BankOptions, BankStorage};
use diffews_wgpu::{BankFile, Precision, gpu};
use serde_json::json;
use std::ops::Range;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu bank encode --support a.png b.png --mask a_m.png b_m.png -o cat.bank --name cat
  diffews-wgpu infer --bank cat.bank --query photos/ --output masks/
  diffews-wgpu bank merge monday.bank tuesday.bank -o week.bank
  diffews-wgpu bank info week.bank

A bank belongs to one model and one size of pictures. Any adapter can read it.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Encode examples and write their keys and values to a file
    Encode(Box<EncodeArgs>),
    /// Print what a bank holds
    Info(InfoArgs),
    /// Write the examples of several banks as one
    Merge(MergeArgs),
    /// Write each example of a bank as a bank of its own
    Split(SplitArgs),
}

#[derive(clap::Args)]
#[command(group(ArgGroup::new("example").args(["support", "coco"]).multiple(true).required(true)))]
struct EncodeArgs {
    #[command(flatten)]
    examples: ExampleArgs,
    /// Banks of earlier runs, whose examples come first in the new bank
    #[arg(long, value_name = "FILE.bank", num_args = 1.., help_heading = "What to find")]
    bank: Vec<PathBuf>,
    /// The bank to write; its numbers have 16 bits, or with --precision f32 32 bits, which give the same results to the last bit as no bank
    #[arg(long, short, value_name = "FILE.bank", help_heading = "Output")]
    output: PathBuf,
    #[command(flatten)]
    written: WrittenArgs,
    /// Print warnings and errors only
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    frame: FrameArgs,
}

#[derive(clap::Args)]
struct WrittenArgs {
    /// What the examples show
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    name: Option<String>,
    /// Replace a file that exists
    #[arg(long, help_heading = "Output")]
    force: bool,
}

impl WrittenArgs {
    fn options(&self, storage: BankStorage) -> BankOptions<'_> {
        BankOptions { name: self.name.as_deref(), storage, force: self.force }
    }
}

#[derive(clap::Args)]
struct InfoArgs {
    #[arg(value_name = "FILE.bank", required_unless_present = "json_schema")]
    bank: Option<PathBuf>,
    /// Also write the small copies of its examples to this directory, as N.png and N_mask.png
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of that object and exit
    #[arg(long)]
    json_schema: bool,
}

#[derive(clap::Args)]
struct MergeArgs {
    #[arg(value_name = "FILE.bank", required = true, num_args = 1..)]
    banks: Vec<PathBuf>,
    /// The bank to write
    #[arg(long, short, value_name = "FILE.bank")]
    output: PathBuf,
    #[command(flatten)]
    written: WrittenArgs,
}

#[derive(clap::Args)]
struct SplitArgs {
    #[arg(value_name = "FILE.bank")]
    bank: PathBuf,
    /// Directory for the banks, which are named after this one with the example's number
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    written: WrittenArgs,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Encode(args) => encode(args),
        What::Info(args) => info(args),
        What::Merge(args) => merge(args),
        What::Split(args) => split(args),
    }
}

/// Checks that a bank can be written to `output`: a file, because other runs read it by name.
fn check(output: &Path, force: bool) -> anyhow::Result<()> {
    if is_standard(output) {
        return Err(usage("-: a bank cannot go to standard output; name a file"));
    }
    Ok(image_io::check_place(output, force)?)
}

fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    if args.examples.has_negatives() {
        return Err(usage("--negative: a bank holds one class; pass --negative to infer instead"));
    }
    if args.examples.files().any(is_standard) {
        return Err(usage("-: examples of a bank cannot come from standard input; name files"));
    }
    gpu::check_backend(&args.engine.adapter.choice()?)?;
    check(&args.output, args.written.force)?;
    let banks = args.bank.iter().map(BankFile::open).collect::<Result<Vec<_>, _>>()?;
    let (mut pictures, mut notes) = (args.pictures.options(), Notes::new(args.quiet));
    let planned = args.examples.plan(false)?;
    let read = planned.iter().flat_map(|example| example.files().chain(example.made()));
    output::refuse_input_as_output(&args.output, args.examples.files().chain(read))?;
    if let Some(name) = planned.iter().find_map(|example| match &example.kind {
        Kind::Thing(name) => name.as_ref(),
        Kind::Negative => None,
    }) {
        return Err(usage(format!(
            "{name}: a bank holds one class; --name names it, --value selects one of several values in a mask"
        )));
    }
    let loaded = args.examples.load(planned, (&mut pictures, &mut notes), args.quiet, args.written.force)?;
    let supports = loaded.into_iter().map(|(_, support)| support).collect();
    let class = Class { name: None, negative: false, banks, supports };
    progress::catch_interrupts();
    let mut bar = Bar::new(args.quiet);
    let setup = Setup {
        args: &args.engine,
        files: args.engine.model.files()?,
        masks: None,
        kv_sample: None,
        framing: args.frame.framing(),
        tiles: None,
        classes: std::slice::from_ref(&class),
        told: Told { verbose: false, quiet: args.quiet },
        timed: false,
    };
    let engine = Engine::with_retry(&setup, &mut bar)?;
    bar.clear();
    examples::warn_of_small_masks(&class.supports, engine.segmenter.size(), engine.segmenter.framing());
    let storage = if args.engine.precision == Precision::F32 { BankStorage::F32 } else { BankStorage::Half };
    let Some(bank) = engine.banks.first() else { return Err(usage("there is no example")) };
    let _writing = progress::writing();
    engine.segmenter.save_bank(bank, &args.output, &args.written.options(storage))?;
    print_written(&args.output, bank.shots(), args.quiet)
}

fn print_written(path: &Path, shots: usize, quiet: bool) -> anyhow::Result<()> {
    if quiet {
        return Ok(());
    }
    let size = std::fs::metadata(path).map_or(0, |about| about.len());
    let shots = if shots == 1 { "1 example".to_string() } else { format!("{shots} examples") };
    print(&format!("{}: {shots}, {}", path.display(), bytes(size)))
}

fn info(args: &InfoArgs) -> anyhow::Result<()> {
    let Some(file) = args.bank.as_ref().filter(|_| !args.json_schema) else { return schema::print(schema::BANK) };
    let bank = BankFile::open(file)?;
    if let Some(dir) = &args.pictures {
        pictures(&bank, dir)?;
    }
    let ((model, fingerprint), (layers, numbers)) = (bank.model(), bank.count());
    let stored = if bank.storage() == BankStorage::Half { "f16" } else { "f32" };
    if args.json {
        return print(&json_line(&json!({
            "bank": bank.file(), "name": bank.name(), "shots": bank.shots(), "examples": bank.examples(),
            "model": model, "fingerprint": fingerprint, "size": bank.size(), "precision": bank.precision(),
            "stored": stored, "layers": layers, "numbers_of_an_example": numbers,
        }))?);
    }
    let mut rows = vec![
        vec!["bank".to_string(), bank.file().into()],
        vec!["name".into(), bank.name().unwrap_or("none").into()],
        vec!["model".into(), format!("{model} ({fingerprint})")],
        vec!["pictures".into(), format!("{0} x {0}", bank.size())],
        vec!["encoded in".into(), bank.precision().into()],
        vec!["stored in".into(), format!("{stored}, {layers} layers, {numbers} numbers an example")],
    ];
    rows.extend(bank.examples().iter().enumerate().map(|(i, name)| vec![format!("example {i}"), name.clone()]));
    print_lines(&columns(&rows))
}

fn pictures(bank: &BankFile, dir: &Path) -> anyhow::Result<()> {
    for example in 0..bank.shots() {
        if let Some((image, mask)) = bank.small(example)? {
            image_io::write_rgb(&dir.join(format!("{example}.png")), &image, false)?;
            image_io::write_mask(&dir.join(format!("{example}_mask.png")), &mask, false)?;
        }
    }
    Ok(())
}

fn merge(args: &MergeArgs) -> anyhow::Result<()> {
    check(&args.output, args.written.force)?;
    let banks = args.banks.iter().map(BankFile::open).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<(&BankFile, Range<usize>)> = banks.iter().map(|bank| (bank, 0..bank.shots())).collect();
    write(&parts, &args.output, &args.written)
}

fn split(args: &SplitArgs) -> anyhow::Result<()> {
    let bank = BankFile::open(&args.bank)?;
    let stem = args.bank.file_stem().unwrap_or_default();
    let named = |example: usize| {
        let mut name = stem.to_owned();
        name.push(format!("_{example}.bank"));
        args.output.join(name)
    };
    // Check all files before writing the first.
    (0..bank.shots()).try_for_each(|example| check(&named(example), args.written.force))?;
    (0..bank.shots()).try_for_each(|example| write(&[(&bank, example..example + 1)], &named(example), &args.written))
}

/// Numbers have 32 bits if those of one bank have.
fn write(parts: &[(&BankFile, Range<usize>)], output: &Path, written: &WrittenArgs) -> anyhow::Result<()> {
    let exact = parts.iter().any(|(bank, _)| bank.storage() == BankStorage::F32);
    let storage = if exact { BankStorage::F32 } else { BankStorage::Half };
    let names = parts.iter().map(|(bank, _)| bank.name());
    // Keep the name if all of them have the same.
    let common = names.clone().next().flatten().filter(|first| names.clone().all(|name| name == Some(first)));
    let options = BankOptions { name: written.name.as_deref().or(common), ..written.options(storage) };
    BankFile::join(parts, output, &options)?;
    print_written(output, parts.iter().map(|(_, range)| range.len()).sum(), false)
}
