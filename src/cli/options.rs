//! Arguments that several verbs share.

use super::errors::usage;
use super::{progress, tell};
use clap::{Args, ValueEnum};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu, GpuError};
use diffews_wgpu::image_io::Threshold;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{GuidedFilter, Precision};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Args)]
#[command(next_help_heading = "Adapter")]
pub struct AdapterArgs {
    /// Use adapters of this backend only
    #[arg(long, value_enum, env = "DIFFEWS_BACKEND", hide_env_values = true)]
    backend: Option<Backend>,
    /// The adapter: its number in `devices`, or a part of its name
    #[arg(long, value_name = "INDEX|NAME", env = "DIFFEWS_ADAPTER", hide_env_values = true)]
    adapter: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

impl AdapterArgs {
    pub fn choice(&self) -> AdapterChoice {
        let backend = self.backend.map(|b| match b {
            Backend::Vulkan => wgpu::Backend::Vulkan,
            Backend::Metal => wgpu::Backend::Metal,
            Backend::Dx12 => wgpu::Backend::Dx12,
            Backend::Gl => wgpu::Backend::Gl,
        });
        AdapterChoice { backend, adapter: self.adapter.clone() }
    }

    /// Says once that the CPU does the work, where nobody asked for that.
    pub fn tell_of_cpu(&self, facts: &AdapterFacts, quiet: bool) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if facts.device_type == "Cpu" && self.adapter.is_none() && !quiet && !TOLD.swap(true, Ordering::Relaxed) {
            tell(&format!("note: no GPU found: this runs on the CPU, by the driver {}, and is slow", facts.name));
        }
    }

    /// Opens it. Waits for it end where the program is interrupted.
    pub fn open(&self) -> Result<Gpu, GpuError> {
        let mut gpu = Gpu::new(&self.choice())?;
        gpu.set_interrupt(progress::interrupted);
        Ok(gpu)
    }
}

#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Model directory in the diffusers layout [default: the small demonstration model inside this program]
    #[arg(long, value_name = "DIR", env = "DIFFEWS_WEIGHTS", hide_env_values = true)]
    pub weights: Option<PathBuf>,
    /// Directory of the fine-tuned UNet, where it is not in --weights
    #[arg(long, value_name = "DIR", env = "DIFFEWS_UNET", hide_env_values = true)]
    pub unet: Option<PathBuf>,
}

impl ModelArgs {
    pub fn files(&self) -> anyhow::Result<ModelFiles> {
        match (&self.weights, &self.unet) {
            (Some(dir), unet) => Ok(ModelFiles::open(dir, unet.as_deref())?),
            (None, Some(_)) => {
                Err(usage("--unet (or DIFFEWS_UNET) needs the base model's --weights (or DIFFEWS_WEIGHTS) beside it"))
            }
            (None, None) => Ok(ModelFiles::embedded()?),
        }
    }

    /// What the model is called in reports.
    pub fn name(&self) -> String {
        match (&self.weights, &self.unet) {
            (Some(dir), Some(unet)) => format!("{} with the UNet of {}", dir.display(), unet.display()),
            (Some(dir), None) => dir.display().to_string(),
            (None, _) => "the embedded demonstration model".into(),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PrecisionArg {
    Auto,
    F32,
    F16,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Precision {
        match arg {
            PrecisionArg::Auto => Precision::Auto,
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::F16 => Precision::F16,
        }
    }
}

/// How the network's output becomes a mask.
#[derive(clap::Args)]
pub struct MaskArgs {
    /// Foreground is what exceeds this part of the output's maximum [default: what the model says, else 0.25]
    #[arg(long, value_name = "0..1", value_parser = part, help_heading = "Model")]
    threshold: Option<f64>,
    /// Foreground is what exceeds this value, whatever the maximum
    #[arg(long, value_name = "0..1", value_parser = part, conflicts_with = "threshold", help_heading = "Model")]
    absolute_threshold: Option<f64>,
    /// Take outlines from the query's colours, in windows of 2 RADIUS + 1 pixels of the map (RADIUS to 64); edges far
    /// below the root of EPSILON (1e-5; 1e-6 to 1, of colours in 0 to 1) do not count. 0: the network's own outlines [default:
    /// what the model says, else 0]
    #[arg(long, value_name = "RADIUS[,EPSILON]", help_heading = "Model")]
    pub guided_filter: Option<GuidedFilter>,
}

impl MaskArgs {
    /// The threshold that was asked for, else the model's default.
    pub fn threshold_or(&self, default: Threshold) -> Threshold {
        let (ratio, level) =
            (self.threshold.map(Threshold::Relative), self.absolute_threshold.map(Threshold::Absolute));
        ratio.or(level).unwrap_or(default)
    }
}

fn part(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it must be a number from 0 to 1".to_string())?;
    Threshold::Absolute(value).check().map_err(|e| e.to_string())?;
    Ok(value)
}
