//! A model on the device in one precision: its passes with their memory, and how they run.

use super::bank::Source;
use super::pass::{Bound, BoundPart, DecoderEnds, EncoderEnds, Ends, Pass, QueryEnds, Recorded, Refined, SupportEnds};
use super::planned::{Draft, Setup};
use super::record::Passes;
use super::segmentation::Call;
use super::weights::Weights;
use super::{Progress, Stage};
use crate::Error;
use crate::gpu::{Arena, Gpu, Port, Wait};
use crate::image_io::{self, DecodedMap};
use crate::plan::{Forms, Policy, Tensor, TensorId};
use crate::threads::run_with_others;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The query pass, bound to the keys and values of a bank.
pub(super) type Keys = Bound<QueryEnds<Tensor>>;

/// Values that the model's layers mark: path, tensor and values of each.
pub(crate) type Marked = Vec<(String, Tensor, Vec<f32>)>;

pub(super) struct Loaded {
    pub storage: Policy,
    /// Its chosen forms: plans for other numbers of examples read the same weights.
    forms: Forms,
    /// The largest sum of its buffers in bytes, as planned.
    pub bytes: u64,
    passes: Passes,
    encoder: Bound<EncoderEnds<Tensor>>,
    support: Bound<SupportEnds<Tensor>>,
    decoder: Bound<DecoderEnds<Tensor>>,
    arena: Arena,
    weights: Weights,
}

impl Setup {
    /// Uploads the weights and allocates the memory.
    pub(super) async fn load(&self, wait: Wait, draft: Draft, progress: Progress<'_>) -> Result<Loaded, Error> {
        let (Setup { gpu, .. }, Draft { storage, forms, passes, memory, residency, .. }) = (self, draft);
        // Compile pipelines and upload weights in parallel.
        let ended = AtomicBool::new(false);
        let compile = || gpu.prepare(&passes.schedules(), &|| ended.load(Relaxed));
        let upload = || {
            let uploaded = self.weights(passes.constants(), residency, progress);
            ended.store(uploaded.is_err(), Relaxed);
            uploaded
        };
        let (weights, compiled) = run_with_others(1, compile, upload);
        let weights = weights?;
        compiled.into_iter().collect::<Result<(), _>>()?;
        let arena = Arena::new(gpu, &memory.arena)?;
        let encoder = passes.encoder.bind(gpu, &arena, &weights)?;
        let support = passes.support.bind(gpu, &arena, &weights)?;
        let decoder = passes.decoder.bind(gpu, &arena, &weights)?;
        // The pipelines are compiled by now and used later.
        self.known_answers.ask(wait, gpu, passes.schedules()).await?;
        self.pipelines.iter().for_each(|kept| kept.write(gpu));
        Ok(Loaded { storage, forms, bytes: memory.peak(), encoder, support, decoder, passes, arena, weights })
    }
}

impl Loaded {
    /// The bank of `sources`, in order.
    pub async fn bank(
        &self,
        setup: &Setup,
        sources: &[Source],
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<Keys, Error> {
        let shots = sources.iter().map(Source::shots).sum();
        let kept = setup.kept(shots);
        let bank = Filling { keys: self.keys(setup, call.wait, kept).await?, drawn: self.drawn(setup, shots, kept) };
        let mut first = 0;
        for source in sources {
            match source {
                Source::Example { image, mask, .. } => {
                    let pixels = (image_io::to_model_input(image), image_io::mask_to_model_input(mask));
                    let share = |part: f64| (first as f64 + part) / shots as f64;
                    self.example(setup, &pixels, (&bank, first), call, &mut |stage, part| progress(stage, share(part)))
                        .await?;
                }
                Source::File(file) => {
                    call.time(Stage::LoadBank, async || {
                        for example in 0..file.shots() {
                            if progress(Stage::LoadBank, (first + example) as f64 / shots as f64).is_break() {
                                return Err(Error::Interrupted);
                            }
                            for at in 0..bank.keys.ends.bank.len() {
                                let values = file.values(at / 2, at % 2 == 1, example)?;
                                bank.put(&setup.gpu, at, first + example, self.rows(at), &values)?;
                            }
                        }
                        Ok(())
                    })
                    .await?;
                }
            }
            first += source.shots();
        }
        Ok(bank.keys)
    }

    /// Keys of an example in the tensor of this number.
    fn rows(&self, at: usize) -> usize {
        self.passes.support.ends.bank.get(at).map_or(0, |tensor| tensor.positions() as usize)
    }

    /// For each layer, the rows that are kept of a bank of `shots`, if not all are.
    fn drawn(&self, setup: &Setup, shots: usize, kept: usize) -> Option<Vec<Vec<usize>>> {
        let sample = setup.kv_sample.filter(|_| kept < shots)?;
        let draw = |(layer, [rows, _]): (usize, [usize; 2])| sample.draw(layer, shots * rows, kept * rows);
        Some(self.layers().into_iter().enumerate().map(draw).collect())
    }

    /// The query pass for an empty bank of `shots` examples.
    async fn keys(&self, setup: &Setup, wait: Wait, shots: usize) -> Result<Keys, Error> {
        let gpu = &setup.gpu;
        let (one, limits) = (&self.passes.support.ends.bank, &self.passes.query.schedule.recording.limits);
        let recipe = setup.recipe(self.storage, &self.forms, limits);
        if shots == setup.shots {
            return Ok(self.passes.query.bind(gpu, &self.arena, &self.weights)?);
        }
        let mut query = recipe.query(one, shots, &mut |_, _| {})?;
        query.schedule.settle(&self.arena.slots());
        setup.known_answers.ask(wait, gpu, [&query.schedule]).await?;
        // This many keys may be read in parts that need more working memory than planned. The bindings then keep their own arena.
        let sizes = Arena::sizes([&query.schedule]);
        let arena = if self.arena.holds(&sizes) { None } else { Some(Arena::new(gpu, &sizes)?) };
        Ok(query.bind(gpu, arena.as_ref().unwrap_or(&self.arena), &self.weights)?)
    }

    /// Encodes an example to its place in a bank.
    async fn example(
        &self,
        setup: &Setup,
        (picture, mask): &(Vec<f32>, Vec<f32>),
        (bank, place): (&Filling, usize),
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        let (gpu, ends, wait) = (&setup.gpu, &self.support.ends, call.wait);
        for (pixels, latent, first) in [(picture, &ends.image, 0.0), (mask, &ends.mask, 0.5)] {
            call.time(Stage::EncodeSupport, async || {
                let stage = Stage::EncodeSupport;
                let told = &mut |p| progress(stage, first + p / 2.0).is_continue();
                self.encode(setup, wait, pixels, &[latent], told).await?;
                // Check for NaN once here: many queries will read the bank.
                match is_finite(gpu, wait, latent).await? {
                    true => Ok(()),
                    false => Err(Error::NotFinite { stage, storage: self.storage }),
                }
            })
            .await?;
        }
        call.time(Stage::Support, async || {
            self.run(setup, wait, &self.support, &mut |p| progress(Stage::Support, p).is_continue()).await?;
            for (at, (from, to)) in ends.bank.iter().zip(&bank.keys.ends.bank).enumerate() {
                match bank.drawn {
                    None => {
                        let ended = || Error::Usage(format!("the bank ends before example {}", place + 1));
                        let (piece, place) = to.of(place).ok_or_else(ended)?;
                        gpu.hand_over(from, piece, place as u64)?;
                    }
                    Some(_) => {
                        let [values] = gpu.read_by(wait, [from]).await?;
                        bank.put(gpu, at, place, self.rows(at), &values)?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Positions and channels of an example's keys in each layer.
    pub fn layers(&self) -> Vec<[usize; 2]> {
        let of = |k: &Tensor| [k.positions() as usize, k.channels.logical() as usize];
        self.passes.support.ends.bank.iter().step_by(2).map(of).collect()
    }

    /// The maps of a query of `[S, S, 3]` pixels, one for each bank; the query is encoded once. Only the final maps are read back from the
    /// device.
    pub async fn query(
        &self,
        setup: &Setup,
        banks: &[&Keys],
        pixels: &[f32],
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<Vec<DecodedMap>, Error> {
        let (gpu, decoder, wait) = (&setup.gpu, &self.decoder, call.wait);
        call.time(Stage::EncodeQuery, async || {
            let latents: Vec<&Port> = banks.iter().map(|keys| &keys.ends.latent).collect();
            let told = &mut |p| progress(Stage::EncodeQuery, p).is_continue();
            self.encode(setup, wait, pixels, &latents, told).await?;
            match &decoder.ends.refined {
                Some(Refined { guide, .. }) => Ok(gpu.write(guide, pixels)?),
                None => Ok(()),
            }
        })
        .await?;
        let mut maps = Vec::with_capacity(banks.len());
        for keys in banks {
            maps.push(self.map(setup, keys, call, progress).await?);
        }
        Ok(maps)
    }

    /// The map of an encoded query.
    async fn map(
        &self,
        setup: &Setup,
        keys: &Keys,
        call: &mut Call,
        progress: Progress<'_>,
    ) -> Result<DecodedMap, Error> {
        let (gpu, decoder, wait) = (&setup.gpu, &self.decoder, call.wait);
        call.time(Stage::Query, async || {
            self.run(setup, wait, keys, &mut |p| progress(Stage::Query, p).is_continue()).await?;
            Ok(gpu.hand_over(&keys.ends.predicted, &decoder.ends.latent, 0)?)
        })
        .await?;
        // The decoder's output, if it is not the map itself.
        let decode = async || {
            self.run(setup, wait, decoder, &mut |p| progress(Stage::Decode, p).is_continue()).await?;
            Ok(match &decoder.ends.refined {
                Some(Refined { drawn, .. }) => {
                    let [map, drawn] = gpu.read_by(wait, [&decoder.ends.map, drawn]).await?;
                    (map, Some(drawn))
                }
                None => {
                    let [map] = gpu.read_by(wait, [&decoder.ends.map]).await?;
                    (map, None)
                }
            })
        };
        let (map, drawn) = call.time(Stage::Decode, decode).await?;
        // The decoder's norms spread NaN over its whole output; the guided filter may clip it.
        if !finite(&map) || drawn.is_some_and(|drawn| !finite(&drawn)) {
            return Err(Error::NotFinite { stage: guilty(gpu, wait, keys).await?, storage: self.storage });
        }
        Ok(DecodedMap::new(setup.size, map)?)
    }

    /// Encodes `[S, S, 3]` pixels to `latents`, inputs of other passes.
    async fn encode(
        &self,
        setup: &Setup,
        wait: Wait,
        pixels: &[f32],
        latents: &[&Port],
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<(), Error> {
        let (gpu, ends) = (&setup.gpu, &self.encoder.ends);
        gpu.write(&ends.image, pixels)?;
        self.run(setup, wait, &self.encoder, progress).await?;
        latents.iter().try_for_each(|latent| Ok(gpu.hand_over(&ends.latent, latent, 0)?))
    }

    /// Runs a pass, each part once its weights are uploaded.
    async fn run<E: Ends>(
        &self,
        setup: &Setup,
        wait: Wait,
        pass: &Bound<E>,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<(), Error> {
        let mut done = 0.0;
        for BoundPart { weights, plan, share } in &pass.parts {
            self.weights.bring(setup, weights, &mut || progress(done))?;
            setup.gpu.run_by(wait, plan, |p| progress(done + share * p)).await?;
            done += share;
        }
        Ok(())
    }

    /// Values that an edited pass keeps.
    pub async fn marked(&self, gpu: &Gpu, wait: Wait, keys: &Keys) -> Result<Marked, Error> {
        let mut all = Vec::new();
        kept(gpu, wait, &self.passes.encoder, &self.encoder, &mut all).await?;
        kept(gpu, wait, &self.passes.support, &self.support, &mut all).await?;
        kept(gpu, wait, &self.passes.query, keys, &mut all).await?;
        kept(gpu, wait, &self.passes.decoder, &self.decoder, &mut all).await?;
        Ok(all)
    }
}

/// A bank being filled.
struct Filling {
    keys: Keys,
    /// For each layer, the rows that are kept, over all examples in order.
    drawn: Option<Vec<Vec<usize>>>,
}

impl Filling {
    /// Writes the kept ones of an example's `rows` keys or values to the bank.
    fn put(&self, gpu: &Gpu, at: usize, example: usize, rows: usize, values: &[f32]) -> Result<(), Error> {
        let Some(pieces) = self.keys.ends.bank.get(at) else { return Ok(()) };
        let channels = values.len() / rows.max(1);
        let write = |first: usize, values: &[f32]| {
            let cuts = pieces.cut(first, values.len() / channels.max(1), rows);
            cuts.into_iter().try_for_each(|(port, row, of)| {
                gpu.write_rows(port, row, &values[of.start * channels..of.end * channels])
            })
        };
        let all = example * rows..(example + 1) * rows;
        let Some(drawn) = self.drawn.as_ref().and_then(|drawn| drawn.get(at / 2)) else {
            return Ok(write(all.start, values)?);
        };
        let first = drawn.partition_point(|&row| row < all.start);
        let own = &drawn[first..drawn.partition_point(|&row| row < all.end)];
        let kept: Vec<f32> =
            own.iter().flat_map(|&row| &values[(row - all.start) * channels..][..channels]).copied().collect();
        Ok(write(first, &kept)?)
    }
}

/// The first stage whose results hold NaN or infinity.
async fn guilty(gpu: &Gpu, wait: Wait, keys: &Keys) -> Result<Stage, Error> {
    for port in keys.ends.bank.iter().flat_map(|pieces| &pieces.all) {
        if !is_finite(gpu, wait, port).await? {
            return Ok(Stage::Support);
        }
    }
    let latent = is_finite(gpu, wait, &keys.ends.latent).await?;
    Ok(match (latent, is_finite(gpu, wait, &keys.ends.predicted).await?) {
        (false, _) => Stage::EncodeQuery,
        (true, false) => Stage::Query,
        (true, true) => Stage::Decode,
    })
}

async fn is_finite(gpu: &Gpu, wait: Wait, port: &Port) -> Result<bool, Error> {
    let [values] = gpu.read_by(wait, [port]).await?;
    Ok(finite(&values))
}

fn finite(values: &[f32]) -> bool {
    // Counting all is faster than stopping early, because it vectorizes.
    values.iter().filter(|v| !v.is_finite()).count() == 0
}

async fn kept<E: Ends>(
    gpu: &Gpu,
    wait: Wait,
    planned: &Recorded<E>,
    bound: &Bound<E>,
    all: &mut Marked,
) -> Result<(), Error> {
    let recording = &planned.schedule.recording;
    let Some(BoundPart { plan, .. }) = bound.parts.first() else { return Ok(()) };
    let kept: Vec<TensorId> = recording.outputs.iter().map(|t| t.id).collect();
    for (path, tensor) in recording.marks.iter().filter(|(_, tensor)| kept.contains(&tensor.id)) {
        let [values] = gpu.read_by(wait, [&gpu.port(plan, tensor)?]).await?;
        all.push((format!("{}{path}", Pass::prefix(E::PASS)), tensor.clone(), values));
    }
    Ok(())
}
