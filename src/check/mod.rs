//! Runs and judges a case: data from a seed, poisoned memory, and an exact value and a bound for each element.

pub mod bound;
mod case;
mod fill;
mod guards;
mod id;
mod run;
mod sample;
pub mod sum;
mod trial;

pub use case::{Case, CaseBuilder, Check, HostTensor, HostWeight, Recorded, STORAGES, Tested};
pub use fill::Fill;
pub use id::{is_id, slug};
pub(crate) use run::run_case_by;
pub use run::{
    Expected, Outcome, Prepared, Twins, not_finite, prepare, record_case, run_case, run_case_with, run_prepared,
};
pub use trial::{Fault, Trial};
