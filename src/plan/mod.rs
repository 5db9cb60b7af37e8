//! Turns a recorded forward pass into a replayable plan: recording, pruning, lifetimes, buffers. Does not use wgpu.

mod choose;
pub mod layout;
mod packing;
mod pieces;
mod place;
mod recorder;
mod residency;
mod schedule;
mod tensor;
pub mod winograd;

pub use choose::{ByPace, ByRule, Choose, First, Forced, Forms, Key, Offer};
pub use packing::{Packing, Panels, Param, Read};
pub(crate) use pieces::{Pieces, Put};
pub use place::Place;
pub use recorder::{
    DISPATCH_SECONDS, Dispatch, Less, Limits, MAX_TURNS, PlanError, Recorder, Recording, Window, turns,
};
pub use residency::{Phase, Residency};
pub use schedule::Schedule;
pub use tensor::{Channels, Element, Policy, Tensor, TensorId};
