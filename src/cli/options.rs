//! Arguments that several verbs share.

use super::errors::usage;
use super::forms::FormArgs;
use super::self_check::SelfCheckArgs;
use super::tuning::TuningArgs;
use super::{environment, progress, tell};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu, GpuError};
use diffews_wgpu::image_io::{Bands, Depth, Framing, PictureOptions, Tiles};
use diffews_wgpu::segment::KvSample;
use diffews_wgpu::settings::Threshold;
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
    /// The choice that flags and environment make.
    pub fn choice(&self) -> Result<AdapterChoice, GpuError> {
        let backends = self.backend.map(|b| match b {
            Backend::Vulkan => wgpu::Backends::VULKAN,
            Backend::Metal => wgpu::Backends::METAL,
            Backend::Dx12 => wgpu::Backends::DX12,
            Backend::Gl => wgpu::Backends::GL,
        });
        environment::choice(backends, self.adapter.clone())
    }

    /// Flags that choose the adapter of this number in another process of this program.
    pub fn again(&self, index: Option<usize>) -> Vec<String> {
        let backend = self.backend.and_then(|b| b.to_possible_value()).map(|value| value.get_name().to_owned());
        let adapter = index.map(|index| index.to_string()).or_else(|| self.adapter.clone());
        let flags = [("--backend", backend), ("--adapter", adapter)];
        flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten().collect()
    }

    /// Notes that the CPU does the work, unless the user chose it.
    pub fn warn_of_cpu(&self, facts: &AdapterFacts, quiet: bool) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if facts.device_type == "Cpu" && self.adapter.is_none() && !quiet && !TOLD.swap(true, Ordering::Relaxed) {
            tell(&format!("note: no GPU found: this runs on the CPU with the driver {}, which is slow", facts.name));
        }
    }

    /// Opens the adapter. An interrupt ends waits for it.
    pub fn open(&self) -> Result<Gpu, GpuError> {
        self.open_with(false)
    }

    /// The same; if `timed`, with timestamps if it has them.
    pub fn open_with(&self, timed: bool) -> Result<Gpu, GpuError> {
        let choice = AdapterChoice { timed, ..self.choice()? };
        Ok(Gpu::new(&choice)?.interrupted_by(progress::interrupted))
    }
}

#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Model directory in the diffusers layout [default: the small demonstration model inside this program]
    #[arg(long, value_name = "DIR", env = "DIFFEWS_WEIGHTS", hide_env_values = true)]
    pub weights: Option<PathBuf>,
    /// Directory of the fine-tuned UNet, if it is not in --weights
    #[arg(long, value_name = "DIR", env = "DIFFEWS_UNET", hide_env_values = true)]
    pub unet: Option<PathBuf>,
}

impl ModelArgs {
    pub fn files(&self) -> anyhow::Result<ModelFiles> {
        match (&self.weights, &self.unet) {
            (Some(dir), unet) => Ok(ModelFiles::open(dir, unet.as_deref())?),
            (None, Some(_)) => {
                Err(usage("--unet (or DIFFEWS_UNET) also needs the base model's --weights (or DIFFEWS_WEIGHTS)"))
            }
            (None, None) => Ok(ModelFiles::embedded()?),
        }
    }

    /// The model's name in reports.
    pub fn name(&self) -> String {
        match (&self.weights, &self.unet) {
            (Some(dir), Some(unet)) => format!("{} with the UNet of {}", dir.display(), unet.display()),
            (Some(dir), None) => dir.display().to_string(),
            (None, _) => "the embedded demonstration model".into(),
        }
    }
}

/// The model, its adapter and its settings: flags that `infer` and `eval` share.
#[derive(Args)]
pub struct EngineArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub adapter: AdapterArgs,
    #[command(flatten)]
    pub forms: FormArgs,
    #[command(flatten)]
    pub self_check: SelfCheckArgs,
    #[command(flatten)]
    pub tuning: TuningArgs,
    /// Side of the square that pictures are scaled to [default: the model's own, else 512]
    #[arg(long, value_name = "PIXELS", env = "DIFFEWS_SIZE", hide_env_values = true, help_heading = "Model")]
    pub size: Option<u32>,
    /// How values are stored on the adapter; sums are always f32. auto picks f32 if it fits, else half precision; q8 has weights
    /// of 8 bits
    #[arg(long, value_parser = precision(), default_value = "auto", env = "DIFFEWS_PRECISION", hide_env_values = true)]
    #[arg(help_heading = "Model")]
    pub precision: Precision,
    #[command(flatten)]
    pub memory: MemoryArgs,
}

#[derive(Args)]
pub struct MemoryArgs {
    /// Use at most this much of the adapter's memory, as 1.5GiB or 800MiB; weights that do not fit are uploaded for each query. Drivers
    /// take some more for themselves [default: all that the adapter has]
    #[arg(long, value_name = "SIZE", value_parser = bytes, env = "DIFFEWS_MAX_MEMORY", hide_env_values = true)]
    #[arg(help_heading = "Model")]
    pub max_memory: Option<u64>,
}

/// Parses a size in bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a number with its unit, as 1.5GiB, 800MiB or 800MB".to_string();
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

pub fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name)).try_map(|name| name.parse::<Precision>())
}

/// How pictures are made square.
#[derive(clap::Args)]
pub struct FrameArgs {
    /// How to make examples and queries square: squash them, as the paper does; pad them; or crop them to the square in the
    /// middle
    #[arg(long, value_enum, default_value = "squash", help_heading = "Pictures")]
    fit: Fit,
}

#[derive(Clone, Copy, ValueEnum)]
enum Fit {
    Squash,
    Pad,
    Crop,
}

impl FrameArgs {
    pub fn framing(&self) -> Framing {
        match self.fit {
            Fit::Squash => Framing::Squash,
            Fit::Pad => Framing::Pad,
            Fit::Crop => Framing::Crop,
        }
    }
}

/// How large queries are cut into tiles.
#[derive(clap::Args)]
#[command(next_help_heading = "Pictures")]
pub struct TileArgs {
    /// Cut queries into square tiles of this size and segment each by itself: for small things in large pictures
    #[arg(long, value_name = "PIXELS")]
    tile: Option<u32>,
    /// Overlap in pixels in which tiles are blended [default: a quarter of a tile]
    #[arg(long, value_name = "PIXELS", requires = "tile")]
    overlap: Option<u32>,
}

impl TileArgs {
    /// # Errors
    /// Invalid tiles.
    pub fn tiles(&self) -> anyhow::Result<Option<Tiles>> {
        let tiles = self.tile.map(|side| Tiles::new(side, self.overlap.unwrap_or(side / 4)));
        tiles.transpose().map_err(|reason| usage(format!("--tile: {reason}")))
    }
}

/// How many keys of a bank are kept.
#[derive(clap::Args)]
pub struct SampleArgs {
    /// Keep a random sample of all supports' keys, as many as N supports have: time and memory stop growing with the supports
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Model")]
    kv_sample: Option<u16>,
    /// Seed of that sample, which is the same on every adapter
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "kv_sample", help_heading = "Model")]
    kv_seed: u64,
}

impl SampleArgs {
    pub fn wanted(&self) -> Option<KvSample> {
        self.kv_sample.map(|supports| KvSample { supports: supports.into(), seed: self.kv_seed })
    }
}

/// How the output becomes a mask.
#[derive(clap::Args)]
pub struct MaskArgs {
    /// Threshold of the foreground, as a part of the output's maximum [default: the model's own, else 0.25]
    #[arg(long, value_name = "0..1", value_parser = part, help_heading = "Model")]
    threshold: Option<f64>,
    /// Threshold of the foreground as a fixed value, whatever the maximum
    #[arg(long, value_name = "0..1", value_parser = part, conflicts_with = "threshold", help_heading = "Model")]
    absolute_threshold: Option<f64>,
    /// Write an empty mask if the score is lower. The score is the mean of the output over the mask; --json prints it (docs/eval.md
    /// says what to expect of a value) [default: 0, no limit]
    #[arg(long, value_name = "0..1", value_parser = part, default_value_t = 0.0, hide_default_value = true, help_heading = "Model")]
    pub min_score: f64,
    /// Refine outlines by the query's colours with a guided filter: windows of 2 RADIUS + 1 pixels of the map (RADIUS to 64); edges far
    /// weaker than the root of EPSILON (1e-5; 1e-6 to 1, for colours in 0 to 1) do not count. 0: no filter [default:
    /// the model's own, else 0]
    #[arg(long, value_name = "RADIUS[,EPSILON]", help_heading = "Model")]
    pub guided_filter: Option<GuidedFilter>,
}

impl MaskArgs {
    /// The threshold from the flags.
    pub fn threshold(&self) -> Option<Threshold> {
        self.threshold.map(Threshold::Relative).or(self.absolute_threshold.map(Threshold::Absolute))
    }
}

/// A number from 0 to 1.
pub fn part(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it must be a number from 0 to 1".to_string())?;
    Threshold::Absolute(value).check()?;
    Ok(value)
}

/// How pictures are read.
#[derive(Args)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArgs {
    /// Colour behind transparent parts: R,G,B of 0 to 255, #rrggbb, white, black or grey
    #[arg(long, value_name = "COLOUR", default_value = "white", value_parser = colour)]
    background: Colour,
    /// Bits that 16-bit pictures really use, 8 to 16 [default: as many as the supports use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=16), conflicts_with = "stretch")]
    bits: Option<u32>,
    /// Stretch each band of each picture between two percentiles, as 2,98; needed for floating-point samples
    #[arg(long, value_name = "LOW,HIGH", value_parser = percentiles)]
    stretch: Option<Depth>,
    /// Bands to use as red, green and blue, from 1, as 4,3,2; a single band is grey
    #[arg(long, value_name = "R,G,B|N", value_parser = bands)]
    bands: Option<Bands>,
}

impl PictureArgs {
    pub fn options(&self) -> PictureOptions {
        let depth = self.stretch.or(self.bits.map(Depth::Bits)).unwrap_or(Depth::Full);
        PictureOptions { background: Some(self.background.0), depth, bands: self.bands, ..Default::default() }
    }
}

/// 8-bit sRGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colour(pub [u8; 3]);

/// Parses a colour: R,G,B of 0 to 255, #rrggbb, or one of three names.
pub fn colour(text: &str) -> Result<Colour, String> {
    let wrong = || "it must be R,G,B of 0 to 255, #rrggbb, white, black or grey".to_string();
    let hex = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes = match text {
        "white" => Some([255; 3]),
        "black" => Some([0; 3]),
        "grey" | "gray" => Some([128; 3]),
        _ if text.starts_with('#') && text.len() == 7 && text[1..].bytes().all(|b| b.is_ascii_hexdigit()) => {
            hex(1).zip(hex(3)).zip(hex(5)).map(|((r, g), b)| [r, g, b])
        }
        _ => {
            let parts: Vec<u8> = text.split(',').map_while(|part| part.trim().parse::<u8>().ok()).collect();
            <[u8; 3]>::try_from(parts).ok().filter(|_| text.split(',').count() == 3)
        }
    };
    bytes.map(Colour).ok_or_else(wrong)
}

fn percentiles(text: &str) -> Result<Depth, String> {
    let wrong = || "it must be two percentiles, 0 <= LOW < HIGH <= 100, as 2,98".to_string();
    let (low, high) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let (low, high) = (number(low)?, number(high)?);
    if !(0.0 <= low && low < high && high <= 100.0) {
        return Err(wrong());
    }
    Ok(Depth::Stretch { low, high })
}

fn bands(text: &str) -> Result<Bands, String> {
    let numbers: Result<Vec<u16>, _> = text.split(',').map(|number| number.trim().parse::<u16>()).collect();
    let wrong = || "it must be one or three numbers from 1, as 4,3,2".to_string();
    numbers.ok().and_then(|numbers| Bands::new(&numbers)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_users_write_them() {
        for (text, want) in
            [("1.5GiB", 3 << 29), ("800 MiB", 800 << 20), ("2g", 2 << 30), ("1MB", 1_000_000), ("7B", 7)]
        {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "1", "GiB", "1.5 TiB", "-1MiB", "nanGiB", "1e30GiB", "infMB", "0MiB", "1GiBB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn colours_and_percentiles_as_users_write_them() {
        for (text, want) in [("white", [255; 3]), ("#0a80FF", [10, 128, 255]), ("1,2, 255", [1, 2, 255])] {
            assert_eq!(colour(text), Ok(Colour(want)));
        }
        for text in
            ["", "red", "#12345", "#+1+2+3", "#\u{e9}\u{e9}\u{e9}", "1,2", "1,2,3,4", "1,2,256", "1,2,x", "-1,2,3"]
        {
            assert!(colour(text).is_err(), "{text}");
        }
        assert_eq!(percentiles("2,98"), Ok(Depth::Stretch { low: 2.0, high: 98.0 }));
        assert_eq!(percentiles("0.5, 100"), Ok(Depth::Stretch { low: 0.5, high: 100.0 }));
        for text in ["", "2", "98,2", "5,5", "-1,50", "0,101", "nan,98", "2,98,99"] {
            assert!(percentiles(text).is_err(), "{text}");
        }
        assert_eq!(bands("4, 3,2"), Ok(Bands::new(&[4, 3, 2]).unwrap()));
        for text in ["", "0", "1,2", "1,2,3,4", "1,x,3", "-1"] {
            assert!(bands(text).is_err(), "{text}");
        }
    }
}
