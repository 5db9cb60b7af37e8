//! Less memory: 8-bit weights, made by the command or on loading, and weights that take turns on the device.

use crate::command::{Place, lines};
use crate::weights::model;
use std::fs;

#[test]
fn a_converted_model_is_a_model() {
    let place = model();
    place.run(&["model", "convert", "m", "-o", "eight", "--q8"]).expect(0, &[]);
    place.run(&["model", "convert", "--weights", "m", "--output", "halves"]).expect(0, &[]);
    for (dir, has) in [("eight", "I8"), ("halves", "F16")] {
        place.run(&["model", "verify", "--weights", dir]).expect(0, &[]);
        let info = place.run(&["model", "info", "--weights", dir]).expect(0, &[]).out;
        assert!(info.contains(has) && info.contains("160 by default") && info.contains("0.4 by default"), "{info}");
    }
    let size =
        |dir: &str| fs::metadata(place.path(&format!("{dir}/unet/diffusion_pytorch_model.safetensors"))).unwrap().len();
    assert!(size("eight") * 10 < size("halves") * 7, "{} {}", size("eight"), size("halves"));
    // The embedded model's f16 weights stay as they are.
    let args = |dir, mask| {
        ["--query", "q.png", "--size", "64", "--weights", dir, "--output", mask, "--precision", "f32", "-q"]
    };
    place.infer(&args("m", "a.png")).expect(0, &[]);
    place.infer(&args("halves", "b.png")).expect(0, &[]);
    assert_eq!(fs::read(place.path("a.png")).unwrap(), fs::read(place.path("b.png")).unwrap());
    // An 8-bit model can be converted again, without a change.
    place.run(&["model", "convert", "eight", "-o", "again", "--q8"]).expect(0, &[]);
    let bytes = |dir: &str| fs::read(place.path(&format!("{dir}/vae/diffusion_pytorch_model.safetensors"))).unwrap();
    assert_eq!(bytes("eight"), bytes("again"));
}

#[test]
fn nothing_is_written_over_and_nothing_is_left() {
    let place = model();
    fs::create_dir(place.path("there")).unwrap();
    fs::write(place.path("there/mine"), "mine").unwrap();
    let before = place.names();
    place.run(&["model", "convert", "m", "-o", "there", "--q8"]).expect(1, &["there: it exists already"]);
    place.run(&["model", "convert", "m", "-o", "m/unet/config.json"]).expect(1, &["already"]);
    place.run(&["model", "convert", "m", "-o", "no/such/place", "--q8"]).expect(3, &["no/such"]);
    place.run(&["model", "convert", "m", "--weights", "m", "-o", "x"]).expect(2, &["--weights"]);
    // An unusable model is not converted.
    fs::remove_file(place.path("m/vae/config.json")).unwrap();
    place.run(&["model", "convert", "m", "-o", "x", "--q8"]).expect(3, &["vae"]);
    assert_eq!((place.names(), fs::read(place.path("there/mine")).unwrap()), (before, b"mine".to_vec()));
}

#[test]
fn eight_bits_are_taken_as_asked_and_where_they_are_all_there_is() {
    let place = model();
    place.run(&["model", "convert", "m", "-o", "eight", "--q8"]).expect(0, &[]);
    let answers = |args: &[&str]| {
        lines(&place.infer(&[&["--query", "q.png", "--json", "--size", "64"], args].concat()).expect(0, &[]).out)
    };
    assert_eq!(answers(&["--precision", "q8", "--output", "a.png"])[0]["precision"], "q8");
    assert_eq!(answers(&["--weights", "eight", "--output", "b.png"])[0]["precision"], "f32");
    let peak = |args: &[&str]| {
        let args = [&["bench", "--work", "--json", "--size", "64", "--model"], args].concat();
        lines(&place.run(&args).expect(0, &[]).out)[0]["peak_memory_bytes"].as_u64().unwrap()
    };
    let [full, halves, eight] = ["f32", "packed", "q8"].map(|p| peak(&["embedded", "--precision", p]));
    assert!(eight < halves && halves < full, "{eight} {halves} {full}");
    // Storing 8-bit weights in 8 bits loses nothing.
    let less = (full - 1).to_string() + "B";
    assert_eq!(answers(&["--weights", "eight", "--max-memory", &less, "--output", "c.png"])[0]["precision"], "q8");
    assert_eq!(answers(&["--max-memory", &less, "--output", "d.png"])[0]["precision"], "f16");
}

#[test]
fn weights_take_turns_where_memory_is_short() {
    let place = Place::new();
    let args = |mask, more: &[&'static str]| {
        [&["--query", "q.png", "--size", "64", "--precision", "f16", "--output", mask], more].concat()
    };
    place.infer(&args("whole.png", &["-q"])).expect(0, &[]);
    let refused = place.infer(&args("x.png", &["--max-memory", "1MiB"])).expect(2, &["--max-memory: ", "or at least"]);
    // In tenths of a MiB, rounded.
    let least = refused.err.split("or at least ").nth(1).and_then(|rest| rest.split(" MiB").next()).unwrap();
    let least = format!("{:.2}MiB", least.parse::<f64>().unwrap() + 0.06);
    let told = place.infer(&[&args("turns.png", &["-v"])[..], &["--max-memory", &least]].concat());
    told.expect(0, &["stay, the others take turns in"]);
    assert_eq!(fs::read(place.path("whole.png")).unwrap(), fs::read(place.path("turns.png")).unwrap());
    let work = ["bench", "--work", "--json", "--size", "64", "--max-memory", &least];
    let work = lines(&place.run(&work).expect(0, &[]).out).remove(0);
    assert!(work["memory"]["weights_in_turn"].as_u64().unwrap() > 0, "{work}");
    place
        .run_with(&[("DIFFEWS_MAX_MEMORY", "1MiB")], &crate::command::infer(&args("x.png", &[])))
        .expect(2, &["or at least"]);
    place.infer(&args("x.png", &["--max-memory", "7"])).expect(2, &["unit"]);
}
