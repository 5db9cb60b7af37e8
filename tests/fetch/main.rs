//! Fetches weights from a server on this machine that may misbehave.

#[path = "../common/server.rs"]
mod server;

mod bed;
mod broken;
mod hostile;
mod whole;
