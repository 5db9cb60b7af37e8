//! `bank` and `infer --bank`.

use crate::command::{Place, SUPPORT, lines};
use std::fs;

/// A small size takes little time, and f32 keeps every bit.
const SMALL: [&str; 4] = ["--size", "64", "--precision", "f32"];

fn encode(place: &Place, bank: &str, more: &[&str]) {
    let args = [&["bank", "encode", "-o", bank, "-q"][..], &SUPPORT, &SMALL, more].concat();
    place.run(&args).expect(0, &[]);
}

#[test]
fn a_bank_takes_the_place_of_its_examples() {
    let place = Place::new();
    encode(&place, "a.bank", &["--name", "a disc"]);
    place
        .infer(&[&["--query", "q.png", "--probability", "a.npy", "--output", "a.png"], &SMALL[..]].concat())
        .expect(0, &[]);
    // The bank determines the size.
    let args = ["infer", "--bank", "a.bank", "--precision", "f32", "--query", "q.png", "--probability", "b.npy"];
    place.run(&[&args[..], &["--output", "b.png"]].concat()).expect(0, &[]);
    assert_eq!(fs::read(place.path("a.npy")).unwrap(), fs::read(place.path("b.npy")).unwrap());
    assert_eq!(fs::read(place.path("a.png")).unwrap(), fs::read(place.path("b.png")).unwrap());
    let said =
        place.run(&["infer", "--bank", "a.bank", "--query", "q.png", "--json", "--output", "c.png"]).expect(0, &[]);
    let said = &lines(&said.out)[0];
    assert_eq!((&said["size"], &said["supports"][0]["name"]), (&64.into(), &"a disc".into()));
    assert!(said["seconds"]["load_bank"].as_f64().is_some() && said["seconds"]["support_pass"].is_null());
}

#[test]
fn banks_are_merged_split_and_told_of() {
    let place = Place::new();
    encode(&place, "a.bank", &["--name", "disc"]);
    encode(&place, "both.bank", &["--bank", "a.bank", "--name", "disc"]);
    place.run(&["bank", "merge", "a.bank", "a.bank", "-o", "two.bank"]).expect(0, &[]);
    assert_eq!(fs::read(place.path("both.bank")).unwrap(), fs::read(place.path("two.bank")).unwrap());
    let info = place.run(&["bank", "info", "two.bank", "--json"]).expect(0, &[]).out;
    let info = &lines(&info)[0];
    assert_eq!((&info["shots"], &info["name"], &info["stored"]), (&2.into(), &"disc".into(), &"f32".into()));
    fs::create_dir(place.path("parts")).unwrap();
    place.run(&["bank", "split", "two.bank", "-o", "parts"]).expect(0, &[]);
    for part in ["parts/two_0.bank", "parts/two_1.bank"] {
        assert_eq!(fs::read(place.path(part)).unwrap(), fs::read(place.path("a.bank")).unwrap());
    }
    place.run(&["bank", "info", "two.bank", "--pictures", "parts"]).expect(0, &[]);
    assert!(place.path("parts/1_mask.png").exists());
    // Nothing is overwritten, and a failed run leaves no files.
    let before = place.names();
    place.run(&["bank", "merge", "a.bank", "-o", "two.bank"]).expect(1, &["two.bank", "--force"]);
    place.run(&["bank", "split", "two.bank", "-o", "parts"]).expect(1, &["two_0.bank"]);
    place.run(&["bank", "merge", "a.bank", "q.png", "-o", "new.bank"]).expect(1, &["q.png"]);
    place.run(&["bank", "merge", "a.bank", "-o", "no/such/a.bank"]).expect(1, &["no/such"]);
    assert_eq!(place.names(), before);
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let place = Place::new();
    encode(&place, "a.bank", &[]);
    let bytes = fs::read(place.path("a.bank")).unwrap();
    place.write("cut.bank", &bytes[..bytes.len() / 2]);
    let before = place.names();
    let infer = |bank: &str, more: &[&str]| place.run(&[&["infer", "--bank", bank, "--query", "q.png"], more].concat());
    infer("cut.bank", &[]).expect(1, &["cut.bank", "truncated"]);
    infer("none.bank", &[]).expect(1, &["none.bank"]);
    infer("s.png", &[]).expect(1, &["s.png"]);
    infer("a.bank", &["--size", "96"]).expect(1, &["a.bank", "64 x 64", "96 x 96"]);
    infer("a.bank", &["--support", "s.png"]).expect(2, &["--mask"]);
    place.run(&["infer", "--query", "q.png"]).expect(2, &["--support", "--bank"]);
    place.run(&["bank", "encode", "-o", "b.bank"]).expect(2, &["--support"]);
    let encode = |output: &str| place.run(&[&["bank", "encode", "-o", output][..], &SUPPORT, &SMALL].concat());
    encode("-").expect(2, &["-"]);
    encode("a.bank").expect(1, &["a.bank", "--force"]);
    assert_eq!((place.names(), fs::read(place.path("a.bank")).unwrap()), (before, bytes));
}

/// Classes of a bank and of pictures: the label map, and the objects of each class.
#[test]
fn several_classes_share_a_label_map() {
    let place = Place::new();
    encode(&place, "a.bank", &[]);
    let args = |more: &[&str]| {
        let all = ["infer", "--class", "disc=a.bank", "--support", "the/rest:s.png", "--mask", "s_mask.png"];
        place.run(&[&all[..], &["--query", "q.png", "--size", "64", "--precision", "f32"], more].concat())
    };
    // A class name with a slash is invalid, so this is a file's name, not a directory's.
    args(&[]).expect(2, &["some do not"]);
    let infer = |more: &[&str]| {
        let all = ["infer", "--class", "disc=a.bank", "--support", "all but it:s.png", "--mask", "s_mask.png"];
        let how = ["--invert-mask", "--query", "q.png", "--size", "64", "--precision", "f32", "--threshold", "0.25"];
        place.run(&[&all[..], &how, more].concat())
    };
    let said =
        infer(&["--json", "--class-masks", "out", "--probability", "out", "--overlay", "painted.png"]).expect(0, &[]);
    let said = &lines(&said.out)[0];
    assert_eq!(said["mask"], "q_labels.png");
    let classes = said["classes"].as_array().unwrap();
    let names: Vec<&str> = classes.iter().map(|class| class["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["disc", "all but it"]);
    let labels = image::open(place.path("q_labels.png")).unwrap().to_rgb8();
    let mut counted = 0.0;
    for (label, class) in [(1, &classes[0]), (2, &classes[1])] {
        assert_eq!(class["value"], label);
        let mask = image::open(place.path(class["mask"].as_str().unwrap())).unwrap().to_luma8();
        let colour = image::Rgb(if label == 1 { [128, 0, 0] } else { [0, 128, 0] });
        let same = labels.pixels().zip(mask.pixels()).all(|(a, b)| (*a == colour) == (b.0 == [255]));
        assert!(same, "{class}");
        counted += class["foreground_fraction"].as_f64().unwrap();
        assert!(place.path(class["probability"].as_str().unwrap()).exists());
    }
    assert!(counted > 0.0 && (counted - said["foreground_fraction"].as_f64().unwrap()).abs() < 1e-9);
    assert!(place.path("painted.png").exists());
    // Each class's map is the same as when it is searched alone.
    let alone =
        ["infer", "--bank", "a.bank", "--query", "q.png", "--precision", "f32", "--probability", "out/alone.png"];
    place.run(&[&alone[..], &["--output", "alone_mask.png"]].concat()).expect(0, &[]);
    assert_eq!(
        fs::read(place.path("out/alone.png")).unwrap(),
        fs::read(place.path("out/q_disc_probability.png")).unwrap()
    );
    // With so low a threshold both classes claim pixels. They are void if the margin cannot be exceeded, and otherwise not.
    let voids = |margin: &str| {
        let all = ["infer", "--class", "disc=a.bank", "too=a.bank", "--query", "q.png", "--force", "--threshold", "0"];
        place.run(&[&all[..], &["--precision", "f32", "--margin", margin]].concat()).expect(0, &[]);
        let labels = image::open(place.path("q_labels.png")).unwrap().to_rgb8();
        labels.pixels().filter(|p| p.0 == [224, 224, 192]).count()
    };
    assert!(voids("1") > 0 && voids("0") == 0);
    // Results beside their picture are not queries.
    let folder = ["infer", "--bank", "a.bank", "--query", ".", "--output", "masks/", "--json"];
    let done = place.run(&folder).expect(0, &[]);
    let queries: Vec<String> = lines(&done.out).iter().map(|line| line["query"].to_string()).collect();
    assert!(!queries.iter().any(|query| query.contains("labels")), "{queries:?}");
    // Contradictory flags.
    infer(&["--probability", "map.npy"]).expect(2, &["--probability", "directory"]);
    infer(&["--bank", "a.bank"]).expect(2, &["class"]);
    place.run(&["infer", "--bank", "a.bank", "--query", "q.png", "--class-masks", "out"]).expect(2, &["--class-masks"]);
    for class in ["a.bank", "=a.bank", "cat="] {
        place.run(&["infer", "--class", class, "--query", "q.png"]).expect(2, &["cat=cat.bank"]);
    }
}
