//! The command as users see it: processes, files, exit codes.

mod banks;
mod batch;
mod bench;
mod bundle;
mod colour;
mod command;
mod compile;
mod conformance;
mod examples;
mod farm;
mod fetch;
mod folders;
mod formats;
mod guide;
mod large;
mod manners;
mod masks;
mod memory;
mod odd_weights;
mod pictures;
mod prompts;
mod reference;
mod results;
mod schema;
mod serve;
#[path = "../common/server.rs"]
mod server;
#[cfg(unix)]
mod signals;
mod standard;
mod start;
mod streams;
mod tuning;
mod usage;
mod weights;
