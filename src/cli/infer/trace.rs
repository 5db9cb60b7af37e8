//! `--trace`: a trace of host and device for Perfetto and Chrome; and `-vv`: device times by kernel.

use super::super::engine::Engine;
use super::super::errors::usage;
use super::super::job::Job;
use super::super::output::place_of;
use super::super::{progress, tell, times};
use super::Args;
use diffews_wgpu::gpu::Ran;
use diffews_wgpu::image_io::{check_place, is_standard, write_whole};
use diffews_wgpu::segment::Span;
use diffews_wgpu::{Segmentation, Stage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Most dispatches in a file: about 400 MB.
const MOST: usize = 1 << 20;

/// The trace file, if wanted, and its events.
pub struct Trace {
    file: Option<PathBuf>,
    force: bool,
    /// Print times by kernel after each query.
    verbose: bool,
    begun: Instant,
    /// When the last engine was loaded.
    loaded: Option<Instant>,
    host: Vec<Value>,
    device: Vec<Ran>,
    adapter: String,
    told: bool,
}

/// Process ids in the file.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

impl Trace {
    /// # Errors
    /// A file that cannot be written, or is another file of this run.
    pub fn new<'a>(args: &'a Args, jobs: impl Iterator<Item = &'a Job>) -> anyhow::Result<Trace> {
        if let Some(path) = &args.trace {
            if is_standard(path) {
                return Err(usage("--trace -: name a file"));
            }
            check_place(path, args.force)?;
            let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| place_of(path));
            let inputs = args.inputs();
            let all = inputs.chain(jobs.flat_map(Job::files));
            if all.filter(|other| !is_standard(other)).any(|other| real(other) == real(path)) {
                return Err(usage(format!(
                    "--trace {}: is an input or another output of this run; name another file",
                    path.display()
                )));
            }
        }
        Ok(Trace {
            file: args.trace.clone(),
            force: args.force,
            verbose: args.verbose > 1,
            begun: Instant::now(),
            loaded: None,
            host: Vec::new(),
            device: Vec::new(),
            adapter: String::new(),
            told: false,
        })
    }

    /// Adds a query's events. `clear` makes room on the terminal.
    pub fn add(&mut self, engine: &Engine, result: &Segmentation, job: &Job, mut clear: impl FnMut()) {
        if self.file.is_none() && !self.verbose {
            return;
        }
        let ran = engine.segmenter.gpu().times(self.begun);
        if self.verbose {
            clear();
            times::table(&times::rows(&ran, None)).lines().for_each(tell);
        }
        if self.file.is_none() {
            return;
        }
        let query = job.query.display().to_string();
        if self.loaded.replace(engine.begun) != Some(engine.begun) {
            let load = Span { stage: Stage::Load, started: engine.begun, seconds: engine.load_seconds };
            let facts = engine.segmenter.gpu().facts();
            self.adapter = format!("{} ({}, {})", facts.name, facts.backend, facts.driver);
            self.spans(&[load], "");
            engine.banks.iter().for_each(|bank| self.spans(bank.spans(), ""));
        }
        self.spans(result.spans(), &query);
        let room = MOST.saturating_sub(self.device.len());
        if room < ran.len() && !std::mem::replace(&mut self.told, true) {
            clear();
            tell(&format!("note: --trace: the limit of {MOST} dispatches is reached; further queries are left out"));
        }
        self.device.extend(ran.into_iter().take(room));
    }

    fn spans(&mut self, spans: &[Span], query: &str) {
        for Span { stage, started, seconds } in spans {
            let start = started.saturating_duration_since(self.begun).as_secs_f64();
            let args = if query.is_empty() { json!({}) } else { json!({ "query": query }) };
            self.host.push(event(HOST, &stage.to_string(), "stage", start, *seconds, args));
        }
    }

    /// Writes the file.
    pub fn write(self) -> anyhow::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut events = vec![named(HOST, "host"), named(DEVICE, &format!("device: {}", self.adapter))];
        if self.device.is_empty() {
            tell("note: --trace: the adapter has no timestamps; the file has the host's stages only");
        }
        events.extend(self.host);
        events.extend(self.device.iter().map(dispatch));
        let all = json!({
            "traceEvents": events,
            "displayTimeUnit": "ms",
            "otherData": { "version": env!("CARGO_PKG_VERSION"), "commit": env!("DIFFEWS_COMMIT"), "adapter": self.adapter },
        });
        let _writing = progress::writing();
        Ok(write_whole(path, serde_json::to_string(&all)?.as_bytes(), self.force)?)
    }
}

fn named(process: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": { "name": name } })
}

/// The format has times in microseconds.
fn event(process: u32, name: &str, kind: &str, start: f64, seconds: f64, args: Value) -> Value {
    json!({
        "ph": "X", "pid": process, "tid": 0, "name": name, "cat": kind, "ts": 1e6 * start, "dur": 1e6 * seconds, "args": args,
    })
}

fn dispatch(Ran { plan, label, start, seconds }: &Ran) -> Value {
    let gflops = if *seconds > 0.0 { label.flops as f64 / seconds / 1e9 } else { 0.0 };
    let args = json!({
        "pass": &**plan,
        "form": label.form,
        "output": &*label.output,
        "shapes": label.shapes,
        "workgroups": label.workgroups,
        "flop": label.flops,
        "padding_flop": label.padding,
        "bytes": label.bytes,
        "gflops": gflops,
    });
    event(DEVICE, label.kernel, "dispatch", *start, *seconds, args)
}
