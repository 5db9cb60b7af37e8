//! Work on several threads; a browser has only one.

/// Number of cores.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Runs `own` on this thread and `other` on `others` further threads, and returns all results; a browser runs only `own`. A panic of
/// any thread continues here.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn run_with_others<R, T: Send>(
    others: usize,
    other: impl Fn() -> T + Sync,
    own: impl FnOnce() -> R,
) -> (R, Vec<T>) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..others).map(|_| scope.spawn(&other)).collect();
        let own = own();
        let join = |thread: std::thread::ScopedJoinHandle<T>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (own, threads.into_iter().map(join).collect())
    })
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn run_with_others<R, T>(_: usize, _: impl Fn() -> T, own: impl FnOnce() -> R) -> (R, Vec<T>) {
    (own(), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn all_are_at_work_at_once() {
        let meet = Barrier::new(4);
        let work = || meet.wait().is_leader();
        let (own, others) = run_with_others(3, work, work);
        assert_eq!((others.len(), others.into_iter().chain([own]).filter(|&leads| leads).count()), (3, 1));
        assert_eq!(run_with_others(0, || 1, || 2), (2, vec![]));
        let panics = crate::panics::caught(|| run_with_others(1, || panic!("there"), || 2));
        assert_eq!(panics, Err::<(i32, Vec<()>), _>("there".into()));
    }
}
