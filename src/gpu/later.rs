//! A future for the value of a callback or another thread, and a blocking wait for a future.

use super::GpuError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

struct State<T> {
    said: Option<T>,
    /// The sender is gone, and no value will come.
    over: bool,
    waker: Option<Waker>,
}

pub(super) struct Say<T>(Arc<Mutex<State<T>>>);

/// The value, or `None` if [`Say`] is dropped without sending one.
pub(super) struct Later<T>(Arc<Mutex<State<T>>>);

pub(super) fn later<T>() -> (Say<T>, Later<T>) {
    let state = Arc::new(Mutex::new(State { said: None, over: false, waker: None }));
    (Say(state.clone()), Later(state))
}

impl<T> Say<T> {
    pub fn say(self, what: T) {
        if let Ok(mut state) = self.0.lock() {
            state.said = Some(what);
        }
    }
}

impl<T> Drop for Say<T> {
    fn drop(&mut self) {
        let waker = self.0.lock().ok().and_then(|mut state| {
            state.over = true;
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Later<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Ok(mut state) = self.0.lock() else { return Poll::Ready(None) };
        match state.said.take() {
            None if !state.over => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
            said => Poll::Ready(said),
        }
    }
}

/// Blocks this thread until `future` is ready.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn block_on<T, E: From<GpuError>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    pollster::block_on(future)
}

/// A browser's thread cannot block: a future that is not ready at once is an error.
#[cfg(target_arch = "wasm32")]
pub(crate) fn block_on<T, E: From<GpuError>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(GpuError::Blocks.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_arrives_and_silence_ends() {
        let (say, heard) = later();
        let thread = std::thread::spawn(move || say.say(3));
        assert_eq!(pollster::block_on(heard), Some(3));
        thread.join().unwrap();
        let (say, heard) = later::<u8>();
        drop(say);
        assert_eq!(pollster::block_on(heard), None);
    }
}
