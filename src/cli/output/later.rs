//! Queries that arrive during the run, planned one by one.

use super::super::errors::CliError;
use super::super::job::Job;
use super::super::queries::Query;
use super::check::Probed;
use super::naming::Naming;
use super::places::Places;
use diffews_wgpu::formats::Format;
use diffews_wgpu::image_io::{ImageError, is_standard};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The known files of a run.
pub struct Later {
    naming: Naming,
    probed: Probed,
    places: Places,
    /// Output files, with their queries.
    owners: HashMap<PathBuf, PathBuf>,
    /// Input files.
    inputs: HashSet<PathBuf>,
    format: Format,
    force: bool,
    skip_existing: bool,
}

impl Later {
    /// `jobs` are the known ones, done or not; `inputs` and `outputs` are other files that the run reads and writes.
    pub fn new<'a>(
        naming: Naming,
        (format, force, skip_existing): (Format, bool, bool),
        inputs: &[&Path],
        outputs: impl Iterator<Item = &'a Path>,
        jobs: &[Job],
    ) -> Later {
        let mut places = Places::default();
        let queries = jobs.iter().map(|job| job.query.as_path());
        let inputs = inputs.iter().copied().chain(queries).filter(|path| !is_standard(path));
        let inputs = inputs.map(|path| places.behind(path)).collect();
        let mut owners: HashMap<PathBuf, PathBuf> =
            outputs.map(|path| (places.behind(path), path.to_owned())).collect();
        for job in jobs {
            owners.extend(job.outputs().map(|output| (places.of(output), job.query.clone())));
        }
        Later { naming, probed: Probed::default(), places, owners, inputs, format, force, skip_existing }
    }

    /// Makes the directories of these jobs' results and checks that they are writable.
    pub fn prepare(&mut self, jobs: &[Job]) -> Result<(), ImageError> {
        self.naming.make_below(jobs)?;
        // Files that appear from here on belong to another run.
        let force = self.force || self.skip_existing;
        jobs.iter().try_for_each(|job| self.probed.check(job, self.format, force))
    }

    /// The job of a query that arrives now; `None` if it is a result of this run, is done, or came before (with `again`, it may come
    /// again unless its results exist).
    ///
    /// # Errors
    /// An error of this query, or a directory of results that cannot be written.
    pub fn add(&mut self, query: Query, again: bool) -> anyhow::Result<Option<Job>> {
        let job = self.naming.job(query).map_err(|error| CliError::Query(error.to_string()))?;
        if self.owners.contains_key(&self.places.of(&job.query)) || self.skip_existing && job.is_done() {
            return Ok(None);
        }
        let mut came = false;
        for output in job.outputs() {
            match self.owners.get(&self.places.of(output)) {
                Some(owner) if *owner == job.query => came = true,
                Some(owner) => {
                    let (output, query, owner) = (output.display(), job.query.display(), owner.display());
                    return Err(CliError::Query(format!(
                        "{query}: its results would go to {output}, where those of {owner} go; rename one of them, or run them apart"
                    ))
                    .into());
                }
                None => {}
            }
            if self.inputs.contains(&self.places.behind(output)) {
                let (output, query) = (output.display(), job.query.display());
                return Err(CliError::Query(format!(
                    "{query}: its results would replace {output}, an input of this run"
                ))
                .into());
            }
        }
        if came && (!again || !self.force && job.is_done()) {
            return Ok(None);
        }
        for output in job.outputs() {
            self.owners.insert(self.places.of(output), job.query.clone());
        }
        self.inputs.insert(self.places.behind(&job.query));
        self.prepare(std::slice::from_ref(&job))?;
        Ok(Some(job))
    }
}
