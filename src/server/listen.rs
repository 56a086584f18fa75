//! Connections: how many, how slow they may be, and how all of it ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use super::app::App;

/// Connections too many that are told so at a time.
const REFUSALS: usize = 64;

/// What a connection too many is told.
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
                        connection: close\r\ncontent-length: 73\r\n\r\n\
                        {\"detail\":\"as many connections are open as may be\",\"code\":\"OVERLOADED\"}\r\n";

/// Serves connections until `stop` is there; then accepts no more, and waits for the requests under
/// way. Gives the number of connections that were still busy when the time for that was over.
pub async fn run(app: &Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) -> usize {
    let config = app.serve();
    let places = Arc::new(Semaphore::new(config.max_connections));
    let requests = GracefulShutdown::new();
    let router = app.router();
    let mut protocol = http1::Builder::new();
    // From the moment a head is awaited: it bounds slow heads and idle connections alike.
    protocol.timer(TokioTimer::new()).header_read_timeout(config.idle);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let serve = |stream: TcpStream| {
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Beyond some of these a connection is closed without a word.
            if let Ok(turn) = refusals.clone().try_acquire_owned() {
                tokio::spawn(async {
                    refuse(stream).await;
                    drop(turn);
                });
            }
            return;
        };
        // Answers are small and come in one piece.
        let _ = stream.set_nodelay(true);
        let mut stream = Box::pin(TimeoutStream::new(stream));
        // Who does not read its answers is let go too.
        stream.as_mut().set_write_timeout_pinned(Some(config.idle));
        let connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = requests.watch(connection);
        let open = app.metrics.connections().clone();
        open.inc();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            open.dec();
            drop(place);
        });
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve(stream),
                Err(error) => {
                    // Out of file descriptors, say: those in use will be given back.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = &mut stop => break,
        }
    }
    app.draining.store(true, Ordering::Relaxed);
    // Connections that the system has accepted already are served.
    while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::from_millis(10), listener.accept()).await {
        serve(stream);
    }
    drop(listener);
    let busy = requests.count();
    tracing::info!(connections = busy, "ending: no more connections are accepted");
    match tokio::time::timeout(config.drain, requests.shutdown()).await {
        Ok(()) => 0,
        Err(_) => app.metrics.connections().get().max(0) as usize,
    }
}

/// Tells a connection too many that it is one.
async fn refuse(mut stream: TcpStream) {
    let telling = async {
        stream.write_all(TOO_MANY.as_bytes()).await?;
        stream.shutdown().await?;
        // What the client sent must be read, or the answer may be lost with a reset.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // It is gone in any case.
    let _ = tokio::time::timeout(Duration::from_secs(1), telling).await;
}

#[cfg(test)]
mod tests {
    use super::TOO_MANY;

    #[test]
    fn the_refusal_says_its_own_length() {
        let (head, body) = TOO_MANY.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
