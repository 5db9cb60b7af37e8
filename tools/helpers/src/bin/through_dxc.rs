//! Runs the conformance cases as DX12 would compute them, on a Vulkan driver: DXC compiles naga's HLSL of every dispatch to SPIR-V, which
//! runs in place of wgpu's own translation and is compared with the f64 twins.
//!   through_dxc translate DIR [REGEX]                      leaves DIR/<kernel>-<hash>.hlsl
//!   python3 tools/dxc/compile.py --only-spirv DIR          makes DIR/<kernel>-<hash>.spv
//!   through_dxc run DIR [REGEX]                            exits with 1 if a case fails, or if none ran
//! DIFFEWS_CHECKED=1 in the environment: use HLSL with run-time checks, in both `translate` and `run`.

#[path = "../../../../src/cli/environment.rs"]
mod environment;

use diffews_wgpu::check::{Case, Twins, record_case, run_case_with};
use diffews_wgpu::conformance::{KNOWN, LANGUAGE, hlsl};
use diffews_wgpu::gpu::{CHECKED, Gpu, Translator};
use diffews_wgpu::plan::{Dispatch, Policy};
use diffews_wgpu::shader::Form;
use diffews_wgpu::twins;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

const SEED: u64 = 20241;

/// A case in one storage and form, with its name in `conformance --list`.
struct Job {
    name: String,
    case: usize,
    storage: Policy,
    form: &'static Form,
    /// Why this adapter does not run it, if so.
    left_out: Option<String>,
}

/// The control is always included.
fn wanted(job: &Job, only: &regex::Regex) -> bool {
    only.is_match(&job.name) || job.name.starts_with("language/numbers/exp/")
}

/// All cases, in all storages and forms.
fn jobs(gpu: &Gpu) -> (Vec<Case>, Vec<Job>) {
    let tested = LANGUAGE.iter().map(|t| ("language", t)).chain(twins::ALL.iter().map(|t| ("kernels", t)));
    let (layers, cases): (Vec<_>, Vec<_>) =
        tested.flat_map(|(layer, tested)| (tested.cases)().into_iter().map(move |case| (layer, case))).unzip();
    let mut jobs = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let forms: Vec<&'static Form> = case.kernel.forms.iter().filter(|form| case.takes(form)).collect();
        for (&storage, &form) in case.storages.iter().flat_map(|s| forms.iter().map(move |f| (s, f))) {
            let name = format!("{}/{}/{}/{}/{}", layers[i], case.kernel.name, case.name, storage.name(), form.name);
            // As in `conformance --quick`: the others run in all forms on smaller data.
            let spare = || case.is_spare(gpu, storage, form).then(|| "run in another form".into());
            // naga's errors in HLSL affect every driver.
            let id = format!("{}.{}.{}.{}.{}", layers[i], case.kernel.name, form.name, storage.name(), case.id);
            let known = KNOWN.iter().find(|known| known.backend == "dx12" && id.starts_with(known.case));
            let known = known.map(|known| format!("known deviation: {}", known.reason));
            let left_out = case.lacks(gpu, storage, form).or_else(spare).or(known);
            jobs.push(Job { name, case: i, storage, form, left_out });
        }
    }
    (cases, jobs)
}

/// The file name of this text: it names the kernel, and hashes the whole text.
fn stem(kernel: &str, hlsl: &str) -> String {
    let hash = Sha256::digest(hlsl);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kernel}-{hash}")
}

fn translate(dir: &Path, gpu: &Gpu, only: &regex::Regex) -> Result<(), Failure> {
    let checked = environment::choice(None, None)?.checked;
    let (cases, jobs) = jobs(gpu);
    let mut texts = BTreeMap::new();
    for job in jobs.iter().filter(|job| job.left_out.is_none() && wanted(job, only)) {
        let schedule = record_case(gpu, &cases[job.case], job.storage, job.form)?;
        for dispatch in schedule.dispatches() {
            let defines: Vec<_> = dispatch.defines.iter().copied().chain(job.storage.defines()).collect();
            let wgsl = dispatch.form.text(&defines)?;
            let text = hlsl(dispatch, &wgsl, checked || dispatch.defines.contains(&CHECKED))?;
            texts.insert(stem(dispatch.kernel.name, &text), text);
        }
    }
    std::fs::create_dir_all(dir)?;
    for (stem, text) in &texts {
        std::fs::write(dir.join(format!("{stem}.hlsl")), text)?;
    }
    println!("{} HLSL texts in {}", texts.len(), dir.display());
    Ok(())
}

/// DXC's SPIR-V of naga's HLSL of `wgsl`.
fn spirv(dir: &Path, dispatch: &Dispatch, wgsl: &str, checked: bool) -> Result<Vec<u32>, String> {
    let text = hlsl(dispatch, wgsl, checked)?;
    let path = dir.join(format!("{}.spv", stem(dispatch.kernel.name, &text)));
    let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}

fn open(dir: &Path) -> Result<Gpu, Failure> {
    let dir = dir.to_path_buf();
    let translator = move |dispatch: &Dispatch, wgsl: &str, checked| spirv(&dir, dispatch, wgsl, checked);
    through(Box::new(translator))
}

fn through(translator: Translator) -> Result<Gpu, Failure> {
    // SAFETY: DXC made the modules of kernels that bound themselves; guard bands show whether they still do.
    Ok(unsafe { Gpu::with_translator(&environment::choice(None, None)?, translator) }?)
}

/// exp with the module of exp2 must fail, which proves that DXC's modules are what runs.
fn control(dir: &Path, cases: &[Case]) -> Result<(), Failure> {
    let exp = cases.iter().find(|c| c.kernel.name == "numbers" && c.name == "exp").ok_or("there is no case of exp")?;
    let right = run_case_with(&open(dir)?, exp, Policy::F32, &exp.kernel.forms[0], SEED, &mut Twins::default());
    let dir = dir.to_path_buf();
    let wrong = move |dispatch: &Dispatch, wgsl: &str, checked| {
        let wgsl = wgsl.replace("= exp(x)", "= exp2(x)");
        spirv(&dir, dispatch, &wgsl, checked)
    };
    let gpu = through(Box::new(wrong))?;
    let wrong = run_case_with(&gpu, exp, Policy::F32, &exp.kernel.forms[0], SEED, &mut Twins::default());
    match right.passed() && wrong.fault.is_none() && wrong.ratio > 1.0 {
        true => Ok(()),
        false => Err(format!("the control: exp as exp {right}; as exp2, which must be wrong: {wrong}").into()),
    }
}

fn run(dir: &Path, only: &regex::Regex) -> Result<bool, Failure> {
    let mut gpu = open(dir)?;
    let (cases, jobs) = jobs(&gpu);
    control(dir, &cases)?;
    println!("{} ({}) through DXC", gpu.facts().name, gpu.facts().driver);
    let (mut ran, mut failed, mut twins) = (0, 0, Twins::default());
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs.iter().filter(|job| wanted(job, only)) {
        if let Some(reason) = &job.left_out {
            *left_out.entry(reason).or_default() += 1;
            continue;
        }
        let outcome = run_case_with(&gpu, &cases[job.case], job.storage, job.form, SEED, &mut twins);
        ran += 1;
        if outcome.passed() {
            continue;
        }
        failed += 1;
        println!("{}: {outcome}", job.name);
        // A failed device may go on failing, which is not the next case's fault.
        gpu = open(dir)?;
    }
    for (reason, count) in &left_out {
        println!("{count} not run: {reason}");
    }
    println!("{ran} cases through DXC, {failed} failed");
    Ok(failed == 0 && ran > 0)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let only = regex::Regex::new(arguments.get(2).unwrap_or(&""))?;
    match arguments[..] {
        ["translate", dir] | ["translate", dir, _] => {
            translate(&PathBuf::from(dir), &Gpu::new(&environment::choice(None, None)?)?, &only)
        }
        ["run", dir] | ["run", dir, _] => {
            if run(&PathBuf::from(dir), &only)? {
                Ok(())
            } else {
                std::process::exit(1)
            }
        }
        _ => Err("usage: through_dxc translate DIR [REGEX] | through_dxc run DIR [REGEX]".into()),
    }
}
