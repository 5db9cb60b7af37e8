//! Which network is measured.

use crate::cli::errors::usage;
use clap::Args;
use diffews_wgpu::conformance::{OUTLINES, Outline, Random};
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::ModelFiles;
use std::path::Path;

/// One network for what is asked about whole models: `--host`, `--work`, `--model` alone.
#[derive(Args)]
pub struct NetworkArgs {
    /// A whole model by stage and by kernel, and no other row: embedded, a model's directory, or sd21 or sd15 with --random.
    /// With --host and --work, that of this model [default: embedded]
    #[arg(long, value_name = "NAME|DIR", group = NETWORK, conflicts_with = "only", help_heading = "Model")]
    model: Option<String>,
    /// Weights at random, made in memory, in the place of the model's own: as much work, and nothing that overflows
    #[arg(long, requires = NETWORK, conflicts_with = "work", help_heading = "Model")]
    random: bool,
    /// Side of the square that pictures are scaled to [default: what the model says; 512 for sd21 and sd15]
    #[arg(long, value_name = "PIXELS", requires = NETWORK, help_heading = "Model")]
    pub size: Option<u32>,
}

/// The group of flags that are about a whole network.
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

    /// The same, and what its weights are where they are not its own.
    pub fn told(&self) -> String {
        let random = if self.random { " (random weights)" } else { "" };
        format!("{}{random}", self.name())
    }

    pub fn is_random(&self) -> bool {
        self.random
    }

    /// With weights.
    ///
    /// # Errors
    /// Wrong usage, in words: a network that is known by its shape alone, and no word of random weights.
    pub fn files(&self) -> anyhow::Result<ModelFiles> {
        match self.outline() {
            Some(_) if !self.random => Err(usage(format!(
                "--model {}: only its shape is known here, --random gives it weights; or name a directory that has them",
                self.name()
            ))),
            _ => self.any_files(),
        }
    }

    /// With weights, which are random where the network is known by its shape alone.
    pub fn any_files(&self) -> anyhow::Result<ModelFiles> {
        match self.outline() {
            Some(outline) => Ok(outline.random()?),
            None if self.random => Ok(Random::of(self.name(), self.own_files()?)?),
            None => self.own_files(),
        }
    }

    /// To be planned, and no more.
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
