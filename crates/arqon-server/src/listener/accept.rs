//! Accepts connections and runs each as a task until it ends, is asked to end, or is ended.

use super::{ServerConfig, TlsConfig, tls};
use crate::env::TaskSpawner;
use crate::lifecycle::Stop;
use crate::obstacle::Obstacle;
use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// Most headers of one request.
const HEADERS_MAX: usize = 100;
/// Read and write buffer of one connection, at most.
const BUFFER_MAX: usize = 64 * 1024;
/// How long accepting rests when the process is out of files, so that it does not spin.
const REST: Duration = Duration::from_millis(50);
/// How long a connection that is turned away may take to read why.
const TURN_AWAY: Duration = Duration::from_secs(1);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: application/json\r\ncontent-length: 109\r\n\r\n\
{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\",\"message\":\"too many connections\",\"details\":{\"outcome\":\"not_applied\"}}}\n";

/// A bound port.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    config: ServerConfig,
}

impl Listener {
    /// Binds the port.
    pub(crate) async fn bind(config: &ServerConfig, tls: &TlsConfig) -> anyhow::Result<Listener> {
        let tls = tls::build_acceptor(tls)?;
        let bound = TcpListener::bind(config.listen).await;
        let socket = bound.map_err(|e| Obstacle::of_address(config.listen, &e))?;
        Ok(Listener { socket, tls, config: config.clone() })
    }

    /// The address in fact bound.
    pub(crate) fn addr(&self) -> anyhow::Result<SocketAddr> {
        self.socket.local_addr().context("the port has no address")
    }

    /// The address as clients name it.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.addr()?))
    }

    /// Accepts until `stop` says closed; each connection runs in `tasks`.
    pub(crate) async fn serve(self, router: Router, stop: Stop, tasks: TaskSpawner) {
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        let server = Arc::new(Server {
            http: build_http(&self.config),
            tls: self.tls,
            router,
            stop: stop.clone(),
            timeout: self.config.header_timeout_seconds,
        });
        loop {
            let accepted = tokio::select! {
                () = stop.closed.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(pair) => pair,
                Err(error) => {
                    rest_after(&error).await;
                    continue;
                }
            };
            match slots.clone().try_acquire_owned() {
                Ok(slot) => {
                    let server = server.clone();
                    tasks.run(async move {
                        server.connection(stream, peer).await;
                        drop(slot);
                    });
                }
                Err(_) => tasks.run(turn_away(stream, self.config.max_connections)),
            }
        }
    }
}

/// Failures of one connection concern nobody else; being out of files concerns all, and passes.
async fn rest_after(error: &std::io::Error) {
    let of_the_peer = matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    );
    if !of_the_peer {
        tracing::warn!(%error, "cannot accept connections for the moment");
        tokio::time::sleep(REST).await;
    }
}

async fn turn_away(mut stream: TcpStream, max: usize) {
    tracing::debug!(max, "connection turned away: too many are open");
    // Whether the peer reads it or not, the connection ends.
    let _ = tokio::time::timeout(TURN_AWAY, stream.write_all(FULL)).await;
}

fn build_http(config: &ServerConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout_seconds)
        .max_headers(HEADERS_MAX)
        .max_header_size(config.header_bytes.as_usize())
        .max_buf_size(BUFFER_MAX.max(config.header_bytes.as_usize()));
    http
}

struct Server {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: Stop,
    timeout: Duration,
}

impl Server {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Without it, small answers wait for the peer's acknowledgement of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection was gone at once");
            return;
        }
        let Some(tls) = &self.tls else { return self.http(stream, peer).await };
        match tokio::time::timeout(self.timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "tls handshake failed"),
            Err(_) => tracing::debug!(%peer, "tls handshake took too long"),
        }
    }

    async fn http(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        let service = service_fn(|request: Request<Incoming>| self.answer(request, peer));
        // A connection that comes while stopping gets one answer; ending it at once would hide why.
        let late = self.stop.soft.is_cancelled();
        let mut http = self.http.clone();
        let connection = http.keep_alive(!late).serve_connection(TokioIo::new(io), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.soft.cancelled(), if !late => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
    }

    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + 'static {
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router is always ready.
        self.router.clone().call(request)
    }
}
