//! Adapters: listing and choosing them, and the features and limits that we ask for.

use super::later::block_on;
use super::{GpuError, unchecked};
use crate::shader::{Device, Facts, Maker};
use serde::Serialize;
use wgpu::{Backend, Backends, DeviceType, Features};

/// Selects an adapter and says how to open its device. The default is the best adapter present.
#[derive(Clone, Debug)]
pub struct AdapterChoice {
    /// Only adapters of these backends.
    pub backends: Backends,
    /// An index into [`list`]'s order, or a part of the adapter's name. A number below 100 is always an index.
    pub adapter: Option<String>,
    /// Keep the bounds checks of the shader translator and the driver. Slower; meant for finding faults.
    pub checked: bool,
    /// Skip the proof that the device runs each submission. For measuring the host's own time on a driver that computes nothing; the
    /// results must not be used.
    pub unproved: bool,
    /// Enable timestamps where the device supports them: [`Gpu::take_times`](super::Gpu::take_times).
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
    /// Its index in [`list`]'s order; `None` for the device of an application.
    pub index: Option<usize>,
    pub name: String,
    pub backend: String,
    pub device_type: String,
    pub driver: String,
    /// PCI vendor and device numbers, such as `1002:744c`; zeros where the backend does not report them.
    pub device_id: String,
    pub shader_f16: bool,
    /// Shaders may use whole numbers of 64 bits.
    pub shader_int64: bool,
    /// Sizes of the square cooperative matrices that the device supports with f16 factors and f32 sums.
    pub matrices: Vec<u32>,
    pub subgroup_sizes: Option<(u32, u32)>,
    pub max_binding_bytes: u64,
    pub max_buffer_bytes: u64,
    pub memory_bytes: Option<u64>,
    pub workgroup_memory_bytes: u32,
    pub workgroup_invocations: u32,
    pub storage_buffers: u32,
    /// The driver checks that indices stay within their bindings. False on newer versions of Mesa's CPU driver: these checks make it
    /// several times slower, so its device is made without them.
    pub range_checks: bool,
}

impl AdapterFacts {
    /// The facts that the choice of forms depends on.
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
            // Metal reports no numbers. Mesa's own number is also that of its CPU driver.
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
            int64: self.shader_int64,
            range_checks: self.range_checks,
            maker,
        }
    }
}

#[cfg(test)]
impl AdapterFacts {
    /// An adapter with that driver, for tests.
    pub(crate) fn of_test(driver: &str) -> AdapterFacts {
        AdapterFacts {
            index: None,
            name: "GPU".into(),
            backend: "vulkan".into(),
            device_type: "Cpu".into(),
            driver: driver.into(),
            device_id: "0001:0002".into(),
            shader_f16: false,
            shader_int64: false,
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

/// The minimum that the baseline variant of every kernel needs.
const STORAGE_BUFFERS: u32 = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_MEMORY: u32 = 16 * 1024;

const NAMES: [(&str, Backends); 4] =
    [("vulkan", Backends::VULKAN), ("metal", Backends::METAL), ("dx12", Backends::DX12), ("gl", Backends::GL)];

fn names(backends: Backends) -> String {
    let names: Vec<&str> = NAMES.iter().filter(|(_, one)| backends.contains(*one)).map(|(name, _)| *name).collect();
    if names.is_empty() { format!("{backends:?}").to_lowercase() } else { names.join(", ") }
}

/// `problem` with a backend, followed by the backends that this system can have.
pub fn no_backend(problem: &str) -> GpuError {
    let possible = names(wgpu::Instance::enabled_backend_features());
    GpuError::Backend(format!("{problem}; this system supports: {possible}"))
}

/// Fails early for backends that this system cannot have.
///
/// # Errors
/// [`GpuError::Backend`].
pub fn check_backend(choice: &AdapterChoice) -> Result<(), GpuError> {
    match choice.backends.intersects(wgpu::Instance::enabled_backend_features()) {
        true => Ok(()),
        false => Err(no_backend(&format!("backend {} does not exist on this system", names(choice.backends)))),
    }
}

/// Every adapter of the chosen backends, in a fixed order: Vulkan, Metal, DX12, then OpenGL. Empty where the system cannot have these
/// backends; [`super::Gpu::new`] reports that as an error.
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

/// Features that cooperative matrices need. On Vulkan that includes passing our own modules (see [`super::memory_model`]).
pub(super) fn matrix_features(adapter: &wgpu::Adapter) -> Features {
    let modules = match adapter.get_info().backend {
        Backend::Vulkan => Features::PASSTHROUGH_SHADERS,
        _ => Features::empty(),
    };
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX | modules
}

/// The subgroup size at which Mesa's CPU driver supports the matrices that it lists. It lists them at every size, but with 4 lanes it gives
/// no device, and with 16 the smallest shader ends the process (26.2.6).
const LLVMPIPE_LANES: u32 = 8;

/// Sizes of the square matrices with f16 factors and f32 sums.
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

/// What a device of `adapter` with these features and limits can do, which may be less than the adapter can. `range_checks` is set as for a
/// device of our own.
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
        shader_int64: features.contains(Features::SHADER_INT64),
        matrices: if features.contains(matrix_features(adapter)) { sides(adapter) } else { Vec::new() },
        subgroup_sizes: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        memory_bytes: memory_bytes(adapter),
        workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        range_checks: !unchecked::is_for(&info),
        // Browsers do not give a name.
        name: match info.name.is_empty() && cfg!(target_arch = "wasm32") {
            true => "WebGPU".into(),
            false => info.name,
        },
    }
}

/// Memory that the device may use, where known. For a CPU driver this is the host's available memory, because lavapipe reports a constant
/// as its heap; for Vulkan it is the largest device-local heap.
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
    const DEVICE_LOCAL: u32 = 1; // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT; the other heaps are host memory
    // SAFETY: the handles stay owned by wgpu; we only read properties while the adapter is alive.
    unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        let properties = instance.get_physical_device_memory_properties(vulkan.raw_physical_device());
        let own = properties.memory_heaps_as_slice().iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0);
        own.map(|heap| heap.size).max()
    }
}

/// wgpu has no Vulkan on these targets.
#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
fn vulkan_memory_bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Real GPUs come first, CPU drivers last.
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

/// The adapter of `choice`, and its index among all.
pub(super) async fn choose(choice: &AdapterChoice) -> Result<(wgpu::Adapter, usize), GpuError> {
    check_backend(choice)?;
    let (wanted, backends) = (choice.adapter.as_ref(), choice.backends);
    let index = wanted.and_then(|w| w.parse::<usize>().ok());
    // OpenGL is a last resort, because merely looking for it makes its libraries print messages. An index counts its adapters, though.
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
            let told = "this browser offers no GPU: WebGPU is missing or disabled on this machine";
            return Err(GpuError::NoAdapter(told.into()));
        }
        return Err(GpuError::NoAdapter(format!(
            "no adapter found for {backend}. Install your GPU's driver; without a GPU, install a CPU driver: on Debian and Ubuntu \
             `apt install mesa-vulkan-drivers`"
        )));
    }
    let index = match index {
        Some(i) if i < all.len() => Some(i),
        // A small number that is out of range is a mistake, not a part of a name.
        Some(0..100) => None,
        // A larger number may be that of a model series.
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

/// Fails unless a device with these limits runs the baseline of every kernel.
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
            Err(GpuError::NoAdapter(format!("adapter {name} has {has} {what}, but the kernels need {needed}")))
        }
        None => Ok(()),
    }
}
