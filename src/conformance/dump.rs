//! `--dump DIR`: the WGSL of each shader that was run, and naga's (wgpu's translator's) output for each API, for a driver engineer to look
//! into a case.

use crate::gpu::memory_model;
use crate::plan::{Dispatch, Policy};
use naga::back::{hlsl, msl};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::HashSet;
use std::path::Path;

/// Writes `<stem>.wgsl`, `.spv`, `.hlsl` and `.metal` of `dispatch` into `dir`, unless the stem is in `written`. If a translation is
/// impossible (for example, HLSL lacks the feature), the file contains the error message.
pub fn write(dir: &Path, dispatch: &Dispatch, storage: Policy, written: &mut HashSet<String>) -> Result<(), String> {
    let form = (dispatch.kernel.forms.len() > 1).then_some(dispatch.form.name);
    let mut stem = vec![dispatch.kernel.name];
    stem.extend(form);
    stem.push(storage.name());
    stem.extend(&dispatch.defines);
    let stem = stem.join("-").to_lowercase();
    let place = |extension: &str| dir.join(format!("{stem}.{extension}"));
    if !written.insert(stem.clone()) {
        return Ok(());
    }
    let put = |extension: &str, bytes: &[u8]| {
        let path = place(extension);
        std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let defines: Vec<&str> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
    let source = dispatch.form.text(&defines)?;
    texts(dispatch, &source)?.iter().try_for_each(|(extension, bytes)| put(extension, bytes))
}

/// The WGSL of `dispatch`, given as `wgsl`, and its translations, each with its file extension.
pub(super) fn texts(dispatch: &Dispatch, wgsl: &str) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let (module, info) = &parse(wgsl)?;
    let spirv = match memory_model::write(module, info, (1, 3), false) {
        Ok(words) => ("spv", bytemuck::cast_slice(&words).to_vec()),
        Err(error) => ("spv.txt", error.into_bytes()),
    };
    let other = |text: Result<String, String>| text.unwrap_or_else(|e| format!("// {e}")).into_bytes();
    let hlsl = match dispatch.form.needs.matrices {
        0 => hlsl_text(module, info, dispatch, false),
        _ => Err("HLSL has no cooperative matrices".into()),
    };
    Ok(vec![("wgsl", wgsl.into()), spirv, ("hlsl", other(hlsl)), ("metal", other(msl_text(module, info, dispatch)))])
}

/// naga's HLSL of `dispatch`, whose text is `wgsl`. Register and space are the WGSL's binding and group.
pub fn hlsl(dispatch: &Dispatch, wgsl: &str, checked: bool) -> Result<String, String> {
    let (module, info) = parse(wgsl)?;
    hlsl_text(&module, &info, dispatch, checked)
}

/// wgpu's SPIR-V of `dispatch` in that version, without checks and unused functions.
pub(super) fn spirv_of(dispatch: &Dispatch, storage: Policy, version: (u8, u8)) -> Result<Vec<u32>, String> {
    let defines: Vec<&str> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
    let text = dispatch.form.text(&defines)?;
    let (mut module, _) = parse(&text)?;
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    let info = validate(&module, &text)?;
    memory_model::write(&module, &info, version, false)
}

/// Parses and validates a module for naga's writers.
fn parse(wgsl: &str) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let info = validate(&module, wgsl)?;
    Ok((module, info))
}

fn validate(module: &naga::Module, wgsl: &str) -> Result<ModuleInfo, String> {
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.validate(module).map_err(|e| e.emit_to_string(wgsl))
}

fn unchecked() -> BoundsCheckPolicies {
    let off = BoundsCheckPolicy::Unchecked;
    BoundsCheckPolicies { index: off, buffer: off, ..Default::default() }
}

fn hlsl_text(module: &naga::Module, info: &ModuleInfo, dispatch: &Dispatch, checked: bool) -> Result<String, String> {
    let mut options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: checked,
        force_loop_bounding: checked,
        fake_missing_bindings: false,
        ..Default::default()
    };
    for (binding, _) in bindings(dispatch) {
        let target = hlsl::BindTarget {
            space: binding.group as u8,
            register: binding.binding,
            restrict_indexing: checked,
            ..Default::default()
        };
        options.binding_map.insert(binding, target);
    }
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions { entry_point: Some((naga::ShaderStage::Compute, "main".into())) };
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    let names = written.map_err(|e| e.to_string())?.entry_point_names;
    names.into_iter().try_for_each(|name| name.map(|_| ()).map_err(|e| e.to_string()))?;
    Ok(text)
}

/// The bindings of group 0, with a flag for read-only ones, and the parameters.
fn bindings(dispatch: &Dispatch) -> Vec<(naga::ResourceBinding, bool)> {
    let tensors = dispatch.inputs.len() + dispatch.outputs.len();
    let group0 =
        (0..tensors).map(|i| (naga::ResourceBinding { group: 0, binding: i as u32 }, i < dispatch.inputs.len()));
    group0.chain([(naga::ResourceBinding { group: 1, binding: 0 }, true)]).collect()
}

fn msl_text(module: &naga::Module, info: &ModuleInfo, dispatch: &Dispatch) -> Result<String, String> {
    let mut resources = msl::BindingMap::default();
    for (slot, (binding, read_only)) in bindings(dispatch).into_iter().enumerate() {
        resources
            .insert(binding, msl::BindTarget { buffer: Some(slot as u8), mutable: !read_only, ..Default::default() });
    }
    let entry = msl::EntryPointResources { resources, sizes_buffer: Some(30), ..Default::default() };
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [("main".to_string(), entry)].into_iter().collect(),
        fake_missing_bindings: false,
        zero_initialize_workgroup_memory: false,
        bounds_check_policies: unchecked(),
        ..Default::default()
    };
    let (text, _) = msl::write_string(module, info, &options, &Default::default()).map_err(|e| e.to_string())?;
    Ok(text)
}
