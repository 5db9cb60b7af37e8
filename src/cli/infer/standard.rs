//! `-`: standard input as one input, standard output as one output.

use super::super::errors::usage;
use super::Args;
use diffews_wgpu::image_io::is_standard;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Whether a result goes to standard output.
pub fn is_taken(args: &Args) -> bool {
    outputs(args).any(|(_, path)| is_standard(path))
}

fn outputs(args: &Args) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let all = [("--output", &args.output), ("--overlay", &args.overlay), ("--probability", &args.probability)];
    all.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)))
}

/// Refuses unsupported uses of `-`.
///
/// # Errors
/// Wrong usage, in words.
pub fn check(args: &Args) -> anyhow::Result<()> {
    let inputs = args.inputs().chain(args.queries.paths()).filter(|path| is_standard(path));
    match inputs.count() {
        0 => {}
        1 if std::io::stdin().is_terminal() => {
            return Err(usage(
                "-: standard input is a terminal; pipe a picture, or a list of queries, into it, or name a file",
            ));
        }
        1 => {}
        _ => return Err(usage("-: standard input can be one of --support, --mask and --query only")),
    }
    let taken: Vec<&str> = outputs(args).filter(|(_, path)| is_standard(path)).map(|(flag, _)| flag).collect();
    let Some(&flag) = taken.first() else { return Ok(()) };
    if taken.len() > 1 {
        return Err(usage(format!("{} -: standard output takes one result only", taken.join(" - and "))));
    }
    if args.queries.paths().count() > 1 || args.queries.folders().next().is_some() {
        return Err(usage(format!("{flag} -: there may be several results, and standard output takes one")));
    }
    for (other, given) in [("--json", args.json), ("--show", args.show), ("--skip-existing", args.skip_existing)] {
        if given {
            return Err(usage(format!("{flag} - cannot be used with {other}")));
        }
    }
    if std::io::stdout().is_terminal() {
        return Err(usage(format!(
            "{flag} -: standard output is a terminal, which shows no PNG; pipe it, or name a file"
        )));
    }
    Ok(())
}
