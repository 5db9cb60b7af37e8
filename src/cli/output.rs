//! The output files of each query, planned and checked before anything is computed; for queries that arrive later, before they are read.

mod check;
mod later;
mod naming;
mod places;

use super::errors::usage;
use super::job::Job;
use super::queries::Query;
use diffews_wgpu::formats::Format;
use diffews_wgpu::image_io::{self, ImageError, is_standard};
pub use later::Later;
use naming::Naming;
use places::Places;
pub use places::{place_of, refuse_input_as_output};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prefix of a run's hidden files.
pub const HIDDEN: &str = ".diffews-";
/// Time another run may take between a query's mask and its other files.
const BETWEEN_FILES: Duration = Duration::from_secs(2);

/// The user's request.
pub struct Wanted<'a> {
    /// The queries known at the start.
    pub queries: Vec<Query>,
    /// Whether there may be several.
    pub several: bool,
    /// Supports and masks, which no result may replace.
    pub inputs: Vec<&'a Path>,
    pub output: Option<&'a Path>,
    pub format: Format,
    pub overlay: Option<&'a Path>,
    pub probability: Option<&'a Path>,
    /// Names of the classes, if they have names: results are then label maps.
    pub classes: Vec<String>,
    /// Directory for the masks of classes.
    pub class_masks: Option<&'a Path>,
    /// The trace file, which is checked elsewhere.
    pub trace: Option<&'a Path>,
    pub force: bool,
    /// Skip queries whose results all exist.
    pub skip_existing: bool,
}

/// The jobs of a run, and notes for the user.
pub struct Plan {
    pub jobs: Vec<Job>,
    /// The file that all queries share, if any.
    pub run_file: Option<PathBuf>,
    pub notes: Vec<String>,
    /// Plans later queries.
    pub later: Later,
}

/// The queries and their files.
///
/// # Errors
/// Two queries with the same file; files that exist or cannot be written.
pub fn plan(wanted: Wanted) -> anyhow::Result<Plan> {
    let Wanted { format, force, skip_existing, .. } = wanted;
    let run_file = format.is_of_run().then(|| wanted.output.map_or_else(default_path, Path::to_owned));
    if let Some(path) = &run_file {
        if path.is_dir() {
            return Err(usage(format!(
                "--output {}: all queries share one file in this format, so name a file",
                path.display()
            )));
        }
        image_io::check_place(path, force)?;
        let queries = wanted.queries.iter().map(|query| query.path.as_path());
        refuse_input_as_output(path, wanted.inputs.iter().copied().chain(queries))?;
    }
    let naming = Naming::new(&wanted, run_file.is_none())?;
    let mut jobs = wanted.queries.into_iter().map(|query| naming.job(query)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut places = Places::default();
    let mut notes = Vec::new();
    let results = leave_out_results(&mut jobs, &mut places);
    if results > 0 {
        notes.push(format!("skipped {results} pictures in the folders of this run's results"));
    }
    no_two_alike(&jobs, &mut places)?;
    refuse_inputs_as_outputs(&jobs, &wanted.inputs, &mut places)?;
    naming.make()?;
    let others = run_file.as_deref().into_iter().chain(wanted.trace);
    let mut later = Later::new(naming, (format, force, skip_existing), &wanted.inputs, others, &jobs);
    if skip_existing {
        jobs.retain(|job| !job.is_done());
        if !force && jobs.iter().any(|job| job.begun().is_some()) {
            // An interrupted run left them, or a running one is about to write the rest.
            std::thread::sleep(BETWEEN_FILES);
            jobs.retain(|job| !job.is_done());
            if let Some(path) = jobs.iter().find_map(Job::begun) {
                return Err(ImageError::Exists { path: path.to_owned() }.into());
            }
        }
    }
    later.prepare(&jobs)?;
    Ok(Plan { jobs, run_file, notes, later })
}

/// Removes pictures at the paths of this run's results: they are results of an earlier run. Returns their number.
fn leave_out_results(jobs: &mut Vec<Job>, places: &mut Places) -> usize {
    let results: HashSet<PathBuf> = jobs.iter().flat_map(Job::outputs).map(|output| places.of(output)).collect();
    let all = jobs.len();
    jobs.retain(|job| !(job.listed && results.contains(&places.of(&job.query))));
    all - jobs.len()
}

/// Refuses two results in one file: of queries with the same name, or a query's mask and overlay.
fn no_two_alike(jobs: &[Job], places: &mut Places) -> anyhow::Result<()> {
    let mut owners: HashMap<PathBuf, &Path> = HashMap::new();
    for job in jobs {
        for output in job.outputs() {
            let Some(other) = owners.insert(places.of(output), &job.query) else { continue };
            let (output, query) = (output.display(), job.query.display());
            return Err(usage(match other == job.query && jobs.len() == 1 {
                true => format!("{output}: two results of {query} would go to this file; name different files"),
                false => format!(
                    "{} and {query}: the results of both would go to {output}; rename one of them, or run them apart",
                    other.display()
                ),
            }));
        }
    }
    Ok(())
}

/// Refuses results that would replace an input, even with `--force`.
fn refuse_inputs_as_outputs(jobs: &[Job], others: &[&Path], places: &mut Places) -> anyhow::Result<()> {
    let queries = jobs.iter().map(|j| j.query.as_path());
    let inputs = others.iter().copied().chain(queries).filter(|i| !is_standard(i));
    let inputs: HashSet<PathBuf> = inputs.map(|input| places.behind(input)).collect();
    for output in jobs.iter().flat_map(Job::outputs) {
        if inputs.contains(&places.behind(output)) {
            return Err(usage(format!("{}: this is an input of the run; name another output file", output.display())));
        }
    }
    Ok(())
}

/// Where the one file of a run is written if nobody says.
fn default_path() -> PathBuf {
    "annotations.json".into()
}
