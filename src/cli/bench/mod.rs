//! `bench`: kernels and whole models against the clock, and beside what the adapter can do at most.

mod host;
mod network;
mod plot;
mod rows;
mod svg;
mod whole;
mod work;

use super::forms::FormArgs;
use super::options::{AdapterArgs, bytes};
use super::self_check::SelfCheckArgs;
use super::{json_line, print, progress};
use clap::{ArgGroup, ValueEnum};
use diffews_wgpu::bench::Roof;
use diffews_wgpu::image_io::{Mask, RgbImage};
use diffews_wgpu::{Example, Precision};
use network::NETWORK;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu bench                                           what the adapter can do at most, and each kernel beside it
  diffews-wgpu bench --model sd21 --random --precision f16     a whole model with random weights
  diffews-wgpu bench --work --model sd21 --size 512            what a network costs; nothing runs";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new(NETWORK).multiple(true))]
pub struct Args {
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    forms: FormArgs,
    #[command(flatten)]
    self_check: SelfCheckArgs,
    /// Measure only rows whose kernel or shape contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How elements are stored; by default all that the adapter can do, but 8 bits
    #[arg(long, value_enum)]
    precision: Option<StorageArg>,
    /// What the host computes for a query, and no other row: the time of its own thread, by stage. Results are not looked at, so a
    /// driver that computes nothing will do (docs/drivers.md)
    #[arg(long, groups = ["whole", NETWORK], conflicts_with = "only")]
    host: bool,
    /// Count the work of a network on this adapter from its plan, and run nothing; stored as halves by default
    #[arg(long, groups = ["whole", NETWORK], conflicts_with_all = ["only", "repetitions"])]
    work: bool,
    /// For --model and --work: supports of the bank
    #[arg(long, value_name = "N", default_value_t = 1, requires = NETWORK, conflicts_with = "host")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    shots: u16,
    #[command(flatten)]
    network: network::NetworkArgs,
    /// For --model and --work: at most so much of the adapter's memory, as 1.5GiB; weights that have no room come and go in turn
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = NETWORK, conflicts_with_all = ["host", "plot"])]
    max_memory: Option<u64>,
    /// Draw how time and memory grow with size, supports and queries, beside the count of the work. --size is the largest size
    #[arg(long, value_name = "FILE.svg", groups = ["whole", NETWORK], conflicts_with_all = ["only", "shots"])]
    plot: Option<PathBuf>,
    /// Replace the file of --plot where it exists
    #[arg(long, requires = "plot")]
    force: bool,
    /// Timed runs of each row; the median counts [default: 5; with --plot 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: Option<u16>,
    /// Print one JSON object for each row
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StorageArg {
    F32,
    Packed,
    F16,
    /// Weights of 8 bits
    Q8,
}

impl StorageArg {
    /// How a model stores its values then: which of the two kinds of half precision is its own choice.
    fn of_model(self) -> Precision {
        match self {
            StorageArg::F32 => Precision::F32,
            StorageArg::Packed | StorageArg::F16 => Precision::F16,
            StorageArg::Q8 => Precision::Q8,
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    progress::catch_interrupts();
    if args.host {
        return host::run(args);
    }
    if args.work {
        return work::run(args);
    }
    if let Some(file) = &args.plot {
        return plot::run(args, file);
    }
    if args.network.is_named() {
        return whole::run(args);
    }
    rows::run(args)
}

impl Args {
    fn repetitions(&self) -> u16 {
        self.repetitions.unwrap_or(5)
    }

    /// How a model stores its values where one precision is measured.
    fn model_precision(&self) -> Precision {
        self.precision.map_or(Precision::F32, StorageArg::of_model)
    }
}

const COMMIT: &str = env!("DIFFEWS_COMMIT");

/// The roof in a line for people.
fn roof_line(roof: &Roof) -> String {
    let (arithmetic, memory) = (&roof.arithmetic, &roof.memory);
    format!(
        "roof: {:.1} GFLOP/s of f32 ({}), {:.1} GB/s of copies ({})",
        arithmetic.rate / 1e9,
        arithmetic.by,
        memory.rate / 1e9,
        memory.by
    )
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// A picture of noise with a mask, and the picture: the time does not depend on what is in it.
fn noise(side: u32) -> anyhow::Result<(Example, RgbImage)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let picture = RgbImage::from_fn(side, side, |_, _| image::Rgb([0; 3].map(|_: u8| rng.u8(..))));
    let mask = Mask::new(side, side, (0..side * side).map(|i| i % side < side / 2).collect())?;
    Ok((Example::new(picture.clone(), mask)?, picture))
}
