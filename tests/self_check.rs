//! Drivers that compute something else than they should: none of them gives a result.

mod common;

use common::{Fixture, choice, gpu};
use diffews_wgpu::gpu::{Gpu, Translator};
use diffews_wgpu::segment::{SelfCheck, Standing};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Segmenter};
use naga::back::spv;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::path::Path;

/// What naga makes of a text, for Vulkan.
fn spirv(wgsl: &str) -> Result<Vec<u32>, String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
    let info = info.map_err(|e| e.emit_to_string(wgsl))?;
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| e.to_string())
}

/// Subtracts wherever floats are added. The number of such instructions.
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

/// An adapter whose driver mistranslates one kernel.
fn wrong_in(kernel: &'static str) -> Gpu {
    let translator: Translator = Box::new(move |dispatch, wgsl, _| {
        let mut words = spirv(wgsl)?;
        if dispatch.kernel.name == kernel {
            subtract(&mut words);
        }
        Ok(words)
    });
    // SAFETY: naga's own translation of our texts; an addition that is a subtraction touches no index, which are integers.
    unsafe { Gpu::with_translator(&choice(), translator) }.unwrap()
}

fn segmenter(gpu: Gpu, how: SelfCheck) -> Result<Segmenter, Error> {
    let files = ModelFiles::embedded().unwrap();
    Segmenter::builder().files(files).size(64).gpu(gpu).self_check(how).build()
}

/// OpenGL and others run no translation that is handed to them, which is told.
fn is_vulkan() -> bool {
    let backend = gpu().facts().backend.clone();
    println!("the best adapter is one of {backend}");
    assert!(["vulkan", "metal", "dx12", "gl"].contains(&backend.as_str()), "{backend}");
    backend == "vulkan"
}

#[test]
fn a_wrong_kernel_is_named_and_nothing_is_segmented() {
    if !is_vulkan() {
        return;
    }
    segmenter(wrong_in("none"), SelfCheck::Each).expect("naga's translation is right");
    for kernel in ["affine", "attention", "conv2d", "group_norm", "group_stats", "guided_filter", "layer_norm"] {
        match segmenter(wrong_in(kernel), SelfCheck::Each) {
            Err(error @ Error::SelfCheck { .. }) => {
                assert!(error.to_string().contains(&format!("kernel {kernel},")), "{error}");
            }
            Err(other) => panic!("{kernel}: {other}"),
            Ok(_) => panic!("{kernel}: a wrong one passed"),
        }
    }
    segmenter(wrong_in("conv2d"), SelfCheck::Off).expect("nobody asks");
}

fn remembered_in(dir: &Path, kernel: &'static str) -> Result<Segmenter, Error> {
    segmenter(if kernel.is_empty() { gpu() } else { wrong_in(kernel) }, SelfCheck::Remembered(dir.into()))
}

/// What one driver proved is not another's: a file of another driver, or one that is damaged, spares nothing.
#[test]
fn only_what_this_driver_proved_is_believed() {
    if !is_vulkan() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("made/by/the/check");
    let facts = gpu().facts().clone();
    let said = || Standing::of(&facts, &dir);
    assert_eq!(said(), Standing::NotChecked);
    remembered_in(&dir, "").unwrap();
    assert_eq!(said(), Standing::Passed);
    let file = dir.join("self-check.json");
    let text = std::fs::read_to_string(&file).unwrap();
    // The driver computes wrong since: the file says that it was right, and is believed.
    remembered_in(&dir, "conv2d").unwrap();
    // Another driver.
    let other = text.replace(&format!("{:?}", facts.driver), "\"another\"");
    assert_ne!(other, text);
    for content in [other.as_str(), "", "[", "{}", &text[..text.len() / 2], &text.replace("conv2d", "conv3d")] {
        std::fs::write(&file, content).unwrap();
        assert!(matches!(remembered_in(&dir, "conv2d"), Err(Error::SelfCheck { .. })), "{content}");
        assert!(matches!(said(), Standing::Failed(wrong) if wrong.contains("conv2d")));
        // What failed is asked for again.
        assert!(matches!(remembered_in(&dir, "conv2d"), Err(Error::SelfCheck { .. })), "{content}");
    }
    remembered_in(&dir, "").unwrap();
    assert_eq!(said(), Standing::Passed);
}

/// Other models have other pipelines, in halves, too.
#[test]
fn models_in_halves_pass() {
    for name in ["odd", "sd15"] {
        let fixture = Fixture::named(name);
        let builder = Segmenter::builder().model(fixture.model()).gpu(gpu());
        builder.precision(diffews_wgpu::Precision::F16).build().expect(name);
    }
}
