//! Does this adapter and driver compute right? The cases of the kernels, run against their f64 twins; the
//! language features that they rely on; blocks and the whole embedded model against PyTorch's recorded numbers.

pub mod compile;
mod dump;
mod html;
mod journal;
mod junit;
mod known;
mod language;
mod model;
mod on;
mod outlines;
mod read;
mod report;
mod statistics;
mod suite;

pub use dump::hlsl;
pub use html::html;
pub use journal::{Journal, Seen};
pub use junit::junit;
pub use known::{KNOWN, Known};
pub use language::LANGUAGE;
pub use on::On;
pub use outlines::{OUTLINES, Outline};
pub use read::{ReportError, read_report};
pub use report::{Adapter, Made, Report, Row, Status, Summary, compare};
pub use statistics::Figures;
pub use suite::{Entry, Fraction, Options, Suite, entries, run, told_apart};
