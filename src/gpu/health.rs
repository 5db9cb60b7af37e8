//! Waiting for the device, and handling one that is lost or hangs.

#[cfg(target_arch = "wasm32")]
use super::later::Later;
use super::later::{block_on, later};
use super::{Gpu, GpuError, Shared, Wait};
use crate::panics;
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::time::Duration;

/// Interval at which a wait checks whether to go on.
const TURN: Duration = Duration::from_millis(100);
/// Time that a device gets to finish its work when it is closed.
const GRACE: Duration = Duration::from_secs(1);

/// The pending result of an error scope.
#[cfg(target_arch = "wasm32")]
pub(super) type Caught = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// A point in the queue to wait for.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Submission = wgpu::SubmissionIndex;

/// A browser has no submission numbers: it notifies when everything submitted until the request is done.
#[cfg(target_arch = "wasm32")]
pub(super) type Submission = std::sync::Arc<Mutex<Option<Later<()>>>>;

/// Why a device can no longer be used.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Fault>>);

enum Fault {
    Lost(String),
    /// It does not run its submissions.
    Idle,
    /// An error outside of any call of ours.
    Other(String),
}

impl Health {
    /// The first reason stays: later errors follow from it. Only a loss replaces another fault.
    pub fn lost(&self, reason: String) {
        if let Ok(mut fault) = self.0.lock()
            && !matches!(*fault, Some(Fault::Lost(_)))
        {
            *fault = Some(Fault::Lost(reason));
        }
    }

    pub fn idle(&self) {
        if let Ok(mut fault) = self.0.lock() {
            fault.get_or_insert(Fault::Idle);
        }
    }

    pub fn error(&self, reason: String) {
        if let Ok(mut fault) = self.0.lock() {
            fault.get_or_insert(Fault::Other(reason));
        }
    }
}

impl Shared {
    pub(super) fn failed(&self, what: &str, reason: impl ToString) -> GpuError {
        GpuError::Failed { adapter: self.facts.name.clone(), what: what.into(), reason: reason.to_string() }
    }

    pub(super) fn alive(&self, what: &str) -> Result<(), GpuError> {
        match self.health.0.lock().as_deref() {
            Ok(None) => Ok(()),
            Ok(Some(Fault::Lost(reason))) => {
                Err(GpuError::Lost { adapter: self.facts.name.clone(), what: what.into(), reason: reason.clone() })
            }
            Ok(Some(Fault::Idle)) => Err(GpuError::Idle { adapter: self.facts.name.clone(), what: what.into() }),
            Ok(Some(Fault::Other(reason))) => Err(self.failed(what, reason)),
            Err(_) => Err(self.failed(what, "a device callback panicked")),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn submitted(&self, index: wgpu::SubmissionIndex) -> Submission {
        index
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn submitted(&self, _: wgpu::SubmissionIndex) -> Submission {
        self.all()
    }

    /// Everything submitted so far.
    #[cfg(target_arch = "wasm32")]
    fn all(&self) -> Submission {
        let (say, heard) = later();
        self.queue.on_submitted_work_done(move || say.say(()));
        std::sync::Arc::new(Mutex::new(Some(heard)))
    }

    /// A browser cannot be polled; it notifies.
    #[cfg(target_arch = "wasm32")]
    fn poll(&self, _: Option<Submission>, _: Duration, what: &str) -> Result<bool, GpuError> {
        self.alive(what).map(|()| true)
    }

    /// Whether the submission is done within `timeout`.
    #[cfg(not(target_arch = "wasm32"))]
    fn poll(&self, submission_index: Option<Submission>, timeout: Duration, what: &str) -> Result<bool, GpuError> {
        self.alive(what)?;
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(timeout) };
        // wgpu panics, instead of returning an error, when the device is lost meanwhile.
        let done = match panics::caught(|| self.device.poll(poll)) {
            Ok(Ok(_)) => true,
            Ok(Err(wgpu::PollError::Timeout)) => false,
            Ok(Err(error)) => return Err(self.failed(what, error)),
            Err(panic) => {
                self.health.lost(panic);
                false
            }
        };
        self.alive(what)?;
        Ok(done)
    }
}

impl Gpu {
    /// Fails if the device can no longer be used: it is lost, does not run its submissions, or the program was interrupted.
    ///
    /// # Errors
    /// The reason.
    pub fn stands(&self, what: &str) -> Result<(), GpuError> {
        if (self.interrupted)() { Err(GpuError::Interrupted) } else { self.alive(what) }
    }

    pub(super) fn alive(&self, what: &str) -> Result<(), GpuError> {
        self.shared.alive(what)
    }

    /// Turns an error that the scopes caught into an error of the call named `what`.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn resolve_scopes(
        &self,
        what: &str,
        bytes: u64,
        scopes: [wgpu::ErrorScopeGuard; 3],
    ) -> Result<(), GpuError> {
        let errors = scopes.map(|scope| pollster::block_on(scope.pop()));
        match errors.into_iter().flatten().next() {
            None => Ok(()),
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(GpuError::OutOfMemory { adapter: self.facts().name.clone(), what: what.into(), bytes })
            }
            // A lost device explains the error.
            Some(other) => Err(self.alive(what).err().unwrap_or_else(|| self.failed(what, other))),
        }
    }

    /// A browser reports errors later: the next wait hears them, and the device then has a fault.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn resolve_scopes(
        &self,
        what: &str,
        bytes: u64,
        scopes: [wgpu::ErrorScopeGuard; 3],
    ) -> Result<(), GpuError> {
        let mut caught = self.shared.caught.lock().map_err(|error| self.failed(what, error))?;
        for scope in scopes {
            let what = if bytes > 0 { format!("{what} ({bytes} bytes)") } else { what.to_owned() };
            let (popped, health) = (scope.pop(), self.shared.health.clone());
            caught.push(Box::pin(async move {
                if let Some(error) = popped.await {
                    health.error(format!("{what}: {error}"));
                }
            }));
        }
        Ok(())
    }

    /// Waits for a submission, or for everything, until `stop` or the hook of [`Gpu::interrupted_by`] returns true.
    pub(super) async fn wait(
        &self,
        wait: Wait,
        submission: Option<Submission>,
        what: &str,
        mut stop: impl FnMut() -> bool,
    ) -> Result<(), GpuError> {
        while !self.turn(wait, submission.clone(), what).await? {
            if (self.interrupted)() || stop() {
                return Err(GpuError::Interrupted);
            }
        }
        Ok(())
    }

    /// Like the above, blocking this thread until it is done or interrupted.
    pub(super) fn wait_here(&self, submission: Option<Submission>, what: &str) -> Result<(), GpuError> {
        block_on(self.wait(Wait::Here, submission, what, || false))
    }

    /// Waits for everything submitted; `what` names it in errors.
    ///
    /// # Errors
    /// Whatever the device reports, and an interrupt.
    pub fn finish(&self, what: &str) -> Result<(), GpuError> {
        self.wait_here(None, what)
    }

    /// Waits for one interval, and returns whether the submission is done.
    #[cfg(not(target_arch = "wasm32"))]
    async fn turn(&self, wait: Wait, submission: Option<Submission>, what: &str) -> Result<bool, GpuError> {
        match wait {
            Wait::Here => self.shared.poll(submission, TURN, what),
            Wait::Aside => {
                let (say, heard) = later();
                let (shared, whose) = (self.shared.clone(), what.to_string());
                let thread = std::thread::Builder::new().name("diffews-wgpu waits".into());
                thread
                    .spawn(move || say.say(shared.poll(submission, TURN, &whose)))
                    .map_err(|error| self.failed(what, error))?;
                heard.await.unwrap_or_else(|| Err(self.failed(what, "the thread that waits has ended")))
            }
        }
    }

    /// Awaits the browser's notification.
    #[cfg(target_arch = "wasm32")]
    async fn turn(&self, _: Wait, submission: Option<Submission>, what: &str) -> Result<bool, GpuError> {
        let asked = submission.unwrap_or_else(|| self.shared.all());
        let heard = asked.lock().map(|mut heard| heard.take()).map_err(|error| self.failed(what, error))?;
        if let Some(heard) = heard {
            heard.await;
        }
        let caught = self.shared.caught.lock().map(|mut caught| std::mem::take(&mut *caught));
        for told in caught.map_err(|error| self.failed(what, error))? {
            told.await;
        }
        self.shared.poll(None, TURN, what)
    }
}

impl Drop for Shared {
    /// When wgpu's queue is dropped, it waits for its work: for ever if the device hangs. It panics if waiting fails.
    fn drop(&mut self) {
        // A browser keeps unreferenced objects until it collects garbage.
        #[cfg(target_arch = "wasm32")]
        if self.own {
            self.device.destroy();
        }
        // An application's device has other handles, so we do not wait for it.
        let idle = if self.own { self.poll(None, GRACE, "closing") } else { Ok(true) };
        // SAFETY: `self` is being dropped, so nothing uses the queue afterwards.
        let queue = unsafe { ManuallyDrop::take(&mut self.queue) };
        if let Ok(false) = idle {
            // Leaked: the queue keeps alive the device and the memory that it may still write to.
            std::mem::forget(queue);
        } else if let Err(panic) = panics::caught(|| drop(queue)) {
            log::debug!("closing {}: {panic}", self.facts.name);
        }
    }
}
