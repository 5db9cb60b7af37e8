//! Queries that arrive during the run: a list on standard input, and watched folders.

use crate::command::{Place, infer, lines, names, picture};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A run with access to its standard input and output.
struct Fed {
    child: Child,
    input: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
}

impl Fed {
    fn start(place: &Place, args: &[&str]) -> Fed {
        let mut command = place.command(&infer(args));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Fed { child, input, out }
    }

    fn write(&mut self, text: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text).unwrap();
        input.flush().unwrap();
    }

    /// The next reported query, and whether it succeeded.
    fn next(&mut self) -> (String, bool) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut err = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("it ended: {err}")
        });
        (line["query"].as_str().unwrap().to_owned(), line["error"].is_null())
    }

    /// The exit code and the output, after the end.
    fn end(mut self) -> (Option<i32>, String, String) {
        drop(self.input.take());
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

fn folder(place: &Place, paths: &[&str]) {
    for path in paths {
        fs::create_dir_all(place.path(path).parent().unwrap()).unwrap();
        picture(60, 50).save_with_format(place.path(path), image::ImageFormat::Png).unwrap();
    }
}

fn fed(place: &Place, list: &[u8], args: &[&str]) -> (Option<i32>, String, String) {
    let mut run = Fed::start(place, args);
    // The process may end before it has read everything.
    let _ = run.input.as_mut().unwrap().write_all(list);
    run.end()
}

fn queries(out: &str) -> Vec<String> {
    lines(out).iter().map(|line| line["query"].as_str().unwrap().to_owned()).collect()
}

/// Each path is taken as it arrives; one that cannot be read fails alone.
#[test]
fn a_list_is_read_as_it_comes() {
    let place = Place::new();
    folder(&place, &["in/a.png", "in/b.png", "in/c.png"]);
    let mut run = Fed::start(&place, &["--query", "-", "--output", "out", "--json"]);
    for (text, name, good) in
        [("in/b.png\n", "in/b.png", true), ("\r\n\nnone.png\r\n", "none.png", false), ("in/a.png\n", "in/a.png", true)]
    {
        run.write(text.as_bytes());
        assert_eq!(run.next(), (name.into(), good));
    }
    // A directory, a repeated path, a result of this run, and a last line without a line feed.
    run.write(b"in\nin/b.png\nout/a_mask.png\nin/c.png");
    let (code, out, err) = run.end();
    assert_eq!((code, queries(&out)), (Some(6), vec!["in".into(), "in/c.png".into()]), "{err}");
    assert!(err.contains("none.png: cannot be read") && err.contains("2 of 5 queries failed"), "{err}");
    assert_eq!(names(&place.path("out")), ["a_mask.png", "b_mask.png", "c_mask.png"]);
}

/// A list that is given again resumes; if everything is done, no driver is needed.
#[test]
fn a_list_is_resumed() {
    let place = Place::new();
    folder(&place, &["in/1.png", "in/2.png", "in/3.png"]);
    let args = ["--query", "-", "--output", "out", "--json", "--skip-existing"];
    assert_eq!(fed(&place, b"in/1.png\nin/3.png\n", &args).0, Some(0));
    let list = b"in/3.png\nin/2.png\nin/1.png\n";
    let (code, out, err) = fed(&place, list, &args);
    assert_eq!((code, queries(&out)), (Some(0), vec!["in/2.png".into()]), "{err}");
    let (code, out, err) = fed(&place, list, &args);
    assert!(code == Some(0) && out.is_empty() && err.contains("nothing to do") && !err.contains("model"), "{err}");
    // Without --skip-existing, existing results stay, and each is reported.
    let (code, out, err) = fed(&place, list, &args[..5]);
    assert_eq!((code, lines(&out).len()), (Some(6), 3), "{err}");
    assert_eq!(err.matches("exists").count(), 3, "{err}");
    // An incomplete result does not count.
    let more = [&args[..], &["--overlay", "painted"]].concat();
    let (code, _, err) = fed(&place, b"in/1.png\n", &more);
    assert!(code == Some(6) && err.contains("1_mask.png") && err.contains("--force"), "{err}");
}

#[cfg(unix)]
#[test]
fn names_of_a_list_may_end_in_nul() {
    let place = Place::new();
    folder(&place, &["in/a\nb.png", "in/c.png"]);
    let (code, out, err) = fed(&place, b"in/a\nb.png\0in/c.png\0", &["--query", "-", "--output", "out", "--json"]);
    assert_eq!((code, queries(&out)), (Some(0), vec!["in/a\nb.png".into(), "in/c.png".into()]), "{err}");
}

#[test]
fn a_list_keeps_its_folders_where_that_is_asked() {
    let place = Place::new();
    folder(&place, &["a/x.png", "b/x.png"]);
    let (code, out, err) = fed(&place, b"a/x.png\nb/x.png\n", &["--query", "-", "--output", "out", "--json"]);
    assert_eq!((code, lines(&out).len()), (Some(6), 2), "{err}");
    assert!(err.contains("b/x.png: its results would go to") && err.contains("those of a/x.png"), "{err}");
    // A result is not a query, even if its folder did not exist during planning.
    let list = b"a/x.png\n./tree/a/x_mask.png\nb/x.png\n";
    let (code, out, err) = fed(&place, list, &["--query", "-", "--recursive", "--output", "tree", "--json"]);
    assert_eq!((code, lines(&out).len()), (Some(0), 2), "{err}");
    assert!(place.path("tree/a/x_mask.png").is_file() && place.path("tree/b/x_mask.png").is_file());
    // Queries of a list do not overwrite the run's inputs.
    let force = ["--query", "-", "--output", ".", "--force"];
    fs::copy(place.path("s.png"), place.path("a/s.png")).unwrap();
    let (code, _, err) = fed(&place, b"a/s.png\n", &force);
    assert!(code == Some(6) && err.contains("s_mask.png, an input of this run"), "{err}");
}

#[test]
fn what_does_not_go_with_lists_is_refused() {
    let place = Place::new();
    for (args, says) in [(&["--output", "-"], "several results"), (&["--output", "m.png"], "must be a directory")] {
        let (code, _, err) = fed(&place, b"q.png\n", &[&["--query", "-"], &args[..]].concat());
        assert!(code == Some(2) && err.contains(says), "{err}");
    }
    place.infer(&["--query", "q.png", "--watch"]).expect(2, &["--watch", "directory"]);
}

/// A file that is written in two parts with a pause is processed once it is complete. Ctrl-C ends the watch with success.
#[cfg(unix)]
#[test]
fn a_watched_folder_takes_what_comes() {
    use nix::sys::signal::Signal;
    let place = Place::new();
    folder(&place, &["in/old.png"]);
    let mut run = Fed::start(
        &place,
        &["--query", "in", "--recursive", "--output", "in", "--overlay", "in/painted", "--watch", "--json"],
    );
    assert_eq!(run.next(), ("in/old.png".into(), true));
    let bytes = fs::read(place.path("q.png")).unwrap();
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    place.write("in/new.png", half);
    assert_eq!(run.next(), ("in/new.png".into(), false));
    fs::File::options().append(true).open(place.path("in/new.png")).unwrap().write_all(rest).unwrap();
    assert_eq!(run.next(), ("in/new.png".into(), true));
    folder(&place, &["in/sub/x.png"]);
    assert_eq!(run.next(), ("in/sub/x.png".into(), true));
    // Time enough to take files that must not be taken.
    std::thread::sleep(std::time::Duration::from_secs(3));
    crate::command::signal(&run.child, Signal::SIGINT);
    let (code, out, err) = run.end();
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("new.png") && err.contains("read again when it changes"), "{err}");
    assert!(err.contains("the watch has ended; 3 queries are done"), "{err}");
    assert_eq!(names(&place.path("in/sub")), ["x.png", "x_mask.png"]);
    assert_eq!(names(&place.path("in/painted")), ["new_overlay.png", "old_overlay.png", "sub"]);
}

/// A file that stays broken is reported once, and in the exit code.
#[cfg(unix)]
#[test]
fn a_watch_with_failures_tells_so() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    let mut run = Fed::start(&place, &["--query", "in", "--output", "out", "--watch", "--json", "--glob", "*.png"]);
    place.write("in/a.png", b"no picture");
    assert_eq!(run.next(), ("in/a.png".into(), false));
    place.write("in/a.png", b"still no picture");
    std::thread::sleep(std::time::Duration::from_secs(2));
    folder(&place, &["in/b.jpg", "in/b.png"]);
    assert_eq!(run.next(), ("in/b.png".into(), true));
    crate::command::signal(&run.child, nix::sys::signal::Signal::SIGTERM);
    let (code, _, err) = run.end();
    assert_eq!(code, Some(6), "{err}");
    assert!(err.matches("a.png").count() == 1 && err.contains("1 of 2 queries failed"), "{err}");
}

/// Interrupting a list reports the progress.
#[cfg(unix)]
#[test]
fn a_list_is_interrupted() {
    let place = Place::new();
    let mut run = Fed::start(&place, &["--query", "-", "--json"]);
    run.write(b"q.png\n");
    assert_eq!(run.next(), ("q.png".into(), true));
    crate::command::signal(&run.child, nix::sys::signal::Signal::SIGINT);
    let mut err = String::new();
    run.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(run.child.wait().unwrap().code(), Some(130), "{err}");
    assert!(err.contains("interrupted; 1 queries are done"), "{err}");
}
