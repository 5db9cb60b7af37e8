//! `devices`: lists the adapters.

use super::options::AdapterArgs;
use super::schema;
use super::self_check::cache;
use super::{bytes, print_lines, tell};
use diffews_wgpu::gpu::{AdapterFacts, Gpu, GpuError, list};
use diffews_wgpu::segment::{Standing, measured_on};

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu devices
  diffews-wgpu devices --json
  diffews-wgpu devices --backend gl --adapter llvmpipe      check whether this one can be used";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Print a JSON array of all adapters and their limits
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of that array and exit
    #[arg(long)]
    json_schema: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
}

/// An adapter, and whether it is the one that `infer` would use.
#[derive(serde::Serialize)]
struct Row<'a> {
    chosen: bool,
    self_check: Standing,
    /// Kernel problems with measured forms.
    tuned: usize,
    #[serde(flatten)]
    facts: &'a AdapterFacts,
}

fn self_check_of(facts: &AdapterFacts) -> Standing {
    cache().map_or(Standing::NotChecked, |dir| Standing::of(facts, &dir))
}

fn tuned(facts: &AdapterFacts) -> usize {
    cache().map_or(0, |dir| measured_on(facts, &dir))
}

fn word(self_check: &Standing) -> &'static str {
    match self_check {
        Standing::NotChecked => "not yet",
        Standing::Passed => "passed",
        Standing::Failed(_) => "FAILED",
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.json_schema {
        return schema::print(schema::DEVICES);
    }
    let choice = args.adapter.choice()?;
    let all = list(&choice);
    // Only opening an adapter proves that it works.
    let chosen = Gpu::new(&choice);
    let rows: Vec<Row> = all
        .iter()
        .map(|facts| {
            // An opened adapter has more facts than a listed one.
            let opened = chosen.as_ref().ok().map(Gpu::facts).filter(|opened| opened.index == facts.index);
            let facts = opened.unwrap_or(facts);
            Row { chosen: opened.is_some(), self_check: self_check_of(facts), tuned: tuned(facts), facts }
        })
        .collect();
    if args.json {
        print_lines(&serde_json::to_string_pretty(&rows)?)?;
    } else if !rows.is_empty() {
        table(&rows)?;
    }
    for Row { self_check, facts, .. } in &rows {
        if let (Standing::Failed(wrong), false) = (self_check, args.json) {
            print_lines(&format!("\n{} failed the self-check of the last `infer` or `eval`: {wrong}", facts.name))?;
        }
    }
    match chosen {
        Ok(_) if !args.json => print_lines("\n* is used."),
        Ok(_) => Ok(()),
        Err(error @ (GpuError::NoAdapter(_) | GpuError::NoDevice { .. })) => Err(error.into()),
        Err(error) => {
            tell("the adapters above were found, but the chosen one cannot be opened");
            Err(error.into())
        }
    }
}

fn table(rows: &[Row]) -> anyhow::Result<()> {
    let heads = [
        "",
        "#",
        "adapter",
        "backend",
        "type",
        "driver",
        "f16",
        "matrices",
        "subgroup",
        "binding",
        "buffer",
        "memory",
        "ranges",
        "self-check",
        "tuned",
    ];
    let mut cells = vec![heads.map(String::from).to_vec()];
    cells.extend(rows.iter().map(|Row { chosen, self_check, tuned, facts }| {
        let subgroup = match facts.subgroup_sizes {
            None => "none".into(),
            Some((a, b)) if a == b => a.to_string(),
            Some((a, b)) => format!("{a}-{b}"),
        };
        let sides: Vec<String> = facts.matrices.iter().map(u32::to_string).collect();
        vec![
            if *chosen { "*" } else { "" }.into(),
            facts.index.map_or(String::new(), |index| index.to_string()),
            facts.name.clone(),
            facts.backend.clone(),
            facts.device_type.clone(),
            facts.driver.clone(),
            if facts.shader_f16 { "yes" } else { "no" }.into(),
            if facts.matrices.is_empty() { "none".into() } else { sides.join(", ") },
            subgroup,
            bytes(facts.max_binding_bytes),
            bytes(facts.max_buffer_bytes),
            facts.memory_bytes.map_or("unknown".into(), bytes),
            if facts.range_checks { "checked" } else { "unchecked" }.into(),
            word(self_check).into(),
            if *tuned == 0 { "not yet".into() } else { format!("{tuned} problems") },
        ]
    }));
    print_lines(&super::columns(&cells))
}
