//! DiffewS's starting point from a plain Stable Diffusion model.

use crate::command::{NO_DRIVER, Place, infer, repository};
use safetensors::tensor::{SafeTensors, TensorView};
use std::fs;
use std::path::Path;

/// A plain Stable Diffusion model in `sd`: a fixture without DiffewS's additions.
fn plain() -> Place {
    let place = Place::new();
    copy(&repository().join("tests/golden/sd21"), &place.path("sd"));
    for file in ["diffews.json", "fixture.json", "expected.safetensors"] {
        fs::remove_file(place.path("sd").join(file)).unwrap();
    }
    let unet = place.path("sd/unet/diffusion_pytorch_model.fp16.safetensors");
    let bytes = fs::read(&unet).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let kept: Vec<(&str, TensorView)> = all.iter().filter(|(name, _)| !name.starts_with("conv_in_ref")).collect();
    assert_eq!(kept.len() + 2, all.len());
    fs::write(&unet, safetensors::serialize(kept, None).unwrap()).unwrap();
    let config = fs::read_to_string(place.path("sd/unet/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config.as_object_mut().unwrap().remove("in_channels_ref");
    place.write("sd/unet/config.json", config.to_string().as_bytes());
    let scheduler = r#"{"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "prediction_type": "epsilon", "skip_prk_steps": true, "steps_offset": 1}"#;
    place.write("sd/scheduler/scheduler_config.json", scheduler.as_bytes());
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_plain_model_becomes_one_that_runs() {
    let place = plain();
    let query = &["--query", "q.png", "--weights", "sd"];
    place.run_with(&NO_DRIVER, &infer(query)).expect(3, &["a plain Stable Diffusion UNet", "model convert"]);
    let run = place.run(&["model", "convert", "sd", "-o", "start"]).expect(0, &["conv_in_ref", "training"]);
    // Types are kept, and the new tensors are exact.
    assert!(run.out.contains("unet 2 F32") && run.out.contains(" F16"), "{}", run.out);
    place.run(&["model", "verify", "--weights", "start"]).expect(0, &[]);
    let config = fs::read_to_string(place.path("start/unet/config.json")).unwrap();
    assert!(config.contains("\"in_channels_ref\": 8"), "{config}");
    place.infer(&["--query", "q.png", "--weights", "start", "--size", "64", "-q"]).expect(0, &[]);
    assert!(place.path("q_mask.png").is_file());
    // From then on it is a DiffewS model, which conversion does not change.
    let again = place.run(&["model", "convert", "start", "-o", "again"]).expect(0, &[]);
    assert!(!again.err.contains("conv_in_ref") && !again.out.contains("F32"), "{} {}", again.out, again.err);
    let tensors = |dir: &str| {
        let bytes = fs::read(place.path(dir).join("unet/diffusion_pytorch_model.safetensors")).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().tensor("conv_in_ref.weight").unwrap().shape().to_vec()
    };
    assert_eq!(tensors("start"), tensors("again"));
}

#[test]
fn bits_are_as_asked() {
    let place = plain();
    for (flag, dir, types) in [("--half", "halves", "F16"), ("--q8", "eight", "F16")] {
        let run = place.run(&["model", "convert", "sd", "-o", dir, flag]).expect(0, &["conv_in_ref"]);
        let unet = run.out.split("unet ").last().unwrap();
        assert!(unet.contains(types) && !run.out.contains("unet 2 F32"), "{}", run.out);
        place.run(&["model", "verify", "--weights", dir]).expect(0, &[]);
    }
    place.run(&["model", "convert", "sd", "-o", "x", "--half", "--q8"]).expect(2, &["--q8"]);
    place.write("sd/unet/config.json", b"[1]");
    place.run(&["model", "convert", "sd", "-o", "x"]).expect(3, &["sd/unet/config.json"]);
    assert!(!place.path("x").exists());
}
