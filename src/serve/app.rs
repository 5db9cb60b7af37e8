//! The state that all requests share.

use super::banks::Banks;
use super::label_studio::Projects;
use super::metrics::{Metrics, Now};
use super::problem::Problem;
use super::queue::{Queue, Ticket};
use super::worker::Work;
use super::{Host, Options};
use crate::image_io::Framing;
use crate::panics::caught;
use crate::segment::{Segmenter, SupportBank};
use crate::settings::MaskRule;
use axum::http::StatusCode;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Most pictures to decode or results to encode at a time: each may take hundreds of megabytes.
const AT_ONCE: usize = 2;
/// Most pictures to fetch at a time; a fetch mostly waits.
const FETCHES: usize = 4;
/// Number of blocking threads; more would be idle.
pub const BLOCKING_THREADS: usize = AT_ONCE + FETCHES;

pub struct App {
    pub options: Options,
    pub host: Host,
    pub queue: Arc<Queue<Work>>,
    pub banks: Banks,
    pub metrics: Metrics,
    /// Bytes of request bodies in memory.
    pub uploads: Arc<AtomicUsize>,
    pub size: u32,
    pub framing: Framing,
    pub rule: MaskRule,
    /// Name of the model.
    pub model: String,
    pub projects: Projects,
    pictures: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    failed: AtomicBool,
}

impl App {
    pub fn new(segmenter: &Segmenter, models: Vec<(String, String, SupportBank)>, options: Options, host: Host) -> App {
        let of_one = segmenter.memory().bank_per_support;
        App {
            queue: Queue::new(options.queue),
            banks: Banks::new(models, of_one, (options.most_banks, options.most_bank_bytes)),
            metrics: Metrics::default(),
            uploads: Arc::default(),
            size: segmenter.size(),
            framing: segmenter.framing(),
            rule: segmenter.mask_rule(),
            model: segmenter.model().name().to_owned(),
            projects: Projects::new(options.label_studio.clone(), options.max_upload),
            pictures: Arc::new(Semaphore::new(AT_ONCE)),
            fetches: Arc::new(Semaphore::new(FETCHES)),
            failed: AtomicBool::new(false),
            options,
            host,
        }
    }

    /// A place in the queue for `client`.
    pub fn enter(&self, client: IpAddr) -> Result<Ticket<Work>, Problem> {
        self.queue.enter(client).map_err(|_| self.full())
    }

    /// The problem for a client that finds no place in the queue.
    pub fn full(&self) -> Problem {
        if self.is_over() {
            return Problem::busy("the server is ending", 1);
        }
        let each = self.metrics.mean_seconds().unwrap_or(1.0);
        let seconds = (each * self.queue.len() as f64).ceil().clamp(1.0, 600.0) as u64;
        Problem::busy("too many requests are waiting for the device; try again later", seconds)
    }

    /// Marks the device as unusable: the server ends.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.queue.close(true);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether the server must end.
    pub fn is_over(&self) -> bool {
        self.has_failed() || (self.host.stop)()
    }

    pub fn metrics_text(&self) -> String {
        let (banks, bank_bytes) = self.banks.taken();
        let upload_bytes = self.uploads.load(Ordering::Relaxed);
        self.metrics.text(&Now { queue: self.queue.len(), banks, bank_bytes, upload_bytes })
    }

    /// Runs `work` on one of a few blocking threads. A panic is a problem of that request only.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        Self::spawn_blocking_limited(&self.pictures, work).await
    }

    /// Runs `work`, which waits for another server, on a thread of its own.
    pub async fn fetching<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        Self::spawn_blocking_limited(&self.fetches, work).await
    }

    async fn spawn_blocking_limited<T: Send + 'static>(
        permits: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Problem::busy("the server is ending", 1))?;
        let task = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even if the client has gone.
            let _permit = permit;
            caught(work)
        });
        match task.await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => {
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the request cannot be processed: {panic}")))
            }
            Err(_) => Err(Problem::internal("the request's thread ended before its time")),
        }
    }
}
