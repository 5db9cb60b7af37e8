//! `completions` and `man`.

use super::{Cli, bytes, print_raw, tell};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use diffews_wgpu::image_io::{check_place, write_whole};
use std::path::PathBuf;

const NAME: &str = "diffews-wgpu";

const COMPLETIONS_HELP: &str = "\
Examples:
  diffews-wgpu completions bash > ~/.local/share/bash-completion/completions/diffews-wgpu
  diffews-wgpu completions zsh > ~/.zfunc/_diffews-wgpu
  diffews-wgpu completions fish > ~/.config/fish/completions/diffews-wgpu.fish";

#[derive(clap::Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  diffews-wgpu man ~/.local/share/man/man1";

#[derive(clap::Args)]
#[command(after_help = MAN_HELP)]
pub struct ManArgs {
    /// Directory for the pages, diffews-wgpu.1, diffews-wgpu-infer.1 and so on; created if needed
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Replace pages that exist
    #[arg(long)]
    force: bool,
}

pub fn completions(args: &CompletionArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print_raw(String::from_utf8_lossy(&script).trim_end())
}

/// The page of a command and the pages of its subcommands.
fn pages(command: &Command, all: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, all)?;
    }
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    all.push((man.get_filename(), unfilled(&String::from_utf8_lossy(&page)).into_bytes()));
    Ok(())
}

/// Keeps the lines of examples and tables from being filled.
fn unfilled(page: &str) -> String {
    const EXTRA: &str = "\n.SH EXTRA\n";
    let Some((before, extra)) = page.split_once(EXTRA) else { return page.to_owned() };
    let (extra, rest) = extra.split_at(extra.find("\n.SH ").map_or(extra.len(), |at| at + 1));
    format!("{before}\n.SH \"EXAMPLES AND NOTES\"\n.nf\n{}\n.fi\n{rest}", extra.trim_end())
}

pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut all = Vec::new();
    pages(&command, &mut all)?;
    let made = |error| anyhow::anyhow!("{}: {error}", args.dir.display());
    std::fs::create_dir_all(&args.dir).map_err(made)?;
    for (name, _) in &all {
        check_place(&args.dir.join(name), args.force)?;
    }
    for (name, page) in &all {
        write_whole(&args.dir.join(name), page, args.force)?;
    }
    let size = all.iter().map(|(_, page)| page.len() as u64).sum();
    tell(&format!("{}: {} pages, {}", args.dir.display(), all.len(), bytes(size)));
    Ok(())
}
