//! A driver that computes wrong results.

use super::common::{choice, gpu};
use diffews_wgpu::Gpu;
use diffews_wgpu::gpu::Translator;
use diffews_wgpu::plan::Dispatch;
use naga::back::spv;
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// naga's SPIR-V of a shader, for Vulkan.
fn spirv(wgsl: &str) -> Result<Vec<u32>, String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
    let info = info.map_err(|e| e.emit_to_string(wgsl))?;
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| e.to_string())
}

/// Replaces floating-point additions by subtractions. Returns their number.
fn subtract(words: &mut [u32]) -> usize {
    const HEADER: usize = 5;
    const ADD: u32 = 129;
    const SUBTRACT: u32 = 131;
    let (mut at, mut changed) = (HEADER, 0);
    while at < words.len() {
        let (length, operation) = (words[at] >> 16, words[at] & 0xffff);
        if operation == ADD {
            words[at] = length << 16 | SUBTRACT;
            changed += 1;
        }
        at += length.max(1) as usize;
    }
    changed
}

/// An adapter whose driver mistranslates some pipelines.
pub fn wrong_in(which: impl Fn(&Dispatch) -> bool + Send + Sync + 'static) -> Gpu {
    let translator: Translator = Box::new(move |dispatch, wgsl, _| {
        let mut words = spirv(wgsl)?;
        if which(dispatch) {
            subtract(&mut words);
        }
        Ok(words)
    });
    // SAFETY: naga's own translation of our texts; replacing float additions changes no index, because indices are integers.
    unsafe { Gpu::with_translator(&choice(), translator) }.unwrap()
}

/// Only Vulkan runs a given translation; prints a note for other backends.
pub fn is_vulkan() -> bool {
    let backend = gpu().facts().backend.clone();
    println!("the best adapter is one of {backend}");
    assert!(["vulkan", "metal", "dx12", "gl"].contains(&backend.as_str()), "{backend}");
    backend == "vulkan"
}
