//! Recording the four passes, and the storage of their values.

use super::pass::{DecoderEnds, Edit, EncoderEnds, Ends, Pass, QueryEnds, Recorded, Refined, SupportEnds};
use super::pieces::{Pieces, Split};
use crate::Error;
use crate::gpu::Arena;
use crate::kernels::attention::KeyValue;
use crate::kernels::{convert, guided_filter};
use crate::model::Model;
use crate::plan::{Channels, Element, Forms, Limits, Policy, Recorder, Schedule, Tensor, TensorId};
use crate::settings::GuidedFilter;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// All passes of a model.
pub(super) struct Passes {
    pub encoder: Recorded<EncoderEnds<Tensor>>,
    pub support: Recorded<SupportEnds<Tensor>>,
    pub query: Recorded<QueryEnds<Tensor>>,
    pub decoder: Recorded<DecoderEnds<Tensor>>,
}

impl Passes {
    /// The forms in use of kernels with several, such as `conv2d=tiled-64`.
    pub fn forms(&self) -> BTreeSet<String> {
        self.schedules().into_iter().flat_map(Schedule::forms).collect()
    }

    /// The constants that the passes read, each once.
    pub fn constants(&self) -> BTreeMap<TensorId, Tensor> {
        self.schedules().into_iter().flat_map(Schedule::constants).collect()
    }

    /// Places all passes in the same memory: first the largest, then the others in its slots.
    fn settle(&mut self) {
        let Passes { encoder, support, query, decoder } = self;
        let mut all = [&mut encoder.schedule, &mut support.schedule, &mut query.schedule, &mut decoder.schedule];
        all.sort_by_key(|schedule| Reverse(schedule.arena_bytes()));
        for i in 1..all.len() {
            let slots = Arena::sizes(all[..i].iter().map(|schedule| &**schedule));
            all[i].settle(&slots);
        }
    }

    pub fn schedules(&self) -> [&Schedule; 4] {
        [&self.encoder.schedule, &self.support.schedule, &self.query.schedule, &self.decoder.schedule]
    }
}

/// Settings of a recording.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub model: &'a Model,
    pub size: u32,
    /// Storage of the weights and of the decoder's values.
    pub storage: Policy,
    /// The choice of forms.
    pub forms: &'a Forms,
    /// The device's limits when the model was planned. Later observations could choose other forms, whose weights are not uploaded.
    pub limits: &'a Limits,
}

impl Recipe<'_> {
    fn recorder(&self, pass: Pass) -> Recorder {
        let storage = match pass {
            Pass::Decoder => self.storage,
            // The decoder needs the most working memory; rounding before it affects the map most.
            Pass::Encoder | Pass::Support | Pass::Query => Policy { values: Element::F32, ..self.storage },
        };
        Recorder::new(storage, self.forms.clone(), self.limits.clone())
    }

    fn latent(&self, r: &mut Recorder, name: &str, element: Element) -> Tensor {
        let side = self.model.config().latent_size(self.size as usize) as u32;
        r.input_of(name, side, side, Channels::one(self.model.config().vae.latent_channels as u32), element)
    }

    /// Records the four passes for a bank of `shots` supports.
    ///
    /// # Errors
    /// A tensor or a bank beyond the adapter's limits.
    pub fn passes(&self, shots: usize, filter: Option<GuidedFilter>, edit: Edit) -> Result<Passes, Error> {
        let (encoder, support) = (self.encoder(edit)?, self.support(edit)?);
        let query = self.query(&support.ends.bank, shots, edit)?;
        let mut passes = Passes { encoder, support, query, decoder: self.decoder(filter, edit)? };
        passes.settle();
        Ok(passes)
    }

    fn encoder(&self, edit: Edit) -> Result<Recorded<EncoderEnds<Tensor>>, Error> {
        let mut r = self.recorder(Pass::Encoder);
        let image = r.input("image", self.size, self.size, Channels::one(3));
        let latent = self.model.encoder.forward(&mut r, &image);
        r.output(&latent);
        finish(r, EncoderEnds { image, latent }, edit)
    }

    fn support(&self, edit: Edit) -> Result<Recorded<SupportEnds<Tensor>>, Error> {
        let mut r = self.recorder(Pass::Support);
        let values = r.storage.values;
        let [image, mask] = ["support image", "support mask"].map(|name| self.latent(&mut r, name, values));
        let layers = self.model.unet.support(&mut r, &image, &mask);
        let bank: Vec<Tensor> = layers.iter().flat_map(|kv| [kv.k.clone(), kv.v.clone()]).collect();
        // They are copied to the bank as soon as they are computed.
        bank.iter().for_each(|tensor| r.hand_on(tensor));
        finish(r, SupportEnds { image, mask, bank }, edit)
    }

    /// Records the query pass over `shots` banks like `bank`. Its working memory depends on their number only if their keys
    /// are read in parts.
    pub fn query(&self, bank: &[Tensor], shots: usize, edit: Edit) -> Result<Recorded<QueryEnds<Tensor>>, Error> {
        let split = Split::new(bank, shots, self.limits.max_buffer)?;
        let mut r = self.recorder(Pass::Query);
        let values = r.storage.values;
        let latent = self.latent(&mut r, "query", values);
        let mut pieces = |t: &Tensor| {
            let name = format!("bank {}", t.name);
            let mut piece = |shots| r.input(&name, shots as u32 * t.height, t.width, t.channels.clone());
            Pieces { all: split.pieces().map(&mut piece).collect(), split }
        };
        let bank: Vec<Pieces<Tensor>> = bank.iter().map(&mut pieces).collect();
        let both = |(k, v): (&Tensor, &Tensor)| KeyValue { k: k.clone(), v: v.clone() };
        let layer = |kv: &[Pieces<Tensor>]| kv[0].all.iter().zip(&kv[1].all).map(both).collect();
        let layers: Vec<Vec<KeyValue>> = bank.chunks_exact(2).map(layer).collect();
        let predicted = self.model.unet.query(&mut r, &latent, &layers);
        r.output(&predicted);
        finish(r, QueryEnds { latent, bank, predicted }, edit)
    }

    fn decoder(&self, filter: Option<GuidedFilter>, edit: Edit) -> Result<Recorded<DecoderEnds<Tensor>>, Error> {
        let mut r = self.recorder(Pass::Decoder);
        let latent = self.latent(&mut r, "latent", Element::F32);
        let stored = convert::record(&mut r, &latent);
        let drawn = self.model.decoder.forward(&mut r, &stored);
        let ends = match filter {
            None => DecoderEnds { latent, map: drawn.clone(), refined: None },
            Some(filter) => {
                let guide = r.input_of("guide", self.size, self.size, Channels::one(3), Element::F32);
                let map = guided_filter::record(&mut r, &drawn, &guide, filter);
                r.output(&map);
                DecoderEnds { latent, map, refined: Some(Refined { guide, drawn: drawn.clone() }) }
            }
        };
        r.output(&drawn);
        finish(r, ends, edit)
    }
}

fn finish<E: Ends>(r: Recorder, ends: E, edit: Edit) -> Result<Recorded<E>, Error> {
    let mut recording = r.finish()?;
    edit(E::PASS, &mut recording);
    Ok(Recorded { schedule: Schedule::new(recording), ends })
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::environment;
    use crate::gpu::Gpu;
    use crate::weights::ModelFiles;
    use crate::{Precision, Segmenter};

    /// In shared memory, with tensors large enough to reuse each other's slots, and again with all marked values kept.
    #[test]
    fn no_value_is_overwritten_before_it_is_read() {
        let mut gpu = Gpu::new(&environment::choice(None, None).unwrap()).expect("an adapter is present");
        gpu.forms = gpu.forms.forcing_one_of("conv2d", &["winograd-tiled-64", "tiled-64"]);
        for (precision, size, marked) in
            [(Precision::F32, 160, false), (Precision::F32, 1024, false), (Precision::F16, 1024, true)]
        {
            let model = Model::load(ModelFiles::embedded().expect("weights")).expect("a model");
            let builder = Segmenter::builder().model(model).gpu(gpu.clone()).precision(precision).size(size).shots(2);
            let planned = builder.plan_with(&mut |_, recording| {
                if marked {
                    recording.outputs.extend(recording.marks.values().cloned());
                }
            });
            let passes = planned.expect("it is planned").draft.passes;
            let copied = passes.encoder.schedule.dispatches().iter().any(|d| d.kernel.name == convert::KERNEL.name);
            assert_eq!(copied, size == 1024, "what is added to wide layers is copied aside");
            for (pass, schedule) in ["encoder", "support", "query", "decoder"].iter().zip(passes.schedules()) {
                schedule.prove().unwrap_or_else(|told| panic!("{pass}, {precision:?}, {size}: {told}"));
            }
        }
    }
}
