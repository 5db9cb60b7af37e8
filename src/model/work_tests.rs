//! The share of padding and recomputation in a GPU's work on the embedded model.

use super::*;
use crate::plan::{Channels, Forms, Limits, Policy, Recorder};
use crate::shader::{Device, Facts};

/// Operations of the convolutions and their normalizations, in encoder, support pass and decoder: as defined, and as workgroups compute
/// them.
fn work(model: &Model, forms: &Forms) -> (u64, u64) {
    let recorder = || Recorder::new(Policy::F32, forms.clone(), Limits::WEBGPU);
    let size = model.default_size();
    let side = model.config().latent_size(size as usize) as u32;
    let latent = Channels::one(model.config().vae.latent_channels as u32);

    let mut encoder = recorder();
    let image = encoder.input("image", size, size, Channels::one(3));
    model.encoder.forward(&mut encoder, &image);
    let mut support = recorder();
    let [image, mask] = ["image", "mask"].map(|name| support.input(name, side, side, latent.clone()));
    model.unet.support(&mut support, &image, &mask);
    let mut decoder = recorder();
    let drawn = decoder.input("latent", side, side, latent);
    model.decoder.forward(&mut decoder, &drawn);

    let dispatches = [encoder, support, decoder].into_iter().flat_map(|r| r.finish().expect("it records").dispatches);
    let conv2d =
        dispatches.filter(|d| ["conv2d", "affine"].contains(&d.kernel.name) || d.kernel.name.starts_with("winograd"));
    conv2d.fold((0, 0), |(flops, all), d| (flops + d.flops + d.saved, all + d.flops + d.padding))
}

#[test]
fn gpus_compute_little_that_nobody_needs() {
    let model = Model::load(ModelFiles::embedded().expect("weights")).expect("a model");
    let gpu = Facts { device: Device::Integrated, cores: 8, least_lanes: 32, f16: true, ..Facts::LEAST };
    let (flops, first) = work(&model, &Forms::first(gpu));
    let (same, chosen) = work(&model, &Forms::by_rule(gpu));
    println!("{flops} needed; {first} with one tile for all shapes, {chosen} with those that are chosen");
    assert_eq!(flops, same);
    assert!(first as f64 > 1.5 * flops as f64 && (chosen as f64) < 1.2 * flops as f64, "{flops}, {first}, {chosen}");
}
