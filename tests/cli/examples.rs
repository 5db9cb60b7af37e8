//! Examples by marks, label maps and annotations of other tools, and misuse of these.

use crate::command::{Place, SUPPORT, disc, lines, picture};
use image::{GrayImage, Luma};

const SMALL: [&str; 5] = ["--size", "64", "--precision", "f32", "-q"];

impl Place {
    fn small(&self, args: &[&str]) -> crate::command::Run {
        self.run(&[&["infer"], args, &SMALL].concat())
    }

    fn mask(&self, name: &str) -> Vec<bool> {
        image::open(self.path(name)).unwrap().into_luma8().pixels().map(|p| p.0[0] > 127).collect()
    }
}

#[test]
fn a_box_makes_the_mask_that_is_used() {
    let place = Place::new();
    let boxed = ["--support", "s.png", "--box", "12,8,36,32", "--query", "q.png"];
    let run = place.small(&[&boxed[..], &["--save-mask", "made.png", "--probability", "a.npy", "--json"]].concat());
    let said = lines(&run.expect(0, &[]).out).remove(0);
    assert_eq!(said["supports"][0]["mask"], "made.png");
    let made = place.mask("made.png");
    assert!(made.iter().enumerate().all(|(i, &m)| !m || ((12..36).contains(&(i % 48)) && (8..32).contains(&(i / 48)))));
    let count = made.iter().filter(|m| **m).count();
    assert!(count > 50, "{count}");
    // The mask from a file gives the same map, and so does a run without --save-mask.
    let again =
        ["--support", "s.png", "--mask", "made.png", "--query", "q.png", "--output", "b.png", "--probability", "b.npy"];
    place.small(&again).expect(0, &[]);
    place.small(&[&boxed[..], &["--output", "c.png", "--probability", "c.npy"]].concat()).expect(0, &[]);
    for other in ["b.npy", "c.npy"] {
        assert_eq!(std::fs::read(place.path("a.npy")).unwrap(), std::fs::read(place.path(other)).unwrap());
    }
}

#[test]
fn marks_belong_to_the_example_of_their_number() {
    let place = Place::new();
    let both = ["--support", "s.png", "--support", "q.png", "--query", "q.png", "--force"];
    let run = |more: &[&str]| place.small(&[&both[..], more].concat());
    run(&["--mask", "s_mask.png", "--point", "2:30,25", "--point", "2:2,2,-"]).expect(0, &[]);
    let before = place.names();
    run(&["--mask", "s_mask.png", "--point", "30,25"]).expect(2, &["--point 1:..."]);
    run(&["--mask", "s_mask.png", "--point", "3:30,25"]).expect(2, &["2 examples"]);
    run(&["--point", "2:30,25"]).expect(2, &["1 --support without marks and 0 --mask"]);
    run(&["--mask", "s_mask.png", "--box", "2:30,25,90,40"]).expect(2, &["q.png", "60 x 50"]);
    run(&["--mask", "s_mask.png", "s_mask.png", "--save-mask", "made.png"]).expect(2, &["no marks"]);
    run(&["--mask", "s_mask.png", "--box", "2:1,1,9,9", "--save-mask", "s.png"]).expect(2, &["is an input"]);
    run(&["--mask", "s_mask.png", "--scribble", "2:s.png"]).expect(1, &["s.png", "48 x 40"]);
    assert_eq!(place.names(), before);
}

#[test]
fn strokes_come_from_files() {
    let place = Place::new();
    place.write(
        "s.json",
        br#"{"strokes": [{"points": [[20, 20], [28, 20]], "width": 4}, {"points": [[2, 2]], "inside": false}]}"#,
    );
    let run = |scribble: &str, made: &str| {
        place.small(&[
            "--support",
            "s.png",
            "--scribble",
            scribble,
            "--query",
            "q.png",
            "--output",
            made,
            "--save-mask",
            made,
            "--force",
        ])
    };
    // Both results would have the same file.
    run("s.json", "x.png").expect(2, &["x.png"]);
    place
        .small(&["--support", "s.png", "--scribble", "s.json", "--query", "q.png", "--save-mask", "made.png"])
        .expect(0, &[]);
    let made = place.mask("made.png");
    assert!(made[20 * 48 + 24] && !made[2 * 48 + 2]);
    place.write("bad.json", b"{\"strokes\": 3}");
    place
        .small(&["--support", "s.png", "--scribble", "bad.json", "--query", "q.png", "--output", "n.png"])
        .expect(1, &["bad.json", "not strokes"]);
}

#[test]
fn each_value_of_a_label_map_is_a_class() {
    let place = Place::new();
    let labels = GrayImage::from_fn(48, 40, |x, y| {
        Luma([match disc(48, 40).get_pixel(x, y).0[0] {
            255 => 3,
            _ if x < 6 => 1,
            _ if y > 36 => 255,
            _ => 0,
        }])
    });
    labels.save(place.path("labels.png")).unwrap();
    place.write("names.txt", "background\r\nedge\r\nother\r\ndisc\r\n".as_bytes());
    let args = ["--support", "s.png", "--mask", "labels.png", "--all-values", "--query", "q.png", "--json"];
    let named = lines(&place.small(&[&args[..], &["--names", "names.txt"]].concat()).expect(0, &[]).out).remove(0);
    let names: Vec<&str> = named["classes"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["edge", "disc"]);
    // --value selects a single one of them.
    place
        .small(&[
            "--support",
            "s.png",
            "--mask",
            "labels.png",
            "--value",
            "3",
            "--query",
            "q.png",
            "--probability",
            "v.npy",
        ])
        .expect(0, &[]);
    place
        .small(&[
            "--support",
            "s.png",
            "--mask",
            "s_mask.png",
            "--query",
            "q.png",
            "--probability",
            "m.npy",
            "--output",
            "m.png",
        ])
        .expect(0, &[]);
    assert_eq!(std::fs::read(place.path("v.npy")).unwrap(), std::fs::read(place.path("m.npy")).unwrap());
    place.write("few.txt", b"edge\n");
    let run = |more: &[&str]| place.small(&[&args[..], &["--output", "n.png"], more].concat());
    run(&["--names", "few.txt"]).expect(2, &["few.txt", "has the value 3"]);
    run(&["--names", "gone.txt"]).expect(1, &["gone.txt"]);
    place
        .small(&["--support", "s.png", "--mask", "s.png", "--all-values", "--query", "q.png", "--output", "n.png"])
        .expect(1, &["s.png", "colours, not label numbers"]);
    assert!(!place.path("n.png").exists());
    // Warnings say of which value they are.
    picture(200, 200).save(place.path("large.png")).unwrap();
    let large =
        image::GrayImage::from_fn(200, 200, |x, y| Luma([if (x, y) == (2, 2) { 9 } else { u8::from(x > 100) }]));
    large.save(place.path("large_labels.png")).unwrap();
    let args = [
        "--support",
        "large.png",
        "--mask",
        "large_labels.png",
        "--all-values",
        "--query",
        "q.png",
        "--output",
        "w.png",
    ];
    place.small(&args).expect(0, &["large_labels.png, value 9: "]);
}

#[test]
fn what_is_not_meant_keeps_its_pixels() {
    let place = Place::new();
    picture(60, 50).save(place.path("n.png")).unwrap();
    let all = GrayImage::from_pixel(60, 50, Luma([255]));
    all.save(place.path("n_mask.png")).unwrap();
    let run = |more: &[&str]| {
        let args = [&["--query", "q.png", "--absolute-threshold", "0", "--json", "--force"], more].concat();
        lines(&place.small(&args).expect(0, &[]).out).remove(0)
    };
    let mask = |path: &str| place.mask(path);
    let alone = run(&[&SUPPORT[..], &["--output", "alone.png", "--probability", "a.npy"]].concat());
    let against = run(&[
        &SUPPORT[..],
        &["--negative", "n.png", "--mask", "n_mask.png", "--output", "against.png", "--probability", "b.npy"],
    ]
    .concat());
    // The map of the object is the same, and the mask can only lose pixels.
    assert_eq!(std::fs::read(place.path("a.npy")).unwrap(), std::fs::read(place.path("b.npy")).unwrap());
    assert!(mask("against.png").iter().zip(mask("alone.png")).all(|(a, b)| !a || b));
    assert!(against["negatives"][0]["image"] == "n.png" && alone.get("negatives").is_none());
    assert_eq!(against["supports"].as_array().unwrap().len(), 1);
    // The order on the command line does not matter.
    let other =
        run(&[&["--negative", "n.png", "--mask", "n_mask.png"], &SUPPORT[..], &["--output", "other.png"]].concat());
    assert_eq!((mask("other.png"), &other["score"]), (mask("against.png"), &against["score"]));
    let place_run = |args: &[&str]| place.small(&[args, &["--query", "q.png", "--output", "x.png"]].concat());
    place_run(&["--negative", "n.png", "--mask", "n_mask.png"]).expect(2, &["--support"]);
    place_run(&["--support", "s.png", "--negative", "n.png", "--mask", "s_mask.png"])
        .expect(2, &["--negative", "1 --mask"]);
    place
        .run(
            &[
                &["bank", "encode", "--negative", "n.png", "--mask", "s_mask.png", "n_mask.png", "-o", "x.bank"],
                &SUPPORT[..2],
            ]
            .concat(),
        )
        .expect(2, &["--negative"]);
}

#[test]
fn annotations_of_other_tools_are_examples() {
    let place = Place::new();
    std::fs::create_dir(place.path("pictures")).unwrap();
    picture(48, 40).save(place.path("pictures/s.png")).unwrap();
    let square = "[[16, 12, 32, 12, 32, 28, 16, 28]]";
    let file = |name: &str| {
        format!(
            r#"{{"images": [{{"id": 1, "file_name": "{name}", "width": 48, "height": 40}}], "categories": [{{"id": 1, "name": "cat"}}, {{"id": 2, "name": "dog"}}],
            "annotations": [{{"id": 1, "image_id": 1, "category_id": 1, "area": 256, "segmentation": {square}}},
                {{"id": 2, "image_id": 1, "category_id": 2, "area": 9, "segmentation": {{"size": [40, 48], "counts": [5, 9, 1906]}}}}]}}"#
        )
    };
    place.write("i.json", file("s.png").as_bytes());
    let labelme = r#"{"version": "5", "imageHeight": 40, "imageWidth": 48, "shapes": [{"label": "cat", "shape_type": "rectangle", "points": [[16, 12], [32, 28]]}]}"#;
    place.write("s.json", labelme.as_bytes());
    let mask =
        GrayImage::from_fn(48, 40, |x, y| Luma([if (16..32).contains(&x) && (12..28).contains(&y) { 255 } else { 0 }]));
    mask.save(place.path("square.png")).unwrap();
    let map = |args: &[&str]| {
        place
            .small(&[args, &["--query", "q.png", "--probability", "p.npy", "--output", "m.png", "--force"]].concat())
            .expect(0, &[]);
        std::fs::read(place.path("p.npy")).unwrap()
    };
    let want = map(&["--support", "s.png", "--mask", "square.png"]);
    assert_eq!(map(&["--support", "s.png", "--mask", "s.json"]), want);
    assert_eq!(map(&["--coco", "i.json", "--coco-images", "pictures", "--category", "cat"]), want);
    place
        .run(
            &[
                &[
                    "bank",
                    "encode",
                    "--coco",
                    "i.json",
                    "--coco-images",
                    "pictures",
                    "--category",
                    "cat",
                    "-o",
                    "cat.bank",
                ],
                &SMALL[..],
            ]
            .concat(),
        )
        .expect(0, &[]);
    assert_eq!(map(&["--bank", "cat.bank"]), want);
    let run = |args: &[&str]| place.small(&[args, &["--query", "q.png", "--output", "x.png"]].concat());
    let both = ["--coco", "i.json", "--coco-images", "pictures", "--category", "cat", "dog", "--json"];
    let said = lines(&run(&both).expect(0, &[]).out).remove(0);
    assert_eq!(said["classes"][1]["name"], "dog");
    run(&["--coco", "i.json", "--category", "cow", "--force"]).expect(1, &["i.json", "cat, dog"]);
    run(&["--coco", "i.json", "--category", "cat", "--shots", "2", "--force"])
        .expect(1, &["1 pictures show enough of cat"]);
    run(&["--coco", "i.json", "--force"]).expect(2, &["--category"]);
    place.write("i.json", file("../pictures/s.png").as_bytes());
    run(&["--coco", "i.json", "--category", "cat", "--force"]).expect(2, &["is outside the folder"]);
    run(&["--support", "q.png", "--mask", "s.json", "--force"]).expect(1, &["s.json", "48 x 40"]);
}

#[test]
fn what_is_read_is_never_written_over() {
    let place = Place::new();
    std::fs::create_dir(place.path("yolo")).unwrap();
    place.write("yolo/classes.txt", b"cat\ndog\ncow\n");
    GrayImage::from_pixel(48, 40, Luma([2])).save(place.path("labels.png")).unwrap();
    let coco = r#"{"images": [{"id": 1, "file_name": "s.png", "width": 48, "height": 40}], "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[16, 12, 32, 12, 32, 28]]}]}"#;
    place.write("i.json", coco.as_bytes());
    let before = |name: &str| std::fs::read(place.path(name)).unwrap();
    let files = ["q.png", "s.png", "yolo/classes.txt"].map(|name| (name, before(name)));
    let boxed = ["--support", "s.png", "--box", "12,8,36,32", "--query", "q.png", "--force"];
    place
        .small(&[&boxed[..], &["--save-mask", "q.png", "--output", "z.png"]].concat())
        .expect(2, &["q.png", "is an input"]);
    let drawn = ["--coco", "i.json", "--category", "cat", "--query", "q.png", "--force"];
    place.small(&[&drawn[..], &["--output", "s.png"]].concat()).expect(2, &["s.png", "is an input"]);
    let named = [
        "--support",
        "s.png",
        "--mask",
        "labels.png",
        "--all-values",
        "--names",
        "yolo/classes.txt",
        "--query",
        "q.png",
    ];
    place
        .small(&[&named[..], &["--output", "yolo", "--format", "yolo", "--force"]].concat())
        .expect(2, &["classes.txt", "is an input"]);
    let args = ["bank", "encode", "--support", "s.png", "--box", "12,8,36,32", "--save-mask", "m.png", "-o", "m.png"];
    place.run(&[&args[..], &SMALL].concat()).expect(2, &["m.png", "is an input"]);
    files.iter().for_each(|(name, bytes)| assert_eq!(&before(name), bytes, "{name}"));
    // An existing mask that is the same does not stop a resumed run.
    let again =
        ["--support", "s.png", "--box", "12,8,36,32", "--query", "q.png", "--save-mask", "made.png", "--output"];
    place.small(&[&again[..], &["a.png"]].concat()).expect(0, &[]);
    place.small(&[&again[..], &["b.png"]].concat()).expect(0, &[]);
    disc(48, 40).save(place.path("made.png")).unwrap();
    place.small(&[&again[..], &["c.png"]].concat()).expect(1, &["made.png", "--force"]);
}

#[test]
fn what_would_be_left_out_is_refused() {
    let place = Place::new();
    place.write("a.json", br#"{"imageHeight": 40, "imageWidth": 48, "shapes": [{"label": "cat", "points": [[90, 90], [99, 90], [99, 99]]}]}"#);
    let run = |args: &[&str]| place.small(&[args, &["--query", "q.png", "--output", "x.png"]].concat());
    run(&["--support", "s.png", "--mask", "a.json"]).expect(1, &["a.json", "no pixel of its shapes"]);
    for (args, word) in [
        (&["--mask", "a.json", "--value", "3"][..], "--mask-value"),
        (&["--mask", "s_mask.png", "--mask-label", "cat"], "--mask-label"),
        (&["--box", "1,1,9,9", "--invert-mask"], "--invert-mask"),
        (&["--box", "1,1,9,9", "--all-values"], "--all-values"),
        (&["--mask", "a.json", "--all-values"], "--all-values"),
        (&["--mask", "s_mask.png", "--margin", "0.3"], "--margin"),
    ] {
        run(&[&["--support", "s.png"], args].concat()).expect(2, &[word]);
    }
    run(&["--bank", "a.bank", "--box", "1,1,9,9"]).expect(2, &["--box", "add one"]);
    assert!(!place.path("x.png").exists());
}
