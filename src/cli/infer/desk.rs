//! What is said of each query, in their order, and what has become of the run.

use super::super::engine::Watch;
use super::super::errors::CliError;
use super::super::output::Job;
use super::super::progress::Bar;
use super::super::{print, print_raw, report, tell};
use super::crew::Crew;
use super::finish::{Computed, Said};
use super::is_of_query;
use diffews_wgpu::Stage;

/// A query's number and what came of it.
pub type Item = (usize, anyhow::Result<Computed>);
pub type Done = (usize, anyhow::Result<Said>);

/// Hands results to the threads that write them, and prints what those say.
pub struct Desk<'a, 'env> {
    pub bar: Bar,
    pub jobs: &'a [Job],
    pub json: bool,
    /// One query, named by itself: what fails it fails the run.
    pub alone: bool,
    writers: Crew<'env, Item, Done>,
    done: usize,
    failed: usize,
    /// What ends the run.
    fatal: Option<anyhow::Error>,
}

impl<'a, 'env> Desk<'a, 'env> {
    pub fn new(bar: Bar, jobs: &'a [Job], json: bool, alone: bool, writers: Crew<'env, Item, Done>) -> Self {
        Desk { bar, jobs, json, alone, writers, done: 0, failed: 0, fatal: None }
    }

    /// Queries that are done with, well or not.
    pub fn over(&self) -> usize {
        self.done + self.failed
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
        match self.writers.take() {
            Ok(Some(done)) => self.say(done),
            Ok(None) => return false,
            Err(error) => {
                self.end(error);
                return false;
            }
        }
        true
    }

    fn say_ready(&mut self) {
        while let Some(done) = self.writers.take_ready() {
            self.say(done);
        }
    }

    fn say(&mut self, (number, said): Done) {
        self.bar.clear();
        let printed = match said {
            Ok(said) => {
                self.done += 1;
                let line = said.line.map_or(Ok(()), |line| print(&line));
                line.and_then(|()| said.drawing.map_or(Ok(()), |drawing| print_raw(&drawing)))
            }
            Err(error) if !self.alone && is_of_query(&error) => {
                self.failed += 1;
                tell(&format!("error: {error}"));
                match self.json {
                    true => report::failure(&self.jobs[number], &error).and_then(|line| print(&line)),
                    false => Ok(()),
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = printed {
            self.end(error);
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
        match (self.fatal, self.failed) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, failed) => Err(CliError::SomeFailed { failed, total: self.jobs.len() }.into()),
        }
    }
}

impl Watch for Desk<'_, '_> {
    /// Results are told while the next query is computed, not behind it.
    fn step(&mut self, stage: Stage, done: f64) -> bool {
        self.say_ready();
        self.bar.step(stage, done) && self.goes_on()
    }

    fn clear(&mut self) {
        self.bar.clear();
    }
}
