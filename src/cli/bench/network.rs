//! The network to measure.

use crate::cli::errors::usage;
use clap::Args;
use diffews_wgpu::conformance::{OUTLINES, Outline, Random};
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::ModelFiles;
use std::path::Path;

/// The network for `--host`, `--work`, `--plot` and `--model`.
#[derive(Args)]
pub struct NetworkArgs {
    /// Measure a whole model alone, by stage and by kernel: embedded, a model's directory, or sd21 or sd15 with --random.
    /// With --host and --work, the model to use [default: embedded]
    #[arg(long, value_name = "NAME|DIR", group = NETWORK, conflicts_with = "only", help_heading = "Model")]
    model: Option<String>,
    /// Use random weights, made in memory, instead of the model's own: the work is the same, and nothing overflows
    #[arg(long, requires = NETWORK, conflicts_with = "work", help_heading = "Model")]
    random: bool,
    /// Side of the square that pictures are scaled to [default: the model's own; 512 for sd21 and sd15]
    #[arg(long, value_name = "PIXELS", requires = NETWORK, help_heading = "Model")]
    pub size: Option<u32>,
}

/// The group of flags for a whole network.
pub const NETWORK: &str = "network";
const EMBEDDED: &str = "embedded";

impl NetworkArgs {
    /// Whether a model was named.
    pub fn is_named(&self) -> bool {
        self.model.is_some()
    }

    pub fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(EMBEDDED)
    }

    /// The name, with a note if its weights are random.
    pub fn told(&self) -> String {
        let random = if self.random { " (random weights)" } else { "" };
        format!("{}{random}", self.name())
    }

    pub fn is_random(&self) -> bool {
        self.random
    }

    /// The model's files.
    ///
    /// # Errors
    /// Wrong usage: a network known by its shape alone, without `--random`.
    pub fn files(&self) -> anyhow::Result<ModelFiles> {
        match self.outline() {
            Some(_) if !self.random => Err(usage(format!(
                "--model {}: this program has its shape and no weights; add --random, or name a directory with weights",
                self.name()
            ))),
            _ => self.any_files(),
        }
    }

    /// The model's files, with random weights where only its shape is known.
    pub fn any_files(&self) -> anyhow::Result<ModelFiles> {
        match self.outline() {
            Some(outline) => Ok(outline.random()?),
            None if self.random => Ok(Random::of(self.name(), self.own_files()?)?),
            None => self.own_files(),
        }
    }

    /// The model for planning only, without weights.
    pub fn planned(&self) -> anyhow::Result<Model> {
        match self.outline() {
            Some(outline) => Ok(outline.model()?),
            None => Ok(Model::load(self.own_files()?)?),
        }
    }

    fn outline(&self) -> Option<&'static Outline> {
        OUTLINES.iter().find(|outline| outline.name == self.name())
    }

    fn own_files(&self) -> anyhow::Result<ModelFiles> {
        let name = self.name();
        if name == EMBEDDED {
            return Ok(ModelFiles::embedded()?);
        }
        let dir = Path::new(name);
        if !dir.is_dir() {
            let known = OUTLINES.iter().map(|outline| outline.name).collect::<Vec<_>>().join(", ");
            return Err(usage(format!("--model {name}: neither {EMBEDDED}, {known} nor a directory")));
        }
        Ok(ModelFiles::open(dir, None)?)
    }
}
