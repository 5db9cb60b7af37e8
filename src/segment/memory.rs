//! How much device memory a model takes, known before any of it is taken.

use crate::Error;
use crate::gpu::{AdapterFacts, Arena};
use crate::model::Model;
use crate::plan::{PlanError, Schedule, Storage, Tensor};
use std::fmt;

/// Bytes on the device, by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub storage: Storage,
    pub weights: u64,
    /// Buffers that all plans share, largest first.
    pub arena: Vec<u64>,
    /// Keys and values of one support.
    pub bank_per_support: u64,
    pub shots: u64,
    /// Inputs and outputs of the plans.
    pub outside: u64,
    /// Name, dispatches, dispatches dropped, bytes of working memory, and work of each plan.
    pub plans: Vec<(String, usize, usize, u64, u64)>,
}

impl MemoryPlan {
    /// `plans`: encoder, support, query, decoder. `bank`: the support plan's outputs.
    pub(crate) fn new(
        model: &Model,
        plans: &[(&str, &Schedule)],
        storage: Storage,
        bank: &[Tensor],
        shots: usize,
    ) -> MemoryPlan {
        let bytes =
            |tensors: &[Tensor], s: &Schedule| tensors.iter().map(|t| t.bytes(s.recording.storage)).sum::<u64>();
        let ends: u64 = plans.iter().map(|(_, s)| bytes(&s.recording.inputs, s) + bytes(&s.recording.outputs, s)).sum();
        let bank_per_support = plans.get(1).map_or(0, |(_, s)| bytes(bank, s));
        let row = |(name, s): &(&str, &Schedule)| {
            (name.to_string(), s.dispatches().len(), s.pruned, s.arena_bytes(), s.flops())
        };
        MemoryPlan {
            storage,
            weights: model.constants.bytes(storage),
            arena: Arena::sizes(plans.iter().map(|p| p.1)),
            bank_per_support,
            shots: shots as u64,
            // The query plan's inputs are the bank, counted by itself.
            outside: ends - shots as u64 * bank_per_support,
            plans: plans.iter().map(row).collect(),
        }
    }

    /// Everything at once.
    pub fn peak(&self) -> u64 {
        self.weights + self.arena.iter().sum::<u64>() + self.bank_per_support * self.shots + self.outside
    }

    /// Refuses what cannot fit, with the numbers.
    pub(crate) fn check(&self, facts: &AdapterFacts) -> Result<(), Error> {
        match facts.memory_bytes {
            Some(memory) if self.peak() > memory => Err(PlanError(format!(
                "the model needs {} stored as {}, {} has {}. Try a smaller --size or --precision f16\n  {self}",
                mib(self.peak()),
                self.storage.name(),
                facts.name,
                mib(memory)
            ))
            .into()),
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
        for (name, dispatches, pruned, arena, flops) in &self.plans {
            let work = *flops as f64 / 1e9;
            writeln!(
                f,
                "  {name:<15} {dispatches:>5} dispatches ({pruned} dropped), {} at work, {work:.1} GFLOP",
                mib(*arena)
            )?;
        }
        Ok(())
    }
}
