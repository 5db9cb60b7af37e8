//! From pictures to a map: the four passes of a model, their memory and their order.

mod bank;
mod bank_file;
mod builder;
mod calls;
mod kept_pipelines;
mod known_answers;
mod loaded;
mod memory;
mod options;
mod pass;
mod pieces;
mod planned;
mod record;
mod remembered;
mod sampling;
mod segmentation;
mod segmenter;
mod strips;
mod tiled;
mod tuning;
mod upload;
mod weights;

pub use bank::{Example, SupportBank};
pub use bank_file::{BankError, BankFile, BankOptions, BankStorage};
pub use builder::SegmenterBuilder;
pub use known_answers::SelfCheck;
pub use memory::{InTurn, MemoryPlan, PassPlan};
pub use options::{Precision, Progress, Stage};
pub use pass::{Edit, Pass};
pub use planned::Planned;
pub use remembered::Standing;
pub use sampling::KvSample;
pub use segmentation::{Segmentation, Span};
pub use segmenter::Segmenter;
pub use strips::{StripMap, StripsFound};
pub use tuning::measured_on;
