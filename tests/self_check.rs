//! Drivers that compute wrong results: none of them gives a result.

mod common;
#[path = "common/mistranslated.rs"]
mod mistranslated;

use common::{Fixture, gpu};
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::segment::{SelfCheck, Standing};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Segmenter};
use std::path::Path;

/// An adapter whose driver mistranslates one kernel.
fn wrong_in(kernel: &'static str) -> Gpu {
    mistranslated::wrong_in(move |dispatch| dispatch.kernel.name == kernel)
}

fn segmenter(gpu: Gpu, how: SelfCheck) -> Result<Segmenter, Error> {
    let files = ModelFiles::embedded().unwrap();
    Segmenter::builder().files(files).size(64).gpu(gpu).self_check(how).build()
}

#[test]
fn a_wrong_kernel_is_named_and_nothing_is_segmented() {
    if !mistranslated::is_vulkan() {
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

/// Each driver must pass its own checks: a file of another driver, or a damaged one, counts as none.
#[test]
fn only_what_this_driver_proved_is_believed() {
    if !mistranslated::is_vulkan() {
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
    // The driver computes wrong from now on, but the file says that it was right, and is trusted.
    remembered_in(&dir, "conv2d").unwrap();
    // Another driver.
    let other = text.replace(&format!("{:?}", facts.driver), "\"another\"");
    assert_ne!(other, text);
    for content in [other.as_str(), "", "[", "{}", &text[..text.len() / 2], &text.replace("conv2d", "conv3d")] {
        std::fs::write(&file, content).unwrap();
        assert!(matches!(remembered_in(&dir, "conv2d"), Err(Error::SelfCheck { .. })), "{content}");
        assert!(matches!(said(), Standing::Failed(wrong) if wrong.contains("conv2d")));
        // A failed check is repeated.
        assert!(matches!(remembered_in(&dir, "conv2d"), Err(Error::SelfCheck { .. })), "{content}");
    }
    remembered_in(&dir, "").unwrap();
    assert_eq!(said(), Standing::Passed);
}

/// Other models, also in f16, have other pipelines.
#[test]
fn models_in_halves_pass() {
    for name in ["odd", "sd15"] {
        let fixture = Fixture::named(name);
        let builder = Segmenter::builder().model(fixture.model()).gpu(gpu());
        builder.precision(diffews_wgpu::Precision::F16).build().expect(name);
    }
}
