//! Measures forms on a model's own problems.
//!
//! A rule chooses forms by their operation counts and an assumed pace. Where it permits, a [`Tuned`] chooser replaces that by the fastest
//! form that can run, as measured earlier on this adapter and driver and stored in a file ([`Kept`]); it also reports the problems without
//! findings. [`measure`] runs their candidates: the heaviest problem first, candidates in turn, dropping those far behind, until the time
//! is spent. Every run's result is checked: a form that exceeds its twin's bound is out, however fast it is. The rule decides for problems
//! that were not reached.

mod contest;
mod findings;
mod kept;
mod track;
mod tuned;

pub use findings::{Finding, Findings, Verdict};
pub use kept::{Kept, Tuning};
pub use track::measure;
pub use tuned::{Asked, Problem, Tally, Tuned};
