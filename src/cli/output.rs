//! Which query goes to which files: settled, and checked, before anything is computed.

use super::errors::usage;
use super::folder;
use super::format::{Format, RunFile};
use super::job::{ClassFiles, Job, is_npy, is_png};
use diffews_wgpu::image_io::{self, ImageError, is_standard};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What begins the names of the hidden files that a run makes.
pub const HIDDEN: &str = ".diffews-";
/// Hidden files so old are of runs that were killed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// Another run needs about so long between a query's mask and its other files.
const BETWEEN_FILES: Duration = Duration::from_secs(2);

/// What the user asked for.
pub struct Wanted<'a> {
    pub queries: &'a [PathBuf],
    /// Supports and masks, which no result may replace.
    pub inputs: Vec<&'a Path>,
    pub output: Option<&'a Path>,
    pub format: Format,
    pub overlay: Option<&'a Path>,
    pub probability: Option<&'a Path>,
    /// Names of the classes, where they have names: a query's result is then a label map.
    pub classes: Vec<String>,
    /// Where each class's mask goes.
    pub class_masks: Option<&'a Path>,
    pub force: bool,
    /// Leave out queries whose results are all there.
    pub skip_existing: bool,
}

/// A class's name as a part of a file's.
fn in_a_name(class: &str) -> String {
    let fits = |c: char| !c.is_control() && !"/\\:<>\"|?*".contains(c);
    class.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// What is to be done, and what the user should know of it.
pub struct Plan {
    pub jobs: Vec<Job>,
    /// The file that all queries share, if they do.
    pub run_file: Option<PathBuf>,
    pub notes: Vec<String>,
}

/// The queries, directories replaced by their pictures in the order of their names, and their files.
///
/// # Errors
/// Directories without pictures, two queries for one file, files that exist or cannot be written.
pub fn plan(wanted: &Wanted) -> anyhow::Result<Plan> {
    let (mut queries, mut notes) = (Vec::new(), Vec::new());
    for path in wanted.queries {
        if is_folder(path) {
            let (pictures, left_out) = folder::pictures(path)?;
            queries.extend(pictures.into_iter().map(|picture| (picture, true)));
            notes.extend(left_out);
        } else {
            queries.push((path.clone(), false));
        }
    }
    // A directory is several even where it holds one picture: its results must not depend on that.
    let several = queries.len() > 1 || wanted.queries.iter().any(|q| is_folder(q));
    let place = |given: Option<&Path>, flag: &str, files: &str| -> anyhow::Result<Place> {
        let Some(path) = given else { return Ok(Place::Absent) };
        let named_as_directory = path.to_string_lossy().ends_with(std::path::is_separator);
        let own = path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted.format.extension()));
        let named_as_file = is_png(path) || is_npy(path) || own;
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
        if path.extension().is_none() && !is_standard(path) {
            return Err(usage(format!("{flag} {}: name {files} file, or a directory that exists", path.display())));
        }
        Ok(Place::File(path.to_owned()))
    };
    let Wanted { format, .. } = *wanted;
    let run_file = format.is_of_run().then(|| wanted.output.map_or_else(RunFile::default_path, Path::to_owned));
    if let Some(path) = &run_file {
        if path.is_dir() {
            return Err(usage(format!(
                "--output {}: all queries share one file in this format, so name a file",
                path.display()
            )));
        }
        image_io::check_place(path, wanted.force)?;
        keep_files(path, wanted.inputs.iter().copied().chain(queries.iter().map(|query| query.0.as_path())))?;
    }
    let output = match run_file {
        Some(_) => Place::Absent,
        None => place(wanted.output, "--output", &format!("a .{}", format.extension()))?,
    };
    let overlay = place(wanted.overlay, "--overlay", "a .png")?;
    let labelled = !wanted.classes.is_empty();
    let of_classes = |given: Option<&Path>, flag: &str| match given {
        Some(path) if !path.is_dir() && (path.exists() || is_npy(path) || is_png(path) || is_standard(path)) => {
            Err(usage(format!("{flag} {}: each class has its own, so this must be a directory", path.display())))
        }
        Some(path) => Ok(Place::Directory(path.to_owned())),
        None => Ok(Place::Absent),
    };
    let class_masks = of_classes(wanted.class_masks, "--class-masks")?;
    let probability = match labelled {
        true => of_classes(wanted.probability, "--probability")?,
        false => place(wanted.probability, "--probability", "a .png or .npy")?,
    };
    let mut jobs = Vec::with_capacity(queries.len());
    for (query, listed) in queries {
        let stem = if is_standard(&query) { Some("stdin".as_ref()) } else { query.file_stem() };
        let Some(stem) = stem else {
            return Err(usage(format!("--query {}: is not the name of a file", query.display())));
        };
        let ending = |end: &str| {
            let mut name = stem.to_owned();
            name.push(end);
            name
        };
        let named = |what: &str| ending(&format!("_{what}.png"));
        let own = match format.is_picture() {
            true if labelled || format == Format::Labelmap => named("labels"),
            true => named("mask"),
            false => ending(&format!(".{}", format.extension())),
        };
        let result = run_file.is_none().then(|| output.resolve(own.clone()).unwrap_or_else(|| own.into()));
        let of_class = |class: &String| ClassFiles {
            mask: class_masks.resolve(named(&format!("{}_mask", in_a_name(class)))),
            probability: probability.resolve(named(&format!("{}_probability", in_a_name(class)))),
        };
        let classes = wanted.classes.iter().map(of_class).collect();
        let overlay = overlay.resolve(named("overlay"));
        let probability = if labelled { None } else { probability.resolve(named("probability")) };
        jobs.push(Job { query, listed, result, overlay, probability, classes });
    }
    let mut places = Places::default();
    no_two_alike(&jobs, &mut places)?;
    keep_inputs(&jobs, &wanted.inputs, &mut places)?;
    for place in [&output, &overlay, &probability, &class_masks] {
        if let Place::Directory(path) = place {
            fs::create_dir_all(path).map_err(|cause| ImageError::Write { path: path.clone(), cause })?;
        }
    }
    let begun = |jobs: &[Job]| jobs.iter().flat_map(Job::outputs).find(|o| o.exists()).map(Path::to_owned);
    if wanted.skip_existing {
        jobs.retain(|job| !job.is_done());
        if !wanted.force && begun(&jobs).is_some() {
            // By a run that was interrupted, or by one that is at it.
            std::thread::sleep(BETWEEN_FILES);
            jobs.retain(|job| !job.is_done());
            if let Some(path) = begun(&jobs) {
                return Err(ImageError::Exists { path }.into());
            }
        }
    }
    // What comes up from here on is another run's.
    check(&jobs, format, wanted.force || wanted.skip_existing)?;
    Ok(Plan { jobs, run_file, notes })
}

/// `-` is no folder, whatever lies there.
pub fn is_folder(path: &Path) -> bool {
    !is_standard(path) && path.is_dir()
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

/// Where a file will lie, however it is spelled: its directory's real place, and its name.
pub fn place_of(path: &Path) -> PathBuf {
    Places::default().of(path)
}

/// The real places of directories, each looked up once.
#[derive(Default)]
struct Places(HashMap<PathBuf, PathBuf>);

impl Places {
    fn of(&mut self, path: &Path) -> PathBuf {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !self.0.contains_key(parent) {
            let real = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
            self.0.insert(parent.to_owned(), real);
        }
        let parent = &self.0[parent];
        path.file_name().map_or(parent.clone(), |name| parent.join(name))
    }

    /// The same of what may be a link: where that leads.
    fn behind(&mut self, path: &Path) -> PathBuf {
        match path.is_symlink() {
            true => fs::canonicalize(path).unwrap_or_else(|_| self.of(path)),
            false => self.of(path),
        }
    }
}

/// Two results must not meet in one file: not those of queries of one name, not a query's mask and overlay.
fn no_two_alike(jobs: &[Job], places: &mut Places) -> anyhow::Result<()> {
    let mut owners: HashMap<PathBuf, &Path> = HashMap::new();
    for job in jobs {
        for output in job.outputs() {
            let Some(other) = owners.insert(places.of(output), &job.query) else { continue };
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

fn check(jobs: &[Job], format: Format, force: bool) -> anyhow::Result<()> {
    let mut probed: HashSet<&Path> = HashSet::new();
    for job in jobs {
        for output in job.outputs().filter(|o| !is_standard(o)) {
            let npy = job.probabilities().any(|path| path == output) && is_npy(output);
            let own = job.result.as_deref() == Some(output);
            let wanted = match (npy, own) {
                (true, _) => "npy",
                (_, true) => format.extension(),
                _ => "png",
            };
            image_io::check_output(output, wanted, force)?;
            let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if probed.insert(parent) {
                sweep(parent);
                // Whether the system lets us write there is better known now than after the computation.
                tempfile::Builder::new()
                    .prefix(HIDDEN)
                    .suffix(".part")
                    .tempfile_in(parent)
                    .map_err(|cause| ImageError::Write { path: output.to_owned(), cause })?;
            }
        }
    }
    Ok(())
}

/// Removes what runs left behind that were killed while they wrote.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(HIDDEN) && (name.ends_with(".part") || name.ends_with(".lock"));
        let old = |at: SystemTime| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
        // Metadata of the entry itself, should it be a link.
        if ours && entry.metadata().is_ok_and(|about| about.is_file() && about.modified().is_ok_and(old)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Refuses to write `output` over one of `inputs`, `--force` or not.
///
/// # Errors
/// Wrong usage, in words.
pub fn keep_files<'a>(output: &Path, mut inputs: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
    let mut places = Places::default();
    let own = places.behind(output);
    match inputs.any(|input| !is_standard(input) && places.behind(input) == own) {
        true => Err(usage(format!("{}: is an input of this run; name another file to write", output.display()))),
        false => Ok(()),
    }
}

/// No result may replace what it is made from, `--force` or not.
fn keep_inputs(jobs: &[Job], others: &[&Path], places: &mut Places) -> anyhow::Result<()> {
    let queries = jobs.iter().map(|j| j.query.as_path());
    let inputs = others.iter().copied().chain(queries).filter(|i| !is_standard(i));
    let inputs: HashSet<PathBuf> = inputs.map(|input| places.behind(input)).collect();
    for output in jobs.iter().flat_map(Job::outputs) {
        if inputs.contains(&places.behind(output)) {
            return Err(usage(format!("{}: is an input of this run; name another file to write", output.display())));
        }
    }
    Ok(())
}
