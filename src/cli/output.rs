//! Which query goes to which files: settled, and checked, before anything is computed.

use super::errors::usage;
use super::progress;
use anyhow::bail;
use diffews_wgpu::image_io::{self, DecodedMap, ImageError, Mask, RgbImage};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Extensions that count as pictures in a directory.
const PICTURES: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"];

/// What the user asked for.
pub struct Wanted<'a> {
    pub queries: &'a [PathBuf],
    /// Supports and masks, which no result may replace.
    pub inputs: Vec<&'a Path>,
    pub output: Option<&'a Path>,
    pub overlay: Option<&'a Path>,
    pub probability: Option<&'a Path>,
    pub force: bool,
    /// Leave out queries whose results are all there.
    pub skip_existing: bool,
}

/// One query and its files.
#[derive(Debug)]
pub struct Job {
    pub query: PathBuf,
    pub mask: PathBuf,
    pub overlay: Option<PathBuf>,
    pub probability: Option<PathBuf>,
}

impl Job {
    fn outputs(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.mask), self.overlay.as_ref(), self.probability.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Writes all files of a result, each whole or not at all.
    /// `rgb` is needed for an overlay.
    pub fn write(&self, rgb: Option<&RgbImage>, mask: &Mask, map: &DecodedMap, force: bool) -> Result<(), ImageError> {
        let _writing = progress::writing();
        image_io::write_mask(&self.mask, mask, force)?;
        if let (Some(path), Some(rgb)) = (&self.overlay, rgb) {
            image_io::write_overlay(path, rgb, mask, force)?;
        }
        let Some(path) = &self.probability else { return Ok(()) };
        if is_npy(path) {
            return image_io::write_probability_npy(path, &map.map(), (map.size(), map.size()), force);
        }
        let (width, height) = mask.size();
        image_io::write_probability_png(path, &map.map_at(width, height)?, (width, height), force)
    }
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// The queries, directories replaced by their pictures in the order of their names, and their files.
///
/// # Errors
/// Directories without pictures, two queries for one file, files that exist or cannot be written.
pub fn plan(wanted: &Wanted) -> anyhow::Result<Vec<Job>> {
    let mut queries = Vec::new();
    for path in wanted.queries {
        match path.is_dir() {
            true => queries.extend(pictures(path)?),
            false => queries.push(path.clone()),
        }
    }
    // A directory is several even where it holds one picture: its results must not depend on that.
    let several = queries.len() > 1 || wanted.queries.iter().any(|q| q.is_dir());
    let place = |given: Option<&Path>, flag: &str, files: &str| -> anyhow::Result<Place> {
        let Some(path) = given else { return Ok(Place::Absent) };
        let named_as_directory = path.to_string_lossy().ends_with(std::path::is_separator);
        let named_as_file = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) || is_npy(path);
        if several && named_as_file && !path.is_dir() {
            return Err(usage(format!(
                "{flag} {}: there may be several results, so this must be a directory, and it is named like a file",
                path.display()
            )));
        }
        if path.is_dir() || several || named_as_directory {
            if path.exists() && !path.is_dir() {
                return Err(usage(format!(
                    "{flag} {}: there are {} queries, so this must be a directory, and it is a file",
                    path.display(),
                    queries.len()
                )));
            }
            return Ok(Place::Directory(path.to_owned()));
        }
        if path.extension().is_none() {
            return Err(usage(format!("{flag} {}: name {files} file, or a directory that exists", path.display())));
        }
        Ok(Place::File(path.to_owned()))
    };
    let output = place(wanted.output, "--output", "a .png")?;
    let overlay = place(wanted.overlay, "--overlay", "a .png")?;
    let probability = place(wanted.probability, "--probability", "a .png or .npy")?;
    let mut jobs = Vec::with_capacity(queries.len());
    for query in &queries {
        let Some(stem) = query.file_stem() else {
            return Err(usage(format!("--query {}: is not the name of a file", query.display())));
        };
        let named = |what: &str| {
            let mut name = stem.to_owned();
            name.push(format!("_{what}.png"));
            name
        };
        jobs.push(Job {
            query: query.clone(),
            mask: output.resolve(named("mask")).unwrap_or_else(|| named("mask").into()),
            overlay: overlay.resolve(named("overlay")),
            probability: probability.resolve(named("probability")),
        });
    }
    no_two_alike(&jobs)?;
    keep_inputs(&jobs, &wanted.inputs)?;
    for place in [&output, &overlay, &probability] {
        if let Place::Directory(path) = place {
            fs::create_dir_all(path).map_err(|cause| ImageError::Write { path: path.clone(), cause })?;
        }
    }
    if wanted.skip_existing {
        jobs.retain(|job| !job.outputs().all(Path::exists));
    }
    check(&jobs, wanted.force)?;
    Ok(jobs)
}

enum Place {
    Absent,
    File(PathBuf),
    Directory(PathBuf),
}

impl Place {
    fn resolve(&self, name: std::ffi::OsString) -> Option<PathBuf> {
        match self {
            Place::Absent => None,
            Place::File(path) => Some(path.clone()),
            Place::Directory(path) => Some(path.join(name)),
        }
    }
}

/// The picture files of a directory, not of those in it, by name.
fn pictures(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = |cause| ImageError::Read { path: dir.to_owned(), cause };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if PICTURES.contains(&extension.as_str()) && !hidden && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("--query {}: no pictures in this directory ({})", dir.display(), PICTURES.join(", "));
    }
    found.sort();
    Ok(found)
}

/// Where a file will lie, however it is spelled: its directory's real place, and its name.
pub fn place_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
    path.file_name().map_or(parent.clone(), |name| parent.join(name))
}

/// Two results must not meet in one file: not those of queries of one name, not a query's mask and overlay.
fn no_two_alike(jobs: &[Job]) -> anyhow::Result<()> {
    let mut owners: HashMap<PathBuf, &Path> = HashMap::new();
    for job in jobs {
        for output in job.outputs() {
            let Some(other) = owners.insert(place_of(output), &job.query) else { continue };
            let (output, query) = (output.display(), job.query.display());
            return Err(usage(match other == job.query && jobs.len() == 1 {
                true => format!("{output}: two results of {query} would go to this file; name different ones"),
                false => format!(
                    "{} and {query}: the results of both would go to {output}; rename one of them, or run them apart",
                    other.display()
                ),
            }));
        }
    }
    Ok(())
}

fn check(jobs: &[Job], force: bool) -> anyhow::Result<()> {
    let mut probed: Vec<&Path> = Vec::new();
    for job in jobs {
        for output in job.outputs() {
            let npy = job.probability.as_deref() == Some(output) && is_npy(output);
            image_io::check_output(output, if npy { "npy" } else { "png" }, force)?;
            let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !probed.contains(&parent) {
                // Whether the system lets us write there is better known now than after the computation.
                tempfile::Builder::new()
                    .prefix(".diffews-")
                    .tempfile_in(parent)
                    .map_err(|cause| ImageError::Write { path: output.to_owned(), cause })?;
                probed.push(parent);
            }
        }
    }
    Ok(())
}

/// No result may replace what it is made from, `--force` or not.
fn keep_inputs(jobs: &[Job], others: &[&Path]) -> anyhow::Result<()> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let queries = jobs.iter().map(|j| j.query.as_path());
    let inputs: Vec<PathBuf> = others.iter().copied().chain(queries).filter_map(real).collect();
    for output in jobs.iter().flat_map(Job::outputs) {
        if real(output).is_some_and(|o| inputs.contains(&o)) {
            return Err(usage(format!("{}: is an input of this run; name another file to write", output.display())));
        }
    }
    Ok(())
}
