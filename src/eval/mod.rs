//! Evaluation: segmentation scored over episodes, as in the published evaluation.
//!
//! ```text
//! episodes.json --EpisodeFile--> the episodes of this run --loader threads--> S x S pictures (bounded queue)
//!     --evaluate (the GPU's thread): bank, map, mask--> counts --ResultsFile--> a line each --Summary--> mIoU, FB-IoU
//! ```
//!
//! An episode is a class, supports with their masks, and a query with its own. Pixels are counted at S x S: the
//! prediction is [`DecodedMap::mask`](crate::image_io::DecodedMap::mask), the query's mask is resized with nearest.
//! The results depend on the file of episodes and the settings only, not on the order of threads; so
//! runs can be sharded, killed, resumed and merged with the same numbers.

mod banks;
mod csv;
mod episodes;
mod error;
mod load;
mod marked;
mod merge;
mod metrics;
mod published;
mod results;
mod run;
mod sheet;

pub use crate::weights::fingerprint;
pub use csv::to_csv;
pub use episodes::{Benchmark, Control, Episode, EpisodeFile, Example, Shard};
pub use error::EvalError;
pub use marked::Marked;
pub use merge::merge;
pub use metrics::{BACKGROUND, Counts, FOREGROUND, IGNORE, Running, Summary, count};
pub use published::{Published, published};
pub use results::{Header, Record, ResultsFile, SCORING, read_results};
pub use run::{Job, Scored, Work, evaluate};
pub use sheet::{Pictures, contact_sheet};
