//! The command on a GPU that breaks: a layer (`layer.rs`) has each submission, wait, allocation and map of a run fail once.
//! Whatever fails, nothing wrong is written and nothing panics: the right result after a second try, or none and a
//! documented exit code.
#![cfg(target_os = "linux")]

mod batches;
mod bed;
mod single;
