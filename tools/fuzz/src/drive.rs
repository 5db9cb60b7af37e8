//! Runs one process per target, and reports its results.

use crate::Run;
use crate::coverage::Coverage;
use crate::targets::{self, TARGETS, Target};
use crate::work::{HANGS, Stats};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// How often a target is restarted after its process has ended early.
const RESTARTS: u64 = 3;

/// Runs targets; returns whether there were no findings.
pub fn run(run: &Run) -> Result<bool> {
    if Coverage::new().counters() == 0 && !run.blind {
        return Err(Error::other(
            "there are no coverage counters: build with sancov.sh as rustc's wrapper (cargo called in tools/fuzz does, unless RUSTC_WRAPPER is set), \
             or pass --blind",
        ));
    }
    let targets = chosen(&run.targets)?;
    let seed = run.seed.unwrap_or_else(|| fastrand::u64(..));
    match run.runs {
        Some(runs) => println!("seed {seed}, {runs} changed inputs for each of {} targets", targets.len()),
        None => println!("seed {seed}, {:.0} s for {} targets", run.seconds, targets.len()),
    }
    println!("target            runs   accepted   edges  corpus  slowest    most memory  caught  findings");
    let mut all = 0;
    let mut caught = BTreeMap::new();
    for target in &targets {
        let mut row = Row { target, stats: Stats::default(), findings: 0, caught: &mut caught, run };
        let mut left = run.seconds / targets.len() as f64;
        for attempt in 0..=RESTARTS {
            let started = std::time::Instant::now();
            let mut order = vec!["--seed".into(), (seed + attempt).to_string()];
            match run.runs {
                Some(runs) => order.extend(["--runs".into(), runs.to_string()]),
                None => order.extend(["--seconds".into(), left.max(0.0).to_string()]),
            }
            if row.once(&order)? {
                break;
            }
            left -= started.elapsed().as_secs_f64();
        }
        all += row.findings;
        println!("{}", row.line());
    }
    for (what, (count, file)) in &caught {
        println!("caught {count} times: {what}\n    {file}");
    }
    match all {
        0 => println!("no findings"),
        n => println!("{n} findings, in {}", run.findings.display()),
    }
    Ok(all == 0)
}

/// Runs files; returns whether there were no findings.
pub fn replay(target: &str, files: &[PathBuf]) -> Result<bool> {
    let targets = chosen(&[target.to_string()])?;
    let mut sound = true;
    for file in files {
        let run = Run {
            targets: vec![],
            seconds: 0.0,
            runs: None,
            seed: None,
            corpus: None,
            findings: std::env::temp_dir().join("diffews-fuzz-replayed"),
            blind: true,
        };
        let mut caught = BTreeMap::new();
        let mut row = Row { target: targets[0], stats: Stats::default(), findings: 0, caught: &mut caught, run: &run };
        row.once(&["--only".into(), file.canonicalize()?.display().to_string()])?;
        let (findings, stats) = (row.findings, row.stats);
        sound &= findings == 0;
        let said = if stats.accepted > 0 { "accepted" } else { "not accepted" };
        println!(
            "{}: {said}, {} ms, {} bytes of memory, {findings} findings",
            file.display(),
            stats.slowest,
            stats.most
        );
        caught.keys().for_each(|what| println!("    caught: {what}"));
    }
    Ok(sound)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = |name: &String| {
        targets::named(name)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no target {name}; `list` names them")))
    };
    names.iter().map(known).collect()
}

struct Row<'a> {
    target: &'static Target,
    stats: Stats,
    findings: usize,
    caught: &'a mut BTreeMap<String, (u64, String)>,
    run: &'a Run,
}

impl Row<'_> {
    /// Starts the target's process once; returns whether it ran to its end.
    fn once(&mut self, arguments: &[String]) -> Result<bool> {
        let shm = Path::new("/dev/shm");
        let root = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("diffews-fuzz-").tempdir_in(root)?;
        let errors = fs::File::create(dir.path().join("stderr"))?;
        let findings = self.run.findings.join(self.target.name);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("work").arg(self.target.name).arg("--dir").arg(dir.path()).arg("--findings").arg(&findings);
        if let Some(corpus) = &self.run.corpus {
            command.arg("--corpus").arg(corpus.join(self.target.name));
        }
        let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut whole = false;
        for line in BufReader::new(child.stdout.take().ok_or(ErrorKind::BrokenPipe)?).lines() {
            whole |= self.event(&serde_json::from_str(&line?)?);
        }
        let status = child.wait()?;
        if !whole && status.code() != Some(HANGS) {
            self.ended(status, dir.path(), &findings)?;
        }
        Ok(whole)
    }

    /// Handles an event of the process; returns whether it was its last one.
    fn event(&mut self, event: &Value) -> bool {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_string();
        match event["event"].as_str() {
            Some("finding") => self.finding(&text("kind"), &text("what"), &text("file")),
            Some("caught") => {
                let place = self.caught.entry(text("what")).or_insert((0, text("file")));
                place.0 += event["count"].as_u64().unwrap_or(1);
            }
            Some("done") => {
                self.stats.add(event);
                return true;
            }
            _ => {}
        }
        false
    }

    fn finding(&mut self, kind: &str, what: &str, file: &str) {
        self.findings += 1;
        println!("FINDING {} {kind}: {what}", self.target.name);
        println!("    (cd tools/fuzz && cargo run --locked -- replay {} {file})", self.target.name);
    }

    /// The process ended on an input without an event: an abort, or a signal.
    fn ended(&mut self, status: ExitStatus, dir: &Path, findings: &Path) -> Result<()> {
        let input = fs::read(dir.join("current")).unwrap_or_default();
        let said = fs::read(dir.join("stderr")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().find(|l| !l.is_empty()).unwrap_or_default();
        let file = crate::work::keep(findings, "abort", &input)?;
        self.finding("abort", &format!("{status}: {first}"), &file.display().to_string());
        Ok(())
    }

    fn line(&self) -> String {
        let (name, s) = (self.target.name, &self.stats);
        let memory = format!("{:.1} of {:.1} MB", s.most as f64 / 1e6, s.most_allowed as f64 / 1e6);
        format!(
            "{name:12} {:9} {:10} {:7} {:7} {:5} ms {memory:>18} {:6} {:9}",
            s.runs, s.accepted, s.edges, s.corpus, s.slowest, s.caught, self.findings
        )
    }
}
