//! `model`: inspects, verifies, fetches and converts models.

mod convert;
mod fetch;

use super::advice::of_weights;
use super::errors::CliError;
use super::options::ModelArgs;
use super::{bytes, columns, print, print_lines, tell};
use clap::Subcommand;
use diffews_wgpu::model::config::{ConfigError, ModelConfig};
use diffews_wgpu::model::text_encoder::Prompt;
use diffews_wgpu::model::{Constants, Decoder, Encoder, UNet, text_encoder};
use diffews_wgpu::settings::Threshold;
use diffews_wgpu::shown;
use diffews_wgpu::weights::{ModelFiles, TextSource, Weights, WeightsError};
use std::sync::Arc;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu model fetch published --to weights
  diffews-wgpu model verify --weights weights/stable-diffusion-2-1-ref8inchannels-tag4inchannels --unet weights/incontext
  diffews-wgpu model convert DIR -o small --q8";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the configuration, the number of parameters and their types
    Info(ModelArgs),
    /// Check all of a model: lists missing, mismatched and unused tensors, and values that are not finite
    Verify(ModelArgs),
    /// Download the published weights, or a similar repository, and check them
    Fetch(fetch::FetchArgs),
    /// Write the model to a new directory with weights of fewer bits, or turn a plain Stable Diffusion model into DiffewS's starting point
    Convert(convert::ConvertArgs),
}

/// Values read at once, so that a large tensor does not fill memory.
const CHUNK: usize = 1 << 22;
/// Most tensors listed of one component: a configuration may ask for any number.
const MOST_LISTED: usize = 2000;

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Info(model) => info(model),
        What::Verify(model) => verify(model),
        What::Fetch(args) => fetch::run(args),
        What::Convert(args) => convert::run(args),
    }
}

/// The checkpoints of a model by component.
fn components(files: &ModelFiles) -> Vec<(&'static str, Weights)> {
    let mut all = vec![("unet", files.unet.clone()), ("vae", files.vae.clone())];
    if let TextSource::Encoder { weights, .. } = &files.text {
        all.push(("text_encoder", weights.clone()));
    }
    all
}

fn info(args: &ModelArgs) -> anyhow::Result<()> {
    let files = args.files()?;
    let config = ModelConfig::read(&files)?;
    let (unet, vae) = (&config.unet, &config.vae);
    let multiple = config.size_multiple();
    let default = files.diffews.size_or_default();
    let (sizes, threshold) = (config.nearest_sizes(default), files.diffews.threshold.unwrap_or(Threshold::PAPER));
    let text = match (&files.text, &config.text) {
        (TextSource::Embeds { file, width, values }, _) => {
            format!("{} embeddings of {width} given in {file}", values.len() / width)
        }
        (TextSource::Encoder { config: text, .. }, Some(c)) => {
            format!(
                "encoder, {} layers of {}, {} heads, {:?} ({})",
                c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.hidden_act, text.file
            )
        }
        (TextSource::Encoder { config, .. }, None) => config.file.clone(),
    };
    let attention: Vec<&str> = unet.down_attention.iter().map(|&a| if a { "yes" } else { "no" }).collect();
    let lines = [
        ("model", args.name()),
        ("unet", files.unet_config.file.clone()),
        ("  widths", format!("{:?}", unet.block_out_channels)),
        ("  attention", attention.join(", ")),
        ("  heads", format!("{:?}", unet.num_heads)),
        ("  resnets", format!("{:?}, one more on the way up", unet.layers_per_block)),
        ("  transformer blocks", format!("{:?}", unet.transformer_layers_per_block)),
        ("  context", unet.cross_attention_dim.to_string()),
        (
            "  channels",
            format!(
                "{} of a query, {} of a support, {} out",
                unet.in_channels, unet.in_channels_ref, unet.out_channels
            ),
        ),
        ("  norm", format!("{} groups, eps {:e}", unet.norm_num_groups, unet.norm_eps)),
        ("  projections", if unet.use_linear_projection { "linear" } else { "1x1 convolutions" }.into()),
        ("vae", files.vae_config.file.clone()),
        ("  widths", format!("{:?}", vae.block_out_channels)),
        (
            "  latents",
            format!(
                "{} channels at 1/{} of the size, factor {}",
                vae.latent_channels,
                default / config.latent_size(default).max(1),
                vae.scaling_factor
            ),
        ),
        ("empty prompt", text),
        (
            "size",
            format!(
                "{default} by default, multiples of {multiple} (the nearest to it are {} and {})",
                sizes.0, sizes.1
            ),
        ),
        (
            "threshold",
            match threshold {
                Threshold::Relative(ratio) => format!("{ratio} of the maximum by default"),
                Threshold::Absolute(level) => format!("{level} by default, whatever the maximum"),
            },
        ),
        (
            "guided filter",
            match files.diffews.guided_filter {
                Some(f) if f.radius > 0 => format!("radius {}, epsilon {} by default", f.radius, f.epsilon),
                _ => "none by default".into(),
            },
        ),
    ];
    let rows: Vec<Vec<String>> = lines.into_iter().map(|(key, value)| vec![key.to_string(), value]).collect();
    print_lines(&columns(&rows))?;
    let mut rows = vec![["", "component", "tensors", "parameters", "types", "file"].map(String::from).to_vec()];
    let mut total = 0;
    for (name, weights) in components(&files) {
        let (tensors, parameters) = weights.count();
        let types: Vec<String> = weights.dtypes().into_iter().map(|(dtype, n)| format!("{n} {dtype}")).collect();
        let cells = [name.into(), tensors.to_string(), millions(parameters), types.join(", "), weights.name().into()];
        rows.push(std::iter::once(String::new()).chain(cells).collect());
        total += parameters;
    }
    print_lines(&format!(
        "\n{}\n{} parameters: {} in f32, {} in half precision",
        columns(&rows),
        millions(total),
        bytes(4 * total),
        bytes(2 * total)
    ))?;
    config.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
    print_prefixes(&files);
    Ok(())
}

/// Notes tensor names with a prefix, which does no harm.
fn print_prefixes(files: &ModelFiles) {
    components(files).iter().filter_map(|(_, weights)| weights.note()).for_each(|note| tell(&format!("note: {note}")));
}

fn millions(n: u64) -> String {
    format!("{:.2} M", n as f64 / 1e6)
}

fn verify(args: &ModelArgs) -> anyhow::Result<()> {
    let files = args.files()?;
    let config = ModelConfig::read(&files)?;
    let mut faults: Vec<String> = Vec::new();
    let mut notes = config.warnings.clone();
    // Check every component even if another is broken, so that one run names all faults; zeros replace
    // a prompt that cannot be computed.
    let prompt = match text_encoder::prompt_embeds(&files, &config) {
        Ok(prompt) => prompt,
        Err(error) => {
            faults.push(match error {
                ConfigError::Weights(error) => listing(&error),
                error => error.to_string(),
            });
            let width = config.unet.cross_attention_dim;
            Prompt { width, values: vec![0.0; width] }
        }
    };
    let mut constants = Constants::default();
    let (unet, vae) = (files.unet.root(), files.vae.root());
    Encoder::load(&mut constants, &vae, &config.vae);
    Decoder::load(&mut constants, &vae, &config.vae);
    UNet::load(&mut constants, &unet, &config.unet, &Arc::new(prompt), config.vae.scaling_factor);
    let (mut tensors, mut parameters) = (0, 0);
    for (_, weights) in components(&files) {
        match weights.finish() {
            Ok(report) => notes.extend(report.unused_lines(weights.name(), MOST_LISTED)),
            Err(error) => faults.push(listing(&error)),
        }
        let count = weights.count();
        tensors += count.0;
        parameters += count.1;
    }
    for (_, weights) in components(&files) {
        for name in weights.names() {
            faults.extend(not_finite(&weights, name)?);
        }
    }
    if let Err(error) = config.check_size(files.diffews.size_or_default()) {
        faults.push(format!("diffews.json: {error}"));
    }
    // The prompt has reported the text encoder's faults already.
    let mut told = std::collections::HashSet::new();
    faults.retain(|fault| told.insert(fault.clone()));
    notes.iter().for_each(|note| tell(&format!("warning: {note}")));
    print_prefixes(&files);
    if faults.is_empty() {
        return print(&format!(
            "{}: sound; {tensors} tensors, {} parameters, all finite, {} warnings",
            args.name(),
            millions(parameters),
            notes.len()
        ));
    }
    let faults = faults.join("\n  ");
    Err(CliError::Weights(format!("{} cannot be used:\n  {faults}", args.name())).into())
}

fn listing(error: &WeightsError) -> String {
    error.listing(MOST_LISTED) + &of_weights(error).unwrap_or_default()
}

/// Describes values of a tensor that are not finite. Integers are no weights and always pass.
fn not_finite(weights: &Weights, name: &str) -> Result<Option<String>, WeightsError> {
    let Some(tensor) = weights.look(name) else { return Ok(None) };
    let (mut bad, mut first) = (0, None);
    for start in (0..tensor.len()).step_by(CHUNK) {
        let values = tensor.to_f32_range(start..(start + CHUNK).min(tensor.len()))?;
        for (i, value) in values.iter().enumerate().filter(|(_, v)| !v.is_finite()) {
            bad += 1;
            first.get_or_insert((start + i, *value));
        }
    }
    Ok(first.map(|(at, value)| {
        let file = weights.name();
        let name = shown::text(name);
        format!(
            "{file}: tensor `{name}`: {bad} of {} values are not finite, the first is {value} at {at}",
            tensor.len()
        )
    }))
}
