//! `model fetch` from a server on this machine; tests/fetch covers the behaviour of servers.

use crate::command::{Place, repository};
use crate::server::{Files, Reply, Server};
use std::fs;
use std::path::Path;

const BASE: &str = "stable-diffusion-2-1-ref8inchannels-tag4inchannels";
const UNET: &str = "incontext/unet/diffusion_pytorch_model.fp16.safetensors";

/// A fixture laid out like the paper's repository: the UNet in a directory of its own.
fn published() -> Files {
    fn add(files: &mut Files, from: &Path, to: &str) {
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            let to = format!("{to}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                add(files, &entry.path(), &to);
            } else {
                files.0.insert(to, fs::read(entry.path()).unwrap());
            }
        }
    }
    let (mut files, golden) = (Files::default(), repository().join("tests/golden/sd21"));
    for part in ["vae", "text_encoder", "scheduler"] {
        add(&mut files, &golden.join(part), &format!("{BASE}/{part}"));
    }
    add(&mut files, &golden.join("unet"), "incontext/unet");
    add(&mut files, &golden.join("unet"), "coco_fold0/unet");
    files.0.insert("README.md".into(), b"not read".to_vec());
    files
}

fn good() -> Server {
    let files = published();
    Server::start(move |asked, _| files.answer(asked))
}

/// Runs without environment variables that would redirect it.
fn run(place: &Place, env: &[(&str, &str)], args: &[&str]) -> crate::command::Run {
    let none = [
        "DIFFEWS_MIRROR",
        "HF_ENDPOINT",
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "all_proxy",
        "https_proxy",
        "http_proxy",
    ];
    let empty: Vec<(&str, &str)> = none.into_iter().map(|name| (name, "")).collect();
    place.run_with(&[&empty, env].concat(), &[&["model", "fetch"], args].concat())
}

#[test]
fn what_is_published_is_fetched_and_runs() {
    let (place, server) = (Place::new(), good());
    let mirror = [("DIFFEWS_MIRROR", server.address.as_str())];
    let first = run(&place, &mirror, &["published", "--to", "w"]).expect(0, &["licences", "w: 7 files fetched"]);
    let flags = format!("--weights w/{BASE} --unet w/incontext/unet");
    assert_eq!(first.out.trim(), flags);
    let flags: Vec<&str> = flags.split(' ').collect();
    place.run(&[&["model", "verify"], &flags[..]].concat()).expect(0, &[]);
    place.infer(&[&["--query", "q.png", "--size", "64", "-q"], &flags[..]].concat()).expect(0, &[]);
    assert!(place.path("q_mask.png").is_file() && !place.path("w/coco_fold0").exists());
    // Another UNet; the base is already there.
    let more = run(&place, &mirror, &["published", "--to", "w", "--unet", "coco_fold0"]);
    more.expect(0, &["2 files fetched, 5 existed already"]);
    let quiet = run(&place, &mirror, &["published", "--to", "w", "-q"]).expect(0, &[]);
    assert_eq!(quiet.err, "");
    place.write(&format!("w/{UNET}"), b"mine");
    run(&place, &mirror, &["published", "--to", "w"]).expect(1, &[UNET, "--force", "--to"]);
    assert_eq!(fs::read(place.path("w").join(UNET)).unwrap(), b"mine");
    run(&place, &mirror, &["published", "--to", "w", "--force"]).expect(0, &["7 files fetched"]);
    place.run(&[&["model", "verify"], &flags[..]].concat()).expect(0, &[]);
}

#[test]
fn mirrors_are_taken_from_the_environment_and_addresses_checked() {
    let (place, server) = (Place::new(), good());
    let hub = [("HF_ENDPOINT", server.address.as_str())];
    let page = "https://huggingface.co/someone/Diffews";
    // The published UNets, excluding the base model's own.
    run(&place, &hub, &[page]).expect(1, &["incontext/unet", "coco_fold0/unet"]);
    run(&place, &hub, &[page, "--unet", "incontext"]).expect(0, &["Diffews: 7 files"]);
    assert!(place.path("Diffews").join(UNET).is_file());
    let whole = format!("{}/models/someone/Diffews", server.address);
    run(&place, &[], &[&whole, "--unet", "none", "--to", "x"]).expect(1, &["no UNet `none`"]);
    assert!(!place.path("x").exists());
    for address in ["elsewhere", "ftp://h/o/n", "https://huggingface.co/o", "https://user@h/o/n"] {
        run(&place, &[], &[address]).expect(2, &[address, "https://"]);
    }
    run(&place, &[("DIFFEWS_MIRROR", "mirror")], &["published"]).expect(2, &["mirror"]);
    run(&place, &[], &[]).expect(2, &["published|URL"]);
}

#[test]
fn damage_on_the_way_is_told_with_the_address() {
    let place = Place::new();
    let files = published();
    let server = Server::start(move |asked, _| {
        let good = files.answer(asked);
        if asked.path.ends_with(UNET) { Reply::of(200, vec![7; good.body.len()]) } else { good }
    });
    let run = run(&place, &[("DIFFEWS_MIRROR", &server.address)], &["published", "--to", "w"]);
    run.expect(1, &["SHA-256", &server.address, UNET, "mirror"]);
    assert!(!place.path("w").join(UNET).exists());
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_the_part_for_the_next_time() {
    use std::time::{Duration, Instant};
    let place = Place::new();
    let files = published();
    let whole = files.0[UNET].len();
    // The server stalls in the middle.
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::start(move |asked, n| {
        let good = files.answer(asked);
        if asked.path.ends_with(UNET) && asked.from.is_none() {
            tell.send(n).unwrap();
            return good.cut(whole / 2).with("Content-Length", whole);
        }
        if asked.path.ends_with(UNET) && tell.send(n).is_ok() {
            Reply::of(503, "").with("Retry-After", 60)
        } else {
            good
        }
    });
    let args = ["model", "fetch", "published", "--to", "w"];
    let mut child = place
        .command(&args)
        .env("DIFFEWS_MIRROR", &server.address)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let start = Instant::now();
    crate::command::signal(&child, nix::sys::signal::Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let part = place.path("w").join(format!("{UNET}.part"));
    assert_eq!(fs::metadata(&part).unwrap().len() as usize, whole / 2);
    // An incomplete download is not a model, and is reported as a download.
    let sound = repository().join("tests/golden/sd21").display().to_string();
    place.run(&["model", "verify", "--weights", &sound, "--unet", "w/incontext"]).expect(3, &["unfinished"]);
    let server = good();
    run(&place, &[("DIFFEWS_MIRROR", &server.address)], &["published", "--to", "w"]).expect(0, &[]);
    assert_eq!(server.starts(UNET), [whole / 2]);
    place.run(&["model", "verify", "--weights", &format!("w/{BASE}"), "--unet", "w/incontext"]).expect(0, &[]);
}
