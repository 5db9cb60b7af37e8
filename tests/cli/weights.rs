//! Unusable models: exit code 3, and the file's name and fault.

use crate::command::{NO_DRIVER, Place, infer, lines, repository};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;
use std::path::Path;

pub const UNET: &str = "m/unet/diffusion_pytorch_model.safetensors";
pub const VAE: &str = "m/vae/diffusion_pytorch_model.safetensors";

/// A copy of the embedded model in `m`.
pub fn model() -> Place {
    let place = Place::new();
    copy(&repository().join("weights/nano"), &place.path("m"));
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
        }
    }
}

/// Changes one of the model's files.
pub fn edit(place: &Place, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    place.write(file, &change(fs::read(place.path(file)).unwrap()));
}

pub fn replace(place: &Place, file: &str, from: &str, to: &str) {
    edit(place, file, |bytes| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("there");
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    });
}

/// The UNet stored as f32.
fn widen(bytes: Vec<u8>) -> Vec<u8> {
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let wide = |half: [u8; 2]| half::f16::from_le_bytes(half).to_f32().to_le_bytes();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, t)| {
            let values = t.data().chunks_exact(2).flat_map(|b| wide([b[0], b[1]])).collect();
            (name.to_string(), t.shape().to_vec(), values)
        })
        .collect();
    let views =
        tensors.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Sets the first value of a tensor of the UNet, stored as f32.
fn poison(place: &Place, tensor: &str, value: f32) {
    edit(place, UNET, |bytes| {
        let mut bytes = widen(bytes);
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let start = 8 + header + json[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    });
}

/// `infer` refuses it without looking for a driver, and so does `model verify`.
#[track_caller]
fn refused(place: &Place, parts: &[&str]) {
    place.run_with(&NO_DRIVER, &infer(&["--query", "q.png", "--weights", "m"])).expect(3, parts);
    place.run(&["model", "verify", "--weights", "m"]).expect(3, parts);
}

#[test]
fn a_sound_copy_is_accepted() {
    let place = model();
    let verified = place.run(&["model", "verify", "--weights", "m"]).expect(0, &[]);
    assert!(verified.out.contains("sound"), "{}", verified.out);
    let info = place.run(&["model", "info", "--weights", "m"]).expect(0, &[]).out;
    for part in ["unet", "vae", "F16", "160", "0.4 by default", "m/unet/config.json"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    // The same model from two directories.
    fs::rename(place.path("m/unet"), place.path("tuned")).unwrap();
    place.run(&["model", "verify", "--weights", "m", "--unet", "tuned"]).expect(0, &[]);
    refused(&place, &["m/unet"]);
}

#[test]
fn truncated_and_hostile_files() {
    let place = model();
    let whole = fs::read(place.path(UNET)).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let with_header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 64]].concat();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("no byte", Vec::new(), "empty"),
        ("cut in the prefix", whole[..5].to_vec(), "too few"),
        ("cut in the header", whole[..header / 2].to_vec(), "truncated"),
        ("cut in the data", whole[..whole.len() - 1].to_vec(), "truncated"),
        ("a header of 2^63 bytes", [&(1u64 << 63).to_le_bytes()[..], &whole[8..]].concat(), "header"),
        ("no JSON", with_header("{nonsense"), "header"),
        (
            "offsets beyond the end",
            with_header(r#"{"a":{"dtype":"F32","shape":[99],"data_offsets":[0,396]}}"#),
            "truncated",
        ),
        ("offsets backwards", with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[64,60]}}"#), "header"),
        (
            "a shape that overflows",
            with_header(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#),
            "header",
        ),
    ];
    for (what, bytes, says) in cases {
        place.write(UNET, &bytes);
        println!("{what}");
        refused(&place, &["diffusion_pytorch_model.safetensors", says]);
    }
    fs::remove_file(place.path(UNET)).unwrap();
    refused(&place, &["m/unet", "diffusion_pytorch_model.safetensors"]);
    fs::create_dir(place.path(UNET)).unwrap();
    refused(&place, &["diffusion_pytorch_model.safetensors", "expected a file"]);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let place = model();
    replace(&place, UNET, "\"conv_in_ref.bias\"", "\"conv_in_ref.bios\"");
    refused(&place, &["missing", "conv_in_ref.bias"]);
    // The fault of another component is reported in the same run.
    replace(
        &place,
        "m/vae/diffusion_pytorch_model.safetensors",
        "\"post_quant_conv.bias\"",
        "\"post_quant_conv.bios\"",
    );
    place.run(&["model", "verify", "--weights", "m"]).expect(3, &["conv_in_ref.bias", "post_quant_conv.bias"]);

    let place = model();
    replace(
        &place,
        UNET,
        r#""conv_out.bias":{"dtype":"F16","shape":[16]"#,
        r#""conv_out.bias":{"dtype":"I16","shape":[16]"#,
    );
    refused(&place, &["conv_out.bias", "I16"]);
    let place = model();
    replace(&place, "m/unet/config.json", "\"layers_per_block\": 1", "\"layers_per_block\": 2");
    refused(&place, &["missing", "down_blocks.0.resnets.1"]);
}

#[test]
fn unused_tensors_are_warnings() {
    let place = model();
    edit(&place, UNET, |bytes| {
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let end = bytes.len() - 8 - header;
        let extra = format!(r#","extra.weight":{{"dtype":"F32","shape":[1],"data_offsets":[{end},{}]}}}}"#, end + 4);
        let json = String::from_utf8(bytes[8..8 + header].to_vec()).unwrap();
        let json = format!("{}{extra}", json.trim_end().strip_suffix('}').unwrap());
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &bytes[8 + header..], &[0; 4]].concat()
    });
    place.run(&["model", "verify", "--weights", "m"]).expect(0, &["warning", "extra.weight", "unused"]);
    place.infer(&["--query", "q.png", "--weights", "m"]).expect(0, &["warning", "extra.weight"]);
}

#[test]
fn configurations_that_are_nonsense() {
    for (file, from, to, says) in [
        ("m/unet/config.json", "\"norm_num_groups\": 16", "\"norm_num_groups\": 0", "norm_num_groups"),
        ("m/unet/config.json", "\"norm_num_groups\": 16", "\"norm_num_groups\": 7", "norm_num_groups"),
        ("m/unet/config.json", "\"in_channels_ref\": 32", "\"in_channels_ref\": 1e400", "config.json"),
        ("m/unet/config.json", "\"act_fn\": \"silu\"", "\"act_fn\": \"relu\"", "act_fn"),
        ("m/unet/config.json", "\"cross_attention_dim\": 32", "\"cross_attention_dim\": 33", "cross_attention_dim"),
        ("m/vae/config.json", "{", "[", "config.json"),
        ("m/diffews.json", "160", "100", "96 and 112"),
        ("m/diffews.json", "0.4", "-1", "absolute_threshold"),
        ("m/diffews.json", "\"size\"", "\"seize\"", "seize"),
        ("m/diffews.json", "\"radius\": 8", "\"radius\": 65", "from 0 to 64"),
    ] {
        let place = model();
        replace(&place, file, from, to);
        println!("{file}: {to}");
        place
            .run_with(&NO_DRIVER, &infer(&["--query", "q.png", "--weights", "m"]))
            .expect(3, &[file.trim_start_matches("m/"), says]);
        place.run(&["model", "verify", "--weights", "m"]).expect(3, &[file.trim_start_matches("m/"), says]);
    }
}

#[test]
fn directories_that_hold_no_model() {
    let place = Place::new();
    fs::create_dir(place.path("m")).unwrap();
    refused(&place, &["m", "unet"]);
    let absent = &["--query", "q.png", "--weights", "absent"];
    place.run_with(&NO_DRIVER, &infer(absent)).expect(3, &["absent"]);
    let file = &["--query", "q.png", "--weights", "q.png"];
    place.run_with(&NO_DRIVER, &infer(file)).expect(3, &["q.png", "directory"]);
    // Pickled weights only.
    let place = model();
    fs::rename(place.path(UNET), place.path("m/unet/diffusion_pytorch_model.bin")).unwrap();
    refused(&place, &["diffusion_pytorch_model.bin", "convert"]);
}

#[test]
fn values_that_are_not_finite() {
    let place = model();
    poison(&place, "conv_in.weight", f32::NAN);
    let damaged = model();
    poison(&damaged, "conv_in.weight", f32::INFINITY);
    let verify = place.run(&["model", "verify", "--weights", "m"]);
    verify.expect(3, &["`conv_in.weight`", "1 of", "not finite"]);
    for place in [&place, &damaged] {
        for precision in ["f32", "f16"] {
            let run = place.infer(&["--query", "q.png", "--weights", "m", "--precision", precision]);
            run.expect(3, &["conv_in.weight", "model verify"]);
        }
    }
    assert!(!place.path("q_mask.png").exists());
}

/// 1e6 is finite in f32 and infinite in f16: as a weight, and as a latent for the decoder.
#[test]
fn what_only_f32_can_hold_is_computed_in_f32() {
    for (tensor, says) in [("conv_in.weight", "conv_in.weight"), ("conv_out.bias", "NaN or infinity after the stage")] {
        let place = model();
        poison(&place, tensor, 1e6);
        let run = place.infer(&["--query", "q.png", "--weights", "m", "--precision", "f16", "--json", "-q"]);
        let run = run.expect(0, &["warning", says, "ran again with everything in f32"]);
        assert_eq!(lines(&run.out)[0]["precision"], "f32");
    }
}
