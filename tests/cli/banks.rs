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
    // The bank says at which size.
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
    // Nothing is written over, and nothing is left of what failed.
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
