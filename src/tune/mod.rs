//! Forms measured on a model's own problems.
//!
//! A rule chooses forms by counted work and an assumed pace. Where it may, a [`Tuned`] chooser takes the one that was the fastest of
//! those that can run, on this adapter under this driver, as a file remembers ([`Kept`]); and it says which problems nothing is known of.
//! [`measure`] runs their candidates: heaviest problem first, candidates in turn, those far behind are dropped, until the time is
//! spent. What a run computes is looked at each time: a form that is not within its twin's bound is out, however fast it is. What was not
//! reached goes by the rule.

mod contest;
mod findings;
mod kept;
mod track;
mod tuned;

pub use findings::{Finding, Findings, Found};
pub use kept::{Kept, Tuning};
pub use track::measure;
pub use tuned::{Asked, Problem, Tally, Tuned};
