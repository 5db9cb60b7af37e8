//! `--isolate`: cases run in processes of their own. A driver that ends or hangs a process takes one case with it.

use super::Args;
use crate::cli::{print_raw, progress};
use anyhow::Context;
use diffews_wgpu::conformance::{Entry, On, Options, Row, Status, Suite};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Cases of one process: its leaks and damage end with it.
const GROUP: usize = 64;
/// Lines that begin so are rows; drivers may print other lines.
const ROW: &str = "{\"id\":";
const TURN: Duration = Duration::from_millis(100);

/// Runs cases in other processes, one process at a time.
pub struct Isolated<'a> {
    args: &'a Args,
    timeout: Duration,
    worker: Option<Worker>,
}

struct Worker {
    adapter: Option<usize>,
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    ran: usize,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may hang, so kill it; if it has ended already, the error does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Isolated<'a> {
    pub fn new(args: &'a Args, timeout: Duration) -> Isolated<'a> {
        Isolated { args, timeout, worker: None }
    }

    /// Runs an entry in the current process, or in a new one.
    pub fn run(&mut self, facts: &AdapterFacts, entry: &Entry) -> Row {
        let started = Instant::now();
        let mut row = self.ask(facts, entry).unwrap_or_else(|error| {
            let reason = Some(format!("no process for it: {error:#}"));
            Row { status: Status::Failed, reason, ..entry.row(facts) }
        });
        if row.seconds == 0.0 {
            row.seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        }
        row
    }

    fn ask(&mut self, facts: &AdapterFacts, entry: &Entry) -> anyhow::Result<Row> {
        let fresh = |w: &Worker| w.ran < GROUP && w.adapter == facts.index;
        let mut worker = match self.worker.take().filter(fresh) {
            Some(worker) => worker,
            None => self.start(facts)?,
        };
        worker.ran += 1;
        let ended = |status, reason| Ok(Row { status, reason: Some(reason), ..entry.row(facts) });
        // If this write fails, the process has ended, and the read below reports it.
        let _ = writeln!(worker.stdin, "{}", entry.id);
        let until = Instant::now() + self.timeout;
        loop {
            match worker.lines.recv_timeout(TURN) {
                Ok(line) if line.starts_with(ROW) => {
                    let row: Row = serde_json::from_str(&line).context("its answer")?;
                    // The adapter's name is unique here, not in the other process.
                    let row = Row { adapter: facts.name.clone(), driver: facts.driver.clone(), ..row };
                    // A failure may leave the process in any state.
                    self.worker = (!row.status.is_failure()).then_some(worker);
                    return Ok(row);
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return ended(Status::Crash, format!("the process ended: {}", worker.child.wait()?));
                }
                Err(RecvTimeoutError::Timeout) if progress::interrupted() => {
                    return ended(Status::Failed, "interrupted".into());
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > until => {
                    return ended(Status::Timeout, format!("not done after {} s", self.timeout.as_secs_f64()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn start(&self, facts: &AdapterFacts) -> anyhow::Result<Worker> {
        let args = self.args;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["conformance", "--worker", "--seed", &args.seed.to_string()]);
        command.args(args.full.then_some("--full")).args(args.strict.then_some("--strict"));
        command.args(args.adapter.again(facts.index));
        if let Some(dir) = &args.dump {
            command.arg("--dump").arg(dir);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().context("no way to write to it")?;
        let stdout = child.stdout.take().context("no way to read from it")?;
        let (say, lines) = channel();
        let read = move || {
            // The loop ends when the process ends or the receiver is dropped.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if say.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("worker's lines".into()).spawn(read)?;
        Ok(Worker { adapter: facts.index, child, stdin, lines, ran: 0 })
    }
}

/// The worker process: runs each case that a line names and answers with its row.
pub fn work(choice: &AdapterChoice, options: &Options) -> anyhow::Result<()> {
    let mut suite = Suite::new(options);
    let places: HashMap<String, usize> =
        suite.entries().iter().enumerate().map(|(i, entry)| (entry.id.clone(), i)).collect();
    let mut on: Option<On> = None;
    for id in std::io::stdin().lines() {
        let id = id?;
        let entry = *places.get(&id).with_context(|| format!("no case is called {id:?}"))?;
        let on = match &mut on {
            Some(on) => on,
            none => none.insert(suite.on(Gpu::new(choice)?.facts().clone(), choice)),
        };
        print_raw(&serde_json::to_string(&suite.run(on, entry))?)?;
    }
    Ok(())
}
