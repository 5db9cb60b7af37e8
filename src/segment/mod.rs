//! From pictures to a map: the four passes of a model, their memory, and the order in which they run.

mod bank;
mod memory;
mod options;
mod pass;
mod planned;
mod record;
mod run;

pub use bank::SupportBank;
pub use memory::{MemoryPlan, PassPlan};
pub use options::{Options, Precision, Progress, Stage};
pub use pass::{Edit, Pass};
pub use planned::Planned;
pub use run::{Segmentation, Segmenter};
