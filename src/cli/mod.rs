//! The command: one file per verb. Library errors become exit codes here and nowhere else.

mod advice;
mod bank;
mod bench;
mod classes;
mod compile;
mod conformance;
mod devices;
mod drawn;
mod engine;
mod environment;
mod errors;
mod eval;
mod examples;
mod folder;
mod format;
mod forms;
mod infer;
mod interrupt;
mod job;
mod label_names;
mod list;
mod marks;
mod mask_file;
mod merge;
mod model;
mod natural;
mod notes;
mod open;
mod options;
mod output;
mod progress;
mod queries;
mod report;
mod schema;
mod scores;
mod self_check;
mod serve;
mod shell;
mod show;
mod times;
mod tune;
mod tuning;
mod width;

use clap::{Parser, Subcommand};
use diffews_wgpu::shown::is_invisible;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

const ABOUT: &str = "\
Segment by example: show one or more pictures with a mask, get the mask of another picture.

DiffewS (few-shot segmentation with Stable Diffusion, NeurIPS 2024) as WGSL compute kernels on any GPU with a
Vulkan, Metal, DirectX 12 or OpenGL driver, or on a CPU driver such as Mesa's lavapipe. No Python at run time.";

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu infer --support cat.jpg --mask cat_mask.png --query other.jpg
  diffews-wgpu infer --support a.png --mask a_m.png --support b.png --mask b_m.png --query photos/ --output masks/
  diffews-wgpu infer --support a.png --mask a_m.png --query q.png --precision f16 --json \\
      --weights stable-diffusion-2-1-ref8inchannels-tag4inchannels --unet incontext
  diffews-wgpu bank encode --support a.png --mask a_m.png -o cat.bank
  diffews-wgpu infer --class cat=cat.bank dog=dog.bank --query photos/ --format coco --output found.json
  diffews-wgpu serve --banks banks/
  diffews-wgpu devices
  diffews-wgpu conformance --all-adapters --html report.html
  diffews-wgpu model verify --weights DIR --unet DIR

Weights:
  Without --weights, a small demonstration model inside this program is used. It runs anywhere and shows the method,
  but it is poor on photographs. `model fetch published` downloads the published weights from ModelScope, repository zzzmmz/Diffews:
    --weights  the base, Stable Diffusion 2.1 in the diffusers layout with vae/ and text_encoder/: the directory
               stable-diffusion-2-1-ref8inchannels-tag4inchannels
    --unet     a fine-tuned UNet: the directory incontext, or one of coco_fold0 to coco_fold3
  They have their own licences: academic use (BSD 2-Clause), and CreativeML Open RAIL++-M of Stable Diffusion 2.1.
  `model verify` checks every downloaded tensor.

Exit codes:
  0  success                   4  no usable adapter (GPU or CPU driver), or one that computes wrong results
  1  failure                   5  conformance failed
  2  wrong usage               6  some queries or episodes failed, the others are done
  3  weights unusable          130, 143, 129  interrupted by Ctrl-C, SIGTERM, SIGHUP (serve and a waiting infer --watch end with 0 or 6 instead)

Environment (flags override DIFFEWS_*, which override WGPU_*, which override the defaults):
  DIFFEWS_WEIGHTS, DIFFEWS_UNET, DIFFEWS_SIZE, DIFFEWS_PRECISION, DIFFEWS_MAX_MEMORY, DIFFEWS_BACKEND, DIFFEWS_ADAPTER
                       defaults of the flags (size, precision and memory only for infer and eval)
  DIFFEWS_CHECKED=1    keep the shader translator's and the driver's bounds checks (slower)
  DIFFEWS_SELF_CHECK=0 skip the self-check, as --no-self-check
  DIFFEWS_TUNE=0       choose kernel forms by rule, as --no-tune; a number N measures them for at most N seconds
  DIFFEWS_CACHE        directory for results of self-checks and measured forms [default: diffews-wgpu in the system's
  cache directory]
  DIFFEWS_MIRROR, HF_ENDPOINT
                       servers that `model fetch` uses instead of the usual ones
  LP_NATIVE_VECTOR_WIDTH
                       vector width of Mesa's CPU driver in bits. If it is not set, infer, eval and tune restart with 512 if that
                       is faster (Mesa 26, a CPU with AVX-512, large models except in q8)
  WGPU_BACKEND, WGPU_ADAPTER_NAME
                       wgpu's own choice of backends (of vulkan, metal, dx12, gl) and adapter
  RUST_LOG             filter of the log on stderr, such as diffews_wgpu=debug; -v overrides it";

#[derive(Parser)]
#[command(name = "diffews-wgpu", version = env!("DIFFEWS_VERSION"), about = ABOUT, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Segment pictures by example
    Infer(Box<infer::Args>),
    /// Encode examples once and keep them in a file for any number of runs
    Bank(Box<bank::Args>),
    /// Serve over HTTP: for annotation tools, programs, and a page to paint on
    Serve(Box<serve::Args>),
    /// Measure segmentation over a file of episodes, as the paper does
    Eval(Box<eval::Args>),
    /// List the adapters (GPUs and CPU drivers) and mark the one in use
    Devices(devices::Args),
    /// Fetch, inspect, verify or convert a model
    Model(model::Args),
    /// Check, kernel by kernel, whether an adapter and its driver compute right
    Conformance(Box<conformance::Args>),
    /// Compile every kernel, form and storage with an adapter's driver, without running them
    Compile(compile::Args),
    /// Benchmark the kernels and the embedded model on an adapter
    Bench(bench::Args),
    /// Measure the fastest kernel forms for a model on an adapter, for later runs
    Tune(Box<tune::Args>),
    /// Print a shell completion script
    Completions(shell::CompletionArgs),
    /// Write manual pages, one for each subcommand
    Man(shell::ManArgs),
}

pub fn main() -> ExitCode {
    interrupt::keep_file_limit_an_error();
    let cli = Cli::parse();
    let verbosity = match &cli.verb {
        Verb::Infer(args) => args.verbose,
        _ => 0,
    };
    // wgpu and its drivers log much that users cannot change.
    let level = match &cli.verb {
        // A server logs what it does not tell its clients.
        Verb::Serve(_) => "error,diffews_wgpu::serve=warn",
        _ => ["error", "error,diffews_wgpu=info", "error,diffews_wgpu=debug"][usize::from(verbosity.min(2))],
    };
    let mut logger = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level));
    if verbosity > 0 {
        logger.parse_filters(level);
    }
    logger.format_timestamp(None).init();
    let result = match cli.verb {
        Verb::Infer(args) => infer::run(&args),
        Verb::Bank(args) => bank::run(&args),
        Verb::Serve(args) => serve::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Devices(args) => devices::run(&args),
        Verb::Model(args) => model::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::Compile(args) => compile::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Tune(args) => tune::run(&args),
        Verb::Completions(args) => shell::completions(&args),
        Verb::Man(args) => shell::man(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {}", advice::describe(&error)));
            ExitCode::from(errors::exit_code(&error))
        }
    }
}

/// Prints a line to stderr. Unlike `eprintln!` it does not panic if stderr is closed.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", harmless(line));
}

/// Escapes names from files: they must not move the cursor, reorder text, or begin a line that looks like ours.
/// Our own continuation lines begin with two spaces.
fn harmless(text: &str) -> String {
    let shown = |(at, c): (usize, char)| match c {
        '\n' if text[at..].starts_with("\n  ") => c,
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    };
    text.char_indices().map(shown).collect()
}

/// The same for text without line breaks of ours.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// A JSON object on one line, escaped so that it does no harm on a terminal.
fn json_line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    let mut line = String::new();
    for c in serde_json::to_string(value)?.chars() {
        if c.is_control() || is_invisible(c) {
            // Such characters occur only in strings, where JSON allows these escapes.
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line.push_str(&format!("\\u{unit:04x}")));
        } else {
            line.push(c);
        }
    }
    Ok(line)
}

/// Prints a line of results to stdout. A closed pipe (`| head`) is no failure; a full disk is.
fn print(line: &str) -> anyhow::Result<()> {
    print_raw(&one_line(line))
}

/// Prints several lines, in which foreign names have gone through [`one_line`].
fn print_lines(text: &str) -> anyhow::Result<()> {
    text.split('\n').try_for_each(print)
}

/// Prints text unescaped: it must not contain foreign names.
fn print_raw(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::anyhow!("standard output: {error}")),
        _ => Ok(()),
    }
}

/// A size for people.
fn bytes(n: u64) -> String {
    match n {
        0..=0xfff => format!("{n} B"),
        0x1000..=0xf_ffff => format!("{:.1} KiB", n as f64 / 1024.0),
        0x10_0000..=0x3fff_ffff => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

/// Formats rows of cells as left-aligned columns.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{:<width$}", one_line(cell))).collect();
        cells.join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Every verb has examples, and each is a command line that it takes.
    #[test]
    fn examples_are_taken() {
        let mut command = super::Cli::command();
        command.build();
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let help = help.replace("\\\n", " ");
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            let examples = examples.into_iter().filter_map(|line| line.find("diffews-wgpu ").map(|at| &line[at..]));
            // Text after two spaces is a comment.
            let words = |line: &str| {
                let line =
                    line.split("  ").next().unwrap_or_default().split(" > ").next().unwrap_or_default().to_owned();
                line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
            };
            let examples: Vec<Vec<String>> = examples.map(words).collect();
            assert!(!examples.is_empty(), "{}", verb.get_name());
            for example in examples {
                use clap::Parser;
                let taken = super::Cli::try_parse_from(&example);
                assert!(taken.is_ok(), "{example:?}: {}", taken.err().map_or(String::new(), |e| e.to_string()));
            }
        }
    }

    #[test]
    fn names_forge_no_lines() {
        use super::{harmless, json_line, one_line};
        let name = "a\nerror: b\u{202e}c\u{1b}[2J\u{9b}1m\u{2028}d";
        assert_eq!(harmless(name), "a\u{fffd}error: b\u{fffd}c\u{fffd}[2J\u{fffd}1m\u{fffd}d");
        assert_eq!(one_line("a\n  b"), "a\u{fffd}  b");
        // Our own continuation lines stay.
        assert_eq!(harmless("there are:\n  0: x\n  1: y"), "there are:\n  0: x\n  1: y");
        let line = json_line(&serde_json::json!({ "query": name })).unwrap();
        assert!(!line.chars().any(|c| c.is_control() || super::is_invisible(c)), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["query"], name);
    }
}
