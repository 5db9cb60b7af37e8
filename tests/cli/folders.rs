//! Folders of pictures, with subfolders.

use crate::command::{NO_DRIVER, Place, infer, lines, names, picture};
use std::fs;

/// Writes pictures at these paths.
fn pictures(place: &Place, paths: &[&str]) {
    for path in paths {
        let path = place.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture(60, 50).save_with_format(path, image::ImageFormat::Png).unwrap();
    }
}

fn column(out: &str, key: &str) -> Vec<String> {
    lines(out).iter().map(|line| line[key].as_str().unwrap().replace('\\', "/")).collect()
}

/// Three levels, in the order of their names. Files in the folder of results are not queries.
#[test]
fn a_tree_is_kept() {
    let place = Place::new();
    pictures(&place, &["in/a.png", "in/b2/x.png", "in/b2/c/x.png", "in/b10/x.png", "in/.hidden/h.png"]);
    let args = ["--query", "in", "--recursive", "--output", "in/masks", "--overlay", "painted", "--json"];
    let run = place.infer(&args).expect(0, &["in: skipped 1 folder"]);
    assert_eq!(column(&run.out, "query"), ["in/a.png", "in/b2/c/x.png", "in/b2/x.png", "in/b10/x.png"]);
    let masks =
        ["in/masks/a_mask.png", "in/masks/b2/c/x_mask.png", "in/masks/b2/x_mask.png", "in/masks/b10/x_mask.png"];
    assert_eq!(column(&run.out, "mask"), masks);
    assert!(masks.iter().all(|mask| place.path(mask).is_file()) && place.path("painted/b2/c/x_overlay.png").is_file());
    let again = [&args[..], &["--skip-existing"]].concat();
    place.run_with(&NO_DRIVER, &infer(&again)).expect(0, &["nothing to do", "skipped 2 folders"]);
    // If a result is missing, it is computed, and its folder created.
    fs::remove_dir_all(place.path("in/masks/b2")).unwrap();
    fs::remove_dir_all(place.path("painted/b2")).unwrap();
    let run = place.infer(&again).expect(0, &[]);
    assert_eq!(column(&run.out, "query"), ["in/b2/c/x.png", "in/b2/x.png"]);
    // Without a folder of results, they go here.
    place.infer(&["--query", "in/b2", "--recursive", "-q"]).expect(0, &[]);
    assert!(place.path("x_mask.png").is_file() && place.path("c/x_mask.png").is_file());
    // A file in place of a folder is not replaced.
    place.write("c2", b"mine");
    pictures(&place, &["other/c2/x.png"]);
    place.run_with(&NO_DRIVER, &infer(&["--query", "other", "--recursive", "--force"])).expect(1, &["c2"]);
    assert_eq!(fs::read(place.path("c2")).unwrap(), b"mine");
}

/// Results beside their pictures are recognized at every level, including the folder where the command runs.
#[test]
fn results_in_a_tree_are_no_queries() {
    let place = Place::new();
    pictures(&place, &["in/a.png", "in/b/x.png"]);
    let args = ["--query", "in", "--recursive", "--output", "in", "--skip-existing", "--json"];
    assert_eq!(lines(&place.infer(&args).expect(0, &[]).out).len(), 2);
    assert_eq!(names(&place.path("in/b")), ["x.png", "x_mask.png"]);
    place.run_with(&NO_DRIVER, &infer(&args)).expect(0, &["nothing to do", "skipped 2 masks"]);
    // Results of pictures from above lie in a folder below it.
    let args = ["infer", "--support", "../s.png", "--mask", "../s_mask.png", "--query", ".."];
    let args = [&args[..], &["--recursive", "--glob", "q.png", "--glob", "q_mask.png", "--skip-existing"]].concat();
    fs::create_dir(place.path("here")).unwrap();
    let here = || place.command(&args).current_dir(place.path("here")).output().unwrap();
    assert!(here().status.success());
    let again = here();
    let err = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && err.contains("nothing to do") && err.contains("skipped 1 picture"), "{err}");
    assert_eq!(names(&place.path("here")), ["q_mask.png"]);
}

#[cfg(unix)]
#[test]
fn links_lead_to_each_folder_once() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    pictures(&place, &["in/b/c/x.png", "in/b/y.png", "else/z.png", "else/more/w.png"]);
    let links =
        [("..", "in/b/up"), ("../..", "in/b/c/loop"), (".", "in/b/c/self"), ("b", "in/a"), ("../else", "in/l1")];
    for (to, link) in links.into_iter().chain([("../else", "in/l2"), ("nowhere", "in/l3"), ("b/y.png", "in/link.png")])
    {
        symlink(to, place.path(link)).unwrap();
    }
    let args = ["--query", "in", "--recursive", "--output", "out", "--json"];
    let run = place.infer(&args).expect(0, &["1 file that is not named like a picture", "5 folders"]);
    let found = ["in/b/c/x.png", "in/b/y.png", "in/l1/more/w.png", "in/l1/z.png", "in/link.png"];
    assert_eq!(column(&run.out, "query"), found);
    assert!(place.path("out/l1/more/w_mask.png").is_file());
}

/// As the frames of a video are numbered.
#[test]
fn frames_are_in_the_order_of_their_numbers() {
    let place = Place::new();
    let frames: Vec<String> = [1, 2, 9, 10, 11, 100].iter().map(|n| format!("in/frame{n}.png")).collect();
    pictures(&place, &frames.iter().map(String::as_str).collect::<Vec<_>>());
    let run = place.infer(&["--query", "in", "--output", "out", "--json"]).expect(0, &[]);
    assert_eq!(column(&run.out, "query"), frames);
    let masks: Vec<String> = frames.iter().map(|f| f.replace("in/", "out/").replace(".png", "_mask.png")).collect();
    assert_eq!(column(&run.out, "mask"), masks);
}

#[test]
fn patterns_choose_among_the_pictures() {
    let place = Place::new();
    pictures(&place, &["in/a_rgb.png", "in/a_ir.png", "in/l/b_rgb.jpg", "in/l/deep/c_rgb.png", "in/r/d_rgb.png"]);
    place.write("in/e_rgb.txt", b"no picture");
    let done = |args: &[&str]| {
        // Existing results show what is done.
        let run =
            place.infer(&[&["--query", "in", "--recursive", "--json", "--force", "-q"], args].concat()).expect(0, &[]);
        column(&run.out, "query")
    };
    let rgb = ["in/a_rgb.png", "in/l/b_rgb.jpg", "in/l/deep/c_rgb.png", "in/r/d_rgb.png"];
    assert_eq!(done(&["--glob", "**/*_rgb.*"]), rgb);
    assert_eq!(done(&["--glob", "*_rgb.{png,jpg}"]), rgb);
    assert_eq!(done(&["--glob", "l/*", "--glob", "r/*"]), ["in/l/b_rgb.jpg", "in/r/d_rgb.png"]);
    assert_eq!(done(&["--glob", "l/**"]), ["in/l/b_rgb.jpg", "in/l/deep/c_rgb.png"]);
    let refused = |code: i32, args: &[&str], says: &[&str]| {
        drop(place.run_with(&NO_DRIVER, &infer(args)).expect(code, says));
    };
    refused(2, &["--query", "in", "--glob", "a[b"], &["--glob", "a[b", "unclosed"]);
    refused(2, &["--query", "q.png", "--glob", "*"], &["--glob", "a --query that is a directory"]);
    refused(
        1,
        &["--query", "in", "--glob", "*_IR.gif"],
        &["in: --glob matches none of the 2 pictures in this directory"],
    );
    refused(4, &["--query", "in", "--glob", "*_ir.png"], &["skipped 1 picture that does not match --glob"]);
}
