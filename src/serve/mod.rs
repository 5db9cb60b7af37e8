//! The engine behind HTTP: one device, one queue, pictures in, masks out.
//!
//! ```text
//! connections --guard (key, origin, log)--> routes --body, pictures (blocking threads)--> queue --> the device's own thread
//! ```
//!
//! One thread handles all connections; blocking threads decode pictures and encode answers, a few at a time; the device has a thread of
//! its own. All input from clients is bounded before memory is taken for it. No request names a file.

mod answer;
mod anylabeling;
mod api;
mod app;
mod banks;
mod body;
mod connections;
mod describe;
mod entered;
mod events;
mod guard;
mod label_studio;
mod metrics;
mod page;
mod pictures;
mod problem;
mod queue;
mod result;
mod routes;
mod worker;

use crate::segment::{BankFile, Segmenter};
use crate::{Error, segment};
use app::App;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Limits and permissions of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of a request's body.
    pub max_upload: usize,
    /// Most requests that wait for the device.
    pub queue: usize,
    /// The key that requests must send. Without a key, only `localhost` and IP addresses are accepted as host: any website could point
    /// its name to this machine.
    pub key: Option<String>,
    /// Origins of pages that may use the server, as `https://example.org`; `*` is any.
    pub origins: Vec<String>,
    /// Most banks made by requests; the least recently used go.
    pub most_banks: usize,
    /// Most bytes of their keys and values on the device.
    pub most_bank_bytes: u64,
    /// The Label Studio whose projects are served.
    pub label_studio: Option<LabelStudio>,
}

/// A Label Studio, whose pictures and annotations are fetched.
#[derive(Clone, Debug)]
pub struct LabelStudio {
    /// Its address, without a slash at the end.
    pub url: String,
    /// A token of its API, legacy or personal. Without it, the token of `/setup` is used.
    pub key: Option<String>,
    /// Origins of other servers that pictures of tasks may be fetched from, as `https://example.org`.
    pub pictures_from: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        let (most_banks, most_bank_bytes) = (64, 1 << 30);
        Options {
            max_upload: 32 << 20,
            queue: 16,
            key: None,
            origins: Vec::new(),
            most_banks,
            most_bank_bytes,
            label_studio: None,
        }
    }
}

/// A bank that is loaded at the start, as a model for annotation tools.
pub struct Model {
    /// Its name in addresses and requests.
    pub id: String,
    pub file: BankFile,
}

/// Callbacks of the program that runs the server.
pub struct Host {
    /// Receives a line for each request, which may hold text from a client.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
    /// Called several times a second; true ends the server.
    pub stop: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error("the server cannot run: {0}")]
    System(#[from] std::io::Error),
    #[error("the model {id}: {error}")]
    Model { id: String, error: Box<Error> },
    /// The device cannot be used any more.
    #[error(transparent)]
    Engine(Box<Error>),
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

/// Serves until `host.stop` returns true, then answers the requests received before.
///
/// # Errors
/// A bank that cannot be loaded, a lost device, errors of the system.
pub fn run(
    listener: TcpListener,
    segmenter: Segmenter,
    models: Vec<Model>,
    options: Options,
    host: Host,
) -> Result<(), ServeError> {
    let mut loaded = Vec::new();
    for Model { id, file } in models {
        let label = file.name().unwrap_or(&id).to_owned();
        let mut progress = |_: segment::Stage, _| match (host.stop)() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let bank = segmenter.load_bank(&[file], &[], &mut progress);
        match bank {
            Ok(bank) => loaded.push((id, label, bank)),
            Err(Error::Interrupted) => return Ok(()),
            Err(error) => return Err(ServeError::Model { id, error: Box::new(error) }),
        }
    }
    let app = Arc::new(App::new(&segmenter, loaded, options, host));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(app::BLOCKING_THREADS)
        .thread_name("serve")
        .build()?;
    let queue = app.queue.clone();
    let worker = std::thread::Builder::new().name("device".into());
    let worker = {
        let app = app.clone();
        worker.spawn(move || worker::run(&segmenter, &app))?
    };
    let served = runtime.block_on(connections::serve(listener, routes::router(&app), &app));
    queue.close(served.is_err());
    // Do not wait for threads that decode pictures for clients that have left.
    runtime.shutdown_background();
    match worker.join() {
        Ok(ended) => ended.and(served.map_err(ServeError::from)),
        Err(_) => Err(ServeError::Panicked("it did not say why".into())),
    }
}
