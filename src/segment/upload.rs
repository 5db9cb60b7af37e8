//! Uploading weights: several threads read, pack and upload them.

use super::planned::Setup;
use super::{Progress, Stage};
use crate::Error;
use crate::gpu::{Placed, Uploads};
use crate::plan::{Tensor, TensorId};
use crate::threads::{cores, run_with_others};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Placement of weights.
type Constants = HashMap<TensorId, Placed>;

/// Most threads. Each holds a part of a tensor in memory, or the whole tensor if a form packs it by rows.
const MOST_THREADS: usize = 4;

/// Constants to upload, in order.
struct Work<'a> {
    setup: &'a Setup,
    threads: usize,
    bytes: u64,
    all: Vec<(TensorId, Tensor)>,
    next: AtomicUsize,
    done: AtomicU64,
    stop: AtomicBool,
    /// The result of each constant that was begun.
    ended: Vec<OnceLock<Result<Placed, Error>>>,
}

impl Setup {
    /// Uploads `constants`. If several fail, returns the error of the first.
    pub(super) fn upload(
        &self,
        constants: impl IntoIterator<Item = (TensorId, Tensor)>,
        threads: Option<usize>,
        progress: Progress,
    ) -> Result<Constants, Error> {
        let all: Vec<_> = constants.into_iter().collect();
        let work = Work {
            setup: self,
            threads: threads.unwrap_or(cores().min(MOST_THREADS)),
            bytes: all.iter().map(|(_, tensor)| tensor.bytes()).sum(),
            ended: all.iter().map(|_| OnceLock::new()).collect(),
            all,
            next: Default::default(),
            done: Default::default(),
            stop: Default::default(),
        };
        let other = || work.run(&mut |_| true);
        let own = || work.run(&mut |share| progress(Stage::Load, share).is_continue());
        let (own, others) = run_with_others(work.threads - 1, other, own);
        let Work { all, ended, .. } = work;
        let mut placed = Constants::new();
        for ((id, _), ended) in all.into_iter().zip(ended) {
            // None was begun after a failure or an early end.
            let Some(ended) = ended.into_inner() else { break };
            placed.insert(id, ended?);
        }
        others.into_iter().fold(own, Result::and)?;
        if progress(Stage::Load, 1.0).is_break() { Err(Error::Interrupted) } else { Ok(placed) }
    }
}

impl Work<'_> {
    /// Uploads constants one by one and reports the progress of all threads to `go_on`.
    fn run(&self, go_on: &mut dyn FnMut(f64) -> bool) -> Result<(), Error> {
        let mut uploads = self.setup.gpu.uploads(self.bytes, self.threads);
        while !self.stop.load(Relaxed) {
            let number = self.next.fetch_add(1, Relaxed);
            let Some((_, tensor)) = self.all.get(number) else { break };
            let ended = self.one(tensor, &mut uploads);
            if ended.is_err() {
                self.stop.store(true, Relaxed);
            }
            let _ = self.ended[number].set(ended);
            let done = self.done.fetch_add(tensor.bytes(), Relaxed) + tensor.bytes();
            if !go_on(done as f64 / self.bytes.max(1) as f64) {
                self.stop.store(true, Relaxed);
                return Err(Error::Interrupted);
            }
        }
        Ok(uploads.finish()?)
    }

    fn one(&self, tensor: &Tensor, uploads: &mut Uploads) -> Result<Placed, Error> {
        let buffer = self.setup.gpu.buffer(&tensor.name, tensor.bytes())?;
        let put = &mut |at: u64, bytes: &[u8]| Ok::<(), Error>(uploads.put(&buffer, at, bytes)?);
        self.setup.model.constants.give(tensor, put)?;
        Ok(Placed { buffer, offset: 0 })
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::super::options::quiet;
    use super::super::{Planned, Precision, Segmenter};
    use super::*;
    use crate::environment;
    use crate::gpu::Gpu;
    use crate::weights::{ModelFiles, Weights, WeightsError};
    use std::ops::ControlFlow;

    fn planned(files: ModelFiles, precision: Precision, forms: &[&str]) -> Planned {
        let mut gpu = Gpu::new(&environment::choice(None, None).unwrap()).expect("an adapter is present");
        gpu.forms = gpu.forms.forcing_one_of("conv2d", forms);
        Segmenter::builder().files(files).gpu(gpu).precision(precision).plan().expect("it is planned")
    }

    fn load(Planned { setup, draft, .. }: &Planned, threads: usize, progress: Progress) -> Result<Constants, Error> {
        setup.upload(draft.passes.constants(), Some(threads), progress)
    }

    /// The device holds the packed bytes, whichever thread uploaded them.
    #[test]
    fn any_number_of_threads_uploads_the_same() {
        for (precision, forms) in
            [(Precision::F32, &["winograd-tiled-64", "tiled-64"]), (Precision::F16, &["tiled-64", "tiled-32"])]
        {
            let planned = planned(ModelFiles::embedded().unwrap(), precision, forms);
            let Planned { setup, draft, .. } = &planned;
            let mut whole = Vec::new();
            for (id, tensor) in draft.passes.constants() {
                let mut bytes = vec![0xee; tensor.bytes() as usize];
                let put = &mut |at: u64, part: &[u8]| {
                    bytes[at as usize..][..part.len()].copy_from_slice(part);
                    Ok::<(), WeightsError>(())
                };
                setup.model.constants.give(&tensor, put).unwrap();
                whole.push((id, tensor, bytes));
            }
            for threads in [1, 2, 5] {
                let mut shares = Vec::new();
                let placed = load(&planned, threads, &mut |stage, share| {
                    shares.push((stage, share));
                    ControlFlow::Continue(())
                });
                let placed = placed.unwrap();
                assert_eq!(placed.len(), whole.len());
                assert_eq!(shares.last(), Some(&(Stage::Load, 1.0)));
                for (id, tensor, bytes) in &whole {
                    let Placed { buffer, offset } = &placed[id];
                    let found = setup.gpu.download(buffer, *offset, tensor.bytes()).unwrap();
                    assert!(found == *bytes, "{}, {precision:?}, {threads} threads", tensor.name);
                }
            }
        }
    }

    /// The embedded model, with infinity in the middle of some tensors.
    fn broken(names: &[&str]) -> ModelFiles {
        let mut bytes = include_bytes!("../../weights/nano/unet/diffusion_pytorch_model.safetensors").to_vec();
        let first = bytes.as_ptr() as usize;
        let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let middle = |name: &&str| {
            let data = parsed.tensor(name).unwrap().data();
            data.as_ptr() as usize - first + data.len() / 4 * 2
        };
        let places: Vec<usize> = names.iter().map(middle).collect();
        places.into_iter().for_each(|at| bytes[at..at + 2].copy_from_slice(&0x7c00u16.to_le_bytes()));
        ModelFiles { unet: Weights::from_bytes("broken", bytes).unwrap(), ..ModelFiles::embedded().unwrap() }
    }

    #[test]
    fn of_several_errors_the_first_is_told() {
        let names = ["conv_in.weight", "mid_block.resnets.0.conv2.weight", "mid_block.resnets.0.norm2.weight"];
        let planned = planned(broken(&names), Precision::F32, &["tiled-64"]);
        let told = |threads| load(&planned, threads, &mut quiet).err().unwrap().to_string();
        let alone = told(1);
        assert!(alone.contains("conv_in.weight") && alone.contains("inf"), "{alone}");
        for _ in 0..5 {
            assert_eq!(told(4), alone);
        }
    }

    #[test]
    fn an_interrupt_ends_all_threads() {
        let planned = planned(ModelFiles::embedded().unwrap(), Precision::F32, &["tiled-64"]);
        let mut told = 0;
        let ended = load(&planned, 3, &mut |_, _| {
            told += 1;
            ControlFlow::Break(())
        });
        assert!(matches!(ended, Err(Error::Interrupted)) && told == 1);
    }
}
