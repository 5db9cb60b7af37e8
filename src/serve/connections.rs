//! Connections: their number, timeouts and end.

use super::app::App;
use super::guard::Client;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

/// Most connections at a time; others wait.
const MOST: usize = 256;
/// Most connections of one address; further ones are closed at once to leave room for others.
const MOST_OF_ONE: usize = 192;
/// Timeout for the head of a request, and for idle connections.
const HEAD: Duration = Duration::from_secs(15);
/// Timeout for a client that does not read.
const READS: Duration = Duration::from_secs(30);
/// Interval between checks whether to end.
const STEP: Duration = Duration::from_millis(50);
/// Pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of connections by address.
type Peers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of an address's connections.
struct Counted {
    peers: Peers,
    address: IpAddr,
}

impl Counted {
    /// `None` if the address has too many.
    fn new(peers: &Peers, address: IpAddr) -> Option<Counted> {
        let mut counts = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Counted { peers: peers.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Serves until the server must end and all requests by then are answered.
pub async fn serve(listener: std::net::TcpListener, router: Router, app: &Arc<App>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(MOST));
    let peers = Peers::default();
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
                // The error concerns one connection, or too many open files: the others go on.
                Err(error) => {
                    log::warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut over => break,
        };
        let address = peer.ip().to_canonical();
        let Some(counted) = Counted::new(&peers, address) else { continue };
        let router = router.clone().layer(Extension(Client(address)));
        let ended = ended.clone();
        all.spawn(async move {
            connection(stream, router, ended).await;
            drop((slot, counted));
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
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(READS));
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // Errors of a connection concern its client only.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others() {
        let (peers, one, other) = (Peers::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut all: Vec<Counted> = (0..MOST_OF_ONE).filter_map(|_| Counted::new(&peers, one)).collect();
        assert_eq!(all.len(), MOST_OF_ONE);
        assert!(Counted::new(&peers, one).is_none() && Counted::new(&peers, other).is_some());
        all.pop();
        assert!(Counted::new(&peers, one).is_some());
        drop(all);
        assert!(peers.lock().unwrap().is_empty());
    }
}
