//! Connections: how many, how slow they may be, and how all of it ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use super::app::App;

/// Connections too many that are told so at a time.
const REFUSALS: usize = 64;

/// Longest head of a request, and most that a connection reads ahead of a body.
const HEAD: usize = 64 << 10;

/// What a connection too many is told.
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
                        connection: close\r\ncontent-length: 73\r\n\r\n\
                        {\"detail\":\"as many connections are open as may be\",\"code\":\"OVERLOADED\"}\r\n";

/// What a client is told whose request head does not come to its end.
const SLOW_HEAD: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n\
                         content-length: 69\r\n\r\n\
                         {\"detail\":\"the head of the request took too long\",\"code\":\"TIMEOUT\"}\r\n";

/// Serves connections until `stop` is there; then accepts no more, and waits for the requests under
/// way. Gives the number of connections that were still busy when the time for that was over.
pub async fn run(app: &Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) -> usize {
    let config = app.serve();
    let places = Arc::new(Semaphore::new(config.max_connections));
    let (end, ending) = watch::channel(false);
    let router = app.router();
    let mut protocol = http1::Builder::new();
    // From the moment a head is awaited: it bounds slow heads and idle connections alike.
    protocol.timer(TokioTimer::new()).header_read_timeout(config.idle).max_buf_size(HEAD);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let serve = |stream: TcpStream| {
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Beyond some of these a connection is closed without a word.
            if let Ok(turn) = refusals.clone().try_acquire_owned() {
                tokio::spawn(async {
                    tell(stream, TOO_MANY).await;
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
        let mut connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let mut ending = ending.clone();
        let open = app.metrics.connections().clone();
        open.inc();
        tokio::spawn(async move {
            let ended = tokio::select! {
                outcome = &mut connection => Some(outcome),
                _ = ending.changed() => None,
            };
            let outcome = match ended {
                Some(outcome) => outcome,
                None => {
                    Pin::new(&mut connection).graceful_shutdown();
                    (&mut connection).await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection broke");
                // A connection that is merely idle is closed without a word: a request may be on its way, and would
                // take this for its answer.
                let parts = connection.into_parts();
                if error.is_timeout() && !parts.read_buf.is_empty() {
                    tell(parts.io.into_inner(), SLOW_HEAD).await;
                }
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
    drop((listener, ending));
    let open = || app.metrics.connections().get().max(0) as usize;
    tracing::info!(connections = open(), "ending: no more connections are accepted");
    end.send_replace(true);
    // Each connection has a receiver until its end.
    match tokio::time::timeout(config.drain, end.closed()).await {
        Ok(()) => 0,
        Err(_) => open(),
    }
}

/// Gives a client an answer that its connection has no request for.
async fn tell(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let telling = async {
        stream.write_all(answer.as_bytes()).await?;
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
    use super::{SLOW_HEAD, TOO_MANY};

    #[test]
    fn answers_say_their_own_length() {
        for answer in [TOO_MANY, SLOW_HEAD] {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }
}
