//! Known answers before the first result: the smallest cases of the pipelines that a plan uses, on this adapter, against their f64 twins.

use super::remembered::{Remembered, Subject};
use crate::Error;
use crate::check::{Case, run_case};
use crate::gpu::Gpu;
use crate::plan::{Policy, Recording, Schedule};
use crate::shader::{Form, Kernel};
use crate::twins;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Mutex;

/// Whether a device must prove, before its first result, that it computes right.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum SelfCheck {
    /// With each model that is loaded: some milliseconds on a GPU.
    #[default]
    Each,
    /// Once for each adapter, driver, program and kernel, which a file in this directory remembers. The directory is made where
    /// it is not there; where nothing can be written, it is done each time.
    Remembered(PathBuf),
    /// Never.
    Off,
}

/// All cases have their numbers from it.
const SEED: u64 = 20_241;

/// A pipeline of a plan.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    kernel: &'static Kernel,
    form: &'static Form,
    storage: Policy,
    /// Its names, and a hash of its WGSL.
    id: String,
}

impl Pipeline {
    fn all(recording: &Recording) -> Vec<Pipeline> {
        let storage = recording.storage;
        let mut all: Vec<Pipeline> = Vec::new();
        for dispatch in &recording.dispatches {
            let defines: Vec<&str> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
            let mut hasher = DefaultHasher::new();
            // A text that cannot be made has failed before: nothing is bound without it.
            dispatch.form.text(&defines).unwrap_or_default().hash(&mut hasher);
            let (kernel, form) = (dispatch.kernel, dispatch.form);
            let (names, hash) = (dispatch.defines.join("+"), hasher.finish());
            let id = format!("{} {} {} {names} {hash:016x}", kernel.name, form.name, storage.name());
            if all.iter().all(|other| other.id != id) {
                all.push(Pipeline { kernel, form, storage, id });
            }
        }
        all
    }

    fn is_of(&self, probe: &Probe) -> bool {
        (self.kernel.name, self.form.name, self.storage) == (probe.kernel.name, probe.form.name, probe.storage)
    }
}

/// A case in a form, for a kind of storage of the plan.
struct Probe {
    kernel: &'static Kernel,
    form: &'static Form,
    storage: Policy,
    case: Case,
    /// What the case has in its place, where that makes no difference to it.
    stored: Policy,
    pipelines: usize,
}

/// What a probe would be, before its case is taken.
struct Candidate {
    case: usize,
    form: &'static Form,
    storage: Policy,
    stored: Policy,
    pipelines: HashSet<String>,
    work: u64,
}

/// Of the cases of each kernel the smallest that together have the `missing` pipelines and compile no others; of a kernel, form and
/// storage that no such case has the smallest one at all.
fn probes(gpu: &Gpu, missing: &[Pipeline]) -> Vec<Probe> {
    let wanted: HashSet<&str> = missing.iter().map(|pipeline| pipeline.id.as_str()).collect();
    let mut probes = Vec::new();
    for tested in &twins::ALL {
        let of: Vec<&Pipeline> = missing.iter().filter(|pipeline| pipeline.kernel.name == tested.kernel.name).collect();
        if of.is_empty() {
            continue;
        }
        let mut cases: Vec<Option<Case>> = (tested.cases)().into_iter().map(Some).collect();
        let mut ways: Vec<(&'static Form, Policy)> = Vec::new();
        for pipeline in &of {
            if !ways.iter().any(|(form, storage)| (form.name, *storage) == (pipeline.form.name, pipeline.storage)) {
                ways.push((pipeline.form, pipeline.storage));
            }
        }
        let mut candidates = Vec::new();
        for (form, storage) in ways {
            let of_it = candidates_of(gpu, &cases, form, storage);
            let mut covered: HashSet<String> = HashSet::new();
            let mut taken: Vec<Candidate> = Vec::new();
            let mut others = Vec::new();
            for candidate in of_it {
                let own = candidate.pipelines.iter().all(|id| wanted.contains(id.as_str()));
                if own && !candidate.pipelines.is_subset(&covered) {
                    covered.extend(candidate.pipelines.iter().cloned());
                    taken.push(candidate);
                } else {
                    others.push(candidate);
                }
            }
            if taken.is_empty() {
                taken.extend(others.into_iter().next());
            }
            candidates.extend(taken);
        }
        for Candidate { case, form, storage, stored, pipelines, .. } in candidates {
            if let Some(case) = cases[case].take().or_else(|| (tested.cases)().into_iter().nth(case)) {
                let pipelines = pipelines.len();
                probes.push(Probe { kernel: tested.kernel, form, storage, case, stored, pipelines });
            }
        }
    }
    // Those of one kernel first: a wrong one is called by its name.
    probes.sort_by_key(|probe| probe.pipelines);
    probes
}

/// The cases that the form takes on this adapter, those of least work first.
fn candidates_of(gpu: &Gpu, cases: &[Option<Case>], form: &'static Form, storage: Policy) -> Vec<Candidate> {
    let fits = |case: &&Case| case.storages.contains(&storage);
    let anywhere = cases.iter().flatten().any(|case| fits(&case));
    let mut candidates = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let Some(case) = case.as_ref().filter(|case| !anywhere || fits(case)) else { continue };
        let stored = if fits(&case) { storage } else { case.storages[0] };
        if case.lacks(gpu, stored, form).is_some() {
            continue;
        }
        let Ok(recording) = case.outline(stored, gpu.forms.forcing(case.kernel.name, form.name), gpu.limits()) else {
            continue;
        };
        candidates.push(Candidate {
            case: i,
            form,
            storage,
            stored,
            pipelines: Pipeline::all(&recording).into_iter().map(|pipeline| pipeline.id).collect(),
            work: recording.dispatches.iter().map(|d| d.flops + d.padding).sum(),
        });
    }
    candidates.sort_by_key(|candidate| candidate.work);
    candidates
}

/// What has been proved of a device, and where it is remembered.
pub(super) struct KnownAnswers {
    how: SelfCheck,
    proved: Mutex<HashSet<String>>,
}

impl KnownAnswers {
    pub fn new(how: SelfCheck) -> KnownAnswers {
        KnownAnswers { how, proved: Default::default() }
    }

    /// Has `gpu` compute what is known of the pipelines of `schedules`, where that was not done before.
    ///
    /// # Errors
    /// [`Error::SelfCheck`] where it computes something else; an interrupt, and a device that is lost.
    pub fn ask<'a>(&self, gpu: &Gpu, schedules: impl IntoIterator<Item = &'a Schedule>) -> Result<(), Error> {
        let dir = match &self.how {
            SelfCheck::Off => return Ok(()),
            SelfCheck::Each => None,
            SelfCheck::Remembered(dir) => Some(dir),
        };
        let mut proved = super::bank::lock(&self.proved);
        let mut missing: Vec<Pipeline> = Vec::new();
        for pipeline in schedules.into_iter().flat_map(|schedule| Pipeline::all(&schedule.recording)) {
            if !proved.contains(&pipeline.id) && missing.iter().all(|other| other.id != pipeline.id) {
                missing.push(pipeline);
            }
        }
        let subject = Subject::of(gpu.facts());
        let mut memory = dir.map(|dir| Remembered::read(dir));
        let known = memory.as_ref().map(|memory| memory.passed(&subject)).unwrap_or_default();
        proved.extend(known.iter().cloned());
        missing.retain(|pipeline| !proved.contains(&pipeline.id));
        if missing.is_empty() {
            return Ok(());
        }
        let started = std::time::Instant::now();
        let probes = probes(gpu, &missing);
        let planned = started.elapsed();
        let fault = probes.iter().find_map(|probe| failed(gpu, probe));
        log::info!(
            "self-check of {} pipelines by {} cases: {:.0} ms, of which choosing them {:.0} ms",
            missing.len(),
            probes.len(),
            started.elapsed().as_secs_f64() * 1e3,
            planned.as_secs_f64() * 1e3
        );
        if fault.is_some() {
            // What ends a case from outside says nothing of what is computed.
            gpu.stands("the self-check")?;
        }
        let unasked = missing.iter().filter(|pipeline| !probes.iter().any(|probe| pipeline.is_of(probe)));
        let unasked: Vec<&str> = unasked.map(|pipeline| pipeline.id.as_str()).collect();
        if !unasked.is_empty() {
            log::warn!("no case asks for {}", unasked.join(", "));
        }
        let ids = missing.iter().map(|pipeline| pipeline.id.clone());
        if let Some(memory) = &mut memory {
            memory.write(&subject, ids.clone(), fault.as_deref());
        }
        match fault {
            None => {
                proved.extend(ids);
                Ok(())
            }
            Some(what) => {
                let facts = gpu.facts();
                Err(Error::SelfCheck { adapter: facts.name.clone(), driver: facts.driver.clone(), what })
            }
        }
    }
}

/// In words what is wrong, if anything is.
fn failed(gpu: &Gpu, probe: &Probe) -> Option<String> {
    let outcome = run_case(gpu, &probe.case, probe.stored, probe.form, SEED);
    (!outcome.passed()).then(|| {
        let (kernel, form, storage) = (outcome.kernel, outcome.form, outcome.storage.name());
        let fault = outcome.fault.map(|fault| format!("{fault}; ")).unwrap_or_default();
        format!(
            "kernel {kernel}, form {form}, {storage}, case \"{}\": {fault}error / bound {:.3e} at {}",
            outcome.case, outcome.ratio, outcome.place
        )
    })
}
