//! One target's process: runs and measures inputs, and keeps those that reach new code.

use crate::coverage::Coverage;
use crate::memory;
use crate::mutate::Source;
use crate::targets::{self, Ran, Runner, Target};
use clap::Args;
use fastrand::Rng;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Error, Result};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Limit of CPU time per input.
const LONGEST_CPU: u64 = 10_000;
/// Limit of wall time per input: beyond it, the input waits for something, or the machine is busy. Both in milliseconds.
const LONGEST: u64 = 600_000;
/// Memory that every input may take, plus more for each of its bytes.
const MEMORY: usize = 32 << 20;
const MEMORY_PER_BYTE: usize = 256;
/// Upper limit of memory for any input, whatever its header announces.
const MEMORY_AT_MOST: usize = 3 << 30;
/// Slower inputs are not changed further: many fast runs find more.
const SLOW: u64 = 250;
/// Exit code after an input that took too long.
pub const HANGS: i32 = 77;

#[derive(Args)]
pub struct Order {
    target: String,
    /// An empty directory
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    findings: PathBuf,
    #[arg(long)]
    corpus: Option<PathBuf>,
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    /// Number of changed inputs, instead of a time
    #[arg(long)]
    runs: Option<u64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run this file and nothing else
    #[arg(long)]
    only: Option<PathBuf>,
}

/// Results of a process.
#[derive(Clone, Copy, Default)]
pub struct Stats {
    pub runs: u64,
    pub accepted: u64,
    pub edges: u64,
    pub corpus: u64,
    /// Milliseconds of CPU time.
    pub slowest: u64,
    /// Peak bytes of the input that came closest to its limit, and that limit.
    pub most: u64,
    pub most_allowed: u64,
    pub caught: u64,
}

impl Stats {
    fn event(&self) -> Value {
        json!({"event": "done", "runs": self.runs, "accepted": self.accepted, "edges": self.edges, "corpus": self.corpus,
            "slowest": self.slowest, "most": self.most, "most_allowed": self.most_allowed, "caught": self.caught})
    }

    /// Adds the results of another process for the same target.
    pub fn add(&mut self, event: &Value) {
        let of = |key: &str| event[key].as_u64().unwrap_or(0);
        self.runs += of("runs");
        self.accepted += of("accepted");
        self.caught += of("caught");
        self.edges = self.edges.max(of("edges"));
        self.corpus = self.corpus.max(of("corpus"));
        self.slowest = self.slowest.max(of("slowest"));
        self.near(of("most"), of("most_allowed"));
    }

    fn near(&mut self, most: u64, allowed: u64) {
        // Compare the shares without dividing.
        if u128::from(most) * u128::from(self.most_allowed.max(1)) >= u128::from(self.most) * u128::from(allowed.max(1))
        {
            (self.most, self.most_allowed) = (most, allowed);
        }
    }
}

/// The last panic: location and message.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);
/// Start of the current run, in milliseconds of both clocks; 0 if none is running.
static SINCE: AtomicU64 = AtomicU64::new(0);
static SINCE_CPU: AtomicU64 = AtomicU64::new(0);

fn say(event: &Value) {
    println!("{event}");
}

fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Writes an input to keep, named by its hash.
pub fn keep(dir: &Path, kind: &str, input: &[u8]) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    input.hash(&mut hash);
    fs::create_dir_all(dir)?;
    let file = dir.canonicalize()?.join(format!("{kind}-{:016x}", hash.finish()));
    fs::write(&file, input)?;
    Ok(file)
}

pub fn work(order: &Order) -> Result<()> {
    let target = targets::named(&order.target).ok_or_else(|| Error::other("no such target"))?;
    // The library's own hook is installed with the first picture and hides panics that it catches; replace it.
    let _ = diffews_wgpu::image_io::load_rgb(&targets::picture());
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |l| format!("{}:{}", short(l.file()), l.line()));
        let text = text_of(info.payload()).replace('\n', " ");
        let text: String = text.chars().take(300).collect();
        if SINCE.load(Relaxed) == 0 {
            eprintln!("in the fuzzer itself, {place}: {text}");
        }
        if let Ok(mut last) = PANICKED.lock() {
            *last = Some(format!("{place}: {text}"));
        }
    }));
    // Above every limit: a failing allocation ends the process, which then is a finding.
    let most = Some((MEMORY_AT_MOST as u64) * 2);
    setrlimit(Resource::As, Rlimit { current: most, maximum: most })?;
    let current = order.dir.join("current");
    let (copy, findings) = (current.clone(), order.findings.clone());
    std::thread::spawn(move || watch(&copy, &findings));
    let runner = (target.open)(&order.dir);
    let mut worker = Worker {
        target,
        order,
        runner,
        current,
        coverage: Coverage::new(),
        corpus: Vec::new(),
        known: HashSet::new(),
        caught: BTreeMap::new(),
        told: HashSet::new(),
        stats: Stats::default(),
    };
    match &order.only {
        Some(file) => worker.run(&fs::read(file)?).map(|_| ())?,
        None => worker.search()?,
    }
    worker.finish();
    Ok(())
}

fn text_of(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message")
}

/// The part of a source file's path that identifies it.
fn short(path: &str) -> &str {
    path.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')).map_or(path, |(_, rest)| rest)
}

/// Ends the process if a run takes too long.
fn watch(current: &Path, findings: &Path) {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let (since, cpu) = (SINCE.load(Relaxed), SINCE_CPU.load(Relaxed));
        if since == 0 {
            continue;
        }
        let (wall, cpu) =
            (now(ClockId::Monotonic).saturating_sub(since), now(ClockId::ProcessCPUTime).saturating_sub(cpu));
        // The run may have ended meanwhile; then it checks its time itself.
        if SINCE.load(Relaxed) == since && (cpu > LONGEST_CPU || wall > LONGEST) {
            let input = fs::read(current).unwrap_or_default();
            let file = keep(findings, "slow", &input).map_or_else(|e| e.to_string(), |f| f.display().to_string());
            let what = format!("not done after {cpu} ms of CPU time, {wall} ms in total ({} bytes)", input.len());
            say(&json!({"event": "finding", "kind": "slow", "what": what, "file": file}));
            std::process::exit(HANGS);
        }
    }
}

struct Worker<'a> {
    target: &'static Target,
    order: &'a Order,
    runner: Runner,
    current: PathBuf,
    coverage: Coverage,
    corpus: Vec<Vec<u8>>,
    /// Inputs that are already in the corpus directory.
    known: HashSet<Vec<u8>>,
    caught: BTreeMap<String, (u64, PathBuf)>,
    /// Reported findings, by location.
    told: HashSet<String>,
    stats: Stats,
}

impl Worker<'_> {
    /// Runs the seeds, then the kept inputs, then changes of both until the time or the number of runs is used up.
    fn search(&mut self) -> Result<()> {
        let started = Instant::now();
        let order = self.order;
        let late = || started.elapsed().as_secs_f64() >= order.seconds;
        let files = |dir: &Path| {
            let mut paths: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
            paths.sort();
            paths.into_iter().filter_map(|p| fs::read(p).ok())
        };
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(self.target.name);
        for seed in files(&committed).chain((self.target.seeds)()) {
            self.run(&seed)?;
            if seed.len() <= self.target.longest {
                self.corpus.push(seed);
            }
        }
        for input in order.corpus.iter().flat_map(|dir| files(dir)) {
            if order.runs.is_none() && late() {
                return Ok(());
            }
            let (new, fast) = self.run(&input)?;
            self.known.insert(input.clone());
            if new && fast {
                self.corpus.push(input);
            }
        }
        let mut rng = Rng::with_seed(order.seed);
        let mut changed = 0;
        while order.runs.map_or_else(|| !late(), |runs| changed < runs) {
            changed += 1;
            let count = self.corpus.len();
            // The newest inputs lead furthest.
            let at = if rng.bool() { rng.usize(..count.max(1)) } else { count.saturating_sub(1 + rng.usize(..32)) };
            let mut input = self.corpus.get(at).cloned().unwrap_or_default();
            (self.target.mutate)(&mut input, &mut Source { rng: &mut rng, corpus: &self.corpus });
            let (new, fast) = self.run(&input)?;
            // Coverage may differ from run to run (maps are seeded randomly), and so would all inputs derived from it.
            if order.runs.is_some() || !(new && fast && input.len() <= self.target.longest) {
                continue;
            }
            if let Some(dir) = &order.corpus
                && self.known.insert(input.clone())
            {
                keep(dir, "input", &input)?;
            }
            self.corpus.push(input);
        }
        Ok(())
    }

    /// Runs an input; returns whether it reached new code, and whether it was fast.
    fn run(&mut self, input: &[u8]) -> Result<(bool, bool)> {
        fs::write(&self.current, input)?;
        self.coverage.clear();
        let before = memory::mark();
        let cpu = now(ClockId::ProcessCPUTime);
        SINCE_CPU.store(cpu, Relaxed);
        SINCE.store(now(ClockId::Monotonic).max(1), Relaxed);
        let ran = panic::catch_unwind(AssertUnwindSafe(|| (self.runner)(input, &self.current)));
        SINCE.store(0, Relaxed);
        let took = now(ClockId::ProcessCPUTime).saturating_sub(cpu);
        let peak = memory::peak_since(before);
        let panicked = PANICKED.lock().ok().and_then(|mut last| last.take());

        self.stats.runs += 1;
        self.stats.slowest = self.stats.slowest.max(took);
        match (ran, panicked) {
            (Ok(ran), what) => {
                self.stats.accepted += u64::from(ran.accepted);
                if let Some(what) = what {
                    self.note(what, input)?;
                }
                self.measure(&ran, peak, input)?;
            }
            (Err(_), what) => self.tell("panic", &what.unwrap_or_default(), input)?,
        }
        if took > LONGEST_CPU {
            self.tell("slow", &format!("{took} ms of CPU time ({} bytes)", input.len()), input)?;
        }
        Ok((self.coverage.gained(), took <= SLOW))
    }

    /// A panic that the library caught is not its own fault, but one of a dependency. Its own panics are findings.
    fn note(&mut self, what: String, input: &[u8]) -> Result<()> {
        if what.starts_with("src/") {
            return self.tell("panic", &what, input);
        }
        self.stats.caught += 1;
        if let Some((count, _)) = self.caught.get_mut(&what) {
            *count += 1;
        } else if self.caught.len() < 50 {
            let file = keep(&self.order.findings, "caught", input)?;
            self.caught.insert(what, (1, file));
        }
        Ok(())
    }

    fn measure(&mut self, ran: &Ran, peak: usize, input: &[u8]) -> Result<()> {
        let allowed = (MEMORY + MEMORY_PER_BYTE * input.len()).saturating_add(ran.allowed).min(MEMORY_AT_MOST);
        self.stats.near(peak as u64, allowed as u64);
        if peak > allowed {
            self.tell("memory", &format!("{peak} bytes, but the limit is {allowed} ({} bytes)", input.len()), input)?;
        }
        Ok(())
    }

    /// Writes and reports a finding: the first of each location, or of each kind if there is no location.
    fn tell(&mut self, kind: &str, what: &str, input: &[u8]) -> Result<()> {
        let place = if kind == "panic" { what.split(": ").next().unwrap_or_default() } else { kind };
        if self.told.insert(place.to_string()) {
            let file = keep(&self.order.findings, kind, input)?;
            say(&json!({"event": "finding", "kind": kind, "what": what, "file": file}));
        }
        Ok(())
    }

    fn finish(mut self) {
        for (what, (count, file)) in &self.caught {
            say(&json!({"event": "caught", "what": what, "count": count, "file": file}));
        }
        self.stats.edges = self.coverage.edges as u64;
        self.stats.corpus = self.corpus.len() as u64;
        say(&self.stats.event());
    }
}
