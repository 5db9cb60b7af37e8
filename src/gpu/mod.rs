//! The only room that calls wgpu: adapter choice, device, buffers, pipelines, running a plan.

mod adapter;
mod buffers;
mod execute;
mod health;
mod pipelines;
mod ports;

pub use adapter::{AdapterChoice, AdapterFacts, check_backend, list};
pub use buffers::Arena;
pub use execute::{BoundPlan, Placed, Progress};
pub use pipelines::{CHECKED, Translator};
pub use ports::Port;

use crate::plan::{Limits, MAX_TURNS, Storage};
use crate::shader::Tuning;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// What goes wrong on the device's side. Each message names the adapter, buffer or dispatch.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("{0}")]
    NoAdapter(String),
    /// A backend that is unknown, or that this system cannot have.
    #[error("{0}")]
    Backend(String),
    #[error("{adapter} cannot give a device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error("out of memory on {adapter}: {what}; it needs {bytes} bytes. Try a smaller --size or --precision f16")]
    OutOfMemory { adapter: String, what: String, bytes: u64 },
    #[error("{what} failed on {adapter}: {reason}")]
    Failed { adapter: String, what: String, reason: String },
    /// Opening the adapter once more may give a device that works.
    #[error(
        "{what} failed on {adapter}: {reason}; the driver has given the device up: it hung, was reset or taken away (see the \
         system's log)"
    )]
    Lost { adapter: String, what: String, reason: String },
    #[error("interrupted")]
    Interrupted,
}

/// A device and its queue, with the adapter's real limits.
pub struct Gpu {
    pub facts: AdapterFacts,
    pub tuning: Tuning,
    device: wgpu::Device,
    queue: ManuallyDrop<wgpu::Queue>,
    pipelines: pipelines::Pipelines,
    health: Arc<health::Health>,
    interrupted: fn() -> bool,
    staged: std::cell::Cell<u64>,
    rate: execute::Rate,
}

impl Gpu {
    /// Opens the adapter that `choice` names, or the best one present.
    pub fn new(choice: &AdapterChoice) -> Result<Gpu, GpuError> {
        Gpu::open(choice, None)
    }

    /// The same, running what `translator` makes of the kernels: how other shader compilers are put to the test.
    ///
    /// # Safety
    /// Nobody checks these modules: they must be valid SPIR-V that stays within its bindings, as the WGSL does.
    pub unsafe fn with_translator(choice: &AdapterChoice, translator: Translator) -> Result<Gpu, GpuError> {
        Gpu::open(choice, Some(translator))
    }

    fn open(choice: &AdapterChoice, translator: Option<Translator>) -> Result<Gpu, GpuError> {
        let (adapter, facts) = adapter::choose(choice)?;
        let no_device = |reason: String| GpuError::NoDevice { adapter: facts.name.clone(), reason };
        let mut features = adapter.features() & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP);
        features.set(wgpu::Features::PASSTHROUGH_SHADERS, translator.is_some());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("diffews-wgpu"),
            required_features: features,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| no_device(e.to_string()))?;
        let health = Arc::new(health::Health::default());
        let (lost, uncaptured) = (health.clone(), health.clone());
        device
            .set_device_lost_callback(move |reason, message| lost.lost(format!("device lost ({reason:?}): {message}")));
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.error(error.to_string())));
        let tuning = tuning(&facts).map_err(no_device)?;
        let checked = std::env::var("DIFFEWS_CHECKED").is_ok_and(|v| v == "1");
        log::info!("{} ({}, {}), kernels {tuning:?}", facts.name, facts.backend, facts.driver);
        Ok(Gpu {
            facts,
            tuning,
            device,
            queue: ManuallyDrop::new(queue),
            pipelines: pipelines::Pipelines::new(checked, translator),
            health,
            interrupted: || false,
            staged: Default::default(),
            rate: Default::default(),
        })
    }

    /// What plans recorded for this device must keep to.
    pub fn limits(&self) -> Limits {
        let limits = self.device.limits();
        Limits {
            max_binding: limits.max_storage_buffer_binding_size,
            offset_alignment: limits.min_storage_buffer_offset_alignment as u64,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_buffer: limits.max_buffer_size,
            // Below a quarter of a second on the slowest devices of each kind that we know.
            max_flops: match self.tuning {
                Tuning::Broadcast => 4_000_000_000,
                Tuning::Rows => 1_000_000_000,
                // A fifth of a second on an integrated GPU that reaches 20 of its 400 GFLOP/s.
                Tuning::Tiled => 4_000_000_000,
            },
            max_turns: MAX_TURNS,
        }
    }

    /// The kernel forms that this device can run.
    pub fn tunings(&self) -> Vec<Tuning> {
        tunings(&self.facts)
    }

    /// Can this device hold elements as `storage`?
    pub fn supports(&self, storage: Storage) -> bool {
        storage != Storage::F16 || self.facts.shader_f16
    }

    /// Bytes in all live buffers, where the backend keeps count.
    pub fn allocated_bytes(&self) -> Option<u64> {
        // What was dropped is freed only once the device is known to be done with it.
        self.wait(None, "counting memory", &mut || false).ok()?;
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    fn failed(&self, what: &str, reason: impl ToString) -> GpuError {
        GpuError::Failed { adapter: self.facts.name.clone(), what: what.into(), reason: reason.to_string() }
    }

    /// Runs `work` and turns what wgpu reports during it into an error that names `what`.
    fn guarded<T>(&self, what: &str, bytes: u64, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        let errors = [validation, internal, memory].map(|scope| pollster::block_on(scope.pop()));
        if let Some(error) = errors.into_iter().flatten().next() {
            return Err(match error {
                wgpu::Error::OutOfMemory { .. } => {
                    GpuError::OutOfMemory { adapter: self.facts.name.clone(), what: what.into(), bytes }
                }
                // That the device is lost explains what came of it.
                other => self.alive(what).err().unwrap_or_else(|| self.failed(what, other)),
            });
        }
        self.alive(what)?;
        Ok(result)
    }
}

fn tunings(facts: &AdapterFacts) -> Vec<Tuning> {
    let broadcast = facts.subgroup_sizes.is_some_and(|(least, _)| least >= 8);
    let forms = [Tuning::Broadcast, Tuning::Rows, Tuning::Tiled];
    forms.into_iter().filter(|&t| t != Tuning::Broadcast || broadcast).collect()
}

/// `DIFFEWS_TUNING`, or what suits the kind of device.
fn tuning(facts: &AdapterFacts) -> Result<Tuning, String> {
    let possible = tunings(facts);
    match std::env::var("DIFFEWS_TUNING") {
        Ok(name) => {
            let named = possible.iter().find(|t| format!("{t:?}").eq_ignore_ascii_case(&name));
            named.copied().ok_or(format!("DIFFEWS_TUNING={name}: it can be one of {possible:?} there"))
        }
        // The first that it can run: the others are for CPUs with less.
        Err(_) if facts.device_type == "Cpu" => Ok(possible[0]),
        Err(_) => Ok(Tuning::Tiled),
    }
}
