//! Fetches a file: its partial file grows over any number of connections and runs until it is complete and verified.

use super::http::{Client, ContentRange, Failure};
use super::listing::Entry;
use super::{FetchError, Patience, Watch};
use crate::files::{open_or_make, open_regular};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const CHUNK: usize = 256 << 10;
/// Bytes after which a connection counts as progress.
const PROGRESS: u64 = 64 << 10;
/// Most connections for one file.
const MAX_CONNECTIONS: usize = 1000;

/// Path of the partial file.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Length of the partial file.
pub(super) fn partial_len(path: &Path) -> u64 {
    fs::symlink_metadata(part_of(path)).map_or(0, |about| about.len())
}

/// Whether `path` matches the size and hash of `entry`, as far as they are known.
pub(super) fn is_intact(path: &Path, entry: &Entry, watch: &mut Watch) -> Result<bool, FetchError> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() && about.len() == entry.size => {}
        _ => return Ok(false),
    }
    let Some(wanted) = entry.sha256 else { return Ok(true) };
    let mut file = open_regular(path).map_err(FetchError::io(path))?;
    let mut hash = Sha256::new();
    let read = hash_existing(&mut file, entry.size, &mut hash, path, watch)?;
    Ok(read == entry.size && hash.finalize() == wanted.into())
}

/// Feeds the next `size` bytes of a file to `hash`; returns their number.
fn hash_existing(
    file: &mut File,
    size: u64,
    hash: &mut Sha256,
    path: &Path,
    watch: &mut Watch,
) -> Result<u64, FetchError> {
    let (mut buffer, mut read) = (vec![0; CHUNK], 0);
    while read < size {
        let most = buffer.len().min((size - read) as usize);
        match file.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&buffer[..n]);
                read += n as u64;
                watch.received(n as u64)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(FetchError::io(path)(error)),
        }
    }
    Ok(read)
}

/// A partial file being fetched.
struct Growing<'a> {
    entry: &'a Entry,
    address: String,
    part: PathBuf,
    file: File,
    hash: Sha256,
    held: u64,
    /// Bytes from earlier runs.
    before: u64,
    /// Whether the server supports ranges.
    ranges: bool,
}

/// How a connection ended.
enum End {
    All,
    Broken(Failure),
    Error(FetchError),
}

impl From<FetchError> for End {
    fn from(error: FetchError) -> End {
        End::Error(error)
    }
}

/// Fetches `entry` to `path` and replaces an existing file.
pub(super) fn fetch(
    client: &Client,
    address: String,
    entry: &Entry,
    path: &Path,
    patience: &Patience,
    watch: &mut Watch,
) -> Result<(), FetchError> {
    let part = part_of(path);
    let file = open_or_make(&part).map_err(FetchError::io(&part))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { path: part }),
        // Without file locks, every run may continue.
        Err(TryLockError::Error(_)) | Ok(()) => {}
    }
    let mut growing = Growing { entry, address, part, file, hash: Sha256::new(), held: 0, before: 0, ranges: true };
    growing.resume(watch)?;
    growing.fill(client, patience, watch)?;
    let Growing { part, file, .. } = growing;
    file.sync_all().map_err(FetchError::io(&part))?;
    fs::rename(&part, path).map_err(FetchError::io(path))
}

impl Growing<'_> {
    /// Hashes the partial file of an earlier run.
    fn resume(&mut self, watch: &mut Watch) -> Result<(), FetchError> {
        let len = self.file.metadata().map_err(FetchError::io(&self.part))?.len();
        if len > self.entry.size {
            return self.begin_again(watch);
        }
        let mut file = open_regular(&self.part).map_err(FetchError::io(&self.part))?;
        self.held = hash_existing(&mut file, len, &mut self.hash, &self.part, watch)?;
        self.before = self.held;
        self.file.seek(SeekFrom::Start(self.held)).map_err(FetchError::io(&self.part)).map(drop)
    }

    fn begin_again(&mut self, watch: &mut Watch) -> Result<(), FetchError> {
        watch.gone(self.held);
        self.hash = Sha256::new();
        (self.held, self.before) = (0, 0);
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(FetchError::io(&self.part)).map(drop)
    }

    /// Connects until the file is complete and verified.
    fn fill(&mut self, client: &Client, patience: &Patience, watch: &mut Watch) -> Result<(), FetchError> {
        let (mut failures, mut most) = (0, self.held);
        for _ in 0..MAX_CONNECTIONS {
            let failure = match self.connect(client, watch) {
                End::All if self.is_intact() => return Ok(()),
                // The earlier part may be of another version of the file.
                End::All if self.before > 0 => {
                    self.begin_again(watch)?;
                    continue;
                }
                End::All => return Err(self.wrong(watch)),
                End::Error(error) => return Err(error),
                End::Broken(failure) => failure,
            };
            if self.held >= most.saturating_add(PROGRESS) {
                failures = 0;
            }
            most = most.max(self.held);
            failures += 1;
            if !failure.passes || failures >= patience.attempts {
                return Err(failure.of(&self.address));
            }
            watch.wait(&self.entry.path, &failure.reason, failure.wait.unwrap_or(patience.wait(failures)))?;
        }
        let reason = format!("{MAX_CONNECTIONS} connections did not deliver all of it");
        Err(FetchError::Network { address: self.address.clone(), reason })
    }

    fn is_intact(&self) -> bool {
        self.entry.sha256.is_none_or(|wanted| self.hash.clone().finalize() == wanted.into())
    }

    /// Deletes a file that arrived completely in this run with a wrong hash.
    fn wrong(&mut self, watch: &mut Watch) -> FetchError {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let got = hex(&self.hash.clone().finalize());
        let wanted = self.entry.sha256.as_ref().map_or_else(String::new, |wanted| hex(wanted));
        if let Err(error) = self.begin_again(watch) {
            return error;
        }
        let _ = fs::remove_file(&self.part);
        FetchError::Hash { address: self.address.clone(), got, wanted }
    }

    fn connect(&mut self, client: &Client, watch: &mut Watch) -> End {
        if self.held == self.entry.size {
            return End::All;
        }
        match self.receive(client, watch) {
            Ok(()) if self.held == self.entry.size => End::All,
            Ok(()) => End::Broken(Failure::truncated(self.held, self.entry.size)),
            Err(end) => end,
        }
    }

    fn changed(&self, reason: String) -> End {
        End::Error(FetchError::Changed { address: self.address.clone(), reason })
    }

    fn receive(&mut self, client: &Client, watch: &mut Watch) -> Result<(), End> {
        let size = self.entry.size;
        let from = if self.ranges { self.held } else { 0 };
        let answer = client.file(&self.address, from).map_err(End::Broken)?;
        let told = match answer.range {
            ContentRange::Whole(told) => {
                if self.held > 0 {
                    self.begin_again(watch)?;
                }
                told
            }
            ContentRange::From { start, total } if start == from && from > 0 => total,
            // Stop using ranges: this server's are wrong.
            _ if self.ranges && from > 0 => {
                self.ranges = false;
                self.begin_again(watch)?;
                return self.receive(client, watch);
            }
            _ => {
                let reason = "the server sends a part of the file that was not requested".to_owned();
                return Err(End::Error(FetchError::Network { address: self.address.clone(), reason }));
            }
        };
        if let Some(told) = told.filter(|&told| told != size) {
            return Err(self.changed(format!("the server has {told} bytes, but {size} were listed")));
        }
        let (mut body, mut buffer) = (answer.reader(), vec![0; CHUNK]);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(End::Broken(Failure::broken(&error))),
            };
            if self.held + n as u64 > size {
                return Err(self.changed(format!("the server sends more than the {size} bytes that were listed")));
            }
            self.file.write_all(&buffer[..n]).map_err(|error| self.not_written(error))?;
            self.hash.update(&buffer[..n]);
            self.held += n as u64;
            watch.received(n as u64)?;
        }
    }

    fn not_written(&self, error: io::Error) -> FetchError {
        let missing = self.entry.size - self.held;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FetchError::Full { path: self.part.clone(), missing },
            _ => FetchError::io(&self.part)(error),
        }
    }
}
