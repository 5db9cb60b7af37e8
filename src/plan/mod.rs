//! From a recorded forward pass to a replayable plan: recording, pruning, liveness, buffers. No wgpu here.

mod recorder;
mod schedule;
mod tensor;

pub use recorder::{Dispatch, Limits, PlanError, Recorder, Recording, Tuning, Window};
pub use schedule::Schedule;
pub use tensor::{Channels, Element, Storage, Tensor, TensorId};
