//! `bench --model`: times of a whole model by stage, and by kernel if the device has timestamps.

use super::super::{print_lines, times};
use super::work::stages;
use super::{Args, COMMIT, json_line, noise, print, progress, roof_line, sorted};
use diffews_wgpu::bench::{self, Roof};
use diffews_wgpu::gpu::{AdapterFacts, Gpu};
use diffews_wgpu::model::Model;
use diffews_wgpu::{Example, RgbImage, Segmenter, Stage};
use serde::Serialize;
use std::time::Instant;

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    random_weights: bool,
    size: u32,
    shots: u16,
    precision: &'static str,
    /// Device memory, as planned.
    planned_memory_bytes: u64,
    /// The adapter's roof: 10^9 f32 operations in a second. `roof_gbytes`: 10^9 bytes of copies in a second.
    roof_gflops: f64,
    roof_gbytes: f64,
    /// From files or random numbers to the device, with pipelines.
    load_seconds: f64,
    stages: Vec<StageReport>,
    /// Supports and a query.
    first_query: Seconds,
    /// Each further query with the same supports.
    further_query: Seconds,
    /// Times of one more run from the device's timestamps, if it has them.
    kernels: Option<Vec<times::Row>>,
    repetitions: u16,
    #[serde(flatten)]
    adapter: &'a AdapterFacts,
    version: &'static str,
    commit: &'static str,
}

#[derive(Serialize)]
struct StageReport {
    stage: String,
    #[serde(flatten)]
    seconds: Seconds,
    /// Multiplications and additions of the stage, as `--work` counts them.
    published_flop: u64,
    executed_flop: u64,
    /// 10^9 published operations in a second, from the median.
    gflops: f64,
    /// The executed work, in percent of the roof that limits it.
    percent_of_roof: f64,
    bound: &'static str,
}

/// Seconds of the first run and statistics of the later ones.
#[derive(Serialize)]
struct Seconds {
    first_seconds: f64,
    median_seconds: f64,
    least_seconds: f64,
    most_seconds: f64,
}

impl Seconds {
    /// Of at least two runs.
    fn of(runs: &[f64]) -> Seconds {
        let others = sorted(&runs[1..]);
        Seconds {
            first_seconds: runs[0],
            median_seconds: bench::median(&others),
            least_seconds: others[0],
            most_seconds: others[others.len() - 1],
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    // Check the name before opening a device.
    let started = Instant::now();
    let model = Model::load(args.network.files()?)?;
    let made = started.elapsed();
    let gpu = args.forms.on(args.adapter.open_with(true)?)?;
    let roof = Roof::measure(&gpu)?;
    let started = Instant::now();
    let segmenter = loaded(args, model, gpu)?;
    let load_seconds = (made + started.elapsed()).as_secs_f64();
    let (example, picture) = noise(segmenter.size())?;
    let examples = vec![example; args.shots.into()];
    // Seconds of each run, in the order of the stages.
    let mut runs = Vec::new();
    for _ in 0..=args.repetitions() {
        runs.push(once(&segmenter, &examples, &picture)?);
    }
    let kernels = match segmenter.gpu().take_times(true) {
        true => {
            let started = Instant::now();
            once(&segmenter, &examples, &picture)?;
            segmenter.gpu().take_times(false);
            Some(times::rows(&segmenter.gpu().times(started), Some(&roof)))
        }
        false => None,
    };
    let part = |(i, (stage, pass, times)): (usize, (Stage, _, u64))| {
        let plan = segmenter.memory().of(pass);
        let seconds = Seconds::of(&runs.iter().map(|run| run[i]).collect::<Vec<_>>());
        let (flops, traffic) = (times * plan.flops, times * plan.traffic);
        let (percent_of_roof, binds) = roof.percent(flops, traffic, seconds.median_seconds);
        let published_flop = times * (plan.flops + plan.saved + plan.dropped_flops);
        StageReport {
            stage: stage.to_string(),
            published_flop,
            executed_flop: times * (plan.flops + plan.padding),
            gflops: published_flop as f64 / seconds.median_seconds / 1e9,
            percent_of_roof,
            bound: binds.name(),
            seconds,
        }
    };
    let sum = |from: usize| Seconds::of(&runs.iter().map(|run| run[from..].iter().sum()).collect::<Vec<f64>>());
    let found = Report {
        model: args.network.name(),
        random_weights: args.network.is_random(),
        size: segmenter.size(),
        shots: args.shots,
        precision: segmenter.precision().name(),
        planned_memory_bytes: segmenter.memory().peak(),
        roof_gflops: roof.arithmetic.rate / 1e9,
        roof_gbytes: roof.memory.rate / 1e9,
        load_seconds,
        stages: stages(args.shots.into()).into_iter().enumerate().map(part).collect(),
        first_query: sum(0),
        further_query: sum(QUERY),
        kernels,
        repetitions: args.repetitions(),
        adapter: segmenter.gpu().facts(),
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    };
    if args.json { print(&json_line(&found)?) } else { found.print(&args.network.told(), &roof) }
}

/// Index of the first stage of a query; the stages before it belong to the supports.
const QUERY: usize = 2;

fn loaded(args: &Args, model: Model, gpu: Gpu) -> anyhow::Result<Segmenter> {
    let size = args.network.size.unwrap_or(model.default_size());
    let mut builder = Segmenter::builder().model(model).gpu(gpu).size(size).precision(args.model_precision());
    if let Some(memory) = args.max_memory {
        builder = builder.memory(memory);
    }
    let planned = builder.shots(args.shots.into()).self_check(args.self_check.wanted()).plan()?;
    let segmenter = planned.allocate_with(&mut |_, _| progress::go_on())?;
    match segmenter.overflow() {
        Some(overflow) => Err(overflowed(overflow)),
        None => Ok(segmenter),
    }
}

/// Seconds by stage of all examples and a query.
fn once(segmenter: &Segmenter, examples: &[Example], picture: &RgbImage) -> anyhow::Result<Vec<f64>> {
    let bank = segmenter.encode_with(examples, &mut |_, _| progress::go_on())?;
    let found = segmenter.segment_with(&bank, picture, &mut |_, _| progress::go_on())?;
    if let Some(overflow) = bank.overflow().or(found.overflow()) {
        return Err(overflowed(overflow));
    }
    let times: Vec<_> = bank.times().iter().chain(found.times()).collect();
    let of = |stage: Stage| times.iter().filter(|time| time.0 == stage).map(|time| time.1).sum();
    Ok(stages(1).map(|(stage, ..)| of(stage)).into())
}

/// A run that was repeated in f32 mixes two precisions, so its times are useless.
fn overflowed(cause: &diffews_wgpu::Error) -> anyhow::Error {
    anyhow::anyhow!("{cause}: nothing was measured; use --precision f32")
}

impl Report<'_> {
    fn print(&self, model: &str, roof: &Roof) -> anyhow::Result<()> {
        let Report { size, shots, precision, adapter, load_seconds, repetitions, .. } = self;
        print(&format!("{} ({}, {}), commit {COMMIT}", adapter.name, adapter.backend, adapter.driver))?;
        print(&roof_line(roof))?;
        let memory = self.planned_memory_bytes as f64 / 1048576.0;
        print(&format!(
            "{model} at {size} x {size}, {shots} supports, {precision}; {memory:.0} MiB planned; loaded in {load_seconds:.2} s"
        ))?;
        print("seconds             first    median  (least to most)   GFLOP/s as published, of roof")?;
        let line = |name: &str, seconds: &Seconds, part: Option<&StageReport>| {
            let Seconds { first_seconds, median_seconds, least_seconds, most_seconds } = seconds;
            let rate = part.map_or(String::new(), |part| {
                format!("{:>9.1} {:>6.1} % {}", part.gflops, part.percent_of_roof, part.bound)
            });
            print(&format!(
                "  {name:<14} {first_seconds:>7.3} {median_seconds:>9.3}  ({least_seconds:.3} to {most_seconds:.3}) {rate}"
            ))
        };
        for part in &self.stages {
            line(&part.stage, &part.seconds, Some(part))?;
        }
        line("first query", &self.first_query, None)?;
        line("further query", &self.further_query, None)?;
        print(&format!("{repetitions} runs after the first; the first query includes its supports"))?;
        match &self.kernels {
            Some(rows) => {
                print("one more run, by the device's timestamps:")?;
                print_lines(&times::table(rows))
            }
            None => print("the device has no timestamps: no times by kernel"),
        }
    }
}
