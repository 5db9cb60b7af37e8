//! The device's thread.

use super::ServeError;
use super::app::App;
use super::events::Steps;
use super::problem::Problem;
use super::queue::Ticket;
use crate::Error;
use crate::gpu::GpuError;
use crate::panics::caught;
use crate::segment::{Progress, Segmenter};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;

/// Work for the device. Returns an error if the device cannot be used any more.
pub type Work = Box<dyn FnOnce(&Segmenter, &App, &AtomicBool) -> Option<Error> + Send>;

/// Runs work until the queue is closed or the device cannot be used any more.
pub fn run(segmenter: &Segmenter, app: &App) -> Result<(), ServeError> {
    let ended = serve(segmenter, app);
    if ended.is_err() {
        app.fail();
    }
    ended
}

fn serve(segmenter: &Segmenter, app: &App) -> Result<(), ServeError> {
    while let Some((work, gone)) = app.queue.next() {
        // After a panic the segmenter may be in any state.
        let over: Option<Error> = caught(|| work(segmenter, app, &gone)).map_err(ServeError::Panicked)?;
        if let Some(error) = over {
            return Err(ServeError::Engine(Box::new(error)));
        }
    }
    Ok(())
}

/// Runs `work` on the device at the turn of `ticket`. Reports progress to `steps`; stops if the client leaves.
pub async fn on_device<T: Send + 'static>(
    app: &App,
    ticket: &Ticket<Work>,
    steps: Steps,
    work: impl FnOnce(&Segmenter, Progress) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let (tell, told) = oneshot::channel();
    ticket.submit(Box::new(move |segmenter, app, gone| {
        let left = || gone.load(Ordering::SeqCst);
        let mut progress = |stage, done| {
            steps.at(stage, done);
            if left() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let started = Instant::now();
        let done = if left() { Err(Error::Interrupted) } else { work(segmenter, &mut progress) };
        match &done {
            Ok(_) => app.metrics.work(started.elapsed().as_secs_f64()),
            Err(Error::Interrupted) => app.metrics.left(),
            Err(_) => {}
        }
        // The receiver is gone if the client has left.
        match done {
            Ok(value) => drop(tell.send(Ok(value))),
            Err(error) => {
                let _ = tell.send(Err(Problem::from(&error)));
                return ends(&error).then_some(error);
            }
        }
        None
    }));
    // The work was displaced by another client, or the server is ending.
    told.await.unwrap_or_else(|_| Err(app.full()))
}

/// Whether the error makes the device unusable.
fn ends(error: &Error) -> bool {
    error.device_lost() || matches!(error, Error::Gpu(GpuError::Idle { .. }))
}
