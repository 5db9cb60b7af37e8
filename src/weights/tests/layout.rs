//! Where files are found, and the side files of a model.

use super::*;
use crate::settings::{GuidedFilter, Threshold};

#[test]
fn finds_each_published_name_and_prefers_full_precision() {
    let stem = "diffusion_pytorch_model";
    let order = [
        format!("{stem}.safetensors"),
        format!("{stem}.safetensors.index.json"),
        format!("{stem}.non_ema.safetensors"),
        format!("{stem}.fp16.safetensors"),
        format!("{stem}.fp16.safetensors.index.json"),
        format!("{stem}.safetensors.index.fp16.json"),
        format!("{stem}.bf16.safetensors"),
        format!("{stem}.special.safetensors"),
    ];
    let shard = format!("{stem}-00001-of-00001.safetensors");
    for first in 0..order.len() {
        let dir = tempfile::tempdir().unwrap();
        let unet = dir.path().join("unet");
        write(&unet, &shard, scalar("t", 0.0));
        write(&unet, "diffusion_pytorch_model.bin", "pickle");
        for name in &order[first..] {
            let index = format!(r#"{{"metadata":{{}},"weight_map":{{"t":"{shard}"}}}}"#).into_bytes();
            write(&unet, name, if name.ends_with(".json") { index } else { scalar("t", 0.0) });
        }
        let w = Weights::open_component(dir.path(), "unet").unwrap();
        assert!(w.name().ends_with(&order[first]), "{} before {}", w.name(), order[first]);
        assert!(w.has("t"));
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "text_encoder/model.fp16.safetensors", scalar("t", 2.0));
    let w = Weights::open_component(dir.path(), "text_encoder").unwrap();
    assert_eq!(w.root().tensor("t", &[1]).to_f32().unwrap(), [2.0]);
}

#[test]
fn pickles_and_nothing_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    assert!(message(Weights::open_component(dir.path(), "unet")).contains("unet/"));
    write(dir.path(), "vae/config.json", "{}");
    let text = message(Weights::open_component(dir.path(), "vae"));
    assert!(text.contains("diffusion_pytorch_model.safetensors") && text.contains("index.json"), "{text}");
    write(dir.path(), "text_encoder/pytorch_model.bin", "x");
    let text = message(Weights::open_component(dir.path(), "text_encoder"));
    assert!(
        text.contains("pytorch_model.bin") && text.contains("python -c") && text.contains("model.safetensors"),
        "{text}"
    );
    // A shard without its index is no checkpoint.
    write(dir.path(), "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors", scalar("t", 0.0));
    assert!(matches!(Weights::open_component(dir.path(), "unet"), Err(WeightsError::NotFound { .. })));
}

/// A base model and a fine-tuned UNet elsewhere, each with what the real ones have.
fn two_directories() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let embeds = |d: usize| file_of(&[("prompt_embeds", Dtype::F32, &[2, d], &vec![0; 8 * d])]);
    for name in ["base/vae", "tuned/unet"] {
        write(dir.path(), &format!("{name}/config.json"), format!("{{\"from\": \"{name}\"}}"));
        write(dir.path(), &format!("{name}/diffusion_pytorch_model.safetensors"), scalar(name, 1.0));
    }
    // Opening the base's own UNet would fail.
    write(dir.path(), "base/unet/diffusion_pytorch_model.safetensors", "broken");
    write(dir.path(), "base/scheduler/scheduler_config.json", "{}");
    write(dir.path(), "base/empty_prompt.safetensors", embeds(3));
    dir
}

#[test]
fn a_unet_elsewhere_is_found_by_its_directory_or_its_parent() {
    let dir = two_directories();
    let base = dir.path().join("base");
    for unet in ["tuned", "tuned/unet"] {
        let files = ModelFiles::open(&base, Some(&dir.path().join(unet))).unwrap();
        assert!(files.unet.has("tuned/unet") && files.vae.has("base/vae"));
        assert!(files.unet_config.text.contains("tuned/unet"));
        assert!(files.separate_unet && files.scheduler_config.is_some());
        assert_eq!(files.diffews, DiffewsJson::default());
        assert!(matches!(files.text, TextSource::Embeds { width: 3, .. }));
    }
    assert!(matches!(ModelFiles::open(&base, None), Err(WeightsError::Malformed { .. })));

    // What lies with the UNet is meant for it.
    let embeds = file_of(&[("prompt_embeds", Dtype::F16, &[2, 5], &[0; 20])]);
    write(dir.path(), "tuned/empty_prompt.safetensors", embeds);
    write(dir.path(), "tuned/unet/diffews.json", r#"{"size": 64}"#);
    write(dir.path(), "tuned/scheduler/scheduler_config.json", "{}");
    let files = ModelFiles::open(&base, Some(&dir.path().join("tuned"))).unwrap();
    assert!(!files.separate_unet);
    assert!(matches!(files.text, TextSource::Embeds { width: 5, .. }));
    assert_eq!(files.diffews, DiffewsJson { size: Some(64), ..Default::default() });
}

#[test]
fn hub_cache_directories_lead_to_their_snapshot() {
    let dir = two_directories();
    let hub = dir.path().join("models--x");
    fs::create_dir_all(hub.join("snapshots")).unwrap();
    fs::rename(dir.path().join("base"), hub.join("snapshots/abc123")).unwrap();
    let unet = dir.path().join("tuned");
    assert!(ModelFiles::open(&hub, Some(&unet)).is_ok());
    fs::create_dir(hub.join("snapshots/def")).unwrap();
    assert!(message(ModelFiles::open(&hub, Some(&unet))).contains("2 snapshots"));
    write(&hub, "refs/main", "abc123\n");
    assert!(ModelFiles::open(&hub, Some(&unet)).is_ok());
    write(&hub, "refs/main", "../../tuned");
    assert!(message(ModelFiles::open(&hub, Some(&unet))).contains("2 snapshots"));
}

#[test]
fn prompt_embeddings_are_checked() {
    let embeds = |shape: &[usize], dtype, data: &[u8]| {
        TextSource::embeds(
            Weights::from_bytes("empty_prompt", file_of(&[("prompt_embeds", dtype, shape, data)])).unwrap(),
        )
    };
    assert!(embeds(&[2, 1], Dtype::F32, &f32s(&[1.0, 2.0])).is_ok());
    assert!(message(embeds(&[2, 1], Dtype::F32, &f32s(&[1.0, f32::NAN]))).contains("NaN"));
    for shape in [&[1, 2][..], &[1, 1, 2], &[1, 2, 1]] {
        assert!(
            matches!(embeds(shape, Dtype::F32, &[0; 8]), Ok(TextSource::Embeds { width, .. }) if width == shape[shape.len() - 1])
        );
    }
    assert!(
        matches!(embeds(&[77, 3], Dtype::F32, &[0; 12 * 77]), Ok(TextSource::Embeds { width: 3, ref values, .. }) if values.len() == 231)
    );
    for shape in [&[2][..], &[2, 1, 1], &[1, 1, 1, 2], &[0, 2], &[4097, 1]] {
        let len = shape.iter().product::<usize>();
        assert!(message(embeds(shape, Dtype::F32, &vec![0; 4 * len])).contains("[n, D]"), "{shape:?}");
    }
    assert!(message(embeds(&[2, 0], Dtype::F32, &[])).contains("[2, 0]"));
    assert!(message(embeds(&[2, 1], Dtype::I64, &[0; 16])).contains("I64"));
    assert!(message(TextSource::embeds(Weights::from_bytes("e", scalar("x", 1.0)).unwrap())).contains("prompt_embeds"));
    let dir = two_directories();
    fs::remove_file(dir.path().join("base/empty_prompt.safetensors")).unwrap();
    let text = message(ModelFiles::open(&dir.path().join("base"), Some(&dir.path().join("tuned"))));
    assert!(text.contains("empty_prompt.safetensors") && text.contains("text_encoder/"), "{text}");
}

#[test]
fn diffews_json_is_checked() {
    let parse = |text: &str| read_diffews(&ConfigText { file: "diffews.json".to_owned(), text: text.to_owned() });
    assert_eq!(
        parse(r#"{"size": 256, "threshold": 0.25}"#).unwrap(),
        DiffewsJson { size: Some(256), threshold: Some(Threshold::Relative(0.25)), guided_filter: None }
    );
    let absolute = parse(r#"{"absolute_threshold": 0.5}"#).unwrap();
    assert_eq!(absolute, DiffewsJson { threshold: Some(Threshold::Absolute(0.5)), ..Default::default() });
    let filtered = parse(r#"{"guided_filter": {"radius": 8, "epsilon": 1e-4}}"#).unwrap();
    assert_eq!(filtered.guided_filter, Some(GuidedFilter { radius: 8, epsilon: 1e-4 }));
    assert_eq!(parse("{}").unwrap(), DiffewsJson::default());
    assert!(message(parse(r#"{"size": 1, "sizes": 2, "x": 3}"#)).contains("sizes, x"));
    for bad in [
        "",
        "[]",
        "null",
        r#"{"size": 0}"#,
        r#"{"size": -8}"#,
        r#"{"size": 1e3}"#,
        r#"{"size": "256"}"#,
        r#"{"size": null}"#,
        r#"{"size": 16385}"#,
        r#"{"threshold": 1}"#,
        r#"{"threshold": -0.1}"#,
        r#"{"threshold": "a"}"#,
        r#"{"threshold": NaN}"#,
        r#"{"absolute_threshold": 1.5}"#,
        r#"{"threshold": 0.5, "absolute_threshold": 0.5}"#,
        r#"{"guided_filter": 8}"#,
        r#"{"guided_filter": null}"#,
        r#"{"guided_filter": [8, 1e-4]}"#,
        r#"{"guided_filter": {"radius": 8}}"#,
        r#"{"guided_filter": {"radius": -8, "epsilon": 1e-4}}"#,
        r#"{"guided_filter": {"radius": 65, "epsilon": 1e-4}}"#,
        r#"{"guided_filter": {"radius": 8, "epsilon": 0}}"#,
        r#"{"guided_filter": {"radius": 8, "epsilon": 1e-4, "sigma": 1}}"#,
    ] {
        assert!(message(parse(bad)).contains("diffews.json"), "{bad}");
    }
}

#[cfg(feature = "embedded")]
#[test]
fn the_embedded_model_opens() {
    let files = ModelFiles::embedded().unwrap();
    assert!(files.unet.has("conv_in_ref.weight") && files.vae.has("quant_conv.weight"));
    assert!(matches!(files.text, TextSource::Embeds { width: 32, ref values, .. } if values.len() == 64));
    assert_eq!(files.diffews.size, Some(160));
    assert!(files.unet.unused().len() == files.unet.count().0);
    // Loaded twice, for another precision or device.
    let load = || {
        crate::model::Model::load(files.clone())
            .map(|model| model.constants.tensors(crate::plan::Element::F32).len())
            .unwrap()
    };
    assert_eq!(load(), load());
}
