//! Banks in files: encoding and loading, joining several banks, several classes at once, and the refusal of damaged banks and those of
//! another model.

mod common;

use common::{Fixture, golden, gpu, rewritten};
use diffews_wgpu::formats::geotiff;
use diffews_wgpu::image_io::{DecodedMap, ObjectOptions, PictureOptions, PictureStrips, Prediction, RgbImage, Tiles};
use diffews_wgpu::segment::{BankOptions, BankStorage, ClassExtent, KvSample, StripPrediction};
use diffews_wgpu::weights::{ModelFiles, Weights};
use diffews_wgpu::{
    BankFile, Error, Example, MaskRule, Precision, Segmentation, Segmenter, SupportBank, Threshold, open_image,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    golden().join("odd").join(name)
}

fn query() -> RgbImage {
    open_image(fixture("query.png")).unwrap()
}

/// Two different examples.
fn examples() -> [Example; 2] {
    let first = Example::open(fixture("support_0.png"), fixture("support_0_mask.png")).unwrap();
    let turned = image::imageops::flip_vertical(first.image());
    let second = Example::new(turned, first.mask().into_owned()).unwrap().named("turned");
    [first, second]
}

fn odd() -> Segmenter {
    Segmenter::builder().weights(golden().join("odd")).gpu(gpu()).precision(Precision::F32).build().unwrap()
}

fn map(segmenter: &Segmenter, bank: &SupportBank) -> Vec<f32> {
    segmenter.segment(bank, &query()).unwrap().map().values().to_vec()
}

fn load(segmenter: &Segmenter, files: &[BankFile]) -> Result<SupportBank, Error> {
    segmenter.load_bank(files, &[], &mut |_, _| ControlFlow::Continue(()))
}

const EXACT: BankOptions = BankOptions { name: None, storage: BankStorage::F32, force: false };

/// Writes a bank of `examples`, and opens it.
fn written(segmenter: &Segmenter, examples: &[Example], path: &Path) -> BankFile {
    let bank = segmenter.encode(examples).unwrap();
    segmenter.save_bank(&bank, path, &EXACT).unwrap();
    BankFile::open(path).unwrap()
}

#[test]
fn a_bank_from_a_file_gives_the_same_map() {
    let (dir, segmenter) = (tempfile::tempdir().unwrap(), odd());
    let bank = segmenter.encode(&examples()).unwrap();
    let expected = map(&segmenter, &bank);
    let [exact, halves] = ["exact.bank", "halves.bank"].map(|name| dir.path().join(name));
    segmenter.save_bank(&bank, &exact, &EXACT).unwrap();
    segmenter.save_bank(&bank, &halves, &BankOptions { name: Some("bug"), ..Default::default() }).unwrap();
    let [exact, halves] = [exact, halves].map(|path| BankFile::open(path).unwrap());
    assert_eq!((exact.shots(), exact.name(), exact.storage()), (2, None, BankStorage::F32));
    assert_eq!((halves.shots(), halves.name(), halves.storage()), (2, Some("bug"), BankStorage::Half));
    assert_eq!(halves.examples(), ["support_0.png", "turned"]);
    assert_eq!((halves.size(), halves.precision()), (segmenter.size(), "f32"));
    let (image, mask) = halves.small(0).unwrap().unwrap();
    assert_eq!((image.dimensions(), mask.size()), (mask.size(), image.dimensions()));
    assert!(mask.foreground_fraction() > 0.0 && image.width() <= 128);
    // On another device, too.
    let other = odd();
    assert_eq!(map(&other, &load(&other, &[exact]).unwrap()), expected);
    // Within the promised f16 accuracy.
    let rounded = map(&other, &load(&other, std::slice::from_ref(&halves)).unwrap());
    let worst = rounded.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 4e-3, "{worst}");
    // A bank from a file can be saved again.
    let again = dir.path().join("again.bank");
    other.save_bank(&load(&other, &[halves]).unwrap(), &again, &Default::default()).unwrap();
    assert_eq!(BankFile::open(&again).unwrap().examples(), ["support_0.png", "turned"]);
    let kept = std::fs::read(&again).unwrap();
    let refused = other.save_bank(&other.encode(&examples()).unwrap(), &again, &EXACT).unwrap_err().to_string();
    assert!(refused.contains("again.bank") && std::fs::read(&again).unwrap() == kept, "{refused}");
}

#[test]
fn banks_join_and_come_apart() {
    let (dir, segmenter) = (tempfile::tempdir().unwrap(), odd());
    let path = |name: &str| dir.path().join(name);
    let [a, b] = examples();
    let expected = map(&segmenter, &segmenter.encode(&[a.clone(), b.clone()]).unwrap());
    let files = [("a", &a), ("b", &b)].map(|(name, e)| written(&segmenter, std::slice::from_ref(e), &path(name)));
    assert_eq!(map(&segmenter, &load(&segmenter, &files).unwrap()), expected);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let mixed = segmenter.load_bank(&files[..1], &[b], go_on).unwrap();
    assert_eq!((mixed.shots(), map(&segmenter, &mixed)), (2, expected.clone()));
    BankFile::join(&[(&files[0], 0..1), (&files[1], 0..1)], &path("both"), &EXACT).unwrap();
    let both = BankFile::open(path("both")).unwrap();
    assert_eq!(map(&segmenter, &load(&segmenter, std::slice::from_ref(&both)).unwrap()), expected);
    BankFile::join(&[(&both, 1..2)], &path("second"), &EXACT).unwrap();
    assert_eq!(std::fs::read(path("second")).unwrap(), std::fs::read(path("b")).unwrap());
    assert!(BankFile::join(&[(&both, 1..3)], &path("none"), &EXACT).is_err() && !path("none").exists());
    let larger =
        Segmenter::builder().weights(golden().join("odd")).size(segmenter.size() * 2).gpu(gpu()).build().unwrap();
    let large = written(&larger, &[a], &path("large"));
    let refused = BankFile::join(&[(&both, 0..1), (&large, 0..1)], &path("none"), &EXACT).unwrap_err().to_string();
    assert!(refused.contains("large") && refused.contains("sizes") && !path("none").exists(), "{refused}");
}

#[test]
fn several_classes_are_found_in_a_query_that_is_encoded_once() {
    let segmenter = odd();
    let [a, b] = examples();
    let sets = [vec![a.clone()], vec![b.clone()], vec![a, b]];
    let banks = sets.each_ref().map(|examples| segmenter.encode(examples).unwrap());
    let alone = banks.each_ref().map(|bank| map(&segmenter, bank));
    let order = [&banks[1], &banks[0], &banks[2], &banks[1]];
    let mut stages = Vec::new();
    let found = segmenter.segment_classes(&order, &query(), &mut |stage, _| {
        stages.push(stage);
        ControlFlow::Continue(())
    });
    let found: Vec<Vec<f32>> = found.unwrap().into_iter().map(|found| found.map().values().to_vec()).collect();
    assert_eq!(found, [1, 0, 2, 1].map(|i: usize| alone[i].clone()));
    stages.dedup();
    let encoded = stages.iter().filter(|&&stage| stage == diffews_wgpu::Stage::EncodeQuery).count();
    assert_eq!(encoded, 1, "{stages:?}");
    assert!(segmenter.segment_classes(&[], &query(), &mut |_, _| ControlFlow::Continue(())).unwrap().is_empty());
}

#[test]
fn where_halves_overflow_the_keys_of_a_file_are_read_in_f32() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = ModelFiles::open(&golden().join("odd"), None).unwrap();
    let vae = rewritten(&golden().join("odd/vae"), "decoder.conv_in.bias", |values, _| values[0] = 66_000.0);
    files.vae = Weights::from_bytes("rewritten", vae).unwrap();
    let of = |precision| Segmenter::builder().files(files.clone()).precision(precision).gpu(gpu()).build().unwrap();
    let (full, halves) = (of(Precision::F32), of(Precision::F16));
    let file = written(&full, &examples(), &dir.path().join("a.bank"));
    let bank = load(&halves, std::slice::from_ref(&file)).unwrap();
    let found = halves.segment(&bank, &query()).unwrap();
    assert_eq!((found.precision(), found.overflow().is_some()), (Precision::F32, true));
    assert_eq!(found.map().values(), map(&full, &load(&full, &[file]).unwrap()));
    // It is still a bank that can be saved.
    halves.save_bank(&bank, &dir.path().join("b.bank"), &EXACT).unwrap();
}

/// A bank's tensors by name, and its metadata.
struct Parts {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Parts {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let part = |(name, t): (String, TensorView)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec());
        let tensors = tensors.tensors().into_iter().map(part).collect();
        Parts { metadata: header.metadata().clone().unwrap(), tensors }
    }

    fn bytes(&self) -> Vec<u8> {
        let view = |(name, dtype, shape, data): &(String, Dtype, Vec<usize>, Vec<u8>)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data.clone().leak()).unwrap())
        };
        safetensors::serialize(self.tensors.iter().map(view), Some(self.metadata.clone())).unwrap()
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|t| t.0 == name).unwrap()
    }
}

#[test]
fn what_is_damaged_or_of_another_model_is_refused() {
    let (dir, segmenter) = (tempfile::tempdir().unwrap(), odd());
    let path = dir.path().join("a.bank");
    let file = written(&segmenter, &examples(), &path);
    let bytes = std::fs::read(&path).unwrap();
    let bad = dir.path().join("bad.bank");
    let refused = |bytes: &[u8], of: &Segmenter| {
        std::fs::write(&bad, bytes).unwrap();
        let error =
            BankFile::open(&bad).and_then(|file| load(of, &[file])).err().expect("an error is expected").to_string();
        assert!(error.contains("bad.bank") && error.lines().count() == 1, "{error}");
        error
    };
    for end in [0, 7, 8, 100, 4000, bytes.len() / 2, bytes.len() - 1] {
        refused(&bytes[..end], &segmenter);
    }
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::of(&bytes);
        change(&mut parts);
        refused(&parts.bytes(), &segmenter)
    };
    let set = |key: &'static str, value: &'static str| {
        with(&|parts| {
            parts.metadata.insert(key.into(), value.into());
        })
    };
    assert!(set("diffews_bank", "2").contains("version 2"));
    assert!(set("model", "0123456789abcdef").contains("another model"));
    assert!(set("size", "128").contains("128 x 128"));
    for (key, value) in [
        ("size", "0"),
        ("size", "-64"),
        ("size", "99999999999"),
        ("size", ""),
        ("examples", "[]"),
        ("examples", "{"),
        ("examples", "[1, 2]"),
        ("examples", "[\"a\"]"),
        ("model", ""),
    ] {
        set(key, value);
    }
    for key in ["diffews_bank", "model", "model_name", "size", "precision", "examples"] {
        with(&|parts| {
            parts.metadata.remove(key);
        });
    }
    assert!(
        with(&|parts| parts.tensor("layers.0.v").3[..4].copy_from_slice(&f32::NAN.to_le_bytes()))
            .contains("layers.0.v")
    );
    with(&|parts| parts.tensor("layers.1.k").3[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    with(&|parts| parts.tensors.retain(|t| t.0 != "layers.0.k"));
    with(&|parts| parts.tensors.retain(|t| !t.0.starts_with("layers.")));
    // The same number of elements in another shape; and one layer fewer, which the model reports.
    with(&|parts| parts.tensor("layers.0.k").2.swap(1, 2));
    with(&|parts| ["layers.0.k", "layers.0.v"].iter().for_each(|name| parts.tensor(name).2.swap(1, 2)));
    with(&|parts| parts.tensor("layers.0.k").1 = Dtype::I32);
    let last = file_layers(&bytes) - 1;
    with(&|parts| parts.tensors.retain(|t| !t.0.starts_with(&format!("layers.{last}."))));
    let sd21 = Segmenter::builder().model(Fixture::named("sd21").model()).gpu(gpu()).build().unwrap();
    let said = refused(&bytes, &sd21);
    assert!(said.contains("odd") && said.contains("sd21"), "{said}");
    // Messages show names but cannot be forged by them. Invalid thumbnails are left out.
    let mut parts = Parts::of(&bytes);
    parts.metadata.insert("examples".into(), "[\"a\\nerror: b\\u001b[2J\", \"c\"]".into());
    parts.tensor("examples.0.mask").2.swap(0, 1);
    std::fs::write(&bad, parts.bytes()).unwrap();
    let odd = BankFile::open(&bad).unwrap();
    assert!(odd.examples().iter().all(|name| !name.contains(['\n', '\u{1b}'])), "{:?}", odd.examples());
    assert_eq!(load(&segmenter, &[odd]).unwrap().shots(), file.shots());
}

fn file_layers(bytes: &[u8]) -> usize {
    Parts::of(bytes).tensors.iter().filter(|t| t.0.starts_with("layers.") && t.0.ends_with(".k")).count()
}

/// The sample has the requested number of keys, whatever their examples come from, and always the same ones.
#[test]
fn a_sample_of_many_supports_costs_what_few_cost() {
    let (dir, whole) = (tempfile::tempdir().unwrap(), odd());
    let sampled = |supports, seed| {
        let builder = Segmenter::builder().weights(golden().join("odd")).gpu(whole.gpu().clone());
        builder.precision(Precision::F32).shots(2).kv_sample(KvSample { supports, seed }).build()
    };
    let [a, b] = examples();
    let both = [a.clone(), b.clone()];
    let one = sampled(1, 5).unwrap();
    let bank = one.encode(&both).unwrap();
    let drawn = map(&one, &bank);
    assert_eq!((bank.shots(), one.memory().shots), (2, 1));
    // It differs from the whole banks, and another seed gives another bank.
    for examples in [&both[..], &both[..1], &both[1..]] {
        assert_ne!(map(&whole, &whole.encode(examples).unwrap()), drawn);
    }
    let other = sampled(1, 6).unwrap();
    assert_ne!(map(&other, &other.encode(&both).unwrap()), drawn);
    let again = sampled(1, 5).unwrap();
    assert_eq!(map(&again, &again.encode(&both).unwrap()), drawn);
    // From files, and from files and memory together.
    let files = [("a", a), ("b", b.clone())].map(|(name, e)| written(&whole, &[e], &dir.path().join(name)));
    assert_eq!(map(&one, &load(&one, &files).unwrap()), drawn);
    let mixed = one.load_bank(&files[..1], &[b], &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(map(&one, &mixed), drawn);
    // With no more supports than requested, everything is kept.
    let two = sampled(2, 5).unwrap();
    assert_eq!(map(&two, &two.encode(&both).unwrap()), map(&whole, &whole.encode(&both).unwrap()));
    assert_eq!(map(&one, &load(&one, &files[..1]).unwrap()), map(&whole, &load(&whole, &files[..1]).unwrap()));
    assert!(sampled(0, 5).is_err());
    let refused = one.save_bank(&bank, &dir.path().join("none"), &EXACT).unwrap_err().to_string();
    assert!(refused.contains("sample") && !dir.path().join("none").exists(), "{refused}");
}

/// A texture with the period of the tiles gives a periodic map, without seams between tiles.
#[test]
fn tiles_of_a_texture_are_one_map() {
    let (segmenter, tiles) = (odd(), Tiles::new(32, 8).unwrap());
    let bank = segmenter.encode(&examples()).unwrap();
    let side = 32 + 3 * 24;
    let texture = RgbImage::from_fn(side, side, |x, y| {
        image::Rgb([(x % 8 * 30) as u8, (y % 12 * 20) as u8, ((x + y) % 6 * 40) as u8])
    });
    let mut heard = Vec::new();
    let told = &mut |_, part| {
        heard.push(part);
        ControlFlow::Continue(())
    };
    let found = segmenter.segment_tiled(&[&bank], &texture, tiles, told).unwrap().remove(0);
    assert!(heard.iter().all(|part| (0.0..=1.0).contains(part)) && heard.len() > 16);
    let map = found.map();
    assert_eq!(((map.width(), map.height()), found.mask().size()), ((side, side), (side, side)));
    let at = |x: u32, y: u32| map.values()[(y * side + x) as usize];
    let one = segmenter.segment(&bank, &tiles.cut(&texture, (24, 24))).unwrap().map().map_at(32, 32);
    for (x, y) in (32..72).flat_map(|y| (32..72).map(move |x| (x, y))) {
        assert!((at(x, y) - at(x - 24, y)).abs() < 1e-5 && (at(x, y) - at(x, y - 24)).abs() < 1e-5, "{x} {y}");
        // A pixel of a single tile has that tile's result.
        if (32..48).contains(&x) && (32..48).contains(&y) {
            assert!((at(x, y) - one[((y - 24) * 32 + x - 24) as usize]).abs() < 1e-5, "{x} {y}");
        }
    }
}

/// A picture read by rows gives the same maps, masks, label maps, objects and overlays as one read at once, to the last bit.
#[test]
fn rows_in_turn_give_the_same() {
    let (dir, segmenter, tiles) = (tempfile::tempdir().unwrap(), odd(), Tiles::new(32, 8).unwrap());
    let banks = examples().map(|example| segmenter.encode(&[example]).unwrap());
    let banks: Vec<&SupportBank> = banks.iter().collect();
    let (path, size) = (dir.path().join("a.tif"), (70, 101));
    let grey: Vec<u8> = (0..70_u32 * 101).map(|i| (i % 70 * 3 + i / 70 % 13 * 9) as u8).collect();
    geotiff::save(&path, &grey, size, None, false).unwrap();
    let picture = open_image(&path).unwrap();
    let on = &mut |_, _| ControlFlow::Continue(());
    let whole = segmenter.segment_tiled(&banks, &picture, tiles, on).unwrap();
    let maps: Vec<DecodedMap> = whole.into_iter().map(Segmentation::into_map).collect();
    let mut strips = || {
        let mut strips = PictureStrips::open(&path, &PictureOptions::default()).unwrap();
        segmenter.segment_strips(&banks, &mut strips, tiles, on).unwrap()
    };
    for (map, want) in strips().iter().zip(&maps) {
        let mut next = map.rows().unwrap();
        let rows: Vec<f32> = (0..101).flat_map(|_| next().unwrap()).collect();
        assert_eq!(rows, want.values());
    }
    let own = segmenter.mask_rule();
    // Thresholds that leave many parts with holes.
    let middle = |map: &DecodedMap| map.map().iter().sum::<f32>() / map.map().len() as f32;
    let busy = MaskRule { threshold: Threshold::Absolute(f64::from(middle(&maps[0]))), ..own };
    let options = ObjectOptions { min_area: 3, fill_holes: true, largest: false };
    for (rule, margin, negatives) in [
        (own, None, false),
        (MaskRule { min_score: 1.0, ..own }, None, false),
        (busy, None, false),
        (busy, None, true),
        (busy, Some(0.0), false),
        (busy, Some(0.01), false),
    ] {
        let first = if margin.is_none() && !negatives { 1 } else { 2 };
        let mut want = Prediction::new(maps[..first].to_vec(), size, rule, margin, negatives).unwrap();
        let taken = strips().into_iter().take(first).collect();
        let mut found = StripPrediction::new(taken, rule, margin, negatives).unwrap();
        for objects in [None, Some(ObjectOptions::default()), Some(options)] {
            let wanted = objects.map(|options| want.keep_objects(&options).unwrap());
            objects.iter().for_each(|options| found.keep_objects(options).unwrap());
            let mut next = found.rows().unwrap();
            let rows: Vec<u8> = (0..101).flat_map(|_| next().unwrap()).collect();
            drop(next);
            match &want {
                Prediction::Mask { mask, .. } => {
                    assert_eq!(rows.iter().map(|v| *v == 255).collect::<Vec<_>>(), mask.foreground());
                }
                Prediction::Labels { labels, .. } => assert_eq!(rows, labels.labels()),
            }
            let mut picture_rows = PictureStrips::open(&path, &PictureOptions::default()).unwrap();
            let mut next = found.painted_rows(&mut picture_rows).unwrap();
            let painted: Vec<u8> = (0..101).flat_map(|_| next().unwrap()).collect();
            drop(next);
            assert_eq!(&painted, want.painted(&picture).unwrap().as_raw());
            let (mask, all) = (want.foreground(), ClassExtent::of_all(&found.class_extents().unwrap()));
            let count = mask.foreground().iter().filter(|f| **f).count() as u64;
            assert_eq!((all.foreground, all.bounding_box), (count, mask.bounding_box()));
            if let Some(wanted) = wanted {
                assert_eq!(found.regions().unwrap(), wanted, "{rule:?} {margin:?} {negatives}");
            }
        }
        let scores: Vec<f32> = want.maps().iter().map(|map| map.score(rule.threshold)).collect();
        assert_eq!(found.scores().collect::<Vec<_>>(), scores);
    }
}
