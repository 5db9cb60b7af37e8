//! The engine behind HTTP: one device, one queue, pictures in, masks out.
//!
//! ```text
//! connections --guard (key, origin, log)--> routes --body, pictures (blocking threads)--> queue --> the device's own thread
//! ```
//!
//! Connections are those of one thread; pictures are decoded, and answers encoded, on blocking threads, a few at a time; the device has
//! a thread of its own. Everything that comes from a client has a bound before memory is taken for it. No request names a file.

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

/// What a server allows.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of a request's body.
    pub max_upload: usize,
    /// Most requests that wait for the device.
    pub queue: usize,
    /// What requests must know. Without it, names of hosts but `localhost` are refused: a page of the web could have given one to this
    /// machine.
    pub key: Option<String>,
    /// Origins of pages that may ask, as `https://example.org`; `*` is any.
    pub origins: Vec<String>,
    /// Most banks that are made by requests; those that were not used for the longest time go.
    pub most_banks: usize,
    /// Most bytes of their keys and values on the device.
    pub most_bank_bytes: u64,
    /// Where the Label Studio is whose projects are served.
    pub label_studio: Option<LabelStudio>,
}

/// A Label Studio, whose pictures and annotations are fetched.
#[derive(Clone, Debug)]
pub struct LabelStudio {
    /// Without a slash at the end.
    pub url: String,
    /// A token of its API: a legacy one, or a personal access token. Without it the one that comes with `/setup` is used.
    pub key: Option<String>,
    /// Origins of other servers, as `https://example.org`, whose pictures are fetched where a task names them.
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

/// A bank that is there from the beginning, as a model of annotation tools.
pub struct Model {
    /// In addresses and requests.
    pub id: String,
    pub file: BankFile,
}

/// Whom a server talks to, and who ends it.
pub struct Host {
    /// Told of each request, in one line that may hold what a client sent.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
    /// Asked some times a second whether to end.
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
    /// The device is of no more use.
    #[error(transparent)]
    Engine(Box<Error>),
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

/// Serves until it is told to stop, and then until all that was asked before is answered.
///
/// # Errors
/// A bank that cannot be loaded, a device that is lost, and what the system says.
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
    // Whoever reads a picture for a client that has gone is not waited for.
    runtime.shutdown_background();
    match worker.join() {
        Ok(ended) => ended.and(served.map_err(ServeError::from)),
        Err(_) => Err(ServeError::Panicked("it did not say why".into())),
    }
}
