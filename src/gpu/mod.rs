//! The only room that calls wgpu: adapters, devices, buffers, pipelines, and running plans.

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

/// Errors of the device. Each message names the adapter, buffer or dispatch.
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
    /// Opening the adapter again may give a working device.
    #[error(
        "{what} failed on {adapter}: {reason}; the driver has given the device up: it hung, was reset or taken away (see the \
         system's log)"
    )]
    Lost { adapter: String, what: String, reason: String },
    /// The driver reported success without doing the work.
    #[error(
        "{adapter} has not run all that was submitted to it (seen at: {what}), though its driver reported no error: its \\n         results cannot be trusted"
    )]
    Idle { adapter: String, what: String },
    /// Only in a browser.
    #[error("a browser's thread cannot block on the device: use the async form of this call")]
    Blocks,
    #[error("interrupted")]
    Interrupted,
}

/// A device and its queue. Clones are handles of the same device, for any thread.
#[derive(Clone)]
pub struct Gpu {
    /// How this handle chooses the forms of kernels.
    pub forms: Forms,
    interrupted: fn() -> bool,
    shared: Arc<Shared>,
}

/// State shared by all handles of a device.
struct Shared {
    facts: AdapterFacts,
    device: wgpu::Device,
    queue: ManuallyDrop<wgpu::Queue>,
    /// We opened the device, so we close it.
    own: bool,
    pipelines: pipelines::Pipelines,
    health: Arc<health::Health>,
    /// Bytes uploaded since the last wait for everything.
    staged: AtomicU64,
    /// Number of submissions.
    submissions: AtomicU64,
    rate: execute::Rate,
    /// Timestamps, where enabled and supported.
    profile: Option<profile::Profile>,
    heartbeat: heartbeat::Heartbeat,
    /// The buffer that served the last readback.
    readback: Mutex<Option<wgpu::Buffer>>,
    /// A buffer of NaN, copied over results before they are computed.
    poison: OnceLock<wgpu::Buffer>,
    /// Pending error scopes, where errors are reported later.
    #[cfg(target_arch = "wasm32")]
    caught: Mutex<Vec<health::Caught>>,
}

/// How to wait for the device.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// Blocks this thread, which a browser does not allow.
    Here,
    /// Another thread or the browser waits, and this thread stays free.
    Aside,
}

impl Gpu {
    /// Facts about the device.
    pub fn facts(&self) -> &AdapterFacts {
        &self.shared.facts
    }

    /// Whether this is a handle of the same device.
    pub fn same_device(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The limits that plans recorded for this device must keep to.
    pub fn limits(&self) -> Limits {
        let limits = self.shared.device.limits();
        // Assumed until the fastest plan has shown the device's rate: a slow device of its kind, in multiply-adds per second.
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
            // Several per core hide each other's memory latency, and even out the end.
            least_workgroups: 4 * u64::from(self.forms.facts.cores),
            max_turns: MAX_TURNS,
        }
    }

    /// Whether this device supports elements of `storage`.
    pub fn supports(&self, storage: Policy) -> bool {
        storage.needs().lacks(&self.forms.facts).is_none()
    }

    /// Number of submissions so far.
    pub fn submissions(&self) -> u64 {
        self.shared.submissions.load(Ordering::Relaxed)
    }

    /// Bytes of all live buffers, where the backend reports them.
    pub fn allocated_bytes(&self) -> Option<u64> {
        // wgpu frees dropped buffers only once it knows that the device is done with them.
        self.wait_here(None, "counting memory").ok()?;
        self.shared.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    fn failed(&self, what: &str, reason: impl ToString) -> GpuError {
        self.shared.failed(what, reason)
    }

    /// Runs `work`, and turns an error that wgpu reports during it into one that names `what`.
    fn guarded<T>(&self, what: &str, bytes: u64, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let memory = self.shared.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.shared.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.shared.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        self.resolve_scopes(what, bytes, [validation, internal, memory])?;
        self.alive(what)?;
        Ok(result)
    }
}
