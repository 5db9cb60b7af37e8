//! A device whose driver does not check that indices lie within their bindings. wgpu always enables these checks (robustBufferAccess). On
//! Mesa's CPU driver they dominate the run time: with them, LLVM turns every load into a branch and merges no loads.

use wgpu::{AdapterInfo, Backend, DeviceType};

/// The first measured version of Mesa whose CPU driver runs faster without the checks. 22.3 lacks the pass that merges loads; no version
/// between was measured.
const FIRST: u32 = 26;

/// Whether to leave the checks out on this adapter: only on Mesa's CPU driver, where it pays.
pub(super) fn is_for(info: &AdapterInfo) -> bool {
    let version = || info.driver_info.strip_prefix("Mesa ")?.split('.').next()?.parse::<u32>().ok();
    let lavapipe =
        (info.backend, info.device_type, info.driver.as_str()) == (Backend::Vulkan, DeviceType::Cpu, "llvmpipe");
    lavapipe && version().is_some_and(|version| version >= FIRST)
}

/// A device as wgpu makes it, but without the checks.
///
/// # Safety
/// Shaders that run on it must stay within their bindings: nothing else protects the process's memory.
///
/// # Errors
/// The reason that the driver or wgpu gives.
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
pub(super) unsafe fn open(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    use ash::vk;
    let (features, limits) = (descriptor.required_features, &descriptor.required_limits);
    // SAFETY: handles and structures live until the calls return. The device is made with exactly what the adapter itself asks for, and the
    // adapter takes it over. The caller vouches for running without the checks.
    let opened = unsafe {
        let hal = adapter.as_hal::<wgpu::hal::api::Vulkan>().ok_or("it is not a Vulkan adapter")?;
        let extensions = hal.required_device_extensions(features);
        let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
        let priorities = [1.0];
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&priorities)];
        let mut asked = hal.physical_device_features(&extensions, features);
        let core = vk::PhysicalDeviceFeatures { robust_buffer_access: vk::FALSE, ..asked.get_core() };
        let base = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
        let mut info = asked.add_to_device_create(base);
        info.p_enabled_features = &core;
        let mut link = info.p_next.cast_mut().cast::<vk::BaseOutStructure>();
        while let Some(structure) = link.as_mut() {
            if structure.s_type == vk::StructureType::PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT {
                let robustness = link.cast::<vk::PhysicalDeviceRobustness2FeaturesEXT>();
                (*robustness).robust_buffer_access2 = vk::FALSE;
            }
            link = structure.p_next;
        }
        let instance = hal.shared_instance().raw_instance();
        let device = instance.create_device(hal.raw_physical_device(), &info, None).map_err(|e| e.to_string())?;
        let hints = &descriptor.memory_hints;
        hal.device_from_raw(device, None, &extensions, features, limits, hints, 0, 0).map_err(|e| e.to_string())?
    };
    // SAFETY: it belongs to this adapter, with the features and limits of the descriptor.
    unsafe { adapter.create_device_from_hal(opened, descriptor) }.map_err(|e| e.to_string())
}

/// wgpu has no Vulkan on these targets.
///
/// # Safety
/// Opens nothing, so nothing to keep to.
///
/// # Errors
/// Always.
#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
pub(super) unsafe fn open(
    _: &wgpu::Adapter,
    _: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    Err("wgpu has no Vulkan on this system".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_newer_versions_of_mesas_cpu_driver() {
        let info = |driver: &str, driver_info: &str| AdapterInfo {
            driver: driver.into(),
            driver_info: driver_info.into(),
            ..AdapterInfo::new(DeviceType::Cpu, Backend::Vulkan)
        };
        assert!(is_for(&info("llvmpipe", "Mesa 26.2.6-1 (LLVM 22.1.8)")));
        assert!(is_for(&info("llvmpipe", "Mesa 27.0.0-devel (git-0123456789)")));
        let gl = AdapterInfo { backend: Backend::Gl, ..info("llvmpipe", "Mesa 26.2.6") };
        let gpu = AdapterInfo { device_type: DeviceType::Other, ..info("llvmpipe", "Mesa 26.2.6") };
        for other in [
            info("llvmpipe", "Mesa 22.3.6 (LLVM 15.0.6)"),
            info("llvmpipe", "Mesa 25.0.7-2 (LLVM 19.1.7)"),
            info("llvmpipe", "26.2.6"),
            info("llvmpipe", ""),
            info("radv", "Mesa 26.2.6"),
            info("SwiftShader driver", ""),
            gl,
            gpu,
        ] {
            assert!(!is_for(&other), "{other:?}");
        }
    }
}
