//! The way of the queries through a run: read, computed, written, each beside the others.

use super::super::engine::{Engine, Setup, Watch as _};
use super::super::errors::is_of_query;
use super::super::format::RunFile;
use super::super::notes::Notes;
use super::super::progress::{self, Bar};
use super::crew::Crew;
use super::desk::{Desk, Item};
use super::load::Ready;
use super::source::{Source, Task};
use super::trace::Trace;
use super::{BYTES_PER_PIXEL, Batch, MOST_THREADS, ROOM_BYTES, compute};
use diffews_wgpu::Error;
use diffews_wgpu::image_io::LoadedPicture;
use std::collections::VecDeque;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Between two looks at what else there is to do while no query is there.
const NOW_AND_THEN: Duration = Duration::from_millis(20);
/// Other runs may be done with their queries after so long.
const BUSY: Duration = Duration::from_secs(5);

/// The GPU's thread with what it works on.
struct Line<'a, 'env> {
    batch: &'a Batch<'a>,
    setup: &'a Setup<'a>,
    engine: Option<Engine>,
    desk: Desk<'a, 'env>,
    /// Bytes that the largest query takes.
    largest: Option<u64>,
    /// Queries that other runs are at.
    busy: Vec<Task>,
}

impl Batch<'_> {
    /// This thread feeds the GPU; pictures are read and results written on others.
    pub(super) fn run(
        &self,
        setup: &Setup,
        engine: Engine,
        (mut source, first): (Source, Option<LoadedPicture>),
        bar: Bar,
        notes: Notes,
        (trace, run_file): (Trace, Option<RunFile>),
    ) -> anyhow::Result<()> {
        let side = engine.segmenter.size();
        let rule = engine.segmenter.mask_rule();
        // Half of the cores: the other half feeds the GPU, or is it where the adapter is the CPU.
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
    /// Does all queries; what another run is at comes once more at the end, and while there is nothing else.
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
                // They are done with it, or gone.
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

    /// Each reader has something to do, as far as queries and memory go.
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
            // All that is on its way is being written, and makes room.
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

    /// Waits for a query; false where none is wanted any more.
    fn idle(&mut self, source: &mut Source) -> bool {
        if progress::interrupted() {
            // Whoever watches folders ends that so.
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
                self.largest = self.largest.max(Some(loaded.pixels() * BYTES_PER_PIXEL));
                if self.batch.is_there(&task.job) {
                    return desk.found();
                }
                compute(self.setup, &mut self.engine, desk, loaded, &task.job)
            }
            Ok(Ready::There) => return desk.found(),
            Ok(Ready::Busy) => return self.busy.push(task),
            Err(error) => Err(error),
        };
        // What ends the run ends it when it is told.
        let last = computed.as_ref().is_err_and(|error| !is_of_query(error));
        desk.give((task, computed));
        while last && desk.continues() && desk.wait() {}
    }
}
