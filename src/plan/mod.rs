//! From a recorded forward pass to a replayable plan: recording, pruning, liveness, buffers. No wgpu here.

pub mod layout;
mod recorder;
mod schedule;
mod tensor;

pub use recorder::{Dispatch, Less, Limits, MAX_TURNS, PlanError, Recorder, Recording, Window, turns};
pub use schedule::Schedule;
pub use tensor::{Channels, Element, Storage, Tensor, TensorId};
