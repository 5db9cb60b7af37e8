//! Does this adapter and driver compute right? Cases declared by the kernels, run against f64 twins.

pub mod bound;
mod case;
mod run;

pub use case::{Case, CaseBuilder, Check, Fill, HostTensor, Recorded};
pub use run::{Outcome, run_case};
