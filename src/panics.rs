//! Turns panics of dependencies into errors: decoders on broken pictures, wgpu on a lost device.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Number of nested calls of [`caught`] on this thread.
    static SILENT: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work` and returns its panic as an error. The panic hook prints nothing on this thread meanwhile.
///
/// After a panic, values that `work` changed may be in any state: drop them.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // A panicking thread must not set the hook: its destructors may call this.
    if !std::thread::panicking() {
        // The hook belongs to the whole process, so it is set once and passes other panics on.
        HOOK.call_once(|| {
            let before = take_hook();
            set_hook(Box::new(move |info| {
                // An ending thread has lost this value, and is not in `caught`.
                if SILENT.try_with(Cell::get).unwrap_or(0) == 0 {
                    before(info);
                }
            }));
        });
    }
    SILENT.with(|silent| silent.set(silent.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(work));
    SILENT.with(|silent| silent.set(silent.get() - 1));
    result.map_err(|panic| message(panic.as_ref()))
}

/// Awaits `future` and returns its panic as an error. In a browser a panic ends the program.
#[cfg(feature = "conformance")]
pub(crate) async fn caught_async<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

/// The panic's message on one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let words: Vec<&str> = text.unwrap_or("without a message").split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_messages() {
        assert_eq!(caught(|| 3), Ok(3));
        let outer = caught(|| {
            assert_eq!(caught(|| -> u8 { panic!("inner {}\n  twice", 2) }), Err("inner 2 twice".into()));
            // Still within the outer call.
            assert_eq!(SILENT.get(), 1);
            panic!("outer")
        });
        assert_eq!((outer, SILENT.get()), (Err::<(), _>("outer".into()), 0));
        assert_eq!(caught(|| std::panic::panic_any(7)), Err("without a message".into()));
    }

    /// The first call of all may come from a destructor: this test needs a process of its own, as nextest gives it.
    #[test]
    fn what_a_panic_drops_may_come_here() {
        struct Dropped;
        impl Drop for Dropped {
            fn drop(&mut self) {
                assert_eq!(caught(|| -> u8 { panic!("inner") }), Err("inner".into()));
            }
        }
        let ended = std::thread::spawn(|| {
            let _dropped = Dropped;
            panic!("outer")
        });
        let message = ended.join().unwrap_err();
        assert_eq!(message.downcast_ref::<&str>(), Some(&"outer"));
    }
}
