//! The self-check before the first result: runs the smallest cases of the plan's pipelines on this adapter and compares them with their f64
//! twins.

use super::bank::lock;
use super::remembered::Remembered;
use crate::Error;
use crate::cache::Subject;
use crate::check::{Case, Twins, run_case_by};
use crate::gpu::{Gpu, Wait};
use crate::plan::{Dispatch, Policy, Recording, Schedule};
use crate::shader::Form;
use crate::twins;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;
use web_time::Instant;

/// Whether a device must pass a self-check before its first result.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum SelfCheck {
    /// For each loaded model.
    #[default]
    Each,
    /// Once for each adapter, driver, program and kernel, kept in a file in this directory. The directory is created if
    /// needed; if it cannot be written, the check runs each time.
    Remembered(PathBuf),
    /// Never.
    Off,
}

/// Seed of the data of all cases.
const SEED: u64 = 20_241;

/// Names of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pipeline {
    kernel: &'static str,
    form: &'static str,
    storage: &'static str,
    defines: Vec<&'static str>,
}

impl Pipeline {
    fn of(dispatch: &Dispatch, storage: Policy) -> Pipeline {
        let (kernel, form) = (dispatch.kernel.name, dispatch.form.name);
        Pipeline { kernel, form, storage: storage.name(), defines: dispatch.defines.clone() }
    }

    fn all(recording: &Recording) -> BTreeSet<Pipeline> {
        recording.dispatches.iter().map(|dispatch| Pipeline::of(dispatch, recording.storage)).collect()
    }
}

/// A pipeline of the plan.
struct Used {
    form: &'static Form,
    storage: Policy,
    /// Its names and a hash of its WGSL, as kept in the file.
    id: String,
}

impl Used {
    fn of(pipeline: &Pipeline, form: &'static Form, storage: Policy) -> Used {
        let defines: Vec<&str> = pipeline.defines.iter().copied().chain(storage.defines()).collect();
        let mut hasher = DefaultHasher::new();
        // The text was made before: nothing is bound without it.
        form.text(&defines).unwrap_or_default().hash(&mut hasher);
        let Pipeline { kernel, form: name, storage: stored, defines } = pipeline;
        let id = format!("{kernel} {name} {stored} {} {:016x}", defines.join("+"), hasher.finish());
        Used { form, storage, id }
    }
}

/// A case in a form, for a storage of the plan.
struct Probe {
    case: Rc<Case>,
    form: &'static Form,
    storage: Policy,
    /// The case's own storage, if the difference does not matter to it.
    stored: Policy,
    pipelines: BTreeSet<Pipeline>,
    work: u64,
}

/// The smallest cases that together cover the `missing` pipelines and compile no others; for a kernel, form and storage without
/// such a case, the smallest one.
fn probes(gpu: &Gpu, missing: &BTreeMap<Pipeline, Used>) -> Vec<Probe> {
    let mut probes = Vec::new();
    for tested in &twins::ALL {
        let mut ways: BTreeMap<(&str, &str), &Used> = BTreeMap::new();
        for (pipeline, used) in missing.iter().filter(|(pipeline, _)| pipeline.kernel == tested.kernel.name) {
            ways.insert((pipeline.form, pipeline.storage), used);
        }
        if ways.is_empty() {
            continue;
        }
        let cases: Vec<Rc<Case>> = (tested.cases)().into_iter().map(Rc::new).collect();
        for Used { form, storage, .. } in ways.into_values() {
            let mut covered = BTreeSet::new();
            let mut others = Vec::new();
            for probe in candidates(gpu, &cases, form, *storage) {
                let own = probe.pipelines.iter().all(|pipeline| missing.contains_key(pipeline));
                if own && !probe.pipelines.is_subset(&covered) {
                    covered.extend(probe.pipelines.iter().cloned());
                    probes.push(probe);
                } else {
                    others.push(probe);
                }
            }
            if covered.is_empty() {
                probes.extend(others.into_iter().next());
            }
        }
    }
    // Cases of a single kernel first, so that a fault is reported by the kernel's name.
    probes.sort_by_key(|probe| probe.pipelines.len());
    probes
}

/// The cases that the form supports on this adapter, least work first.
fn candidates(gpu: &Gpu, cases: &[Rc<Case>], form: &'static Form, storage: Policy) -> Vec<Probe> {
    let fits = |case: &Case| case.storages.contains(&storage);
    let anywhere = cases.iter().any(|case| fits(case));
    let mut candidates = Vec::new();
    for case in cases.iter().filter(|case| !case.long && (!anywhere || fits(case))) {
        let alike = || case.storages.iter().copied().find(|of| of.values == storage.values);
        let stored = if anywhere { storage } else { alike().unwrap_or(case.storages[0]) };
        if case.lacks(gpu, stored, form).is_some() {
            continue;
        }
        let Ok(recording) = case.outline(stored, gpu.forms.forcing(case.kernel.name, form.name), gpu.limits()) else {
            continue;
        };
        let pipelines = Pipeline::all(&recording);
        let work = recording.dispatches.iter().map(|d| d.flops + d.padding).sum();
        candidates.push(Probe { case: case.clone(), form, storage, stored, pipelines, work });
    }
    candidates.sort_by_key(|candidate| candidate.work);
    candidates
}

/// The results of the self-check, and where they are kept.
pub(super) struct KnownAnswers {
    how: SelfCheck,
    proved: Mutex<HashSet<String>>,
}

impl KnownAnswers {
    pub fn new(how: SelfCheck) -> KnownAnswers {
        KnownAnswers { how, proved: Default::default() }
    }

    /// Whether the self-check is off.
    pub fn is_off(&self) -> bool {
        matches!(self.how, SelfCheck::Off)
    }

    /// Checks the pipelines of `schedules` on `gpu` that were not checked before.
    ///
    /// # Errors
    /// [`Error::SelfCheck`] for a wrong result; an interrupt; a lost device.
    pub async fn ask<'a>(
        &self,
        wait: Wait,
        gpu: &Gpu,
        schedules: impl IntoIterator<Item = &'a Schedule>,
    ) -> Result<(), Error> {
        let dir = match &self.how {
            SelfCheck::Off => return Ok(()),
            SelfCheck::Each => None,
            SelfCheck::Remembered(dir) => Some(dir),
        };
        let mut missing: BTreeMap<Pipeline, Used> = BTreeMap::new();
        for schedule in schedules {
            let storage = schedule.recording.storage;
            for dispatch in schedule.dispatches() {
                let pipeline = Pipeline::of(dispatch, storage);
                let used = |p: &Pipeline| Used::of(p, dispatch.form, storage);
                missing.entry(pipeline).or_insert_with_key(used);
            }
        }
        let subject = Subject::of(gpu.facts());
        let mut memory = dir.map(|dir| Remembered::read(dir));
        {
            let mut proved = lock(&self.proved);
            proved.extend(memory.iter().flat_map(|memory| memory.passed(&subject)));
            missing.retain(|_, used| !proved.contains(&used.id));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let probes = probes(gpu, &missing);
        let chosen = started.elapsed();
        let mut fault = None;
        for probe in &probes {
            fault = failed(wait, gpu, probe).await;
            if fault.is_some() {
                break;
            }
        }
        log::info!(
            "self-check of {} pipelines by {} cases: {:.0} ms, of which choosing them {:.0} ms",
            missing.len(),
            probes.len(),
            started.elapsed().as_secs_f64() * 1e3,
            chosen.as_secs_f64() * 1e3
        );
        if fault.is_some() {
            // An interrupt or a lost device says nothing about correctness.
            gpu.stands("the self-check")?;
        }
        let asked = |pipeline: &Pipeline| {
            let is_way = |probe: &Probe| (probe.form.name, probe.storage.name()) == (pipeline.form, pipeline.storage);
            probes.iter().any(|probe| probe.case.kernel.name == pipeline.kernel && is_way(probe))
        };
        for (_, used) in missing.iter().filter(|(pipeline, _)| !asked(pipeline)) {
            log::warn!("no case covers {}", used.id);
        }
        let ids: Vec<String> = missing.into_values().map(|used| used.id).collect();
        if let Some(memory) = &mut memory {
            memory.write(&subject, &ids, fault.as_deref());
        }
        match fault {
            None => {
                lock(&self.proved).extend(ids);
                Ok(())
            }
            Some(what) => {
                let facts = gpu.facts();
                Err(Error::SelfCheck { adapter: facts.name.clone(), driver: facts.driver.clone(), what })
            }
        }
    }
}

/// Describes the fault, if there is one.
async fn failed(wait: Wait, gpu: &Gpu, probe: &Probe) -> Option<String> {
    let Probe { case, form, stored, .. } = probe;
    let outcome = run_case_by(wait, gpu, case, *stored, form, SEED, &mut Twins::default()).await;
    (!outcome.passed()).then(|| {
        let (kernel, form, storage) = (outcome.kernel, outcome.form, outcome.storage.name());
        let fault = outcome.fault.map(|fault| format!("{fault}; ")).unwrap_or_default();
        format!(
            "kernel {kernel}, form {form}, {storage}, case \"{}\": {fault}error / bound {:.3e} at {}",
            outcome.case, outcome.ratio, outcome.place
        )
    })
}
