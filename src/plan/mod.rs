//! From a recorded forward pass to a replayable plan: recording, pruning, liveness, buffers. No wgpu here.

mod recorder;
mod schedule;
mod tensor;

pub use recorder::{Dispatch, Limits, MAX_TURNS, PlanError, Recorder, Recording, Tuning, Window, turns};
pub use schedule::Schedule;
pub use tensor::{Channels, Element, Storage, Tensor, TensorId};
