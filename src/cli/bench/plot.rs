//! `bench --plot`: how time and memory grow with the size of pictures, the number of supports and the number of queries.

use super::super::tell;
use super::svg::{self, Panel};
use super::work::stages;
use super::{Args, COMMIT, json_line, noise, print, progress, sorted};
use diffews_wgpu::gpu::{AdapterFacts, Gpu, GpuError};
use diffews_wgpu::image_io::{check_output, write_whole};
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Segmenter, bench};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

const SUPPORTS: [u16; 4] = [1, 5, 10, 20];
const QUERIES: [u16; 4] = [1, 2, 5, 10];
/// Sizes as parts of the largest; the other curves use the second one.
const PARTS: [f64; 5] = [0.25, 0.375, 0.5, 0.75, 1.0];
/// The largest size by default.
const LARGEST: u32 = 1024;

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    precision: &'static str,
    curves: [Curve; 3],
    repetitions: u16,
    #[serde(flatten)]
    adapter: &'a AdapterFacts,
    version: &'static str,
    commit: &'static str,
}

#[derive(Serialize)]
struct Curve {
    /// The variable: `size`, `supports` or `queries`.
    of: &'static str,
    points: Vec<Point>,
    left_out: Vec<LeftOut>,
}

#[derive(Clone, Serialize)]
struct Point {
    size: u32,
    supports: u16,
    queries: u16,
    /// Seconds of the supports and all queries.
    seconds: f64,
    /// Device memory, as planned.
    memory_bytes: u64,
    /// Multiplications and additions that are executed.
    flop: u64,
}

/// A point that does not fit the adapter.
#[derive(Serialize)]
struct LeftOut {
    at: u32,
    reason: String,
}

pub fn run(args: &Args, file: &Path) -> anyhow::Result<()> {
    check_output(file, "svg", args.force)?;
    let files = args.network.files()?;
    let model = Model::load(files.clone())?;
    let largest = match args.network.size {
        Some(size) => size,
        None if model.default_size() >= LARGEST / 4 => LARGEST,
        None => model.default_size(),
    };
    model.config().check_size(largest as usize)?;
    let mut sizes: Vec<u32> =
        PARTS.map(|part| model.config().nearest_sizes((part * f64::from(largest)) as usize).0 as u32).into();
    let other = sizes[1];
    sizes.dedup();
    let gpu = args.forms.on(args.adapter.open()?)?;
    let bed = Bed { args, gpu, files };
    let each = |of: &'static str, at: &[u32], point: &dyn Fn(u32) -> anyhow::Result<Point>| -> anyhow::Result<Curve> {
        let mut curve = Curve { of, points: Vec::new(), left_out: Vec::new() };
        for &at in at {
            match point(at) {
                Ok(point) => curve.points.push(point),
                Err(error) if does_not_fit(&error) => {
                    let reason = error.to_string();
                    tell(&format!("note: {of} {at} is left out: {}", reason.lines().next().unwrap_or_default()));
                    curve.left_out.push(LeftOut { at, reason });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(curve)
    };
    let curves = [
        each("size", &sizes, &|size| bed.point(size, 1, 1))?,
        each("supports", &SUPPORTS.map(u32::from), &|supports| bed.point(other, supports as u16, 1))?,
        each("queries", &QUERIES.map(u32::from), &|queries| bed.point(other, 1, queries as u16))?,
    ];
    let found = Report {
        model: args.network.told(),
        precision: args.model_precision().name(),
        curves,
        repetitions: bed.repetitions(),
        adapter: bed.gpu.facts(),
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    };
    {
        let _writing = progress::writing();
        write_whole(file, found.draw().as_bytes(), args.force)?;
    }
    if args.json { print(&json_line(&found)?) } else { found.print() }
}

/// Whether the adapter has too little memory for a point.
fn does_not_fit(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Plan(_) | Error::Gpu(GpuError::OutOfMemory { .. })))
}

/// Where points are measured.
struct Bed<'a> {
    args: &'a Args,
    gpu: Gpu,
    files: ModelFiles,
}

impl Bed<'_> {
    /// One run after the first by default, because a point takes long.
    fn repetitions(&self) -> u16 {
        self.args.repetitions.unwrap_or(1)
    }

    fn point(&self, size: u32, supports: u16, queries: u16) -> anyhow::Result<Point> {
        let go_on = &mut |_, _| progress::go_on();
        let model = Model::load(self.files.clone())?;
        let builder = Segmenter::builder().model(model).gpu(self.gpu.clone()).size(size).shots(supports.into());
        let builder = builder.precision(self.args.model_precision()).self_check(self.args.self_check.wanted());
        let segmenter = builder.plan()?.allocate_with(go_on)?;
        let (example, picture) = noise(size)?;
        // The first run compiles pipelines and touches memory.
        let warm = segmenter.encode_with(std::slice::from_ref(&example), go_on)?;
        segmenter.segment_with(&warm, &picture, go_on)?;
        let examples = vec![example; supports.into()];
        let mut seconds = Vec::new();
        for _ in 0..self.repetitions() {
            let started = Instant::now();
            let bank = segmenter.encode_with(&examples, go_on)?;
            for _ in 0..queries {
                let found = segmenter.segment_with(&bank, &picture, go_on)?;
                if let Some(overflow) = bank.overflow().or(found.overflow()) {
                    anyhow::bail!("{overflow}: nothing was measured; use --precision f32");
                }
            }
            seconds.push(started.elapsed().as_secs_f64());
        }
        let executed = |(i, (_, pass, times)): (usize, (_, _, u64))| {
            let plan = segmenter.memory().of(pass);
            // The first two stages are the supports'.
            let times = if i < 2 { times } else { u64::from(queries) };
            times * (plan.flops + plan.padding)
        };
        Ok(Point {
            size,
            supports,
            queries,
            seconds: bench::median(&sorted(&seconds)),
            memory_bytes: segmenter.memory().peak(),
            flop: stages(supports.into()).into_iter().enumerate().map(executed).sum(),
        })
    }
}

impl Curve {
    fn at(&self, point: &Point) -> f64 {
        match self.of {
            "size" => point.size.into(),
            "supports" => point.supports.into(),
            _ => point.queries.into(),
        }
    }

    /// The title, with the values that all points share.
    fn title(&self) -> String {
        let Some(Point { size, supports, queries, .. }) = self.points.first() else { return self.of.into() };
        match self.of {
            "size" => format!("{supports} support, {queries} query"),
            "supports" => format!("{size} x {size}, {queries} query"),
            _ => format!("{size} x {size}, {supports} support"),
        }
    }

    fn note(&self) -> String {
        let left: Vec<String> = self.left_out.iter().map(|left| left.at.to_string()).collect();
        if left.is_empty() { String::new() } else { format!("does not fit the adapter: {}", left.join(", ")) }
    }
}

impl Report<'_> {
    fn draw(&self) -> String {
        let panel = |curve: &Curve, y: &'static str, value: fn(&Point) -> f64, count: bool| Panel {
            title: curve.title(),
            x: curve.of,
            y,
            points: curve.points.iter().map(|point| (curve.at(point), value(point))).collect(),
            count: count.then(|| (curve.points.iter().map(|point| point.flop as f64 / 1e9).collect(), "GFLOP")),
            note: curve.note(),
        };
        let seconds = self.curves.iter().map(|curve| panel(curve, "seconds", |point| point.seconds, true));
        let mib = |point: &Point| point.memory_bytes as f64 / 1048576.0;
        let memory = self.curves.iter().map(|curve| panel(curve, "MiB planned", mib, false));
        let panels: Vec<Panel> = seconds.chain(memory).collect();
        let Report { model, precision, adapter, .. } = self;
        let title = format!("{model}, {precision}, on {} ({}, {})", adapter.name, adapter.backend, adapter.driver);
        svg::draw(&title, self.curves.len(), &panels)
    }

    fn print(&self) -> anyhow::Result<()> {
        let Report { model, precision, adapter, .. } = self;
        print(&format!("{} ({}, {}), commit {COMMIT}", adapter.name, adapter.backend, adapter.driver))?;
        print(&format!("{model}, {precision}"))?;
        print("    size supports queries    seconds     GFLOP  GFLOP/s  MiB planned")?;
        for Point { size, supports, queries, seconds, memory_bytes, flop } in self.curves.iter().flat_map(|c| &c.points)
        {
            let (gflop, memory) = (*flop as f64 / 1e9, *memory_bytes as f64 / 1048576.0);
            let rate = gflop / seconds;
            print(&format!(
                "{size:>8} {supports:>8} {queries:>7} {seconds:>10.3} {gflop:>9.2} {rate:>8.1} {memory:>12.0}"
            ))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffews_wgpu::plan::{Less, PlanError};

    #[test]
    fn what_does_not_fit_is_named_and_what_fails_is_not() {
        let plan: Error = PlanError::new("the model needs 9 MiB".into(), Less::SizeOrPrecision).into();
        let memory = GpuError::OutOfMemory { adapter: "a".into(), what: "b".into(), bytes: 9 };
        assert!(does_not_fit(&plan.into()) && does_not_fit(&Error::from(memory).into()));
        assert!(!does_not_fit(&Error::from(GpuError::Interrupted).into()) && !does_not_fit(&Error::Interrupted.into()));
        let left = |at| LeftOut { at, reason: String::new() };
        let curve = Curve { of: "size", points: Vec::new(), left_out: vec![left(768), left(1024)] };
        assert_eq!((curve.title().as_str(), curve.note().as_str()), ("size", "does not fit the adapter: 768, 1024"));
    }
}
