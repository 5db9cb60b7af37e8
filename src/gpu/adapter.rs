//! Which adapter: listing, choosing, and what we ask of it.

use super::GpuError;
use serde::Serialize;
use wgpu::{Backend, Backends, DeviceType, Features};

/// How a user names an adapter. Everything unset means the best one present.
#[derive(Clone, Debug, Default)]
pub struct AdapterChoice {
    pub backend: Option<Backend>,
    /// An index into [`list`]'s order, or else a part of the adapter's name (which a number below 100 is not).
    pub adapter: Option<String>,
}

/// One adapter as `diffews-wgpu devices` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AdapterFacts {
    pub index: usize,
    pub name: String,
    pub backend: String,
    pub device_type: String,
    pub driver: String,
    pub shader_f16: bool,
    pub subgroup_sizes: Option<(u32, u32)>,
    pub max_binding_bytes: u64,
    pub max_buffer_bytes: u64,
    pub memory_bytes: Option<u64>,
    pub workgroup_memory_bytes: u32,
    pub workgroup_invocations: u32,
    pub storage_buffers: u32,
}

/// The least that the baseline variant of every kernel needs.
const STORAGE_BUFFERS: u32 = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_MEMORY: u32 = 16 * 1024;

/// The user's backends, or all of them.
///
/// # Errors
/// [`GpuError::Backend`] for one that there is not, or that this system cannot have.
fn backends(choice: &AdapterChoice) -> Result<Backends, GpuError> {
    let possible = wgpu::Instance::enabled_backend_features();
    let refused = |what: String| {
        let all =
            [("vulkan", Backends::VULKAN), ("metal", Backends::METAL), ("dx12", Backends::DX12), ("gl", Backends::GL)];
        let names: Vec<&str> = all.iter().filter(|(_, one)| possible.contains(*one)).map(|(name, _)| *name).collect();
        Err(GpuError::Backend(format!("{what}; this system can have: {}", names.join(", "))))
    };
    if let Some(backend) = choice.backend {
        let wanted = Backends::from(backend);
        return match possible.contains(wanted) {
            true => Ok(wanted),
            false => refused(format!("there is no backend {backend} here")),
        };
    }
    let Some(text) = env(BACKEND) else { return Ok(Backends::all()) };
    let mut wanted = Backends::empty();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match Backends::from_comma_list(name) {
            unknown if unknown.is_empty() => return refused(format!("{BACKEND}={text}: `{name}` is no backend")),
            known => wanted |= known,
        }
    }
    match wanted.intersects(possible) {
        true => Ok(wanted),
        false => refused(format!("{BACKEND}={text}: there is no such backend here")),
    }
}

const BACKEND: &str = "WGPU_BACKEND";

/// A variable of the environment; one that is empty is none.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Every adapter of the chosen backends (none where these cannot be, which [`super::Gpu::new`] tells), in a fixed order: Vulkan, Metal, DX12, then OpenGL.
pub fn list(choice: &AdapterChoice) -> Vec<AdapterFacts> {
    let Ok(backends) = backends(choice) else { return Vec::new() };
    adapters(backends).iter().enumerate().map(|(i, a)| facts(i, a)).collect()
}

fn adapters(backends: Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = backends;
    let mut all = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends));
    all.sort_by_key(|a| a.get_info().backend as u32);
    all
}

fn facts(index: usize, adapter: &wgpu::Adapter) -> AdapterFacts {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let subgroups = adapter.features().contains(Features::SUBGROUP);
    AdapterFacts {
        index,
        backend: info.backend.to_string(),
        device_type: format!("{:?}", info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        shader_f16: adapter.features().contains(Features::SHADER_F16),
        subgroup_sizes: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        memory_bytes: memory_bytes(adapter),
        workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        name: info.name,
    }
}

/// Memory that the device may use, where that can be told: for a CPU driver the host's available memory (what
/// lavapipe reports as its heap is a constant), for Vulkan the largest heap of the device's own.
fn memory_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    if adapter.get_info().device_type == DeviceType::Cpu {
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        return Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024);
    }
    vulkan_memory_bytes(adapter)
}

#[cfg(not(target_vendor = "apple"))]
fn vulkan_memory_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1; // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT; the other heaps are the host's memory
    // SAFETY: the handles stay owned by wgpu; properties are only read, while the adapter is alive.
    unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        let properties = instance.get_physical_device_memory_properties(vulkan.raw_physical_device());
        let own = properties.memory_heaps_as_slice().iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0);
        own.map(|heap| heap.size).max()
    }
}

/// wgpu has no Vulkan there.
#[cfg(target_vendor = "apple")]
fn vulkan_memory_bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// The choice falls on real GPUs first, on CPU drivers last.
fn rank(info: &wgpu::AdapterInfo) -> u32 {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    kind * 2 + u32::from(info.backend == Backend::Gl)
}

/// Fails for a backend that this system cannot have, before anything is looked for.
///
/// # Errors
/// [`GpuError::Backend`].
pub fn check_backend(choice: &AdapterChoice) -> Result<(), GpuError> {
    backends(choice).map(|_| ())
}

pub(super) fn choose(choice: &AdapterChoice) -> Result<(wgpu::Adapter, AdapterFacts), GpuError> {
    let wanted = choice.adapter.clone().or_else(|| env("WGPU_ADAPTER_NAME"));
    let index = wanted.as_ref().and_then(|w| w.parse::<usize>().ok());
    let backends = backends(choice)?;
    // OpenGL is a last resort, and only looking for it makes its libraries talk; an index counts it.
    let mut all = if index.is_none() { adapters(backends - Backends::GL) } else { Vec::new() };
    let named = |a: &wgpu::Adapter| {
        wanted.as_ref().is_none_or(|w| a.get_info().name.to_lowercase().contains(&w.to_lowercase()))
    };
    if !all.iter().any(named) {
        all = adapters(backends);
    }
    let listing = || {
        let lines = all.iter().enumerate().map(|(i, a)| {
            let info = a.get_info();
            format!("  {i}: {} ({}, {})", info.name, info.backend, info.driver_info)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    if all.is_empty() {
        let from_env = || env(BACKEND).map_or("any backend".to_string(), |value| format!("{BACKEND}={value}"));
        let backend = choice.backend.map_or_else(from_env, |b| format!("backend {b}"));
        return Err(GpuError::NoAdapter(format!(
            "no adapter found for {backend}. Install your GPU's driver; without a GPU, a CPU driver: on Debian and Ubuntu \
             `apt install mesa-vulkan-drivers`"
        )));
    }
    let index = match index {
        Some(i) if i < all.len() => Some(i),
        // A small one is no part of a name but a mistake.
        Some(0..100) => None,
        // A larger one may be that of a series.
        _ => (0..all.len()).filter(|&i| named(&all[i])).min_by_key(|&i| rank(&all[i].get_info())),
    };
    let Some(index) = index else {
        return Err(GpuError::NoAdapter(format!(
            "no adapter matches {:?}; there are:\n{}",
            wanted.unwrap_or_default(),
            listing()
        )));
    };
    let (adapter, facts) = (all[index].clone(), facts(index, &all[index]));
    check(&facts)?;
    Ok((adapter, facts))
}

fn check(facts: &AdapterFacts) -> Result<(), GpuError> {
    let lacks = |what: &str, has: u32, needs: u32| {
        (has < needs)
            .then(|| GpuError::NoAdapter(format!("adapter {} has {has} {what}, {needs} are needed", facts.name)))
    };
    let problem = lacks("storage buffers per shader", facts.storage_buffers, STORAGE_BUFFERS)
        .or_else(|| lacks("invocations per workgroup", facts.workgroup_invocations, INVOCATIONS))
        .or_else(|| lacks("bytes of workgroup memory", facts.workgroup_memory_bytes, WORKGROUP_MEMORY));
    problem.map_or(Ok(()), Err)
}
