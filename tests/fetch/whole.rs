//! Correct servers, and repeated runs.

use crate::bed::{Bed, SIZE, UNET, bytes, files};
use crate::server::Reply;
use diffews_wgpu::fetch::FetchError;
use std::fs;
use std::ops::ControlFlow;

#[test]
fn both_layouts_are_fetched_and_not_twice() {
    for address in ["models/o/n", "o/n"] {
        let bed = Bed::good();
        let fetch = || bed.fetch_as(address, &mut |_| ControlFlow::Continue(())).unwrap();
        let fetched = fetch();
        bed.expect(&files());
        assert_eq!((fetched.files, fetched.there, fetched.unet), (7, 0, None));
        assert_eq!(fetched.weights, Some(bed.path("")));
        let asked = bed.server.asked().len();
        let again = fetch();
        assert_eq!((again.files, again.there, bed.server.asked().len()), (0, 7, asked + 1));
    }
}

#[test]
fn what_this_program_does_not_read_is_left() {
    let mut all = files();
    for name in [
        "README.md",
        "vae/notes.txt",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "model.ckpt",
        "tokenizer/vocab.json",
    ] {
        all.0.insert(name.into(), bytes(1, 10));
    }
    let bed = Bed::of(all, |_, _| None);
    bed.fetch().unwrap();
    bed.expect(&files());
}

#[test]
fn shards_are_those_of_the_index() {
    let mut all = files();
    all.0.remove(UNET);
    let index = r#"{"metadata": {}, "weight_map": {"a": "m-1-of-2.safetensors", "b": "m-2-of-2.safetensors", "c": "m-1-of-2.safetensors"}}"#;
    all.0.insert("unet/diffusion_pytorch_model.safetensors.index.json".into(), index.into());
    for i in 1..=2 {
        all.0.insert(format!("unet/m-{i}-of-2.safetensors"), bytes(i, 5000));
    }
    let bed = Bed::of(all.clone(), |_, _| None);
    assert_eq!(bed.fetch().unwrap().files, 9);
    bed.expect(&all);
    all.0.remove("unet/m-2-of-2.safetensors");
    let lacking = Bed::of(all, |_, _| None);
    let error = lacking.fetch().unwrap_err().to_string();
    assert!(error.contains("m-2-of-2"), "{error}");
}

/// More than disks hold: reported before the first file is fetched.
#[test]
#[cfg(unix)]
fn what_has_no_room_is_not_begun() {
    let mut all = files();
    all.0.remove(UNET);
    let names: Vec<String> = (0..250).map(|i| format!("m-{i}.safetensors")).collect();
    let map: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), name.as_str().into())).collect();
    all.0.insert(format!("{UNET}.index.json"), serde_json::json!({"weight_map": map}).to_string().into());
    let bed = Bed::of(all.clone(), move |asked, _| {
        let mut list = all.modelscope();
        let shard = |name| serde_json::json!({"Path": format!("unet/{name}"), "Size": 64u64 << 30, "Type": "blob"});
        list["Data"]["Files"].as_array_mut().unwrap().extend(names.iter().map(shard));
        asked.path.contains("/api/").then(|| Reply::of(200, list.to_string()))
    });
    let error = bed.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Full { missing, .. } if *missing > 250 * (64 << 30)), "{error}");
    assert_eq!(bed.server.asked().len(), 2);
}

#[test]
fn an_interrupted_run_leaves_its_part_to_the_next() {
    let bed = Bed::good();
    let mut steps = 0;
    let mut end = |progress: &diffews_wgpu::fetch::Progress| {
        steps += u32::from(progress.file == UNET && progress.done > 0);
        if steps > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(matches!(bed.fetch_as("models/o/n", &mut end), Err(FetchError::Interrupted)));
    let part = bed.path("unet/diffusion_pytorch_model.safetensors.part");
    let held = fs::metadata(&part).unwrap().len() as usize;
    assert!(held > 0 && held <= SIZE && !bed.path(UNET).exists(), "{held}");
    // All of it may have arrived at once, so shorten the part.
    fs::write(&part, &fs::read(&part).unwrap()[..held / 2]).unwrap();
    bed.fetch().unwrap();
    bed.expect(&files());
    assert_eq!(bed.server.starts(UNET), [0, held / 2]);
}

#[test]
fn parts_of_something_else_are_thrown_away() {
    for part in [bytes(99, 1000), bytes(99, SIZE), bytes(99, SIZE + 1)] {
        let bed = Bed::good();
        fs::create_dir_all(bed.path("unet")).unwrap();
        fs::write(bed.path(UNET).with_extension("safetensors.part"), part).unwrap();
        bed.fetch().unwrap();
        bed.expect(&files());
    }
}

#[test]
fn files_of_another_kind_stay_unless_told() {
    let mut bed = Bed::good();
    fs::create_dir_all(bed.path("unet")).unwrap();
    for mine in [bytes(99, 10), bytes(99, SIZE)] {
        fs::write(bed.path(UNET), &mine).unwrap();
        bed.force = false;
        assert!(matches!(bed.fetch(), Err(FetchError::Exists { path }) if path == bed.path(UNET)));
        assert!(fs::read(bed.path(UNET)).unwrap() == mine);
        bed.force = true;
        assert_eq!(bed.fetch().unwrap().files, 7);
        bed.expect(&files());
    }
}

#[test]
fn redirects_and_pages_are_followed() {
    let all = files();
    let mut half = all.clone();
    let second = crate::server::Files(half.0.split_off("unet/config.json"));
    let bed = Bed::of(all.clone(), move |asked, _| {
        if asked.path.contains("/api/models/") {
            let first = Reply::of(200, half.hugging_face().to_string());
            let next = "</api/models/o/n/tree/main?cursor=1>; rel=\"next\"";
            let is_second = asked.path.contains("cursor");
            return Some(if is_second {
                Reply::of(200, second.hugging_face().to_string())
            } else {
                first.with("Link", next)
            });
        }
        let there = asked.path.strip_prefix("/o/n/resolve/main/");
        there.map(|path| Reply::of(302, "").with("Location", format!("/cdn/resolve/x/{path}")))
    });
    bed.fetch_as("o/n", &mut |_| ControlFlow::Continue(())).unwrap();
    bed.expect(&all);
}

#[test]
#[cfg(unix)]
fn another_run_and_links_are_not_written_to() {
    let bed = Bed::good();
    fs::create_dir_all(bed.path("unet")).unwrap();
    let part = bed.path(UNET).with_extension("safetensors.part");
    let other = fs::File::create(&part).unwrap();
    other.lock().unwrap();
    assert!(matches!(bed.fetch(), Err(FetchError::Busy { path }) if path == part));
    drop(other);
    fs::remove_file(&part).unwrap();
    let mine = bed.path("mine");
    fs::write(&mine, "mine").unwrap();
    std::os::unix::fs::symlink(&mine, &part).unwrap();
    assert!(matches!(bed.fetch(), Err(FetchError::Io { .. })));
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
}
