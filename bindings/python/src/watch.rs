//! Progress of a call; an exception of the callback or of a signal handler stops it.

use crate::errors;
use diffews_wgpu::{Error, Stage};
use pyo3::prelude::*;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Shortest interval between checks for signals, which need the GIL.
const BETWEEN: Duration = Duration::from_millis(50);

/// The current call of this thread.
struct Call {
    /// Address of its segmenter, which must not be called meanwhile.
    of: usize,
    /// Why it must stop.
    error: Option<PyErr>,
    looked: Instant,
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Ends the call when dropped, also after a panic.
struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CALLS.with_borrow_mut(Vec::pop);
    }
}

/// Runs `work` without the GIL and reports its progress to `callback`. `of` is the address of the segmenter, which is locked meanwhile.
///
/// # Errors
/// The exception of the callback or a signal handler, else the library's.
pub fn watched<T: Send>(
    py: Python<'_>,
    of: Option<usize>,
    callback: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut dyn FnMut(Stage, f64) -> ControlFlow<()>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let of = of.unwrap_or(0);
    if of != 0 && CALLS.with_borrow(|calls| calls.iter().any(|call| call.of == of)) {
        return Err(errors::other(
            "a progress callback called its own segmenter, which is running; call it afterwards",
        ));
    }
    errors::caught(|| {
        py.detach(|| {
            CALLS.with_borrow_mut(|calls| calls.push(Call { of, error: None, looked: Instant::now() }));
            let _entered = Entered;
            let result = work(&mut |stage, done| step(callback, stage, done));
            match (CALLS.with_borrow_mut(|calls| calls.last_mut().and_then(|call| call.error.take())), result) {
                (Some(error), _) => Err(error),
                (None, result) => result.map_err(|error| errors::of(&error)),
            }
        })
    })
}

fn step(callback: Option<&Py<PyAny>>, stage: Stage, done: f64) -> ControlFlow<()> {
    let told = match callback {
        None => Ok(()),
        Some(callback) => Python::try_attach(|py| callback.call1(py, (stage.to_string(), done)).map(drop))
            .unwrap_or_else(|| Err(interrupt_error())),
    };
    match told {
        Err(error) => {
            stop(error);
            ControlFlow::Break(())
        }
        Ok(()) if due() && interrupted() => ControlFlow::Break(()),
        Ok(()) => ControlFlow::Continue(()),
    }
}

fn due() -> bool {
    CALLS.with_borrow(|calls| calls.last().is_some_and(|call| call.looked.elapsed() >= BETWEEN))
}

/// Whether this thread's current call must stop, also asked while waiting for the device. False on other threads.
pub fn interrupted() -> bool {
    let standing = CALLS.with_borrow_mut(|calls| {
        let call = calls.last_mut()?;
        call.looked = Instant::now();
        Some(call.error.is_some())
    });
    match standing {
        None => false,
        Some(true) => true,
        Some(false) => match Python::try_attach(|py| py.check_signals()).unwrap_or_else(|| Err(interrupt_error())) {
            Ok(()) => false,
            Err(error) => {
                stop(error);
                true
            }
        },
    }
}

fn stop(error: PyErr) {
    CALLS.with_borrow_mut(|calls| {
        if let Some(call) = calls.last_mut() {
            call.error = Some(error);
        }
    });
}

fn interrupt_error() -> PyErr {
    pyo3::exceptions::PySystemExit::new_err("Python ends")
}
