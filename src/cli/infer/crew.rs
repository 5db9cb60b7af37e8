//! Worker threads besides the GPU's.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope};
use std::time::Duration;

/// Items that may wait for each thread.
pub const AHEAD: usize = 2;
const NOW_AND_THEN: Duration = Duration::from_millis(20);

/// Threads for one kind of work. Results come back in the order of the items.
pub struct Crew<'env, In, Out> {
    lanes: Vec<(SyncSender<In>, Receiver<Out>)>,
    given: usize,
    taken: usize,
    work: &'env (dyn Fn(In) -> Out + Sync),
    /// Results of the caller's own thread, if no other could be started.
    made: VecDeque<Out>,
}

impl<'env, In: Send + 'env, Out: Send + 'env> Crew<'env, In, Out> {
    /// Starts up to `count` threads, fewer if the system refuses. Without any, [`Crew::give`] does the work
    /// itself.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        name: &str,
        count: usize,
        work: &'env (dyn Fn(In) -> Out + Sync),
    ) -> Crew<'env, In, Out> {
        let mut lanes = Vec::with_capacity(count);
        for _ in 0..count {
            let (give, items) = sync_channel::<In>(AHEAD);
            let (send, take) = channel();
            let run = move || {
                for item in items {
                    // The receiver is gone if the run ended early.
                    if send.send(work(item)).is_err() {
                        return;
                    }
                }
            };
            if let Err(error) = Builder::new().name(name.into()).spawn_scoped(scope, run) {
                log::warn!("only {} of {count} threads to {name} started: {error}", lanes.len());
                break;
            }
            lanes.push((give, take));
        }
        Crew { lanes, given: 0, taken: 0, work, made: VecDeque::new() }
    }

    /// Items that may be given before one is taken without blocking.
    pub fn ahead(&self) -> usize {
        (self.lanes.len() * AHEAD).max(1)
    }

    /// Fails if a thread has ended, which only a defect can cause.
    pub fn give(&mut self, item: In) -> anyhow::Result<()> {
        self.given += 1;
        if self.lanes.is_empty() {
            self.made.push_back((self.work)(item));
            return Ok(());
        }
        let lane = &self.lanes[(self.given - 1) % self.lanes.len()];
        lane.0.send(item).map_err(|_| ended())
    }

    /// Items whose results were not taken yet.
    pub fn waiting(&self) -> usize {
        self.given - self.taken
    }

    /// Waits for the next result and calls `meanwhile` now and then; `None` if no item is left.
    pub fn take(&mut self, meanwhile: &mut dyn FnMut()) -> anyhow::Result<Option<Out>> {
        if self.waiting() == 0 {
            return Ok(None);
        }
        let out = match self.lanes.is_empty() {
            true => self.made.pop_front().ok_or_else(ended)?,
            false => loop {
                match self.lanes[self.taken % self.lanes.len()].1.recv_timeout(NOW_AND_THEN) {
                    Ok(out) => break out,
                    Err(RecvTimeoutError::Timeout) => meanwhile(),
                    Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                }
            },
        };
        self.taken += 1;
        Ok(Some(out))
    }

    /// The next result, if it is ready.
    pub fn take_ready(&mut self) -> Option<Out> {
        let out = match self.lanes.is_empty() {
            true => self.made.pop_front(),
            false => self.lanes[self.taken % self.lanes.len()].1.try_recv().ok(),
        };
        self.taken += usize::from(out.is_some());
        out
    }
}

/// A worker thread ended, which only a defect can cause.
pub fn ended() -> anyhow::Error {
    anyhow::anyhow!("a worker thread has ended; this is a defect of the program, please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both with and without threads.
    #[test]
    fn what_is_made_comes_back_in_order() {
        for count in [0, 1, 3] {
            let work = |n: u64| {
                std::thread::sleep(std::time::Duration::from_millis(7 * (n % 3)));
                n * n
            };
            std::thread::scope(|scope| {
                let mut crew = Crew::start(scope, "test", count, &work);
                let mut made = Vec::new();
                for n in 0..20 {
                    crew.give(n).unwrap();
                    made.extend(crew.take_ready());
                    if crew.waiting() >= crew.ahead() {
                        made.extend(crew.take(&mut || {}).unwrap());
                    }
                }
                while let Some(out) = crew.take(&mut || {}).unwrap() {
                    made.push(out);
                }
                assert_eq!(made, (0..20).map(|n| n * n).collect::<Vec<_>>(), "{count} threads");
            });
        }
    }
}
