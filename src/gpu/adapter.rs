//! Which adapter: listing, choosing, and what we ask of it.

use super::later::block_on;
use super::{GpuError, unchecked};
use crate::shader::{Device, Facts, Maker};
use serde::Serialize;
use wgpu::{Backend, Backends, DeviceType, Features};

/// Which adapter, and how its device is to be. The default is the best one present.
#[derive(Clone, Debug)]
pub struct AdapterChoice {
    /// Adapters of these backends only.
    pub backends: Backends,
    /// An index into [`list`]'s order, or else a part of the adapter's name (which a number below 100 is not).
    pub adapter: Option<String>,
    /// Keep the shader translator's bounds checks, and the driver's: slower, and for finding faults only.
    pub checked: bool,
    /// Do not ask for a proof that the device runs what is submitted: for measuring the host's own time on a driver that computes
    /// nothing. Results are not to be used.
    pub unproved: bool,
    /// Open it with its clock, where it has one: [`Gpu::take_times`](super::Gpu::take_times).
    pub timed: bool,
    pub flags: wgpu::InstanceFlags,
    pub options: wgpu::BackendOptions,
}

impl Default for AdapterChoice {
    fn default() -> Self {
        AdapterChoice {
            backends: Backends::all(),
            adapter: None,
            checked: false,
            unproved: false,
            timed: false,
            flags: Default::default(),
            options: Default::default(),
        }
    }
}

/// One adapter as `diffews-wgpu devices` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AdapterFacts {
    /// Its place in [`list`]'s order; none for the device of an application.
    pub index: Option<usize>,
    pub name: String,
    pub backend: String,
    pub device_type: String,
    pub driver: String,
    /// Vendor and device as PCI numbers them, such as `1002:744c`; zeros where the backend does not tell.
    pub device_id: String,
    pub shader_f16: bool,
    /// Sides of square matrices of halves whose products the subgroups of a device add up in f32.
    pub matrices: Vec<u32>,
    pub subgroup_sizes: Option<(u32, u32)>,
    pub max_binding_bytes: u64,
    pub max_buffer_bytes: u64,
    pub memory_bytes: Option<u64>,
    pub workgroup_memory_bytes: u32,
    pub workgroup_invocations: u32,
    pub storage_buffers: u32,
    /// Its driver checks whether indices lie within their bindings. Not on newer versions of Mesa's CPU driver, which these checks make
    /// several times slower, and whose device is made without them.
    pub range_checks: bool,
}

impl AdapterFacts {
    /// What the forms of kernels depend on.
    pub fn of_forms(&self) -> Facts {
        let (device, cores) = match self.device_type.as_str() {
            "Cpu" => (Device::Cpu, std::thread::available_parallelism().map_or(1, |n| n.get() as u32)),
            "DiscreteGpu" => (Device::Discrete, 64),
            _ => (Device::Integrated, 8),
        };
        let (least_lanes, most_lanes) = self.subgroup_sizes.unwrap_or_default();
        let maker = match self.device_id.split(':').next() {
            Some("1002") => Maker::Amd,
            Some("10de") => Maker::Nvidia,
            Some("5143") => Maker::Qualcomm,
            Some("8086") => Maker::Intel,
            // Metal has no numbers, and Mesa's own is that of its CPU driver, too.
            _ if self.name.starts_with("Apple ") => Maker::Apple,
            _ => Maker::Other,
        };
        Facts {
            device,
            cores,
            least_lanes,
            most_lanes,
            matrices: self.matrices.iter().sum(),
            workgroup_bytes: self.workgroup_memory_bytes,
            f16: self.shader_f16,
            range_checks: self.range_checks,
            maker,
        }
    }
}

#[cfg(test)]
impl AdapterFacts {
    /// An adapter under that driver, for tests.
    pub(crate) fn of_test(driver: &str) -> AdapterFacts {
        AdapterFacts {
            index: None,
            name: "GPU".into(),
            backend: "vulkan".into(),
            device_type: "Cpu".into(),
            driver: driver.into(),
            device_id: "0001:0002".into(),
            shader_f16: false,
            matrices: Vec::new(),
            subgroup_sizes: None,
            max_binding_bytes: 0,
            max_buffer_bytes: 0,
            memory_bytes: None,
            workgroup_memory_bytes: 0,
            workgroup_invocations: 0,
            storage_buffers: 0,
            range_checks: true,
        }
    }
}

/// The least that the baseline variant of every kernel needs.
const STORAGE_BUFFERS: u32 = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_MEMORY: u32 = 16 * 1024;

const NAMES: [(&str, Backends); 4] =
    [("vulkan", Backends::VULKAN), ("metal", Backends::METAL), ("dx12", Backends::DX12), ("gl", Backends::GL)];

fn names(backends: Backends) -> String {
    let names: Vec<&str> = NAMES.iter().filter(|(_, one)| backends.contains(*one)).map(|(name, _)| *name).collect();
    if names.is_empty() { format!("{backends:?}").to_lowercase() } else { names.join(", ") }
}

/// `problem` with a backend, and those that this system can have.
pub fn no_backend(problem: &str) -> GpuError {
    let possible = names(wgpu::Instance::enabled_backend_features());
    GpuError::Backend(format!("{problem}; this system can have: {possible}"))
}

/// Fails for backends that this system cannot have, before anything is looked for.
///
/// # Errors
/// [`GpuError::Backend`].
pub fn check_backend(choice: &AdapterChoice) -> Result<(), GpuError> {
    match choice.backends.intersects(wgpu::Instance::enabled_backend_features()) {
        true => Ok(()),
        false => Err(no_backend(&format!("there is no backend {} here", names(choice.backends)))),
    }
}

/// Every adapter of the chosen backends (none where these cannot be, which [`super::Gpu::new`] tells), in a fixed order: Vulkan, Metal, DX12, then OpenGL.
pub fn list(choice: &AdapterChoice) -> Vec<AdapterFacts> {
    let all = async { Ok::<_, GpuError>(adapters(choice, choice.backends).await) };
    let all = block_on(all).unwrap_or_default();
    all.iter().enumerate().map(|(i, a)| facts(Some(i), a, a.features(), &a.limits())).collect()
}

async fn adapters(choice: &AdapterChoice, backends: Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = choice.flags;
    descriptor.backend_options = choice.options.clone();
    let mut all = wgpu::Instance::new(descriptor).enumerate_adapters(backends).await;
    all.sort_by_key(|a| a.get_info().backend as u32);
    all
}

/// What a device must be made with for its matrices to be of use: modules of ours on Vulkan (see [`super::memory_model`]).
pub(super) fn matrix_features(adapter: &wgpu::Adapter) -> Features {
    let modules = match adapter.get_info().backend {
        Backend::Vulkan => Features::PASSTHROUGH_SHADERS,
        _ => Features::empty(),
    };
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX | modules
}

/// Lanes with which Mesa's CPU driver does what it lists at any width: with 4 it gives no device, with 16 the smallest text ends the process
/// (26.2.6).
const LLVMPIPE_LANES: u32 = 8;

/// Sides of its square matrices of halves with sums in f32.
pub(super) fn sides(adapter: &wgpu::Adapter) -> Vec<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let info = adapter.get_info();
    if info.driver == "llvmpipe" && info.subgroup_max_size != LLVMPIPE_LANES {
        return Vec::new();
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |side: &u32| {
        all.iter().any(|p| [p.m_size, p.n_size, p.k_size] == [*side; 3] && (p.ab_type, p.cr_type) == (F16, F32))
    };
    [8, 16].into_iter().filter(has).collect()
}

/// What a device of `adapter` with these features and limits can do, which may be less than the adapter could. Whether its driver checks
/// ranges is as it should be for a device of our own.
pub(super) fn facts(
    index: Option<usize>,
    adapter: &wgpu::Adapter,
    features: Features,
    limits: &wgpu::Limits,
) -> AdapterFacts {
    let info = adapter.get_info();
    let subgroups = features.contains(Features::SUBGROUP);
    AdapterFacts {
        index,
        backend: info.backend.to_string(),
        device_type: format!("{:?}", info.device_type),
        driver: match cfg!(target_arch = "wasm32") {
            true => "this browser's".into(),
            false => format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        },
        device_id: format!("{:04x}:{:04x}", info.vendor, info.device),
        shader_f16: features.contains(Features::SHADER_F16),
        matrices: if features.contains(matrix_features(adapter)) { sides(adapter) } else { Vec::new() },
        subgroup_sizes: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        memory_bytes: memory_bytes(adapter),
        workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        range_checks: !unchecked::is_for(&info),
        // Browsers do not tell.
        name: match info.name.is_empty() && cfg!(target_arch = "wasm32") {
            true => "WebGPU".into(),
            false => info.name,
        },
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

#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
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
#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
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

/// The adapter of `choice`, and its place among all.
pub(super) async fn choose(choice: &AdapterChoice) -> Result<(wgpu::Adapter, usize), GpuError> {
    check_backend(choice)?;
    let (wanted, backends) = (choice.adapter.as_ref(), choice.backends);
    let index = wanted.and_then(|w| w.parse::<usize>().ok());
    // OpenGL is a last resort, and only looking for it makes its libraries talk; an index counts it.
    let mut all = if index.is_none() { adapters(choice, backends - Backends::GL).await } else { Vec::new() };
    let named = |a: &wgpu::Adapter| wanted.is_none_or(|w| a.get_info().name.to_lowercase().contains(&w.to_lowercase()));
    if !all.iter().any(named) {
        all = adapters(choice, backends).await;
    }
    let listing = || {
        let lines = all.iter().enumerate().map(|(i, a)| {
            let info = a.get_info();
            format!("  {i}: {} ({}, {})", info.name, info.backend, info.driver_info)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    if all.is_empty() {
        let backend = if backends.is_all() { "any backend".into() } else { format!("backend {}", names(backends)) };
        if cfg!(target_arch = "wasm32") {
            let told = "this browser gives no GPU: it has no WebGPU, or has it switched off for this machine";
            return Err(GpuError::NoAdapter(told.into()));
        }
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
            choice.adapter.as_deref().unwrap_or_default(),
            listing()
        )));
    };
    Ok((all.swap_remove(index), index))
}

/// Does a device with these limits run the baseline of every kernel?
pub(super) fn check(name: &str, limits: &wgpu::Limits) -> Result<(), GpuError> {
    let needs = [
        ("storage buffers per shader", limits.max_storage_buffers_per_shader_stage, STORAGE_BUFFERS),
        ("invocations per workgroup", limits.max_compute_invocations_per_workgroup, INVOCATIONS),
        ("invocations along a workgroup's x", limits.max_compute_workgroup_size_x, INVOCATIONS),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size, WORKGROUP_MEMORY),
        ("bind groups", limits.max_bind_groups, 2),
        ("uniform buffers per shader", limits.max_uniform_buffers_per_shader_stage, 1),
        ("uniform buffers at dynamic offsets", limits.max_dynamic_uniform_buffers_per_pipeline_layout, 1),
    ];
    match needs.into_iter().find(|(_, has, needed)| has < needed) {
        Some((what, has, needed)) => {
            Err(GpuError::NoAdapter(format!("adapter {name} has {has} {what}, {needed} are needed")))
        }
        None => Ok(()),
    }
}
