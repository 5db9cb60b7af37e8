//! Which network is measured.

use crate::cli::errors::usage;
use clap::Args;
use diffews_wgpu::conformance::OUTLINES;
use diffews_wgpu::weights::ModelFiles;
use std::path::Path;

#[derive(Args)]
pub struct NetworkArgs {
    /// For --host: embedded, sd21 or sd15 with random weights made in memory, or a model's directory
    #[arg(long, value_name = "NAME|DIR", default_value = EMBEDDED, requires = "host", help_heading = "Model")]
    pub model: String,
    /// For --host: side of the square that pictures are scaled to [default: what the model says; 512 for sd21 and sd15]
    #[arg(long, value_name = "PIXELS", requires = "host", help_heading = "Model")]
    pub size: Option<u32>,
}

const EMBEDDED: &str = "embedded";

impl NetworkArgs {
    pub fn files(&self) -> anyhow::Result<ModelFiles> {
        if self.model == EMBEDDED {
            return Ok(ModelFiles::embedded()?);
        }
        if let Some(outline) = OUTLINES.iter().find(|outline| outline.name == self.model) {
            return Ok(outline.random()?);
        }
        let dir = Path::new(&self.model);
        if !dir.is_dir() {
            let known = OUTLINES.iter().map(|outline| outline.name).collect::<Vec<_>>().join(", ");
            return Err(usage(format!("--model {}: neither {EMBEDDED}, {known} nor a directory", self.model)));
        }
        Ok(ModelFiles::open(dir, None)?)
    }
}
