//! What is said of each query, in their order, and what has become of the run.

use super::super::advice::told;
use super::super::engine::{Engine, Watch};
use super::super::errors::{CliError, is_of_query};
use super::super::format::RunFile;
use super::super::interrupt;
use super::super::job::Job;
use super::super::notes::Notes;
use super::super::progress::{self, Bar};
use super::super::{print, print_raw, report, tell};
use super::crew::Crew;
use super::finish::{Computed, Finished, Said};
use super::trace::Trace;
use super::{Args, standard};
use diffews_wgpu::{Segmentation, Stage};
use std::ops::ControlFlow;

/// A query's number and what came of it.
pub type Item = (usize, anyhow::Result<Computed>);
pub type Done = (usize, anyhow::Result<Finished>);

/// Hands results to the threads that write them, and prints what those say.
pub struct Desk<'a, 'env> {
    pub bar: Bar,
    pub notes: Notes,
    trace: Trace,
    /// What all queries share.
    run_file: Option<RunFile>,
    args: &'a Args,
    jobs: &'a [Job],
    /// One query, named by itself: what fails it fails the run.
    alone: bool,
    writers: Crew<'env, Item, Done>,
    done: usize,
    failed: usize,
    /// Done by other runs meanwhile.
    found: usize,
    /// Left to another run that is at them.
    left: usize,
    /// What ends the run.
    fatal: Option<anyhow::Error>,
}

impl<'a, 'env> Desk<'a, 'env> {
    pub fn new(
        bar: Bar,
        notes: Notes,
        (trace, run_file): (Trace, Option<RunFile>),
        args: &'a Args,
        jobs: &'a [Job],
        alone: bool,
        writers: Crew<'env, Item, Done>,
    ) -> Self {
        let desk = Desk {
            bar,
            notes,
            trace,
            run_file,
            args,
            jobs,
            alone,
            writers,
            done: 0,
            failed: 0,
            found: 0,
            left: 0,
            fatal: None,
        };
        desk.note();
        desk
    }

    /// Queries that are done with, well or not.
    pub fn over(&self) -> usize {
        self.done + self.failed + self.found
    }

    /// Another run has done a query.
    pub fn found(&mut self) {
        self.found += 1;
        self.note();
    }

    /// Takes the times of a query that was computed.
    pub fn add_times(&mut self, engine: &Engine, result: &Segmentation, job: &Job) {
        self.trace.add(engine, result, job, || self.bar.clear());
    }

    /// Queries that other runs are at, at the end of this one.
    pub fn leave_to_others(&mut self, queries: usize) {
        self.left = queries;
    }

    /// How far the run is, behind the reason why it ends there.
    fn standing(&self) -> String {
        if self.alone {
            return String::new();
        }
        let goes_on = match self.args.skip_existing {
            true => "the same command goes on from there",
            false => "the same command with --skip-existing goes on from there",
        };
        format!("; {} of {} queries are done, {goes_on}", self.done + self.found, self.jobs.len())
    }

    fn note(&self) {
        interrupt::standing(self.standing());
    }

    /// Whether the run goes on.
    pub fn goes_on(&self) -> bool {
        self.fatal.is_none()
    }

    pub fn give(&mut self, item: Item) {
        match self.writers.give(item) {
            Ok(()) => self.say_ready(),
            Err(error) => self.end(error),
        }
    }

    /// Waits until one more query is over; false where none is on its way.
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

    /// Prints what there is to say.
    pub fn say_ready(&mut self) {
        while let Some(done) = self.writers.take_ready() {
            self.say(done);
        }
    }

    fn say(&mut self, (number, said): Done) {
        self.bar.clear();
        let printed = match said {
            Ok(Finished { said, picture }) => {
                let _writing = progress::writing();
                let added = self.run_file.as_mut().zip(picture).map_or(Ok(()), |(file, picture)| file.add(&picture));
                *(if matches!(said, Said::Found) { &mut self.found } else { &mut self.done }) += 1;
                added.map_err(Into::into).and_then(|()| self.print(said))
            }
            Err(error) if !self.alone && is_of_query(&error) => {
                self.failed += 1;
                tell(&format!("error: {}", told(&error)));
                match self.args.json {
                    true => report::failure(&self.jobs[number], &error).and_then(|line| print_raw(&line)),
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

    fn print(&self, said: Said) -> anyhow::Result<()> {
        match said {
            Said::Found => Ok(()),
            Said::Json(line) => print_raw(&line),
            Said::Line(line, drawing) => {
                match line {
                    // What goes to standard output is a picture.
                    Some(line) if standard::is_taken(self.args) => tell(&line),
                    Some(line) => print(&line)?,
                    None => {}
                }
                drawing.map_or(Ok(()), |drawing| print_raw(&drawing))
            }
        }
    }

    /// Ends the run. The first reason is the one that is told.
    pub fn end(&mut self, reason: anyhow::Error) {
        self.fatal.get_or_insert(reason);
    }

    /// What became of the run, once all that was computed is written.
    pub fn close(mut self) -> anyhow::Result<()> {
        while self.wait() {}
        self.bar.clear();
        if !self.args.quiet && self.found + self.left > 0 {
            let (found, left) = (self.found, self.left);
            tell(&format!("note: other runs have done {found} of these queries meanwhile, and are at {left} more"));
        }
        let standing = self.standing();
        // Also of a run that failed: it says what came before.
        let writing = progress::writing();
        let shared = self.run_file.take().map_or(Ok(()), RunFile::finish);
        drop(writing);
        let traced = shared.map_err(Into::into).and(self.trace.write());
        match (self.fatal, self.failed) {
            (Some(cause), _) if self.alone => Err(cause),
            (Some(cause), _) => Err(CliError::Ended { cause, standing }.into()),
            (None, 0) => traced,
            (None, failed) => Err(CliError::SomeFailed { failed, total: self.jobs.len() }.into()),
        }
    }
}

impl Watch for Desk<'_, '_> {
    /// Results are told while the next query is computed, not behind it.
    fn step(&mut self, stage: Stage, done: f64) -> ControlFlow<()> {
        self.say_ready();
        self.bar.step(stage, done)?;
        if self.goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn clear(&mut self) {
        self.bar.clear();
    }
}
