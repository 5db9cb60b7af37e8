//! Files for other tools, compared with those tools' output, and read by the tools where they are installed.
//!
//! `tests/golden/formats/cases.json` was made with pycocotools, label-studio-converter and OpenCV (`tools/formats/make.py`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use diffews_wgpu::formats::coco::{CocoFile, CocoResultsFile};
use diffews_wgpu::formats::label_studio::{LabelStudioFile, Labeling, brush};
use diffews_wgpu::formats::{self, Category, Instance, Picture, Tolerance, rle::Rle};
use diffews_wgpu::image_io::{ObjectOptions, Region, Run, find_objects, load_index_mask};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<Value> {
    let text = fs::read(root().join("tests/golden/formats/cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() > 10);
    cases
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

fn region(case: &Value) -> Region {
    let run = |run: &Value| match numbers(run)[..] {
        [y, start, end] => Run { y: y as u32, start: start as u32, end: end as u32 },
        _ => panic!("{run}"),
    };
    let runs = case["runs"].as_array().unwrap().iter().map(run).collect();
    Region::new(case["width"].as_u64().unwrap() as u32, case["height"].as_u64().unwrap() as u32, runs).unwrap()
}

#[test]
fn runs_are_those_of_pycocotools_and_label_studio() {
    for case in cases() {
        let (name, region) = (&case["name"], region(&case));
        let rle = Rle::of(&region);
        assert_eq!(rle.counts, case["counts"].as_str().unwrap(), "{name}");
        assert_eq!(rle.size.map(u64::from), [&case["height"], &case["width"]].map(|n| n.as_u64().unwrap()), "{name}");
        assert_eq!(region.area(), case["area"].as_u64().unwrap(), "{name}");
        let bbox = region.bounding_box().map_or([0; 4], |b| [b.x, b.y, b.width, b.height]);
        assert_eq!(bbox.map(u64::from).to_vec(), numbers(&case["bbox"]), "{name}");
        let bytes: Vec<u64> = brush(&region).unwrap().into_iter().map(u64::from).collect();
        assert_eq!(bytes, numbers(&case["brush"]), "{name}");
    }
}

#[test]
fn objects_are_those_of_opencv() {
    for case in cases() {
        let mask = region(&case).mask();
        let objects = find_objects(&mask, None, &ObjectOptions::default()).unwrap();
        let told = objects.iter().map(|o| {
            let b = o.bounding_box;
            vec![o.area, b.x.into(), b.y.into(), b.width.into(), b.height.into()]
        });
        let known = case["objects"].as_array().unwrap().iter().map(numbers);
        assert_eq!(told.collect::<Vec<_>>(), known.collect::<Vec<_>>(), "{}", case["name"]);
    }
}

/// Writes all formats of all cases, numbering each case's pictures from 1.
fn write_all(dir: &Path) {
    let categories = [(1, "cat"), (2, "a \"b\"\n\u{85}\u{2028}\u{7f}: é 猫 😀")];
    let categories = categories.map(|(id, name)| Category { id, name: name.into() });
    let file = |name: &str| dir.join(name);
    let tolerance = |pixels| Some(Tolerance::new(pixels).unwrap());
    let coco = |name: &str, tolerance| CocoFile::create(&file(name), false, &categories, tolerance).unwrap();
    let mut cocos = [
        coco("coco.json", None),
        coco("coco_polygons.json", tolerance(0.0)),
        coco("coco_simplified.json", tolerance(1.0)),
    ];
    let mut results = CocoResultsFile::create(&file("results.json"), false).unwrap();
    let mut tasks = LabelStudioFile::create(&file("label_studio.json"), false, &Labeling::default()).unwrap();
    for (number, case) in cases().iter().enumerate() {
        let (number, region) = (number + 1, region(case));
        let (size, category) = (region.size(), categories[number % 2].clone());
        let map: Vec<f32> = region.mask().foreground().iter().map(|&f| f32::from(u8::from(f))).collect();
        let quarter: Vec<f32> = map.iter().map(|v| v / 4.0).collect();
        let name = format!("{number} \"é\".png");
        let picture =
            Picture::new(number as u64, &name, size, vec![Instance { category, region, score: 0.75 }]).unwrap();
        cocos.iter_mut().for_each(|coco| coco.add(&picture).unwrap());
        results.add(&picture).unwrap();
        tasks.add(&picture).unwrap();
        let write = |ending: &str, bytes: &[u8]| fs::write(file(&format!("{number}{ending}")), bytes).unwrap();
        write(".txt", formats::yolo::labels(&picture, &categories, Tolerance::EXACT).unwrap().as_bytes());
        write(".labelme.json", formats::labelme::json(&picture, Tolerance::EXACT).as_bytes());
        write(".geojson", formats::geojson::feature_collection(&picture, Tolerance::EXACT, None).as_bytes());
        let labels = formats::label_map::labels(&picture).unwrap();
        write(".labels.png", &labels.png().unwrap());
        assert_eq!(load_index_mask(&file(&format!("{number}.labels.png")), size).unwrap(), labels.labels());
        let maps = [("cat", &map[..]), ("a \"b\" 猫", &quarter)];
        formats::npz::save(&file(&format!("{number}.npz")), &maps, size, false).unwrap();
    }
    cocos.into_iter().for_each(|coco| coco.finish().unwrap());
    results.finish().unwrap();
    tasks.finish().unwrap();
    let names: Vec<&str> = categories.iter().map(|c| c.name.as_str()).collect();
    fs::write(file("names.json"), serde_json::to_string(&names).unwrap()).unwrap();
    fs::write(file("data.yaml"), formats::yolo::data_yaml(".", "images", "images", &categories)).unwrap();
}

/// `PYTHON` names the interpreter that has the tools installed.
#[test]
fn other_tools_read_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path());
    let python = std::env::var_os("PYTHON").unwrap_or("python3".into());
    let mut check = Command::new(&python);
    check
        .env("PYTHONUTF8", "1")
        .env("YOLO_CONFIG_DIR", dir.path())
        .arg(root().join("tools/formats/check.py"))
        .arg(dir.path());
    match check.output() {
        Err(error) => println!("skipped: {}: {error}", python.display()),
        Ok(output) => {
            let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            println!("{}", told(&output.stdout));
            assert!(output.status.success(), "{}{}", told(&output.stdout), told(&output.stderr));
        }
    }
}
