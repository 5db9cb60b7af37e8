//! Directories that hold no model, or one in an unpublished layout, as downloads and training scripts leave them. Either exit code 3 and a
//! single short message that names the file, the cause and the remedy, or the same result as the model itself.

use crate::command::{NO_DRIVER, Place, infer};
use crate::weights::{UNET, VAE, edit, model, replace};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;

type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.iter().map(|(name, t)| (name.to_owned(), t.dtype(), t.shape().to_vec(), t.data().to_vec())).collect()
}

fn pack(tensors: &Tensors) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Changes the tensors of one of the model's files.
fn retell(place: &Place, file: &str, change: impl Fn(Tensors) -> Tensors) {
    edit(place, file, |bytes| pack(&change(tensors(&bytes))));
}

/// Prepends `prefix` to every name.
fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().map(|(name, d, s, data)| (format!("{prefix}{name}"), *d, s.clone(), data.clone())).collect()
}

/// `infer` refuses it without looking for a driver, and so do `model verify` and `info` where they see the fault, in a short message
/// without lines forged by a file.
#[track_caller]
fn refused_of(place: &Place, model: &[&str], parts: &[&str]) {
    let run = place.run_with(&NO_DRIVER, &[&infer(&["--query", "q.png"]), model].concat()).expect(3, parts);
    assert!(run.err.len() < 3000 && run.err.lines().count() <= 24, "{} bytes: {}", run.err.len(), run.err);
    assert!(!run.err.contains("\nerror: forged"), "{}", run.err);
    let run = place.run(&[&["model", "verify"], model].concat()).expect(3, parts);
    assert!(run.err.len() < 200_000 && !run.err.contains("\nerror: forged"), "{} bytes", run.err.len());
}

#[track_caller]
fn refused(place: &Place, parts: &[&str]) {
    refused_of(place, &["--weights", "m"], parts);
}

#[track_caller]
fn accepted(place: &Place, parts: &[&str]) {
    place.run(&["model", "verify", "--weights", "m"]).expect(0, parts);
}

#[test]
fn other_things_in_the_place_of_weights() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3463726504\n";
    let page = "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>";
    let zip = [b"PK\x03\x04\0\0".as_slice(), &[0; 100]].concat();
    let cases: [(&[u8], &str); 10] = [
        (pointer.as_bytes(), "git lfs pull"),
        (page.as_bytes(), "web page"),
        (b"<html>", "web page"),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", "GGUF"),
        (&zip, "PyTorch file under another name"),
        (b"\x80\x02}q\0(X\x0e\0\0\0conv_in.weightq", "PyTorch file under another name"),
        (b"Access to model x/y is restricted. You must be authenticated", "text that begins with `Access to model"),
        (b"{\"error\": \"Repository not found\"}\n", "text that begins with `{\"error\""),
        (&[0; 4096], "zeros only"),
        (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], "archive"),
    ];
    for (bytes, says) in cases {
        let place = model();
        place.write(UNET, bytes);
        println!("{says}");
        refused(&place, &["unet/diffusion_pytorch_model.safetensors", says]);
    }
    for (bytes, says) in [
        (pointer.as_bytes().to_vec(), "git lfs pull"),
        (page.as_bytes().to_vec(), "web page"),
        (vec![0xff, 0xfe, b'{', 0, b'}', 0], "UTF-16"),
        (b"{\"_class_name\": \"\xe9\"}".to_vec(), "UTF-8"),
        (vec![b' '; 2 << 20], "more than 1048576 bytes"),
        (b"[".repeat(100_000), "recursion"),
        ([b"{\"a\":".repeat(90_000), b"1".to_vec()].concat(), "recursion"),
    ] {
        for file in ["m/unet/config.json", "m/vae/config.json", "m/scheduler/scheduler_config.json", "m/diffews.json"] {
            let place = model();
            place.write(file, &bytes);
            println!("{file}: {says}");
            place.run(&["model", "verify", "--weights", "m"]).expect(3, &[file, says]);
        }
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let place = model();
    for file in ["m/unet/config.json", "m/vae/config.json", "m/scheduler/scheduler_config.json", "m/diffews.json"] {
        edit(&place, file, |text| [b"\xef\xbb\xbf", &text[..]].concat());
    }
    accepted(&place, &[]);
}

#[test]
fn files_by_other_names() {
    for (name, says) in [
        ("x.gguf", "x.gguf holds quantised weights"),
        ("diffusion_pytorch_model.safetensors.incomplete", "unfinished"),
        ("diffusion_pytorch_model-00001-of-00002.safetensors", "one of several shards"),
        ("my_unet.safetensors", "my_unet.safetensors is not a published name"),
        ("diffusion_pytorch_model.ckpt", "convert the file once"),
    ] {
        let place = model();
        fs::rename(place.path(UNET), place.path("m/unet").join(name)).unwrap();
        refused(&place, &[says]);
    }
    let place = model();
    fs::rename(place.path(UNET), place.path("m/unet/diffusion_pytorch_model.fp16.safetensors")).unwrap();
    accepted(&place, &[]);
}

#[test]
fn directories_and_files_that_are_near_a_model() {
    let place = model();
    fs::create_dir(place.path("single")).unwrap();
    let single = pack(&vec![("model.diffusion_model.out.2.bias".to_owned(), Dtype::F32, vec![1], vec![0; 4])]);
    place.write("single/v2-1_512-ema-pruned.safetensors", &single);
    place.write("x.ckpt", b"PK\x03\x04\0\0");
    place.write("x.gguf", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0");
    place.write("x.pt", b"\x01\x02\x03");
    fs::create_dir_all(place.path("sd3/transformer")).unwrap();
    fs::create_dir_all(place.path("parent/inner")).unwrap();
    fs::rename(place.path("m/unet"), place.path("unet")).unwrap();
    fs::create_dir_all(place.path("parent/inner/unet")).unwrap();
    for (weights, says) in [
        ("single", "there is v2-1_512-ema-pruned.safetensors: single-file models"),
        ("single/v2-1_512-ema-pruned.safetensors", "from_single_file"),
        ("unet/diffusion_pytorch_model.safetensors", "weights of one component"),
        ("unet/config.json", "name the model directory"),
        ("unet", "it is one component"),
        ("x.ckpt", "PyTorch file"),
        ("x.pt", "from_single_file"),
        ("x.gguf", "GGUF"),
        ("q.png", "expected a model directory"),
        ("sd3", "transformer/, a model newer"),
        ("parent", "did you mean parent/inner?"),
    ] {
        println!("{weights}");
        refused_of(&place, &["--weights", weights], &[weights, says]);
    }
    // The same for --unet.
    fs::create_dir(place.path("empty")).unwrap();
    for (unet, says) in [
        ("unet/diffusion_pytorch_model.safetensors", "weights of one component"),
        ("empty", "no unet weights here"),
        ("nowhere", "nowhere"),
    ] {
        refused_of(&place, &["--weights", "m", "--unet", unet], &[unet, says]);
    }
}

#[cfg(unix)]
#[test]
fn links() {
    use std::os::unix::fs::symlink;
    // As in a hub cache: each file is a link into `blobs`, and `refs/main` names the snapshot.
    let place = model();
    fs::create_dir_all(place.path("models--x/blobs")).unwrap();
    fs::create_dir_all(place.path("models--x/refs")).unwrap();
    place.write("models--x/refs/main", b"abc");
    for (i, file) in
        [&UNET[2..], &VAE[2..], "unet/config.json", "vae/config.json", "empty_prompt.safetensors"].iter().enumerate()
    {
        fs::rename(place.path("m").join(file), place.path(&format!("models--x/blobs/{i}"))).unwrap();
        let link = place.path("models--x/snapshots/abc").join(file);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = if file.contains('/') { "../../../blobs" } else { "../../blobs" };
        symlink(format!("{up}/{i}"), link).unwrap();
    }
    place.run(&["model", "verify", "--weights", "models--x"]).expect(0, &[]);
    for (gone, file) in [(0, "diffusion_pytorch_model.safetensors"), (2, "config.json")] {
        fs::remove_file(place.path(&format!("models--x/blobs/{gone}"))).unwrap();
        let says = ["it is a link to", "download it again", file];
        refused_of(&place, &["--weights", "models--x"], &says);
        fs::copy(place.path("models--x/blobs/1"), place.path(&format!("models--x/blobs/{gone}"))).unwrap();
    }
    // It is not ignored like a missing file, because its threshold belongs to the model.
    let place = model();
    fs::remove_file(place.path("m/diffews.json")).unwrap();
    symlink("../blobs/nowhere", place.path("m/diffews.json")).unwrap();
    refused(&place, &["m/diffews.json", "it is a link to ../blobs/nowhere"]);
}

#[test]
fn prefixes_of_all_names() {
    let whole = model();
    let mask = |place: &Place| {
        place.infer(&["--query", "q.png", "--weights", "m", "--size", "32"]).expect(0, &[]);
        fs::read(place.path("q_mask.png")).unwrap()
    };
    let place = model();
    retell(&place, UNET, |all| prefixed(&all, "module.unet."));
    retell(&place, VAE, |all| prefixed(&all, "vae."));
    accepted(&place, &["all names begin with `module.unet.`, which is ignored", "`vae.`"]);
    place.run(&["model", "info", "--weights", "m"]).expect(0, &["`module.unet.`"]);
    let run = place.infer(&["--query", "q.png", "--weights", "m", "--size", "32", "-v", "--force"]);
    run.expect(0, &["`module.unet.`"]);
    assert_eq!(fs::read(place.path("q_mask.png")).unwrap(), mask(&whole));

    let place = model();
    retell(&place, UNET, |all| [prefixed(&all, "unet."), prefixed(&all, "unet_ema.")].concat());
    refused(&place, &["more than once, under `unet.`, `unet_ema.`"]);
    let place = model();
    retell(&place, UNET, |all| {
        let step = [("step".to_owned(), Dtype::I64, vec![], vec![0; 8])];
        [prefixed(&all, "module."), step.to_vec()].concat()
    });
    refused(&place, &["under `module.`, beside others"]);
}

#[test]
fn checkpoints_of_other_kinds() {
    let quantised = |dtype: Dtype| {
        let place = model();
        retell(&place, UNET, |all| {
            let byte = |(name, _, shape, data): (String, Dtype, Vec<usize>, Vec<u8>)| {
                let half = data[..data.len() / 2].to_vec();
                (name, dtype, shape, half)
            };
            all.into_iter().map(byte).collect()
        });
        place
    };
    for (dtype, says) in
        [(Dtype::F8_E4M3, "F8_E4M3"), (Dtype::F8_E5M2, "F8_E5M2"), (Dtype::I8, "I8"), (Dtype::U8, "U8")]
    {
        refused(
            &quantised(dtype),
            &[&format!("its weights are {says}: a quantised checkpoint"), "more; `model verify`"][..1],
        );
    }
    let swap = |file: &str, tensors: &Tensors| {
        let place = model();
        place.write(file, &pack(tensors));
        place
    };
    let one = |name: &str| vec![(name.to_owned(), Dtype::F32, vec![1], vec![0; 4])];
    refused(&swap(UNET, &one("input_blocks.0.0.weight")), &["original layout", "from_single_file"]);
    refused(&swap(VAE, &one("first_stage_model.encoder.down.0.block.0.conv1.weight")), &["original layout"]);
    refused(&swap(UNET, &one("unet.down_blocks.0.attn1.to_q.lora_A.weight")), &["LoRA"]);
    let vae = tensors(&fs::read(model().path(VAE)).unwrap());
    refused(&swap(UNET, &vae), &["another component"]);
    // The configuration of another model.
    let place = model();
    replace(
        &place,
        "m/unet/config.json",
        "\"block_out_channels\": [",
        "\"block_out_channels\": [64, 128, 256], \"_\": [",
    );
    refused(&place, &["m/unet"]);

    // A base model, without DiffewS's additions. Its scheduler is the base's, too, but that is not the fault.
    let place = model();
    retell(&place, UNET, |all| all.into_iter().filter(|t| !t.0.starts_with("conv_in_ref")).collect());
    replace(&place, "m/scheduler/scheduler_config.json", "v_prediction", "epsilon");
    refused(&place, &["plain Stable Diffusion UNet", "conv_in_ref", "--unet"]);
}

#[test]
fn lists_and_shapes_end() {
    // A 1 kB configuration that requires nearly 90,000 tensors.
    let place = model();
    let list = |item: &str| format!("[{}]", [item; 8].join(", "));
    let config = format!(
        r#"{{"block_out_channels": {}, "norm_num_groups": 16, "layers_per_block": 16, "transformer_layers_per_block": 16,
            "down_block_types": {}, "up_block_types": {}, "attention_head_dim": 1, "in_channels": 16, "in_channels_ref": 32,
            "out_channels": 16, "cross_attention_dim": 32}}"#,
        list("16"),
        list("\"CrossAttnDownBlock2D\""),
        list("\"CrossAttnUpBlock2D\"")
    );
    place.write("m/unet/config.json", config.as_bytes());
    refused(&place, &["and 8", "more"]);

    let place = model();
    let shape = vec!["1"; 2_000_000].join(",");
    let header = format!(r#"{{"conv_in_ref.weight":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}}}"#);
    place.write(UNET, &[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat());
    refused(&place, &["... 2000000 dimensions]"]);

    // Unused tensors are warnings, and their names cannot forge lines.
    let place = model();
    retell(&place, UNET, |mut all| {
        all.extend((0..100).map(|i| (format!("e{i:03}\nerror: forged"), Dtype::F32, vec![1], vec![0; 4])));
        all
    });
    let run = place.run_with(&NO_DRIVER, &infer(&["--query", "q.png", "--weights", "m"]));
    assert!(run.err.contains("unused tensor `e009\\n") && !run.err.contains("e010"), "{}", run.err);
    assert!(run.err.contains("90 more unused tensors; `model verify` lists them"), "{}", run.err);
    let run = place.run(&["model", "verify", "--weights", "m"]).expect(0, &["e099"]);
    assert!(!run.err.contains("\nerror: forged"));

    let place = model();
    let keys: Vec<String> = (0..500).map(|i| format!("\"k{i}\\nerror: forged\": 1,")).collect();
    replace(&place, "m/unet/config.json", "{", &format!("{{{}", keys.concat()));
    let run = place.run(&["model", "verify", "--weights", "m"]).expect(0, &["unknown key `k", "and 490 more"]);
    assert!(run.err.lines().count() < 20 && !run.err.contains("\nerror: forged"), "{}", run.err);
}

/// Another process truncates or overwrites the file while it is read: either it was read before that, or the command reports it.
#[cfg(target_os = "linux")]
#[test]
fn files_that_change_while_they_are_read() {
    use std::process::Stdio;
    use std::time::Duration;
    let mut seen = 0;
    for run in 0..6 {
        let place = model();
        // 64 MB, so that reading takes a while.
        retell(&place, UNET, |mut all| {
            all.push(("large".to_owned(), Dtype::F32, vec![16 << 20], vec![0; 64 << 20]));
            all
        });
        // A write within the same tick of the file system's clock would not show.
        std::thread::sleep(Duration::from_millis(20));
        let mut command = place.command(&["model", "verify", "--weights", "m"]);
        let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let fds = format!("/proc/{}/fd", child.id());
        let opened = || {
            let mut links =
                fs::read_dir(&fds).into_iter().flatten().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
            links.any(|to| to.ends_with(UNET))
        };
        for _ in 0..10_000 {
            if opened() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(3 * run));
        let file = fs::OpenOptions::new().write(true).open(place.path(UNET)).unwrap();
        if run % 2 == 0 {
            file.set_len(100).unwrap();
        } else {
            std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 1 << 20).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().expect("no signal ends it");
        let told = err.contains("ends early") || err.contains("changed while it was being read");
        // If it is cut just after opening, its length looks like that of an incomplete download.
        assert!(code == 0 || (code == 3 && (told || err.contains("truncated"))), "{code}: {err}");
        seen += usize::from(told);
    }
    assert!(seen > 0, "no run was caught while it read");
}
