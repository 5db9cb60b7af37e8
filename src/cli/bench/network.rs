//! Which network is measured.

use crate::cli::errors::usage;
use clap::Args;
use diffews_wgpu::conformance::{OUTLINES, Outline};
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::ModelFiles;
use std::path::Path;

#[derive(Args)]
pub struct NetworkArgs {
    /// For --host and --work: embedded, sd21, sd15 (with random weights made in memory), or a model's directory
    #[arg(long, value_name = "NAME|DIR", default_value = EMBEDDED, requires = "whole", help_heading = "Model")]
    pub model: String,
    /// For --host and --work: side of the square that pictures are scaled to [default: what the model says; 512 for sd21 and sd15]
    #[arg(long, value_name = "PIXELS", requires = "whole", help_heading = "Model")]
    pub size: Option<u32>,
}

const EMBEDDED: &str = "embedded";

impl NetworkArgs {
    /// With weights, which are random where the network is known by its shape alone.
    pub fn model(&self) -> anyhow::Result<Model> {
        match self.outline() {
            Some(outline) => Ok(Model::load(outline.random()?)?),
            None => Ok(Model::load(self.files()?)?),
        }
    }

    /// To be planned, and no more.
    pub fn planned(&self) -> anyhow::Result<Model> {
        match self.outline() {
            Some(outline) => Ok(outline.model()?),
            None => Ok(Model::load(self.files()?)?),
        }
    }

    fn outline(&self) -> Option<&'static Outline> {
        OUTLINES.iter().find(|outline| outline.name == self.model)
    }

    fn files(&self) -> anyhow::Result<ModelFiles> {
        if self.model == EMBEDDED {
            return Ok(ModelFiles::embedded()?);
        }
        let dir = Path::new(&self.model);
        if !dir.is_dir() {
            let known = OUTLINES.iter().map(|outline| outline.name).collect::<Vec<_>>().join(", ");
            return Err(usage(format!("--model {}: neither {EMBEDDED}, {known} nor a directory", self.model)));
        }
        Ok(ModelFiles::open(dir, None)?)
    }
}
