//! `bench`: times of kernels and whole models, compared with the adapter's roofs.

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
  diffews-wgpu bench                                           the adapter's roofs, and each kernel compared with them
  diffews-wgpu bench --model sd21 --random --precision f16     a whole model with random weights
  diffews-wgpu bench --work --model sd21 --size 512            count a network's work without running it";

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
    /// How elements are stored [default: all that the adapter supports, except 8 bits]
    #[arg(long, value_enum)]
    precision: Option<StorageArg>,
    /// Measure the host's work for a query alone: the time of its thread, by stage. Results are not checked, so a driver that computes
    /// nothing is enough (docs/drivers.md)
    #[arg(long, groups = ["whole", NETWORK], conflicts_with = "only")]
    host: bool,
    /// Count a network's work on this adapter from its plan and run nothing [default precision: halves]
    #[arg(long, groups = ["whole", NETWORK], conflicts_with_all = ["only", "repetitions"])]
    work: bool,
    /// For --model and --work: supports of the bank
    #[arg(long, value_name = "N", default_value_t = 1, requires = NETWORK, conflicts_with = "host")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    shots: u16,
    #[command(flatten)]
    network: network::NetworkArgs,
    /// For --model and --work: use at most this much of the adapter's memory (such as 1.5GiB); weights that do not fit are uploaded for each query
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = NETWORK, conflicts_with_all = ["host", "plot"])]
    max_memory: Option<u64>,
    /// Plot time, memory and counted work against size, supports and queries. --size is the largest size
    #[arg(long, value_name = "FILE.svg", groups = ["whole", NETWORK], conflicts_with_all = ["only", "shots"])]
    plot: Option<PathBuf>,
    /// Replace the file of --plot if it exists
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
    /// The precision of a whole model: the model chooses between the two kinds of half precision.
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

    /// The model's precision, where only one is measured.
    fn model_precision(&self) -> Precision {
        self.precision.map_or(Precision::F32, StorageArg::of_model)
    }
}

const COMMIT: &str = env!("DIFFEWS_COMMIT");

/// The roof as a line of text.
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

/// An example and a query of noise: the time does not depend on the content.
fn noise(side: u32) -> anyhow::Result<(Example, RgbImage)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let picture = RgbImage::from_fn(side, side, |_, _| image::Rgb([0; 3].map(|_: u8| rng.u8(..))));
    let mask = Mask::new(side, side, (0..side * side).map(|i| i % side < side / 2).collect())?;
    Ok((Example::new(picture.clone(), mask)?, picture))
}
