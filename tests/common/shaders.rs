//! Every shader that the engine can pass to a driver, and naga's translations of it.
#![allow(dead_code)] // each user takes its own part

use diffews_wgpu::kernels::ALL;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shader::{Form, Kernel};
use naga::back::{hlsl, msl};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};

/// One kernel with its symbols set and one storage.
pub struct Shader {
    /// For messages and file names: kernel, form, symbols, storage.
    pub name: String,
    pub kernel: &'static Kernel,
    pub form: &'static Form,
    pub wgsl: String,
    /// The symbols of the text, including the storage's.
    pub defines: Vec<&'static str>,
}

/// Every kernel x form x variant x storage.
pub fn all() -> Vec<Shader> {
    let mut shaders = Vec::new();
    for kernel in ALL {
        for (form, variant) in kernel.texts() {
            for storage in Policy::ALL {
                let defines: Vec<_> = variant.iter().copied().chain(storage.defines()).collect();
                let name = [&[kernel.name, form.name], variant, &[storage.name()]].concat().join("-");
                let wgsl = form.text(&defines).unwrap_or_else(|e| panic!("{name}: {e}"));
                shaders.push(Shader { name: name.to_lowercase(), kernel, form, wgsl, defines });
            }
        }
    }
    shaders
}

/// The shaders that HLSL can express; it has no cooperative matrices.
pub fn of_hlsl() -> impl Iterator<Item = Shader> {
    all().into_iter().filter(|shader| shader.form.needs.matrices == 0)
}

/// Parses and validates a module for a backend's writer.
pub fn parse(shader: &Shader) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&shader.wgsl)
        .unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(&shader.wgsl)));
    let mut capabilities =
        Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP;
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, shader.form.needs.matrices > 0);
    capabilities.set(Capabilities::SHADER_INT64, shader.form.needs.int64);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(&shader.wgsl)));
    (module, info)
}

/// HLSL with the settings of wgpu's DX12 backend; with the runtime checks that wgpu adds by default, or without.
pub fn hlsl(module: &Module, info: &ModuleInfo, model: hlsl::ShaderModel, checked: bool) -> Result<String, String> {
    let mut binding_map = hlsl::BindingMap::default();
    let mut next = [0, 0, 0];
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        // One register class each for uniform, read-only and read-write buffers, numbered in order.
        let class = match variable.space {
            AddressSpace::Uniform => 0,
            AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => 1,
            _ => 2,
        };
        binding_map.insert(
            binding,
            hlsl::BindTarget { space: 0, register: next[class], restrict_indexing: checked, ..Default::default() },
        );
        next[class] += 1;
    }
    let options = hlsl::Options {
        shader_model: model,
        binding_map,
        fake_missing_bindings: false,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: checked,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())) };
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    let reflection = writer.write(module, info, None).map_err(|e| e.to_string())?;
    for name in reflection.entry_point_names {
        name.map_err(|e| e.to_string())?;
    }
    Ok(text)
}

/// MSL with the settings of wgpu's Metal backend, and the number of buffer slots.
pub fn msl(module: &Module, info: &ModuleInfo, version: (u8, u8), checked: bool) -> Result<(String, u8), String> {
    let mut resources = msl::EntryPointResources::default();
    let mut slots = 0;
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        let mutable =
            matches!(variable.space, AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE));
        resources.resources.insert(binding, msl::BindTarget { buffer: Some(slots), mutable, ..Default::default() });
        slots += 1;
    }
    resources.sizes_buffer = Some(slots);
    slots += 1;
    let policy = match checked {
        true => naga::proc::BoundsCheckPolicy::Restrict,
        false => naga::proc::BoundsCheckPolicy::Unchecked,
    };
    let options = msl::Options {
        lang_version: version,
        per_entry_point_map: [("main".to_string(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: naga::proc::BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        ..Default::default()
    };
    let pipeline =
        msl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())), ..Default::default() };
    let (text, translation) = msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
    for name in translation.entry_point_names {
        name.map_err(|e| e.to_string())?;
    }
    Ok((text, slots))
}

/// Bytes of workgroup memory.
pub fn workgroup_bytes(module: &Module) -> u32 {
    let shared = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum()
}
