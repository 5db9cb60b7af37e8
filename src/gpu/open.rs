//! Opens a [`Gpu`]: on an adapter of its own choice, or on a device that an application has.

use super::adapter::{AdapterChoice, AdapterFacts, check, choose, facts, matrix_features, sides};
use super::health::Health;
use super::heartbeat::Heartbeat;
use super::later::block_on;
use super::pipelines::{Pipelines, Translator};
use super::profile::Profile;
use super::{Gpu, GpuError, Shared, unchecked};
use crate::plan::Forms;
use std::mem::ManuallyDrop;
use std::sync::Arc;

impl Gpu {
    /// Opens the adapter that `choice` names, or the best one present.
    ///
    /// # Errors
    /// There is no such adapter, it lacks what the kernels need, or it gives no device.
    pub fn new(choice: &AdapterChoice) -> Result<Gpu, GpuError> {
        block_on(Gpu::request(choice))
    }

    /// [`Gpu::new`] without blocking.
    ///
    /// # Errors
    /// As for [`Gpu::new`].
    pub async fn request(choice: &AdapterChoice) -> Result<Gpu, GpuError> {
        Gpu::open(choice, None).await
    }

    /// Like the above, but runs the modules that `translator` makes of the kernels. This is how other shader compilers are tested.
    ///
    /// # Safety
    /// The modules are not checked: they must be valid SPIR-V that stays within its bindings, as the WGSL does.
    pub unsafe fn with_translator(choice: &AdapterChoice, translator: Translator) -> Result<Gpu, GpuError> {
        block_on(Gpu::open(choice, Some(translator)))
    }

    async fn open(choice: &AdapterChoice, translator: Option<Translator>) -> Result<Gpu, GpuError> {
        let (adapter, index) = choose(choice).await?;
        let info = adapter.get_info();
        let name = info.name.clone();
        let limits = adapter.limits();
        check(&name, &limits)?;
        let wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::SUBGROUP
            | wgpu::Features::PIPELINE_CACHE;
        let mut features = adapter.features() & wanted;
        features.set(wgpu::Features::PASSTHROUGH_SHADERS, translator.is_some());
        let matrices = matrix_features(&adapter);
        // Another compiler's modules would need the same memory model.
        let has_matrices = translator.is_none() && adapter.features().contains(matrices) && !sides(&adapter).is_empty();
        if has_matrices {
            features |= matrices;
        }
        if choice.timed {
            let clock = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
            features |= adapter.features() & clock;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("diffews-wgpu"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            experimental_features: match has_matrices {
                // SAFETY: the shaders that use them are ours, keep to what the adapter lists, and are checked like all others.
                true => unsafe { wgpu::ExperimentalFeatures::enabled() },
                false => wgpu::ExperimentalFeatures::disabled(),
            },
            ..Default::default()
        };
        let mut opened = None;
        // Keep the driver's checks when they are asked for, and for another compiler's modules, which we cannot vouch for.
        if unchecked::is_for(&info) && !choice.checked && translator.is_none() {
            // SAFETY: all shaders that run on it are ours and stay within their bindings, which the conformance suite checks with guard
            // bands. Foreign shaders ask for checks, and get no pipeline here.
            match unsafe { unchecked::open(&adapter, &descriptor) } {
                Ok(device) => opened = Some(device),
                Err(reason) => log::warn!(
                    "{name} gives no device without range checks ({reason}): forms that need such a device are left out, and the model runs slower"
                ),
            }
        }
        let unchecked = opened.is_some();
        let (device, queue) = match opened {
            Some(device) => device,
            None => {
                let opened = adapter.request_device(&descriptor).await;
                opened.map_err(|e| GpuError::NoDevice { adapter: name.clone(), reason: e.to_string() })?
            }
        };
        let health = Arc::new(Health::default());
        let (lost, uncaptured) = (health.clone(), health.clone());
        device
            .set_device_lost_callback(move |reason, message| lost.lost(format!("device lost ({reason:?}): {message}")));
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.error(error.to_string())));
        let facts = AdapterFacts {
            range_checks: !unchecked,
            ..facts(Some(index), &adapter, device.features(), &device.limits())
        };
        let pipelines = Pipelines::new(choice.checked, translator);
        Gpu::of(facts, device, queue, true, health, pipelines, Heartbeat::new(choice.unproved))
    }

    /// Uses a device that an application already has, with the features and limits that it was made with.
    ///
    /// The application's callbacks for errors and for the loss of the device stay in place. Error scopes catch the errors of calls made
    /// here, so those do not reach the callbacks. If the device is lost, the call that meets the loss returns an error. The handle is
    /// dropped with the last clone of the [`Gpu`], without a wait.
    ///
    /// # Errors
    /// `device` does not belong to `adapter`, or lacks what the kernels need: 8 storage buffers per shader, workgroups of 256 invocations
    /// and 16 KiB (all within [`wgpu::Limits::default`]).
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu, GpuError> {
        let (info, of) = (adapter.get_info(), device.adapter_info());
        if info != of {
            let reason = format!("the given device belongs to {} ({})", of.name, of.backend);
            return Err(GpuError::NoDevice { adapter: format!("{} ({})", info.name, info.backend), reason });
        }
        let limits = device.limits();
        check(&info.name, &limits)?;
        let facts = AdapterFacts { range_checks: true, ..facts(None, adapter, device.features(), &limits) };
        Gpu::of(facts, device, queue, false, Default::default(), Pipelines::new(false, None), Heartbeat::new(false))
    }

    fn of(
        facts: AdapterFacts,
        device: wgpu::Device,
        queue: wgpu::Queue,
        own: bool,
        health: Arc<Health>,
        pipelines: Pipelines,
        heartbeat: Heartbeat,
    ) -> Result<Gpu, GpuError> {
        let forms = Forms::by_rule(facts.of_forms());
        // The application may use the timestamps itself.
        let timed = own && device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let profile = timed.then(|| Profile::new(&device, &queue));
        let checks = if facts.range_checks { "" } else { ", without range checks" };
        log::info!("{} ({}, {}{checks})", facts.name, facts.backend, facts.driver);
        let shared = Shared {
            facts,
            device,
            queue: ManuallyDrop::new(queue),
            own,
            pipelines,
            health,
            staged: Default::default(),
            submissions: Default::default(),
            rate: Default::default(),
            profile,
            heartbeat,
            readback: Default::default(),
            poison: Default::default(),
            #[cfg(target_arch = "wasm32")]
            caught: Default::default(),
        };
        Ok(Gpu { forms, interrupted: || false, shared: Arc::new(shared) })
    }

    /// This device, whose waits call `interrupted` ten times a second and end with [`GpuError::Interrupted`] if it returns true. Without
    /// it, a wait for a hanging device ends only if a progress callback returns false.
    pub fn interrupted_by(self, interrupted: fn() -> bool) -> Gpu {
        Gpu { interrupted, ..self }
    }
}
