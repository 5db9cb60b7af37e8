//! Downloads published weights: the files that this program reads.
//!
//! ```text
//! address --Repository--> list of files (untrusted) --choose--> a model's files --file--> NAME.part --size, SHA-256--> NAME
//! ```
//!
//! A partial file is resumed, in this run after a broken connection and in the next one after an interruption. A server without ranges, or
//! with wrong ones, is asked for the whole file. A file gets its name when its size and SHA-256 match the list (Hugging Face lists no
//! SHA-256 of small files).

mod address;
mod choose;
mod error;
mod file;
mod http;
mod listing;

pub use address::{Mirrors, PUBLISHED, PUBLISHED_BASE, PUBLISHED_UNET, Repository};
pub use error::FetchError;

use crate::weights::shards_in;
use choose::{Chosen, Tree};
use file::{is_intact, part_of, partial_len};
use http::Client;
use listing::{Entry, MAX_PAGE, MAX_PAGES};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to fetch, and where.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The directory of the UNet, or the last part of its path; by default the base's own, else the only one.
    pub unet: Option<&'a str>,
    /// The directory for the repository's files.
    pub dir: &'a Path,
    /// Whether to fetch existing files again and replace them.
    pub force: bool,
    /// Retries on bad connections.
    pub patience: Patience,
}

/// How often a request without progress is retried, and the wait between.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Most failures in a row.
    pub attempts: u32,
    /// Wait after the first failure; it doubles with each further one, up to a minute.
    pub first_wait: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 6, first_wait: Duration::from_secs(1) }
    }
}

impl Patience {
    fn wait(&self, failures: u32) -> Duration {
        self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(Duration::from_secs(60))
    }
}

/// The progress of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file, by its path in the repository.
    pub file: &'a str,
    /// Received bytes of all files.
    pub done: u64,
    /// Bytes of all files; 0 until known.
    pub total: u64,
    /// A failure and the wait before the retry; reported once for each.
    pub trouble: Option<(&'a str, Duration)>,
}

/// The result of a fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The base model's directory, if the repository has one.
    pub weights: Option<PathBuf>,
    /// The UNet's directory, if it is not the base's own.
    pub unet: Option<PathBuf>,
    /// Fetched files.
    pub files: usize,
    /// Files that existed.
    pub there: usize,
    /// Bytes of both.
    pub bytes: u64,
}

/// Reports the progress to a callback, which may end the fetch.
struct Watch<'a> {
    told: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    file: String,
    done: u64,
    total: u64,
}

impl Watch<'_> {
    fn report(&mut self, trouble: Option<(&str, Duration)>) -> Result<(), FetchError> {
        let Watch { told, file, done, total } = self;
        let progress = Progress { file, done: *done, total: *total, trouble };
        if told(&progress).is_break() { Err(FetchError::Interrupted) } else { Ok(()) }
    }

    fn received(&mut self, bytes: u64) -> Result<(), FetchError> {
        self.done += bytes;
        self.report(None)
    }

    fn gone(&mut self, bytes: u64) {
        self.done = self.done.saturating_sub(bytes);
    }

    /// Waits before a retry.
    fn wait(&mut self, file: &str, reason: &str, time: Duration) -> Result<(), FetchError> {
        file.clone_into(&mut self.file);
        self.report(Some((reason, time)))?;
        let start = Instant::now();
        while let Some(rest) = time.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) {
            std::thread::sleep(rest.min(Duration::from_millis(50)));
            self.report(None)?;
        }
        Ok(())
    }
}

/// Fetches the missing files of a model from `repository`. `progress` may end the fetch; received bytes stay in `NAME.part`.
///
/// # Errors
/// [`FetchError`]; a file gets its final name only when it is complete and verified.
pub fn fetch(
    repository: &Repository,
    request: &Request,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Fetched, FetchError> {
    if repository.is_secure() && !cfg!(feature = "https") {
        let reason = "this program was built without https (cargo's feature `https`)".to_owned();
        return Err(FetchError::Address { address: repository.address(), reason });
    }
    let client = Client::new(repository.is_secure());
    let mut watch = Watch { told: progress, file: "list of files".into(), done: 0, total: 0 };
    let listing = list(repository, &client, &request.patience, &mut watch)?;
    let tree = Tree::new(repository, &listing)?;
    let Chosen { mut files, indices, base, unet } = tree.choose(request.unet)?;
    let mut run = Run { repository, request, client, fetched: Fetched::default() };
    run.fetched.weights = base.map(|base| request.dir.join(base));
    run.fetched.unet = unet.map(|unet| request.dir.join(unet));
    // Indices name the shards to fetch.
    for index in indices {
        run.download_all(&[index], &mut watch)?;
        for name in shards_in(&request.dir.join(&index.path))? {
            files.push(tree.shard(index, &name)?);
        }
    }
    run.download_all(&files, &mut watch)?;
    Ok(run.fetched)
}

fn list(
    repository: &Repository,
    client: &Client,
    patience: &Patience,
    watch: &mut Watch,
) -> Result<Vec<Entry>, FetchError> {
    let wrong = |reason: String| FetchError::Listing { address: repository.listing(), reason };
    let (mut all, mut address) = (Vec::new(), repository.listing());
    for _ in 0..MAX_PAGES {
        let mut failures = 0;
        let (page, next) = loop {
            match client.page(&address, MAX_PAGE) {
                Ok(page) => break page,
                Err(failure) => {
                    failures += 1;
                    if !failure.passes || failures >= patience.attempts {
                        return Err(failure.of(&address));
                    }
                    watch.wait("list of files", &failure.reason, failure.wait.unwrap_or(patience.wait(failures)))?;
                }
            }
        };
        listing::read(repository.layout, &page, &mut all).map_err(wrong)?;
        let Some(next) = next else { return Ok(all) };
        address = repository.page(&next).ok_or_else(|| wrong("its next page is on another server".into()))?;
    }
    Err(wrong(format!("it has more than {MAX_PAGES} pages")))
}

struct Run<'a> {
    repository: &'a Repository,
    request: &'a Request<'a>,
    client: Client,
    fetched: Fetched,
}

impl Run<'_> {
    /// Fetches the missing ones of `files`.
    fn download_all(&mut self, files: &[&Entry], watch: &mut Watch) -> Result<(), FetchError> {
        (watch.done, watch.total) = (0, files.iter().map(|entry| entry.size).sum());
        let mut missing: Vec<(&Entry, PathBuf)> = Vec::new();
        for entry in files {
            let path = self.request.dir.join(&entry.path);
            entry.path.clone_into(&mut watch.file);
            let before = watch.done;
            let there = path.symlink_metadata().is_ok();
            if there && !self.request.force && !is_intact(&path, entry, watch)? {
                return Err(FetchError::Exists { path });
            }
            self.fetched.bytes += entry.size;
            if there && !self.request.force {
                self.fetched.there += 1;
                watch.done = before + entry.size;
            } else {
                missing.push((entry, path));
            }
        }
        self.check_room(&missing)?;
        for (entry, path) in missing {
            entry.path.clone_into(&mut watch.file);
            watch.report(None)?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(FetchError::io(parent))?;
            }
            let address = self.repository.file(&entry.path);
            file::fetch(&self.client, address, entry, &path, &self.request.patience, watch)?;
            self.fetched.files += 1;
        }
        Ok(())
    }

    /// Checks the free disk space before hours of downloading, if the system reports it.
    fn check_room(&self, missing: &[(&Entry, PathBuf)]) -> Result<(), FetchError> {
        let still = |(entry, path): &(&Entry, PathBuf)| entry.size.saturating_sub(partial_len(path));
        let need: u64 = missing.iter().map(still).sum();
        let dir = self.request.dir;
        let there = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
        match room(there) {
            Some(free) if free < need => Err(FetchError::Full { path: dir.to_owned(), missing: need }),
            _ => Ok(()),
        }
    }
}

/// Bytes that fit on the disk of `dir`.
#[cfg(unix)]
fn room(dir: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(dir).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<u64> {
    None
}

/// Path of the partial file of `path`.
pub fn part(path: &Path) -> PathBuf {
    part_of(path)
}
