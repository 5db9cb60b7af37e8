//! Weights fetched from a server on this machine that does what it likes.

#[path = "../common/server.rs"]
mod server;

mod bed;
mod broken;
mod hostile;
mod whole;
