//! Runs over many files.

use crate::command::{NO_DRIVER, Place, infer, lines, names, picture};
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

fn folder(place: &Place, pictures: usize) {
    fs::create_dir(place.path("in")).unwrap();
    for i in 0..pictures {
        picture(60, 50).save(place.path(&format!("in/{i:02}.png"))).unwrap();
    }
}

#[test]
fn a_folder_holds_more_than_pictures() {
    let place = Place::new();
    fs::create_dir_all(place.path("in/below")).unwrap();
    let pictures = ["a.jfif", "b.jpe", "c.pjpeg", "d.dib", "e.APNG", "f.gif", "g.png", "h.jpg", "i.tif"];
    let results = ["g_mask.png", "g_overlay.png", "g_probability.png", "h_mask.png", "g_mask_mask.png"];
    // No query has these results.
    let like_results = ["x_mask.png", "g_mask.jpg"];
    for name in pictures.iter().chain(&results).chain(&like_results).chain(&["notes.txt", ".hidden.png"]) {
        fs::copy(place.path("q.png"), place.path("in").join(name)).unwrap();
    }
    let left = "in: skipped 5 masks and other results beside their pictures, 2 files that are not named like \
                pictures, 1 folder";
    let args = ["--query", "in", "--output", "out", "--skip-existing"];
    place.run_with(&NO_DRIVER, &infer(&args)).expect(4, &[left]);
    let quiet = place.run_with(&NO_DRIVER, &infer(&[&args[..], &["-q"]].concat())).expect(4, &[]);
    assert!(!quiet.err.contains("skipped"), "{}", quiet.err);
    // Exactly these are the queries.
    for name in pictures.iter().chain(&like_results) {
        let (stem, _) = name.rsplit_once('.').unwrap();
        place.write(&format!("out/{stem}_mask.png"), b"done");
    }
    place.run_with(&NO_DRIVER, &infer(&args)).expect(0, &["nothing to do"]);
    for name in pictures.iter().chain(&like_results) {
        let mask = format!("out/{}_mask.png", name.rsplit_once('.').unwrap().0);
        fs::remove_file(place.path(&mask)).unwrap();
        place.run_with(&NO_DRIVER, &infer(&args)).expect(4, &["no adapter"]);
        place.write(&mask, b"done");
    }
}

/// Comparing every pair would take minutes.
#[test]
fn planning_is_linear() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    for i in 0..20_000 {
        File::create(place.path(&format!("in/{i}.png"))).unwrap();
        File::create(place.path(&format!("out/{i}_mask.png"))).unwrap();
    }
    let started = Instant::now();
    let args = ["--query", "in", "--output", "out"];
    place.run_with(&NO_DRIVER, &infer(&[&args[..], &["--skip-existing"]].concat())).expect(0, &["nothing to do"]);
    place.run_with(&NO_DRIVER, &infer(&[&args[..], &["--force"]].concat())).expect(4, &["no adapter"]);
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds:.1} s for planning 20,000 queries twice");
    assert!(seconds < 15.0, "{seconds:.1} s");
}

#[test]
fn leftovers_of_killed_runs_are_swept() {
    let place = Place::new();
    fs::create_dir(place.path("out")).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for name in [".diffews-old.part", ".diffews-a_mask.png.lock", "mine.part", ".diffews-notes.txt"] {
        place.write(&format!("out/{name}"), b"");
        File::options().write(true).open(place.path("out").join(name)).unwrap().set_modified(yesterday).unwrap();
    }
    place.write("out/.diffews-new.part", b"");
    place.run_with(&NO_DRIVER, &infer(&["--query", "q.png", "--output", "out"])).expect(4, &[]);
    assert_eq!(names(&place.path("out")), [".diffews-new.part", ".diffews-notes.txt", "mine.part"]);
}

/// Names can neither start a line of their own nor reverse one.
#[cfg(unix)]
#[test]
fn names_forge_no_lines() {
    let place = Place::new();
    let name = "a\nerror: forged\u{202e}\u{1b}[2J.png";
    place.write(name, b"no picture");
    let run = place
        .run_with(&NO_DRIVER, &infer(&["--query", name]))
        .expect(1, &["a\u{fffd}error: forged\u{fffd}\u{fffd}[2J.png"]);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    let run = place.infer(&["--size", "16", "--json", "--query", name, "q.png"]).expect(6, &[]);
    assert!(!run.err.lines().any(|line| line.starts_with("error: forged")), "{}", run.err);
    assert!(!run.out.contains(['\u{202e}', '\u{1b}']), "{}", run.out);
    // JSON has the exact name.
    assert_eq!(lines(&run.out)[0]["query"], name);
    fs::copy(place.path("q.png"), place.path("b\nb.png")).unwrap();
    let run = place.infer(&["--size", "16", "--query", "b\nb.png"]).expect(0, &[]);
    assert!(
        run.out.starts_with("b\u{fffd}b.png -> b\u{fffd}b_mask.png") && run.out.lines().count() == 1,
        "{}",
        run.out
    );
}

/// Two processes on one folder: each query is done once, and both succeed.
#[test]
fn two_runs_share_the_work() {
    let place = Place::new();
    folder(&place, 8);
    let args = infer(&["--query", "in", "--output", "out", "--overlay", "out", "--skip-existing", "--json"]);
    let start = || place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runs = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let mut done: Vec<String> = Vec::new();
    for run in runs {
        let (out, err) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
        assert!(run.status.success(), "{err}");
        let own: Vec<String> = lines(&out).iter().map(|l| l["query"].as_str().unwrap().to_owned()).collect();
        assert!(own.is_sorted(), "{own:?}");
        done.extend(own);
    }
    done.sort();
    assert_eq!(done, (0..8).map(|i| format!("in/{i:02}.png")).collect::<Vec<_>>());
    // No lock file remains.
    assert_eq!(names(&place.path("out")).len(), 16);
}

/// The run ends when results can no longer be written.
#[test]
fn a_folder_that_is_gone_ends_the_run() {
    use std::io::{BufRead, BufReader};
    let place = Place::new();
    folder(&place, 20);
    let args = infer(&["--query", "in", "--output", "out"]);
    let mut child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    fs::remove_dir_all(place.path("out")).unwrap();
    let more = out.lines().count();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("of 20 queries are done") && err.contains("--skip-existing"), "{err}");
    assert!(more < 10 && err.lines().filter(|l| l.starts_with("error")).count() == 1, "{more} more; {err}");
}

/// An error instead of a silent end of the process.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_files_is_an_error() {
    let place = Place::new();
    let child =
        place.command(&infer(&["--query", "q.png", "--probability", "p.npy"])).stderr(Stdio::piped()).spawn().unwrap();
    // The first write happens after the model ran, which is long after this.
    let limit = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
    // SAFETY: `limit` lives as long as the call, and the old limit is not requested.
    let set = unsafe { libc::prlimit(child.id() as libc::pid_t, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && err.contains("p.npy: cannot be written"), "{:?} {err}", output.status);
    assert_eq!(place.names(), ["q.png", "q_mask.png", "s.png", "s_mask.png"]);
}
