//! The command on a broken GPU: a layer (`layer.rs`) makes each submission, wait, allocation and map of a run fail once. Whatever fails,
//! nothing wrong is written and nothing panics. The result is right after a retry, or there is none and the exit code is a documented one.
#![cfg(target_os = "linux")]

mod batches;
mod bed;
mod single;
