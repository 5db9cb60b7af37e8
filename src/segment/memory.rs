//! How much device memory a model takes, known before any of it is taken.

use super::Pass;
use super::record::Passes;
use crate::Error;
use crate::gpu::Arena;
use crate::plan::{Less, PlanError, Policy, Schedule, Tensor};
use crate::tune::Tally;
use std::collections::BTreeSet;
use std::fmt;

/// Bytes on the device, by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub storage: Policy,
    pub weights: u64,
    /// Buffers that all plans share.
    pub arena: Vec<u64>,
    /// Keys and values of one support.
    pub bank_per_support: u64,
    pub shots: u64,
    /// Inputs and outputs of the plans.
    pub outside: u64,
    /// The forms that run of kernels that have several, as they can be asked for: `conv2d=tiled-64`.
    pub forms: BTreeSet<String>,
    /// How many problems have a form that was measured, where forms are chosen by that.
    pub tuned: Option<Tally>,
    /// In the order of [`Pass`].
    pub passes: [PassPlan; 4],
}

/// What one pass takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassPlan {
    pub pass: Pass,
    pub dispatches: usize,
    /// Recorded, and left out because nothing reads what they compute.
    pub dropped: usize,
    /// Working memory in bytes.
    pub arena: u64,
    /// Bytes that its dispatches read and write, each binding once.
    pub traffic: u64,
    /// Multiplications and additions, each counted.
    pub flops: u64,
    /// Those that only fill up blocks of kernels, too.
    pub padding: u64,
    /// Those that the published network has beside them, which faster algorithms do without.
    pub saved: u64,
    /// Those of what is left out, as published.
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
        MemoryPlan {
            storage,
            weights: passes.constants().values().map(Tensor::bytes).sum(),
            arena: Arena::sizes(schedules.iter().map(|s| s.1)),
            bank_per_support,
            shots: shots as u64,
            // The query pass's inputs are the bank, counted by itself.
            outside: schedules.iter().map(|s| ends(s.1)).sum::<u64>() - shots as u64 * bank_per_support,
            forms: passes.forms(),
            tuned: None,
            passes: schedules.map(row),
        }
    }

    pub fn of(&self, pass: Pass) -> PassPlan {
        self.passes[pass as usize]
    }

    /// Everything at once.
    pub fn peak(&self) -> u64 {
        self.weights + self.arena.iter().sum::<u64>() + self.bank_per_support * self.shots + self.outside
    }

    /// Refuses what cannot fit, with the numbers.
    pub(super) fn check(&self, adapter: &str, memory: Option<u64>) -> Result<(), Error> {
        match memory {
            Some(memory) if self.peak() > memory => {
                let (needs, stored) = (mib(self.peak()), self.storage.name());
                let told =
                    format!("the model needs {needs} stored as {stored}, {adapter} has {}\n  {self}", mib(memory));
                Err(PlanError::new(told, Less::SizeOrPrecision).into())
            }
            _ => Ok(()),
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1048576.0)
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "device memory, weights and decoder stored as {}:", self.storage.name())?;
        writeln!(f, "  weights           {:>12}", mib(self.weights))?;
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
