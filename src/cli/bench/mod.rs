//! `bench`: kernels and the embedded model against the clock.

mod host;
mod network;
mod work;

use super::errors::usage;
use super::forms::FormArgs;
use super::open::{self, Told, Wanted};
use super::options::AdapterArgs;
use super::self_check::SelfCheckArgs;
use super::{json_line, print, progress};
use clap::ValueEnum;
use diffews_wgpu::bench::{self, Timing};
use diffews_wgpu::gpu::{Gpu, GpuError};
use diffews_wgpu::image_io::{Mask, RgbImage};
use diffews_wgpu::plan::Policy;
use diffews_wgpu::segment::Pass;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Example, Precision, Segmenter};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Instant;

/// Names of the two rows of the whole model.
const SUPPORT: &str = "embedded model, one support";
const QUERY: &str = "embedded model, one query";

#[derive(clap::Args)]
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
    /// How elements are stored; all that the adapter can do by default
    #[arg(long, value_enum)]
    precision: Option<StorageArg>,
    /// What the host computes for a query, and no other row: the time of its own thread, by stage. Results are not looked at, so a
    /// driver that computes nothing will do (docs/drivers.md)
    #[arg(long, group = "whole", conflicts_with = "only")]
    host: bool,
    /// Count the work of a network on this adapter from its plan, and run nothing; stored as halves by default
    #[arg(long, group = "whole", conflicts_with_all = ["only", "repetitions"])]
    work: bool,
    /// For --work: supports of the bank
    #[arg(long, value_name = "N", default_value_t = 1, requires = "work", value_parser = clap::value_parser!(u16).range(1..=1000))]
    shots: u16,
    #[command(flatten)]
    network: network::NetworkArgs,
    /// Timed runs of each row; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
    /// Print one JSON object for each row
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StorageArg {
    F32,
    Packed,
    F16,
}

#[derive(Serialize)]
struct Row<'a> {
    kernel: &'a str,
    shape: &'a str,
    storage: &'static str,
    /// As `--form` takes them.
    forms: &'a BTreeSet<String>,
    /// `gflops` or `gbytes`, by what limits the kernel.
    unit: &'static str,
    /// 10^9 of the unit in a second, from the median.
    rate: f64,
    median_seconds: f64,
    least_seconds: f64,
    most_seconds: f64,
    repetitions: u16,
    applications_per_run: usize,
    adapter: &'a str,
    backend: &'a str,
    driver: &'a str,
    version: &'static str,
    commit: &'static str,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    progress::catch_interrupts();
    if args.host {
        return host::run(args);
    }
    if args.work {
        return work::run(args);
    }
    let gpu = args.forms.on(args.adapter.open()?)?;
    let storages: Vec<Policy> = match args.precision {
        None => Policy::ALL.into_iter().filter(|&s| gpu.supports(s)).collect(),
        Some(StorageArg::F32) => vec![Policy::F32],
        Some(StorageArg::Packed) => vec![Policy::PACKED],
        Some(StorageArg::F16) => vec![Policy::F16],
    };
    if let Some(storage) = storages.iter().find(|&&s| !gpu.supports(s)) {
        let reason = format!("it does not have native {}; --precision packed runs everywhere", storage.name());
        return Err(GpuError::NoAdapter(format!("{}: {reason}", gpu.facts().name)).into());
    }
    let wanted = |kernel: &str, shape: &str| {
        args.only
            .as_ref()
            .is_none_or(|only| [kernel, shape].iter().any(|s| s.to_lowercase().contains(&only.to_lowercase())))
    };
    let mut rows = 0;
    let mut head = !args.json;
    let mut put =
        |gpu: &Gpu, kernel: &str, shape: &str, storage: Policy, work: (u64, &'static str), timing: &Timing| {
            rows += 1;
            if progress::interrupted() {
                return Err(Error::Interrupted.into());
            }
            if std::mem::take(&mut head) {
                let facts = gpu.facts();
                print(&format!("{} ({}, {}), commit {COMMIT}", facts.name, facts.backend, facts.driver))?;
            }
            let row = row(args, gpu, kernel, shape, storage, work, timing);
            print(&if args.json { serde_json::to_string(&row)? } else { row.line() })
        };
    for shape in bench::shapes().iter().filter(|s| wanted(s.kernel.name, s.name)) {
        for &storage in &storages {
            let timing = bench::measure(&gpu, shape, storage, args.repetitions.into())?;
            let bytes = shape.elements * if storage.values.is_half() { 2 } else { 4 };
            let work = if shape.flops > 0 { (shape.flops, "GFLOP/s") } else { (bytes, "GB/s") };
            put(&gpu, shape.kernel.name, shape.name, storage, work, &timing)?;
        }
    }
    drop(gpu);
    if wanted("model", SUPPORT) || wanted("model", QUERY) {
        // Which of the two kinds of half precision the model takes is its own choice.
        for precision in precisions(args.precision) {
            let (segmenter, timings) = whole(args, precision)?;
            for (name, timing, flops) in timings.iter().filter(|t| wanted("model", t.0)) {
                put(segmenter.gpu(), "model", name, segmenter.storage(), (*flops, "GFLOP/s"), timing)?;
            }
        }
    }
    match rows {
        0 => Err(usage("nothing was measured: no kernel or shape contains what --only says")),
        _ => Ok(()),
    }
}

const COMMIT: &str = env!("DIFFEWS_COMMIT");

fn precisions(asked: Option<StorageArg>) -> Vec<Precision> {
    match asked {
        None => vec![Precision::F32, Precision::F16],
        Some(StorageArg::F32) => vec![Precision::F32],
        Some(_) => vec![Precision::F16],
    }
}

fn row<'a>(
    args: &Args,
    gpu: &'a Gpu,
    kernel: &'a str,
    shape: &'a str,
    storage: Policy,
    (work, unit): (u64, &'static str),
    timing: &'a Timing,
) -> Row<'a> {
    Row {
        kernel,
        shape,
        storage: storage.name(),
        forms: &timing.forms,
        unit,
        rate: work as f64 / timing.median / 1e9,
        median_seconds: timing.median,
        least_seconds: timing.least,
        most_seconds: timing.most,
        repetitions: args.repetitions,
        applications_per_run: timing.copies,
        adapter: &gpu.facts().name,
        backend: &gpu.facts().backend,
        driver: &gpu.facts().driver,
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    }
}

impl Row<'_> {
    fn line(&self) -> String {
        format!(
            "{:<12} {:<36} {:<7} {:>9.1} {:<8} {:>10.3} ms ({:.3} to {:.3}) {}",
            self.kernel,
            self.shape,
            self.storage,
            self.rate,
            self.unit,
            1e3 * self.median_seconds,
            1e3 * self.least_seconds,
            1e3 * self.most_seconds,
            Vec::from_iter(self.forms.iter().map(String::as_str)).join(" ")
        )
    }
}

/// A picture of noise with a mask, and the picture: the time does not depend on what is in it.
fn noise(side: u32) -> anyhow::Result<(Example, RgbImage)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let picture = RgbImage::from_fn(side, side, |_, _| image::Rgb([0; 3].map(|_: u8| rng.u8(..))));
    let mask = Mask::new(side, side, (0..side * side).map(|i| i % side < side / 2).collect())?;
    Ok((Example::new(picture.clone(), mask)?, picture))
}

type Whole = (Segmenter, Vec<(&'static str, Timing, u64)>);

/// The embedded model on a picture of noise.
fn whole(args: &Args, precision: Precision) -> anyhow::Result<Whole> {
    let wanted = Wanted {
        files: ModelFiles::embedded()?,
        name: "the embedded model".into(),
        adapter: &args.adapter,
        forms: &args.forms,
        self_check: &args.self_check,
        size: None,
        precision,
        shots: 1,
        threshold: None,
        guided_filter: None,
    };
    let go_on = &mut |_, _| progress::go_on();
    let segmenter = open::plan(wanted, Told { verbose: false, quiet: true })?.allocate_with(go_on)?;
    let (example, picture) = noise(segmenter.size())?;
    let example = [example];
    let (mut support, mut query) = (Vec::new(), Vec::new());
    for repetition in 0..=args.repetitions {
        let started = Instant::now();
        let bank = segmenter.encode_with(&example, go_on)?;
        let encoded = started.elapsed().as_secs_f64();
        segmenter.segment_with(&bank, &picture, go_on)?;
        if repetition > 0 {
            support.push(encoded);
            query.push(started.elapsed().as_secs_f64() - encoded);
        }
    }
    // As published, whatever algorithms do without: rates can be compared.
    let flops = |pass: Pass| segmenter.memory().of(pass).flops + segmenter.memory().of(pass).saved;
    let encode = flops(Pass::Encoder);
    let timing = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        let (least, most) = (seconds[0], seconds[seconds.len() - 1]);
        Timing { median: bench::median(&seconds), least, most, copies: 1, forms: segmenter.memory().forms.clone() }
    };
    // A support is two pictures to the encoder: itself and its mask.
    let support = (SUPPORT, timing(support), 2 * encode + flops(Pass::Support));
    let query = (QUERY, timing(query), encode + flops(Pass::Query) + flops(Pass::Decoder));
    Ok((segmenter, vec![support, query]))
}
