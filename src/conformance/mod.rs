//! Tests whether an adapter and its driver compute correctly. Runs the kernels' cases against their f64 twins, tests the language features
//! that they rely on, and compares blocks and the whole embedded model with PyTorch's recorded numbers.

mod bundle;
pub mod compile;
mod compiled;
mod csv;
mod dump;
mod expect;
mod html;
mod journal;
mod junit;
mod known;
mod language;
mod model;
mod on;
mod options;
mod outlines;
mod random;
mod read;
mod report;
mod statistics;
mod status;
mod suite;

pub use bundle::{Bundle, BundleError, Captured, Replayed, capture, read_bundle};
pub use compiled::{Compiled, read_compiled};
pub use csv::csv;
pub use dump::hlsl;
pub use expect::{Expectations, ListError, read_caselist};
pub use html::html;
pub use journal::{Journal, Seen};
pub use junit::junit;
pub use known::{KNOWN, Known};
pub use language::LANGUAGE;
pub use on::On;
pub use options::{Fraction, Options};
pub use outlines::{OUTLINES, Outline};
pub use random::Random;
pub use read::{ReportError, read_report};
pub use report::{Adapter, Made, Report, Row, Summary, compare};
pub use statistics::Figures;
pub use status::Status;
pub use suite::{Entry, Suite, entries, run, run_async, run_by, unique_names};
