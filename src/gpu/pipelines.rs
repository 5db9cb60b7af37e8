//! Compute pipelines, made once per kernel, form, variant and storage.

use super::{Gpu, GpuError};
use crate::plan::{Dispatch, Policy, Schedule};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::thread::available_parallelism;
use std::time::Instant;

/// A kernel recorded with this symbol is compiled with the translator's bounds checks, whatever the rest is.
pub const CHECKED: &str = "CHECKED";

/// Makes SPIR-V of a dispatch's WGSL by other means than wgpu's translator; told whether bounds checks are wanted.
/// The entry point must be `main`, and set and binding as in the WGSL.
pub type Translator = Box<dyn Fn(&Dispatch, &str, bool) -> Result<Vec<u32>, String> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub tensors: wgpu::BindGroupLayout,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    kernel: &'static str,
    form: &'static str,
    storage: Policy,
    defines: Vec<&'static str>,
}

impl Key {
    fn of(dispatch: &Dispatch, storage: Policy) -> Key {
        let (kernel, form) = (dispatch.kernel.name, dispatch.form.name);
        Key { kernel, form, storage, defines: dispatch.defines.clone() }
    }
}

pub(super) struct Pipelines {
    /// Keep the translator's bounds checks and loop guards. Off by default: the kernels bound themselves.
    checked: bool,
    /// Vulkan only: whose modules to run instead of wgpu's.
    translator: Option<Translator>,
    made: Mutex<HashMap<Key, Pipeline>>,
    params: Mutex<Option<wgpu::BindGroupLayout>>,
}

impl Pipelines {
    pub fn new(checked: bool, translator: Option<Translator>) -> Self {
        Pipelines { checked, translator, made: Default::default(), params: Default::default() }
    }
}

fn entry(binding: u32, ty: wgpu::BufferBindingType, dynamic: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
        count: None,
    }
}

impl Gpu {
    /// Group 1: the parameters, all of a plan's in one buffer, told apart by a dynamic offset.
    pub(super) fn params_layout(&self) -> wgpu::BindGroupLayout {
        let make = || {
            self.shared.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("params"),
                entries: &[entry(0, wgpu::BufferBindingType::Uniform, true)],
            })
        };
        match self.shared.pipelines.params.lock() {
            Ok(mut layout) => layout.get_or_insert_with(make).clone(),
            Err(_) => make(),
        }
    }

    pub(super) fn pipeline(&self, dispatch: &Dispatch, storage: Policy) -> Result<Pipeline, GpuError> {
        let key = Key::of(dispatch, storage);
        let mut made = self.shared.pipelines.made.lock().map_err(|e| self.failed("pipelines", e))?;
        if let Some(pipeline) = made.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.make_pipeline(dispatch, storage)?;
        made.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Makes the pipelines of `schedules` that are not there yet, as many at once as there are cores: a driver's compiler is one
    /// thread. Begins no other once `stop` says so.
    ///
    /// # Errors
    /// The first, in the order of the dispatches, that the preprocessor or the driver does not take; an interrupt.
    pub fn prepare(&self, schedules: &[&Schedule], stop: &(dyn Fn() -> bool + Sync)) -> Result<(), GpuError> {
        let missing = self.missing(schedules)?;
        let (next, made) = (AtomicUsize::new(0), missing.iter().map(|_| OnceLock::new()).collect::<Vec<_>>());
        let work = || {
            while !stop() && !(self.interrupted)() {
                let i = next.fetch_add(1, Relaxed);
                let Some((_, dispatch, storage)) = missing.get(i) else { break };
                let _ = made[i].set(self.make_pipeline(dispatch, *storage));
            }
        };
        // A browser has no threads, and compiles by itself.
        let cores = if cfg!(target_arch = "wasm32") { 1 } else { available_parallelism().map_or(1, |n| n.get()) };
        std::thread::scope(|scope| {
            (1..cores.min(missing.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut all = self.shared.pipelines.made.lock().map_err(|e| self.failed("pipelines", e))?;
        for ((key, ..), made) in missing.into_iter().zip(made) {
            all.insert(key, made.into_inner().ok_or(GpuError::Interrupted)??);
        }
        Ok(())
    }

    /// Each once, with a dispatch that it is for.
    fn missing<'a>(&self, schedules: &[&'a Schedule]) -> Result<Vec<(Key, &'a Dispatch, Policy)>, GpuError> {
        let made = self.shared.pipelines.made.lock().map_err(|e| self.failed("pipelines", e))?;
        let mut seen = HashSet::new();
        let all = schedules.iter().flat_map(|s| s.dispatches().iter().map(|dispatch| (dispatch, s.recording.storage)));
        let keyed = all.map(|(dispatch, storage)| (Key::of(dispatch, storage), dispatch, storage));
        Ok(keyed.filter(|(key, ..)| !made.contains_key(key) && seen.insert(key.clone())).collect())
    }

    /// Makes the pipeline of `dispatch` once more, and tells how many seconds that took.
    ///
    /// # Errors
    /// A text that the preprocessor or the driver does not take.
    pub fn compile(&self, dispatch: &Dispatch, storage: Policy) -> Result<f64, GpuError> {
        let started = Instant::now();
        self.make_pipeline(dispatch, storage)?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn make_pipeline(&self, dispatch: &Dispatch, storage: Policy) -> Result<Pipeline, GpuError> {
        let name = dispatch.kernel.name;
        let what = format!("pipeline {name} {} {:?} {}", dispatch.form.name, dispatch.defines, storage.name());
        let defines: Vec<&str> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
        let source = dispatch.form.text(&defines).map_err(|e| self.failed(&what, e))?;
        let read = wgpu::BufferBindingType::Storage { read_only: true };
        let write = wgpu::BufferBindingType::Storage { read_only: false };
        let kinds = dispatch.inputs.iter().map(|_| read).chain(dispatch.outputs.iter().map(|_| write));
        let entries: Vec<_> = kinds.enumerate().map(|(i, ty)| entry(i as u32, ty, false)).collect();
        let params = self.params_layout();
        let checked = self.shared.pipelines.checked || dispatch.defines.contains(&CHECKED);
        // The translator leaves the checks of buffers to the driver.
        if checked && !self.shared.facts.range_checks {
            return Err(self.failed(&what, "it asks for range checks, which this device has not"));
        }
        let translated =
            self.shared.pipelines.translator.as_ref().map(|translate| translate(dispatch, &source, checked));
        let translated = translated.transpose().map_err(|e| self.failed(&what, e))?;
        let started = Instant::now();
        let pipeline = self.guarded(&what, 0, || {
            let descriptor =
                wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
            let module = if let Some(spirv) = translated {
                let entry = wgpu::PassthroughShaderEntryPoint { name: "main".into(), workgroup_size: (0, 0, 0) };
                let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
                    label: Some(name),
                    entry_points: vec![entry].into(),
                    spirv: Some(spirv.into()),
                    ..Default::default()
                };
                // SAFETY: `Gpu::with_translator` has its caller answer for this.
                unsafe { self.shared.device.create_shader_module_passthrough(descriptor) }
            } else if checked {
                self.shared.device.create_shader_module(descriptor)
            } else {
                // SAFETY: the text is ours; every kernel bounds its own loops and indices, which the conformance suite checks
                // with guard bands inside each binding.
                unsafe {
                    self.shared.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
                }
            };
            let tensors = self
                .shared
                .device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
            let layout = self.shared.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(name),
                bind_group_layouts: &[Some(&tensors), Some(&params)],
                immediate_size: 0,
            });
            let pipeline = self.shared.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            Pipeline { pipeline, tensors }
        })?;
        log::debug!("{what}: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        Ok(pipeline)
    }
}
