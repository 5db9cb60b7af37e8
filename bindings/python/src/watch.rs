//! A call's progress, and what stops it: an exception of the callback, or of a signal's handler.

use crate::errors;
use diffews_wgpu::{Error, Stage};
use pyo3::prelude::*;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Signals are looked for no more often: it needs the GIL, which others may hold.
const BETWEEN: Duration = Duration::from_millis(50);

/// A call that this thread is in.
struct Call {
    /// The address of its segmenter, which must not be asked for more meanwhile.
    of: usize,
    /// Why it is to stop.
    error: Option<PyErr>,
    looked: Instant,
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Ends with the call, also where it panics.
struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CALLS.with_borrow_mut(Vec::pop);
    }
}

/// Does `work` without the GIL, and tells `callback` of its progress. `of` is the address of a segmenter that is locked meanwhile.
///
/// # Errors
/// What the callback or a signal's handler raised, as it is; else the library's.
pub fn watched<T: Send>(
    py: Python<'_>,
    of: Option<usize>,
    callback: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut dyn FnMut(Stage, f64) -> ControlFlow<()>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let of = of.unwrap_or(0);
    if of != 0 && CALLS.with_borrow(|calls| calls.iter().any(|call| call.of == of)) {
        return Err(errors::other(
            "a callback of progress called its own segmenter, which is at work; call it afterwards",
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

/// Whether the call that this thread is in is to stop; the device's waits ask that, too. Other threads are in none.
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
