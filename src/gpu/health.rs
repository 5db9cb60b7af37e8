//! Waiting for the device, and what is left when it is lost or hangs.

use super::{Gpu, GpuError};
use crate::panics;
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::time::Duration;

/// A wait asks so often whether it is to go on.
const TURN: Duration = Duration::from_millis(100);
/// What a device that is closed gets for the work that it still has.
const GRACE: Duration = Duration::from_secs(1);

/// Why a device is of no use any more.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Fault>>);

enum Fault {
    Lost(String),
    /// An error that belongs to no call of ours.
    Other(String),
}

impl Health {
    /// The first reason stays: what comes after it follows from it.
    pub fn lost(&self, reason: String) {
        if let Ok(mut fault) = self.0.lock()
            && !matches!(*fault, Some(Fault::Lost(_)))
        {
            *fault = Some(Fault::Lost(reason));
        }
    }

    pub fn error(&self, reason: String) {
        if let Ok(mut fault) = self.0.lock() {
            fault.get_or_insert(Fault::Other(reason));
        }
    }
}

impl Gpu {
    /// Has waits ask `interrupted` ten times a second whether to end with [`GpuError::Interrupted`]. Without it a wait for a
    /// device that hangs ends only where a callback of progress says so.
    pub fn set_interrupt(&mut self, interrupted: fn() -> bool) {
        self.interrupted = interrupted;
    }

    pub(super) fn alive(&self, what: &str) -> Result<(), GpuError> {
        match self.health.0.lock().as_deref() {
            Ok(None) => Ok(()),
            Ok(Some(Fault::Lost(reason))) => {
                Err(GpuError::Lost { adapter: self.facts.name.clone(), what: what.into(), reason: reason.clone() })
            }
            Ok(Some(Fault::Other(reason))) => Err(self.failed(what, reason)),
            Err(_) => Err(self.failed(what, "a device callback panicked")),
        }
    }

    /// Waits for a submission, or for all, until `stop` or the hook of [`Gpu::set_interrupt`] says no.
    pub(super) fn wait(
        &self,
        submission: Option<wgpu::SubmissionIndex>,
        what: &str,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), GpuError> {
        while !self.poll(submission.clone(), TURN, what)? {
            if (self.interrupted)() || stop() {
                return Err(GpuError::Interrupted);
            }
        }
        Ok(())
    }

    /// Is it done within `timeout`?
    fn poll(
        &self,
        submission_index: Option<wgpu::SubmissionIndex>,
        timeout: Duration,
        what: &str,
    ) -> Result<bool, GpuError> {
        self.alive(what)?;
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(timeout) };
        // wgpu has no error for a device that is lost meanwhile: it panics.
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

impl Drop for Gpu {
    /// wgpu's queue waits for its work before it goes, for ever where the device hangs, and panics where waiting fails.
    fn drop(&mut self) {
        let idle = self.poll(None, GRACE, "closing");
        // SAFETY: this is the end of `self`: nothing uses the queue after.
        let queue = unsafe { ManuallyDrop::take(&mut self.queue) };
        if let Ok(false) = idle {
            // It keeps the device and what the device may still write to.
            std::mem::forget(queue);
        } else if let Err(panic) = panics::caught(|| drop(queue)) {
            log::debug!("closing {}: {panic}", self.facts.name);
        }
    }
}
