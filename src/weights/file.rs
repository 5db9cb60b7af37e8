//! A safetensors file, opened or embedded: its header is checked completely before any tensor is read.
//!
//! Files are read, not mapped: if another process changes a file, that is an error, not a signal, and the bytes
//! of a tensor cannot change under a slice. The file's size and time are checked after each read, so that a
//! checkpoint that changes between its first and last tensor is not used.
//!
//! The `safetensors` crate parses the header and checks that offsets are contiguous and agree with shape and element type. Left to
//! this module: the size of the header (bounded far below the crate's 100 MB), the sum of the sizes against the file's length (the
//! crate adds them unchecked and would panic on overflow), and the kind of the path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use safetensors::tensor::{Dtype, Metadata as Header};

use super::{WeightsError, kind};
use crate::shown;

/// Bytes before the header: its length, little-endian u64.
const LENGTH_PREFIX: u64 = 8;
/// The SD 2.1 UNet's header is 0.1 MB; 16 MiB leaves room for any diffusion model and none for an allocation attack.
pub const MAX_HEADER: usize = 16 << 20;
/// Bytes read at once: enough for the disk, and few enough to stay in the processor's cache until decoded. A multiple of every
/// element's size.
const CHUNK: usize = 1 << 20;

/// The source of a file's bytes, shared by all its tensors.
#[derive(Clone)]
pub(super) enum Bytes {
    Opened(Arc<Opened>),
    Owned(Arc<Cow<'static, [u8]>>),
}

/// An open file, with its size and time when opened. A file that replaces it at its path does not matter.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

#[derive(PartialEq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(about: &Metadata) -> Stamp {
        Stamp { len: about.len(), modified: about.modified().ok() }
    }
}

impl Opened {
    fn open(path: &Path) -> Result<Opened, WeightsError> {
        // Check before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(WeightsError::io(path))?.is_file() {
            return Err(WeightsError::WrongKind { path: path.to_owned(), expected: "a file" });
        }
        let file = File::open(path).map_err(WeightsError::io(path))?;
        let stamp = Stamp::of(&file.metadata().map_err(WeightsError::io(path))?);
        Ok(Opened { path: path.to_owned(), file, stamp })
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), WeightsError> {
        read_exact_at(&self.file, buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.shortened(),
            _ => WeightsError::io(&self.path)(error),
        })
    }

    fn check_unchanged(&self) -> Result<(), WeightsError> {
        let now = Stamp::of(&self.file.metadata().map_err(WeightsError::io(&self.path))?);
        if now == self.stamp {
            return Ok(());
        }
        if now.len < self.stamp.len {
            return Err(self.shortened());
        }
        let reason = "it changed while it was being read".to_owned();
        Err(WeightsError::Changed { path: self.path.clone(), reason })
    }

    fn shortened(&self) -> WeightsError {
        let reason = format!("it ends early: it had {} bytes before", self.stamp.len);
        WeightsError::Changed { path: self.path.clone(), reason }
    }
}

impl Bytes {
    fn len(&self) -> u64 {
        match self {
            Bytes::Opened(opened) => opened.stamp.len,
            Bytes::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// Passes the bytes of `range`, which must lie within the file, to `take` in pieces. Every piece except the last is
    /// a whole number of elements.
    pub(super) fn read(&self, range: Range<u64>, mut take: impl FnMut(&[u8])) -> Result<(), WeightsError> {
        let opened = match self {
            // Ranges of a file in memory were checked against its length.
            Bytes::Owned(bytes) => {
                take(&bytes[range.start as usize..range.end as usize]);
                return Ok(());
            }
            Bytes::Opened(opened) => opened,
        };
        let mut buffer = vec![0; CHUNK.min((range.end - range.start) as usize)];
        let mut at = range.start;
        while at < range.end {
            let piece = buffer.len().min((range.end - at) as usize);
            opened.fill(&mut buffer[..piece], at)?;
            take(&buffer[..piece]);
            at += piece as u64;
        }
        opened.check_unchanged()
    }

    fn collect(&self, range: Range<u64>) -> Result<Vec<u8>, WeightsError> {
        let mut all = Vec::with_capacity((range.end - range.start) as usize);
        self.read(range, |piece| all.extend_from_slice(piece))?;
        Ok(all)
    }
}

/// A browser has no files.
#[cfg(not(any(unix, windows)))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A positioned read, so that several threads can read one file.
#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Position of a tensor in its file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Byte range from the start of the file; checked against the file, shape and dtype.
    pub range: Range<u64>,
    /// For weights of 8 bits: the file and the range of the scales.
    pub scales: Option<(usize, Range<u64>)>,
}

/// A checked file: every entry's range lies inside the bytes.
pub(super) struct TensorFile {
    pub file: String,
    pub bytes: Bytes,
    pub entries: HashMap<String, Entry>,
    /// The header's metadata.
    pub metadata: HashMap<String, String>,
}

impl TensorFile {
    /// Opens `path` and reads its header; symbolic links (hub snapshots) are followed.
    pub fn open(path: &Path) -> Result<TensorFile, WeightsError> {
        let name = shown::path(path);
        let opened = Opened::open(path)?;
        if opened.stamp.len == 0 {
            return Err(WeightsError::malformed(&name, "the file is empty"));
        }
        TensorFile::parse(name, Bytes::Opened(Arc::new(opened)))
    }

    /// Checks a file in memory; `name` names it in messages.
    pub fn from_bytes(name: &str, bytes: Cow<'static, [u8]>) -> Result<TensorFile, WeightsError> {
        TensorFile::parse(name.to_owned(), Bytes::Owned(Arc::new(bytes)))
    }

    fn parse(file: String, bytes: Bytes) -> Result<TensorFile, WeightsError> {
        let result = parse_header(&file, &bytes);
        let (entries, metadata) = match result {
            // If it is another kind of file, say so instead of reporting its header.
            Err(WeightsError::Malformed { .. }) => {
                let start = bytes.collect(0..bytes.len().min(kind::LOOK as u64))?;
                match kind::of_weights(&start) {
                    Some(reason) => return Err(WeightsError::Invalid { file, reason }),
                    None => result?,
                }
            }
            other => other?,
        };
        Ok(TensorFile { file, bytes, entries, metadata })
    }
}

/// The tensors and the metadata.
type Read = (HashMap<String, Entry>, HashMap<String, String>);

fn parse_header(file: &str, bytes: &Bytes) -> Result<Read, WeightsError> {
    let bad = |reason: String| WeightsError::malformed(file, reason);
    let Some(rest) = bytes.len().checked_sub(LENGTH_PREFIX) else {
        return Err(bad(format!("{} bytes are too few for a header", bytes.len())));
    };
    let mut prefix = [0; LENGTH_PREFIX as usize];
    bytes.read(0..LENGTH_PREFIX, |piece| prefix.copy_from_slice(piece))?;
    let declared = u64::from_le_bytes(prefix);
    if declared > MAX_HEADER as u64 {
        return Err(bad(format!("the header claims {declared} bytes, more than the limit of {MAX_HEADER}")));
    }
    let Some(held) = rest.checked_sub(declared) else {
        return Err(bad(format!("the header claims {declared} bytes, but only {rest} follow (truncated?)")));
    };
    let start = LENGTH_PREFIX + declared;
    let header = bytes.collect(LENGTH_PREFIX..start)?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|e| bad(format!("header: {}", shown::text(&e.to_string()))))?;
    if header.data_len() as u64 != held {
        return Err(bad(format!(
            "the header describes {} bytes of tensors, the file holds {held} (truncated?)",
            header.data_len()
        )));
    }
    let mut entries = HashMap::new();
    for (name, info) in header.tensors() {
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        // The crate checks this, too; a range error later would be a panic, so check it again.
        if from > to || to > held {
            let name = shown::text(&name);
            return Err(bad(format!("tensor `{name}`: bytes {from}..{to} lie outside the {held} held")));
        }
        let entry =
            Entry { dtype: info.dtype, shape: info.shape.clone(), range: start + from..start + to, scales: None };
        entries.insert(name, entry);
    }
    Ok((entries, header.metadata().clone().unwrap_or_default()))
}
