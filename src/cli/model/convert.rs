//! `model convert`: writes a model with fewer bits, or with DiffewS's second input convolution.

use super::super::options::ModelArgs;
use super::super::{one_line, print, progress, tell};
use super::components;
use diffews_wgpu::model::{self, Bits};
use diffews_wgpu::weights::ModelFiles;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu model convert DIR -o halves                        weights of 16 bits
  diffews-wgpu model convert DIR --unet incontext -o small --q8   base and UNet in one, with weights of 8 bits
  diffews-wgpu model convert stable-diffusion-2-1 -o start        a starting point for training DiffewS

A UNet of plain Stable Diffusion gets conv_in_ref: both halves of its weights, for the latents of a picture and of its mask, are
conv_in's times 0.5, and its bias equals conv_in's. The scheduler becomes DiffewS's (one step, x0 = -v). Such a model runs, but
segments nothing until it is trained.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ConvertArgs {
    /// Model directory, same as --weights
    #[arg(value_name = "DIR", conflicts_with = "weights")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Directory to create
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Weights of 16 bits. This is the default for DiffewS models; tensors of plain Stable Diffusion models keep their types
    #[arg(long, conflicts_with = "q8")]
    half: bool,
    /// Weights of 8 bits with a scale for every 64 of them, the rest as 16 bits
    #[arg(long)]
    q8: bool,
}

pub fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    progress::catch_interrupts();
    let weights = args.dir.clone().or(args.model.weights.clone());
    let files = ModelArgs { weights, unet: args.model.unet.clone() }.files()?;
    let start = model::starting_point(&files)?;
    let bits = match (args.q8, args.half, &start) {
        (true, ..) => Bits::Eight,
        // A starting point for training keeps full precision.
        (_, false, Some(_)) => Bits::Same,
        _ => Bits::Sixteen,
    };
    model::convert(start.as_ref().unwrap_or(&files), bits, &args.output, &mut |_| progress::go_on())?;
    if start.is_some() {
        let file = one_line(files.unet.name());
        tell(&format!(
            "note: {file}: a plain Stable Diffusion UNet; conv_in_ref was added. It is a starting point for training and cannot segment yet"
        ));
    }
    let written = ModelFiles::open(&args.output, None)?;
    let types: Vec<String> = components(&written)
        .iter()
        .flat_map(|(name, w)| w.dtypes().into_iter().map(move |(dtype, n)| format!("{name} {n} {dtype}")))
        .collect();
    print(&format!("{}: written; tensors: {}", args.output.display(), types.join(", ")))
}
