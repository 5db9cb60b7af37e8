//! The command as its users meet it: processes, files, exit codes.

mod command;
mod conformance;
mod odd_weights;
mod pictures;
mod results;
mod usage;
mod weights;
