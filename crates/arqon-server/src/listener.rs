//! The one TCP port: HTTP/1.1 and WebSocket upgrades, plain or under TLS.
//!
//! Invariant: sizes, times and the number of connections are bounded before a byte of a request is believed.

mod accept;
mod tls;

pub(crate) use accept::Listener;
pub use tls::TlsConfig;
pub(crate) use tls::problems as tls_problems;

use crate::config::setting::{ByteSize, section};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// Where the server listens and where its data lives.
    pub struct ServerConfig {
        /// Address and port for everything: HTTP and WebSocket. Loopback, so that nothing is reachable from outside
        /// before somebody says so. Port 0 picks a free one.
        pub listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9100));
        /// The data folder of the embedded engine: log, records, signing key.
        pub data: PathBuf = PathBuf::from("./arqon-data");
        /// Where messages and documents are kept: `embedded:` (in `data`), `embedded:PATH`, or `memory:` (nothing
        /// outlives the process).
        pub engine: String = "embedded:".to_owned();
        /// Web origins that may use the server from a browser, such as `https://console.example.com`; `*` is any. None:
        /// a page can use it only when it was served from the same host and port.
        pub origins: Vec<String> = Vec::new();
        /// HTTP connections at once, event streams included and WebSockets not (`limits.connections` bounds those).
        /// Beyond it a connection is answered 503.
        pub max_connections: usize = 10_000;
        /// Largest head of a request.
        pub header_bytes: ByteSize = ByteSize(32 << 10);
        /// How long a client may take for the head of a request (and for a TLS handshake). Ends connections that trickle
        /// or idle.
        pub header_timeout_seconds: Duration = Duration::from_secs(30);
    }
}
