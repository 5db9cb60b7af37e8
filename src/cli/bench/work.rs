//! `bench --work`: a network's work and memory on an adapter, counted from its plan.

use super::{Args, COMMIT, StorageArg, json_line, print};
use diffews_wgpu::segment::{MemoryPlan, Pass, PassPlan};
use diffews_wgpu::{Precision, Segmenter, Stage};
use serde::Serialize;

/// Counts of multiplications and additions.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    size: u32,
    shots: u64,
    precision: &'static str,
    /// Operations of the published pipeline for the supports and one query: every layer, with direct convolutions.
    published_flop: u64,
    /// Operations that the kernels execute for the same, including padding of blocks.
    executed_flop: u64,
    ratio: f64,
    /// Work of each further query, as a part of the work for the supports and the first query.
    next_query_ratio: f64,
    peak_memory_bytes: u64,
    /// The shares of the peak.
    memory: Memory,
    dispatches: u64,
    stages: Vec<StageReport>,
    adapter: &'a str,
    version: &'static str,
    commit: &'static str,
}

/// Sizes in bytes.
#[derive(Serialize)]
struct Memory {
    weights: u64,
    /// Weights that are uploaded for each query, where not all fit at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_in_turn: Option<u64>,
    /// Each buffer that the stages share.
    working: Vec<u64>,
    /// Keys and values of all supports.
    bank: u64,
    /// Inputs and outputs of the stages.
    ends: u64,
}

#[derive(Serialize)]
struct StageReport {
    stage: String,
    /// How often its plan runs.
    runs: u64,
    published_flop: u64,
    executed_flop: u64,
    dispatches: u64,
}

/// The stages of `shots` supports and a query, with the pass that each runs and how often. Masks of supports are encoded, too.
pub fn stages(shots: u64) -> [(Stage, Pass, u64); 5] {
    [
        (Stage::EncodeSupport, Pass::Encoder, 2 * shots),
        (Stage::Support, Pass::Support, shots),
        (Stage::EncodeQuery, Pass::Encoder, 1),
        (Stage::Query, Pass::Query, 1),
        (Stage::Decode, Pass::Decoder, 1),
    ]
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let precision = args.precision.map_or(Precision::F16, StorageArg::of_model);
    let gpu = args.forms.on(args.adapter.open()?)?;
    let model = args.network.planned()?;
    let size = args.network.size.unwrap_or(model.default_size());
    let mut builder = Segmenter::builder().model(model).gpu(gpu).precision(precision).size(size);
    if let Some(memory) = args.max_memory {
        builder = builder.memory(memory);
    }
    let planned = builder.shots(args.shots.into()).plan()?;
    let found = found(args, planned.memory(), size, precision, &planned.gpu().facts().name);
    if args.json { print(&json_line(&found)?) } else { found.print() }
}

fn found<'a>(args: &'a Args, plan: &MemoryPlan, size: u32, precision: Precision, adapter: &'a str) -> Report<'a> {
    let part = |(stage, pass, runs): (Stage, Pass, u64)| {
        let PassPlan { dispatches, flops, padding, saved, dropped_flops, .. } = plan.of(pass);
        StageReport {
            stage: stage.to_string(),
            runs,
            published_flop: runs * (flops + saved + dropped_flops),
            executed_flop: runs * (flops + padding),
            dispatches: runs * dispatches as u64,
        }
    };
    let stages = stages(args.shots.into()).map(part);
    let sum = |of: fn(&StageReport) -> u64, stages: &[StageReport]| stages.iter().map(of).sum::<u64>();
    let [published, executed] =
        [|p: &StageReport| p.published_flop, |p: &StageReport| p.executed_flop].map(|of| sum(of, &stages));
    Report {
        model: args.network.name(),
        size,
        shots: args.shots.into(),
        precision: precision.name(),
        published_flop: published,
        executed_flop: executed,
        ratio: executed as f64 / published as f64,
        // The last three stages are the query's.
        next_query_ratio: sum(|p| p.executed_flop, &stages[2..]) as f64 / executed as f64,
        peak_memory_bytes: plan.peak(),
        memory: Memory {
            weights: plan.weights_at_once(),
            weights_in_turn: plan.in_turn.map(|in_turn| in_turn.per_query),
            working: plan.arena.clone(),
            bank: plan.bank_per_support * plan.shots,
            ends: plan.outside,
        },
        dispatches: sum(|p| p.dispatches, &stages),
        stages: stages.into(),
        adapter,
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    }
}

impl Report<'_> {
    fn print(&self) -> anyhow::Result<()> {
        let Report { model, size, shots, precision, adapter, .. } = self;
        print(&format!("{model} at {size} x {size}, {shots} supports, {precision}, as planned for {adapter}; GFLOP:"))?;
        print("  stage          runs  published   executed  dispatches")?;
        let line = |name: &str, runs: &str, published: u64, executed: u64, dispatches: u64| {
            let [published, executed] = [published, executed].map(|flop| flop as f64 / 1e9);
            print(&format!("  {name:<14} {runs:>4} {published:>10.1} {executed:>10.1} {dispatches:>11}"))
        };
        for StageReport { stage, runs, published_flop, executed_flop, dispatches } in &self.stages {
            line(stage, &runs.to_string(), *published_flop, *executed_flop, *dispatches)?;
        }
        line("all", "", self.published_flop, self.executed_flop, self.dispatches)?;
        let (executed, next) = (100.0 * self.ratio, 100.0 * self.next_query_ratio);
        print(&format!("executed {executed:.1} % of published; a further query {next:.1} % of the first"))?;
        let Memory { weights, weights_in_turn, working, bank, ends } = &self.memory;
        let [peak, weights, working, bank, ends] =
            [self.peak_memory_bytes, *weights, working.iter().sum(), *bank, *ends]
                .map(|bytes| bytes as f64 / 1048576.0);
        let in_turn = weights_in_turn.map_or(String::new(), |bytes| {
            format!(" ({:.0} MiB of them uploaded for each query)", bytes as f64 / 1048576.0)
        });
        print(&format!(
            "{peak:.0} MiB: weights {weights:.0}{in_turn}, working memory {working:.0}, bank {bank:.0}, inputs and outputs {ends:.0}"
        ))
    }
}
