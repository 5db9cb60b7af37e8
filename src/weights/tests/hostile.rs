//! Files and indices that lie.

use super::*;

#[test]
fn hostile_bytes_are_refused() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(malformed(vec![]).contains("too few"));
    assert!(malformed(vec![1; 7]).contains("too few"));
    assert!(malformed(u64::MAX.to_le_bytes().to_vec()).contains("claims"));
    assert!(malformed((file::MAX_HEADER as u64 + 1).to_le_bytes().to_vec()).contains("claims"));
    assert!(malformed([&100u64.to_le_bytes()[..], b"{}"].concat()).contains("truncated"));
    malformed(raw("", &[]));
    malformed(raw("not json", &[]));
    malformed(raw("[1]", &[]));
    malformed(raw(&"[".repeat(100_000), &[]));
    malformed(raw(&entry("F32", "[1]", "[0,4]"), &[0; 3]));
    malformed(raw(&entry("F32", "[1]", "[0,4]"), &[0; 5]));
    malformed(raw(&entry("F32", "[2]", "[0,4]"), &[0; 4]));
    malformed(raw(&entry("F32", "[1]", "[4,8]"), &[0; 8]));
    malformed(raw(&entry("F32", "[1]", "[4,0]"), &[0; 4]));
    malformed(raw(&entry("F32", "[-1]", "[0,4]"), &[0; 4]));
    malformed(raw(&entry("F32", "[1.5]", "[0,4]"), &[0; 4]));
    malformed(raw(&entry("F99", "[1]", "[0,4]"), &[0; 4]));
    malformed(raw(&entry("F32", "[18446744073709551615,4]", "[0,4]"), &[0; 4]));
    malformed(raw(&entry("F32", "[4611686018427387904]", "[0,0]"), &[]));
    let overlap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
    malformed(raw(overlap, &[0; 6]));
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    malformed(raw(twice, &[0; 8]));
    // Every truncation of a sound file.
    let good = file_of(&[("t", Dtype::F32, &[2], &f32s(&[1.0, 2.0]))]);
    for len in 0..good.len() {
        malformed(good[..len].to_vec());
    }
}

/// Tensors that claim nearly 2^64 bytes together: adding the header to that wraps around (the crate's own check would panic in a
/// build with overflow checks).
#[test]
fn sizes_that_wrap_around_are_refused() {
    let step = 1u64 << 60;
    let mut header = String::from("{");
    for i in 0..15 {
        header +=
            &format!(r#""t{i}":{{"dtype":"U8","shape":[{step}],"data_offsets":[{},{}]}},"#, i * step, (i + 1) * step);
    }
    header += &format!(r#""z":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}}"#, step - 1, 15 * step, u64::MAX);
    assert!(malformed(raw(&header, &[0; 16])).contains("18446744073709551615 bytes"));
}

#[test]
fn paths_of_the_wrong_kind_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("unet/diffusion_pytorch_model.safetensors")).unwrap();
    assert!(message(Weights::open_component(dir.path(), "unet")).contains("expected a file"));
    write(dir.path(), "vae", "a file");
    assert!(message(Weights::open_component(dir.path(), "vae")).contains("expected a directory"));
    write(dir.path(), "text_encoder/model.safetensors", "");
    assert!(message(Weights::open_component(dir.path(), "text_encoder")).contains("empty"));
    assert!(message(ModelFiles::open(&dir.path().join("vae"), None)).contains("expected a model directory"));
    assert!(message(ModelFiles::open(&dir.path().join("none"), None)).contains("none"));
}

#[test]
fn shards_are_joined_and_their_index_is_not_trusted() {
    let shard = |n: u32| format!("diffusion_pytorch_model-0000{n}-of-00002.safetensors");
    let open = |index: &str, second: Vec<u8>| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &format!("unet/{}", shard(1)), scalar("a", 1.0));
        write(dir.path(), &format!("unet/{}", shard(2)), second);
        write(dir.path(), "outside.safetensors", scalar("b", 1.0));
        write(dir.path(), "unet/diffusion_pytorch_model.safetensors.index.json", index);
        let w = Weights::open_component(dir.path(), "unet")?;
        Ok((w.root().tensor("a", &[1]).to_f32()?, w.root().tensor("b", &[1]).to_f32()?, w.unused()))
    };
    let map = |b: &str| format!(r#"{{"weight_map":{{"a":"{}","b":{b}}}}}"#, shard(1));
    let two = format!("\"{}\"", shard(2));
    assert_eq!(open(&map(&two), scalar("b", 2.0)).unwrap(), (vec![1.0], vec![2.0], vec![]));
    let both = file_of(&[("a", Dtype::F32, &[1], &[0; 4]), ("b", Dtype::F32, &[1], &[0; 4])]);
    assert!(matches!(open(&map(&two), both), Err(WeightsError::Duplicate { .. })));
    assert!(message(open(&map(&two), scalar("c", 2.0))).contains("`b` is not in"));
    for hostile in [
        "\"../outside.safetensors\"",
        "\"/etc/x.safetensors\"",
        "\"..\"",
        "\"\"",
        "\"a/b.safetensors\"",
        "\"c:x.safetensors\"",
        "\"..\\\\x.safetensors\"",
        "\"./x.safetensors\"",
        "\"x.bin\"",
        "7",
        "null",
    ] {
        assert!(matches!(open(&map(hostile), scalar("b", 2.0)), Err(WeightsError::Index { .. })), "{hostile}");
    }
    for broken in ["", "[]", "{}", r#"{"weight_map":[]}"#, r#"{"weight_map":{}}"#] {
        assert!(matches!(open(broken, scalar("b", 2.0)), Err(WeightsError::Index { .. })), "{broken}");
    }
    assert!(message(open(&map("\"gone.safetensors\""), scalar("b", 2.0))).contains("gone.safetensors"));
}
