//! `bench --host`: the time of a query that the host takes.

use super::{Args, COMMIT, json_line, noise, print, progress, sorted};
use cpu_time::ThreadTime;
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu};
use diffews_wgpu::model::Model;
use diffews_wgpu::segment::{Pass, SelfCheck};
use diffews_wgpu::{Precision, Segmenter, Stage, bench};
use serde::Serialize;

/// Milliseconds of this thread; a driver's own threads do not count.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    size: u32,
    precision: &'static str,
    /// The first query after loading and encoding one support.
    first_query_ms: f64,
    /// Median of the later queries.
    query_ms: f64,
    least_ms: f64,
    most_ms: f64,
    stages: Vec<StageReport>,
    submissions: u64,
    repetitions: u16,
    #[serde(flatten)]
    adapter: &'a AdapterFacts,
    version: &'static str,
    commit: &'static str,
}

#[derive(Serialize)]
struct StageReport {
    stage: String,
    ms: f64,
    dispatches: usize,
}

/// Stages of a query, and what they run.
const STAGES: [(Stage, Pass); 3] =
    [(Stage::EncodeQuery, Pass::Encoder), (Stage::Query, Pass::Query), (Stage::Decode, Pass::Decoder)];

pub fn run(args: &Args) -> anyhow::Result<()> {
    let segmenter = loaded(args, args.model_precision())?;
    let (example, picture) = noise(segmenter.size())?;
    let bank = segmenter.encode_with(&[example], &mut |_, _| progress::go_on())?;
    let (mut all, mut stages) = (Vec::new(), vec![Vec::new(); STAGES.len()]);
    let mut submissions = 0;
    for _ in 0..=args.repetitions() {
        let (before, started) = (segmenter.gpu().submissions(), ThreadTime::now());
        let mut spent = [0.0; STAGES.len()];
        let mut last = started;
        let mut now = 0;
        segmenter.segment_with(&bank, &picture, &mut |stage, _| {
            spent[now] += milliseconds(&mut last);
            now = STAGES.iter().position(|s| s.0 == stage).unwrap_or(now);
            progress::go_on()
        })?;
        // Time after a stage's last report counts for the next stage; after the last stage, for that one.
        spent[now] += milliseconds(&mut last);
        all.push(1e3 * started.elapsed().as_secs_f64());
        stages.iter_mut().zip(spent).for_each(|(all, ms)| all.push(ms));
        submissions = segmenter.gpu().submissions() - before;
    }
    let (first, others) = (all[0], sorted(&all[1..]));
    let part = |((stage, pass), all): (&(Stage, Pass), &Vec<f64>)| StageReport {
        stage: stage.to_string(),
        ms: bench::median(&sorted(&all[1..])),
        dispatches: segmenter.memory().of(*pass).dispatches,
    };
    let found = Report {
        model: args.network.name(),
        size: segmenter.size(),
        precision: segmenter.precision().name(),
        first_query_ms: first,
        query_ms: bench::median(&others),
        least_ms: others[0],
        most_ms: others[others.len() - 1],
        stages: STAGES.iter().zip(&stages).map(part).collect(),
        submissions,
        repetitions: args.repetitions(),
        adapter: segmenter.gpu().facts(),
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    };
    if args.json { print(&json_line(&found)?) } else { found.print() }
}

/// Loads the model without a self-check.
fn loaded(args: &Args, precision: Precision) -> anyhow::Result<Segmenter> {
    let choice = AdapterChoice { unproved: true, ..args.adapter.choice()? };
    let gpu = args.forms.on(Gpu::new(&choice)?.interrupted_by(progress::interrupted))?;
    let model = Model::load(args.network.any_files()?)?;
    let size = args.network.size.unwrap_or(model.default_size());
    let builder = Segmenter::builder().model(model).gpu(gpu).size(size).precision(precision);
    Ok(builder.self_check(SelfCheck::Off).plan()?.allocate_with(&mut |_, _| progress::go_on())?)
}

fn milliseconds(last: &mut ThreadTime) -> f64 {
    let now = ThreadTime::now();
    let spent = 1e3 * now.duration_since(*last).as_secs_f64();
    *last = now;
    spent
}

impl Report<'_> {
    fn print(&self) -> anyhow::Result<()> {
        let Report { model, size, precision, adapter, .. } = self;
        print(&format!("{} ({}, {}), commit {COMMIT}", adapter.name, adapter.backend, adapter.driver))?;
        print(&format!("{model} at {size} x {size}, {precision}; milliseconds of the host's thread:"))?;
        for StageReport { stage, ms, dispatches } in &self.stages {
            print(&format!("  {stage:<14} {ms:>9.3}  {dispatches} dispatches"))?;
        }
        let (least, most, submissions) = (self.least_ms, self.most_ms, self.submissions);
        print(&format!(
            "  a query        {:>9.3}  ({least:.3} to {most:.3}), {submissions} submissions",
            self.query_ms
        ))?;
        print(&format!("  the first one  {:>9.3}", self.first_query_ms))
    }
}
