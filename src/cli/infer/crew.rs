//! Threads that work beside the GPU's.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope};
use std::time::Duration;

/// Items that each thread may have before it, besides the one that it works on.
pub const AHEAD: usize = 2;
const NOW_AND_THEN: Duration = Duration::from_millis(20);

/// Threads that do one kind of work. What they make comes back in the order in which the items were given.
pub struct Crew<'env, In, Out> {
    lanes: Vec<(SyncSender<In>, Receiver<Out>)>,
    given: usize,
    taken: usize,
    work: &'env (dyn Fn(In) -> Out + Sync),
    /// What was made on the caller's own thread, where no other could be started.
    made: VecDeque<Out>,
}

impl<'env, In: Send + 'env, Out: Send + 'env> Crew<'env, In, Out> {
    /// Starts up to `count` threads, fewer where the system does not give more. Without any, the work is done where
    /// [`Crew::give`] is called.
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
                    // Nobody listens where the run has ended early.
                    if send.send(work(item)).is_err() {
                        return;
                    }
                }
            };
            if let Err(error) = Builder::new().name(name.into()).spawn_scoped(scope, run) {
                log::warn!("{} of {count} threads to {name} could be started: {error}", lanes.len());
                break;
            }
            lanes.push((give, take));
        }
        Crew { lanes, given: 0, taken: 0, work, made: VecDeque::new() }
    }

    /// Items that may be given before one is taken, without the caller's having to wait.
    pub fn ahead(&self) -> usize {
        (self.lanes.len() * AHEAD).max(1)
    }

    /// Fails where the threads have ended before their time, which only a defect can cause.
    pub fn give(&mut self, item: In) -> anyhow::Result<()> {
        self.given += 1;
        if self.lanes.is_empty() {
            self.made.push_back((self.work)(item));
            return Ok(());
        }
        let lane = &self.lanes[(self.given - 1) % self.lanes.len()];
        lane.0.send(item).map_err(|_| ended())
    }

    /// Items of which nothing has been taken yet.
    pub fn waiting(&self) -> usize {
        self.given - self.taken
    }

    /// The next thing made, waited for, with `meanwhile` called now and then; nothing where nothing is to come.
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

    /// The next thing made, if it is there.
    pub fn take_ready(&mut self) -> Option<Out> {
        let out = match self.lanes.is_empty() {
            true => self.made.pop_front(),
            false => self.lanes[self.taken % self.lanes.len()].1.try_recv().ok(),
        };
        self.taken += usize::from(out.is_some());
        out
    }
}

/// Only a defect ends a thread before its time.
pub fn ended() -> anyhow::Error {
    anyhow::anyhow!("a thread beside the GPU's has ended; this is a defect of the program")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With threads and without.
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
