//! `bench`: the adapter's roofs, then kernels at shapes of SD 2.1 and the embedded model, compared with them.

use super::super::errors::usage;
use super::super::open::{self, Told, Wanted};
use super::{Args, COMMIT, StorageArg, json_line, noise, print, progress, roof_line, sorted};
use diffews_wgpu::bench::{self, Peak, Roof, Timing};
use diffews_wgpu::check::STORAGES;
use diffews_wgpu::gpu::{AdapterFacts, GpuError};
use diffews_wgpu::image_io::Framing;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::segment::{Pass, PassPlan};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Precision, Segmenter};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Instant;

/// Names of the two rows of the whole model.
const SUPPORT: &str = "embedded model, one support";
const QUERY: &str = "embedded model, one query";

/// Fields of all rows.
#[derive(Clone, Copy, Serialize)]
struct About<'a> {
    adapter: &'a str,
    backend: &'a str,
    driver: &'a str,
    version: &'static str,
    commit: &'static str,
}

/// The roof of `--json`: before the rows.
#[derive(Serialize)]
struct RoofRow<'a> {
    /// Always `roof`; other rows have their kernel here.
    kernel: &'static str,
    /// 10^9 f32 operations (multiplications and additions) in a second.
    gflops: f64,
    gflops_by: &'a str,
    /// 10^9 bytes read and written by copies in a second.
    gbytes: f64,
    gbytes_by: &'a str,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
struct Row<'a> {
    kernel: &'a str,
    shape: &'a str,
    storage: &'static str,
    /// As `--form` takes them.
    forms: &'a BTreeSet<String>,
    /// 10^9 multiplications and additions in a second, from the median: the textbook's count, even where the form needs fewer.
    gflops: f64,
    /// 10^9 bytes in a second, counting inputs, weights and outputs once each.
    gbytes: f64,
    /// The form's own work, in percent of the roof that limits it.
    percent_of_roof: f64,
    /// Which roof that is: `arithmetic` or `memory`.
    bound: &'static str,
    median_seconds: f64,
    least_seconds: f64,
    most_seconds: f64,
    repetitions: u16,
    applications_per_run: usize,
    #[serde(flatten)]
    about: About<'a>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let gpu = args.forms.on(args.adapter.open()?)?;
    let storages: Vec<Policy> = match args.precision {
        None => STORAGES.iter().copied().filter(|&s| gpu.supports(s)).collect(),
        Some(StorageArg::F32) => vec![Policy::F32],
        Some(StorageArg::Packed) => vec![Policy::PACKED],
        Some(StorageArg::F16) => vec![Policy::F16],
        Some(StorageArg::Q8) => vec![Policy::Q8],
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
    let shapes: Vec<_> = bench::shapes().into_iter().filter(|s| wanted(s.kernel.name, s.name)).collect();
    let model = wanted("model", SUPPORT) || wanted("model", QUERY);
    if shapes.is_empty() && !model {
        return Err(usage("--only: no kernel or shape contains this text; nothing was measured"));
    }
    let sheet = Sheet { args, facts: gpu.facts().clone(), roof: Roof::measure(&gpu)? };
    sheet.head()?;
    for shape in &shapes {
        for &storage in &storages {
            let timing = bench::measure(&gpu, shape, storage, args.repetitions().into())?;
            sheet.put(shape.kernel.name, shape.name, storage, shape.flops, &timing)?;
        }
    }
    drop(gpu);
    if model {
        for precision in precisions(args.precision) {
            let (segmenter, timings) = whole(args, precision)?;
            for (name, timing, flops) in timings.iter().filter(|t| wanted("model", t.0)) {
                sheet.put("model", name, segmenter.storage(), *flops, timing)?;
            }
        }
    }
    Ok(())
}

fn precisions(asked: Option<StorageArg>) -> Vec<Precision> {
    match asked {
        None => vec![Precision::F32, Precision::F16],
        Some(one) => vec![one.of_model()],
    }
}

/// Prints the rows.
struct Sheet<'a> {
    args: &'a Args,
    facts: AdapterFacts,
    roof: Roof,
}

impl Sheet<'_> {
    fn about(&self) -> About<'_> {
        let AdapterFacts { name, backend, driver, .. } = &self.facts;
        About { adapter: name, backend, driver, version: env!("CARGO_PKG_VERSION"), commit: COMMIT }
    }

    fn head(&self) -> anyhow::Result<()> {
        let (facts, Roof { arithmetic, memory }) = (&self.facts, &self.roof);
        if !self.args.json {
            print(&format!("{} ({}, {}), commit {COMMIT}", facts.name, facts.backend, facts.driver))?;
            print(&roof_line(&self.roof))?;
            return print(
                "kernel       shape                                stored    GFLOP/s      GB/s  of roof         median ms",
            );
        }
        let rate = |peak: &Peak| peak.rate / 1e9;
        print(&json_line(&RoofRow {
            kernel: "roof",
            gflops: rate(arithmetic),
            gflops_by: &arithmetic.by,
            gbytes: rate(memory),
            gbytes_by: &memory.by,
            about: self.about(),
        })?)
    }

    /// Prints a row; `published` is the textbook's count of operations, or 0 if the form computes just these.
    fn put(&self, kernel: &str, shape: &str, storage: Policy, published: u64, timing: &Timing) -> anyhow::Result<()> {
        if progress::interrupted() {
            return Err(Error::Interrupted.into());
        }
        let (percent_of_roof, binds) = self.roof.percent(timing.flops, timing.bytes, timing.median);
        let rate = |n: u64| n as f64 / timing.median / 1e9;
        let row = Row {
            kernel,
            shape,
            storage: storage.name(),
            forms: &timing.forms,
            gflops: rate(if published > 0 { published } else { timing.flops }),
            gbytes: rate(timing.bytes),
            percent_of_roof,
            bound: binds.name(),
            median_seconds: timing.median,
            least_seconds: timing.least,
            most_seconds: timing.most,
            repetitions: self.args.repetitions(),
            applications_per_run: timing.copies,
            about: self.about(),
        };
        print(&if self.args.json { json_line(&row)? } else { row.line() })
    }
}

impl Row<'_> {
    fn line(&self) -> String {
        format!(
            "{:<12} {:<36} {:<7} {:>9.1} {:>9.2} {:>6.1} % {:<10} {:>10.3} ({:.3} to {:.3}) {}",
            self.kernel,
            self.shape,
            self.storage,
            self.gflops,
            self.gbytes,
            self.percent_of_roof,
            self.bound,
            1e3 * self.median_seconds,
            1e3 * self.least_seconds,
            1e3 * self.most_seconds,
            Vec::from_iter(self.forms.iter().map(String::as_str)).join(" ")
        )
    }
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
        tuning: None,
        timed: false,
        size: None,
        precision,
        shots: 1,
        banks: Vec::new(),
        kv_sample: None,
        threshold: None,
        min_score: 0.0,
        framing: Framing::Squash,
        guided_filter: None,
        max_memory: None,
    };
    let go_on = &mut |_, _| progress::go_on();
    let segmenter = open::plan(wanted, Told { verbose: false, quiet: true }, &mut progress::Bar::new(true))?
        .allocate_with(go_on)?;
    let (example, picture) = noise(segmenter.size())?;
    let example = [example];
    let (mut supports, mut queries) = (Vec::new(), Vec::new());
    for repetition in 0..=args.repetitions() {
        let started = Instant::now();
        let bank = segmenter.encode_with(&example, go_on)?;
        let encoded = started.elapsed().as_secs_f64();
        segmenter.segment_with(&bank, &picture, go_on)?;
        if repetition > 0 {
            supports.push(encoded);
            queries.push(started.elapsed().as_secs_f64() - encoded);
        }
    }
    // Published operations, so that rates of different algorithms can be compared.
    let plan = segmenter.memory();
    // The encoder runs twice for a support: for the picture and for its mask.
    let support = [Pass::Encoder, Pass::Encoder, Pass::Support].map(|pass| plan.of(pass));
    let query_passes = [Pass::Encoder, Pass::Query, Pass::Decoder].map(|pass| plan.of(pass));
    let timing = |seconds: Vec<f64>, passes: [PassPlan; 3]| {
        let seconds = sorted(&seconds);
        let (least, most) = (seconds[0], seconds[seconds.len() - 1]);
        let sum = |of: fn(&PassPlan) -> u64| passes.iter().map(of).sum::<u64>();
        let (flops, bytes, forms) = (sum(|p| p.flops), sum(|p| p.traffic), plan.forms.clone());
        let timing = Timing { median: bench::median(&seconds), least, most, copies: 1, flops, bytes, forms };
        (timing, sum(|p| p.flops + p.saved))
    };
    let [(support, encode), (query, answer)] = [timing(supports, support), timing(queries, query_passes)];
    let rows = vec![(SUPPORT, support, encode), (QUERY, query, answer)];
    Ok((segmenter, rows))
}
