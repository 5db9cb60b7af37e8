//! Names of the results.

use super::super::errors::usage;
use super::super::job::{ClassFiles, Job, is_npy, is_png};
use super::super::queries::Query;
use super::Wanted;
use diffews_wgpu::formats::Format;
use diffews_wgpu::image_io::{ImageError, is_standard};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where results of one kind go.
enum Place {
    Absent,
    File(PathBuf),
    Directory(PathBuf),
}

impl Place {
    /// The file of this name for a query at `below` in its folder.
    fn resolve(&self, below: &Path, name: OsString) -> Option<PathBuf> {
        match self {
            Place::Absent => None,
            Place::File(path) => Some(path.clone()),
            Place::Directory(path) => Some(path.join(below).join(name)),
        }
    }
}

/// Directories and names of results.
pub struct Naming {
    format: Format,
    /// Whether each query has its own file.
    own: bool,
    classes: Vec<String>,
    output: Place,
    overlay: Place,
    probability: Place,
    class_masks: Place,
}

impl Naming {
    /// # Errors
    /// A file where a directory is needed, or the reverse.
    pub fn new(wanted: &Wanted, own: bool) -> anyhow::Result<Naming> {
        let format = wanted.format;
        let output = match own {
            true => place(wanted, wanted.output, "--output", &format!("a .{}", format.extension()))?,
            false => Place::Absent,
        };
        let probability = match wanted.classes.is_empty() {
            true => place(wanted, wanted.probability, "--probability", "a .png or .npy")?,
            false => of_classes(wanted.probability, "--probability")?,
        };
        Ok(Naming {
            format,
            own,
            classes: wanted.classes.clone(),
            output,
            overlay: place(wanted, wanted.overlay, "--overlay", "a .png")?,
            probability,
            class_masks: of_classes(wanted.class_masks, "--class-masks")?,
        })
    }

    /// The job of a query.
    ///
    /// # Errors
    /// A path without a file name.
    pub fn job(&self, query: Query) -> anyhow::Result<Job> {
        let Query { path: query, below, listed } = query;
        let stem = if is_standard(&query) { Some("stdin".as_ref()) } else { query.file_stem() };
        let Some(stem) = stem else {
            return Err(usage(format!("--query {}: this is not the name of a file", query.display())));
        };
        let ending = |end: &str| {
            let mut name = stem.to_owned();
            name.push(end);
            name
        };
        let named = |what: &str| ending(&format!("_{what}.png"));
        let (format, labelled) = (self.format, !self.classes.is_empty());
        let own = match format.is_picture() {
            true if labelled || format == Format::LabelMap => ending(&format!("_labels.{}", format.extension())),
            true => ending(&format!("_mask.{}", format.extension())),
            false => ending(&format!(".{}", format.extension())),
        };
        let result =
            self.own.then(|| self.output.resolve(&below, own.clone()).unwrap_or_else(|| below.join(own.clone())));
        let of_class = |class: &String| ClassFiles {
            mask: self.class_masks.resolve(&below, named(&format!("{}_mask", in_a_name(class)))),
            probability: self.probability.resolve(&below, named(&format!("{}_probability", in_a_name(class)))),
        };
        let classes = self.classes.iter().map(of_class).collect();
        let overlay = self.overlay.resolve(&below, named("overlay"));
        let probability = if labelled { None } else { self.probability.resolve(&below, named("probability")) };
        Ok(Job { query, below, listed, result, overlay, probability, classes })
    }

    /// Makes the directories that the user named.
    pub fn make(&self) -> Result<(), ImageError> {
        let all = [&self.output, &self.overlay, &self.probability, &self.class_masks].into_iter();
        all.filter_map(|place| if let Place::Directory(path) = place { Some(path) } else { None }).try_for_each(make)
    }

    /// Makes the subdirectories that the results of these jobs need.
    pub fn make_below(&self, jobs: &[Job]) -> Result<(), ImageError> {
        let of_trees = jobs.iter().filter(|job| !job.below.as_os_str().is_empty());
        let parents: HashSet<&Path> = of_trees.flat_map(Job::outputs).filter_map(Path::parent).collect();
        parents.into_iter().filter(|path| !path.is_dir()).try_for_each(make)
    }
}

fn make(path: impl AsRef<Path>) -> Result<(), ImageError> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(|cause| ImageError::Write { path: path.to_owned(), cause })
}

/// A class's name as a part of a file name.
fn in_a_name(class: &str) -> String {
    let fits = |c: char| !c.is_control() && !"/\\:<>\"|?*".contains(c);
    class.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

fn place(wanted: &Wanted, given: Option<&Path>, flag: &str, files: &str) -> anyhow::Result<Place> {
    let Some(path) = given else { return Ok(Place::Absent) };
    let several = wanted.several;
    if several && is_standard(path) {
        return Err(usage(format!("{flag} -: there may be several results, and standard output takes one")));
    }
    let named_as_directory = path.to_string_lossy().ends_with(std::path::is_separator);
    let own = path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted.format.extension()));
    let named_as_file = is_png(path) || is_npy(path) || own;
    if several && named_as_file && !path.is_dir() {
        return Err(usage(format!(
            "{flag} {}: there may be several results, so this must be a directory, but it is named like a file",
            path.display()
        )));
    }
    if path.is_dir() || several || named_as_directory {
        if path.exists() && !path.is_dir() {
            return Err(usage(format!(
                "{flag} {}: there may be several results, so this must be a directory, but it is a file",
                path.display(),
            )));
        }
        return Ok(Place::Directory(path.to_owned()));
    }
    if path.extension().is_none() && !is_standard(path) {
        return Err(usage(format!("{flag} {}: name {files} file, or a directory that exists", path.display())));
    }
    Ok(Place::File(path.to_owned()))
}

fn of_classes(given: Option<&Path>, flag: &str) -> anyhow::Result<Place> {
    match given {
        Some(path) if !path.is_dir() && (path.exists() || is_npy(path) || is_png(path) || is_standard(path)) => {
            Err(usage(format!("{flag} {}: each class has its own file, so this must be a directory", path.display())))
        }
        Some(path) => Ok(Place::Directory(path.to_owned())),
        None => Ok(Place::Absent),
    }
}
