//! Compute pipelines, made once per kernel, form, variant and storage.

use super::{Gpu, GpuError, memory_model};
use crate::plan::{Dispatch, Policy, Schedule};
use crate::threads::{cores, run_with_others};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::iter::repeat_n;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use web_time::Instant;

/// A kernel recorded with this symbol is compiled with the translator's bounds checks, even where they are off.
pub const CHECKED: &str = "CHECKED";

/// Makes SPIR-V of a dispatch's WGSL in place of wgpu's translator. The flag says whether to add bounds checks. The entry point must be
/// `main`, with sets and bindings as in the WGSL.
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

/// The key of a pipeline. Forms with different names and packings may share a text.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Text {
    wgsl: String,
    inputs: usize,
    outputs: usize,
    checked: bool,
    /// The kernel's name where a translator is used, since its output may depend on it.
    of: Option<Key>,
}

#[derive(Default)]
struct Made {
    of: HashMap<Key, Pipeline>,
    from: HashMap<Text, Pipeline>,
}

pub(super) struct Pipelines {
    /// Keep the translator's bounds checks and loop guards. Off by default: the kernels bound themselves.
    checked: bool,
    /// Vulkan only: runs this translator's modules instead of wgpu's.
    translator: Option<Translator>,
    /// The driver's cache: see [`Gpu::keep_pipelines`].
    pub(super) cache: OnceLock<wgpu::PipelineCache>,
    made: Mutex<Made>,
    params: Mutex<Option<wgpu::BindGroupLayout>>,
}

impl Pipelines {
    pub fn new(checked: bool, translator: Option<Translator>) -> Self {
        Pipelines { checked, translator, cache: OnceLock::new(), made: Default::default(), params: Default::default() }
    }
}

/// A pipeline to be made, unless one with this text exists.
struct Missing<'a> {
    key: Key,
    dispatch: &'a Dispatch,
    storage: Policy,
    text: Text,
    first: bool,
}

fn named(dispatch: &Dispatch, storage: Policy) -> String {
    format!("pipeline {} {} {:?} {}", dispatch.kernel.name, dispatch.form.name, dispatch.defines, storage.name())
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
    /// Group 1: the parameters. All of a plan's lie in one buffer, at dynamic offsets.
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
        if let Some(pipeline) = made.of.get(&key) {
            return Ok(pipeline.clone());
        }
        let text = self.text(dispatch, storage)?;
        let pipeline = match made.from.get(&text) {
            Some(pipeline) => pipeline.clone(),
            None => self.make_pipeline(dispatch, storage, &text)?,
        };
        made.of.insert(key, pipeline.clone());
        made.from.insert(text, pipeline.clone());
        Ok(pipeline)
    }

    /// Makes the missing pipelines of `schedules`, one thread per core, because a driver compiles each in a single thread. Starts no
    /// further one once `stop` returns true.
    ///
    /// # Errors
    /// The first text, in dispatch order, that the preprocessor or the driver rejects; an interrupt.
    pub fn prepare(&self, schedules: &[&Schedule], stop: &(dyn Fn() -> bool + Sync)) -> Result<(), GpuError> {
        let missing = self.missing(schedules)?;
        let mut texts: Vec<usize> = (0..missing.len()).filter(|&i| missing[i].first).collect();
        // Longest first, so that none of them finishes alone at the end.
        texts.sort_by_key(|&i| Reverse(missing[i].text.wgsl.len()));
        let (next, made) = (AtomicUsize::new(0), missing.iter().map(|_| OnceLock::new()).collect::<Vec<_>>());
        let work = || {
            while !stop() && !(self.interrupted)() {
                let Some(&i) = texts.get(next.fetch_add(1, Relaxed)) else { break };
                let Missing { dispatch, storage, text, .. } = &missing[i];
                let _ = made[i].set(self.make_pipeline(dispatch, *storage, text));
            }
        };
        run_with_others(cores().min(texts.len()).saturating_sub(1), work, work);
        let mut all = self.shared.pipelines.made.lock().map_err(|e| self.failed("pipelines", e))?;
        for (Missing { key, text, first, .. }, made) in missing.into_iter().zip(made) {
            if first {
                all.from.insert(text.clone(), made.into_inner().ok_or(GpuError::Interrupted)??);
            }
            let pipeline = all.from.get(&text).cloned().ok_or(GpuError::Interrupted)?;
            all.of.insert(key, pipeline);
        }
        Ok(())
    }

    /// Each distinct pipeline, with a dispatch that uses it.
    fn missing<'a>(&self, schedules: &[&'a Schedule]) -> Result<Vec<Missing<'a>>, GpuError> {
        let made = self.shared.pipelines.made.lock().map_err(|e| self.failed("pipelines", e))?;
        let (mut keys, mut texts) = (HashSet::new(), HashSet::new());
        let all = schedules.iter().flat_map(|s| s.dispatches().iter().map(|dispatch| (dispatch, s.recording.storage)));
        let keyed = all.map(|(dispatch, storage)| (Key::of(dispatch, storage), dispatch, storage));
        let new = keyed.filter(|(key, ..)| !made.of.contains_key(key) && keys.insert(key.clone()));
        new.map(|(key, dispatch, storage)| {
            let text = self.text(dispatch, storage)?;
            let first = !made.from.contains_key(&text) && texts.insert(text.clone());
            Ok(Missing { key, dispatch, storage, text, first })
        })
        .collect()
    }

    /// Makes the pipeline of `dispatch` again, and returns the seconds that it took.
    ///
    /// # Errors
    /// The preprocessor or the driver rejects the text.
    pub fn compile(&self, dispatch: &Dispatch, storage: Policy) -> Result<f64, GpuError> {
        let started = Instant::now();
        self.make_pipeline(dispatch, storage, &self.text(dispatch, storage)?)?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn text(&self, dispatch: &Dispatch, storage: Policy) -> Result<Text, GpuError> {
        let defines: Vec<&str> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
        let wgsl = dispatch.form.text(&defines).map_err(|e| self.failed(&named(dispatch, storage), e))?;
        let Pipelines { checked, translator, .. } = &self.shared.pipelines;
        Ok(Text {
            wgsl,
            inputs: dispatch.inputs.len(),
            outputs: dispatch.outputs.len(),
            checked: *checked || dispatch.defines.contains(&CHECKED),
            of: translator.as_ref().map(|_| Key::of(dispatch, storage)),
        })
    }

    /// Whether wgpu's own module for this text would not fit Vulkan's memory model.
    fn has_own_module(&self, dispatch: &Dispatch) -> bool {
        // wgpu accepts no SPIR-V in a browser, and the translator is not linked there.
        cfg!(not(target_arch = "wasm32"))
            && dispatch.form.needs.matrices > 0
            && self.shared.device.features().contains(wgpu::Features::PASSTHROUGH_SHADERS)
    }

    fn make_pipeline(&self, dispatch: &Dispatch, storage: Policy, text: &Text) -> Result<Pipeline, GpuError> {
        let (name, what) = (dispatch.kernel.name, named(dispatch, storage));
        let &Text { ref wgsl, inputs, outputs, checked, .. } = text;
        let read = wgpu::BufferBindingType::Storage { read_only: true };
        let write = wgpu::BufferBindingType::Storage { read_only: false };
        let kinds = repeat_n(read, inputs).chain(repeat_n(write, outputs));
        let entries: Vec<_> = kinds.enumerate().map(|(i, ty)| entry(i as u32, ty, false)).collect();
        let params = self.params_layout();
        // The translator leaves buffer checks to the driver.
        if checked && !self.shared.facts.range_checks {
            return Err(self.failed(&what, "it needs range checks, but this device was made without them"));
        }
        let translated = match &self.shared.pipelines.translator {
            Some(translate) => Some(translate(dispatch, wgsl, checked)),
            // Every Vulkan driver with cooperative matrices supports 1.3.
            None if self.has_own_module(dispatch) => Some(memory_model::translate(wgsl, (1, 3), checked)),
            None => None,
        };
        let translated = translated.transpose().map_err(|e| self.failed(&what, e))?;
        let started = Instant::now();
        let pipeline = self.guarded(&what, 0, || {
            let source = wgpu::ShaderSource::Wgsl(wgsl.as_str().into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
            let module = if let Some(spirv) = translated {
                let entry = wgpu::PassthroughShaderEntryPoint { name: "main".into(), workgroup_size: (0, 0, 0) };
                let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
                    label: Some(name),
                    entry_points: vec![entry].into(),
                    spirv: Some(spirv.into()),
                    ..Default::default()
                };
                // SAFETY: the caller of `Gpu::with_translator` vouches for its modules; our own come from naga, of a text that bounds
                // itself.
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
                cache: self.shared.pipelines.cache.get(),
            });
            Pipeline { pipeline, tensors }
        })?;
        log::debug!("{what}: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        Ok(pipeline)
    }
}
