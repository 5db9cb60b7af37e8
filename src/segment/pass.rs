//! The four passes of a model, each a schedule with typed inputs and outputs: tensors when recorded, [`Port`]s when bound.

use super::pieces::Pieces;
use super::weights::Weights;
use crate::gpu::{Arena, BoundPlan, Gpu, GpuError, Port};
use crate::plan::{Recording, Schedule, Tensor};
use std::collections::HashMap;
use std::fmt;

/// A pass through a part of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The VAE's encoder: a picture to its latent.
    Encoder,
    /// The UNet on a support and its mask: keys and values of the bank.
    Support,
    /// The UNet on a query, which reads the bank.
    Query,
    /// The VAE's decoder: the UNet's prediction to the map.
    Decoder,
}

impl Pass {
    /// Prefix of the paths of marked values.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Pass::Encoder | Pass::Decoder => "vae.",
            Pass::Support => "support.",
            Pass::Query => "query.",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pass::Encoder => "VAE encoder",
            Pass::Support => "UNet, support",
            Pass::Query => "UNet, query",
            Pass::Decoder => "VAE decoder",
        })
    }
}

/// A hook for tests that inspect or break a pass, called with its recording.
pub type Edit<'a> = &'a mut dyn FnMut(Pass, &mut Recording);

/// The tensors or ports that connect a pass to the others: inputs and outputs of its recording.
pub(super) trait Ends {
    const PASS: Pass;
    type Bound;
    fn bind(&self, port: &dyn Fn(&Tensor) -> Result<Port, GpuError>) -> Result<Self::Bound, GpuError>;
}

/// `[S, S, 3]` in -1 to 1 to `[S / 8, S / 8, L]`.
#[derive(Clone)]
pub(super) struct EncoderEnds<T> {
    pub image: T,
    pub latent: T,
}

#[derive(Clone)]
pub(super) struct SupportEnds<T> {
    /// Latents of the support and of its mask.
    pub image: T,
    pub mask: T,
    /// K and V of each layer, alternating.
    pub bank: Vec<T>,
}

#[derive(Clone)]
pub(super) struct QueryEnds<T> {
    pub latent: T,
    /// As [`SupportEnds::bank`], for all supports in order.
    pub bank: Vec<Pieces<T>>,
    pub predicted: T,
}

#[derive(Clone)]
pub(super) struct DecoderEnds<T> {
    /// Always f32.
    pub latent: T,
    /// `[S, S, 3]`: the decoder's output, with refined outlines if the filter is on.
    pub map: T,
    pub refined: Option<Refined<T>>,
}

/// Inputs of the guided filter.
#[derive(Clone)]
pub(super) struct Refined<T> {
    /// The query's picture, `[S, S, 3]` in f32.
    pub guide: T,
    /// The decoder's output.
    pub drawn: T,
}

impl Ends for EncoderEnds<Tensor> {
    const PASS: Pass = Pass::Encoder;
    type Bound = EncoderEnds<Port>;

    fn bind(&self, port: &dyn Fn(&Tensor) -> Result<Port, GpuError>) -> Result<Self::Bound, GpuError> {
        Ok(EncoderEnds { image: port(&self.image)?, latent: port(&self.latent)? })
    }
}

impl Ends for SupportEnds<Tensor> {
    const PASS: Pass = Pass::Support;
    type Bound = SupportEnds<Port>;

    fn bind(&self, port: &dyn Fn(&Tensor) -> Result<Port, GpuError>) -> Result<Self::Bound, GpuError> {
        let bank = self.bank.iter().map(port).collect::<Result<_, _>>()?;
        Ok(SupportEnds { image: port(&self.image)?, mask: port(&self.mask)?, bank })
    }
}

impl Ends for QueryEnds<Tensor> {
    const PASS: Pass = Pass::Query;
    type Bound = QueryEnds<Port>;

    fn bind(&self, port: &dyn Fn(&Tensor) -> Result<Port, GpuError>) -> Result<Self::Bound, GpuError> {
        let bank = self.bank.iter().map(|pieces| pieces.bind(port)).collect::<Result<_, _>>()?;
        Ok(QueryEnds { latent: port(&self.latent)?, bank, predicted: port(&self.predicted)? })
    }
}

impl Ends for DecoderEnds<Tensor> {
    const PASS: Pass = Pass::Decoder;
    type Bound = DecoderEnds<Port>;

    fn bind(&self, port: &dyn Fn(&Tensor) -> Result<Port, GpuError>) -> Result<Self::Bound, GpuError> {
        let refined = |r: &Refined<Tensor>| Ok(Refined { guide: port(&r.guide)?, drawn: port(&r.drawn)? });
        let refined = self.refined.as_ref().map(refined).transpose()?;
        Ok(DecoderEnds { latent: port(&self.latent)?, map: port(&self.map)?, refined })
    }
}

/// A recorded pass, ready to be bound.
#[derive(Clone)]
pub(super) struct Recorded<E> {
    pub schedule: Schedule,
    pub ends: E,
}

/// A pass with its memory: run for each picture.
pub(super) struct Bound<E: Ends> {
    /// In order; the first part has all ports.
    pub parts: Vec<BoundPart>,
    pub ends: E::Bound,
}

/// A range of a pass's dispatches, and the weights that the window must hold for them.
pub(super) struct BoundPart {
    pub weights: Vec<(Tensor, u64)>,
    pub plan: BoundPlan,
    /// Its part of the pass's work.
    pub share: f64,
}

impl<E: Ends> Recorded<E> {
    pub fn bind(&self, gpu: &Gpu, arena: &Arena, weights: &Weights) -> Result<Bound<E>, GpuError> {
        let (name, all) = (E::PASS.to_string(), work(&self.schedule).max(1));
        let mut parts: Vec<BoundPart> = Vec::new();
        for part in self.schedule.parts(weights.residency()) {
            let schedule = self.schedule.part(part.dispatches);
            let ends = parts.first().map_or_else(HashMap::new, |first| first.plan.ends());
            let plan = gpu.bind(&name, &schedule, arena, &weights.places(&part.weights), ends)?;
            let share = work(&schedule) as f64 / all as f64;
            parts.push(BoundPart { weights: part.weights, plan, share });
        }
        let port = |tensor: &Tensor| match parts.first() {
            Some(first) => gpu.port(&first.plan, tensor),
            None => Err(GpuError::Failed {
                adapter: gpu.facts().name.clone(),
                what: name.clone(),
                reason: "there is nothing to run".into(),
            }),
        };
        let ends = self.ends.bind(&port)?;
        Ok(Bound { parts, ends })
    }
}

/// Count of multiplications and additions, including padding.
fn work(schedule: &Schedule) -> u64 {
    schedule.flops() + schedule.padding()
}
