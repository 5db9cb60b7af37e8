//! The only room that calls wgpu: adapter choice, device, buffers, pipelines, running a plan.

mod adapter;
mod buffers;
mod execute;
mod health;
mod heartbeat;
mod kept;
mod later;
pub(crate) mod memory_model;
mod open;
mod pipelines;
mod ports;
mod profile;
mod staging;
#[cfg(feature = "conformance")]
mod statistics;
mod unchecked;

pub use adapter::{AdapterChoice, AdapterFacts, check_backend, list, no_backend};
pub use buffers::Arena;
pub use execute::{BoundPlan, Placed, Progress};
pub(crate) use kept::MOST_KEPT;
pub(crate) use later::block_on;
pub use pipelines::{CHECKED, Translator};
pub use ports::Port;
pub use profile::{Label, Ran};
pub(crate) use staging::Uploads;
#[cfg(feature = "conformance")]
pub use statistics::{Code, Statistics};

use crate::plan::{DISPATCH_SECONDS, Forms, Limits, MAX_TURNS, Policy};
use crate::shader::Device;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// What goes wrong on the device's side. Each message names the adapter, buffer or dispatch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    #[error("{0}")]
    NoAdapter(String),
    /// A backend that is unknown, or that this system cannot have.
    #[error("{0}")]
    Backend(String),
    #[error("{adapter} cannot give a device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error("out of memory on {adapter}: {what}; it needs {bytes} bytes")]
    OutOfMemory { adapter: String, what: String, bytes: u64 },
    #[error("{what} failed on {adapter}: {reason}")]
    Failed { adapter: String, what: String, reason: String },
    /// Opening the adapter once more may give a device that works.
    #[error(
        "{what} failed on {adapter}: {reason}; the driver has given the device up: it hung, was reset or taken away (see the \
         system's log)"
    )]
    Lost { adapter: String, what: String, reason: String },
    /// The driver reported success, and has not done what it was given.
    #[error(
        "{adapter} has not run all that was submitted to it (seen at: {what}), though its driver reported no error: nothing that it \
         computes can be believed"
    )]
    Idle { adapter: String, what: String },
    /// Only in a browser.
    #[error("a browser's thread cannot wait for the device: await the async form of this call")]
    Blocks,
    #[error("interrupted")]
    Interrupted,
}

/// A device and its queue. A clone is another handle of the same device, for this thread or another.
#[derive(Clone)]
pub struct Gpu {
    /// How the forms of kernels are chosen for it, by this handle.
    pub forms: Forms,
    interrupted: fn() -> bool,
    shared: Arc<Shared>,
}

/// What all handles of a device have in common.
struct Shared {
    facts: AdapterFacts,
    device: wgpu::Device,
    queue: ManuallyDrop<wgpu::Queue>,
    /// Opened here, so that it is for us to close it.
    own: bool,
    pipelines: pipelines::Pipelines,
    health: Arc<health::Health>,
    /// Bytes of uploads since the last wait for all.
    staged: AtomicU64,
    /// How many there were.
    submissions: AtomicU64,
    rate: execute::Rate,
    /// Its clock, where it was opened for that and has one.
    profile: Option<profile::Profile>,
    heartbeat: heartbeat::Heartbeat,
    /// What the last result was read back by.
    readback: Mutex<Option<wgpu::Buffer>>,
    /// NaN, to be copied over what is to be computed.
    poison: OnceLock<wgpu::Buffer>,
    /// What error scopes caught, where that is told later.
    #[cfg(target_arch = "wasm32")]
    caught: Mutex<Vec<health::Caught>>,
}

/// How a wait for the device is spent.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// By this thread, which a browser does not allow.
    Here,
    /// By another thread, or by the browser, while this one does something else.
    Aside,
}

impl Gpu {
    /// What the device can do.
    pub fn facts(&self) -> &AdapterFacts {
        &self.shared.facts
    }

    /// Is it another handle of the same device?
    pub fn same_device(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What plans recorded for this device must keep to.
    pub fn limits(&self) -> Limits {
        let limits = self.shared.device.limits();
        // Until a device has shown its rate, by its fastest plan: a slow one of its kind, in multiplications and additions per second.
        let prior = match self.forms.facts.device {
            Device::Cpu => 1.5e10 * f64::from(self.forms.facts.cores),
            Device::Integrated => 5e10,
            Device::Discrete => 2e11,
        };
        Limits {
            max_binding: limits.max_storage_buffer_binding_size,
            offset_alignment: limits.min_storage_buffer_offset_alignment as u64,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_buffer: limits.max_buffer_size,
            max_work: (self.shared.rate.seen().unwrap_or(prior) * DISPATCH_SECONDS) as u64,
            // Several to a core hide each other's waits for memory, and even out their ends.
            least_workgroups: 4 * u64::from(self.forms.facts.cores),
            max_turns: MAX_TURNS,
        }
    }

    /// Can this device hold elements as `storage`?
    pub fn supports(&self, storage: Policy) -> bool {
        storage.needs().lacks(&self.forms.facts).is_none()
    }

    /// How many submissions it was given so far.
    pub fn submissions(&self) -> u64 {
        self.shared.submissions.load(Ordering::Relaxed)
    }

    /// Bytes in all live buffers, where the backend keeps count.
    pub fn allocated_bytes(&self) -> Option<u64> {
        // What was dropped is freed only once the device is known to be done with it.
        self.wait_here(None, "counting memory").ok()?;
        self.shared.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    fn failed(&self, what: &str, reason: impl ToString) -> GpuError {
        self.shared.failed(what, reason)
    }

    /// Runs `work` and turns what wgpu reports during it into an error that names `what`.
    fn guarded<T>(&self, what: &str, bytes: u64, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let memory = self.shared.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.shared.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.shared.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        self.judge(what, bytes, [validation, internal, memory])?;
        self.alive(what)?;
        Ok(result)
    }
}
