//! Writes and reports results in the order of the queries, and keeps the state of the run.

use super::super::advice::describe;
use super::super::engine::{Engine, Watch};
use super::super::errors::{CliError, is_of_query};
use super::super::interrupt;
use super::super::job::Job;
use super::super::notes::Notes;
use super::super::progress::{self, Bar};
use super::super::{print, print_raw, report, tell};
use super::crew::Crew;
use super::finish::{Computed, Finished, Message};
use super::source::Task;
use super::trace::Trace;
use super::{Args, standard};
use diffews_wgpu::formats::SharedFile;
use diffews_wgpu::{Segmentation, Stage};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// A query and its computed result.
pub type Item = (Task, anyhow::Result<Computed>);
pub type Done = (Task, anyhow::Result<Finished>);

/// Hands results to the writing threads and prints their messages.
pub struct Desk<'a, 'env> {
    pub bar: Bar,
    pub notes: Notes,
    trace: Trace,
    /// What all queries share.
    run_file: Option<SharedFile>,
    args: &'a Args,
    /// A single query, named on the command line: its failure fails the run.
    alone: bool,
    /// Number of queries, if known.
    total: Option<usize>,
    writers: Crew<'env, Item, Done>,
    /// Number of queries begun.
    begun: usize,
    done: usize,
    /// Numbers of failed queries that have not come again since.
    failed: HashSet<usize>,
    /// Finished by other runs meanwhile.
    found: usize,
    /// Left to other runs that work on them.
    left: usize,
    /// The error that ends the run.
    fatal: Option<anyhow::Error>,
    /// The note that more queries may come was printed.
    waits: bool,
}

impl<'a, 'env> Desk<'a, 'env> {
    pub fn new(
        bar: Bar,
        notes: Notes,
        (trace, run_file): (Trace, Option<SharedFile>),
        (args, alone, total): (&'a Args, bool, Option<usize>),
        writers: Crew<'env, Item, Done>,
    ) -> Self {
        let desk = Desk {
            bar,
            notes,
            trace,
            run_file,
            args,
            alone,
            total,
            writers,
            begun: 0,
            done: 0,
            failed: HashSet::new(),
            found: 0,
            left: 0,
            fatal: None,
            waits: false,
        };
        desk.note();
        desk
    }

    /// Number of queries being written.
    pub fn in_flight(&self) -> usize {
        self.writers.waiting()
    }

    /// Begins a query.
    pub fn begin(&mut self, task: &Task) {
        self.begun = self.begun.max(task.number + 1);
        match self.total {
            Some(1) => {}
            Some(total) => self.bar.prefix(format!("{}/{total} ", task.number + 1)),
            None => self.bar.prefix(format!("{} ", task.number + 1)),
        }
    }

    /// Notes once that the run waits for more queries.
    pub fn is_idle(&mut self) {
        if self.args.queries.is_watch() && !self.waits && self.writers.waiting() == 0 {
            self.waits = true;
            self.bar.clear();
            if !self.args.quiet {
                tell("note: all pictures are done; waiting for new ones until Ctrl-C");
            }
        }
    }

    /// Counts a query that another run has finished.
    pub fn found(&mut self) {
        self.found += 1;
        self.note();
    }

    /// Adds the times of a computed query.
    pub fn add_times(&mut self, engine: &Engine, result: &Segmentation, job: &Job) {
        self.trace.add(engine, result, job, || self.bar.clear());
    }

    /// Counts queries that other runs work on when this one ends.
    pub fn leave_to_others(&mut self, queries: usize) {
        self.left = queries;
    }

    /// The progress of the run, to follow the reason why it ended.
    fn status(&self) -> String {
        if self.alone {
            return String::new();
        }
        let hint = match self.args.skip_existing {
            true => "run the same command to continue",
            false => "run the same command with --skip-existing to continue",
        };
        let of = self.total.map_or(String::new(), |total| format!("of {total} "));
        format!("; {} {of}queries are done, {hint}", self.done + self.found)
    }

    fn note(&self) {
        interrupt::set_status(self.status());
    }

    /// Whether the run goes on.
    pub fn continues(&self) -> bool {
        self.fatal.is_none()
    }

    pub fn give(&mut self, item: Item) {
        match self.writers.give(item) {
            Ok(()) => self.print_ready(),
            Err(error) => self.end(error),
        }
    }

    /// Waits until one more query is written; false if none is in flight.
    pub fn wait(&mut self) -> bool {
        match self.writers.take(&mut || {}) {
            Ok(Some(done)) => self.say(done),
            Ok(None) => return false,
            Err(error) => {
                self.end(error);
                return false;
            }
        }
        true
    }

    /// Prints the messages that are ready.
    pub fn print_ready(&mut self) {
        while let Some(done) = self.writers.take_ready() {
            self.say(done);
        }
    }

    fn say(&mut self, (task, said): Done) {
        self.bar.clear();
        let printed = match said {
            Ok(Finished { said, picture }) => {
                let _writing = progress::writing();
                let added = self.run_file.as_mut().zip(picture).map_or(Ok(()), |(file, picture)| file.add(&picture));
                self.failed.remove(&task.number);
                *(if matches!(said, Message::AlreadyThere) { &mut self.found } else { &mut self.done }) += 1;
                added.map_err(Into::into).and_then(|()| self.print(said))
            }
            Err(error) if !self.alone && is_of_query(&error) => {
                // A file that comes again is reported once.
                match self.failed.insert(task.number) {
                    true => self.report_failure(&task.job, &error),
                    false => Ok(()),
                }
            }
            Err(error) => Err(error),
        };
        self.note();
        if let Err(error) = printed {
            self.end(error);
        }
    }

    fn report_failure(&self, job: &Job, error: &anyhow::Error) -> anyhow::Result<()> {
        let again = if self.args.queries.is_watch() { "; it will be read again when it changes" } else { "" };
        tell(&format!("error: {}{again}", describe(error)));
        if self.args.json { print_raw(&report::failure(job, error)?) } else { Ok(()) }
    }

    fn print(&self, said: Message) -> anyhow::Result<()> {
        match said {
            Message::AlreadyThere => Ok(()),
            Message::Json(line) => print_raw(&line),
            Message::Line(line, drawing) => {
                match line {
                    // Standard output is taken by the result.
                    Some(line) if standard::is_taken(self.args) => tell(&line),
                    Some(line) => print(&line)?,
                    None => {}
                }
                drawing.map_or(Ok(()), |drawing| print_raw(&drawing))
            }
        }
    }

    /// Ends the run; the first reason counts.
    pub fn end(&mut self, reason: anyhow::Error) {
        self.fatal.get_or_insert(reason);
    }

    /// Writes what is left and returns the outcome of the run.
    pub fn close(mut self) -> anyhow::Result<()> {
        while self.wait() {}
        self.bar.clear();
        if !self.args.quiet && self.found + self.left > 0 {
            let (found, left) = (self.found, self.left);
            tell(&format!("note: other runs finished {found} of these queries and are working on {left} more"));
        }
        let status = self.status();
        // Also after a failure: the file holds the earlier results.
        let writing = progress::writing();
        let shared = self.run_file.take().map_or(Ok(()), SharedFile::finish);
        drop(writing);
        let traced = shared.map_err(Into::into).and(self.trace.write());
        let total = self.total.unwrap_or(self.begun);
        if self.waits && self.fatal.is_none() && !self.args.quiet {
            tell(&format!("note: the watch has ended; {} queries are done", self.done + self.found));
        }
        match (self.fatal, self.failed.len()) {
            (Some(cause), _) if self.alone => Err(cause),
            (Some(cause), _) => Err(CliError::Ended { cause, status }.into()),
            (None, 0) => traced,
            (None, failed) => Err(CliError::SomeFailed { failed, total }.into()),
        }
    }
}

impl Watch for Desk<'_, '_> {
    /// Prints results while the next query is computed.
    fn step(&mut self, stage: Stage, done: f64) -> ControlFlow<()> {
        self.print_ready();
        self.bar.step(stage, done)?;
        if self.continues() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn clear(&mut self) {
        self.bar.clear();
    }
}
