//! A repository, a directory to fetch to, and an impatient client.

use crate::server::{Asked, Files, Reply, Server};
use diffews_wgpu::fetch::{self, FetchError, Fetched, Mirrors, Patience, Repository, Request};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

pub const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
/// Several times the progress that a connection must make to count.
pub const SIZE: usize = 300_000;

/// Bytes without a pattern.
pub fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..n).map(|_| rng.u8(..)).collect()
}

/// A model at the top of a repository, not necessarily a valid one.
pub fn files() -> Files {
    let mut files = Files::default();
    let names = ["unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"];
    for (i, name) in names.into_iter().enumerate() {
        files.0.insert(name.into(), bytes(i as u64, 50 + i));
    }
    files.0.insert(UNET.into(), bytes(7, SIZE));
    files.0.insert("vae/diffusion_pytorch_model.safetensors".into(), bytes(8, 1000));
    files.0.insert("text_encoder/model.safetensors".into(), bytes(9, 1));
    files
}

pub struct Bed {
    pub server: Server,
    pub dir: TempDir,
    pub force: bool,
}

impl Bed {
    /// `answer` overrides a correct server's answer where it returns one.
    pub fn of(files: Files, mut answer: impl FnMut(&Asked, usize) -> Option<Reply> + Send + 'static) -> Bed {
        let server = Server::start(move |asked, n| answer(asked, n).unwrap_or_else(|| files.answer(asked)));
        Bed { server, dir: tempfile::tempdir().unwrap(), force: false }
    }

    pub fn good() -> Bed {
        Bed::of(files(), |_, _| None)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn fetch_as(
        &self,
        address: &str,
        watch: &mut dyn FnMut(&fetch::Progress) -> ControlFlow<()>,
    ) -> Result<Fetched, FetchError> {
        let repository = Repository::new(&format!("{}/{address}", self.server.address), &Mirrors::default())?;
        let patience = Patience { attempts: 4, first_wait: Duration::from_millis(1) };
        let request = Request { unet: None, dir: self.dir.path(), force: self.force, patience };
        fetch::fetch(&repository, &request, watch)
    }

    pub fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_as("models/o/n", &mut |_| ControlFlow::Continue(()))
    }

    /// The directory has exactly `files`.
    #[track_caller]
    pub fn expect(&self, files: &Files) {
        for (name, bytes) in &files.0 {
            assert!(std::fs::read(self.path(name)).unwrap() == *bytes, "{name}");
        }
        assert_eq!(self.names().len(), files.0.len(), "{:?}", self.names());
    }

    /// Files below the directory.
    pub fn names(&self) -> Vec<String> {
        fn walk(dir: &std::path::Path, all: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { walk(&entry, all) } else { all.push(entry.display().to_string()) }
            }
        }
        let mut all = Vec::new();
        walk(self.dir.path(), &mut all);
        all
    }
}
