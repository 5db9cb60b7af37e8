//! Names and causes: ignored prefixes, and common causes of many problems.

use super::*;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

fn open(names: &[&str]) -> Weights {
    open_of(names, Dtype::F32)
}

fn open_of(names: &[&str], dtype: Dtype) -> Weights {
    let dir = tempfile::tempdir().unwrap();
    let data = vec![0; dtype.bitsize() / 8];
    let tensors: Vec<(&str, Dtype, &[usize], &[u8])> = names.iter().map(|n| (*n, dtype, &[1][..], &data[..])).collect();
    write(dir.path(), UNET, file_of(&tensors));
    Weights::open_component(dir.path(), "unet").unwrap()
}

/// Asks for `wanted` and finishes.
fn finish(weights: &Weights, wanted: &[&str]) -> Result<Report, WeightsError> {
    for name in wanted {
        weights.root().tensor(name, &[1]);
    }
    weights.finish()
}

const WANTED: [&str; 4] = ["conv_in.weight", "conv_in.bias", "down_blocks.0.w", "mid_block.w"];

#[test]
fn a_prefix_of_all_names_is_left_out_and_told() {
    for prefix in ["module.", "unet.", "model.diffusion_model.", "_orig_mod.module.", "a.b.c.", "conv_in."] {
        let names: Vec<String> = WANTED.iter().map(|name| format!("{prefix}{name}")).collect();
        let weights = open(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(finish(&weights, &WANTED).unwrap(), Report::default(), "{prefix}");
        assert!(weights.note().unwrap().contains(&format!("`{prefix}`")), "{:?}", weights.note());
        let values = weights.root().tensor("mid_block.w", &[1]).to_f32();
        assert_eq!(values.unwrap(), [0.0]);
    }
    assert_eq!(open(&WANTED).note(), None);
    // If the component's names lie at the root, no prefix is ignored.
    let weights = open(&["conv_in.weight", "conv_in.bias"]);
    assert!(weights.note().is_none() && weights.has("conv_in.weight"));
    // Other letters in common, or names that are not the component's, are no prefix.
    assert_eq!(open(&["xconv_in.weight", "xconv_in.bias"]).note(), None);
    assert_eq!(open(&["module.other.weight", "module.other.bias"]).note(), None);
    // The usual `text_model.` of a text encoder is no prefix to tell.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "text_encoder/model.safetensors", scalar("text_model.final_layer_norm.weight", 1.0));
    assert_eq!(Weights::open_component(dir.path(), "text_encoder").unwrap().note(), None);
    write(dir.path(), "text_encoder/model.safetensors", scalar("module.text_model.final_layer_norm.weight", 1.0));
    assert!(
        Weights::open_component(dir.path(), "text_encoder").unwrap().note().unwrap().contains("`module.text_model.")
    );
}

#[test]
fn many_problems_of_one_cause_are_told_once() {
    let under = |prefixes: &[&str], more: &[&str]| {
        let names: Vec<String> = prefixes.iter().flat_map(|p| WANTED.map(|name| format!("{p}{name}"))).collect();
        open(&names.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let quantised = |dtype| message(finish(&open_of(&WANTED, dtype), &WANTED));
    for (text, says) in [
        (message(finish(&under(&["unet.", "unet_ema."], &[]), &WANTED)), "more than once, under `unet.`, `unet_ema.`"),
        (message(finish(&under(&["module."], &["step"]), &WANTED)), "under `module.`, beside others"),
        (message(finish(&open(&["input_blocks.0.0.weight", "out.2.bias"]), &WANTED)), "from_single_file"),
        (message(finish(&open(&["model.diffusion_model.out.2.bias", "betas"]), &WANTED)), "original layout"),
        (message(finish(&open(&["lora_unet_down_blocks_0.alpha"]), &WANTED)), "LoRA"),
        (message(finish(&open(&["encoder.conv_in.weight", "decoder.conv_in.weight"]), &WANTED)), "another component"),
        (
            message(finish(&open(&["conv_in.weight", "x"]), &WANTED)),
            "needs 4 tensors, and the file has 1 of them among its 2",
        ),
        (quantised(Dtype::F8_E4M3), "F8_E4M3: a quantised checkpoint"),
        (quantised(Dtype::I8), "I8: a quantised checkpoint"),
        (quantised(Dtype::U8), "f32, f16 or bf16"),
    ] {
        assert!(text.contains(says) && text.contains("`conv_in."), "{says}: {text}");
    }
    let weights = open(&WANTED);
    WANTED.iter().for_each(|name| drop(weights.root().tensor(name, &[2])));
    assert!(message(weights.finish()).contains("config.json belongs to another model"));
    // A single problem is reported as it is.
    let text = message(finish(&open(&WANTED[1..]), &WANTED));
    assert!(text.ends_with("config.json: 1 tensor(s)\n  missing: `conv_in.weight` [1]"), "{text}");
}

#[test]
fn lists_end() {
    let weights = open(&["conv_in.weight"]);
    for i in 0..407 {
        weights.root().tensor(format!("t{i}"), &[1]);
    }
    let error = weights.finish().unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), 12, "{text}");
    assert!(text.ends_with("  and 397 more; `model verify` lists them"), "{text}");
    let all = error.listing(2000);
    assert!(all.lines().count() == 408 && all.ends_with("missing: `t406` [1]"), "{all}");
    let report = Report { unused: (0..30).map(|i| format!("u{i}\n")).collect() };
    let lines = report.unused_lines("f", 10);
    assert_eq!((lines.len(), lines[9].as_str()), (11, "f: unused tensor `u9\\n`"));
    assert_eq!(lines[10], "f: and 20 more unused tensors; `model verify` lists them");
    assert_eq!(report.unused_lines("f", 30).len(), 30);
}

/// One JSON after another that is deep, long, or says something else than it should.
#[test]
fn deep_and_huge_json_is_refused() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let dir = tempfile::tempdir().unwrap();
    let index = "unet/diffusion_pytorch_model.safetensors.index.json";
    let open = |text: &str| {
        write(dir.path(), index, text);
        Weights::open_component(dir.path(), "unet")
    };
    assert!(message(open(&deep(200_000))).contains("index"));
    assert!(message(open(&format!(r#"{{"weight_map":{{"a":{}}}}}"#, deep(200_000)))).contains("index"));
    // What is not asked for is skipped, however deep it is.
    assert!(message(open(&format!(r#"{{"metadata":{},"weight_map":{{}}}}"#, deep(100_000)))).contains("index"));
    assert!(message(open(&" ".repeat((16 << 20) + 1))).contains("more than 16777216 bytes"));
    assert!(message(open("version https://git-lfs.github.com/spec/v1\n")).contains("git lfs pull"));
    let parse = |text: &str| read_diffews(&ConfigText { file: "diffews.json".to_owned(), text: text.to_owned() });
    assert!(message(parse(&format!(r#"{{"size":{}}}"#, deep(100_000)))).len() < 300);
    assert!(message(parse(&format!(r#"{{"size":"{}"}}"#, "x".repeat(1 << 20)))).len() < 400);
    let keys: Vec<String> = (0..1000).map(|i| format!("\"k{i}\": 1")).collect();
    assert!(message(parse(&format!("{{{}}}", keys.join(",")))).contains("and 990 more"));
}

#[test]
fn shapes_and_names_in_messages_have_an_end() {
    let ones = 5_000_000;
    let header = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,4]}},"{}":{{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}}}"#,
        vec!["1"; ones].join(","),
        "n".repeat(1_000_000)
    );
    let w = Weights::from_bytes("f", raw(&header, &[0; 8])).unwrap();
    assert!(w.look("a").unwrap().to_f32().is_ok());
    assert!(format!("{:?}", w.look("a")).len() < 200);
    w.root().tensor("a", &[1]);
    w.root().tensor("n".repeat(1_000_000), &[2]);
    w.root().tensor("forged`\nerror: x", &[2]);
    let text = message(w.finish());
    assert!(text.len() < 1000 && text.contains("... 5000000 dimensions]"), "{}", text.len());
    assert!(!text.contains("\nerror"), "{text}");
    let header =
        format!(r#"{{"a":{{"dtype":"F\nerror: forged{}","shape":[],"data_offsets":[0,4]}}}}"#, "x".repeat(1 << 20));
    let text = malformed(raw(&header, &[0; 4]));
    assert!(text.len() < 500 && text.lines().count() == 1, "{text}");
}
