//! One safetensors file, mapped or embedded: the header is checked in full before any tensor is looked at.
//!
//! The `safetensors` crate parses the header and checks that offsets are contiguous and agree with shape and element type. Left to
//! this module: the size of the header (bounded far below the crate's 100 MB), the sum of the sizes against the file's length (the
//! crate adds them unchecked and would panic where they overflow), and the kind of the path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata};

use super::WeightsError;

/// Bytes before the header: its length, little-endian u64.
const LENGTH_PREFIX: usize = 8;
/// The SD 2.1 UNet's header is 0.1 MB; 16 MiB leaves room for any diffusion model and none for an allocation attack.
pub const MAX_HEADER: usize = 16 << 20;

/// The bytes of a file, shared by all tensors in it.
#[derive(Clone)]
pub(super) enum Bytes {
    Mapped(Arc<memmap2::Mmap>),
    Owned(Arc<Cow<'static, [u8]>>),
}

impl Bytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// Where a tensor lies in its file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Byte range from the start of the file; within it, and as long as shape and dtype say.
    pub range: Range<usize>,
}

/// A checked file: every entry's range lies inside the bytes.
pub(super) struct TensorFile {
    pub file: String,
    pub bytes: Bytes,
    pub entries: HashMap<String, Entry>,
}

impl TensorFile {
    /// Maps `path`; symbolic links (hub snapshots) are followed.
    pub fn open(path: &Path) -> Result<TensorFile, WeightsError> {
        let name = path.display().to_string();
        // Asked before opening: opening a named pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(WeightsError::io(path))?.is_file() {
            return Err(WeightsError::WrongKind { path: path.to_owned(), expected: "a file" });
        }
        let file = File::open(path).map_err(WeightsError::io(path))?;
        if file.metadata().map_err(WeightsError::io(path))?.len() == 0 {
            return Err(WeightsError::malformed(&name, "the file is empty"));
        }
        // SAFETY: the map is only read. Should another process shorten the file meanwhile, the system ends this one with a signal;
        // that is the known price of mapping, and copying gigabytes instead would break the bound on host memory.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(WeightsError::io(path))?;
        TensorFile::parse(name, Bytes::Mapped(Arc::new(map)))
    }

    /// Checks bytes that are in memory; `name` stands for the file in messages.
    pub fn from_bytes(name: &str, bytes: Cow<'static, [u8]>) -> Result<TensorFile, WeightsError> {
        TensorFile::parse(name.to_owned(), Bytes::Owned(Arc::new(bytes)))
    }

    fn parse(file: String, bytes: Bytes) -> Result<TensorFile, WeightsError> {
        let entries = parse_header(&file, bytes.as_slice())?;
        Ok(TensorFile { file, bytes, entries })
    }
}

fn parse_header(file: &str, bytes: &[u8]) -> Result<HashMap<String, Entry>, WeightsError> {
    let bad = |reason: String| WeightsError::malformed(file, reason);
    let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_PREFIX>() else {
        return Err(bad(format!("{} bytes are too few for a header", bytes.len())));
    };
    let declared = u64::from_le_bytes(*prefix);
    let header_len = usize::try_from(declared).ok().filter(|&n| n <= MAX_HEADER).ok_or_else(|| {
        bad(format!("the header claims {declared} bytes, more than the {MAX_HEADER} that are accepted"))
    })?;
    let Some((header, data)) = rest.split_at_checked(header_len) else {
        return Err(bad(format!("the header claims {declared} bytes, but only {} follow (truncated?)", rest.len())));
    };
    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| bad(format!("header: {e}")))?;
    if metadata.data_len() != data.len() {
        return Err(bad(format!(
            "the header describes {} bytes of tensors, the file holds {} (truncated?)",
            metadata.data_len(),
            data.len()
        )));
    }
    let start = LENGTH_PREFIX + header_len;
    let mut entries = HashMap::new();
    for (name, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        // The crate has checked this today; an out-of-range slice later would be a panic, so it is not left to trust.
        if from > to || to > data.len() {
            return Err(bad(format!("tensor `{name}`: bytes {from}..{to} lie outside the {} held", data.len())));
        }
        let entry = Entry { dtype: info.dtype, shape: info.shape.clone(), range: start + from..start + to };
        entries.insert(name, entry);
    }
    Ok(entries)
}
