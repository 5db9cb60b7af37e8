//! A bounded queue in which clients take turns.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Work of clients, served in turn.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    came: Condvar,
    /// Most tickets at a time: one runs, the others wait.
    places: usize,
}

struct State<T> {
    /// Waiting clients in the order of their turns, each with its work in order of arrival.
    waiting: VecDeque<(IpAddr, VecDeque<Job<T>>)>,
    /// Tickets by client, including running work and requests that are still being decoded.
    tickets: HashMap<IpAddr, usize>,
    next: u64,
    closed: bool,
}

struct Job<T> {
    number: u64,
    gone: Arc<AtomicBool>,
    work: T,
}

/// A place in the queue. Dropping it removes waiting work and stops running work.
pub struct Ticket<T> {
    queue: Arc<Queue<T>>,
    client: IpAddr,
    number: u64,
    gone: Arc<AtomicBool>,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl<T> Queue<T> {
    /// A queue with `waiting` places besides the running work.
    pub fn new(waiting: usize) -> Arc<Queue<T>> {
        let state = State { waiting: VecDeque::new(), tickets: HashMap::new(), next: 0, closed: false };
        Arc::new(Queue { state: Mutex::new(state), came: Condvar::new(), places: waiting.saturating_add(1) })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for `client`. If the queue is full, the client with the most waiting work loses the latest, if it has at least two more
    /// than `client` has places.
    pub fn enter(self: &Arc<Queue<T>>, client: IpAddr) -> Result<Ticket<T>, Full> {
        let mut state = self.lock();
        if state.closed {
            return Err(Full);
        }
        // Dropped after the lock is released.
        let mut displaced = None;
        if state.tickets.values().sum::<usize>() >= self.places {
            let own = state.tickets.get(&client).copied().unwrap_or(0);
            let most = state.waiting.iter_mut().max_by_key(|(_, jobs)| jobs.len());
            let most = most.filter(|(other, jobs)| *other != client && jobs.len() > own + 1);
            displaced = Some(most.and_then(|(_, jobs)| jobs.pop_back()).ok_or(Full)?);
        }
        *state.tickets.entry(client).or_default() += 1;
        state.next += 1;
        let number = state.next;
        drop(state);
        drop(displaced);
        Ok(Ticket { queue: self.clone(), client, number, gone: Arc::default() })
    }

    /// Waits for the next work and a flag that is set when its client leaves; `None` after the queue was closed.
    pub fn next(&self) -> Option<(T, Arc<AtomicBool>)> {
        let mut state = self.lock();
        loop {
            if let Some((client, mut jobs)) = state.waiting.pop_front() {
                let Some(job) = jobs.pop_front() else { continue };
                if !jobs.is_empty() {
                    state.waiting.push_back((client, jobs));
                }
                return Some((job.work, job.gone));
            }
            if state.closed {
                return None;
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Accepts no more work. Waiting work is still done, or dropped if `at_once`.
    pub fn close(&self, at_once: bool) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = if at_once { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        drop(dropped);
        self.came.notify_all();
    }

    /// Number of places in use: waiting and running.
    pub fn len(&self) -> usize {
        self.lock().tickets.values().sum()
    }
}

impl<T> Ticket<T> {
    /// A flag that is set when the client leaves, for long work before submission.
    pub fn gone(&self) -> Arc<AtomicBool> {
        self.gone.clone()
    }

    /// Puts the work of this ticket in the queue.
    pub fn submit(&self, work: T) {
        let job = Job { number: self.number, gone: self.gone.clone(), work };
        let mut state = self.queue.lock();
        if state.closed {
            drop(state);
            // Dropping the job tells its client.
            return drop(job);
        }
        match state.waiting.iter_mut().find(|(client, _)| *client == self.client) {
            Some((_, jobs)) => jobs.push_back(job),
            None => state.waiting.push_back((self.client, VecDeque::from([job]))),
        }
        drop(state);
        self.queue.came.notify_one();
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        let mut state = self.queue.lock();
        let mut taken = None;
        if let Some((_, jobs)) = state.waiting.iter_mut().find(|(client, _)| *client == self.client) {
            let at = jobs.iter().position(|job| job.number == self.number);
            taken = at.and_then(|at| jobs.remove(at));
        }
        if let Some(count) = state.tickets.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                state.tickets.remove(&self.client);
            }
        }
        drop(state);
        drop(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn run(queue: &Queue<u32>) -> Vec<u32> {
        queue.close(false);
        std::iter::from_fn(|| queue.next()).map(|(number, _)| number).collect()
    }

    #[test]
    fn clients_take_turns() {
        let queue = Queue::new(9);
        let all = [(1, 11), (1, 12), (1, 13), (2, 21), (2, 22), (3, 31)];
        let submit = |&(from, number): &(u8, u32)| {
            let ticket = queue.enter(client(from)).unwrap();
            ticket.submit(number);
            ticket
        };
        let tickets: Vec<_> = all.iter().map(submit).collect();
        assert_eq!(run(&queue), [11, 21, 31, 12, 22, 13]);
        assert_eq!(queue.len(), 6);
        drop(tickets);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_goes_away_leaves_his_place() {
        let queue = Queue::new(1);
        let [first, second] = [(); 2].map(|()| queue.enter(client(1)).unwrap());
        first.submit(1);
        second.submit(2);
        assert_eq!(queue.enter(client(1)).err(), Some(Full));
        let gone = first.gone.clone();
        drop(first);
        assert!(gone.load(Ordering::SeqCst));
        let third = queue.enter(client(1)).unwrap();
        third.submit(3);
        assert_eq!(run(&queue), [2, 3]);
        assert!(queue.enter(client(1)).is_err());
    }

    #[test]
    fn one_client_does_not_keep_others_out() {
        let queue = Queue::new(2);
        let own: Vec<_> = (1..=3).map(|number| (number, queue.enter(client(1)).unwrap())).collect();
        own.iter().for_each(|(number, ticket)| ticket.submit(*number));
        let other = queue.enter(client(2)).unwrap();
        other.submit(9);
        // A client with as many places as the others displaces none.
        assert_eq!(queue.enter(client(2)).err(), Some(Full));
        assert_eq!(run(&queue), [1, 9, 2]);
    }
}
