//! `tune`: measures kernel forms on a model's own problems, and prints kept measurements.

use super::engine::Watch;
use super::errors::usage;
use super::forms::FormArgs;
use super::open::{self, Told, Wanted};
use super::options::{AdapterArgs, ModelArgs, precision};
use super::progress::{self, Bar};
use super::self_check::{SelfCheckArgs, cache};
use super::{columns, json_line, print, print_lines, tell};
use diffews_wgpu::Precision;
use diffews_wgpu::gpu::AdapterFacts;
use diffews_wgpu::image_io::Framing;
use diffews_wgpu::tune::{Finding, Kept, Problem, Tuning, Verdict};
use serde_json::json;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu tune --weights DIR --unet DIR --seconds 60      for later runs of that model
  diffews-wgpu tune --show
  diffews-wgpu tune --clear

A form is one way to compute a kernel. The fastest form differs between devices and layers. A rule guesses it; this command
measures it: each form that can run computes the model's own layers, heaviest first, and its results must be within their error
bounds. `infer` and `eval` do the same when a model is new on an adapter, and use the fastest forms. Results always stay within
their bounds, but their last bits depend on the forms: --no-tune uses the rule, --form names a form.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Print the kept measurements of the adapter, for all models, and run nothing
    #[arg(long, group = "what")]
    show: bool,
    /// Delete the kept measurements of all adapters
    #[arg(long, group = "what")]
    clear: bool,
    /// Measure for at most N seconds; forms of problems not reached by then are chosen by rule [default: 3, 10 on a CPU driver]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400), conflicts_with = "what")]
    seconds: Option<u32>,
    /// Show every form, not only the fastest
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print no progress and notes; warnings and errors stay
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    forms: FormArgs,
    #[command(flatten)]
    self_check: SelfCheckArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Side of the square that pictures are scaled to [default: the model's own, else 512]
    #[arg(long, value_name = "PIXELS", env = "DIFFEWS_SIZE", hide_env_values = true, help_heading = "Model")]
    size: Option<u32>,
    /// Same as in `infer`
    #[arg(long, value_parser = precision(), default_value = "auto", env = "DIFFEWS_PRECISION", hide_env_values = true)]
    #[arg(help_heading = "Model")]
    precision: Precision,
    /// Supports of a bank
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    #[arg(help_heading = "Model")]
    shots: u16,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let dir = cache().ok_or_else(|| usage("this system has no cache directory; set DIFFEWS_CACHE to one"))?;
    if args.clear {
        return clear(args, &dir);
    }
    progress::catch_interrupts();
    if args.show {
        let gpu = args.adapter.open()?;
        let kept = Kept::read(&dir, gpu.facts());
        if let (Some(fault), false) = (kept.fault(), args.quiet) {
            tell(&format!("note: earlier measurements cannot be used: {fault}"));
        }
        let known = kept.findings().into_iter().map(|(name, finding)| Problem { name, layers: None, finding });
        return report(args, gpu.facts(), &Vec::from_iter(known));
    }
    let (model, shots) = (&args.model, usize::from(args.shots));
    let tuning = Tuning { seconds: args.seconds.map(f64::from), anew: true, ..Tuning::in_dir(dir) };
    let wanted = Wanted {
        files: model.files()?,
        name: model.name(),
        adapter: &args.adapter,
        forms: &args.forms,
        self_check: &args.self_check,
        timed: false,
        tuning: Some(tuning),
        size: args.size,
        precision: args.precision,
        shots,
        banks: Vec::new(),
        kv_sample: None,
        threshold: None,
        min_score: 0.0,
        framing: Framing::Squash,
        guided_filter: None,
        max_memory: None,
    };
    let mut bar = Bar::new(args.quiet);
    let planned = open::plan(wanted, Told { verbose: false, quiet: true }, &mut bar)?;
    bar.clear();
    if !args.quiet {
        planned.notes().iter().for_each(|note| tell(&format!("note: {note}")));
    }
    report(args, planned.gpu().facts(), &planned.problems())
}

fn clear(args: &Args, dir: &std::path::Path) -> anyhow::Result<()> {
    let was_there = Kept::clear(dir).map_err(|error| anyhow::anyhow!("{}: {error}", dir.display()))?;
    if !args.quiet {
        let dir: PathBuf = dir.into();
        let told = if was_there { "deleted" } else { "nothing to delete" };
        tell(&format!("{told}: measurements of all adapters, in {}", dir.display()));
    }
    Ok(())
}

fn report(args: &Args, facts: &AdapterFacts, problems: &[Problem]) -> anyhow::Result<()> {
    if args.json {
        let problems: Vec<_> = problems.iter().map(object).collect();
        let (adapter, backend, driver) = (&facts.name, &facts.backend, &facts.driver);
        return print(&json_line(
            &json!({"adapter": adapter, "backend": backend, "driver": driver, "problems": problems}),
        )?);
    }
    print(&format!("{} ({}, {})", facts.name, facts.backend, facts.driver))?;
    if problems.is_empty() {
        return print("nothing was measured");
    }
    let heads = ["problem", "layers", "form", "ms", "of the rule's", ""];
    let mut rows = vec![heads.map(String::from).to_vec()];
    rows.extend(problems.iter().flat_map(|problem| lines(problem, args.all)));
    print_lines(&columns(&rows))?;
    print("")?;
    print(&summary(problems))
}

/// The chosen form with its seconds, and the seconds of the rule's form.
fn both(finding: &Finding) -> Option<(&str, f64, Option<f64>)> {
    let chosen = finding.chosen()?;
    Some((chosen, finding.seconds(chosen)?, finding.seconds(&finding.rule)))
}

fn object(problem: &Problem) -> serde_json::Value {
    let Problem { name, layers, finding } = problem;
    let (chosen, seconds, rule_seconds) =
        both(finding).map_or((None, None, None), |(chosen, seconds, rule)| (Some(chosen), Some(seconds), rule));
    json!({
        "problem": name, "layers": layers, "rule": finding.rule, "chosen": chosen, "seconds": seconds, "rule_seconds": rule_seconds,
        "ratio": seconds.zip(rule_seconds).map(|(seconds, rule)| seconds / rule), "forms": finding.forms,
    })
}

/// Lines for a problem: the chosen form, or all.
fn lines(problem: &Problem, all: bool) -> Vec<Vec<String>> {
    let Problem { name, layers, finding } = problem;
    let chosen = finding.chosen();
    let layers = layers.map_or(String::new(), |layers| layers.to_string());
    let rule = finding.seconds(&finding.rule);
    let line = |form: &str, found: &Verdict| {
        let mut words = Vec::new();
        words.extend((all && chosen == Some(form)).then(|| "taken".to_string()));
        words.extend((form == finding.rule).then(|| "the rule's".to_string()));
        let mut numbers = [String::new(), String::new()];
        match found {
            Verdict::Seconds(seconds) => {
                let ratio = rule.map_or(String::new(), |rule| format!("{:.2}", seconds / rule));
                numbers = [format!("{:.3}", 1e3 * seconds), ratio];
            }
            Verdict::Wrong(what) => words.push(format!("not within its bound: {what}")),
            Verdict::Failed(what) => words.push(format!("does not run: {what}")),
            Verdict::Behind => words.push("skipped: far slower in earlier problems".into()),
        }
        let [ms, ratio] = numbers;
        vec![name.clone(), layers.clone(), form.to_string(), ms, ratio, words.join(", ")]
    };
    let shown = |form: &str, found: &Verdict| all || chosen == Some(form) || matches!(found, Verdict::Wrong(_));
    let lines: Vec<_> = finding.forms.iter().filter(|(f, found)| shown(f, found)).map(|(f, w)| line(f, w)).collect();
    if !lines.is_empty() {
        return lines;
    }
    let none = "the rule's, not measured".to_string();
    vec![vec![name.clone(), layers, finding.rule.clone(), String::new(), String::new(), none]]
}

fn summary(problems: &[Problem]) -> String {
    let measured = problems.iter().filter_map(|p| Some((p.layers.unwrap_or(1), both(&p.finding)?)));
    let (mut count, mut own, mut rule) = (0, 0.0, 0.0);
    for (layers, (_, seconds, by_rule)) in measured {
        count += 1;
        own += layers as f64 * seconds;
        rule += layers as f64 * by_rule.unwrap_or(seconds);
    }
    let gain = if own > 0.0 { format!(": together {:.2} of the rule's time", own / rule) } else { String::new() };
    let layers = if problems.iter().all(|p| p.layers.is_some()) {
        format!(" ({:.1} ms for {:.1} ms in all layers)", 1e3 * own, 1e3 * rule)
    } else {
        String::new()
    };
    format!("{count} of {} problems measured{gain}{layers}; the others use the rule's form", problems.len())
}
