//! VK_KHR_pipeline_executable_properties, which reports registers, spills and waves. wgpu does not enable it, so this module makes the
//! pipelines again, as wgpu makes them, on its own Vulkan device of the same adapter.

use super::Code;
use crate::gpu::{Gpu, GpuError};
use ash::{ext, khr, vk};
use std::ffi::CStr;
use wgpu::hal::api::Vulkan;

/// Asks a driver for statistics of its code.
pub struct Statistics {
    /// Keeps the instance alive.
    gpu: Gpu,
    device: ash::Device,
    asks: khr::pipeline_executable_properties::Device,
    stage_flags: vk::PipelineShaderStageCreateFlags,
}

impl Statistics {
    /// `None` if the adapter is not a Vulkan one, or its driver reports no statistics.
    ///
    /// # Errors
    /// The driver gives no device.
    pub fn open(gpu: &Gpu) -> Result<Option<Statistics>, GpuError> {
        // SAFETY: the handles stay owned by wgpu, which `gpu` keeps alive; we only read from them.
        let Some(hal) = (unsafe { gpu.shared.device.as_hal::<Vulkan>() }) else { return Ok(None) };
        let (instance, physical) = (hal.shared_instance().raw_instance(), hal.raw_physical_device());
        let failed = |what: &str, error: vk::Result| gpu.failed(&format!("statistics: {what}"), error);
        // SAFETY: as above; the structures live until the calls return.
        unsafe {
            let version = instance.get_physical_device_properties(physical).api_version;
            let extensions = instance.enumerate_device_extension_properties(physical);
            let extensions = extensions.map_err(|e| failed("extensions", e))?;
            let has = |name: &CStr| extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
            if version < vk::API_VERSION_1_3 || !has(khr::pipeline_executable_properties::NAME) {
                return Ok(None);
            }
            let mut names = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut has_all =
                vk::PhysicalDeviceFeatures2::default().push_next(&mut v11).push_next(&mut v12).push_next(&mut v13);
            let has_matrices = !gpu.facts().matrices.is_empty();
            if has_matrices {
                names.push(khr::cooperative_matrix::NAME.as_ptr());
            }
            let robust = has(ext::robustness2::NAME);
            if robust {
                names.push(ext::robustness2::NAME.as_ptr());
                has_all = has_all.push_next(&mut robustness);
            }
            instance.get_physical_device_features2(physical, &mut has_all);
            // What wgpu enables that affects code: buffers with checked ends, f16, subgroups of any size, matrices.
            let checks = vk::Bool32::from(gpu.facts().range_checks);
            let core = vk::PhysicalDeviceFeatures {
                robust_buffer_access: has_all.features.robust_buffer_access * checks,
                ..Default::default()
            };
            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT {
                robust_buffer_access2: robustness.robust_buffer_access2 * checks,
                ..Default::default()
            };
            let mut halves = vk::PhysicalDevice16BitStorageFeatures {
                storage_buffer16_bit_access: v11.storage_buffer16_bit_access,
                uniform_and_storage_buffer16_bit_access: v11.uniform_and_storage_buffer16_bit_access,
                ..Default::default()
            };
            let mut float16 = vk::PhysicalDeviceShaderFloat16Int8Features {
                shader_float16: v12.shader_float16,
                ..Default::default()
            };
            let mut sizes = vk::PhysicalDeviceSubgroupSizeControlFeatures {
                subgroup_size_control: v13.subgroup_size_control,
                ..Default::default()
            };
            let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
            let mut model = vk::PhysicalDeviceVulkanMemoryModelFeatures {
                vulkan_memory_model: v12.vulkan_memory_model,
                ..Default::default()
            };
            let mut executables =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let priorities = [1.0];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&priorities)];
            let mut info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&names)
                .enabled_features(&core)
                .push_next(&mut executables)
                .push_next(&mut halves)
                .push_next(&mut float16)
                .push_next(&mut sizes);
            if robust {
                info = info.push_next(&mut robustness);
            }
            if has_matrices {
                info = info.push_next(&mut matrices).push_next(&mut model);
            }
            let device = instance.create_device(physical, &info, None).map_err(|e| failed("device", e))?;
            let asks = khr::pipeline_executable_properties::Device::new(instance, &device);
            let varying = v13.subgroup_size_control == vk::TRUE;
            let stage_flags = match varying && gpu.facts().subgroup_sizes.is_some() {
                true => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
                false => vk::PipelineShaderStageCreateFlags::empty(),
            };
            Ok(Some(Statistics { gpu: gpu.clone(), device, asks, stage_flags }))
        }
    }

    /// Makes a pipeline of `spirv`, entry point `main`: `tensors` storage buffers in set 0, the parameters in set 1.
    ///
    /// # Safety
    /// The module is not checked: it must be valid SPIR-V.
    ///
    /// # Errors
    /// The driver reports an error.
    pub unsafe fn of(&self, what: &str, spirv: &[u32], tensors: usize) -> Result<Vec<Code>, GpuError> {
        let mut made = Made { device: &self.device, sets: vec![], layout: None, module: None, pipeline: None };
        // SAFETY: all handles belong to this device, and live until `made` is dropped.
        unsafe { self.make(&mut made, spirv, tensors) }.map_err(|e| self.gpu.failed(what, e))
    }

    unsafe fn make(&self, made: &mut Made, spirv: &[u32], tensors: usize) -> Result<Vec<Code>, vk::Result> {
        let bindings = |count: usize, kind: vk::DescriptorType| -> Vec<vk::DescriptorSetLayoutBinding> {
            let one = |i: usize| {
                let binding = vk::DescriptorSetLayoutBinding::default().binding(i as u32);
                binding.descriptor_type(kind).descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
            };
            (0..count).map(one).collect()
        };
        let sets = [(tensors, vk::DescriptorType::STORAGE_BUFFER), (1, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC)];
        // SAFETY: the caller's.
        unsafe {
            for (count, kind) in sets {
                let bindings = bindings(count, kind);
                let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
                made.sets.push(self.device.create_descriptor_set_layout(&info, None)?);
            }
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&made.sets);
            let layout = *made.layout.insert(self.device.create_pipeline_layout(&info, None)?);
            let info = vk::ShaderModuleCreateInfo::default().code(spirv);
            let module = *made.module.insert(self.device.create_shader_module(&info, None)?);
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(self.stage_flags)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.map_err(|(_, error)| error)?[0];
            made.pipeline = Some(pipeline);
            let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
            let executables = self.asks.get_pipeline_executable_properties(&info)?;
            let code = executables.iter().zip(0..).map(|(executable, index)| {
                let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(index);
                let values = self.asks.get_pipeline_executable_statistics(&info)?;
                let values = values.iter().map(|s| {
                    let value = match s.format {
                        vk::PipelineExecutableStatisticFormatKHR::BOOL32 => f64::from(s.value.b32),
                        vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64 as f64,
                        vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64 as f64,
                        _ => s.value.f64,
                    };
                    (text(s.name_as_c_str()), value)
                });
                Ok(Code {
                    name: text(executable.name_as_c_str()),
                    lanes: executable.subgroup_size,
                    values: values.collect(),
                })
            });
            code.collect()
        }
    }
}

fn text<E>(name: Result<&CStr, E>) -> String {
    name.map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // SAFETY: its objects are destroyed, and nothing was submitted to it.
        unsafe { self.device.destroy_device(None) };
    }
}

/// The parts of a pipeline that exist so far.
struct Made<'a> {
    device: &'a ash::Device,
    sets: Vec<vk::DescriptorSetLayout>,
    layout: Option<vk::PipelineLayout>,
    module: Option<vk::ShaderModule>,
    pipeline: Option<vk::Pipeline>,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // SAFETY: nothing uses them any longer.
        unsafe {
            self.pipeline.into_iter().for_each(|p| self.device.destroy_pipeline(p, None));
            self.module.into_iter().for_each(|m| self.device.destroy_shader_module(m, None));
            self.layout.into_iter().for_each(|l| self.device.destroy_pipeline_layout(l, None));
            self.sets.iter().for_each(|&s| self.device.destroy_descriptor_set_layout(s, None));
        }
    }
}
