//! The plan of a model's device memory, made before any is allocated.

use super::Pass;
use super::planned::Fit;
use super::record::Passes;
use crate::Error;
use crate::gpu::Arena;
use crate::plan::{Less, Phase, PlanError, Policy, Residency, Schedule, Tensor};
use crate::tune::Tally;
use std::collections::BTreeSet;
use std::fmt;

/// Bytes on the device, by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub storage: Policy,
    /// All weights.
    pub weights: u64,
    /// How weights take turns, if not all fit at once.
    pub in_turn: Option<InTurn>,
    /// Smallest total with weights that take turns.
    pub least: u64,
    /// Buffers of working memory that all plans share.
    pub arena: Vec<u64>,
    /// Keys and values of one support.
    pub bank_per_support: u64,
    pub shots: u64,
    /// Inputs and outputs of the plans.
    pub outside: u64,
    /// The forms in use of kernels with several, such as `conv2d=tiled-64`.
    pub forms: BTreeSet<String>,
    /// How many problems have a measured form, if forms are chosen by measurement.
    pub tuned: Option<Tally>,
    /// In the order of [`Pass`].
    pub passes: [PassPlan; 4],
}

/// Weights that are uploaded for a part of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InTurn {
    /// Bytes of weights that stay.
    pub stay: u64,
    /// Bytes of the window for the others.
    pub window: u64,
    /// Bytes uploaded for a query.
    pub per_query: u64,
    /// Number of parts of each pass, in the order of [`Pass`].
    pub parts: [usize; 4],
}

/// The cost of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassPlan {
    pub pass: Pass,
    pub dispatches: usize,
    /// Recorded dispatches that were dropped because nothing reads their results.
    pub dropped: usize,
    /// Working memory in bytes.
    pub arena: u64,
    /// Bytes that its dispatches read and write, each binding counted once.
    pub traffic: u64,
    /// Count of multiplications and additions.
    pub flops: u64,
    /// Operations on padding of kernels' blocks.
    pub padding: u64,
    /// Operations of the published network that faster algorithms save.
    pub saved: u64,
    /// Operations of dropped dispatches, as published.
    pub dropped_flops: u64,
}

impl MemoryPlan {
    pub(super) fn new(passes: &Passes, storage: Policy, shots: usize) -> MemoryPlan {
        let schedules = [
            (Pass::Encoder, &passes.encoder.schedule),
            (Pass::Support, &passes.support.schedule),
            (Pass::Query, &passes.query.schedule),
            (Pass::Decoder, &passes.decoder.schedule),
        ];
        let bytes = |tensors: &[Tensor]| tensors.iter().map(Tensor::bytes).sum::<u64>();
        let ends = |s: &Schedule| bytes(&s.recording.inputs) + bytes(&s.recording.outputs);
        let bank_per_support = bytes(&passes.support.ends.bank);
        let row = |(pass, s): (Pass, &Schedule)| PassPlan {
            pass,
            dispatches: s.dispatches().len(),
            dropped: s.pruned,
            padding: s.padding(),
            saved: s.saved(),
            dropped_flops: s.pruned_flops,
            arena: s.arena_bytes(),
            traffic: s.traffic(),
            flops: s.flops(),
        };
        let mut plan = MemoryPlan {
            storage,
            weights: passes.constants().values().map(Tensor::bytes).sum(),
            in_turn: None,
            least: 0,
            arena: Arena::sizes(schedules.iter().map(|s| s.1)),
            bank_per_support,
            shots: shots as u64,
            // The query pass's inputs are the bank, which is counted separately.
            outside: schedules.iter().map(|s| ends(s.1)).sum::<u64>() - shots as u64 * bank_per_support,
            forms: passes.forms(),
            tuned: None,
            passes: schedules.map(row),
        };
        plan.least = plan.beside() + Residency::least_bytes(&passes.schedules());
        plan
    }

    pub fn of(&self, pass: Pass) -> PassPlan {
        self.passes[pass as usize]
    }

    /// The peak of all buffers.
    pub fn peak(&self) -> u64 {
        self.weights_at_once() + self.beside()
    }

    /// Weights that stay, plus the window.
    pub fn weights_at_once(&self) -> u64 {
        self.in_turn.map_or(self.weights, |InTurn { stay, window, .. }| stay + window)
    }

    /// Everything except the weights.
    fn beside(&self) -> u64 {
        self.arena.iter().sum::<u64>() + self.bank_per_support * self.shots + self.outside
    }

    /// Chooses the weights that stay, so that all fits into `memory`.
    ///
    /// # Errors
    /// The model cannot fit; the message has the numbers.
    pub(super) fn fit(
        &mut self,
        passes: &Passes,
        fit: Fit,
        adapter: &str,
        memory: Option<u64>,
    ) -> Result<Residency, Error> {
        let Some(memory) = memory.filter(|memory| self.peak() > *memory) else { return Ok(Residency::default()) };
        // Passes that run most often for a query come first.
        let [encoder, support, query, decoder] = passes.schedules();
        let schedules = [encoder, decoder, query, support];
        let room = memory.checked_sub(self.beside()).filter(|_| fit == Fit::InTurn);
        if let Some(residency) = room.and_then(|room| Residency::within(room, &schedules)) {
            let stay = |tensor: &&Tensor| !residency.passing.contains(&tensor.id);
            let parts = passes.schedules().map(|schedule| schedule.parts(&residency));
            let bytes = |parts: &[Phase]| parts.iter().flat_map(|p| &p.weights).map(|(t, _)| t.bytes()).sum::<u64>();
            self.in_turn = Some(InTurn {
                stay: passes.constants().values().filter(stay).map(Tensor::bytes).sum(),
                window: residency.window,
                per_query: [Pass::Encoder, Pass::Query, Pass::Decoder].map(|p| bytes(&parts[p as usize])).iter().sum(),
                parts: parts.map(|parts| parts.len()),
            });
            return Ok(residency);
        }
        let [needs, least] = [self.peak(), self.least].map(mib);
        let (stored, has) = (self.storage.name(), mib(memory));
        let told = format!(
            "the model needs {needs} stored as {stored}, or at least {least} if weights take turns; {adapter} has {has} for \
            it\n  {self}"
        );
        Err(PlanError::new(told, Less::SizeOrPrecision).into())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1048576.0)
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "device memory, weights and decoder stored as {}:", self.storage.name())?;
        write!(f, "  weights           {:>12}", mib(self.weights_at_once()))?;
        match self.in_turn {
            None => writeln!(f)?,
            Some(InTurn { stay, window, per_query, parts: [encoder, support, query, decoder] }) => writeln!(
                f,
                "  of {}: {} stay, the others take turns in {}, {} of them for a query; parts of the passes below: {encoder}, \
                 {support}, {query}, {decoder}",
                mib(self.weights),
                mib(stay),
                mib(window),
                mib(per_query)
            )?,
        }
        let arena: u64 = self.arena.iter().sum();
        writeln!(f, "  working memory    {:>12}  in {} shared buffers", mib(arena), self.arena.len())?;
        let bank = self.bank_per_support * self.shots;
        writeln!(f, "  support bank      {:>12}  {} x {}", mib(bank), self.shots, mib(self.bank_per_support))?;
        writeln!(f, "  inputs, outputs   {:>12}", mib(self.outside))?;
        writeln!(f, "  peak              {:>12}", mib(self.peak()))?;
        for PassPlan { pass, dispatches, dropped, arena, flops, .. } in &self.passes {
            let (arena, work) = (mib(*arena), *flops as f64 / 1e9);
            writeln!(
                f,
                "  {pass:<15} {dispatches:>5} dispatches ({dropped} dropped), {arena} at work, {work:.1} GFLOP"
            )?;
        }
        writeln!(f, "  forms of kernels: {}", Vec::from_iter(self.forms.iter().map(String::as_str)).join(", "))?;
        let Some(Tally { measured, by_rule }) = self.tuned else { return Ok(()) };
        writeln!(f, "  chosen by measurement for {measured} problems, by the rule for {by_rule}")
    }
}
