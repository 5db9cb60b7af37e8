//! [`Weights`]: a checkpoint of one or several files; [`Scope`]: a path into it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::WeightsError;
use super::file::{Bytes, Entry, TensorFile};
use super::problems::{Problem, cause, common_prefix};
use super::scaled;
use super::tensor::{Data, TensorView, readable};
use crate::shown;
use safetensors::tensor::Dtype;

/// A checkpoint: the tensors of one component (UNet, VAE or text encoder), in one file or several shards. Cheap to clone; all
/// clones share the record of requested tensors.
#[derive(Clone)]
pub struct Weights(Arc<Inner>);

struct Inner {
    /// Name in messages: the file, or the index of the shards.
    name: String,
    /// Prefix of all names in the file, which `tensors` lack.
    prefix: Option<String>,
    files: Vec<(String, Bytes)>,
    tensors: HashMap<String, (usize, Entry)>,
    /// Metadata of the headers.
    metadata: HashMap<String, String>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    used: HashSet<String>,
    /// Missing and unusable tensors, in the order of requests.
    problems: Vec<Problem>,
}

/// The result of [`Weights::finish`] for a checkpoint that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Unused tensors, sorted by name.
    pub unused: Vec<String>,
}

impl Report {
    /// A line for each of the first `most` unused tensors of `file`, and one for the rest.
    pub fn unused_lines(&self, file: &str, most: usize) -> Vec<String> {
        let line = |name: &String| format!("{file}: unused tensor `{}`", shown::text(name));
        let mut lines: Vec<String> = self.unused.iter().take(most).map(line).collect();
        if let Some(more @ 1..) = self.unused.len().checked_sub(most) {
            lines.push(format!("{file}: and {more} more unused tensors{}", shown::where_all(most)));
        }
        lines
    }
}

impl Weights {
    /// A checkpoint in memory, such as an embedded one. `name` names it in messages.
    ///
    /// # Errors
    /// [`WeightsError::Malformed`] for bytes that are not a sound safetensors file.
    pub fn from_bytes(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Weights, WeightsError> {
        Weights::from_files(name.to_owned(), vec![TensorFile::from_bytes(name, bytes.into())?], &[])
    }

    /// Joins shards. If all names have a prefix with one of `anchors`, names of the component, below it, the prefix is dropped.
    pub(super) fn from_files(name: String, files: Vec<TensorFile>, anchors: &[&str]) -> Result<Weights, WeightsError> {
        let mut tensors: HashMap<String, (usize, Entry)> = HashMap::new();
        let mut kept: Vec<(String, Bytes)> = Vec::with_capacity(files.len());
        let mut metadata = HashMap::new();
        for (index, file) in files.into_iter().enumerate() {
            metadata.extend(file.metadata);
            for (tensor, entry) in file.entries {
                if let Some((other, _)) = tensors.get(&tensor) {
                    let first = kept.get(*other).map_or(file.file.clone(), |(name, _)| name.clone());
                    return Err(WeightsError::Duplicate { name: tensor, first, second: file.file });
                }
                tensors.insert(tensor, (index, entry));
            }
            kept.push((file.file, file.bytes));
        }
        let prefix = common_prefix(tensors.keys(), |n| tensors.contains_key(n), anchors);
        if let Some(prefix) = &prefix {
            tensors = tensors.into_iter().map(|(name, entry)| (name[prefix.len()..].to_owned(), entry)).collect();
        }
        scaled::join(&mut tensors);
        Ok(Weights(Arc::new(Inner { name, prefix, files: kept, tensors, metadata, asked: Mutex::default() })))
    }

    /// The name of the file or shard index in messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same checkpoint with the additional tensors of `bytes`, a safetensors file in memory. The record of requested tensors begins
    /// anew.
    ///
    /// # Errors
    /// [`WeightsError::Malformed`] for bytes that are not a sound file, [`WeightsError::Duplicate`] if both have a tensor.
    pub(crate) fn with_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<Weights, WeightsError> {
        let more = TensorFile::from_bytes(name, bytes.into())?;
        let (mut files, mut tensors) = (self.0.files.clone(), self.0.tensors.clone());
        for (tensor, entry) in more.entries {
            if let Some((other, _)) = tensors.insert(tensor.clone(), (files.len(), entry)) {
                let first = files.get(other).map_or_else(String::new, |(name, _)| name.clone());
                return Err(WeightsError::Duplicate { name: tensor, first, second: more.file });
            }
        }
        files.push((more.file, more.bytes));
        let (name, prefix, metadata) = (self.0.name.clone(), self.0.prefix.clone(), self.0.metadata.clone());
        Ok(Weights(Arc::new(Inner { name, prefix, files, tensors, metadata, asked: Mutex::default() })))
    }

    /// The header's metadata for `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }

    /// A note that all names have a prefix, if they do.
    pub fn note(&self) -> Option<String> {
        let prefix = shown::text(self.0.prefix.as_ref()?);
        Some(format!("{}: all names begin with `{prefix}`, which is ignored", self.0.name))
    }

    /// The empty path, where a model starts.
    pub fn root(&self) -> Scope {
        Scope { weights: self.clone(), prefix: String::new() }
    }

    /// Whether a tensor with this full name exists. Does not count as use.
    pub fn has(&self, name: &str) -> bool {
        self.0.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Shape of a tensor by its full name, if it exists. Does not count as use.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.tensors.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// Number of tensors and of their elements.
    pub fn count(&self) -> (usize, u64) {
        let elements = self.0.tensors.values().map(|(_, e)| e.shape.iter().map(|&n| n as u64).product::<u64>());
        (self.0.tensors.len(), elements.sum())
    }

    /// Element types in use with the number of tensors of each, sorted by name: "F16", "F32"...
    pub fn dtypes(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for (_, entry) in self.0.tensors.values() {
            *counts.entry(format!("{:?}", entry.dtype)).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Whether any tensor has 8 bits with scales.
    pub fn has_eight_bits(&self) -> bool {
        self.0.tensors.values().any(|(_, entry)| entry.scales.is_some())
    }

    /// Marks a tensor as used without reading it: for buffers without information (`position_ids`).
    pub fn ignore(&self, name: &str) {
        self.asked().used.insert(name.to_owned());
    }

    /// Unused tensors, sorted by name.
    pub fn unused(&self) -> Vec<String> {
        let asked = self.asked();
        let mut names: Vec<String> = self.0.tensors.keys().filter(|n| !asked.used.contains(*n)).cloned().collect();
        names.sort_unstable();
        names
    }

    /// A tensor with the file's shape, if its elements are floats. Does not count as use.
    pub fn look(&self, name: &str) -> Option<TensorView> {
        let (file, entry) = self.0.tensors.get(name).filter(|(_, entry)| readable(entry))?;
        Some(TensorView::new(self.clone(), name.to_owned(), entry.shape.clone(), Some(self.data(*file, entry))))
    }

    /// The bytes of a U8 tensor of at most `most` elements. Does not count as use.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn look_at_bytes(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, WeightsError> {
        let is_small = |entry: &Entry| entry.dtype == Dtype::U8 && entry.range.end - entry.range.start <= most as u64;
        let Some((file, entry)) = self.0.tensors.get(name).filter(|(_, entry)| is_small(entry)) else {
            return Ok(None);
        };
        let mut all = Vec::new();
        self.0.files[*file].1.read(entry.range.clone(), |piece| all.extend_from_slice(piece))?;
        Ok(Some(all))
    }

    /// Passes every tensor, sorted by name, to `tensor` (name, element type, shape), and then its raw bytes in pieces to `bytes`, followed
    /// by the bytes of its scales, if any. Does not count as use.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn walk<S>(
        &self,
        state: &mut S,
        tensor: impl Fn(&mut S, &str, &str, &[usize]),
        bytes: impl Fn(&mut S, &[u8]),
    ) -> Result<(), WeightsError> {
        for name in self.names() {
            let Some((file, entry)) = self.0.tensors.get(name) else { continue };
            tensor(state, name, &format!("{:?}", entry.dtype), &entry.shape);
            self.0.files[*file].1.read(entry.range.clone(), |piece| bytes(state, piece))?;
            if let Some((file, range)) = &entry.scales {
                self.0.files[*file].1.read(range.clone(), |piece| bytes(state, piece))?;
            }
        }
        Ok(())
    }

    /// Ends the building of a model.
    ///
    /// # Errors
    /// [`WeightsError::Mismatch`] with every requested tensor that is missing, has a wrong shape or an element type that
    /// is not a float.
    pub fn finish(&self) -> Result<Report, WeightsError> {
        let problems = self.asked().problems.clone();
        if !problems.is_empty() {
            let asked = self.asked().used.len();
            let cause = cause(&problems, asked, self.0.tensors.keys());
            return Err(WeightsError::Mismatch { file: self.0.name.clone(), cause, problems });
        }
        Ok(Report { unused: self.unused() })
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // A panic elsewhere cannot leave the set or list in a harmful state.
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: String, shapes: &[&[usize]]) -> TensorView {
        let asked_shape = shapes.first().map_or(Vec::new(), |s| s.to_vec());
        let found = self.0.tensors.get(&name);
        let problem = match found {
            None => Some(Problem::Missing { name: name.clone(), shape: asked_shape.clone() }),
            Some((file, entry)) => self.fault(&name, *file, entry, shapes),
        };
        let mut asked = self.asked();
        let new = asked.used.insert(name.clone());
        let data = match (problem, found) {
            (None, Some((file, entry))) => Some(self.data(*file, entry)),
            (problem, _) => {
                if let Some(problem) = problem.filter(|problem| new || !asked.problems.contains(problem)) {
                    asked.problems.push(problem);
                }
                None
            }
        };
        let shape = match (&data, found) {
            (Some(_), Some((_, entry))) => entry.shape.clone(),
            _ => asked_shape,
        };
        TensorView::new(self.clone(), name, shape, data)
    }

    /// Source of a tensor's bytes.
    fn data(&self, file: usize, entry: &Entry) -> Data {
        let bytes = |file: usize| self.0.files[file].1.clone();
        let scales = entry.scales.as_ref().map(|(file, range)| (bytes(*file), range.clone()));
        Data { dtype: entry.dtype, bytes: bytes(file), range: entry.range.clone(), scales }
    }

    fn fault(&self, name: &str, file: usize, entry: &Entry, shapes: &[&[usize]]) -> Option<Problem> {
        let (name, file) = (name.to_owned(), self.0.files[file].0.clone());
        // Quantised weights also have other shapes, so check the type first.
        if !readable(entry) {
            return Some(Problem::Type { name, file, dtype: entry.dtype });
        }
        let wanted = || shapes.iter().map(|s| s.to_vec()).collect();
        let fits = shapes.contains(&entry.shape.as_slice());
        (!fits).then(|| Problem::Shape { name, file, got: entry.shape.clone(), wanted: wanted() })
    }
}

/// A path into a checkpoint, such as `down_blocks.0.resnets.1`.
#[derive(Clone)]
pub struct Scope {
    weights: Weights,
    prefix: String,
}

impl Scope {
    /// One step down: a name or a number.
    pub fn pp(&self, segment: impl Display) -> Scope {
        Scope { weights: self.weights.clone(), prefix: self.full(segment) }
    }

    /// One step down, to the first of several names of a layer that has a `weight` (older exports call `to_q` `query`);
    /// to the first name if none has.
    pub fn pp_any(&self, segments: &[&str]) -> Scope {
        let found = segments.iter().find(|s| self.has(format_args!("{s}.weight"))).or(segments.first());
        self.pp(found.copied().unwrap_or_default())
    }

    /// The path, separated by dots; empty at the root.
    pub fn path(&self) -> &str {
        &self.prefix
    }

    /// The checkpoint that this path leads into.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Whether the tensor exists below this path. Does not count as use.
    pub fn has(&self, name: impl Display) -> bool {
        self.weights.has(&self.full(name))
    }

    /// The tensor `name` below this path, which must have exactly `shape`. If it is missing or different, this is recorded for
    /// [`Weights::finish`], and a placeholder of `shape` is returned, which fails when read.
    pub fn tensor(&self, name: impl Display, shape: &[usize]) -> TensorView {
        self.tensor_any(name, &[shape])
    }

    /// The same for a tensor that is published in several shapes, such as `[o, i]` and `[o, i, 1, 1]`. The view has the shape of
    /// the file; a placeholder has the first.
    pub fn tensor_any(&self, name: impl Display, shapes: &[&[usize]]) -> TensorView {
        self.weights.take(self.full(name), shapes)
    }

    fn full(&self, name: impl Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}
