//! Connections: how many, how slow they may be, and their end.

use super::app::App;
use super::guard::Client;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at a time; others wait.
const MOST: usize = 256;
/// The head of a request must be there so soon, and a connection may be idle so long.
const HEAD: Duration = Duration::from_secs(15);
/// How often it is asked whether to end.
const STEP: Duration = Duration::from_millis(50);
/// Where there are no more files for connections: the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the server is to end, and all that was asked by then is answered.
pub async fn serve(listener: std::net::TcpListener, router: Router, app: &Arc<App>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(MOST));
    let (end, ended) = watch::channel(false);
    let mut all = JoinSet::new();
    let mut over = pin!(over(app));
    loop {
        let slot = tokio::select! {
            slot = slots.clone().acquire_owned() => slot.map_err(io::Error::other)?,
            () = &mut over => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Of one connection, or for want of files: the others go on.
                Err(error) => {
                    log::warn!("a connection cannot be taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut over => break,
        };
        let router = router.clone().layer(Extension(Client(peer.ip().to_canonical())));
        let ended = ended.clone();
        all.spawn(async move {
            connection(stream, router, ended).await;
            drop(slot);
        });
        while all.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = end.send(true);
    while all.join_next().await.is_some() {}
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, mut ended: watch::Receiver<bool>) {
    // Answers are written at once, whole.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // What goes wrong in a connection is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = ended.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn over(app: &App) {
    while !app.is_over() {
        tokio::time::sleep(STEP).await;
    }
}
