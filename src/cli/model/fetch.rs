//! `model fetch`: downloads published weights.

use super::super::{bytes, one_line, print, progress, tell};
use diffews_wgpu::fetch::{self, Mirrors, PUBLISHED, PUBLISHED_BASE, PUBLISHED_UNET, Patience, Progress, Repository};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu model fetch published --to weights                    the paper's weights: base and UNet `incontext`
  diffews-wgpu model fetch published --to weights --unet coco_fold0
  diffews-wgpu model fetch https://huggingface.co/OWNER/NAME         any model in the diffusers layout

Downloads only the files that this program reads, and checks the size of each and, if the repository lists it, the SHA-256. After an
interruption, run it again: it resumes. Prints the flags that name the model for other commands to stdout.

Environment:
  DIFFEWS_MIRROR  a server instead of www.modelscope.cn and huggingface.co, as https://HOST
  HF_ENDPOINT     a server instead of huggingface.co
  HTTPS_PROXY, ALL_PROXY, NO_PROXY";

const LICENCES: &str = "note: these weights have their own licences: academic use (BSD 2-Clause), and CreativeML Open RAIL++-M of \
Stable Diffusion 2.1";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct FetchArgs {
    /// The paper's weights, or the page of a ModelScope or Hugging Face repository
    #[arg(value_name = "published|URL")]
    repository: String,
    /// Directory for the files [default: the repository's name]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The UNet's directory in the repository [default: incontext for the paper's, else the only one]
    #[arg(long, value_name = "NAME")]
    unet: Option<String>,
    /// Also download files that exist, and replace them
    #[arg(long)]
    force: bool,
    /// Print warnings and errors only
    #[arg(long, short)]
    quiet: bool,
}

/// A variable of the environment; an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub fn run(args: &FetchArgs) -> anyhow::Result<()> {
    let published = args.repository == "published";
    let mirrors = Mirrors { any: variable("DIFFEWS_MIRROR"), hugging_face: variable("HF_ENDPOINT") };
    let repository = Repository::new(if published { PUBLISHED } else { &args.repository }, &mirrors)?;
    let dir = args.to.clone().unwrap_or_else(|| repository.name().into());
    progress::catch_interrupts();
    if published && !args.quiet {
        tell(LICENCES);
    }
    let bar = progress::bytes(args.quiet);
    let mut watch = |progress: &Progress| {
        match progress.trouble {
            Some((reason, wait)) => bar.suspend(|| {
                let (file, seconds) = (one_line(progress.file), wait.as_secs_f64());
                tell(&format!("warning: {file}: {reason}; trying again in {seconds:.0} s"));
            }),
            None => {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(one_line(progress.file.rsplit('/').next().unwrap_or_default()));
            }
        }
        progress::go_on()
    };
    let unet = args.unet.as_deref().or(published.then_some(PUBLISHED_UNET));
    let request = fetch::Request { unet, dir: &dir, force: args.force, patience: Patience::default() };
    let fetched = fetch::fetch(&repository, &request, &mut watch);
    bar.finish_and_clear();
    let fetched = fetched?;
    if !args.quiet {
        let there = if fetched.there > 0 { format!(", {} existed already", fetched.there) } else { String::new() };
        tell(&format!("{}: {} files fetched{there}; {}", dir.display(), fetched.files, bytes(fetched.bytes)));
        if fetched.weights.is_none() {
            tell(&format!(
                "note: it has no base model (vae/ and text_encoder/); `model fetch published` downloads {PUBLISHED_BASE}"
            ));
        }
    }
    let flag = |name: &str, dir: &Option<PathBuf>| dir.as_deref().map(|dir: &Path| format!("{name} {}", dir.display()));
    let flags: Vec<String> =
        [flag("--weights", &fetched.weights), flag("--unet", &fetched.unet)].into_iter().flatten().collect();
    print(&flags.join(" "))
}
