//! The common part of requests that compute: body, place in the queue, kind of answer.

use super::app::App;
use super::body::{self, Upload};
use super::events;
use super::guard::Client;
use super::problem::Problem;
use super::queue::Ticket;
use super::worker::Work;
use axum::extract::{FromRequest, Request};
use std::sync::Arc;

/// A request with its body and a place in the queue.
pub struct Entered {
    pub upload: Upload,
    pub ticket: Ticket<Work>,
    /// Whether the client wants progress events.
    pub events: bool,
}

impl FromRequest<Arc<App>> for Entered {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Entered, Problem> {
        let (parts, body) = request.into_parts();
        let client = parts.extensions.get::<Client>().copied();
        let Client(client) = client.ok_or_else(|| Problem::internal("the connection has no address"))?;
        let upload = body::read(app, &parts.headers, body).await?;
        let ticket = app.enter(client)?;
        Ok(Entered { upload, ticket, events: events::wanted(&parts.headers) })
    }
}
