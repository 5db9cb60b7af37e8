//! The pipeline of a run: queries are read, computed and written in parallel.

use super::super::engine::{Engine, Setup, Watch as _};
use super::super::errors::is_of_query;
use super::super::notes::Notes;
use super::super::progress::{self, Bar};
use super::crew::Crew;
use super::desk::{Desk, Item};
use super::load::Ready;
use super::source::{Source, Task};
use super::trace::Trace;
use super::{Batch, MOST_THREADS, ROOM_BYTES, bytes_per_pixel, compute};
use diffews_wgpu::Error;
use diffews_wgpu::formats::SharedFile;
use diffews_wgpu::image_io::LoadedPicture;
use std::collections::VecDeque;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Pause between two polls while no query is ready.
const NOW_AND_THEN: Duration = Duration::from_millis(20);
/// Pause before checking again for queries that other runs had claimed.
const BUSY: Duration = Duration::from_secs(5);

/// The GPU's thread and its state.
struct Line<'a, 'env> {
    batch: &'a Batch<'a>,
    setup: &'a Setup<'a>,
    engine: Option<Engine>,
    desk: Desk<'a, 'env>,
    /// Bytes of the largest query so far.
    largest: Option<u64>,
    /// Queries that other runs have claimed.
    busy: Vec<Task>,
}

impl Batch<'_> {
    /// Feeds the GPU on this thread; other threads read pictures and write results.
    pub(super) fn run(
        &self,
        setup: &Setup,
        engine: Engine,
        (mut source, first): (Source, Option<LoadedPicture>),
        bar: Bar,
        notes: Notes,
        (trace, run_file): (Trace, Option<SharedFile>),
    ) -> anyhow::Result<()> {
        let side = engine.segmenter.size();
        let rule = engine.segmenter.mask_rule();
        // Half of the cores: the other half feeds the GPU, or computes if the adapter is the CPU.
        let cores = available_parallelism().map_or(1, |n| n.get());
        let most = source.total().unwrap_or(MOST_THREADS);
        let threads = if self.alone { 0 } else { (cores / 2).clamp(1, MOST_THREADS).min(most) };
        let read = |task: Task| self.read(&task, side);
        let write = |item: Item| self.write(item, rule);
        std::thread::scope(|scope| {
            let mut readers = Crew::start(scope, "read", threads, &read);
            let writers = Crew::start(scope, "write", threads, &write);
            let desk = Desk::new(bar, notes, (trace, run_file), (self.args, self.alone, source.total()), writers);
            let (engine, busy) = (Some(engine), Vec::new());
            let mut line = Line { batch: self, setup, engine, desk, largest: None, busy };
            if let Some(first) = first
                && let Some(task) = source.next()?
            {
                line.compute(task, Ok(Ready::Picture(self.loaded(first, side, None))));
            }
            line.run(&mut source, &mut readers)?;
            let left = line.busy.len();
            line.desk.leave_to_others(left);
            line.desk.close()
        })
    }
}

impl<'env> Line<'_, 'env> {
    /// Runs all queries; those that another run has claimed are checked again at the end and while idle.
    fn run(
        &mut self,
        source: &mut Source,
        readers: &mut Crew<'env, Task, anyhow::Result<Ready>>,
    ) -> anyhow::Result<()> {
        let (mut given, mut last, mut asked) = (VecDeque::new(), false, Instant::now());
        while self.desk.continues() {
            self.fill(source, readers, &mut given)?;
            if let Some(task) = given.pop_front() {
                let ready = readers.take(&mut || self.desk.print_ready())?.unwrap_or(Ok(Ready::There));
                self.compute(task, ready);
                continue;
            }
            match source.is_over() {
                // By now the other runs have finished these, or have ended.
                true if !last && !self.busy.is_empty() => last = true,
                true => break,
                false if asked.elapsed() > BUSY => asked = Instant::now(),
                false => {
                    if !self.idle(source) {
                        break;
                    }
                    continue;
                }
            }
            while last && self.desk.wait() {}
            source.put_back(std::mem::take(&mut self.busy));
        }
        while self.desk.wait() {}
        Ok(())
    }

    /// Keeps the readers busy, within the limits of queries and memory.
    fn fill(
        &mut self,
        source: &mut Source,
        readers: &mut Crew<'env, Task, anyhow::Result<Ready>>,
        given: &mut VecDeque<Task>,
    ) -> anyhow::Result<()> {
        while given.len() < readers.ahead() {
            let in_flight = (given.len() + self.desk.in_flight()) as u64;
            let fits =
                in_flight == 0 || (in_flight + 1).saturating_mul(self.largest.unwrap_or(ROOM_BYTES)) <= ROOM_BYTES;
            if !fits && !given.is_empty() {
                break;
            }
            // Everything in flight is being written, which frees memory.
            if !fits && self.desk.wait() {
                continue;
            }
            match source.next() {
                Ok(Some(task)) => {
                    readers.give(task.clone())?;
                    given.push_back(task);
                }
                Ok(None) => break,
                Err(error) => {
                    self.desk.end(error);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for a query; false if the run is over.
    fn idle(&mut self, source: &mut Source) -> bool {
        if progress::interrupted() {
            // A signal is the way to end a watch.
            if !self.batch.args.queries.is_watch() {
                self.desk.end(Error::Interrupted.into());
            }
            return false;
        }
        self.desk.print_ready();
        self.desk.is_idle();
        source.wait(NOW_AND_THEN);
        true
    }

    fn compute(&mut self, task: Task, ready: anyhow::Result<Ready>) {
        let desk = &mut self.desk;
        desk.begin(&task);
        let computed = match ready {
            Ok(Ready::Picture(loaded)) => {
                desk.notes.tell(&task.job.query, &loaded.notes, || desk.bar.clear());
                let classes = self.setup.classes.len();
                let bytes = loaded.pixels() * bytes_per_pixel(classes, self.setup.tiles.is_some());
                self.largest = self.largest.max(Some(bytes));
                if self.batch.is_there(&task.job) {
                    return desk.found();
                }
                compute(self.setup, &mut self.engine, desk, loaded, &task.job)
            }
            Ok(Ready::There) => return desk.found(),
            Ok(Ready::Busy) => return self.busy.push(task),
            Err(error) => Err(error),
        };
        // An error that ends the run takes effect when it is reported.
        let last = computed.as_ref().is_err_and(|error| !is_of_query(error));
        desk.give((task, computed));
        while last && desk.continues() && desk.wait() {}
    }
}
