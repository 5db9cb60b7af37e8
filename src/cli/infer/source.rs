//! The queries of a run in order: known ones first, then those that arrive.

use super::super::advice::describe;
use super::super::errors::is_of_query;
use super::super::job::Job;
use super::super::list::{self, Input};
use super::super::output::Later;
use super::super::queries::Query;
use super::crew;
use super::watch::Watched;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// Queries that are planned ahead.
const AHEAD: usize = 64;

/// A query and its state in the run.
#[derive(Clone)]
pub struct Task {
    /// From 0. A query that comes again has its old number.
    pub number: usize,
    pub job: Arc<Job>,
    /// It appeared after the run began.
    pub late: bool,
    /// Why it is refused.
    pub refused: Option<String>,
}

/// Messages of the thread that waits for queries.
enum Came {
    Task(Task),
    /// An error that ends the run.
    Failed(anyhow::Error),
    /// No more queries.
    End,
}

pub struct Source {
    next: VecDeque<Task>,
    later: Option<Receiver<Came>>,
    failed: Option<anyhow::Error>,
    /// Number of queries, if known.
    total: Option<usize>,
}

/// Where later queries come from.
pub enum From {
    List { input: Input, tree: bool },
    Folders(Watched),
}

impl Source {
    pub fn new(jobs: Vec<Job>) -> Source {
        let task = |(number, job)| Task { number, job: Arc::new(job), late: false, refused: None };
        let next: VecDeque<Task> = jobs.into_iter().enumerate().map(task).collect();
        Source { total: Some(next.len()), next, later: None, failed: None }
    }

    /// Appends the queries that arrive from `from`.
    ///
    /// # Errors
    /// No thread can be started, or the list cannot be read.
    pub fn followed_by(mut self, from: From, later: Later) -> anyhow::Result<Source> {
        let (send, came) = sync_channel(AHEAD);
        let again = matches!(from, From::Folders(_));
        let known = self.next.iter().filter(|_| again).map(|task| (task.job.query.clone(), task.number)).collect();
        let mut plan = Planning { later, again, numbers: known, next: self.next.len(), send };
        // A detached thread: it may wait forever for input, and ends with the process.
        let run = move || {
            let mut give = |query| plan.give(query);
            let read = match from {
                From::List { input, tree } => list::each(input.whole(), tree, &mut give),
                From::Folders(watched) => {
                    watched.each(&mut give);
                    Ok(())
                }
            };
            // The receiver is gone if the run has ended.
            let _ = plan.send(read.map_or_else(Came::Failed, |()| Came::End));
        };
        Builder::new().name("queries".into()).spawn(run)?;
        (self.later, self.total) = (Some(came), None);
        // If all of a list is done, no model is loaded; a watch loads it at once.
        while !again && self.next.is_empty() && self.later.is_some() {
            self.look(Some(Duration::MAX));
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// The number of queries, if known.
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// The queries known at the start.
    pub fn known(&self) -> impl Iterator<Item = &Job> {
        self.next.iter().map(|task| &*task.job)
    }

    /// The next query, if there is one.
    ///
    /// # Errors
    /// An error that ends the run.
    pub fn next(&mut self) -> anyhow::Result<Option<Task>> {
        self.look(None);
        match (self.next.pop_front(), self.failed.take()) {
            (None, Some(error)) => Err(error),
            (task, failed) => {
                self.failed = failed;
                Ok(task)
            }
        }
    }

    /// Waits for a query or the end, at most for `time`.
    pub fn wait(&mut self, time: Duration) {
        self.look(Some(time));
    }

    /// Whether all queries have been taken.
    pub fn is_over(&self) -> bool {
        self.next.is_empty() && self.later.is_none() && self.failed.is_none()
    }

    /// Puts queries back to the front.
    pub fn put_back(&mut self, tasks: Vec<Task>) {
        tasks.into_iter().rev().for_each(|task| self.next.push_front(task));
    }

    fn look(&mut self, wait: Option<Duration>) {
        let (true, Some(later)) = (self.next.is_empty(), &self.later) else { return };
        let came = match wait {
            Some(time) => later.recv_timeout(time).map_err(|error| error == RecvTimeoutError::Disconnected),
            None => later.try_recv().map_err(|error| error == TryRecvError::Disconnected),
        };
        match came {
            Ok(Came::Task(task)) => self.next.push_back(task),
            Ok(Came::Failed(error)) => (self.failed, self.later) = (Some(error), None),
            Ok(Came::End) => self.later = None,
            Err(false) => {}
            Err(true) => (self.failed, self.later) = (Some(crew::ended()), None),
        }
    }
}

/// Plans queries as they come.
struct Planning {
    later: Later,
    /// Whether queries may come again.
    again: bool,
    numbers: HashMap<PathBuf, usize>,
    next: usize,
    send: SyncSender<Came>,
}

impl Planning {
    fn give(&mut self, query: Query) -> ControlFlow<()> {
        let path = query.path.clone();
        let (job, refused) = match self.later.add(query, self.again) {
            Ok(Some(job)) => (job, None),
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) if is_of_query(&error) => (Job::without_files(path.clone()), Some(describe(&error))),
            Err(error) => {
                let _ = self.send(Came::Failed(error));
                return ControlFlow::Break(());
            }
        };
        let number = self.numbers.get(&path).copied().unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        if self.again {
            self.numbers.insert(path, number);
        }
        self.send(Came::Task(Task { number, job: Arc::new(job), late: true, refused }))
    }

    /// Breaks if the run has ended.
    fn send(&self, came: Came) -> ControlFlow<()> {
        if self.send.send(came).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
